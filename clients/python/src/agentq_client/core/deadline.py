"""The end of a wait."""

from __future__ import annotations

import time

from ..errors import WaitTimeout

SHORTEST_SECONDS = 0.001


class Deadline:
    """The end of a wait. `seconds` is None for a wait without end."""

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float | None:
        """Return the seconds that are left, at least a millisecond. None for a wait without end."""
        return None if self._end is None else max(SHORTEST_SECONDS, self._end - time.monotonic())

    @property
    def is_over(self) -> bool:
        """Return whether the time is over."""
        return self._end is not None and time.monotonic() >= self._end

    def limit(self, seconds: float) -> float:
        """Return `seconds`, or the time that is left if it is shorter."""
        return seconds if (left := self.left) is None else min(seconds, left)

    def check(self, message_id: str) -> None:
        """Raise WaitTimeout when the time is over."""
        if self.is_over:
            within = "1 second" if self._seconds == 1 else f"{self._seconds:g} seconds"
            raise WaitTimeout(f"The message {message_id} has not ended within {within}.", message_id=message_id)
