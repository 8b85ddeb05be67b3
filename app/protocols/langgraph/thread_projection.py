"""Makes the events of LangGraph's agent protocol from the stored events of the messages of a thread."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from rpds import HashTrieMap

from ...models.events import Event, EventType
from .streamed_blocks import OpenMessage

FRAMES_AN_EVENT = 2**10
EVENTS_A_MESSAGE = 2**22
"""Places for frames and events in a `seq`. With 2^21 messages of a thread, it is a whole number in JavaScript."""

MESSAGE_PLACES = FRAMES_AN_EVENT * EVENTS_A_MESSAGE

Path = tuple[str, ...]

_ENCODER = json.JSONEncoder(separators=(",", ":"))

_NO_MESSAGES: Mapping[str, OpenMessage] = {}


class Place(NamedTuple):
    """The place of a frame in a thread: which message, which event of its log, and which frame made from the event."""

    message: int = 0
    event: int = 0
    frame: int = FRAMES_AN_EVENT - 1

    @property
    def seq(self) -> int:
        """Return the place as a number that grows along the thread."""
        return (self.message * EVENTS_A_MESSAGE + self.event) * FRAMES_AN_EVENT + min(self.frame, FRAMES_AN_EVENT - 1)

    @classmethod
    def of(cls, seq: int) -> "Place":
        """Return the place with this number."""
        message, rest = divmod(seq, MESSAGE_PLACES)
        return cls(message, *divmod(rest, FRAMES_AN_EVENT))


class Subscription(NamedTuple):
    """The part of a thread that a reader wants to see.

    `namespaces` are prefixes, and None stands for all; `depth` counts below them.
    """

    channels: frozenset[str]
    namespaces: tuple[Path, ...] | None = None
    depth: int | None = None

    def shows(self, method: str, path: Path, data: Any) -> bool:
        """Return whether the reader sees an event."""
        return self._has_channel(method, data) and self._has_path(path)

    def _has_channel(self, method: str, data: Any) -> bool:
        if method == "input.requested":
            return "input" in self.channels
        return method in self.channels or (method == "custom" and f"custom:{data.get('name')}" in self.channels)

    def _has_path(self, path: Path) -> bool:
        if not self.namespaces:
            return True
        return any(
            _begins_with(path, prefix) and (self.depth is None or len(path) - len(prefix) <= self.depth)
            for prefix in self.namespaces
        )


def _begins_with(path: Path, prefix: Path) -> bool:
    """Return whether a path begins with a prefix, whose entries may leave out the ids behind the nodes' names."""
    return len(prefix) <= len(path) and all(
        given == wanted or (":" not in wanted and given.partition(":")[0] == wanted)
        for given, wanted in zip(path, prefix, strict=False)
    )


class MessageView(NamedTuple):
    """A message of a thread as a reader sees it.

    `answers` has the runs that answers to its questions began: the first event of each, and its id.
    """

    message_id: str
    number: int
    graph: str
    wanted: Subscription
    answers: tuple[tuple[int, str], ...] = ()

    def run_at(self, event: int) -> str:
        """Return the id of the run to which an event belongs."""
        return next((run for first, run in reversed(self.answers) if first <= event), self.message_id)

    def event_id(self, place: Place, method: str) -> str:
        """Return the id of a frame. Clients read the id of a run between the first two colons of its lifecycle."""
        if method in ("lifecycle", "input.requested"):
            return f"synth:{self.run_at(place.event)}:{place.event}-{place.frame}"
        return f"{self.message_id}-{place.event}-{place.frame}"


class Made(NamedTuple):
    """An event of the protocol."""

    method: str
    path: Path
    data: Any
    node: str | None = None


class MessageProgress(NamedTuple):
    """The state on which later frames of a message depend. It is never changed, so that readers can share it.

    `open` has the unfinished AI messages by their ids. `shown` has the attempt that first showed each message: a later
    attempt shows it again, and clients would add its text to what they have. `paths` are subgraphs that run.
    """

    attempt: int = 0
    runs: bool = False
    open: Mapping[str, OpenMessage] = _NO_MESSAGES
    shown: "HashTrieMap[str, int]" = HashTrieMap()
    paths: tuple[Path, ...] = ()
    ended: bool = False


def thread_frames(
    view: MessageView, progress: MessageProgress, events: Sequence[Event], after: Place
) -> tuple[bytes, MessageProgress]:
    """Return the frames behind `after` that consecutive events of a message give, and the progress after the events.

    The events begin where the progress ends. Each frame has the same place for all readers, whatever they see.
    """
    written: list[str] = []
    for event in events:
        made, progress = _project(view, progress, event)
        for number, each in enumerate(made):
            place = Place(view.number, event.id, number)
            if place > after and view.wanted.shows(each.method, each.path, each.data):
                written.append(_frame(view, place, event.at, each))
    return "".join(written).encode("ascii"), progress


def _frame(view: MessageView, place: Place, at: int, made: Made) -> str:
    node = {} if made.node is None else {"node": made.node}
    text = _ENCODER.encode(
        {
            "type": "event",
            "event_id": view.event_id(place, made.method),
            "seq": place.seq,
            "method": made.method,
            "params": {"namespace": made.path, "timestamp": at, **node, "data": made.data},
        }
    )
    return f"event: {made.method}\ndata: {text}\nid: {place.seq}\n\n"


def _project(view: MessageView, progress: MessageProgress, event: Event) -> tuple[list[Made], MessageProgress]:
    """Return what the protocol shows of one event, and the progress after it."""
    data = json.loads(event.data)
    if "omitted" in data:  # too large to be stored
        return [], progress
    path: Path = tuple(data.get("path", ()))
    entered, progress = _entered(progress, path)
    if event.type is EventType.CHUNK:
        made, progress = _chunk(view, progress, path, data)
    elif event.type in _SHOWN:
        made, progress = _shown(progress, event.type, path, data)
    else:
        made, progress = _moved(view, progress, event.type, data)
    return [*entered, *made], progress


_SHOWN = frozenset({EventType.VALUES, EventType.UPDATES, EventType.CUSTOM, EventType.TASKS, EventType.CHECKPOINTS})
"""Events that a run shows besides its messages."""


def _shown(
    progress: MessageProgress, kind: EventType, path: Path, data: Mapping[str, Any]
) -> tuple[list[Made], MessageProgress]:
    """Return the events for what a run shows besides its messages."""
    match kind:
        case EventType.VALUES:
            whole = [each for each in progress.open.values() if each.path[: len(path)] == path]
            made, progress = _closed(progress, whole)
            return [*made, Made("values", path, data["values"])], progress
        case EventType.UPDATES:
            return _updated(progress, path, data["updates"])
        case EventType.CUSTOM:
            return [Made("custom", path, _custom(data["data"]))], progress
        case EventType.TASKS:
            return [Made("tasks", path, data["tasks"])], progress
        case _:
            return [Made("checkpoints", path, _checkpoint(data["checkpoints"]))], progress


_ENDS = MappingProxyType({EventType.ERROR: "failed", EventType.DONE: "completed", EventType.CANCELLED: "interrupted"})
"""The protocol's names of the ends. LangGraph's own server calls a cancel so too."""


def _moved(
    view: MessageView, progress: MessageProgress, kind: EventType, data: Mapping[str, Any]
) -> tuple[list[Made], MessageProgress]:
    """Return the events for a change of the message's state."""
    match kind:
        case EventType.PROCESSING:
            return _begun(view, progress)
        case EventType.RETRY | EventType.RESUMED:
            return _closed(progress, progress.open.values())
        case EventType.INTERRUPTED:
            questions = [Made("input.requested", (), _question(each)) for each in data["interrupts"]]
            return _stopped(view, progress, "interrupted", before=questions)
        case EventType.ERROR | EventType.DONE | EventType.CANCELLED:
            return _ended(view, progress, _ENDS[kind], {"error": data["error"]} if kind is EventType.ERROR else {})
        case _:
            return [], progress


def _entered(progress: MessageProgress, path: Path) -> tuple[list[Made], MessageProgress]:
    """Tell of subgraphs that show something for the first time."""
    new = [path[:size] for size in range(1, len(path) + 1) if path[:size] not in progress.paths]
    if not new:
        return [], progress
    made = []
    for each in new:
        name, _, task = each[-1].partition(":")
        data = {"event": "started", "namespace": each, "graph_name": name, "trigger_call_id": task}
        made.append(Made("lifecycle", each, data))
    return made, progress._replace(paths=(*progress.paths, *new))


def _begun(view: MessageView, progress: MessageProgress) -> tuple[list[Made], MessageProgress]:
    """Begin an attempt. The messages so far belong to earlier ones."""
    made, progress = _closed(progress, progress.open.values())
    if not progress.runs:
        made.append(Made("lifecycle", (), {"event": "running", "graph_name": view.graph}))
    return made, progress._replace(attempt=progress.attempt + 1, runs=True)


def _ended(
    view: MessageView, progress: MessageProgress, how: str, more: Mapping[str, Any]
) -> tuple[list[Made], MessageProgress]:
    """End the last run of a message."""
    made, progress = _stopped(view, progress, how, more)
    return made, progress._replace(ended=True)


def _stopped(
    view: MessageView,
    progress: MessageProgress,
    how: str,
    more: Mapping[str, Any] | None = None,
    before: Sequence[Made] = (),
) -> tuple[list[Made], MessageProgress]:
    """End a run and its subgraphs, after its unfinished messages and after `before`."""
    made, progress = _closed(progress, progress.open.values())
    made += before
    for path in reversed(progress.paths):
        made.append(Made("lifecycle", path, {"event": how, "graph_name": path[-1].partition(":")[0]}))
    made.append(Made("lifecycle", (), {"event": how, "graph_name": view.graph, **(more or {})}))
    return made, progress._replace(runs=False, paths=())


def _closed(progress: MessageProgress, messages: Iterable[OpenMessage]) -> tuple[list[Made], MessageProgress]:
    """Finish some of the unfinished messages."""
    made: list[Made] = []
    left = dict(progress.open)
    for message in list(messages):
        made += _of_message(message, message.finish(), alone=len(progress.open) == 1)
        del left[message.id]
    return made, progress._replace(open=left) if made else progress


def _of_message(message: OpenMessage, made: Iterable[dict[str, Any]], *, alone: bool) -> Iterator[Made]:
    """Yield the events of a message. If it is not `alone`, they name it: nodes that run side by side mix theirs."""
    for data in made:
        named = data if alone or "id" in data else {**data, "message_id": message.id}
        yield Made("messages", message.path, named, message.node)


def _chunk(
    view: MessageView, progress: MessageProgress, path: Path, data: Mapping[str, Any]
) -> tuple[list[Made], MessageProgress]:
    """Return the events of a piece of a message, or of the result of a tool."""
    kind, piece = data["type"], data["chunk"]
    message_id = data.get("message") or f"{view.message_id}-{progress.attempt}"
    attempt = progress.shown.get(message_id)
    if kind == "discard" or attempt not in (None, progress.attempt):
        return [], progress
    if attempt is None:
        progress = progress._replace(shown=progress.shown.insert(message_id, progress.attempt))
    if kind == "tool_result":
        made, progress = _closed(progress, (each for each in progress.open.values() if each.path == path))
        made.append(Made("tools", path, _tool_result(piece)))
        return made, progress
    made = []
    node = data.get("node")
    message = progress.open.get(message_id)
    if message is None:
        alike = [each for each in progress.open.values() if (each.path, each.node) == (path, node)]
        made, progress = _closed(progress, alike)
        message = OpenMessage(message_id, path, node)
        made.append(Made("messages", path, message.start(), node))
    pieces, message = message.with_piece(kind, piece)
    left = {**progress.open, message_id: message}
    made += _of_message(message, pieces, alone=len(left) == 1)
    if kind == "tool_call":
        started = {"event": "tool-started", "tool_call_id": piece["id"], "tool_name": piece["name"]}
        made.append(Made("tools", path, {**started, "input": piece["args"]}))
    return made, progress._replace(open=left)


def _tool_result(result: Mapping[str, Any]) -> dict[str, Any]:
    if result["status"] == "error":
        return {"event": "tool-error", "tool_call_id": result["id"], "message": str(result["content"])}
    return {"event": "tool-finished", "tool_call_id": result["id"], "output": result["content"]}


def _updated(progress: MessageProgress, path: Path, updates: Any) -> tuple[list[Made], MessageProgress]:
    """Return an event for each node that wrote to the state. The messages of these nodes are whole."""
    if not isinstance(updates, dict):
        return [Made("updates", path, {"values": updates})], progress
    whole = [each for each in progress.open.values() if each.path == path and each.node in updates]
    made, progress = _closed(progress, whole)
    made += [Made("updates", path, {"node": node, "values": values}) for node, values in updates.items()]
    return made, progress


def _custom(data: Any) -> dict[str, Any]:
    """Return what a node wrote, by the name that it gave."""
    name = data.get("name") if isinstance(data, dict) else None
    return {"name": name, "payload": data} if isinstance(name, str) and name else {"payload": data}


def _checkpoint(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return where a checkpoint is in its thread, without its state."""
    metadata = data.get("metadata") or {}
    parent = ((data.get("parent_config") or {}).get("configurable") or {}).get("checkpoint_id")
    return {
        "id": ((data.get("config") or {}).get("configurable") or {}).get("checkpoint_id"),
        **({} if parent is None else {"parent_id": parent}),
        "step": metadata.get("step"),
        "source": metadata.get("source"),
    }


def _question(interrupt: Mapping[str, Any]) -> dict[str, Any]:
    """Return a question. Python's client reads `value`, the JavaScript client `payload`."""
    return {"interrupt_id": interrupt["id"], "payload": interrupt["value"], "value": interrupt["value"]}
