"""The pieces of an agent's answer. Pure."""

from typing import Literal, NamedTuple

ChunkType = Literal["content", "reasoning", "tool_call", "tool_result", "custom", "discard"]
TEXT_CHUNKS = frozenset[ChunkType]({"content", "reasoning"})


class Part(NamedTuple):
    """A piece of an answer. `chunk` is text, an object for tool calls and their results, any JSON for `custom`.

    `message` is the id of the message in the agent's memory that it belongs to, `node` the node that made it. `discard`
    takes the text of a message back; its `chunk` is whether the message stays in the memory.
    """

    type: ChunkType
    chunk: object
    message: str | None = None
    node: str | None = None
