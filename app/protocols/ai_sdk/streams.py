"""Streams the answers of chats to any number of readers."""

from collections.abc import AsyncGenerator
from functools import partial

from starlette.responses import Response
from typing_extensions import override

from ...access.principals import Principal
from ...api.limit_headers import limit_headers
from ...api.streaming import EventStreamResponse, waiting_data
from ...errors import AgentQueueError
from ...events.fanout import StoredEvents
from ...events.tail import TailItem, WaitingUpdate
from ...models.limits import Counted
from ...services import Services
from ..cut_runs import EventsGone, RunDeleted
from ..run_streams import followed, stored_events
from ..runs import Run
from .projection import DONE, ChatView, Progress, frame_of, frames_of, start_of

HEADERS = {"x-vercel-ai-ui-message-stream": "v1"}

STOPPED = "The server has stopped and the answer goes on. Reload the page to see it."
DELETED = "The chat was deleted before the answer was complete."
PRUNED = "The answer is complete, but its stream is no longer kept. Load the chat again to see it."
REFUSED = "Your access has ended. The answer goes on; sign in again to see it."


class ChatResponse(EventStreamResponse):
    """The stream of a chat."""

    def __init__(
        self,
        view: ChatView,
        frames: AsyncGenerator[TailItem | bytes],
        services: Services,
        counted: Counted | None,
    ) -> None:
        super().__init__(frames, services, {**HEADERS, **limit_headers(counted)})
        self._view = view

    @override
    def opening(self) -> bytes:
        return super().opening() + start_of(self._view)

    @override
    def refusal(self) -> bytes:
        return b"\n\n" + _error(REFUSED)  # the last frame may have been cut off


class ChatReader:
    """A reader of a chat's stream. `progress` is the one before the first event that the reader is given."""

    def __init__(self, view: ChatView, progress: Progress) -> None:
        self._view = view
        self._progress = progress

    def has_ended(self) -> bool:
        """Return whether the events so far have the end of the request."""
        return self._progress.ended

    def frames_of(self, stored: StoredEvents) -> bytes:
        """Return the frames that the next events give. Readers of the same view share them."""
        body, self._progress = stored.view(self._view, partial(frames_of, self._view, self._progress))
        return body

    def waiting(self, update: WaitingUpdate) -> bytes:
        """Return the position in the queue, which a page gets by `onData` and does not keep."""
        return frame_of({"type": "data-queue", "id": "queue", "data": waiting_data(update), "transient": True})

    def can_skip(self) -> bool:
        """Return False: the last event of an answer does not have its text."""
        return False

    def cut_off(self, error: AgentQueueError) -> bytes:
        """Return the error that pages show. Without an end, they would take half an answer for a whole one."""
        match error:
            case RunDeleted():
                return _error(DELETED)
            case EventsGone():
                return _error(PRUNED)
        return _error(STOPPED)


async def stream_of_request(services: Services, caller: Principal, run: Run) -> Response:
    """Return the response to a page that began a run. After an answer, the page has what came before.

    Raises what `stored_events` raises.
    """
    view = ChatView(run.message.id, run.first_event, whole=False)
    progress = Progress()
    async for events in stored_events(services, caller, run, 0, run.seen_before):
        _, progress = frames_of(view, progress, events)
    return _response(services, caller, run, view, progress, after=run.seen_before)


async def stream_of_message(services: Services, caller: Principal, run: Run) -> Response:
    """Return the response to a page that comes back: the whole message up to now, and what follows.

    `run` is the last one of its message.
    """
    view = ChatView(run.message.id, run.first_event, whole=True)
    return _response(services, caller, run, view, Progress(), after=0)


def _response(
    services: Services, caller: Principal, run: Run, view: ChatView, progress: Progress, *, after: int
) -> Response:
    reader = ChatReader(view, progress)
    return ChatResponse(view, followed(services, caller, run, reader, after=after), services, run.counted)


def _error(text: str) -> bytes:
    return frame_of({"type": "error", "errorText": text}) + DONE
