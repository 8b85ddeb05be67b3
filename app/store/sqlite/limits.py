"""Counts new messages against limits, those of many callers in one transaction."""

from collections.abc import Mapping, Sequence

from ...models.limits import Limit
from ...policy.limits import count_all, expiry_of
from .changes import UNKNOWN, Changes


class Limiting(Changes):
    """The base class of writers that count against limits.

    A batch reads the row of a limit once, and writes it once, before its commit. It holds the write lock meanwhile.
    """

    def count_limits(self, limits: Sequence[Limit], now: int) -> Mapping[str, int]:
        """Count a request, and return the new values by name. Raises an error if a limit refuses the request.

        Call `keep_counted` with the values when nothing else can fail. Until then, the request does not count.
        """
        values = self._counted.values
        for limit in limits:
            if limit.name not in values:
                values[limit.name] = self.execute("get_limit", name=limit.name).get or 0
        return count_all(limits, values, now)

    def keep_counted(self, limits: Sequence[Limit], counted: Mapping[str, int]) -> None:
        """Let a request count, with the values that `count_limits` returned."""
        self._counted.values.update(counted)
        for limit in limits:
            self._counted.changed[limit.name] = limit

    def begin_counting(self) -> None:
        """Forget what the transaction before has counted and knew. Called at the begin of a transaction."""
        self._known.changes = UNKNOWN
        self._counted.values.clear()
        self._counted.changed.clear()

    def write_counted(self) -> None:
        """Write the rows of limits that requests have counted against. Called before the commit."""
        if self._counted.changed:
            values = self._counted.values
            self.execute_each(
                "keep_limit",
                [
                    {"name": name, "value": values[name], "expires_at": expiry_of(limit, values[name])}
                    for name, limit in self._counted.changed.items()
                ],
            )

    def prune_limits(self) -> None:
        """Implement `LimitStore.prune_limits`."""
        self.execute("prune_limits", now=self._now())
