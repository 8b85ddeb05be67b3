"""Carries out what a page posts: a new message, a message to answer anew, or the answer to a question."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ...access.principals import Principal
from ...api.request_keys import submit_key
from ...errors import Conflict, InvalidRequest, KeyReused, NotInterrupted
from ...errors.threads import MessageDeleted
from ...models.audit import Actor
from ...models.inputs import RunConfig, RunInput, ShownEvent
from ...models.messages import IfBusy, Message, MessageFilter, MessageOptions, NewMessage, Page, Priority
from ...models.requests import Regeneration, ResumeAnswer
from ...policy.input_preview import input_preview
from ...services import Services
from ..questions import answer_question, question_of
from ..runs import Run, runs_of
from ..turns import submit_turns
from .questions import answers_in
from .schemas import ChatRequest

FIELD = "messages"
REGENERATE = "regenerate-message"

LOOKED_AT = 50
"""How many of the newest messages of a chat are searched for the one to answer anew."""


class NothingAsked(Conflict):
    """The chat waits for none of the answers."""

    code = NotInterrupted.code

    def __init__(self, chat_id: str) -> None:
        super().__init__(
            f"The last message is of the assistant and answers no open question of chat {chat_id!r}. "
            "Send a message of the user."
        )


class Begun(NamedTuple):
    """The run that answers a page. `is_known` tells that an earlier request with the same message began it."""

    run: Run
    is_known: bool = False


async def begun_run(services: Services, caller: Principal, body: ChatRequest, *, by: Actor) -> Begun:
    """Store what the page wants, and return the run that answers it.

    Raises Forbidden, InvalidRequest, NothingAsked, and what `QueueManager.submit`, `QueueManager.resume` and
    `ThreadManager.regenerate` raise.
    """
    if body.message.role == "assistant":
        return Begun(await _answered(services, caller, body, by))
    new = new_message(body)
    if body.trigger == REGENERATE or body.message_id == body.message.id:
        earlier = await _message_of(services, caller, body.id, body.message.id)
        if earlier is not None:
            anew = await _answered_anew(services, caller, body, earlier, new, by)
            return Begun(Run(anew.id, anew))
    return await _submitted(services, caller, body.message.id, new, by)


async def _submitted(services: Services, caller: Principal, client_id: str, new: NewMessage, by: Actor) -> Begun:
    """Store a message of the user. A request that comes again, as after a lost connection, follows the same run."""
    key = submit_key(_key_name(new.thread_id, client_id), new, services.registry.default)
    try:
        accepted = await submit_turns(services, caller, [new], key=key, by=by)
    except (KeyReused, MessageDeleted):  # another message with this id, or another chat
        accepted = await submit_turns(services, caller, [new], by=by)
    (message,) = accepted.messages
    if not accepted.replayed:
        return Begun(Run(message.id, message, counted=accepted.counted))
    now = await services.queue.get(caller, message.id)
    return Begun((await runs_of(services, now))[-1], is_known=True)


def _key_name(chat_id: str | None, client_id: str) -> str:
    """Return the name of a message's request key. No native key is like it, since those have no spaces."""
    return f"ai-sdk {hashlib.sha256(json.dumps([chat_id, client_id]).encode()).hexdigest()}"


def new_message(body: ChatRequest) -> NewMessage:
    """Return the message for the queue manager."""
    blocks = body.message.blocks()
    is_text = len(blocks) == 1 and blocks[0]["type"] == "text"
    text = input_preview({"messages": [{"role": "user", "content": blocks}]})
    run = RunInput(
        blocks=None if is_text else tuple(blocks),
        context=body.context,
        config=_config_of(body),
        events=(ShownEvent.CUSTOM,),
        message_id=body.message.id,
    )
    return NewMessage(
        content=text if any(block["type"] == "text" for block in blocks) else _kinds(blocks),
        priority=body.priority or Priority.NORMAL,
        thread_id=body.id,
        agent=body.agent or "",
        options=MessageOptions(run=run),
        metadata=body.metadata,
    )


def _kinds(blocks: list[dict[str, Any]]) -> str:
    return " ".join(f"[{block['type']}]" for block in blocks)


def _config_of(body: ChatRequest) -> RunConfig:
    return RunConfig() if body.config is None else body.config.run_config()


async def _message_of(services: Services, caller: Principal, chat_id: str, client_id: str) -> Message | None:
    """Return the newest message of a chat that the page gave this id. None if the chat has none.

    Raises InvalidRequest if the chat has too many later messages.
    """
    page = await services.queue.list_messages(caller, MessageFilter(thread_id=chat_id), Page(LOOKED_AT))
    for listed in page:
        message = await services.queue.get(caller, listed.id)  # a list leaves out the options
        if message.options.run.message_id == client_id:
            return message
    if len(page) == LOOKED_AT:
        told = f"expected one of the last {LOOKED_AT} messages of the chat"
        raise InvalidRequest(f"messageId: {told}", field="messageId")
    return None


async def _answered_anew(
    services: Services, caller: Principal, body: ChatRequest, earlier: Message, new: NewMessage, by: Actor
) -> Message:
    """Store a message in place of an earlier one. The agent forgets the earlier one and all that followed it."""
    _check_same({"agent": (body.agent, earlier.agent)}, "a message is answered anew by the agent that answered it")
    wanted = Regeneration(body.priority, IfBusy.INTERRUPT, body.metadata, content=new.content, options=new.options)
    accepted, _ = await services.threads.regenerate(caller, earlier.id, wanted, by=by)
    return accepted.messages[0]


async def _answered(services: Services, caller: Principal, body: ChatRequest, by: Actor) -> Run:
    """Answer the open question of a chat, and return the run that goes on with it."""
    if body.trigger == REGENERATE:
        raise InvalidRequest("messages: expected the message of the user to answer anew as the last one", field=FIELD)
    values = answers_in(body.message.answered)
    found = await question_of(services, caller, body.id)
    if found is None:
        raise NothingAsked(body.id)
    message = await services.queue.get(caller, found.id)
    asked = {each["id"] for each in json.loads(message.interrupt or "[]")}
    values = {each: value for each, value in values.items() if each in asked}
    if not values:
        raise NothingAsked(body.id)
    begun = message.options.run
    unchanged = {
        "agent": (body.agent, message.agent),
        "priority": (body.priority, message.priority),
        "context": (body.context, begun.context),
        "config": (None if body.config is None else _config_of(body), begun.config),
        "metadata": (body.metadata, message.metadata),
    }
    _check_same(unchanged, "an answer goes on with the message that asked")
    return await answer_question(services, caller, message, ResumeAnswer(values=values), field=FIELD, by=by)


def _check_same(fields: Mapping[str, tuple[Any, Any]], why: str) -> None:
    """Raise InvalidRequest for a field that is given with another value than the message has."""
    for name, (given, has) in fields.items():
        if given is not None and given != has:
            raise InvalidRequest(f"{name}: {why}, so it cannot change this. Leave the field out.", field=name)
