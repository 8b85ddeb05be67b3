"""Makes the server-sent events of a run from the stored events of its message."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rpds import HashTrieMap

from ...models.events import Event, EventType
from ..shown_messages import ShownMessage, ShownMessages, with_piece
from .modes import StreamMode, shown_events
from .streamed_messages import Streamed, message_so_far, piece_of_message, tool_message

Frame = tuple[str, Any]
"""The name of a server-sent event, and its data."""

_OF_MODES = frozenset(EventType(event) for event in shown_events(list(StreamMode)))
"""Stored events with the names of their modes, whose content is shown as it is."""

_ENCODER = json.JSONEncoder(separators=(",", ":"))


class Partial(NamedTuple):
    """The data of a frame that shows a message so far. A later frame of the message has all of it."""

    message_id: str
    streamed: Streamed


class FrameId(NamedTuple):
    """The id of a server-sent event: a stored event, and which of the frames that were made from it."""

    event: int
    frame: int

    def __str__(self) -> str:
        return f"{self.event}-{self.frame}"


class RunView(NamedTuple):
    """The run that a client reads, and what the client wants to see of it.

    A run is a part of its message's log: from an accept or an answer to the next question or the end.
    """

    run_id: str
    thread_id: str
    graph_id: str
    assistant_id: str
    modes: frozenset[StreamMode]
    subgraphs: bool = False


class Progress(NamedTuple):
    """The state on which later frames depend. It is never changed, so that readers can share it.

    `values` is the graph's newest state. `shown` has the messages that attempts of the run showed, and `earlier` the
    ids of those that runs before showed: a later attempt shows the text of finished steps again, and clients would add
    it to what they have. `whole` has messages as they are so far, by their ids, for the mode that shows them whole.
    `ended` says that the log has no further events of this run.
    """

    attempt: int = 0
    values: Any = None
    shown: ShownMessages = HashTrieMap()
    whole: "HashTrieMap[str, Streamed]" = HashTrieMap()
    earlier: frozenset[str] = frozenset()
    ended: bool = False


def frames_of(view: RunView, progress: Progress, events: Sequence[Event], after: FrameId) -> tuple[bytes, Progress]:
    """Return the frames behind the frame `after` that consecutive events give, and the progress after the events.

    The events begin where the progress ends. Those behind the end of the run give nothing. A long message is shown so
    far only once, at its last piece: with each piece, the frames would grow with the square of the message.
    """
    made: list[tuple[FrameId, str, Any] | None] = []
    partials: dict[str, int] = {}
    for event in events:
        if progress.ended:
            break
        frames, progress = _project(view, progress, event)
        for number, (name, data) in enumerate(frames):
            if isinstance(data, Partial):
                if data.message_id in partials:
                    made[partials[data.message_id]] = None
                if data.streamed.is_long:
                    partials[data.message_id] = len(made)
            made.append((FrameId(event.id, number), name, data))
    return (
        "".join(_written(frame) for frame in made if frame is not None and frame[0] > after).encode("ascii"),
        progress,
    )


def _written(frame: tuple[FrameId, str, Any]) -> str:
    frame_id, name, data = frame
    if isinstance(data, Partial):
        data = [message_so_far(*data)]
    return f"event: {name}\ndata: {_ENCODER.encode(data)}\nid: {frame_id}\n\n"


def messages_in(events: Sequence[Event]) -> set[str]:
    """Return the ids of the messages that events show."""
    found = (json.loads(event.data).get("message") for event in events if event.type is EventType.CHUNK)
    return {message_id for message_id in found if message_id is not None}


def _project(view: RunView, progress: Progress, event: Event) -> tuple[Sequence[Frame], Progress]:
    """Return the frames of one event, and the progress after it."""
    data = json.loads(event.data)
    frames: Sequence[Frame] = ()
    match event.type:
        case EventType.PROCESSING:
            progress = progress._replace(attempt=progress.attempt + 1)
            frames = [("metadata", {"run_id": view.run_id, "attempt": progress.attempt})]
        case EventType.CHUNK if _is_shown(view, data):
            frames, progress = _project_chunk(view, progress, data)
        case _ if event.type in _OF_MODES and "omitted" not in data and _is_shown(view, data):
            frames, progress = _project_shown(view, progress, event.type, data)
        case EventType.INTERRUPTED:
            frames, progress = list(_questions(view, progress, data["interrupts"])), progress._replace(ended=True)
        case EventType.ERROR:
            frames = [("error", {"error": data["code"], "message": data["error"]})]
            progress = progress._replace(ended=True)
        case EventType.DONE | EventType.CANCELLED:
            progress = progress._replace(ended=True)
    return frames, progress


def _is_shown(view: RunView, data: Mapping[str, Any]) -> bool:
    """Return whether an event is of the graph itself, or the client wants to see subgraphs too."""
    return view.subgraphs or not data.get("path")


def _project_shown(
    view: RunView, progress: Progress, kind: EventType, data: Mapping[str, Any]
) -> tuple[list[Frame], Progress]:
    """Return the frame of an event that has the name of its mode."""
    mode = StreamMode(kind)
    content = data["data"] if mode is StreamMode.CUSTOM else data[mode]
    if mode is StreamMode.VALUES and not data.get("path"):
        progress = progress._replace(values=content)
    if mode is StreamMode.DEBUG and content.get("type") == "checkpoint":
        content = {**content, "payload": _with_checkpoints(view, content["payload"])}
    return [(_name(mode, data), content)] if mode in view.modes else [], progress


def _with_checkpoints(view: RunView, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `debug` tells of a checkpoint. It names checkpoints as states do, beside the configs."""
    tasks = []
    for task in payload["tasks"]:
        state = _checkpoint(view, task.get("state"))
        shown = {key: value for key, value in task.items() if key != "state"}
        tasks.append(task if state is None else {**shown, "checkpoint": state})
    return {
        **payload,
        "tasks": tasks,
        "checkpoint": _checkpoint(view, payload["config"]),
        "parent_checkpoint": _checkpoint(view, payload["parent_config"]),
    }


def _checkpoint(view: RunView, config: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if config is None else {"thread_id": view.thread_id, **config["configurable"]}


def _project_chunk(view: RunView, progress: Progress, data: Mapping[str, Any]) -> tuple[list[Frame], Progress]:
    """Return the frames of a piece of a message, in both forms."""
    name = data.get("message") or f"{view.run_id}-{progress.attempt}"
    if data["type"] == "discard" or name in progress.earlier:
        return [], progress
    pieces, message, shown = with_piece(progress.shown, progress.attempt, name, data["type"], data["chunk"])
    progress = progress._replace(shown=shown)
    metadata = _metadata(view, progress, data)
    frames: list[Frame] = []
    for kind, piece in pieces:
        if StreamMode.MESSAGES_TUPLE in view.modes:
            frames.append((_name("messages", data), [_shown_piece(message, kind, piece), metadata]))
        if StreamMode.MESSAGES in view.modes:
            made, progress = _whole_message(progress, message.id, kind, piece, data, metadata)
            frames += made
    return frames, progress


def _whole_message(
    progress: Progress, message_id: str, kind: str, piece: Any, data: Mapping[str, Any], metadata: Mapping[str, Any]
) -> tuple[list[Frame], Progress]:
    """Return the frames that show a message as it is after a piece."""
    so_far = progress.whole.get(message_id)
    frames: list[Frame] = []
    if so_far is None:
        frames.append((_name("messages/metadata", data), {message_id: {"metadata": metadata}}))
    if kind == "tool_result":
        frames.append((_name("messages/complete", data), [tool_message(message_id, piece)]))
        return frames, progress
    so_far = (so_far or Streamed()).with_piece(kind, piece)
    frames.append((_name("messages/partial", data), Partial(message_id, so_far)))
    return frames, progress._replace(whole=progress.whole.insert(message_id, so_far))


def _shown_piece(message: ShownMessage, kind: str, piece: Any) -> dict[str, Any]:
    if kind == "tool_result":
        return tool_message(message.id, piece)
    return piece_of_message(message.id, kind, piece, message.others - 1)


def _metadata(view: RunView, progress: Progress, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what pages read about a piece: its run, and the node that made it."""
    path = [*data.get("path", ()), *([data["node"]] if "node" in data else ())]
    return {
        "run_id": view.run_id,
        "thread_id": view.thread_id,
        "graph_id": view.graph_id,
        "assistant_id": view.assistant_id,
        "run_attempt": progress.attempt,
        "langgraph_node": data.get("node"),
        "langgraph_checkpoint_ns": "|".join(path),
    }


def _questions(view: RunView, progress: Progress, interrupts: Sequence[Any]) -> Iterator[Frame]:
    """Yield the frames of questions to a human, with which the run ends."""
    if StreamMode.UPDATES in view.modes:
        yield "updates", {"__interrupt__": interrupts}
    if StreamMode.VALUES in view.modes:
        values = progress.values if isinstance(progress.values, dict) else {}
        yield "values", {**values, "__interrupt__": interrupts}


def _name(mode: str, data: Mapping[str, Any]) -> str:
    """Return the name of a frame, which has the path of its subgraph."""
    return "|".join((mode, *data.get("path", ())))
