"""Repairs counters while others go on counting.

A statement reads one snapshot, in which counters and messages agree unless a counter is wrong. It adds the difference
to a counter. Further changes add to the counter too, so that the order does not matter. Repairs wait for each other,
lest two of them add the same difference.
"""

from typing_extensions import override

from ...models.counts import CountDifference
from ..sql.counts import CountChanges, level_difference, tally_difference, thread_difference
from .changes import Changes
from .session import Rows


class CountWrites(Changes, CountChanges):
    """Repairs counters in a transaction."""

    @override
    def repair_tallies(self) -> list[CountDifference]:
        return [tally_difference(*row) for row in self._repair("repair_tallies")]

    @override
    def repair_levels(self) -> list[CountDifference]:
        return [level_difference(*row) for row in self._repair("repair_levels")]

    @override
    def repair_thread(self, tenant: str, thread_id: str) -> list[CountDifference]:
        return [thread_difference(*row) for row in self._repair("repair_thread", tenant=tenant, thread_id=thread_id)]

    def _repair(self, query: str, **values: str) -> Rows:
        with self.transaction():
            self.rows("wait_for_folding")
            return self.rows(query, **values)
