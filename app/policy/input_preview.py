"""The text that stands for an input in lists of messages. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from ..models.inputs import RunInput
from ..text import scrubbed

MAX_PREVIEW_LENGTH = 1_000
"""Maximum characters of an input's JSON that are shown."""

HUMANS = ("human", "user")


CONTINUED = "(continues)"
"""Stands for a message that has its graph go on where it stopped."""


def run_preview(given: RunInput) -> str:
    """Return the text that stands for an input without a text of its own."""
    if given.continues:
        return CONTINUED
    if given.command is None:
        return input_preview(given.input or {})
    goto = {"goto": list(given.command.nodes)} if given.command.goto else {}
    return input_preview({**goto, **(given.command.update or {})})


def input_preview(given: Mapping[str, Any]) -> str:
    """Return the text of the last human message in `messages`, or else the beginning of the input as JSON."""
    text = _last_human_text(given.get("messages"))
    if text.strip():
        return text
    shown = scrubbed(json.dumps(given, ensure_ascii=False, separators=(",", ":")))
    return shown if len(shown) <= MAX_PREVIEW_LENGTH else f"{shown[: MAX_PREVIEW_LENGTH - 1]}…"


def _last_human_text(messages: object) -> str:
    found = messages if isinstance(messages, list) else [messages]
    for message in reversed(found):
        match message:
            case str():
                return message
            case [role, content] if role in HUMANS:
                return _text_of(content)
            case {"kwargs": {"content": content, "type": kind}} if kind in HUMANS:
                return _text_of(content)
            case {"content": content} if message.get("role", message.get("type")) in HUMANS:
                return _text_of(content)
    return ""


def _text_of(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return "\n".join(text for text in texts if isinstance(text, str))
