"""Submits new input of clients."""

from collections.abc import Sequence
from contextlib import suppress

from ..access.principals import Principal
from ..access.visible import check_webhooks
from ..errors import MessageNotFound, NotCancellable, ThreadAsks, ThreadBusy
from ..models.audit import Actor
from ..models.messages import Accepted, IfBusy, NewMessage
from ..models.requests import Key
from ..services import Services
from .questions import question_of
from .runs import Run, runs_of


async def submit_turns(
    services: Services, caller: Principal, new: Sequence[NewMessage], *, key: Key | None = None, by: Actor
) -> Accepted:
    """Store messages in this order: all of them or none. Raises Forbidden and what `QueueManager.submit` raises.

    A message that is to wait in its thread cancels an open question there. What was done before the question stays in
    the state. Messages that an earlier request with this `key` stored are not stored again, and cancel nothing.
    """
    check_webhooks(caller, new)
    unasked = [each._replace(behind_question=each.if_busy is not IfBusy.ENQUEUE) for each in new]
    with suppress(ThreadAsks):
        return await services.queue.submit(caller, unasked, key=key, webhook=caller.webhook, by=by)
    return await _submit_instead_of_answers(services, caller, new, key=key, by=by)


async def first_run(services: Services, caller: Principal, accepted: Accepted) -> Run:
    """Return the first run of the only message that was accepted, as it is now. Raises MessageNotFound."""
    (message,) = accepted.messages
    if accepted.replayed:
        message = await services.queue.get(caller, message.id)
        return (await runs_of(services, message))[0]
    return Run(message.id, message, counted=accepted.counted)


async def _submit_instead_of_answers(
    services: Services, caller: Principal, new: Sequence[NewMessage], *, key: Key | None, by: Actor
) -> Accepted:
    """Store messages of which some belong to threads with an open question. Cancel the questions that `caller` sees."""
    questions = [await _open_question(services, caller, each) for each in new]
    first = [
        each if question is None else each._replace(if_busy=IfBusy.REJECT)  # cancels a question with nothing behind it
        for each, question in zip(new, questions, strict=True)
    ]
    try:
        return await services.queue.submit(caller, first, key=key, webhook=caller.webhook, by=by)
    except ThreadBusy:
        if first == list(new):
            raise
    for question in filter(None, questions):
        with suppress(MessageNotFound, NotCancellable):
            await services.queue.cancel(caller, question, asks=True, by=by)  # one that was answered goes on
    return await services.queue.submit(caller, new, key=key, webhook=caller.webhook, by=by)


async def _open_question(services: Services, caller: Principal, new: NewMessage) -> str | None:
    """Return the id of the message that asks a question in the thread of a new message that is to be enqueued."""
    if new.thread_id is None or new.if_busy is not IfBusy.ENQUEUE:
        return None
    question = await question_of(services, caller, new.thread_id)
    return None if question is None else question.id
