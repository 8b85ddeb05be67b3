"""Writes the pieces of a running answer to the event log."""

import asyncio
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter, itemgetter

from ..models.attempts import Lease
from ..models.events import NewEvent
from ..models.parts import TEXT_CHUNKS, Part
from ..store.ports import EventLog

MAX_CHUNK_LENGTH = 32_768
"""Characters of one chunk; longer text becomes several, so that no reader has to take a huge event."""

MAX_APPEND_LENGTH = 256 * 1024
"""Characters of one append, or a single longer event: no transaction or script of an engine takes long."""

MAX_PENDING_PARTS = 1_000
"""Maximum number of pieces that wait for the store; beyond it the agent waits too."""


class EventWriter:
    """Appends the pieces of one attempt. While a write is under way, text that arrives is merged into one chunk.

    A slow disk therefore makes fewer and larger chunks for all readers alike. The next `write` or `drain` raises the
    store's errors, such as LeaseLost.
    """

    def __init__(self, log: EventLog, lease: Lease) -> None:
        self._log = log
        self._lease = lease
        self._pending: list[Part] = []
        self._index = 0
        self._first_ids: dict[str, int] = {}
        self._flusher: asyncio.Task[None] | None = None

    async def write(self, part: Part) -> None:
        """Take a piece. Return before it is written, unless the buffer is full."""
        if self._flusher is not None and (self._flusher.done() or len(self._pending) >= MAX_PENDING_PARTS):
            await self._join()
        self._pending.append(part)
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush(), name=f"event writer of {self._lease.message_id}")

    async def drain(self) -> None:
        """Wait until every piece taken so far is written."""
        if self._flusher is not None:
            await self._join()

    async def abandon(self) -> None:
        """Drop the pieces that are not written yet; for attempts that ended without a result."""
        self._pending.clear()
        if self._flusher is not None:
            self._flusher.cancel()
            await asyncio.wait([self._flusher])
            if not self._flusher.cancelled():
                self._flusher.exception()  # the end of the attempt has reported it

    async def _join(self) -> None:
        """Wait for the write under way. If the caller is cancelled, `abandon` handles the write and its error."""
        assert self._flusher is not None
        await asyncio.wait([self._flusher])
        flusher, self._flusher = self._flusher, None
        flusher.result()

    async def _flush(self) -> None:
        while self._pending:
            parts, self._pending = self._pending, []
            events: list[NewEvent] = []
            begun: list[tuple[str, int]] = []
            length = 0
            for part in merged(parts):
                if part.type == "discard" and any(message == part.message for message, _ in begun):
                    await self._append(events, begun)  # since the id is not known before
                    events, begun, length = [], [], 0
                event = self._event(part)
                if event is None:
                    continue
                self._index += 1
                length += len(event.data)
                if events and length > MAX_APPEND_LENGTH:
                    await self._append(events, begun)
                    events, begun, length = [], [], len(event.data)
                if part.message is not None and part.type in TEXT_CHUNKS and part.message not in self._first_ids:
                    self._first_ids[part.message] = 0
                    begun.append((part.message, len(events)))
                events.append(event)
            if events:
                await self._append(events, begun)

    async def _append(self, events: Sequence[NewEvent], begun: Sequence[tuple[str, int]]) -> None:
        """Append the events, and note the id of each message's first event."""
        last = await self._log.append(self._lease, events)
        for message, place in begun:
            self._first_ids[message] = last - len(events) + 1 + place

    def _event(self, part: Part) -> NewEvent | None:
        """Return the event of a part; None when it takes back a text that was never shown.

        `discard_from` is the id of the event that began the text; `kept` says whether its message stays in the agent's
        memory.
        """
        kind, chunk, message, node = part
        named = {} if message is None else {"message": message}
        if node is not None:
            named["node"] = node
        if kind != "discard":
            return NewEvent.chunk(kind, chunk, self._index, **named)
        first = self._first_ids.pop(message or "", None)
        if first is None:
            return None
        return NewEvent.chunk(kind, "", self._index, **named, kept=bool(chunk), discard_from=first)


def merged(parts: Sequence[Part]) -> list[Part]:
    """Return the parts with neighbouring text of one type, message and node joined, and long text cut into chunks."""
    result: list[Part] = []
    for (kind, message, node), alike in groupby(parts, itemgetter(0, 2, 3)):
        if kind in TEXT_CHUNKS:
            text = "".join(map(attrgetter("chunk"), alike))
            cuts = range(0, len(text), MAX_CHUNK_LENGTH)
            result += [Part(kind, text[at : at + MAX_CHUNK_LENGTH], message, node) for at in cuts]
        else:
            result += alike
    return result
