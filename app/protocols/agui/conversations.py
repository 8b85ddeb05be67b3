"""Makes AG-UI's messages of those in the state of a thread and in the input of a message. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ag_ui.core import (
    AssistantMessage,
    FunctionCall,
    Message,
    ReasoningMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from pydantic import ValidationError

from ...models.messages import Message as QueueMessage
from .open_parts import reasoning_id
from .projection import FAILED_TOOL

_ROLES = {"human": "user", "ai": "assistant", "developer": "system"}
"""The roles of AG-UI by the types of LangChain's messages, and by roles that say the same."""

_MEDIA = {"image": "image", "audio": "audio", "video": "video", "file": "document"}
"""The types of parts by the types of blocks."""


def shown_messages(given: Sequence[Any]) -> list[Message]:
    """Return messages of a state, or of an input, as clients get them. Those of no known kind are left out."""
    return [made for each in given if isinstance(each, Mapping) for made in _shown(each)]


def _shown(given: Mapping[str, Any]) -> Iterator[Message]:
    name = given.get("id")
    role = given.get("role") or given.get("type") or ""
    if not isinstance(name, str):
        return
    content = given.get("content")
    match _ROLES.get(role, role):
        case "user":
            yield user_message(name, content)
        case "system":
            yield SystemMessage(id=name, content=_text_of(content))
        case "tool":
            failed = FAILED_TOOL if given.get("status") == "error" else None
            call = str(given.get("tool_call_id") or "")
            yield ToolMessage(id=name, tool_call_id=call, content=_result_of(content), metadata=failed)
        case "assistant":
            if reasoning := _reasoning_of(content):
                yield ReasoningMessage(id=reasoning_id(name), content=reasoning)
            calls = [_call(each) for each in given.get("tool_calls") or ()]
            yield AssistantMessage(id=name, content=_text_of(content) or None, tool_calls=calls or None)


def user_message(name: str, content: Any) -> Message:
    """Return a message of the user with a text, or with blocks in LangChain's standard form."""
    if isinstance(content, list):
        try:
            return UserMessage.model_validate({"id": name, "content": [_part(each) for each in content]})
        except (ValidationError, LookupError, TypeError):
            pass  # blocks that AG-UI has no part for
    return UserMessage(id=name, content=_text_of(content))


def given_messages(message: QueueMessage) -> list[Message]:
    """Return what a message of the queue adds to its conversation."""
    run = message.options.run
    given = (run.input or {}).get("messages")
    if isinstance(given, list) and given:
        return shown_messages(given)
    content = message.content if run.blocks is None else list(run.blocks)
    return [user_message(run.message_id or message.id, content)]


def merged(
    before: Sequence[Message], given: Sequence[Message], made: Sequence[Message], *, ended: bool
) -> list[Message]:
    """Return the conversation: what came before a message, what was `given` by it, and what its run has `made`.

    `before` is of the state, which may have some of the given and made messages already, and may be behind. With
    `ended`, the rest of it belongs to later messages.
    """
    names = {each.id for each in given}
    at = next((index for index, each in enumerate(before) if each.id in names), len(before))
    own = names | {each.id for each in made}
    rest = [each for each in before[at:] if each.id not in own] if ended else []
    return [*(each for each in before[:at] if each.id not in own), *given, *made, *rest]


def _part(block: Any) -> dict[str, Any]:
    if isinstance(block, str) or block["type"] == "text":
        return {"type": "text", "text": block if isinstance(block, str) else block["text"]}
    kind, mime_type = _MEDIA[block["type"]], block.get("mime_type")
    for name, source in (("base64", "data"), ("url", "url"), ("file_id", "file")):
        if block.get(name) is not None:
            media = {} if mime_type is None else {"mimeType": mime_type}
            return {"type": kind, "source": {"type": source, "value": block[name], **media}}
    raise KeyError(block["type"])


def _call(call: Mapping[str, Any]) -> ToolCall:
    """Return a tool call in the form of LangChain's messages or of OpenAI's."""
    function = call.get("function") or {"name": call.get("name"), "arguments": json.dumps(call.get("args"))}
    named = FunctionCall(name=str(function["name"]), arguments=str(function["arguments"]))
    return ToolCall(id=str(call.get("id") or ""), function=named)


def _text_of(content: Any) -> str:
    return content if isinstance(content, str) else "".join(_of_type(content, "text"))


def _reasoning_of(content: Any) -> str:
    return "" if isinstance(content, str) else "".join(_of_type(content, "reasoning"))


def _of_type(content: Any, kind: str) -> Iterator[str]:
    for block in content if isinstance(content, list) else ():
        if isinstance(block, str) and kind == "text":
            yield block
        elif isinstance(block, Mapping) and block.get("type") == kind and isinstance(block.get(kind), str):
            yield block[kind]


def _result_of(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content)
