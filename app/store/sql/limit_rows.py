"""Counts new messages against the rows of limits, for both SQL stores."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ...models.limits import Counted, Limit, Limits
from ...policy.limits import count_all, expiry_of


class LimitRow:
    """The value of a row, and the limit by which it was changed last, None if it was not."""

    __slots__ = ("changed_by", "value")

    def __init__(self, value: int) -> None:
        self.value = value
        self.changed_by: Limit | None = None


class ChangedRow(NamedTuple):
    """A row to be stored. `expires_at` is in milliseconds."""

    name: str
    value: int
    expires_at: int


class LimitRows:
    """The rows that the requests of one transaction count against. Many requests have the same limits."""

    def __init__(self) -> None:
        self._rows: dict[str, LimitRow] = {}
        self._rows_of: dict[Limits, list[LimitRow]] = {}

    def clear(self) -> None:
        """Forget all rows, at the begin of a transaction."""
        self._rows.clear()
        self._rows_of.clear()

    def count(self, limits: Limits, now: int, find: Callable[[str], int]) -> Counted | None:
        """Return what a request counts, None without limits. Raises an error if a limit refuses the request.

        Call `keep` with it when nothing else can fail. Until then, the request does not count. `find` returns the
        stored value of a row by its name, 0 if there is none. `now` is in milliseconds.
        """
        if not limits.each:
            return None
        rows = self._rows_of.get(limits)
        if rows is None:
            rows = self._rows_of[limits] = [self._row(limit.name, find) for limit in limits.each]
        return Counted(limits, count_all(limits, [row.value for row in rows], now), now)

    def keep(self, counted: Counted | None) -> None:
        """Let a request count."""
        if counted is not None:
            limits, values, _ = counted
            for row, limit, value in zip(self._rows_of[limits], limits.each, values, strict=True):
                row.value, row.changed_by = value, limit

    def changed(self) -> Iterator[ChangedRow]:
        """Yield the rows to be stored, by name: two processes that write them in this order never deadlock."""
        for name, row in sorted(self._rows.items()):
            if row.changed_by is not None:
                yield ChangedRow(name, row.value, expiry_of(row.changed_by, row.value))

    def _row(self, name: str, find: Callable[[str], int]) -> LimitRow:
        row = self._rows.get(name)
        if row is None:
            row = self._rows[name] = LimitRow(find(name))
        return row
