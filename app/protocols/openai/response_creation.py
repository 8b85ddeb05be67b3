"""Makes responses: new turns, and answers to questions of agents."""

from collections.abc import Iterable, Sequence
from contextlib import suppress

from ...access.principals import Principal
from ...api.request_keys import submit_key
from ...errors import AgentQueueError, InvalidRequest, MessageNotFound, ThreadBusy
from ...errors.threads import AgentWithoutState, StateGone, ThreadMoved
from ...models.audit import Actor
from ...models.deliveries import ENDS, WebhookEvent, WebhookForm
from ...models.messages import IfBusy, Message, MessageState, NewMessage, Priority
from ...models.requests import Fork, Key, ResumeAnswer
from ...services import Services
from ..agents import visible_agent
from ..ids import new_thread_id
from ..questions import answer_question, question_of
from ..runs import Run, find_run, runs_of
from ..turns import first_run, submit_turns
from .errors import PreviousResponseNotFound, UnsupportedParameter
from .ids import RESPONSE, name_in, question_in, response_id_of
from .item_references import with_items
from .new_messages import new_message
from .notes import Notes
from .response_lookup import find_conversation
from .schemas.responses import ANSWER, FUNCTION_CALL, InputItem, ResponseCreate

COMPLETIONS = (*ENDS, WebhookEvent.INTERRUPTED)
"""The events of a message that end a response. A question ends one too."""

ALONE = "input: give the answers to ask_human alone or behind their calls, without later items"

UNFINISHED = (MessageState.QUEUED, MessageState.PROCESSING)


async def create_response(
    services: Services, caller: Principal, body: ResponseCreate, priority: Priority, *, key: str | None, by: Actor
) -> Run:
    """Store a response and return its run. A request whose Idempotency-Key, `key`, came before gets the run of then.

    Answers need no key, since a question takes one answer. Raises AgentNotFound, ConversationNotFound,
    PreviousResponseNotFound, ItemNotFound, InvalidRequest, Forbidden, and what `submit_turns`, `answer_question` and
    `ThreadManager.fork` raise.
    """
    agent = visible_agent(services, caller, body.model)
    body = await with_items(services, caller, body)
    if _is_answer(body):
        return await _answer(services, caller, agent, body, by)
    _check_calls(body.input)
    if not body.given:
        raise InvalidRequest("input: expected a message", field="input")
    new = _new_message(agent, body, priority)
    meant = new._replace(thread_id=body.conversation_id)
    named = None if key is None else submit_key(key, meant, services.registry.default)
    if body.conversation_id is not None:
        thread = await find_conversation(services, caller, body.conversation_id)
        new = new._replace(thread_id=thread.thread_id)
    elif body.previous_response_id is not None:
        previous = await _find_previous(services, caller, body.previous_response_id)
        return await _follow(services, caller, new, previous, named, by)
    elif body.store is not False:
        new = new._replace(thread_id=new_thread_id(caller))
    return await first_run(services, caller, await submit_turns(services, caller, [new], key=named, by=by))


def _new_message(agent: str, body: ResponseCreate, priority: Priority) -> NewMessage:
    notes = Notes(
        previous_response_id=body.previous_response_id,
        instructions=body.instructions,
        background=bool(body.background),
        service_tier=body.service_tier,
        owns_thread=body.conversation_id is None,
    )
    new = new_message(agent, body.given, priority=priority, metadata=body.metadata, notes=notes.as_stored())
    assert new.options is not None, "it has the notes"
    options = new.options.model_copy(update={"webhook_form": WebhookForm.RESPONSE})
    return new._replace(options=options, webhook_url=body.webhook_url, webhook_events=COMPLETIONS)


async def _find_previous(services: Services, caller: Principal, response_id: str) -> Run:
    """Return the run of a response that another one can follow. Raises PreviousResponseNotFound."""
    name = name_in(response_id, RESPONSE)
    try:
        if name is None:
            raise MessageNotFound(response_id)
        run = await find_run(services, caller, name)
    except MessageNotFound:
        raise PreviousResponseNotFound(f"there is no response with the id {response_id!r}") from None
    if run.message.thread_id is None:
        raise PreviousResponseNotFound("the response was not stored, so nothing can follow it")
    if run.is_answered:
        runs = await runs_of(services, run.message)
        later = runs[[each.id for each in runs].index(run.id) + 1]
        raise PreviousResponseNotFound(f"its question was answered: {response_id_of(later)} goes on with the answer")
    if run.message.state in UNFINISHED:
        raise PreviousResponseNotFound("the response has not ended. Wait for its end, or cancel it")
    return run


async def _follow(
    services: Services, caller: Principal, new: NewMessage, previous: Run, key: Key | None, by: Actor
) -> Run:
    """Store a message that goes on where a response ended.

    The first response that follows goes on in the same thread. Others begin with the state where the response ended, in
    a thread of their own. A conversation always stays as it is.
    """
    message = previous.message
    if Notes.of(message).owns_thread:
        first = new._replace(thread_id=message.thread_id, if_busy=IfBusy.REJECT, last_number=message.thread_number)
        try:
            return await first_run(services, caller, await submit_turns(services, caller, [first], key=key, by=by))
        except (ThreadMoved, ThreadBusy):
            pass  # another response follows already
    forked = await _forked(services, caller, new, message, by)
    is_used = False
    try:
        accepted = await submit_turns(services, caller, [forked], key=key, by=by)
        is_used = not accepted.replayed
    finally:
        if not is_used:
            with suppress(AgentQueueError):  # the client does not know the copy, and would make another one
                await services.threads.delete(caller, forked.thread_id or "", by)
    return await first_run(services, caller, accepted)


async def _forked(services: Services, caller: Principal, new: NewMessage, message: Message, by: Actor) -> NewMessage:
    """Return a new message in a copy of the thread as it was after an earlier message."""
    thread_id = new_thread_id(caller)
    try:
        await services.threads.fork(
            caller, message.thread_id or "", Fork(message_id=message.id, thread_id=thread_id), by
        )
    except AgentWithoutState:
        pass  # the agent remembers nothing, so an empty thread is the same
    except StateGone:
        raise PreviousResponseNotFound("the state after the response is no longer kept") from None
    return new._replace(thread_id=thread_id)


def _is_answer(body: ResponseCreate) -> bool:
    """Return whether the input ends with answers to questions. Outputs of other calls are a part of the past."""
    called = {item.call_id for item in body.input if item.type == FUNCTION_CALL}
    return any(question_in(str(item.call_id)) or item.call_id not in called for item in body.answers)


def _check_calls(items: Sequence[InputItem]) -> None:
    """Raise InvalidRequest unless each call of a function is followed by its output."""
    called: set[str | None] = set()
    answered: set[str | None] = set()
    for item in items:
        if item.type == FUNCTION_CALL:
            called.add(item.call_id)
        elif item.type == ANSWER and item.call_id not in called:
            raise UnsupportedParameter(ALONE, field="input")
        elif item.type == ANSWER:
            answered.add(item.call_id)
    if called - answered:
        raise InvalidRequest("input: expected the output of each call of a function", field="input")


async def _answer(services: Services, caller: Principal, agent: str, body: ResponseCreate, by: Actor) -> Run:
    """Answer the questions of a response or of a conversation, and return the run that goes on with them.

    A client that sends its whole conversation has the calls before their answers. What comes before them is the past of
    the response that asked, which the server has.
    """
    answers = {str(item.call_id): item.answer() for item in body.answers}
    called = {item.call_id for item in body.input if item.type == FUNCTION_CALL}
    if len(body.input) > len(body.answers) and not answers.keys() <= called:
        raise UnsupportedParameter(ALONE, field="input")
    message = await _asking(services, caller, body, answers)
    changed = {
        "model": agent != message.agent,
        "instructions": body.instructions is not None,
        "metadata": body.metadata not in (None, {}, message.metadata),
        "webhook_url": body.webhook_url not in (None, message.webhook_url),
    }
    for name, is_changed in changed.items():
        if is_changed:
            told = "an answer goes on with the response that asked, so it cannot change this. Leave the field out."
            raise UnsupportedParameter(f"{name}: {told}", field=name)
    values = {_question_id(call_id): value for call_id, value in answers.items()}
    return await answer_question(services, caller, message, ResumeAnswer(values=values), field="input", by=by)


async def _asking(services: Services, caller: Principal, body: ResponseCreate, call_ids: Iterable[str]) -> Message:
    """Return the message that asks what a body answers. Raises InvalidRequest if nothing is asked."""
    found: Message | None = None
    named = {question[0] for question in map(question_in, call_ids) if question is not None}
    if body.conversation_id is not None:
        thread = await find_conversation(services, caller, body.conversation_id)
        asking = await question_of(services, caller, thread.thread_id)
        found = None if asking is None else await services.queue.get(caller, asking.id)
    elif body.previous_response_id is not None:
        found = (await _find_previous(services, caller, body.previous_response_id)).message
    elif len(named) == 1:
        with suppress(MessageNotFound):
            found = await services.queue.get(caller, named.pop())
    else:
        told = "an answer needs the call_id of the question, or the previous_response_id of the response that asked"
        raise InvalidRequest(f"input: {told}", field="input")
    if found is None or found.state is not MessageState.INTERRUPTED:
        raise InvalidRequest("input: nothing is asked there, so there is nothing to answer", field="input")
    return found


def _question_id(call_id: str) -> str:
    """Return the id of the question that a call is of. Clients of the native API know it by this id alone."""
    named = question_in(call_id)
    return call_id if named is None else named[1]
