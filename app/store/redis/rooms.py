"""The base of the store's rooms: both pipelines, the rank policy, the clock."""

import json
from collections import deque
from collections.abc import Iterable, Sequence

from ...clock import Clock, ClockState, Sample, SteadyClock
from ...models.audit import NewAudit
from ...models.messages import Message, Priority, RequestKey
from ...policy.rank import RankPolicy
from ..limits import KEY_SECONDS
from ..parts import Settling, Unsettled
from ..ports import CHANGED, MOVED
from .command_pipeline import CommandPipeline, WritePipeline

MAX_CORRECTIONS = 5
"""Maximum number of corrections in a row: a deleted queue stores none, so they would never end."""


class RedisRooms:
    """The base class of the rooms, one for each port. Most methods run the script of the same name.

    The argument `topics` of a script's call is a function. It returns the topics of the hints to send for a reply.
    """

    def __init__(
        self, writes: WritePipeline, reads: CommandPipeline, ranks: RankPolicy, clock: Clock, running: int
    ) -> None:
        self._writes = writes
        self._reads = reads
        self._ranks = ranks
        self._clock = clock
        self._running = running
        self._settling = Settling(self._settle_part)

    def _now(self) -> int:
        """Return the store's time in milliseconds, as scripts take it."""
        return self._clock.now()

    @property
    def _order(self) -> str:
        """Return how messages are ordered within a priority, as scripts take it (`turns.lua`)."""
        return self._ranks.fair_share.value if self._ranks.strict else "aging"

    def _priority_ranks(self) -> list[str | int]:
        """Return script arguments: each priority, followed by its rank at time 0."""
        return [part for priority in Priority for part in (priority.value, self._ranks.rank(priority.level, 0))]

    def _record(self, audit: NewAudit | None) -> str | None:
        """Return a record for the audit log as scripts take it; None if there is none."""
        if audit is None:
            return None
        given = {name: value for name, value in audit._asdict().items() if value is not None}
        return json.dumps({**given, "details": dict(audit.details), "at": self._now()})

    async def _settle(self, left: Sequence[tuple[str, str, int]], messages: Sequence[Message]) -> None:
        """Settle the rest of the threads of `messages`, whose ranks a script left out.

        `left` has the fields of an `Unsettled` for each such thread.
        """
        await self._settling.complete(deque(map(Unsettled._make, left)), messages)

    async def _settle_part(self, place: Unsettled) -> Unsettled | None:
        left = await self._writes.run("settle", *place, topics=lambda _: (MOVED,))
        return Unsettled(*left[0]) if left else None

    async def _read_clock(self) -> None:
        """Correct the store's time if the server's clock was stepped. Called before a duty that compares times."""
        if isinstance(clock := self._clock, SteadyClock):
            for _ in range(MAX_CORRECTIONS):
                if not await self._is_corrected(clock):
                    return

    async def _is_corrected(self, clock: SteadyClock) -> bool:
        """Read the server's clock once. Store the new state of `clock`, unless another process was faster.

        Return whether `clock` decided to correct a step. The caller then has to read again.
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


def key_arguments(key: RequestKey | None) -> tuple[str, str, str, int]:
    """Return the arguments of scripts for a request key: tenant, key, fingerprint, lifetime in milliseconds."""
    return (*(key or ("", "", "")), KEY_SECONDS * 1000)


def changed_if_any(count: int) -> Iterable[str]:
    """Return the topics of the hints for a script that returns how much it changed."""
    return (CHANGED,) if count else ()
