"""Makes messages of the queue of what a page sends."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ag_ui.core import (
    AssistantMessage,
    DeveloperMessage,
    Message,
    SystemMessage,
    ToolMessage,
    UserMessage,
)

from ...models.inputs import RunConfig, RunInput, ShownEvent
from ...models.messages import MessageOptions, NewMessage, Priority
from ...policy.input_preview import input_preview
from .schemas import AgentRun, Input, blocks_of


def run_alias(thread_id: str, run_id: str) -> str:
    """Return the alias of the run that a client knows by these ids. No two threads share one."""
    return _alias("run", thread_id, run_id)


def message_alias(thread_id: str, message_id: str) -> str:
    """Return the alias of the message that a client gave this id in a thread."""
    return _alias("message", thread_id, message_id)


def _alias(kind: str, thread_id: str, name: str) -> str:
    return f"agui-{hashlib.sha256(json.dumps([kind, thread_id, name]).encode()).hexdigest()}"


def new_message(
    body: AgentRun,
    agent: str,
    given: Sequence[Message],
    *,
    state: Mapping[str, Any],
    shows_state: bool,
) -> NewMessage:
    """Return the message for the queue manager. `given` are the messages that the agent does not have yet.

    `state` has the values that the page has changed or gives. A run with `shows_state` shows the state after each step.
    """
    props = body.props
    last = last_given(given)
    only = given[0] if len(given) == 1 and isinstance(given[0], UserMessage) and not state else None
    blocks = [] if only is None else blocks_of(only)
    is_text = len(blocks) == 1 and blocks[0]["type"] == "text"
    dicts = [dict_of(each) for each in given]
    run = RunInput(
        blocks=tuple(blocks) if blocks and not is_text else None,
        input=None if only is not None else {**state, "messages": dicts},
        context=props.context,
        config=RunConfig() if props.config is None else props.config.run_config(),
        events=(ShownEvent.CUSTOM, ShownEvent.NODE, *([ShownEvent.VALUES] if shows_state else [])),
        message_id=last.id,
    )
    shown = blocks_of(last) if isinstance(last, UserMessage) else [{"type": "text", "text": text_of_result(last)}]
    has_text = any(block["type"] == "text" for block in shown)
    return NewMessage(
        content=blocks[0]["text"] if is_text else _preview(shown) if has_text else _kinds(shown),
        priority=props.priority or Priority.NORMAL,
        thread_id=body.thread_id,
        agent=agent,
        options=MessageOptions(run=run),
        metadata=props.metadata,
        aliases=(run_alias(body.thread_id, body.run_id), message_alias(body.thread_id, last.id)),
    )


def last_given(given: Sequence[Message]) -> UserMessage | ToolMessage:
    """Return the last message of the user, or else the last result of a tool. `given` has one of them."""
    users = [each for each in given if isinstance(each, UserMessage)]
    return users[-1] if users else [each for each in given if isinstance(each, ToolMessage)][-1]


def text_of_result(message: ToolMessage) -> str:
    """Return the text of a tool's result; for content in parts, its JSON."""
    return message.content if isinstance(message.content, str) else json.dumps(message.model_dump()["content"])


def dict_of(message: Message) -> dict[str, Any]:
    """Return a message in the form that agents take."""
    named: dict[str, Any] = {"id": message.id}
    match message:
        case UserMessage():
            blocks = blocks_of(message)
            text = blocks[0]["text"] if len(blocks) == 1 and blocks[0]["type"] == "text" else None
            return {"role": "user", "content": blocks if text is None else text, **named, **_name_of(message)}
        case SystemMessage() | DeveloperMessage():
            return {"role": "system", "content": message.content, **named, **_name_of(message)}
        case AssistantMessage():
            calls = [each.model_dump(include={"id", "type", "function"}) for each in message.tool_calls or ()]
            made = {"role": "assistant", "content": message.content or "", **named, **_name_of(message)}
            return {**made, "tool_calls": calls} if calls else made
        case ToolMessage():
            made = {"role": "tool", "content": text_of_result(message), "tool_call_id": message.tool_call_id, **named}
            return made if message.error is None else {**made, "status": "error"}
    raise TypeError(f"agents take no message of the role {message.role}")


def whole_conversation(body: AgentRun) -> list[Message]:
    """Return all messages that agents take, for a thread that the server does not have."""
    taken = (UserMessage, SystemMessage, DeveloperMessage, AssistantMessage, ToolMessage)
    return [each for each in body.messages if isinstance(each, taken)]


def _name_of(message: Input | AssistantMessage) -> dict[str, str]:
    return {} if message.name is None else {"name": message.name}


def _preview(blocks: Sequence[Mapping[str, Any]]) -> str:
    return input_preview({"messages": [{"role": "user", "content": blocks}]})


def _kinds(blocks: Sequence[Mapping[str, Any]]) -> str:
    return " ".join(f"[{block['type']}]" for block in blocks)
