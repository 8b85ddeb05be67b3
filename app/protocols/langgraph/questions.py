"""Answers the question of a thread by a command."""

import json
import re
from typing import Any

from ...access.principals import Principal
from ...errors import Conflict, InvalidRequest, NotInterrupted
from ...models.audit import Actor
from ...models.inputs import RunConfig
from ...models.messages import Message
from ...models.requests import ResumeAnswer
from ...services import Services
from ..questions import answer_question, question_of, require_control
from ..runs import Run
from .agents import agent_of
from .modes import StreamMode, recorded_modes
from .schemas.runs import PRIORITY, Command, RunCreate
from .states import newest_state

FIELD = "command.resume"

_INTERRUPT_ID = re.compile(r"[0-9a-f]{32}")
"""LangGraph reads an object whose keys all have this form as answers by the ids of their questions."""


class NothingAsked(Conflict):
    """The thread waits for no answer."""

    code = NotInterrupted.code

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"command.resume: thread {thread_id!r} asks no question, so there is nothing to answer.")


async def answer(services: Services, caller: Principal, thread_id: str | None, body: RunCreate, *, by: Actor) -> Run:
    """Answer the question of a thread, and return the run that goes on with it.

    Raises Forbidden, NothingAsked, InvalidRequest and what `answer_question` raises.
    """
    command = body.command
    if command is None or thread_id is None:
        raise InvalidRequest("command.resume: only a run of a thread can be answered", field="command.resume")
    require_control(caller, FIELD)
    agent = agent_of(services, caller, body.assistant_id)
    found = await question_of(services, caller, thread_id)
    if found is None:
        raise NothingAsked(thread_id)
    message = await services.queue.get(caller, found.id)
    _check_unchanged(message, agent, body)
    await _check_place(services, caller, thread_id, body)
    return await answer_question(services, caller, message, _answer_in(command, message), field=FIELD, by=by)


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
    priority = ((body.config and body.config.configurable) or {}).get(PRIORITY)
    recorded = {*recorded_modes(begun.events), StreamMode.MESSAGES, StreamMode.VALUES}
    changed: dict[str, Any] = {
        "assistant_id": agent != message.agent,
        "input": body.input is not None,
        "context": body.context not in (None, begun.context),
        "config": config not in (RunConfig(), begun.config),
        "config.configurable.priority": priority not in (None, message.priority),
        "metadata": any(message.metadata.get(key) != value for key, value in body.given_metadata.items()),
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
