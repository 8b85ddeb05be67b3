"""Remembers how the streams of the last minutes ended."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum, auto

LATELY_SECONDS = 600.0
MOST_REMEMBERED = 500


class StreamEnd(Enum):
    """How a stream ended. LEFT: its reader, or something on the way to it, closed the connection.

    SLOW: the reader took nothing for too long and was disconnected. FAILED: this server could not go on.
    """

    WHOLE = auto()
    LEFT = auto()
    SLOW = auto()
    FAILED = auto()


class RecentStreams:
    """Knows of each recent stream how it ended, and after how long."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends: deque[tuple[float, float, StreamEnd]] = deque(maxlen=MOST_REMEMBERED)

    def ended(self, seconds: float, end: StreamEnd) -> None:
        """Remember a stream that was open for `seconds`."""
        self._ends.append((self._clock(), seconds, end))

    def seconds_of(self, end: StreamEnd) -> Sequence[float]:
        """Return how many seconds each stream was open that ended like this in the last LATELY_SECONDS."""
        first = self._clock() - LATELY_SECONDS
        return [seconds for at, seconds, each in self._ends if at >= first and each is end]
