"""Computes ranks, the order in which messages are claimed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RankPolicy:
    """Computes ranks from priority and time. The lowest rank is claimed first.

    If `aging_seconds` is 0, priority is strict: a higher priority always goes first. Otherwise each step from one
    priority to the next is worth `aging_seconds` of waiting, so no message waits for ever.
    """

    aging_seconds: float = 0

    def rank(self, level: int, accepted_at: int) -> int:
        """Return the rank of a message. `level` is its `Priority.level`; `accepted_at` is in ms since the epoch."""
        if self.aging_seconds == 0:
            return level * 10**15 + accepted_at
        return accepted_at + int(level * self.aging_seconds * 1000)

    def accepted_at(self, level: int, rank: int) -> int:
        """Return when a message with this level and this rank of its own was accepted, in ms since the epoch."""
        return rank - self.rank(level, 0)
