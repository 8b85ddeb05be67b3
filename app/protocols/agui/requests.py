"""Carries out what a page posts: new messages, answers to questions, or neither to come back to a thread."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from ag_ui.core import DeveloperMessage, Message, SystemMessage, UserMessage

from ...access.principals import Principal
from ...access.scopes import AccessScope
from ...api.request_keys import submit_key
from ...errors import (
    AliasTaken,
    Conflict,
    Forbidden,
    InvalidInput,
    InvalidRequest,
    KeyReused,
    MessageNotFound,
    NotInterrupted,
    ThreadNotFound,
)
from ...errors.threads import AgentWithoutState, MessageDeleted
from ...models.agents import AgentDescription
from ...models.audit import Actor
from ...models.messages import Message as QueueMessage
from ...models.messages import MessageFilter, NewMessage, Page
from ...models.requests import ResumeAnswer
from ...services import Services
from ..questions import answer_question, question_of, require_control
from ..runs import Run, find_run, runs_of
from ..turns import submit_turns
from ..unfinished import unfinished_message
from .inputs import new_message, run_alias
from .page_tools import ignored_fields, page_values
from .projection import HIDDEN_KEYS, state_without_messages
from .schemas import AgentRun
from .tool_answers import messages_to_give

LOAD_SECONDS = 20.0
"""How long a page with tools may wait until a server that has just started has loaded its agents."""

NO_STATE_KEYS = HIDDEN_KEYS | {"structured_response"}
"""Keys of states that are no state of a page. `create_agent` gives its graphs some of them."""


class RunIdTaken(Conflict):
    """The client used the id of this run before, for other messages."""

    code = AliasTaken.code

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"runId: {run_id!r} is the run of another message of the thread. Nothing was stored; send a new runId with "
            "each new message."
        )


class NothingAsked(Conflict):
    """The thread waits for none of the answers."""

    code = NotInterrupted.code

    def __init__(self, thread_id: str) -> None:
        super().__init__(
            f"resume: thread {thread_id!r} has no open question with these ids. Send a message of the user instead."
        )


class Begun(NamedTuple):
    """The run that answers a page; None for a thread without messages. A page that `comes_back` has parts of it.

    `ignored` names the fields of the request that the agent was not given.
    """

    run: Run | None
    comes_back: bool = False
    ignored: Sequence[str] = ()


async def begun_run(services: Services, caller: Principal, agent: str, body: AgentRun, *, by: Actor) -> Begun:
    """Store what the page wants, and return the run that answers it.

    Raises Forbidden, InvalidRequest, NothingAsked, RunIdTaken, and what `QueueManager.submit`, `QueueManager.resume`
    and `ThreadManager.read_state` raise.
    """
    if body.resume:
        return await _answered(services, caller, agent, body, by)
    given = await messages_to_give(services, caller, body)
    if given:
        return await _submitted(services, caller, agent, body, given, by)
    _require_read(caller)
    run = await _found(services, caller, body)
    _check_lost(body, has_messages=run is not None)
    return Begun(run, comes_back=True)


def _check_lost(body: AgentRun, *, has_messages: bool) -> None:
    """Raise InvalidRequest for a page that only comes back, if it sends what nobody would get."""
    told = "a run needs a new message of the user. Nothing was stored; send this with the user's next message"
    last = body.messages[-1] if body.messages else None
    if isinstance(last, SystemMessage | DeveloperMessage) and (not has_messages or body.has_answers):
        raise InvalidRequest(f"messages: {told}", field="messages")
    if body.state and not has_messages:
        raise InvalidRequest(f"state: {told}", field="state")


# New messages


async def _submitted(
    services: Services, caller: Principal, agent: str, body: AgentRun, given: Sequence[Message], by: Actor
) -> Begun:
    """Store new messages, unless an earlier request did."""
    description = await _description(services, agent, body)
    of_page = page_values(description, body)
    new = await _new_message(services, caller, description, body, agent, given, of_page)
    meant = NewMessage(new.content, thread_id=new.thread_id, agent=new.agent)
    key = submit_key(new.aliases[1], meant, services.registry.default)
    try:
        accepted = await submit_turns(services, caller, [new], key=key, by=by)
    except (KeyReused, MessageDeleted):  # another message with this id, or another thread
        accepted = await _submitted_anew(services, caller, body, new, by)
    except AliasTaken:
        known = await _known(services, caller, new)
        if known is not None:
            return known
        accepted = await _submitted_anew(services, caller, body, new, by)
    except InvalidInput as error:
        raise _as_of_page(error) from None
    (message,) = accepted.messages
    if accepted.replayed:
        return await _back_to(services, caller, message.id)
    return Begun(Run(message.id, message, counted=accepted.counted), ignored=ignored_fields(of_page, body))


def _as_of_page(error: InvalidInput) -> InvalidInput:
    """Return an error of an input that names the page's field."""
    field = error.field or ""
    name = field.removeprefix("input.")
    if name == field:
        return error
    place = name if name.partition(".")[0] == "messages" else f"state.{name}"
    return InvalidInput(str(error).replace(field, place, 1), field=place)


async def _description(services: Services, agent: str, body: AgentRun) -> AgentDescription | None:
    """Return what is known of an agent. It decides what the agent is given of a page, so wait until it is loaded."""
    known = await services.descriptions.get(agent)
    if known is None and (body.tools or body.context):
        with suppress(TimeoutError):
            async with asyncio.timeout(LOAD_SECONDS):
                await services.registry.loaded.wait()
        known = await services.descriptions.get(agent)
    return None if known is None else known.description


async def _submitted_anew(services: Services, caller: Principal, body: AgentRun, new: NewMessage, by: Actor) -> Any:
    """Store a message whose id another message has. Only its run is known by the ids of the client."""
    try:
        return await submit_turns(services, caller, [new._replace(aliases=new.aliases[:1])], by=by)
    except AliasTaken:
        raise RunIdTaken(body.run_id) from None


async def _known(services: Services, caller: Principal, new: NewMessage) -> Begun | None:
    """Return the run that an earlier request began with the same message; None if it was another message."""
    for name in new.aliases:
        try:
            run = await find_run(services, caller, name)
        except MessageNotFound:
            continue
        if _is_same(run.message, new):
            return await _back_to(services, caller, run.message.id)
    return None


def _is_same(message: QueueMessage, new: NewMessage) -> bool:
    """Return whether a stored message is what a client sends again."""
    given = None if new.options is None else new.options.run.message_id
    return (message.options.run.message_id, message.content) == (given, new.content)


async def _back_to(services: Services, caller: Principal, message_id: str) -> Begun:
    """Return the newest run of a message for a client that sent it before."""
    _require_read(caller)
    message = await services.queue.get(caller, message_id)
    return Begun((await runs_of(services, message))[-1], comes_back=True)


async def _new_message(
    services: Services,
    caller: Principal,
    described: AgentDescription | None,
    body: AgentRun,
    agent: str,
    given: Sequence[Message],
    of_page: Mapping[str, Any],
) -> NewMessage:
    """Return the message to store. `of_page` has the tools and the context of the page."""
    keys = None if described is None else _state_keys(described)
    state = await _changed_state(services, caller, body, keys, of_page) if body.state else {}
    shows_state = AccessScope.READ in caller.scopes and (described is None or bool(keys))
    return new_message(body, agent, given, state={**state, **of_page}, shows_state=shows_state)


def _state_keys(agent: AgentDescription) -> frozenset[str] | None:
    """Return the keys of an agent's state that pages share; None if the agent keeps no state."""
    schema = agent.state_schema
    return None if schema is None else frozenset(schema.get("properties", {})) - NO_STATE_KEYS


async def _changed_state(
    services: Services, caller: Principal, body: AgentRun, keys: frozenset[str] | None, of_page: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the values of the page's state that differ from those of the thread. Raises InvalidRequest."""
    left_out = NO_STATE_KEYS | of_page.keys()
    given = {name: value for name, value in (body.state or {}).items() if name not in left_out}
    try:
        read = await services.threads.read_state(
            caller, body.thread_id, agent=None, checkpoint_id=None, subgraphs=False
        )
        present = state_without_messages(json.loads(read.text)["values"])
    except (ThreadNotFound, AgentWithoutState):
        present = {}
    has = present if isinstance(present, dict) else {}
    changed = {name: value for name, value in given.items() if name not in has or has[name] != value}
    unknown = next((name for name in changed if keys is not None and name not in keys), None)
    if unknown is not None:
        told = f"known to the agent: {', '.join(sorted(keys or ())) or 'none'}"
        raise InvalidRequest(f"state.{unknown}: the agent's state has no such key; {told}", field="state")
    return changed


# Runs of before


def _require_read(caller: Principal) -> None:
    """Raise Forbidden unless the caller may read what they come back to."""
    if AccessScope.READ not in caller.scopes:
        raise Forbidden("messages: to come back to a run needs the scope `read`, which the caller does not have.")


async def _found(services: Services, caller: Principal, body: AgentRun) -> Run | None:
    """Return the run that a page comes back to: the one that it names, else the unfinished or newest of the thread."""
    try:
        return await find_run(services, caller, run_alias(body.thread_id, body.run_id))
    except MessageNotFound:
        pass
    message = await unfinished_message(services, caller, body.thread_id)
    if message is None:
        newest = await services.queue.list_messages(caller, MessageFilter(thread_id=body.thread_id), Page(1))
        message = await services.queue.get(caller, newest[0].id) if newest else None
    return None if message is None else (await runs_of(services, message))[-1]


# Answers


async def _answered(services: Services, caller: Principal, agent: str, body: AgentRun, by: Actor) -> Begun:
    """Answer the open questions of a thread, or cancel the message that asks, and return the run that goes on."""
    require_control(caller, "resume")
    alias = run_alias(body.thread_id, body.run_id)
    try:
        run = await find_run(services, caller, alias)
    except MessageNotFound:
        pass
    else:
        _require_read(caller)
        return Begun(run, comes_back=True)
    message = await _asking(services, caller, body)
    is_cancelled = _is_cancelled(body)
    said = [each for each in body.new if isinstance(each, UserMessage)]
    has_new = bool(said) and said[-1].id != message.options.run.message_id
    if is_cancelled and has_new:  # cancels the question
        given = await messages_to_give(services, caller, body)
        return await _submitted(services, caller, agent, body, given, by)
    if has_new:
        told = "an answer comes without a new message. Send the message with the next run, or cancel the question"
        raise InvalidRequest(f"messages: {told}", field="messages")
    if is_cancelled:
        return Begun(await _cancelled(services, caller, message, by))
    if message.agent != agent:
        told = f"agent {message.agent!r} asks the question. Post the answer to its address"
        raise InvalidRequest(f"agent: {told}", field="agent")
    _check_unchanged(body, message)
    values = {each.interrupt_id: each.payload for each in body.resume or ()}
    answer = ResumeAnswer(values=values, alias=alias)
    return Begun(await answer_question(services, caller, message, answer, field="resume", by=by))


async def _asking(services: Services, caller: Principal, body: AgentRun) -> QueueMessage:
    """Return the message of the thread that waits for these answers. Raises NothingAsked."""
    found = await question_of(services, caller, body.thread_id)
    if found is None:
        raise NothingAsked(body.thread_id)
    message = await services.queue.get(caller, found.id)
    asked = {each["id"] for each in json.loads(message.interrupt or "[]")}
    if not asked.issuperset(each.interrupt_id for each in body.resume or ()):
        raise NothingAsked(body.thread_id)
    return message


def _is_cancelled(body: AgentRun) -> bool:
    """Return whether the page refuses to answer. Raises InvalidRequest if it refuses only some of the questions."""
    statuses = {each.status for each in body.resume or ()}
    if len(statuses) > 1:
        told = "answer all questions, or cancel all of them. A cancelled one ends the message"
        raise InvalidRequest(f"resume.status: {told}", field="resume.status")
    return statuses == {"cancelled"}


def _check_unchanged(body: AgentRun, message: QueueMessage) -> None:
    """Raise InvalidRequest for a property that is given with another value than the message that asks has."""
    props, begun = body.props, message.options.run
    fields = {
        "priority": (props.priority, message.priority),
        "context": (props.context, begun.context),
        "config": (None if props.config is None else props.config.run_config(), begun.config),
        "metadata": (props.metadata, message.metadata),
    }
    for name, (given, has) in fields.items():
        if given is not None and given != has:
            field = f"forwardedProps.{name}"
            told = "an answer goes on with the message that asked, so it cannot change this. Leave the field out."
            raise InvalidRequest(f"{field}: {told}", field=field)


async def _cancelled(services: Services, caller: Principal, message: QueueMessage, by: Actor) -> Run:
    """Cancel a message that asks, and return the run that has nothing but its end."""
    last = (await services.log.read(caller.tenant, message.id, after=0, limit=1)).last
    ended = await services.queue.cancel(caller, message.id, running=True, asks=True, by=by)
    return Run(message.id, ended, first_event=last + 1)
