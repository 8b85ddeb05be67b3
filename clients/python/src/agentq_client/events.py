"""The events of a message as types, for `match`. `StreamEvent` is the union of all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Union


@dataclass(frozen=True)
class Event:
    """The base of all events. `id` is None for an event that the log does not store. `data` is all that was sent."""

    id: int | None
    data: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Waiting(Event):
    """The message is queued. `position` is the number of messages before it, `eta` the estimated start."""

    position: int | None
    eta: datetime | None
    reason_code: str | None
    reason: str | None


@dataclass(frozen=True)
class Processing(Event):
    """A worker has started an attempt."""

    attempt: int


@dataclass(frozen=True)
class VersionChanged(Event):
    """Another version of the agent goes on with the message; `to` is None for any version."""

    previous: str
    to: str | None


@dataclass(frozen=True)
class Chunk(Event):
    """The base of the pieces of an answer. `message` names the AI message, `node` the graph's node, where known."""

    index: int
    message: str | None
    node: str | None
    path: tuple[str, ...]


@dataclass(frozen=True)
class Content(Chunk):
    """A piece of the answer's text."""

    text: str


@dataclass(frozen=True)
class Reasoning(Chunk):
    """A piece of the model's reasoning."""

    text: str


@dataclass(frozen=True)
class ToolCall(Chunk):
    """The model calls a tool."""

    call_id: str | None
    name: str
    args: Mapping[str, Any]


@dataclass(frozen=True)
class ToolResult(Chunk):
    """A tool has answered."""

    call_id: str | None
    name: str | None
    content: str
    status: str


@dataclass(frozen=True)
class Discard(Chunk):
    """The text of `message` is not the answer. With `kept`, it stays in the agent's memory as a step on the way."""

    kept: bool
    discard_from: int


@dataclass(frozen=True)
class Custom(Event):
    """A value that the agent's code wrote."""

    value: Any


@dataclass(frozen=True)
class Node(Event):
    """A node of the graph has started or ended: `state` is `start` or `end`."""

    state: str
    node: str
    task: str


@dataclass(frozen=True)
class GraphEvent(Event):
    """One of the events `values`, `updates`, `messages`, `tasks`, `checkpoints` and `debug`, named by `kind`.

    `value` is None if it was larger than what the log stores.
    """

    kind: str
    value: Any


@dataclass(frozen=True)
class Usage(Event):
    """The usage of the model calls of a step, by model."""

    models: Mapping[str, Any]


@dataclass(frozen=True)
class Retry(Event):
    """An attempt ended without a result. Forget the events from the id `discard_from` on."""

    attempt: int
    error: str
    next_at: datetime | None
    discard_from: int


@dataclass(frozen=True)
class Interrupted(Event):
    """The agent asks a human. `questions` has dictionaries of `id` and `value`."""

    questions: tuple[Mapping[str, Any], ...]
    expires_at: datetime | None


@dataclass(frozen=True)
class Resumed(Event):
    """The answer of a human came. Forget the events from the id `discard_from` on."""

    discard_from: int


@dataclass(frozen=True)
class Reset(Event):
    """Forget everything that was shown; `text` is the answer so far."""

    text: str


@dataclass(frozen=True)
class Done(Event):
    """The message has completed. `output` is None if there is none besides the text."""

    text: str
    output: Any
    completed_at: datetime | None


@dataclass(frozen=True)
class Failed(Event):
    """The message has failed."""

    error: str
    code: str
    completed_at: datetime | None


@dataclass(frozen=True)
class Cancelled(Event):
    """The message was cancelled."""

    completed_at: datetime | None


@dataclass(frozen=True)
class Unknown(Event):
    """An event of a later server. Ignore it."""

    kind: str


# `Union`, since Python 3.10 cannot join classes with `|` and show the alias in its documentation.
StreamEvent = Union[  # noqa: UP007  as said above
    Waiting, Processing, VersionChanged, Content, Reasoning, ToolCall, ToolResult, Discard, Custom, Node, GraphEvent,
    Usage, Retry, Interrupted, Resumed, Reset, Done, Failed, Cancelled, Unknown,
]  # fmt: skip

TerminalEvent = Union[Done, Failed, Cancelled]  # noqa: UP007  like the union above

TERMINAL = (Done, Failed, Cancelled)


def to_time(text: str | None) -> datetime | None:
    """Return a time of the API. Python 3.10 reads no `Z`."""
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00"))


def _waiting(_: int | None, data: dict[str, Any]) -> StreamEvent:
    reason = data.get("waiting_reason") or {}
    start = to_time(data.get("estimated_start_at"))
    return Waiting(None, data, data.get("position"), start, reason.get("code"), reason.get("message"))


def _chunk(at: int | None, data: dict[str, Any]) -> StreamEvent:
    index, message, node = data["index"], data.get("message"), data.get("node")
    piece, path = data["chunk"], tuple(data.get("path") or ())
    kind = data["type"]
    if kind == "content":
        return Content(at, data, index, message, node, path, _text(piece))
    if kind == "reasoning":
        return Reasoning(at, data, index, message, node, path, _text(piece))
    if kind == "tool_call":
        return ToolCall(at, data, index, message, node, path, piece.get("id"), piece["name"], piece["args"])
    if kind == "tool_result":
        content, status = piece["content"], piece["status"]
        return ToolResult(at, data, index, message, node, path, piece.get("id"), piece.get("name"), content, status)
    if kind == "discard":
        return Discard(at, data, index, message, node, path, data["kept"], int(data["discard_from"]))
    return Unknown(at, data, f"chunk.{kind}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("expected a text")
    return value


def _graph_event(kind: str) -> Callable[[int | None, dict[str, Any]], StreamEvent]:
    return lambda at, data: GraphEvent(at, data, kind, data.get(kind))


READERS: dict[str, Callable[[int | None, dict[str, Any]], StreamEvent]] = {
    "waiting": _waiting,
    "processing": lambda at, data: Processing(at, data, int(data["attempt"])),
    "version": lambda at, data: VersionChanged(at, data, data["from"], data.get("to")),
    "chunk": _chunk,
    "custom": lambda at, data: Custom(at, data, data.get("data")),
    "node": lambda at, data: Node(at, data, data["state"], data["node"], data["task"]),
    **{kind: _graph_event(kind) for kind in ("values", "updates", "messages", "tasks", "checkpoints", "debug")},
    "usage": lambda at, data: Usage(at, data, data["models"]),
    "retry": lambda at, data: Retry(
        at, data, int(data["attempt"]), data["error"], to_time(data.get("next_at")), int(data["discard_from"])
    ),
    "interrupted": lambda at, data: Interrupted(at, data, tuple(data["interrupts"]), to_time(data.get("expires_at"))),
    "resumed": lambda at, data: Resumed(at, data, int(data["discard_from"])),
    "reset": lambda _, data: Reset(None, data, _text(data["text"])),
    "done": lambda at, data: Done(
        at, data, _text(data["result"]), data.get("output"), to_time(data.get("completed_at"))
    ),
    "error": lambda at, data: Failed(
        at, data, _text(data["error"]), _text(data["code"]), to_time(data.get("completed_at"))
    ),
    "cancelled": lambda at, data: Cancelled(at, data, to_time(data.get("completed_at"))),
}

UNSTORED = frozenset(("waiting", "reset"))


def to_event(kind: str, event_id: int | None, data: str | bytes | Mapping[str, Any]) -> StreamEvent:
    """Return an event of the stream or of the log. Raises ValueError for what no server of this kind sends."""
    try:
        fields = data if isinstance(data, Mapping) else json.loads(data)
        if not isinstance(fields, dict):
            raise TypeError("expected an object")
        if (reader := READERS.get(kind)) is None:
            return Unknown(event_id, fields, kind)
        if event_id is None and kind not in UNSTORED:
            raise TypeError("expected an id")
        return reader(event_id, fields)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"the event `{kind}` cannot be read: {error!r}") from error
