"""Finds the answers of a page to tool calls for which the agent of a thread waits."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ag_ui.core import Message, ToolMessage, UserMessage

from ...access.principals import Principal
from ...errors import ThreadNotFound
from ...errors.threads import AgentWithoutState
from ...services import Services
from ..unfinished import unfinished_message
from .conversations import given_messages
from .inputs import whole_conversation
from .schemas import AgentRun


async def messages_to_give(services: Services, caller: Principal, body: AgentRun) -> list[Message]:
    """Return the messages of a page that the agent does not have yet; none for a page that only comes back.

    An answer to a tool call is new if the memory has the call without an answer. The results of the agent's own tools
    are not: the memory has them, or the run that goes on will have them.
    """
    new: list[Message] = [*body.new]
    is_whole = len(new) == len(body.messages)
    answers = [each for each in new if isinstance(each, ToolMessage)]
    if not new or (is_whole and not answers):
        return new
    if not await _has_thread(services, caller, body.thread_id):
        return whole_conversation(body)
    if not answers:
        return new
    open_calls = await _open_calls(services, caller, body.thread_id)
    kept = [each for each in new if not isinstance(each, ToolMessage) or each.tool_call_id in open_calls]
    return kept if any(isinstance(each, UserMessage | ToolMessage) for each in kept) else []


async def _has_thread(services: Services, caller: Principal, thread_id: str) -> bool:
    """Return whether an agent may remember something of the thread."""
    try:
        thread = await services.threads.get_thread(caller, thread_id)
    except ThreadNotFound:
        return False
    return bool(thread.message_count) or thread.forked_from is not None


async def _open_calls(services: Services, caller: Principal, thread_id: str) -> frozenset[str]:
    """Return the ids of the tool calls that the memory has without an answer, without those of a message that runs."""
    running = await unfinished_message(services, caller, thread_id)
    try:
        read = await services.threads.read_state(caller, thread_id, agent=None, checkpoint_id=None, subgraphs=False)
    except (ThreadNotFound, AgentWithoutState):
        return frozenset()
    values = json.loads(read.text)["values"]
    messages = values.get("messages") if isinstance(values, dict) else None
    own = {each.id for each in given_messages(running)} if running is not None else set()
    return open_calls_in(messages if isinstance(messages, list) else [], own)


def open_calls_in(messages: Sequence[Any], own: Iterable[str] = ()) -> frozenset[str]:
    """Return the ids of the tool calls without an answer among messages of a state.

    Those behind the messages with the ids in `own` belong to a run that goes on, so they are left out.
    """
    asked: set[str] = set()
    answered: set[str] = set()
    ends = frozenset(own)
    for each in messages:
        if not isinstance(each, Mapping):
            continue
        if each.get("id") in ends:
            break
        asked.update(str(call["id"]) for call in each.get("tool_calls") or () if call.get("id"))
        answered.add(str(each.get("tool_call_id")))
    return frozenset(asked - answered)
