"""Repairs counters. The transaction has the write lock, so that no message changes between the count and the repair."""

from typing_extensions import override

from ...models.counts import CountDifference
from ..sql.counts import CountChanges, level_difference, tally_difference, thread_difference
from .changes import Changes


class CountWrites(Changes, CountChanges):
    """Repairs counters in a transaction."""

    @override
    def repair_tallies(self) -> list[CountDifference]:
        differing = self.rows("differing_tallies")
        names = ("tenant", "state", "priority", "told", "messages")
        self.execute_each("set_tally", [dict(zip(names, row, strict=True)) for row in differing])
        return [tally_difference(*row) for row in differing]

    @override
    def repair_levels(self) -> list[CountDifference]:
        differing = self.rows("differing_levels")
        self.execute_each("set_level", [{"level": level, "waiting": counted} for level, _, counted in differing])
        return [level_difference(*row) for row in differing]

    @override
    def repair_thread(self, tenant: str, thread_id: str) -> list[CountDifference]:
        thread = {"tenant": tenant, "thread_id": thread_id}
        differing = self.rows("differing_thread", **thread)
        if differing:
            self.execute("repair_thread", **thread)
        return [thread_difference(*row) for row in differing]
