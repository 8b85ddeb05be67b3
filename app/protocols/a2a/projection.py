"""Makes the items of the protocol's streams from the stored events of a message. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import ParseDict

from ...models.events import TERMINAL_EVENTS, Event, EventType
from ..growing_texts import GrowingText, grown
from .calls import CURSOR
from .dialects import Dialect
from .tasks import (
    OURS,
    error_message,
    note_message,
    output_artifact,
    question_message,
    text_artifact,
    timestamp_of,
)

Items = list[pb.StreamResponse]

WORKING = pb.TaskState.TASK_STATE_WORKING
SUBMITTED = pb.TaskState.TASK_STATE_SUBMITTED


class TaskView(NamedTuple):
    """The task that clients read."""

    task_id: str
    context_id: str


class View(NamedTuple):
    """A task, and the form in which clients read it."""

    task: TaskView
    dialect: Dialect
    with_cursors: bool = False


class Shown(NamedTuple):
    """The text of one of the agent's messages. `first_event` is the event of its first piece."""

    message: str
    first_event: int
    text: GrowingText


class Progress(NamedTuple):
    """The state on which later events depend. It is never changed, so that readers can share it.

    `shown` are the texts of the answer so far. `has_artifact` tells that readers have an artifact that pieces can
    extend. `status` is the last status; None before the first. `asked` is the event of the open question, 0 without
    one. `ended` tells that the task has ended.
    """

    shown: tuple[Shown, ...] = ()
    has_artifact: bool = False
    status: pb.TaskStatus | None = None
    asked: int = 0
    ended: bool = False

    @property
    def text(self) -> str:
        """Return the answer so far."""
        return "".join("".join(each.text) for each in self.shown)


class Frame(NamedTuple):
    """An item as JSON. A client that has it goes on behind `cursor`."""

    cursor: str
    item: str


def frames_of(view: View, progress: Progress, events: Sequence[Event]) -> tuple[tuple[Frame, ...], Progress]:
    """Return the frames that consecutive events give, and the progress after the events.

    The events begin where the progress ends.
    """
    made: list[Frame] = []
    for event in events:
        items, progress = items_of(view.task, progress, event)
        for number, item in enumerate(items, 1):
            cursor = str(event.id) if number == len(items) else f"{event.id - 1}.{number}"
            made.append(frame_of(view, cursor, item))
    return tuple(made), progress


def frame_of(view: View, cursor: str, item: pb.StreamResponse) -> Frame:
    """Return an item as a frame."""
    if view.with_cursors:
        about: pb.Task | pb.TaskStatusUpdateEvent = getattr(item, item.WhichOneof("payload") or "task")
        about.metadata.update({CURSOR: {"cursor": cursor}})
    return Frame(cursor, view.dialect.item(item))


def progress_after(view: TaskView, progress: Progress, events: Sequence[Event]) -> Progress:
    """Return the progress after events, whose items nobody needs."""
    for event in events:
        _, progress = items_of(view, progress, event)
    return progress


def items_of(view: TaskView, progress: Progress, event: Event) -> tuple[Items, Progress]:
    """Return the items that one event gives, and the progress after it."""
    data = json.loads(event.data)
    made: Items = []
    match event.type:
        case EventType.CHUNK:
            made, progress = _piece(view, progress, event, data)
        case EventType.PROCESSING:
            made, progress = _status(view, progress, event, WORKING, about={"attempt": data["attempt"]})
        case EventType.RETRY:
            made, progress = _retry(view, progress, event, data)
        case EventType.RESUMED:
            dropped, progress = _without(view, progress, data["discard_from"])
            told, progress = _status(view, progress, event, SUBMITTED)
            made, progress = [*dropped, *told], progress._replace(asked=0)
        case EventType.INTERRUPTED:
            question = question_message(view.task_id, view.context_id, data["interrupts"])
            state, until = pb.TaskState.TASK_STATE_INPUT_REQUIRED, {"expiresAt": data["expires_at"]}
            made, progress = _status(view, progress, event, state, message=question, about=until)
            progress = progress._replace(asked=event.id)
        case _ if event.type in TERMINAL_EVENTS:
            made, progress = _end(view, progress, event, data)
            progress = progress._replace(ended=True)
    return made, progress


def _piece(view: TaskView, progress: Progress, event: Event, data: Mapping[str, Any]) -> tuple[Items, Progress]:
    """Return the items of a part of the answer. Reasoning and tools are told in the metadata of a status."""
    kind, chunk, name = data["type"], data["chunk"], data.get("message") or ""
    if kind == "discard":
        return _without(view, progress, data.get("discard_from", 0), name)
    if kind != "content":
        about = {"type": kind, "chunk": chunk, **({"message": name} if name else {})}
        return _status(view, progress, event, WORKING, about=about)
    shown = progress.shown
    if shown and shown[-1].message == name:
        shown = (*shown[:-1], shown[-1]._replace(text=grown(shown[-1].text, chunk)))
    else:
        shown = (*shown, Shown(name, event.id, (chunk,)))
    item = _artifact(view, text_artifact(chunk), append=progress.has_artifact)
    return [item], progress._replace(shown=shown, has_artifact=True)


def _without(view: TaskView, progress: Progress, first: int, message: str | None = None) -> tuple[Items, Progress]:
    """Drop the texts that began with the event `first` or later, of one message if it is named.

    Readers get the rest in place of all that they have.
    """
    kept = tuple(each for each in progress.shown if each.first_event < first or message not in (None, each.message))
    if kept == progress.shown:
        return [], progress
    progress = progress._replace(shown=kept)
    return [_artifact(view, text_artifact(progress.text), append=False)], progress


def _retry(view: TaskView, progress: Progress, event: Event, data: Mapping[str, Any]) -> tuple[Items, Progress]:
    """Return the items of an attempt without a result. Its text is replaced, so that no later text is glued to it."""
    dropped, progress = _without(view, progress, data["discard_from"])
    about = {"attempt": data["attempt"], "error": data["error"], "nextAt": data["next_at"]}
    text = (
        f"Attempt {data['attempt']} has ended without an answer: {data['error']} The next begins at {data['next_at']}."
    )
    note = note_message(f"{view.task_id}-retry-{event.id}", view.task_id, view.context_id, text)
    told, progress = _status(view, progress, event, SUBMITTED, message=note, about={"retry": about})
    return [*dropped, *told], progress


def _end(view: TaskView, progress: Progress, event: Event, data: Mapping[str, Any]) -> tuple[Items, Progress]:
    """Return the items of the end: the rest of the artifacts, then the last status."""
    match event.type:
        case EventType.ERROR:
            error = error_message(view.task_id, view.context_id, data["error"], data["code"])
            return _status(view, progress, event, pb.TaskState.TASK_STATE_FAILED, message=error)
        case EventType.CANCELLED:
            return _status(view, progress, event, pb.TaskState.TASK_STATE_CANCELED)
    items: Items = []
    result = data["result"] or ""
    if result != progress.text:
        items.append(_artifact(view, text_artifact(result), append=False, last=True))
    elif result:
        items.append(_artifact(view, text_artifact(""), append=True, last=True))
    if "output" in data:
        items.append(_artifact(view, output_artifact(data["output"]), append=False, last=True))
    told, progress = _status(view, progress, event, pb.TaskState.TASK_STATE_COMPLETED)
    return [*items, *told], progress


def _status(
    view: TaskView,
    progress: Progress,
    event: Event,
    state: pb.TaskState,
    *,
    message: pb.Message | None = None,
    about: Mapping[str, Any] | None = None,
) -> tuple[Items, Progress]:
    status = pb.TaskStatus(state=state, message=message, timestamp=timestamp_of(event.at))
    return [status_item(view.task_id, view.context_id, status, about)], progress._replace(status=status)


def status_item(
    task_id: str, context_id: str, status: pb.TaskStatus, about: Mapping[str, Any] | None
) -> pb.StreamResponse:
    """Return a status as an item. `about` is what this server tells beside the protocol."""
    update = pb.TaskStatusUpdateEvent(task_id=task_id, context_id=context_id, status=status)
    if about is not None:
        ParseDict({OURS: about}, update.metadata)
    return pb.StreamResponse(status_update=update)


def _artifact(view: TaskView, artifact: pb.Artifact, *, append: bool, last: bool = False) -> pb.StreamResponse:
    update = pb.TaskArtifactUpdateEvent(
        task_id=view.task_id, context_id=view.context_id, artifact=artifact, append=append, last_chunk=last
    )
    return pb.StreamResponse(artifact_update=update)
