"""What every part of the store is made of: two lanes, the ranks, the time."""

from app.clock import Clock
from app.store.base import RankPolicy
from app.store.redis.lane import Lane, WriteLane


class Calls:
    """Each method of a part is one script; see `app.store.base` for what it does."""

    def __init__(self, writes: WriteLane, reads: Lane, ranks: RankPolicy, clock: Clock | None) -> None:
        self._writes = writes
        self._reads = reads
        self._ranks = ranks
        self._clock = clock

    def _now(self) -> int | str:
        """The time for a script; nothing for the server's own."""
        now = None if self._clock is None else self._clock.now()
        return "" if now is None else now
