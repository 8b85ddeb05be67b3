"""Estimates waits of queued messages from a cached throughput."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from datetime import datetime
from time import monotonic
from typing import Protocol

from ..errors import StoreError
from ..models.messages import Message, MessageState, Readiness
from ..models.workers import Throughput
from ..policy.wait_estimate import NOTHING, WaitEstimate, wait_estimate

THROUGHPUT_SECONDS = 1.0
"""How long the throughput is cached when no hint arrives."""

READ_BURST = 10.0
"""Maximum number of reads of the throughput without a pause."""

READS_PER_SECOND = 20.0
"""Maximum rate of reads of the throughput while the queue moves all the time."""


class WaitEstimateReads(Protocol):
    """The reads of the store that a wait estimate needs."""

    def now(self) -> datetime:
        """Return the store's time."""

    async def get_head(self, tenant: str, thread_id: str) -> Message | None:
        """Return the first unfinished message of a thread."""

    async def throughput(self) -> Throughput:
        """Return how fast the queue moves."""

    async def count_overtaking(self, tenant: str, message_id: str) -> int:
        """Return how many messages that came later go first."""


class HintSource(Protocol):
    """Reports that the queue moved."""

    def on_hint(self, call: Callable[[], None]) -> None:
        """Call `call` at each hint."""


class WaitEstimates:
    """Estimates when messages begin, from the throughput of the queue.

    The throughput is read again once the queue has moved. The estimate of a message therefore counts slots that a claim
    took just before. While the queue moves all the time, there are at most READS_PER_SECOND reads per second.

    A new message may be claimed before its own estimate is made, and would then wait for the slot that it has itself.
    Whoever accepts messages looks before that, and estimates from what was there.
    """

    def __init__(
        self, reads: WaitEstimateReads, moved: AbstractContextManager[HintSource], time: Callable[[], float] = monotonic
    ) -> None:
        self._reads = reads
        self._time = time
        self._read_lock = asyncio.Lock()
        self._throughput: Throughput | None = None
        self._stale_at = 0.0
        self._moved = self._is_reading = False
        self._reads_left = READ_BURST
        self._counted_at = time()
        self._subscription = ExitStack()  # never closed: the subscription ends with this object or the store
        self._subscription.enter_context(moved).on_hint(self.forget)

    def forget(self) -> None:
        """Mark the cached throughput as out of date, since the queue moved or this process changed it.

        The limit on reads still holds.
        """
        self._moved = True

    async def of(self, message: Message) -> WaitEstimate:
        """Return the estimate of one message, see `of_each`. The reason also tells whether others have a share left."""
        overtaking = 0
        if message.readiness is Readiness.READY and message.queue_position:
            with suppress(StoreError):
                overtaking = await self._reads.count_overtaking(message.tenant, message.id)
        (found,) = await self._of_each([message], overtaking)
        return found

    async def look(self) -> None:
        """Have the throughput as it is before messages are accepted, for `of_accepted`."""
        if not self._is_fresh():
            with suppress(StoreError):
                await self._present_throughput()

    async def of_accepted(self, messages: Sequence[Message]) -> list[WaitEstimate]:
        """Return the estimates of messages of one tenant that were accepted after `look`, in their order.

        While the store is away, estimate from the messages alone.
        """
        return await self._of_each(messages, 0, before=True)

    async def _of_each(
        self, messages: Sequence[Message], overtaking: int, *, before: bool = False
    ) -> list[WaitEstimate]:
        if all(message.state is not MessageState.QUEUED for message in messages):
            return [NOTHING] * len(messages)
        throughput: Throughput | None = None
        heads: dict[str, Message | None] = {}
        try:
            is_known = self._time() < self._stale_at if before else self._is_fresh()
            throughput = self._throughput if is_known else await self._present_throughput()
            for message in messages:
                if message.readiness is Readiness.BLOCKED and message.thread_id and message.thread_id not in heads:
                    heads[message.thread_id] = await self._reads.get_head(message.tenant, message.thread_id)
        except StoreError:
            pass  # the messages are stored, so answer without an estimate
        now = self._reads.now()
        return [
            wait_estimate(message, throughput, heads.get(message.thread_id or ""), now, overtaking)
            for message in messages
        ]

    async def has_changed(self) -> bool:
        """Return whether the workers or their agents changed since the last read. No hint reports such changes."""
        before = self._throughput
        try:
            now = await self._present_throughput()
        except StoreError:
            return False
        return before is None or now is None or _workers_of(before) != _workers_of(now)

    async def _present_throughput(self) -> Throughput | None:
        if self._is_fresh():
            return self._throughput
        async with self._read_lock:
            if not self._is_fresh():
                self._moved = False  # this read may miss later moves
                self._reads_left -= 1
                self._is_reading = True
                try:
                    self._throughput = await self._reads.throughput()
                    self._stale_at = self._time() + THROUGHPUT_SECONDS
                finally:
                    self._is_reading = False
        return self._throughput

    def _is_fresh(self) -> bool:
        now = self._time()
        if now >= self._stale_at:
            return False
        if self._is_reading:
            return self._reads_left < 1  # at the limit of reads, use the cached value during a read
        if not self._moved:
            return True
        self._reads_left = min(READ_BURST, self._reads_left + (now - self._counted_at) * READS_PER_SECOND)
        self._counted_at = now
        return self._reads_left < 1


def _workers_of(throughput: Throughput) -> tuple[object, ...]:
    return (throughput.paused, throughput.draining, *((group.slots, group.agents) for group in throughput.groups))
