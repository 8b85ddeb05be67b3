"""The parts of an agent's answer."""

from typing import Literal, NamedTuple

ChunkType = Literal["content", "reasoning", "tool_call", "tool_result", "custom", "discard"]
TEXT_CHUNKS = frozenset[ChunkType]({"content", "reasoning"})


class Part(NamedTuple):
    """A part of an agent's answer. `chunk` is text, an object for tool calls and results, or any JSON for `custom`.

    `message` is the id of the part's message in the agent's memory. `node` is the graph's node that made the part. A
    `discard` takes back the text of a message. Its `chunk` is True if the message stays in the memory.
    """

    type: ChunkType
    chunk: object
    message: str | None = None
    node: str | None = None
