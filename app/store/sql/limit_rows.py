"""Counts new messages against the rows of limits, for both SQL stores."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from ...models.limits import MICROSECONDS, Counted, Limit, Limits
from ...policy.limits import count_all, expiry_of, rests_of


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


class Rest(NamedTuple):
    """The rest of a limit before the requests of a series. Each request takes `amount` of what is `left`.

    All of it is left again after `seconds`, or for a limit without a period after `ahead` microseconds, to which each
    request adds `step`.
    """

    left: int
    amount: int
    seconds: int
    ahead: int
    step: int


class Series:
    """Requests with the same limits, one after the other in one transaction. The rows are looked at only once.

    All are counted at the time of the first one, `now`, in milliseconds.
    """

    def __init__(self, limits: Limits, rows: list[LimitRow], now: int) -> None:
        self.limits = limits
        self._rows = rows
        self._now = now
        self._kept = 0
        self._begin: list[int] = []
        self._rests: list[Rest] = []
        rooms: list[int] = []
        present, rests = now * 1000, iter(rests_of(limits, [row.value for row in rows], now))
        for row, limit, (interval, step, span, _) in zip(rows, limits, limits.terms, strict=True):
            begin = max(row.value, present) if interval else row.value
            ahead = begin - present if interval else 0
            rooms.append((span - (ahead if interval else begin)) // step)
            self._begin.append(begin)
            self._rests.append(Rest(next(rests), limit.amount, next(rests), ahead, step if interval else 0))
        self._room = min(rooms)

    def count(self) -> Counted:
        """Return what the next request counts. Raises an error if a limit refuses it."""
        number = self._kept + 1
        if number > self._room:
            count_all(self.limits, self._values(), self._now)
        rests: list[int] = []
        for left, amount, seconds, ahead, step in self._rests:
            rests.append(left - number * amount)
            rests.append(-(-(ahead + number * step) // MICROSECONDS) if step else seconds)
        return Counted(self.limits, rests)

    def keep(self) -> None:
        """Let the request count."""
        self._kept += 1

    def end(self) -> None:
        """Give the rows their values."""
        if self._kept:
            for row, limit, value in zip(self._rows, self.limits, self._values(), strict=True):
                row.value, row.changed_by = value, limit

    def _values(self) -> list[int]:
        terms = zip(self._begin, self.limits.terms, strict=True)
        return [begin + self._kept * step for begin, (_, step, _, _) in terms]


class LimitRows:
    """The rows that the requests of one transaction count against."""

    def __init__(self) -> None:
        self._rows: dict[str, LimitRow] = {}
        self._series: Series | None = None

    def clear(self) -> None:
        """Forget all rows, at the begin of a transaction."""
        self._rows.clear()
        self._series = None

    def count(self, limits: Limits, now: int, find: Callable[[Limits], Mapping[str, int]]) -> Counted | None:
        """Return what a request counts, None without limits. Raises an error if a limit refuses the request.

        Call `keep` when nothing else can fail, and before the next request. Until then, the request does not count.
        `find` returns the stored values of rows by name. `now` is in milliseconds.
        """
        series = self._series
        if series is None or series.limits is not limits:
            if not limits.each:
                return None
            self._end_series()
            series = self._series = Series(limits, self._rows_of(limits, find), now)
        return series.count()

    def keep(self, counted: Counted | None) -> None:
        """Let the request that was counted last count."""
        if counted is not None and self._series is not None:
            self._series.keep()

    def changed(self) -> Iterator[ChangedRow]:
        """Yield the rows to be stored, by name: two processes that write them in this order never deadlock."""
        self._end_series()
        for name, row in sorted(self._rows.items()):
            if row.changed_by is not None:
                yield ChangedRow(name, row.value, expiry_of(row.changed_by, row.value))

    def _end_series(self) -> None:
        if self._series is not None:
            self._series.end()
            self._series = None

    def _rows_of(self, limits: Limits, find: Callable[[Limits], Mapping[str, int]]) -> list[LimitRow]:
        rows = self._rows
        if any(limit.name not in rows for limit in limits):
            found = find(limits)
            for limit in limits:
                if limit.name not in rows:
                    rows[limit.name] = LimitRow(found.get(limit.name, 0))
        return [rows[limit.name] for limit in limits]
