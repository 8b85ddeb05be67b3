"""Reads the messages in a graph's state, in any form that nodes may write."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.utils import convert_to_messages


def as_messages(written: Any) -> list[BaseMessage]:
    """Return the messages in what a node wrote. Messages in other forms, such as dicts, are converted."""
    found: list[BaseMessage] = []
    for item in written if isinstance(written, list) else [written]:
        if isinstance(item, BaseMessage):
            found.append(item)
        else:
            try:
                found += convert_to_messages([item])
            except Exception:  # noqa: BLE001, S112  the graph's own reducer reports the error
                continue
    return found


def id_of(message: Any) -> str | None:
    """Return the id of a message; None if it has none. Without LangGraph's reducer, `message` may be any object."""
    found = message.get("id") if isinstance(message, dict) else getattr(message, "id", None)
    return found if isinstance(found, str) else None


def key_of(message: Any, index: int) -> str:
    """Return the id of a message; without an id, `#` and the message's index."""
    return id_of(message) or f"#{index}"


def keys_of(messages: Sequence[Any]) -> set[str]:
    """Return the keys of all messages of a list."""
    return {key_of(message, index) for index, message in enumerate(messages)}


def goes_on(message: AIMessage) -> bool:
    """Return whether more pieces of the message will follow."""
    return isinstance(message, AIMessageChunk) and message.chunk_position is None


def reasoning_in(message: AIMessage) -> str:
    """Return the reasoning in the content blocks of a message."""
    return "".join(
        block["reasoning"]
        for block in message.content_blocks
        if block["type"] == "reasoning" and block.get("reasoning")
    )


def reasoning_beside(message: AIMessage) -> str:
    """Return the reasoning of a message whose content is plain text."""
    beside = message.additional_kwargs
    for key in ("reasoning_content", "reasoning"):
        found = beside.get(key)
        if isinstance(found, str):
            return found
        if found:
            return reasoning_in(message)
    return ""
