"""The parts of an agent's answer, and what else a run shows."""

from typing import Literal, NamedTuple

ChunkType = Literal["content", "reasoning", "tool_call", "tool_result", "discard"]
TEXT_CHUNKS = frozenset[str]({"content", "reasoning"})

EventPart = Literal["custom", "node", "values", "updates", "usage"]
EVENT_PARTS = frozenset[str]({"custom", "node", "values", "updates", "usage"})

OBJECT_PARTS = frozenset[str]({"node", "usage"})
"""Part types whose content is an object with the event's fields."""


class Part(NamedTuple):
    """A part of an agent's answer, or the content of another event.

    `chunk` is text, an object for tool calls and results, or any JSON for other events. `message` is the id of the
    part's message in the agent's memory. `node` is the graph's node that made the part. `path` has the names of the
    nodes around it that hold subgraphs, outermost first.

    A part of the type `discard` tells readers to remove the text of `message`. Its `chunk` is True if the message stays
    in the memory.
    """

    type: ChunkType | EventPart
    chunk: object
    message: str | None = None
    node: str | None = None
    path: tuple[str, ...] = ()
