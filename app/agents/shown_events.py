"""Makes parts for the run's events that a message asks for besides the answer."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
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
}

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
        self._asked = {_MODES[event]: event for event in asked}
        self.modes: list[StreamMode] = list(dict.fromkeys([*ANSWER_MODES, *self._asked]))

    def beside(self, read: Callable[[Any], Iterable[Part]]) -> Callable[[Any], Iterable[Part]]:
        """Return a function that reads an item of the graph's stream.

        It returns the parts that `read` finds in the item, then the parts of the events that the message asked for.
        """
        return (lambda streamed: chain(read(streamed), self._read(streamed))) if self._asked else read

    def _read(self, streamed: Any) -> Iterator[Part]:
        event = self._asked.get(streamed["type"])
        if event is None:
            return
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


def path_of(namespace: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the nodes in a namespace of LangGraph, without the ids of their tasks."""
    return tuple(each.split(":", 1)[0] for each in namespace)
