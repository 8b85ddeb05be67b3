"""Ranks: which message is claimed first."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RankPolicy:
    """Computes ranks from priority and time. The lowest rank is claimed first.

    With `aging_seconds` 0 the levels differ by more than any time, which is strict priority. Otherwise a level is a
    head start of that many seconds. Nothing then waits for ever behind more urgent messages.
    """

    aging_seconds: float = 0

    def rank(self, level: int, accepted_at: int) -> int:
        """Return the rank of a message of this priority level, accepted at this time (milliseconds since the epoch)."""
        if self.aging_seconds == 0:
            return level * 10**15 + accepted_at
        return accepted_at + int(level * self.aging_seconds * 1000)
