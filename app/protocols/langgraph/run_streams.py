"""Streams the frames of a run, from any frame on, to any number of readers."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial
from urllib.parse import urlencode

from starlette.responses import Response

from ...access.principals import Principal
from ...api.streaming import KEEP_ALIVE, EventStreamResponse, tail_of
from ...errors import InvalidRequest, MessageNotFound, NotCancellable
from ...events.fanout import Idle, StoredEvents
from ...events.tail import TailItem, WaitingUpdate
from ...models.events import Event
from ...services import Services
from .projection import FrameId, Progress, RunView, frames_of, messages_in
from .runs import Run

GRACE_SECONDS = 5.0
"""How long a run goes on after its only reader left, if it is to be cancelled then. A reconnect takes less."""

PAGE_EVENTS = 2_000

_BEGINNING = FrameId(0, -1)


class RunStream:
    """Follows a run for one reader, with what the reader wants to see of it."""

    def __init__(self, services: Services, caller: Principal, run: Run, view: RunView) -> None:
        self._services = services
        self._caller = caller
        self._run = run
        self._view = view

    async def response(self, last_event_id: str | None, *, cancel_on_leave: bool = False) -> Response:
        """Return the response that streams the frames behind `last_event_id`, by default all.

        With `cancel_on_leave`, the run is cancelled when its last reader has left. Raises InvalidRequest for an id that
        the run has not reached.
        """
        after = _frame_id(last_event_id)
        progress = await self._progress_before(after)
        frames = self._frames(after, progress)
        if cancel_on_leave:
            frames = self._cancelling(frames)
        return EventStreamResponse(frames, self._services, self.headers())

    def headers(self) -> dict[str, str]:
        """Return the headers by which clients find the run, and continue its stream. Paths begin after the mount."""
        shown: Mapping[str, Sequence[str]] = {
            "stream_mode": sorted(self._view.modes),
            "stream_subgraphs": ["true"] if self._view.subgraphs else [],
        }
        path = self._run.path
        return {"Content-Location": path, "Location": f"{path}/stream?{urlencode(shown, doseq=True)}"}

    async def _progress_before(self, after: FrameId) -> Progress:
        """Return the progress before the event of the frame `after`. Raises InvalidRequest."""
        earlier: set[str] = set()
        async for events in self._stored(0, self._before_first()):
            earlier |= messages_in(events)
        progress = Progress(earlier=frozenset(earlier))
        async for events in self._stored(self._before_first(), after.event - 1):
            _, progress = frames_of(self._view, progress, events, _BEGINNING)
        return progress

    async def _stored(self, seen: int, last: int) -> AsyncIterator[Sequence[Event]]:
        """Yield the stored events after `seen` up to `last`. Raises InvalidRequest if the log ends before."""
        while seen < last:
            limit = min(PAGE_EVENTS, last - seen)
            page = await self._services.log.read(self._caller.tenant, self._run.message.id, after=seen, limit=limit)
            if page.last < last:
                told = f"the run has no event {last + 1}; its last is {page.last}. Start without an id"
                raise InvalidRequest(f"Last-Event-ID: {told}", field="Last-Event-ID")
            if not page.events:  # they are no longer kept
                return
            yield page.events
            seen = page.events[-1].id

    def _before_first(self) -> int:
        return max(0, self._run.first_event - 1)

    async def _frames(self, after: FrameId, progress: Progress) -> AsyncGenerator[TailItem | bytes]:
        """Yield the frames behind `after` until the run ends. `progress` is the one before the event of `after`."""
        seen = max(self._before_first(), after.event - 1)
        if progress.ended:
            return
        async with aclosing(tail_of(self._services, self._caller.tenant, self._run.message.id, seen)) as items:
            async for item in items:
                match item:
                    case StoredEvents(events=events) if events and events[0].id > after.event:
                        body, progress = item.view(self._view, partial(self._made, progress))
                    case StoredEvents(events=events):
                        body, progress = frames_of(self._view, progress, events, after)
                    case WaitingUpdate(position=position):
                        body = b": queued\n" if position is None else f": queued, position {position}\n".encode()
                    case Idle():
                        body = KEEP_ALIVE
                    case _:
                        continue
                if body:
                    yield body
                if progress.ended:
                    return

    def _made(self, progress: Progress, events: Sequence[Event]) -> tuple[bytes, Progress]:
        return frames_of(self._view, progress, events, _BEGINNING)

    async def _cancelling(self, frames: AsyncGenerator[TailItem | bytes]) -> AsyncGenerator[TailItem | bytes]:
        """Yield the frames. Cancel the run if the reader leaves before the end and nobody else reads it soon after."""
        try:
            async with aclosing(frames):
                async for frame in frames:
                    yield frame
        except (GeneratorExit, asyncio.CancelledError):
            await asyncio.sleep(GRACE_SECONDS)
            if not self._services.streams.readers_of(self._caller.tenant, self._run.message.id):
                with suppress(MessageNotFound, NotCancellable):
                    await self._services.queue.cancel(self._caller, self._run.message.id, running=True)
            raise


def _frame_id(text: str | None) -> FrameId:
    """Return the frame that a client has seen last. Raises InvalidRequest for an id that no frame has."""
    if text in (None, "", "0", "-1"):
        return _BEGINNING
    event, _, frame = str(text).partition("-")
    if not (event.isascii() and event.isdigit() and frame.isascii() and frame.isdigit() and len(str(text)) <= 32):
        raise InvalidRequest("Last-Event-ID: expected the id of an event of this run", field="Last-Event-ID")
    return FrameId(int(event), int(frame))
