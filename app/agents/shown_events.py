"""Makes parts for the run's events that a message asks for besides the answer."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from langgraph.types import StreamMode

from ..models.inputs import ShownEvent
from ..models.parts import Part
from .json_output import as_json

ANSWER_MODES: tuple[StreamMode, ...] = ("messages", "updates", "values")
"""Stream modes that the answer needs, whatever events a message asks for."""

_MODES: dict[ShownEvent, StreamMode] = {
    ShownEvent.CUSTOM: "custom",
    ShownEvent.NODE: "tasks",
    ShownEvent.VALUES: "values",
    ShownEvent.UPDATES: "updates",
    ShownEvent.MESSAGES: "messages",
    ShownEvent.TASKS: "tasks",
    ShownEvent.CHECKPOINTS: "checkpoints",
    ShownEvent.DEBUG: "debug",
}

CHECKPOINT_KEYS = ("checkpoint_ns", "checkpoint_id")
"""The part of a config that names a checkpoint. The rest is this server's, such as the key of the memory."""

OF_UPDATES = "__metadata__"
"""The key under which LangGraph says that an earlier attempt wrote the updates."""

INTERRUPT = "__interrupt__"
"""The key of a question in what a graph streams; the event `interrupted` shows it."""


class ShownEvents:
    """The events that one run shows. `modes` are LangGraph's stream modes that these events and the answer need.

    `finished_tasks` are the ids of tasks that earlier attempts finished. LangGraph starts them again but does not run
    them, so they end at once.
    """

    def __init__(self, asked: Sequence[ShownEvent], finished_tasks: Collection[str] = ()) -> None:
        self._finished_tasks = finished_tasks
        self._asked: dict[str, list[ShownEvent]] = {}
        for event in asked:
            self._asked.setdefault(_MODES[event], []).append(event)
        self._begun: set[str | None] = set()
        """The ids of messages of which a piece was shown."""
        self.modes: list[StreamMode] = list(dict.fromkeys([*ANSWER_MODES, *map(_MODES.__getitem__, asked)]))

    def beside(self, read: Callable[[Any], Iterable[Part]]) -> Callable[[Any], Iterable[Part]]:
        """Return a function that reads an item of the graph's stream.

        It returns the parts that `read` finds in the item, then the parts of the events that the message asked for.
        """
        return (lambda streamed: chain(read(streamed), self._read(streamed))) if self._asked else read

    def _read(self, streamed: Any) -> Iterator[Part]:
        for event in self._asked.get(streamed["type"], ()):
            yield from self._parts(event, streamed)

    def _parts(self, event: ShownEvent, streamed: Any) -> Iterator[Part]:
        data, path = streamed["data"], path_of(streamed["ns"])
        match event:
            case ShownEvent.CUSTOM:
                yield Part("custom", as_json(data), path=path)
            case ShownEvent.NODE:
                named = {"node": data["name"], "task": data["id"]}
                state = "end" if "result" in data else "start"
                yield Part("node", {"state": state, **named}, path=path)
                if state == "start" and data["id"] in self._finished_tasks:
                    yield Part("node", {"state": "end", **named}, path=path)
            case ShownEvent.VALUES if not streamed.get("interrupts"):  # with a question the state comes again
                yield Part("values", as_json(data), path=path)
            case ShownEvent.UPDATES if INTERRUPT not in data:
                written = {name: each for name, each in data.items() if name != OF_UPDATES}
                yield Part("updates", as_json(written), path=path)
            case ShownEvent.MESSAGES:
                yield Part("messages", self._piece(*data), path=path)
            case ShownEvent.TASKS:
                yield Part("tasks", as_json(_task(data)), path=path)
            case ShownEvent.CHECKPOINTS:
                yield Part("checkpoints", as_json(_checkpoint(data)), path=path)
            case ShownEvent.DEBUG:
                of_checkpoint = data["type"] == "checkpoint"
                payload = _checkpoint(data["payload"]) if of_checkpoint else _task(data["payload"])
                yield Part("debug", as_json({**data, "payload": payload}), path=path)

    def _piece(self, message: Any, metadata: Mapping[str, Any]) -> dict[str, object]:
        """Return a piece of a message. The first one of each message has the metadata, which all of them share."""
        piece: dict[str, object] = {"piece": as_json(message)}
        if message.id not in self._begun:
            self._begun.add(message.id)
            piece["metadata"] = as_json(_public(metadata))
        return piece


def _public(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata without the key of the memory and what this server has added."""
    return {name: value for name, value in metadata.items() if name != "thread_id" and not name.startswith("__")}


def _task(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the start or the end of a task."""
    return {**data, "metadata": _public(data["metadata"])} if "metadata" in data else dict(data)


def _checkpoint(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checkpoint. Its configs only name checkpoints."""
    tasks = [{**task, "state": _place(task.get("state"))} for task in data["tasks"]]
    return {
        **data, "config": _place(data["config"]), "parent_config": _place(data["parent_config"]), "tasks": tasks,
        "metadata": _public(data["metadata"]),
    }  # fmt: skip


def _place(config: Any) -> dict[str, Any] | None:
    """Return the part of a config that names a checkpoint, None for none."""
    if not isinstance(config, Mapping):
        return None
    place = config.get("configurable", {})
    return {"configurable": {key: place[key] for key in CHECKPOINT_KEYS if key in place}}


def path_of(namespace: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the nodes in a namespace of LangGraph, without the ids of their tasks."""
    return tuple(each.split(":", 1)[0] for each in namespace)
