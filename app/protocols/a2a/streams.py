"""Streams tasks to any number of readers, and holds replies until a task has ended or asks."""

import json
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import NamedTuple

from a2a.types import a2a_pb2 as pb
from starlette.responses import Response
from typing_extensions import override

from ...access.principals import Principal
from ...api.errors import ServerStopping
from ...api.limit_headers import limit_headers
from ...api.streaming import EventStreamResponse, resume_point, waiting_data
from ...errors import AgentQueueError, InvalidRequest, Unauthorized
from ...events.fanout import StoredEvents
from ...events.tail import TailItem, WaitingUpdate
from ...models.events import Event
from ...models.limits import Counted
from ...models.messages import Message
from ...services import Services
from ..held_replies import HeldReply
from ..run_streams import followed, stored_events
from ..runs import Run
from .calls import CURSOR, Call, Headers
from .dialects import Dialect
from .histories import history_of
from .projection import (
    SUBMITTED,
    Frame,
    Progress,
    TaskView,
    View,
    frame_of,
    frames_of,
    progress_after,
    status_item,
)
from .rpc import RequestId, error_text, result_text
from .tasks import artifacts_of, context_of, task_of, text_artifact

EXTENSIONS = "A2A-Extensions"


def cut_off_text(request_id: RequestId, task_id: str, dialect: Dialect, error: AgentQueueError) -> str:
    """Return the error that tells why nothing more comes of a task. It names the task."""
    if isinstance(error, ServerStopping):
        error = ServerStopping(
            f"The server was stopped before the task {task_id} had ended. The task goes on. Follow it with "
            f"{dialect.names.subscribe}, or read it with {dialect.names.get_task}."
        )
    return error_text(request_id, error, {"taskId": task_id})


def access_ended(task_id: str) -> Unauthorized:
    """Return the error for a reader whose access ended while they read."""
    return Unauthorized(f"Your access ended before the task {task_id} did. Sign in again to read it.")


class Cursor(NamedTuple):
    """A place in a stream: behind the event `event` of the log and the first `items` items of the next one."""

    event: str
    items: int

    @classmethod
    def of(cls, text: str) -> "Cursor":
        """Return the place with this cursor. Raises InvalidRequest."""
        event, dot, items = text.partition(".")
        if dot and not (items.isascii() and items.isdigit() and len(items) <= 2):
            raise InvalidRequest("Last-Event-ID: expected the cursor of an event", field="Last-Event-ID")
        return cls(event, int(items or 0))


class TaskReader:
    """A reader of a run of a task. `progress` is the one before the first event that the reader is given.

    The reader has the first `seen_items` items of that event. A question before `first_event` was answered.
    """

    def __init__(
        self, view: View, request_id: RequestId, progress: Progress, *, first_event: int, seen_items: int = 0
    ) -> None:
        self._view = view
        self._first_event = first_event
        self._request_id = request_id
        self._start = f'data: {{"jsonrpc":"2.0","id":{json.dumps(request_id)},"result":'.encode()
        self._progress = progress
        self._seen_items = seen_items

    def has_ended(self) -> bool:
        """Return whether the events so far have the end of the run."""
        asks = self._progress.asked and self._progress.asked >= self._first_event
        return self._progress.ended or bool(asks)

    def frames_of(self, stored: StoredEvents) -> bytes:
        """Return the frames that the next events give. Readers of a run share all but the ids of their requests."""
        frames, around, self._progress = stored.view(self._view, partial(_shared, self._view, self._progress))
        if self._seen_items:
            around, self._seen_items = _around(frames[self._seen_items :]), 0
        return self._start.join(around)

    def frame(self, frame: Frame) -> bytes:
        """Return an item as a server-sent event."""
        return self._start.join(_around([frame]))

    def waiting(self, update: WaitingUpdate) -> bytes:
        """Return the item that tells the position in the queue. It has no cursor."""
        task, told = self._view.task, waiting_data(update)
        item = status_item(task.task_id, task.context_id, pb.TaskStatus(state=SUBMITTED), {"queue": told})
        return self._start + f"{self._view.dialect.item(item)}}}\n\n".encode()

    def can_skip(self) -> bool:
        """Return False: the last event of a run does not have its question."""
        return False

    def cut_off(self, error: AgentQueueError) -> bytes:
        """Return the error that tells why the stream ends before the task."""
        told = cut_off_text(self._request_id, self._view.task.task_id, self._view.dialect, error)
        return f"data: {told}\n\n".encode()

    def refusal(self) -> bytes:
        """Return the error for a reader who may no longer read."""
        return self.cut_off(access_ended(self._view.task.task_id))


def _shared(
    view: View, progress: Progress, events: Sequence[Event]
) -> tuple[Sequence[Frame], Sequence[bytes], Progress]:
    """Return the frames of events, the bytes around the reader's own start of each, and the progress after them."""
    frames, progress = frames_of(view, progress, events)
    return frames, _around(frames), progress


def _around(frames: Sequence[Frame]) -> list[bytes]:
    """Return the bytes that give server-sent events when a reader joins them by its start."""
    between = [""]
    for frame in frames:
        between[-1] += f"id: {frame.cursor}\n"
        between.append(f"{frame.item}}}\n\n")
    return [each.encode() for each in between]


class TaskStream(EventStreamResponse):
    """The stream of a task. `first` is sent before the events of the log."""

    def __init__(
        self,
        reader: TaskReader,
        first: bytes,
        frames: AsyncGenerator[TailItem | bytes],
        services: Services,
        headers: dict[str, str],
    ) -> None:
        super().__init__(frames, services, headers)
        self._reader = reader
        self._first = first

    @override
    def opening(self) -> bytes:
        return super().opening() + self._first

    @override
    def refusal(self) -> bytes:
        return b"\n\n" + self._reader.refusal()  # the last frame may have been cut off


class HeldTask(HeldReply):
    """Sends a task when it has ended or asks a human. With `is_reply`, it is the reply to a message."""

    def __init__(
        self, services: Services, caller: Principal, run: Run, dialect: Dialect, request_id: RequestId, *,
        history_length: int | None, is_reply: bool = False,
    ) -> None:  # fmt: skip
        self._dialect = dialect
        self._request_id = request_id
        self._is_reply = is_reply
        self._history_length = history_length
        super().__init__(services, caller, run, self._result)

    @override
    def failure(self, error: AgentQueueError) -> bytes:
        return cut_off_text(self._request_id, self._run.message.id, self._dialect, error).encode()

    @override
    def cut_off(self, error: AgentQueueError) -> bytes:
        return self.failure(error)

    @override
    def refusal(self) -> bytes:
        return self.failure(access_ended(self._run.message.id))

    async def _result(self, _: object) -> str:
        """Return the task as it is at its end. Raises MessageNotFound."""
        message = await self._services.queue.get(self._caller, self._run.message.id)
        task = await whole_task(self._services, self._caller, message, history_length=self._history_length)
        result = self._dialect.result(pb.SendMessageResponse(task=task) if self._is_reply else task)
        return result_text(self._request_id, result)


async def stream_of(
    services: Services, caller: Principal, run: Run, dialect: Dialect, request_id: RequestId, headers: Headers
) -> Response:
    """Return the stream of a run that a message began, from its beginning. The caller may open it."""
    view = _view(run, dialect, headers)
    progress = await _progress(services, caller, run, run.seen_before)
    reader = TaskReader(view, request_id, progress, first_event=run.first_event)
    task = await _task(services, caller, run, progress)
    first = reader.frame(frame_of(view, str(run.seen_before), pb.StreamResponse(task=task)))
    frames = followed(services, caller, run, reader, after=run.seen_before)
    return TaskStream(reader, first, frames, services, _headers(run.counted, headers))


async def rest_of(
    services: Services, caller: Principal, run: Run, dialect: Dialect, request_id: RequestId, headers: Headers
) -> Response:
    """Return the rest of the stream of a run: behind a cursor, or the task as it is now and what follows.

    Raises InvalidRequest for a cursor that no event has.
    """
    await services.stream_limits.check(caller)
    view = _view(run, dialect, headers)
    seen_items = 0
    if headers.last_event_id:
        cursor = Cursor.of(headers.last_event_id)
        _, after = await resume_point(services, caller, run.message.id, cursor.event or "0", None)
        seen_items = cursor.items
    else:
        after = (await services.log.read(caller.tenant, run.message.id, after=0, limit=1)).last
    if after is None:  # the reader has all of it
        after = (await services.log.read(caller.tenant, run.message.id, after=0, limit=1)).last
    progress = await _progress(services, caller, run, after)
    reader = TaskReader(view, request_id, progress, first_event=run.first_event, seen_items=seen_items)
    first = b""
    if not headers.last_event_id or progress.ended:
        task = await _task(services, caller, run, progress)
        first = reader.frame(frame_of(view, str(after), pb.StreamResponse(task=task)))
    frames = followed(services, caller, run, reader, after=after)
    return TaskStream(reader, first, frames, services, _headers(None, headers))


async def run_now(call: Call, task_id: str) -> Run:
    """Return the run of a task that clients can follow from now on. Questions before it were answered.

    Raises MessageNotFound.
    """
    services, caller = call.services, call.caller
    message = await call.task(task_id)
    newest = (await services.log.read(caller.tenant, message.id, after=0, limit=1)).last
    return Run(message.id, message, first_event=newest)


async def whole_task(services: Services, caller: Principal, message: Message, *, history_length: int | None) -> pb.Task:
    """Return a message as a task. The artifact of an unfinished one is read from its log."""
    history = await history_of(services, caller, message, history_length)
    if message.completed_at is not None or not message.attempt:
        return task_of(message, artifacts_of(message), history)
    last = (await services.log.read(caller.tenant, message.id, after=0, limit=1)).last
    progress = await _progress(services, caller, Run(message.id, message), last)
    return task_of(message, _artifacts(progress), history)


def _view(run: Run, dialect: Dialect, headers: Headers) -> View:
    return View(_task_view(run), dialect, headers.wants_cursors)


def _task_view(run: Run) -> TaskView:
    return TaskView(run.message.id, context_of(run.message))


async def _progress(services: Services, caller: Principal, run: Run, after: int) -> Progress:
    """Return the progress behind an event of the log. Raises what `stored_events` raises."""
    progress, view = Progress(), _task_view(run)
    async for events in stored_events(services, caller, run, 0, after):
        progress = progress_after(view, progress, events)
    return progress


async def _task(services: Services, caller: Principal, run: Run, progress: Progress) -> pb.Task:
    """Return a task as its log tells it. The log may be ahead of the message."""
    if progress.ended:
        message = await services.queue.get(caller, run.message.id)
        return await whole_task(services, caller, message, history_length=None)
    task = task_of(run.message, _artifacts(progress), await history_of(services, caller, run.message, None))
    if progress.status is not None:
        task.status.CopyFrom(progress.status)
    return task


def _artifacts(progress: Progress) -> list[pb.Artifact]:
    return [text_artifact(progress.text)] if progress.has_artifact else []


def _headers(counted: Counted | None, headers: Headers) -> dict[str, str]:
    """Return the headers of a stream. They name the extension that it has."""
    given = dict(limit_headers(counted))
    return {**given, EXTENSIONS: CURSOR} if headers.wants_cursors else given
