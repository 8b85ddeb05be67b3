"""Streams the frames of a run, from any frame on, to any number of readers."""

from collections.abc import Mapping, Sequence
from functools import partial
from urllib.parse import urlencode

from starlette.responses import Response

from ...access.principals import Principal
from ...api.limit_headers import limit_headers
from ...api.streaming import EventStreamResponse
from ...errors import AgentQueueError, InvalidRequest
from ...errors.events import EventsLost
from ...events.fanout import StoredEvents
from ...events.tail import WaitingUpdate
from ...models.audit import Actor
from ...models.events import Event
from ...services import Services
from ..departures import Departure
from ..run_streams import followed, position_comment, stored_events
from ..runs import Run
from .projection import FrameId, Progress, RunView, frames_of, messages_in
from .run_lookup import path_of

_BEGINNING = FrameId(0, -1)


class ViewReader:
    """A reader who sees the frames behind `after`. `progress` is the one before the event of `after`."""

    def __init__(self, view: RunView, after: FrameId, progress: Progress) -> None:
        self._view = view
        self._after = after
        self._progress = progress

    def has_ended(self) -> bool:
        """Return whether the events so far have the end of the run."""
        return self._progress.ended

    def frames_of(self, stored: StoredEvents) -> bytes:
        """Return the frames that the next events give. Readers of the same view share them."""
        if stored.events and stored.events[0].id > self._after.event:
            body, self._progress = stored.view(self._view, partial(self._made, self._progress))
        else:
            body, self._progress = frames_of(self._view, self._progress, stored.events, self._after)
        return body

    def waiting(self, update: WaitingUpdate) -> bytes:
        """Return a comment that tells the position in the queue."""
        return position_comment(update)

    def can_skip(self) -> bool:
        """Return True: the last event shows the state after the run."""
        return True

    def cut_off(self, _: AgentQueueError) -> bytes:
        """Return nothing: clients read the run when its stream ends, and come back if it goes on."""
        return b""

    def _made(self, progress: Progress, events: Sequence[Event]) -> tuple[bytes, Progress]:
        return frames_of(self._view, progress, events, _BEGINNING)


class RunStream:
    """Follows a run for one reader, with what the reader wants to see of it."""

    def __init__(self, services: Services, caller: Principal, run: Run, view: RunView) -> None:
        self._services = services
        self._caller = caller
        self._run = run
        self._view = view

    async def response(self, last_event_id: str | None, *, cancels_as: Actor | None = None) -> Response:
        """Return the response that streams the frames behind `last_event_id`, by default all.

        With `cancels_as`, the run is cancelled in this name when its last reader has left. Raises InvalidRequest for an
        id that the run has not reached.
        """
        services, caller, run = self._services, self._caller, self._run
        after = _frame_id(last_event_id)
        reader = ViewReader(self._view, after, await self._progress_before(after))
        frames = followed(services, caller, run, reader, after=max(run.seen_before, after.event - 1))
        leaves = None if cancels_as is None else Departure(services, caller, run, cancels_as=cancels_as).cancel
        return EventStreamResponse(frames, services, self.headers(), when_left=leaves)

    def headers(self) -> dict[str, str]:
        """Return the headers by which clients find the run, and continue its stream. Paths begin after the mount."""
        shown: Mapping[str, Sequence[str]] = {
            "stream_mode": sorted(self._view.modes),
            "stream_subgraphs": ["true"] if self._view.subgraphs else [],
        }
        path = path_of(self._run)
        return {
            **limit_headers(self._run.counted),
            "Content-Location": path,
            "Location": f"{path}/stream?{urlencode(shown, doseq=True)}",
        }

    async def _progress_before(self, after: FrameId) -> Progress:
        """Return the progress before the event of the frame `after`. Raises InvalidRequest."""
        services, caller, run = self._services, self._caller, self._run
        earlier: set[str] = set()
        try:
            async for events in stored_events(services, caller, run, 0, run.seen_before):
                earlier |= messages_in(events)
            progress = Progress(earlier=frozenset(earlier))
            async for events in stored_events(services, caller, run, run.seen_before, after.event - 1):
                _, progress = frames_of(self._view, progress, events, after)
        except EventsLost as error:
            told = f"the run has no event {after.event}; its last is {error.newest}. Start without an id"
            raise InvalidRequest(f"Last-Event-ID: {told}", field="Last-Event-ID") from None
        return progress


def _frame_id(text: str | None) -> FrameId:
    """Return the frame that a client has seen last. Raises InvalidRequest for an id that no frame has."""
    if text in (None, "", "0", "-1"):
        return _BEGINNING
    event, _, frame = str(text).partition("-")
    if not (event.isascii() and event.isdigit() and frame.isascii() and frame.isdigit() and len(str(text)) <= 32):
        raise InvalidRequest("Last-Event-ID: expected the id of an event of this run", field="Last-Event-ID")
    return FrameId(int(event), int(frame))
