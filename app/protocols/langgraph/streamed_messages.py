"""Messages as LangChain writes them, made from the pieces in a run's log."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

LONG_TEXT = 4_000
LONG_CALLS = 20
"""Sizes of long messages: more characters, or more tool calls."""


class Streamed(NamedTuple):
    """The pieces of an AI message so far."""

    content: str = ""
    reasoning: str = ""
    calls: tuple[Mapping[str, Any], ...] = ()

    @property
    def is_long(self) -> bool:
        """Return whether the message is too long to be shown whole with each of its pieces."""
        return len(self.content) + len(self.reasoning) > LONG_TEXT or len(self.calls) > LONG_CALLS

    def with_piece(self, kind: str, piece: Any) -> "Streamed":
        """Return the message with one more piece of its text, its reasoning or its tool calls."""
        match kind:
            case "content":
                return self._replace(content=self.content + piece)
            case "reasoning":
                return self._replace(reasoning=self.reasoning + piece)
            case _:
                return self._replace(calls=(*self.calls, piece))


def message_so_far(message_id: str, streamed: Streamed) -> dict[str, Any]:
    """Return an AI message that may not be whole yet."""
    return {
        "content": streamed.content,
        "additional_kwargs": _reasoning(streamed.reasoning),
        "response_metadata": {},
        "type": "ai",
        "name": None,
        "id": message_id,
        "tool_calls": [_tool_call(call) for call in streamed.calls],
        "invalid_tool_calls": [],
        "usage_metadata": None,
    }


def piece_of_message(message_id: str, kind: str, piece: Any, calls_before: int) -> dict[str, Any]:
    """Return one piece of an AI message. `calls_before` counts the message's tool calls in earlier pieces.

    LangChain joins the pieces with the same id: texts one after the other, tool calls by their index.
    """
    called = kind == "tool_call"
    return {
        "content": piece if kind == "content" else "",
        "additional_kwargs": _reasoning(piece) if kind == "reasoning" else {},
        "response_metadata": {},
        "type": "AIMessageChunk",
        "name": None,
        "id": message_id,
        "tool_calls": [_tool_call(piece)] if called else [],
        "invalid_tool_calls": [],
        "usage_metadata": None,
        "tool_call_chunks": [_call_chunk(piece, calls_before)] if called else [],
        "chunk_position": None,
    }


def tool_message(message_id: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message with a tool's result."""
    return {
        "content": result["content"],
        "additional_kwargs": {},
        "response_metadata": {},
        "type": "tool",
        "name": result["name"],
        "id": message_id,
        "tool_call_id": result["id"],
        "artifact": None,
        "status": result["status"],
    }


def _reasoning(text: str) -> dict[str, str]:
    return {"reasoning_content": text} if text else {}


def _tool_call(call: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": call["name"], "args": call["args"], "id": call["id"], "type": "tool_call"}


def _call_chunk(call: Mapping[str, Any], index: int) -> dict[str, Any]:
    args = json.dumps(call["args"])
    return {"name": call["name"], "args": args, "id": call["id"], "index": index, "type": "tool_call_chunk"}
