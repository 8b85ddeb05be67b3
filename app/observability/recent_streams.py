"""Remembers how the streams of the last minutes ended."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

LATELY_SECONDS = 600.0
MOST_REMEMBERED = 500


class RecentStreams:
    """Knows of each recent stream whether its reader left before the end of the message."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends: deque[tuple[float, float, bool]] = deque(maxlen=MOST_REMEMBERED)

    def ended(self, seconds: float, *, whole: bool) -> None:
        """Remember a stream that was open for `seconds`. `whole` tells whether the reader got all of it."""
        self._ends.append((self._clock(), seconds, whole))

    @property
    def cut(self) -> Sequence[float]:
        """Return how many seconds each stream was open whose reader left early in the last LATELY_SECONDS."""
        return [seconds for seconds, whole in self._recent() if not whole]

    @property
    def whole(self) -> int:
        """Return how many readers got all of their stream in the last LATELY_SECONDS."""
        return sum(whole for _, whole in self._recent())

    def _recent(self) -> Iterator[tuple[float, bool]]:
        first = self._clock() - LATELY_SECONDS
        return ((seconds, whole) for at, seconds, whole in self._ends if at >= first)
