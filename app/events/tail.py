"""Reads the log of a message from any event on, now or later, in any process.

SSE, WebSocket and the command line all read through `Streams.tail`.
"""

import asyncio
import functools
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ..errors import StoreUnavailable
from ..models.events import TERMINAL_EVENTS, EventPage, EventType
from ..models.messages import Message, MessageState
from ..observability.outages import Outage
from ..policy.wait_estimate import NOTHING, WaitEstimate
from ..store.ports import MOVED, EventLog, Notifier, message_topic
from .fanout import NEVER, Idle, IdleTimer, LogFanout, SingleFlight, StoredEvents
from .wait_estimates import WaitEstimateReads, WaitEstimates

PAGE_EVENTS = 2_000
POLL_SECONDS = 1.0
"""A lost hint delays a reader by at most about this long."""

READERS_A_POLL = 200
"""Limit of readers polled each time: with more readers, each log is polled less often."""

POSITION_SECONDS = 0.02
"""Minimum interval between positions for waiting readers; it is longer when many wait."""

POSITION_SECONDS_PER_READER = 0.0005


@dataclass(frozen=True, slots=True)
class WaitingUpdate:
    """The position of a queued message; not stored, without an id. `position` is None while the message is delayed."""

    position: int | None
    wait_estimate: WaitEstimate = NOTHING
    run_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """Reports that the events after the reader's offset were pruned; `text` is the answer so far."""

    state: MessageState
    text: str


News = StoredEvents | WaitingUpdate | Reset | Idle


MessageKey = tuple[str, str]
"""Tenant and message id."""


class MessageReader(Protocol):
    """The reads of messages that a tail needs."""

    async def get(self, tenant: str, message_id: str) -> Message:
        """Return a message. Raises MessageNotFound."""


class TailPorts(EventLog, MessageReader, WaitEstimateReads, Notifier, Protocol):
    """The ports that a tail reads from."""


class Streams:
    """Tails of message logs in this process."""

    def __init__(self, source: TailPorts, outage: Outage) -> None:
        self._outage = outage
        self._source = source
        self._closing = False
        self._logs: dict[MessageKey, LogFanout] = {}
        self._poller: asyncio.Task[None] | None = None
        self._queued: Counter[MessageKey] = Counter()
        self._moves = 0
        self._ticker: asyncio.Task[None] | None = None
        self._wait_estimates = WaitEstimates(source, source.subscribe(MOVED))
        self._places = SingleFlight(self._place)

    def close(self) -> None:
        """End all tails where they are; readers can continue on another process from their last id."""
        self._closing = True
        for log in self._logs.values():
            log.release()
        self._stop_polling()
        if self._ticker is not None:
            self._ticker.cancel()

    async def tail(
        self, tenant: str, message_id: str, *, after: int, idle_seconds: float, tells_waiting: bool = True
    ) -> AsyncGenerator[News]:
        """Yield the log after the event `after` to its end, in order, without gaps and without doubles.

        Yields a `WaitingUpdate` when the position of a queued message or its reason to wait changes, if the reader
        wants that, and `Idle` after `idle_seconds` of silence. While the store is away there is silence. Ends after
        the terminal event, or when this process closes. Raises MessageNotFound.
        """
        with closing(IdleTimer(idle_seconds)) as silence, self._reader_of((tenant, message_id)) as log:
            seen = NEVER
            while not self._closing:
                look, seen = await log.next(after, seen, silence)
                if look is None:
                    continue
                if isinstance(look, Idle):
                    yield look
                    continue
                page = look.page
                seen = NEVER
                if after + 1 < page.first:
                    yield Reset(page.state, await self._text_so_far(tenant, message_id))
                    after = page.first - 1
                elif page.events:
                    silence.broken()
                    yield look.written
                    after = page.events[-1].id
                    if page.events[-1].type in TERMINAL_EVENTS:
                        return
                    if after == page.last and page.state is MessageState.PROCESSING:
                        seen = look.hints  # nothing more can be read before the next hint
                elif page.state is MessageState.QUEUED and not tells_waiting:
                    seen = look.hints
                elif page.state is MessageState.QUEUED:
                    async for item in self._wait_in_queue(tenant, message_id, log, after, look.hints, silence):
                        yield item
                else:
                    return

    async def await_end(self, tenant: str, message_id: str, seconds: float) -> None:
        """Return when the message has ended or asks a human, after these seconds, or when this process closes."""
        with suppress(TimeoutError):
            async with (
                asyncio.timeout(seconds),
                aclosing(self.tail(tenant, message_id, after=0, idle_seconds=seconds, tells_waiting=False)) as news,
            ):
                async for item in news:
                    if isinstance(item, StoredEvents) and item.events[-1].type is EventType.INTERRUPTED:
                        return

    @contextmanager
    def _reader_of(self, key: MessageKey) -> Iterator[LogFanout]:
        """Hold the log of a message open while a reader uses it, and poll it beside the hints."""
        log = self._logs.get(key)
        if log is None:
            topic = self._source.subscribe(message_topic(key[1]))
            log = self._logs[key] = LogFanout(functools.partial(self._read, *key), topic)
        log.readers += 1
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll(), name="look without a hint")
        try:
            yield log
        finally:
            log.readers -= 1
            if not log.readers:
                log.close()
                del self._logs[key]
            if not self._logs:
                self._stop_polling()

    async def _read(self, tenant: str, message_id: str, after: int) -> tuple[EventPage, StoredEvents]:
        """Return a page and its shared events. While the store is away, return an empty page."""
        try:
            page = await self._source.read(tenant, message_id, after=after, limit=PAGE_EVENTS)
        except StoreUnavailable as error:
            self._outage.tell("A log could not be read, trying again: id=%s, error=%s", message_id, error)
            page = EventPage((), after, after, MessageState.PROCESSING)
        return page, StoredEvents(page.events)

    async def _wait_in_queue(
        self, tenant: str, message_id: str, log: LogFanout, after: int, seen: int, silence: IdleTimer
    ) -> AsyncIterator[WaitingUpdate | Idle]:
        """Yield positions and reasons to wait until there is an event after `after` or the message has left the queue.

        `seen` is the number of hints of the snapshot that showed the message queued.
        """
        told: tuple[object, ...] | None = None
        key = tenant, message_id
        self._queued[key] += 1
        if self._ticker is None:
            self._ticker = asyncio.create_task(self._tick(), name="queue positions")
        try:
            while not self._closing:
                moves = self._moves
                asked = self._places(tenant, message_id)
                async for idle in silence.until_done(asked):
                    yield idle
                place = asked.result()
                if place is not None and (place.position, place.wait_estimate.reason) != told:
                    told = (place.position, place.wait_estimate.reason)
                    silence.broken()
                    yield place
                while moves == self._moves and not self._closing:
                    found, seen = await log.next(after, seen, silence)
                    if isinstance(found, Idle):
                        yield found
                    elif found is not None:
                        if found.page.events or found.page.state is not MessageState.QUEUED:
                            return
                        break
        finally:
            self._queued[key] -= 1
            if not self._queued[key]:
                del self._queued[key]
            if not self._queued and self._ticker is not None:
                self._ticker.cancel()
                self._ticker = None

    async def _place(self, tenant: str, message_id: str) -> WaitingUpdate | None:
        """Return the position of a queued message; None if it has left the queue or the store is away."""
        with suppress(StoreUnavailable):
            message = await self._source.get(tenant, message_id)
            if message.state is MessageState.QUEUED:
                return WaitingUpdate(message.queue_position, await self._wait_estimates.of(message), message.run_at)
        return None

    async def _poll(self) -> None:
        """Publish hints for the logs in turn, for about READERS_A_POLL readers each time."""
        turn: deque[MessageKey] = deque()
        while True:
            await asyncio.sleep(POLL_SECONDS)
            readers = 0
            turn = turn or deque(self._logs)
            while turn and readers < READERS_A_POLL:
                key = turn.popleft()
                if key in self._logs:
                    readers += self._logs[key].readers
                    self._source.publish(message_topic(key[1]))

    def _stop_polling(self) -> None:
        if self._poller is not None:
            self._poller.cancel()
            self._poller = None

    async def _tick(self) -> None:
        """Wake waiting readers when the queue moves, no faster than all of them can be served."""
        with self._source.subscribe(MOVED) as moved:
            while True:
                if await moved.wait(POLL_SECONDS) or await self._wait_estimates.has_changed():
                    self._moves += 1
                    for key in self._queued:
                        self._logs[key].release()
                    await asyncio.sleep(max(POSITION_SECONDS, self._queued.total() * POSITION_SECONDS_PER_READER))

    async def _text_so_far(self, tenant: str, message_id: str) -> str:
        """Return the text of the pruned log. Logs are pruned only after the end, so the result has all of it."""
        return (await self._source.get(tenant, message_id)).result or ""
