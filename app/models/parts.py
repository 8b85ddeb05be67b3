"""The parts of an agent's answer, and what else a run shows."""

from typing import Literal, NamedTuple, get_args

ChunkType = Literal["content", "reasoning", "tool_call", "tool_result", "discard"]
TEXT_CHUNKS = frozenset[str]({"content", "reasoning"})

EventPart = Literal["custom", "node", "values", "updates", "messages", "tasks", "checkpoints", "debug"]
EVENT_PARTS = frozenset[str](get_args(EventPart))

OBJECT_PARTS = frozenset[str]({"node"})
"""Part types whose content is an object with the event's fields."""


class Part(NamedTuple):
    """A part of an agent's answer, or the content of another event.

    `chunk` is text, an object for tool calls and results, or any JSON for other events. `message` is the id of the
    part's message in the agent's memory. `node` is the graph's node that made the part. `path` has the names of the
    nodes around it that hold subgraphs, outermost first.

    A part of the type `discard` tells readers to remove the text of `message`. Its `chunk` is True if the message stays
    in the memory. A part of the type `usage` is no part of the answer: it says that the calls of a step can be taken
    from the run's `TokenUsage`.
    """

    type: ChunkType | EventPart | Literal["usage"]
    chunk: object
    message: str | None = None
    node: str | None = None
    path: tuple[str, ...] = ()


USAGE = Part("usage", None)
"""The part between two steps that tells the caller to take what the model calls of the first step used."""
