"""Streams runs to any number of readers."""

from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import NamedTuple

from ag_ui.core import PROTOCOL_VERSION, BaseEvent, CustomEvent, RunErrorEvent, RunStartedEvent
from starlette.responses import Response
from typing_extensions import override

from ...access.principals import Principal
from ...api.limit_headers import limit_headers
from ...api.streaming import EventStreamResponse, waiting_data
from ...errors import AgentQueueError, Unauthorized
from ...events.fanout import StoredEvents
from ...events.tail import TailItem, WaitingUpdate
from ...models.limits import Counted
from ...services import Services
from ..cut_runs import EventsGone, RunDeleted
from ..run_streams import followed
from .endings import NOTHING_RUNS, End
from .projection import Progress, RunView, frame_of, frames_of
from .requests import Begun
from .schemas import AgentRun
from .snapshots import progress_before, snapshot_of

STOPPED = "The server has stopped and the run goes on. Send the same request again to see the rest."
DELETED = "The thread was deleted before the run was complete."
PRUNED = "The run is complete, but its events are no longer kept. Send the same request again to see its messages."
REFUSED = "Your access has ended. The run goes on; sign in again to see it."


class Named(NamedTuple):
    """A run as a client names it. `knows_version` is True for clients that declare the version of the protocol."""

    thread_id: str
    run_id: str
    parent_run_id: str | None = None
    knows_version: bool = True

    def start(self, message_id: str | None, ignored: Sequence[str] = ()) -> BaseEvent:
        """Return the first event of each stream. Its metadata names the message, and the fields that were ignored."""
        told = {} if message_id is None else {"message_id": message_id, **({"ignored": [*ignored]} if ignored else {})}
        about = {"agentq": told} if told else None
        return RunStartedEvent(
            thread_id=self.thread_id,
            run_id=self.run_id,
            parent_run_id=self.parent_run_id,
            protocol_version=PROTOCOL_VERSION,
            metadata=about,
        )

    def last(self, end: End) -> BaseEvent:
        """Return the last event of a run that has ended so."""
        return end.event(self.thread_id, self.run_id, knows_cancelled=self.knows_version)


class RunResponse(EventStreamResponse):
    """The stream of a run. `first` are the events that are sent before those of the log."""

    def __init__(
        self,
        first: Sequence[BaseEvent],
        frames: AsyncGenerator[TailItem | bytes],
        services: Services,
        counted: Counted | None,
    ) -> None:
        super().__init__(frames, services, limit_headers(counted))
        self._first = first

    @override
    def opening(self) -> bytes:
        return super().opening() + b"".join(map(frame_of, self._first))

    @override
    def refusal(self) -> bytes:
        told = RunErrorEvent(message=REFUSED, code=Unauthorized.code)
        return b"\n\n" + frame_of(told)  # the last frame may have been cut off


class AgUiReader:
    """A reader of a run. `progress` is the one before the first event that the reader is given."""

    def __init__(self, view: RunView, named: Named, progress: Progress) -> None:
        self._view = view
        self._named = named
        self._progress = progress

    def has_ended(self) -> bool:
        """Return whether the events so far have the end of the run."""
        return self._progress.end is not None

    def frames_of(self, stored: StoredEvents) -> bytes:
        """Return the frames that the next events give. Readers of a run share all but the last one, which has ids."""
        body, self._progress = stored.view(self._view, partial(frames_of, self._view, self._progress))
        return body if self._progress.end is None else body + frame_of(self._named.last(self._progress.end))

    def waiting(self, update: WaitingUpdate) -> bytes:
        """Return the event that tells the position in the queue."""
        return frame_of(CustomEvent(name="queue", value=waiting_data(update)))

    def can_skip(self) -> bool:
        """Return False: the last event of a run does not have its text."""
        return False

    def cut_off(self, error: AgentQueueError) -> bytes:
        """Return the error that clients show. Without an end, they would take half a run for a whole one."""
        told = {RunDeleted: DELETED, EventsGone: PRUNED}.get(type(error), STOPPED)
        return frame_of(RunErrorEvent(message=told, code=error.code))


async def stream_of(services: Services, caller: Principal, body: AgentRun, begun: Begun) -> Response:
    """Return the response to a page: the run that it began, or the conversation up to now and the rest of its run."""
    run = begun.run
    named = Named(body.thread_id, body.run_id, body.parent_run_id, body.protocol_version is not None)
    if run is None:
        snapshot = await snapshot_of(services, caller, body, None, RunView(""))
        ended = named.last(NOTHING_RUNS)
        return RunResponse([named.start(None), *snapshot.events, ended], _nothing(), services, None)
    view = RunView(run.message.id, run.first_event)
    first = [named.start(run.message.id, begun.ignored)]
    if begun.comes_back:
        snapshot = await snapshot_of(services, caller, body, run, view)
        first += snapshot.events
        progress, after = snapshot.progress, snapshot.after
        if progress.end is not None:
            first.append(named.last(progress.end))
    else:
        progress, after = await progress_before(services, caller, run, view), run.seen_before
    frames = followed(services, caller, run, AgUiReader(view, named, progress), after=after)
    return RunResponse(first, frames, services, run.counted)


async def _nothing() -> AsyncGenerator[TailItem | bytes]:
    """Yield nothing to read."""
    yield b""
