"""Finds the question that a thread waits for, and answers it as a run of its own."""

import json
import re
from typing import Any

from ...access.principals import Principal
from ...access.scopes import AccessScope
from ...errors import Conflict, Forbidden, InvalidRequest, NotInterrupted
from ...models.audit import Actor
from ...models.inputs import RunConfig
from ...models.messages import Message, MessageFilter, MessageState, Page
from ...models.requests import ResumeAnswer
from ...services import Services
from .agents import agent_of
from .ids import new_id
from .modes import StreamMode, recorded_modes
from .runs import Run, find_run
from .schemas.runs import Command, RunCreate
from .states import newest_state

ASKING = frozenset({MessageState.INTERRUPTED})
NEWEST = Page(1)

NO_CONTROL = "command.resume: answers need the scope `control`, which the caller does not have."

_INTERRUPT_ID = re.compile(r"[0-9a-f]{32}")
"""LangGraph reads an object whose keys all have this form as answers by the ids of their questions."""


class NothingAsked(Conflict):
    """The thread waits for no answer."""

    code = NotInterrupted.code

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"command.resume: thread {thread_id!r} asks no question, so there is nothing to answer.")


async def question_of(services: Services, caller: Principal, thread_id: str) -> Message | None:
    """Return the message of a thread that waits for an answer, without its options; None if there is none."""
    chosen = MessageFilter(thread_id=thread_id, states=ASKING)
    found = await services.queue.list_messages(caller, chosen, NEWEST)
    return found[0] if found else None


async def answer(services: Services, caller: Principal, thread_id: str | None, body: RunCreate, *, by: Actor) -> Run:
    """Answer the question of a thread, and return the run that goes on with it.

    Raises Forbidden, NothingAsked, InvalidRequest, and what `QueueManager.resume` raises.
    """
    command = body.command
    if command is None or thread_id is None:
        raise InvalidRequest("command.resume: only a run of a thread can be answered", field="command.resume")
    if AccessScope.CONTROL not in caller.scopes:
        raise Forbidden(NO_CONTROL)
    agent = agent_of(services, caller, body.assistant_id)
    found = await question_of(services, caller, thread_id)
    if found is None:
        raise NothingAsked(thread_id)
    message = await services.queue.get(caller, found.id)
    _check_unchanged(message, agent, body)
    await _check_place(services, caller, thread_id, body)
    run_id = new_id()
    await _resume(services, caller, message, _answer_in(command, message)._replace(alias=run_id), by)
    return await find_run(services, caller, thread_id, run_id)


async def _resume(services: Services, caller: Principal, message: Message, given: ResumeAnswer, by: Actor) -> None:
    try:
        await services.queue.resume(caller, message.id, given, by=by)
    except InvalidRequest as error:
        if error.field not in ("value", "values"):
            raise
        told = str(error).removeprefix(f"{error.field}: ").removesuffix(", in `values`.")
        raise InvalidRequest(f"command.resume: {told}", field="command.resume") from None


def _answer_in(command: Command, message: Message) -> ResumeAnswer:
    """Return the answer in a command: one value, or values by the ids of the message's questions."""
    given = command.resume
    asked = {each["id"] for each in json.loads(message.interrupt or "[]")}
    if isinstance(given, dict) and given and all(key in asked or _INTERRUPT_ID.fullmatch(key) for key in given):
        return ResumeAnswer(values=given)
    return ResumeAnswer(given)


async def _check_place(services: Services, caller: Principal, thread_id: str, body: RunCreate) -> None:
    """Raise InvalidRequest if the body names another checkpoint than the newest one, where the question is."""
    if (named := body.checkpoint_id or body.checkpoint) is None:
        return
    newest = await newest_state(services, caller, thread_id)
    if newest is None or newest["checkpoint_id"] != named:
        raise InvalidRequest(
            "checkpoint: an answer goes on where the question is, at the newest checkpoint", field="checkpoint"
        )


def _check_unchanged(message: Message, agent: str, body: RunCreate) -> None:
    """Raise InvalidRequest for a field that an answer cannot change. The run goes on as it was begun."""
    begun = message.options.run
    config = RunConfig() if body.config is None else body.config.run_config()
    recorded = {*recorded_modes(begun.events), StreamMode.MESSAGES, StreamMode.VALUES}
    changed: dict[str, Any] = {
        "assistant_id": agent != message.agent,
        "input": body.input is not None,
        "context": body.context not in (None, begun.context),
        "config": config not in (RunConfig(), begun.config),
        "webhook": body.webhook not in (None, message.webhook_url),
        "after_seconds": bool(body.after_seconds),
        "stream_mode": not recorded.issuperset(body.modes),
        "interrupt_before": tuple(body.interrupt_before or ()) not in ((), begun.interrupt_before),
        "interrupt_after": tuple(body.interrupt_after or ()) not in ((), begun.interrupt_after),
    }
    for name, is_changed in changed.items():
        if is_changed:
            told = "an answer goes on with the run that asked, so it cannot change this. Leave the field out."
            raise InvalidRequest(f"{name}: {told}", field=name)
