"""The event log's writer and its one reader.

`EventWriter` takes the pieces of a running answer; `Streams.tail` gives anybody the log of a message from any id on,
now or later, on any process. SSE, WebSocket and the command line all read through it.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.models import TERMINAL_EVENTS, ChunkType, Event, EventPage, Lease, Message, MessageState, NewEvent, Part
from app.store.base import MOVED, EventLog, Signals, Subscription, message_topic

PAGE_EVENTS = 500
POLL_SECONDS = 1.0
"""A lost hint makes a reader late by this much, never stuck."""

POLL_SECONDS_PER_READER = 0.005
"""Many readers poll less often each, so that all together cost the same."""

POSITION_SECONDS = 0.02
"""Waiting readers are told their positions at most this often, less often when many wait."""

POSITION_SECONDS_PER_READER = 0.0005

POSITIONS = "positions"
"""Topic within this process: the queue moved, at the pace at which waiting readers are told."""

MAX_CHUNK_LENGTH = 32_768
"""Characters of one chunk; longer text becomes several, so that no reader has to take a huge event."""

MAX_PENDING_PARTS = 1_000
"""So many pieces may wait for the store; then the agent waits too."""


class EventWriter:
    """Appends the pieces of one attempt. While a write is under way, text that arrives is merged into one chunk.

    A slow disk so makes fewer and larger chunks for everybody, never a lag and never different bytes. What the store
    raises, LeaseLost above all, comes out of the next `write` or of `drain`.
    """

    def __init__(self, log: EventLog, lease: Lease) -> None:
        self._log = log
        self._lease = lease
        self._pending: list[Part] = []
        self._index = 0
        self._flusher: asyncio.Task[None] | None = None

    async def write(self, part: Part) -> None:
        """Take a piece; returns before it is written, unless very many wait already."""
        if self._flusher is not None and (self._flusher.done() or len(self._pending) >= MAX_PENDING_PARTS):
            await self._join()
        self._pending.append(part)
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush(), name=f"event writer of {self._lease.message_id}")

    async def drain(self) -> None:
        """Wait until everything taken so far is written."""
        if self._flusher is not None:
            await self._join()

    async def abandon(self) -> None:
        """Drop what is not written; for attempts that have ended without a result."""
        self._pending.clear()
        if self._flusher is not None:
            await asyncio.wait([self._flusher])
            if not self._flusher.cancelled():
                self._flusher.exception()  # told already by the end of the attempt

    async def _join(self) -> None:
        assert self._flusher is not None
        flusher, self._flusher = self._flusher, None
        await flusher

    async def _flush(self) -> None:
        while self._pending:
            parts, self._pending = self._pending, []
            events = []
            for kind, chunk in merged(parts):
                events.append(NewEvent.chunk(kind, chunk, self._index))
                self._index += 1
            await self._log.append(self._lease, events)


def merged(parts: Sequence[Part]) -> list[tuple[ChunkType, object]]:
    """Neighbouring text of one type joined and cut into chunks; objects stay apart."""
    joined: list[tuple[ChunkType, list[str] | object]] = []
    for kind, chunk in parts:
        if isinstance(chunk, str) and joined and joined[-1][0] == kind and isinstance(joined[-1][1], list):
            joined[-1][1].append(chunk)
        else:
            joined.append((kind, [chunk] if isinstance(chunk, str) else chunk))
    chunks: list[tuple[ChunkType, object]] = []
    for kind, content in joined:
        if isinstance(content, list):
            text = "".join(content)
            chunks += [(kind, text[at : at + MAX_CHUNK_LENGTH]) for at in range(0, len(text), MAX_CHUNK_LENGTH)]
        else:
            chunks.append((kind, content))
    return chunks


@dataclass(frozen=True, slots=True)
class Waiting:
    """Live news for a reader of a queued message; not stored, without an id."""

    position: int


@dataclass(frozen=True, slots=True)
class Reset:
    """The log no longer reaches back to where the reader was; `text` is the answer as far as it is known."""

    state: MessageState
    text: str


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing came for the time that the reader asked for."""


News = Sequence[Event] | Waiting | Reset | Idle


class Messages(Protocol):
    """What a tail needs to know of messages."""

    async def get(self, tenant: str, message_id: str) -> Message:
        """See `MessageStore.get`."""


class Source(EventLog, Messages, Signals, Protocol):
    """The ports that a tail reads from."""


class Streams:
    """Tails of message logs in this process."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._closing = False
        self._topics: Counter[str] = Counter()
        self._waiting_readers = 0
        self._ticker: asyncio.Task[None] | None = None

    def close(self) -> None:
        """End all tails where they are; their readers go on elsewhere from the last id."""
        self._closing = True
        self._source.publish(*self._topics)
        if self._ticker is not None:
            self._ticker.cancel()

    async def tail(self, tenant: str, message_id: str, *, after: int, idle_seconds: float) -> AsyncGenerator[News]:
        """The log from the event behind `after` to its end, in order, without gaps and without doubles.

        `Waiting` while the message is queued and its position changes, `Idle` after `idle_seconds` of silence.
        Ends behind the terminal event, or when this process closes. Raises MessageNotFound.
        """
        topic = message_topic(message_id)
        loop = asyncio.get_running_loop()
        quiet_until = loop.time() + idle_seconds
        self._topics[topic] += 1
        try:
            with self._source.subscribe(topic) as hints:
                while not self._closing:
                    page = await self._source.read(message_id, after=after, limit=PAGE_EVENTS)
                    if after + 1 < page.first:
                        yield Reset(page.state, await self._text_so_far(tenant, message_id))
                        after = page.first - 1
                    elif page.events:
                        yield page.events
                        quiet_until = loop.time() + idle_seconds
                        after = page.events[-1].id
                        if page.events[-1].type in TERMINAL_EVENTS:
                            return
                    elif page.state is MessageState.QUEUED:
                        async for item in self._wait_in_queue(tenant, message_id, after, idle_seconds):
                            yield item
                    elif is_over(page, after):
                        return
                    elif not await self._hinted(hints, quiet_until):
                        yield Idle()
                        quiet_until = loop.time() + idle_seconds
        finally:
            self._topics[topic] -= 1
            if not self._topics[topic]:
                del self._topics[topic]

    async def _wait_in_queue(
        self, tenant: str, message_id: str, after: int, idle_seconds: float
    ) -> AsyncIterator[Waiting | Idle]:
        """Positions, until there is an event behind `after` or the message is queued no more."""
        told: int | None = None
        loop = asyncio.get_running_loop()
        quiet_until = loop.time() + idle_seconds
        self._waiting_readers += 1
        if self._ticker is None:
            self._ticker = asyncio.create_task(self._tick(), name="queue positions")
        try:
            with self._source.subscribe(message_topic(message_id), POSITIONS) as hints:
                while not self._closing:
                    page = await self._source.read(message_id, after=after, limit=1)
                    if page.events or page.state is not MessageState.QUEUED:
                        return
                    position = (await self._source.get(tenant, message_id)).queue_position
                    if position is not None and position != told:
                        told = position
                        yield Waiting(position)
                        quiet_until = loop.time() + idle_seconds
                    if not await self._hinted(hints, quiet_until):
                        yield Idle()
                        quiet_until = loop.time() + idle_seconds
        finally:
            self._waiting_readers -= 1
            if not self._waiting_readers and self._ticker is not None:
                self._ticker.cancel()
                self._ticker = None

    async def _tick(self) -> None:
        """Passes on that the queue moved, no faster than all waiting readers together can be served."""
        with self._source.subscribe(MOVED) as moved:
            while True:
                if await moved.wait(POLL_SECONDS):
                    self._source.publish(POSITIONS)
                    await asyncio.sleep(max(POSITION_SECONDS, self._waiting_readers * POSITION_SECONDS_PER_READER))

    async def _hinted(self, hints: Subscription, quiet_until: float) -> bool:
        """Wait for a hint, or until it is time to look again; False when nothing was heard until `quiet_until`."""
        poll = max(POLL_SECONDS, self._topics.total() * POLL_SECONDS_PER_READER)
        remaining = quiet_until - asyncio.get_running_loop().time()
        return await hints.wait(max(0.0, min(poll, remaining))) or remaining > poll

    async def _text_so_far(self, tenant: str, message_id: str) -> str:
        """What the pruned log would have shown: logs are pruned after the end, so the result has it all."""
        return (await self._source.get(tenant, message_id)).result or ""


def is_over(page: EventPage, after: int) -> bool:
    """Whether a reader who has seen `after` has seen all of a log that has ended."""
    return after >= page.last and page.state not in (MessageState.QUEUED, MessageState.PROCESSING)
