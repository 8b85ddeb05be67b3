"""The clock of everything that is stored. Injected, so that tests move time instead of waiting for it."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time of the store."""

    def now(self) -> int | None:
        """Milliseconds since the epoch, UTC; None when the database server's own clock shall decide."""


class SystemClock:
    """This host's clock. For SQLite it is the database's clock too: all its processes share the host."""

    def now(self) -> int:
        """See `Clock.now`."""
        return time.time_ns() // 1_000_000


def to_datetime(milliseconds: int) -> datetime:
    """The aware UTC datetime of a stored time."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
