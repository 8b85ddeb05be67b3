"""Days and months of UTC, which are the periods of quotas."""

from datetime import datetime, timedelta
from typing import NamedTuple

from ..clock import to_milliseconds
from ..models.limits import Period


class Span(NamedTuple):
    """A day or a month: its name, such as `2026-11-30` or `2026-11`, when it begins, and when the next one begins."""

    name: str
    begin: datetime
    end: datetime

    @property
    def seconds(self) -> int:
        """Return its length."""
        return int((self.end - self.begin).total_seconds())

    @property
    def resets_at(self) -> int:
        """Return when the next one begins, in milliseconds since the epoch."""
        return to_milliseconds(self.end)


def span_of(period: Period, now: datetime) -> Span:
    """Return the present day or month."""
    begin = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if period is Period.DAY:
        return Span(begin.strftime("%Y-%m-%d"), begin, begin + timedelta(days=1))
    begin = begin.replace(day=1)
    return Span(begin.strftime("%Y-%m"), begin, (begin + timedelta(days=32)).replace(day=1))
