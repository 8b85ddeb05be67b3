"""Reads the log of changes."""

from typing_extensions import override

from ...models.transitions import TransitionPage
from ..ports import TransitionLog
from ..sql.rooms import SqlRooms
from ..sql.transitions import to_transition
from .queries import SqliteReads


class SqliteTransitions(SqlRooms, TransitionLog):
    """Implements `TransitionLog` on one SQLite file, whose writers commit in the order of their numbers.

    A cursor is the name of the log and the number of a change.
    """

    _lists: SqliteReads

    @override
    async def read_transitions(self, tenant: str | None, *, after: str | None, limit: int) -> TransitionPage:
        return await self._list_thread.run(lambda: _read(self._lists, tenant, after, limit))

    @override
    async def newest_transition(self) -> str:
        def newest() -> str:
            name, _, last = self._lists.rows("transition_bounds")[0]
            return f"{name}-{last}"

        return await self._list_thread.run(newest)


def _read(reads: SqliteReads, tenant: str | None, after: str | None, limit: int) -> TransitionPage:
    """Implement `TransitionLog.read_transitions`, on one snapshot."""
    name, first, last = reads.rows("transition_bounds")[0]
    number = None if after is None else _number(after, name)
    known = number is not None and first - 1 <= number <= last
    found = reads.rows("read_transitions", after=number if known else first - 1, tenant=tenant, limit=limit)
    whole = len(found) < limit
    return TransitionPage(
        [to_transition(f"{name}-{each}", row) for each, *row in found],
        f"{name}-{last if whole else found[-1][0]}",
        missed=after is not None and not known,
        whole=whole,
    )


def _number(cursor: str, name: str) -> int | None:
    """Return the number in a cursor of the log with this name, None for any other text."""
    log, _, number = cursor.rpartition("-")
    return int(number) if log == name and number.isascii() and number.isdigit() and len(number) < 19 else None
