"""Writes the parts of an attempt's answer to the event log."""

import asyncio
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import cast

from ..errors import StoreUnavailable
from ..models.attempts import Lease
from ..models.events import NewEvent
from ..models.parts import EVENT_PARTS, TEXT_CHUNKS, ChunkType, EventPart, Part
from ..models.usage import MeteredCall, usage_by_model
from ..store.ports import EventLog

MAX_CHUNK_LENGTH = 32_768
"""Maximum characters of a chunk. Longer text becomes several chunks, so that no event is huge."""

MAX_APPEND_LENGTH = 256 * 1024
"""Maximum characters of an append, unless one event is longer. It keeps database transactions short."""

MAX_SHOWN_LENGTH = 1024 * 1024
"""Maximum characters of an event besides the answer. Longer events are stored without content."""

MAX_PENDING_PARTS = 1_000
"""Maximum number of parts that wait for the store. Beyond it the agent waits too."""


class EventWriter:
    """Appends the parts of one attempt. Merges text that arrives while a write is under way into one chunk.

    A slow disk therefore makes fewer and larger chunks for all readers. The next `write` or `drain` raises the errors
    of an earlier write, such as LeaseLost.
    """

    def __init__(self, log: EventLog, lease: Lease) -> None:
        self._log = log
        self._lease = lease
        self._pending: list[Part] = []
        self._calls: list[MeteredCall] = []
        """Model calls whose usage is not stored yet."""
        self._index = 0
        self._first_ids: dict[str, int] = {}
        self._flusher: asyncio.Task[None] | None = None

    async def write(self, part: Part) -> None:
        """Take a part, to be written later. Wait only while the buffer is full."""
        if self._flusher is not None and (self._flusher.done() or len(self._pending) >= MAX_PENDING_PARTS):
            await self._join()
        self._pending.append(part)
        self._begin()

    async def count(self, calls: Sequence[MeteredCall]) -> None:
        """Take the usage of model calls, to be stored behind the parts that were written before.

        `abandon` does not drop it: the calls have been paid for, whatever becomes of the attempt.
        """
        self._calls += calls
        if self._flusher is not None and self._flusher.done():
            await self._join()
        self._begin()

    def _begin(self) -> None:
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush(), name=f"event writer of {self._lease.message_id}")

    async def drain(self) -> None:
        """Wait until all parts are written and all usage is stored."""
        if self._calls:
            self._begin()
        if self._flusher is not None:
            await self._join()

    async def abandon(self) -> None:
        """Drop the unwritten parts of an attempt that ended without a result. The next `drain` stores its usage."""
        self._pending.clear()
        if self._flusher is not None:
            self._flusher.cancel()
            await asyncio.wait([self._flusher])
            if not self._flusher.cancelled():
                self._flusher.exception()  # retrieved for asyncio; the outcome of the attempt has reported it
            self._flusher = None

    async def _join(self) -> None:
        """Wait for the write under way. If the caller is cancelled, `abandon` handles the write and its error."""
        assert self._flusher is not None
        await asyncio.wait([self._flusher])
        flusher, self._flusher = self._flusher, None
        flusher.result()

    async def _flush(self) -> None:
        while self._pending or self._calls:
            parts, self._pending = self._pending, []
            counted = len(self._calls)  # later calls come behind parts that are not in `parts`
            events: list[NewEvent] = []
            begun: list[tuple[str, int]] = []
            length = 0
            for part in merged(parts):
                if part.type == "discard" and any(message == part.message for message, _ in begun):
                    await self._append(events, begun)  # the id of the text's first event is known only after the append
                    events, begun, length = [], [], 0
                event = self._event(part)
                if event is None:
                    continue
                length += len(event.data)
                if events and length > MAX_APPEND_LENGTH:
                    await self._append(events, begun)
                    events, begun, length = [], [], len(event.data)
                if part.message is not None and part.type in TEXT_CHUNKS and part.message not in self._first_ids:
                    self._first_ids[part.message] = 0
                    begun.append((part.message, len(events)))
                events.append(event)
            if counted:
                calls, self._calls = self._calls[:counted], self._calls[counted:]
                await self._append_with_usage(events, begun, calls)
            elif events:
                await self._append(events, begun)

    async def _append(self, events: Sequence[NewEvent], begun: Sequence[tuple[str, int]]) -> None:
        """Append the events, and store the id of the first event of each message in `begun`."""
        self._note(begun, await self._log.append(self._lease, events) - len(events))

    async def _append_with_usage(
        self, events: Sequence[NewEvent], begun: Sequence[tuple[str, int]], calls: list[MeteredCall]
    ) -> None:
        """Do `_append`, and store the usage of model calls, with its event. Keep it for later if nothing is stored.

        A cancelled append may still be carried out, so its usage is not stored again.
        """
        events = [*events, NewEvent.usage(calls)]
        try:
            last = await self._log.append(self._lease, events, usage_by_model(call.usage for call in calls))
        except StoreUnavailable:
            self._calls = calls + self._calls
            raise
        self._note(begun, last - len(events))

    def _note(self, begun: Sequence[tuple[str, int]], before: int) -> None:
        """Store the id of the first event of each message in `begun`. `before` is the last id before the append."""
        for message, place in begun:
            self._first_ids[message] = before + 1 + place

    def _event(self, part: Part) -> NewEvent | None:
        """Return the event of a part; None for a `discard` of text that has no events.

        The event of a `discard` has `discard_from`, the id of the text's first event. `kept` is whether the message
        stays in the agent's memory.
        """
        kind, chunk, message, node, path = part
        if kind in EVENT_PARTS:
            return _shown(cast(EventPart, kind), chunk, path)
        named: dict[str, object] = {} if message is None else {"message": message}
        if node is not None:
            named["node"] = node
        if path:
            named["path"] = path
        if kind == "discard":
            first = self._first_ids.pop(message or "", None)
            if first is None:
                return None
            event = NewEvent.chunk(kind, "", self._index, **named, kept=bool(chunk), discard_from=first)
        else:
            event = NewEvent.chunk(cast(ChunkType, kind), chunk, self._index, **named)
        self._index += 1
        return event


def _shown(kind: EventPart, content: object, path: Sequence[str]) -> NewEvent:
    event = NewEvent.shown(kind, content, path=path)
    if len(event.data) <= MAX_SHOWN_LENGTH:
        return event
    return NewEvent.shown(kind, None, path=path, omitted=len(event.data))


def merged(parts: Sequence[Part]) -> list[Part]:
    """Join adjacent text parts of the same type, message, node and path. Split text that is too long for one event."""
    result: list[Part] = []
    for (kind, message, node, path), alike in groupby(parts, itemgetter(0, 2, 3, 4)):
        if kind in TEXT_CHUNKS:
            text = "".join(map(attrgetter("chunk"), alike))
            cuts = range(0, len(text), MAX_CHUNK_LENGTH)
            result += [Part(kind, text[at : at + MAX_CHUNK_LENGTH], message, node, path) for at in cuts]
        else:
            result += alike
    return result
