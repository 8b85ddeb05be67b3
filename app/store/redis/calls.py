"""What every part of the store is made of: two lanes, the ranks, the time."""

from ...clock import Clock, ClockState, Sample, SteadyClock
from ...policy.rank import RankPolicy
from ..parts import Settling, Unsettled
from ..ports import MOVED
from .command_pipeline import CommandPipeline, WritePipeline

READINGS = 5
"""How often the clock is read again when a step was found; a queue that is gone keeps no correction."""


class Calls:
    """Each method of a part is one script; see `app.store.ports` for what it does."""

    def __init__(self, writes: WritePipeline, reads: CommandPipeline, ranks: RankPolicy, clock: Clock) -> None:
        self._writes = writes
        self._reads = reads
        self._ranks = ranks
        self._clock = clock
        self._settling = Settling(self._settle_part)

    async def _settle_part(self, place: Unsettled) -> Unsettled | None:
        left = await self._writes.run("settle", *place, topics=lambda _: (MOVED,))
        return Unsettled(*left[0]) if left else None

    def _now(self) -> int:
        """The time for a script."""
        return self._clock.now()

    async def _read_clock(self) -> None:
        """Before anything is judged by the time: notice steps of the server's clock."""
        if isinstance(clock := self._clock, SteadyClock):
            for _ in range(READINGS):
                if not await self._corrected(clock):
                    return

    async def _corrected(self, clock: SteadyClock) -> bool:
        """Let the clock learn from the server's, and keep what it decides, unless another process was faster.

        Return whether that was a correction, after which it has to read again.
        """
        began = clock.host.elapsed()
        read, (*numbers, boot, ahead, noted) = await self._reads.run("read_clock")
        ended = clock.host.elapsed()
        epoch, correction, since, seen = (int(each or 0) for each in numbers)
        state = ClockState(epoch, correction, since, seen, boot or "", int(ahead or 0), int(noted or 0))
        decided = clock.take(Sample(state, clock.host.reference(read), began, ended))
        if decided is None:
            return False
        await self._reads.run("keep_clock_state", state.epoch, *decided)
        return decided.epoch != state.epoch
