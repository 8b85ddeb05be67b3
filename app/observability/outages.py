"""Logs when a database goes away, while it is away, and when it is back."""

import logging
import threading
import time

logger = logging.getLogger(__name__)

LOG_INTERVAL_SECONDS = 30.0
"""Minimum time between two log lines about an outage."""

SETTLE_SECONDS = 1.0
"""Seconds after the last log line in which a loop that never failed cannot end the outage."""


class Outage:
    """Logs that a database is away, at most once in LOG_INTERVAL_SECONDS. Safe to use from any thread.

    Each failing loop gives its name. The end is logged when all of these loops work again. A database that repeatedly
    goes away is logged as rarely as a database that stays away.
    """

    def __init__(self, end: str) -> None:
        self._end = end
        self._lock = threading.Lock()
        self._failing: set[str] = set()
        self._began = 0.0
        self._logged_at = float("-inf")
        self._is_logged = False

    def fails(self, loop: str, text: str, *arguments: object) -> None:
        """Record that a loop fails because of the database. Log `text`, unless a line was logged lately."""
        with self._lock:
            if not self._failing:
                self._began = time.monotonic()
            self._failing.add(loop)
        self.log(text, *arguments)

    def log(self, text: str, *arguments: object) -> None:
        """Log `text` with its arguments, unless a line was logged in the last LOG_INTERVAL_SECONDS."""
        now = time.monotonic()
        with self._lock:
            if now - self._logged_at < LOG_INTERVAL_SECONDS:
                return
            self._logged_at = now
            self._is_logged = True
            if not self._failing:
                self._began = now
        logger.warning(text, *arguments)

    def works(self, loop: str) -> None:
        """Record that a loop works. Log the end of a logged outage when no other loop fails."""
        if not self._is_logged and loop not in self._failing:
            return
        with self._lock:
            has_failed = loop in self._failing
            self._failing.discard(loop)
            if self._failing or not self._is_logged:
                return
            if not has_failed and time.monotonic() - self._logged_at < SETTLE_SECONDS:
                return  # the database may have gone away after this loop used it
            self._is_logged = False
            seconds = time.monotonic() - self._began
        logger.warning("%s: seconds away=%.1f", self._end, seconds)


def hints_outage() -> Outage:
    """Return an `Outage` that logs when hints of other processes stop arriving, and when they arrive again.

    Hints have a connection of their own, so they may fail while the store works.
    """
    return Outage("Hints of other processes arrive again")
