"""Compares counters with a listing: the part that both SQL stores share. A difference is repaired where it is found."""

from functools import partial
from typing import Any, Protocol

from typing_extensions import override

from ...models.counts import CountDifference
from ..ports import CountStore
from .reads import Reads
from .rooms import SqlRooms

THREADS_AT_ONCE = 200
"""Number of threads whose messages one transaction counts."""

Place = tuple[str, str]


class CountChanges(Protocol):
    """Repairs counters, inside a transaction that compares them again."""

    def repair_tallies(self) -> list[CountDifference]:
        """Repair the totals by tenant, state and priority. Return what differed."""

    def repair_levels(self) -> list[CountDifference]:
        """Repair the counts of waiting messages by level of the claim order. Return what differed."""

    def repair_thread(self, tenant: str, thread_id: str) -> list[CountDifference]:
        """Repair the counts of a thread. Return what differed."""


class SqlCounts(SqlRooms, CountStore):
    """Implements `CountStore` for both SQL stores."""

    _counts: CountChanges

    @override
    async def check_counts(self) -> list[CountDifference]:
        found: list[CountDifference] = []
        if await self._list_thread.run(lambda: self._lists.rows("differing_tallies")):
            found += await self._upkeep_thread.run(self._counts.repair_tallies)
        if await self._list_thread.run(lambda: self._lists.rows("differing_levels")):
            found += await self._upkeep_thread.run(self._counts.repair_levels)
        place: Place | None = ("", "")
        while place is not None:
            differing, place = await self._list_thread.run(partial(_differing_threads, self._lists, place))
            for thread in differing:
                found += await self._upkeep_thread.run(partial(self._counts.repair_thread, *thread))
        return found


def _differing_threads(reads: Reads, after: Place) -> tuple[list[Place], Place | None]:
    """Return the differing threads among the next THREADS_AT_ONCE, and the last of these; None if none follow."""
    values = {"tenant": after[0], "thread_id": after[1]}
    rows = reads.rows("differing_threads", **values, limit=THREADS_AT_ONCE)
    last = reads.row("end_of_threads", **values, before=THREADS_AT_ONCE - 1)
    return [(tenant, thread_id) for tenant, thread_id, *_ in rows], None if last is None else (last[0], last[1])


def tally_difference(tenant: str, state: str, priority: str, told: int, counted: int) -> CountDifference:
    """Return the difference of a total. `priority` is empty for states that are not counted by priority."""
    return CountDifference(f"{state} {priority}".rstrip() + f" messages of tenant {tenant!r}", str(told), str(counted))


def level_difference(level: int, told: int, counted: int) -> CountDifference:
    """Return the difference of a level of the claim order."""
    return CountDifference(f"waiting messages of level {level}", str(told), str(counted))


def thread_difference(tenant: str, thread_id: str, told: Any, counted: Any) -> CountDifference:
    """Return the difference of a thread's counts."""
    return CountDifference(f"messages by state of thread {thread_id!r} of tenant {tenant!r}", str(told), str(counted))
