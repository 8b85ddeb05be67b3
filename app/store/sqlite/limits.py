"""Counts new messages against limits, those of many callers in one transaction."""

from collections.abc import Mapping

from ...models.limits import Counted, Limits
from .changes import UNKNOWN, Changes


class Limiting(Changes):
    """The base class of writers that count against limits.

    A batch reads the row of a limit once, and writes it once, before its commit. It holds the write lock meanwhile.
    """

    def count_limits(self, limits: Limits, now: int) -> Counted | None:
        """Return what a request counts, see `LimitRows.count`. Raises an error if a limit refuses the request."""
        return self._limit_rows.count(limits, now, self._limit_values)

    def begin_counting(self) -> None:
        """Forget what the transaction before has counted and knew. Called at the begin of a transaction."""
        self._known.changes = UNKNOWN
        self._limit_rows.clear()

    def write_counted(self) -> None:
        """Write the rows of limits that requests have counted against. Called before the commit."""
        changed = [{"name": name, "value": value, "ends": ends} for name, value, ends in self._limit_rows.changed()]
        if changed:
            self.execute_each("keep_limit", changed)

    def prune_limits(self) -> None:
        """Implement `LimitStore.prune_limits`."""
        self.execute("prune_limits", now=self._now())

    def _limit_values(self, limits: Limits) -> Mapping[str, int]:
        return dict(self.execute("limit_values", names=limits.names))
