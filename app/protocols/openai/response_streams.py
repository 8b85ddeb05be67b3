"""Streams the events of a response, from any event on, to any number of readers."""

from collections.abc import Sequence
from functools import partial

from starlette.responses import Response
from typing_extensions import override

from ...access.principals import Principal
from ...api.limit_headers import limit_headers
from ...api.streaming import EventStreamResponse
from ...errors import AgentQueueError, InvalidRequest
from ...events.fanout import StoredEvents
from ...events.tail import WaitingUpdate
from ...models.events import Event
from ...services import Services
from ..run_streams import followed, position_comment
from .errors import AccessEnded, error_event, object_of
from .response_lookup import FoundResponse, progress_before
from .response_projection import BEFORE_ALL, Progress, ResponseView, frames_of, opening


class ResponseReader:
    """A reader who sees the events behind the number `after`. `is_last` tells that no answer began a later run."""

    def __init__(self, view: ResponseView, progress: Progress, after: int, *, is_last: bool) -> None:
        self._view = view
        self._progress = progress
        self._after = after
        self._is_last = is_last

    def opening(self) -> bytes:
        """Return the events before all stored ones."""
        body, self._progress = opening(self._view, self._progress, self._after)
        return body

    def has_ended(self) -> bool:
        """Return whether the response has ended."""
        return self._progress.final is not None

    def frames_of(self, stored: StoredEvents) -> bytes:
        """Return the events that the next stored ones give. Readers who have no earlier end to skip share them."""
        if self._progress.sequence > self._after:
            body, self._progress = stored.view(self._view.response_id, partial(self._made, self._progress))
        else:
            body, self._progress = frames_of(self._view, self._progress, stored.events, self._after)
            if self.has_ended() and self._after >= self._progress.sequence:
                told = f"the response has no event {self._after}; its last is {self._progress.sequence - 1}"
                return self.cut_off(InvalidRequest(f"starting_after: {told}", field="starting_after"))
        return body

    def waiting(self, update: WaitingUpdate) -> bytes:
        """Return a comment that tells the position in the queue."""
        return position_comment(update)

    def can_skip(self) -> bool:
        """Return whether the reader has seen no item, so that the last event of the message can show the only one."""
        return self._is_last and not self._progress.places and self._after < self._progress.sequence

    def cut_off(self, error: AgentQueueError) -> bytes:
        """Return the event `error`. Without an end, a client would take half a response for a whole one."""
        return error_event(object_of(error), max(self._after, self._progress.sequence - 1))

    def _made(self, progress: Progress, events: Sequence[Event]) -> tuple[bytes, Progress]:
        return frames_of(self._view, progress, events)


class ResponseStream(EventStreamResponse):
    """Streams the events of a response. A layer between the stored events and the reader would cost each of them."""

    def __init__(self, services: Services, caller: Principal, found: FoundResponse, reader: ResponseReader) -> None:
        self._reader = reader
        frames = followed(services, caller, found.run, reader, after=found.run.seen_before)
        super().__init__(frames, services, limit_headers(found.run.counted))

    @override
    def opening(self) -> bytes:
        return super().opening() + self._reader.opening()

    @override
    def refusal(self) -> bytes:
        return b"\n\n" + self._reader.cut_off(AccessEnded())  # the last frame may have been cut off


async def response_stream(
    services: Services, caller: Principal, found: FoundResponse, after: int = BEFORE_ALL
) -> Response:
    """Return the response that streams the events behind the number `after`."""
    progress = await progress_before(services, caller, found.run)
    reader = ResponseReader(found.view, progress, after, is_last=not found.run.is_answered)
    return ResponseStream(services, caller, found, reader)
