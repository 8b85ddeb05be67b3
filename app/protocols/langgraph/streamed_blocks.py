"""Messages as the agent protocol streams them: a start, content blocks one after the other, and an end."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Data = dict[str, Any]

_TEXTS = {"content": ("text", "text"), "reasoning": ("reasoning", "reasoning")}
"""By the kind of a chunk, the type of its block and the field with its text."""


class OpenMessage(NamedTuple):
    """A message that is being streamed. Its last block is number `block`; `kind` is None behind the end of a block."""

    id: str
    path: tuple[str, ...]
    node: str | None
    block: int = -1
    kind: str | None = None
    text: str = ""

    def start(self) -> Data:
        """Return the data of the message's first event."""
        node = {} if self.node is None else {"metadata": {"langgraph_node": self.node}}
        return {"event": "message-start", "role": "ai", "id": self.id, **node}

    def with_piece(self, kind: str, piece: Any) -> "tuple[list[Data], OpenMessage]":
        """Return the events of one more piece, and the message after it."""
        if kind not in _TEXTS:
            made, message = self._between_blocks()
            block = message.block + 1
            return [*made, *_called(block, piece)], message._replace(block=block)
        made, message = ([], self) if self.kind == kind else self._between_blocks()
        name, field = _TEXTS[kind]
        if message.kind is None:
            message = message._replace(block=message.block + 1, kind=kind, text="")
            made.append({"event": "content-block-start", "index": message.block, "content": {"type": name, field: ""}})
        delta = {"type": f"{name}-delta", field: piece}
        made.append({"event": "content-block-delta", "index": message.block, "delta": delta})
        return made, message._replace(text=message.text + piece)

    def finish(self) -> list[Data]:
        """Return the last events of the message."""
        made, _ = self._between_blocks()
        return [*made, {"event": "message-finish"}]

    def _between_blocks(self) -> "tuple[list[Data], OpenMessage]":
        """Return the event that ends the present block, if there is one, and the message after it."""
        if self.kind is None:
            return [], self
        name, field = _TEXTS[self.kind]
        content = {"type": name, field: self.text}
        made: list[Data] = [{"event": "content-block-finish", "index": self.block, "content": content}]
        return made, self._replace(kind=None, text="")


def _called(index: int, call: Mapping[str, Any]) -> Iterator[Data]:
    """Yield the events of a tool call, whose arguments come as a whole."""
    begun = {"type": "tool_call_chunk", "id": call["id"], "name": call["name"], "args": json.dumps(call["args"])}
    yield {"event": "content-block-start", "index": index, "content": begun}
    whole = {"type": "tool_call", "id": call["id"], "name": call["name"], "args": call["args"]}
    yield {"event": "content-block-finish", "index": index, "content": whole}
