"""A stream as server-sent events: each event `data` is followed by an event `control` with the offset behind it.

The event `data` has this offset as its id, so that an EventSource resumes behind what its page was given.
"""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from typing_extensions import override

from ...api.streaming import KEEP_ALIVE, EventStreamResponse
from ...errors import MessageNotFound
from ...events.fanout import Idle
from ...events.tail import WaitingUpdate
from ...services import Services
from ..cut_runs import EventsGone
from ..run_streams import position_comment
from .cursors import cursor_at
from .forms import Form
from .places import Place
from .streams import Batch, Stream

HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store, no-cache"}


class LiveResponse(EventStreamResponse):
    """Sends a stream from the place of `first`, an empty batch if nothing is there yet, to its end.

    `cursor` is the least cursor for this reader.
    """

    def __init__(self, services: Services, stream: Stream, first: Batch, form: Form, cursor: int) -> None:
        self._stream = stream
        self._first = first
        self._form = form
        self._cursor = cursor
        super().__init__(self._frames(), services, HEADERS)

    @override
    def opening(self) -> bytes:
        opening = super().opening()
        return opening if self._first.segments else opening + self._frame(self._first)

    async def _frames(self) -> AsyncGenerator[bytes]:
        """Yield the frames until the stream is closed, deleted, or has a gap, which the next request is told."""
        if self._first.is_closed and not self._first.segments:
            return
        told: Place | None = None if self._first.segments else self._first.place
        place = self._first.place
        try:
            async with aclosing(self._stream.follow(place)) as items:
                async for item in items:
                    match item:
                        case Batch():
                            place = item.place
                            if item.segments or told != place:
                                yield self._shared_frame(item)
                            told = place if item.is_newest else None
                            if item.is_closed:
                                return
                        case WaitingUpdate():
                            if told != place:
                                told = place
                                yield self._frame(Batch((), place, is_newest=True))
                            yield position_comment(item)
                        case Idle():
                            yield KEEP_ALIVE
        except (MessageNotFound, EventsGone):
            return

    def _shared_frame(self, batch: Batch) -> bytes:
        """Return the frame of a batch. Readers of the same stream whose caches are alike share it."""
        self._cursor = max(self._cursor, cursor_at(time.time()))
        if batch.stored is None:
            return self._frame(batch)
        key = (self._form, self._stream.offset_of(batch.place), self._cursor, batch.is_newest, batch.is_closed)
        return batch.stored.view(key, lambda _: self._frame(batch))

    def _frame(self, batch: Batch) -> bytes:
        """Return the event `data`, unless there is nothing in it, and the event `control`."""
        offset = self._stream.offset_of(batch.place)
        control: dict[str, object] = {"streamNextOffset": offset}
        if not batch.is_closed:
            control["streamCursor"] = str(self._cursor)
        if batch.is_newest:
            control["upToDate"] = True
        if batch.is_closed:
            control["streamClosed"] = True
        frame = f"event: control\ndata:{json.dumps(control, separators=(',', ':'))}\n\n".encode()
        data = self._form.data(batch.segments) if batch.segments else b""
        return f"id: {offset}\nevent: data\n".encode() + data + b"\n" + frame if data else frame
