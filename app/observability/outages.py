"""Logs when an engine goes away, from time to time while it is away, and when it is back."""

import logging
import threading
import time

logger = logging.getLogger(__name__)

TELL_SECONDS = 30.0
"""Minimum time between two lines about an outage."""

SETTLE_SECONDS = 1.0
"""After this long, a working loop ends an outage that no loop has noted."""


class Outage:
    """Logs that an engine is away. Safe to use from any thread.

    Each failing loop gives its name; the end is logged only when all of these loops work again. An engine that keeps
    going and coming back is logged as rarely as one that stays away.
    """

    def __init__(self, end: str) -> None:
        self._end = end
        self._lock = threading.Lock()
        self._failing: set[str] = set()
        self._began = 0.0
        self._told_at = float("-inf")
        self._is_told = False

    def fails(self, loop: str, text: str, *arguments: object) -> None:
        """Note that a loop fails for the engine, and log the text with its arguments unless one was logged lately."""
        with self._lock:
            if not self._failing:
                self._began = time.monotonic()
            self._failing.add(loop)
        self.tell(text, *arguments)

    def tell(self, text: str, *arguments: object) -> None:
        """Log the text with its arguments unless one was logged lately."""
        now = time.monotonic()
        with self._lock:
            if now - self._told_at < TELL_SECONDS:
                return
            self._told_at = now
            self._is_told = True
            if not self._failing:
                self._began = now
        logger.warning(text, *arguments)

    def works(self, loop: str) -> None:
        """Note that a loop works. Log the end of a logged outage once no other loop fails."""
        if not self._is_told and loop not in self._failing:
            return
        with self._lock:
            has_failed = loop in self._failing
            self._failing.discard(loop)
            if self._failing or not self._is_told:
                return
            if not has_failed and time.monotonic() - self._told_at < SETTLE_SECONDS:
                return  # it may have worked just before
            self._is_told = False
            seconds = time.monotonic() - self._began
        logger.warning("%s: seconds away=%.1f", self._end, seconds)


def hints_outage() -> Outage:
    """Return an outage for the hints of other processes, which use their own connection."""
    return Outage("Hints of other processes are heard again")
