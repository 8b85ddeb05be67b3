"""Reads a message's log after any event, during or after the run, in any process.

Server-sent events, the WebSocket and `Prefer: wait` all read through `Streams.tail`.
"""

import asyncio
import functools
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from ..errors import StoreUnavailable
from ..models.events import TERMINAL_EVENTS, EventPage, EventType
from ..models.messages import Message, MessageState
from ..observability.outages import Outage
from ..policy.wait_estimate import NOTHING, WaitEstimate
from ..store.ports import MOVED, EventLog, Notifier, message_topic
from .fanout import NEVER, Idle, IdleTimer, LogFanout, LogPage, SingleFlight, StoredEvents, wakes_reader
from .wait_estimates import WaitEstimateReads, WaitEstimates

PAGE_EVENTS = 2_000
POLL_SECONDS = 1.0
"""Interval of the polls: about the longest delay that a lost hint causes."""

READERS_A_POLL = 200
"""Maximum number of readers polled each time. With more readers, each log is polled less often."""

POSITION_SECONDS = 0.02
"""Minimum interval between two updates for readers of queued messages. It is longer when many readers wait."""

POSITION_SECONDS_PER_READER = 0.0005


@dataclass(frozen=True, slots=True)
class WaitingUpdate:
    """A queued message's position and reason to wait. No such update is stored in the log.

    `position` is None while the message is delayed.
    """

    position: int | None
    wait_estimate: WaitEstimate = NOTHING
    run_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """Reports that the events after the reader's offset were pruned. `text` is the whole answer."""

    state: MessageState
    text: str


TailItem = StoredEvents | WaitingUpdate | Reset | Idle


MessageKey = tuple[str, str]
"""Tenant and message id."""


class ReaderKind(StrEnum):
    """How a reader gets the events."""

    STREAM = "stream"
    WEBSOCKET = "websocket"
    WAIT = "wait"


MessageLog = LogFanout[int, LogPage]


class ReaderPlace:
    """A reader of a log, and the id of the last event that it took."""

    __slots__ = ("after", "kind", "log")

    def __init__(self, kind: ReaderKind, log: MessageLog, after: int) -> None:
        self.kind = kind
        self.log = log
        self.after = after


class MessageReader(Protocol):
    """The reads of messages that a tail needs."""

    async def get(self, tenant: str, message_id: str) -> Message:
        """Return a message. Raises MessageNotFound."""


class TailPorts(EventLog, MessageReader, WaitEstimateReads, Notifier, Protocol):
    """The ports that a tail reads from."""


class Streams:
    """Tails the logs of messages for the readers in this process."""

    def __init__(self, source: TailPorts, outage: Outage) -> None:
        self._outage = outage
        self._source = source
        self._closing = False
        self._logs: dict[MessageKey, MessageLog] = {}
        self._places: set[ReaderPlace] = set()
        self._poller: asyncio.Task[None] | None = None
        self._queued: Counter[MessageKey] = Counter()
        self._moves = 0
        self._ticker: asyncio.Task[None] | None = None
        self._wait_estimates = WaitEstimates(source, source.subscribe(MOVED))
        self._updates = SingleFlight(self._waiting_update)

    def close(self) -> None:
        """End all tails. Readers can continue on another process after their last id."""
        self._closing = True
        for log in self._logs.values():
            log.release()
        self._stop_polling()
        if self._ticker is not None:
            self._ticker.cancel()

    @property
    def is_closing(self) -> bool:
        """Return whether this process closes, so that no tail yields anything more."""
        return self._closing

    def open_by_kind(self) -> dict[str, int]:
        """Return how many readers there are of each kind."""
        return {kind.value: 0 for kind in ReaderKind} | Counter(place.kind.value for place in self._places)

    def readers_of(self, tenant: str, message_id: str) -> int:
        """Return how many readers of a message's log this process has."""
        log = self._logs.get((tenant, message_id))
        return 0 if log is None else log.readers

    def lag_events(self) -> int:
        """Return by how many events the slowest reader is behind the newest event that any reader has read."""
        return max((place.log.last - place.after for place in self._places), default=0)

    async def tail(
        self,
        tenant: str,
        message_id: str,
        *,
        after: int,
        idle_seconds: float,
        with_waiting: bool = True,
        kind: ReaderKind = ReaderKind.STREAM,
    ) -> AsyncGenerator[TailItem]:
        """Yield the events after the event `after` in order, without gaps or duplicates, until the log ends.

        With `with_waiting`, yield a `WaitingUpdate` when a queued message's position or reason to wait changes. Yield
        `Idle` after `idle_seconds` without another item, also while the store is away. End after the terminal event, or
        when this process closes. Raises MessageNotFound.
        """
        with (
            closing(IdleTimer(idle_seconds)) as idle_timer,
            self._reader_of((tenant, message_id), kind, after) as place,
        ):
            log, seen = place.log, NEVER
            while not self._closing:
                snapshot, seen = await log.next(after, seen, idle_timer)
                if snapshot is None:
                    continue
                if isinstance(snapshot, Idle):
                    yield snapshot
                    continue
                page, stored = snapshot.found
                seen = NEVER
                log.last = page.last
                if after + 1 < page.first:
                    yield Reset(page.state, await self._text_so_far(tenant, message_id))
                    after = place.after = page.first - 1
                elif page.events:
                    idle_timer.restart()
                    yield stored
                    after = place.after = page.events[-1].id
                    if page.events[-1].type in TERMINAL_EVENTS:
                        return
                    if after == page.last and page.state is MessageState.PROCESSING:
                        seen = snapshot.hints  # nothing more can be read before the next hint
                elif page.state is MessageState.QUEUED and not with_waiting:
                    seen = snapshot.hints
                elif page.state is MessageState.QUEUED:
                    async for item in self._wait_in_queue(tenant, message_id, log, after, snapshot.hints, idle_timer):
                        yield item
                else:
                    return

    async def await_end(self, tenant: str, message_id: str, seconds: float) -> None:
        """Wait until the message ends or asks a human, for at most `seconds`. Return early when this process closes."""
        with suppress(TimeoutError):
            async with (
                asyncio.timeout(seconds),
                aclosing(
                    self.tail(
                        tenant, message_id, after=0, idle_seconds=seconds, with_waiting=False, kind=ReaderKind.WAIT
                    )
                ) as items,
            ):
                async for item in items:
                    if isinstance(item, StoredEvents) and item.events[-1].type is EventType.INTERRUPTED:
                        return

    @contextmanager
    def _reader_of(self, key: MessageKey, kind: ReaderKind, after: int) -> Iterator[ReaderPlace]:
        """Open the fan-out of a message's log while a reader uses it. Poll the log in case a hint is lost."""
        log = self._logs.get(key)
        if log is None:
            topic = self._source.subscribe(message_topic(key[1]))
            log = self._logs[key] = LogFanout(functools.partial(self._read, *key), topic, wakes_reader)
        log.readers += 1
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll(), name="log poller")
        place = ReaderPlace(kind, log, after)
        self._places.add(place)
        try:
            yield place
        finally:
            self._places.discard(place)
            log.readers -= 1
            if not log.readers:
                log.close()
                del self._logs[key]
            if not self._logs:
                self._stop_polling()

    async def _read(self, tenant: str, message_id: str, after: int) -> LogPage:
        """Return a page and its shared events. Return an empty page while the store is away."""
        try:
            page = await self._source.read(tenant, message_id, after=after, limit=PAGE_EVENTS)
        except StoreUnavailable as error:
            self._outage.log("A log could not be read, trying again: id=%s, error=%s", message_id, error)
            page = EventPage((), after, after, MessageState.PROCESSING)
        is_newest = bool(page.events) and page.events[-1].id == page.last
        return LogPage(page, StoredEvents(page.events, is_newest=is_newest))

    async def _wait_in_queue(
        self, tenant: str, message_id: str, log: MessageLog, after: int, seen: int, idle_timer: IdleTimer
    ) -> AsyncIterator[WaitingUpdate | Idle]:
        """Yield updates until there is an event after `after`, or the message has left the queue.

        `seen` is the number of hints of the snapshot in which the message was queued.
        """
        last_sent: tuple[object, ...] | None = None
        key = tenant, message_id
        self._queued[key] += 1
        if self._ticker is None:
            self._ticker = asyncio.create_task(self._tick(), name="queue positions")
        try:
            while not self._closing:
                moves = self._moves
                reading = self._updates(tenant, message_id)
                async for idle in idle_timer.until_done(reading):
                    yield idle
                update = reading.result()
                if update is not None and (update.position, update.wait_estimate.reason) != last_sent:
                    last_sent = (update.position, update.wait_estimate.reason)
                    idle_timer.restart()
                    yield update
                while moves == self._moves and not self._closing:
                    found, seen = await log.next(after, seen, idle_timer)
                    if isinstance(found, Idle):
                        yield found
                    elif found is not None:
                        page = found.found.page
                        if page.events or page.state is not MessageState.QUEUED:
                            return
                        break
        finally:
            self._queued[key] -= 1
            if not self._queued[key]:
                del self._queued[key]
            if not self._queued and self._ticker is not None:
                self._ticker.cancel()
                self._ticker = None

    async def _waiting_update(self, tenant: str, message_id: str) -> WaitingUpdate | None:
        """Return the position of a queued message. Return None if it has left the queue or the store is away."""
        with suppress(StoreUnavailable):
            message = await self._source.get(tenant, message_id)
            if message.state is MessageState.QUEUED:
                return WaitingUpdate(message.queue_position, await self._wait_estimates.of(message), message.run_at)
        return None

    async def _poll(self) -> None:
        """Publish hints for the open logs in turn, each time for about READERS_A_POLL readers."""
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
        """Wake readers of queued messages when the queue moves, at intervals that grow with their number."""
        with self._source.subscribe(MOVED) as moved:
            while True:
                if await moved.wait(POLL_SECONDS) or await self._wait_estimates.has_changed():
                    self._moves += 1
                    for key in self._queued:
                        self._logs[key].release()
                    await asyncio.sleep(max(POSITION_SECONDS, self._queued.total() * POSITION_SECONDS_PER_READER))

    async def _text_so_far(self, tenant: str, message_id: str) -> str:
        """Return the answer of a message whose log is pruned. Only logs of ended messages are pruned."""
        return (await self._source.get(tenant, message_id)).result or ""
