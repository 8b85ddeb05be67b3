"""Finds the message of a thread that a page follows when it comes back, or stops."""

from contextlib import suppress

from ..access.principals import Principal
from ..errors import MessageNotFound, NotCancellable
from ..models.audit import Actor
from ..models.messages import Message, MessageFilter, MessageState, Page
from ..services import Services
from .runs import find_run

RUNNING = frozenset({MessageState.PROCESSING, MessageState.INTERRUPTED})
QUEUED = frozenset({MessageState.QUEUED})

MAX_QUEUED = 100
"""How many of the newest queued messages of a thread are searched for the first one."""


async def unfinished_message(services: Services, caller: Principal, thread_id: str) -> Message | None:
    """Return the message of a thread that runs or asks, or else its first queued message; None if all have ended."""
    for states, page in ((RUNNING, Page(1)), (QUEUED, Page(MAX_QUEUED))):
        found = await services.queue.list_messages(caller, MessageFilter(thread_id=thread_id, states=states), page)
        if found:
            return await services.queue.get(caller, found[-1].id)
    return await _private(services, caller, thread_id)


async def cancel_unfinished(services: Services, caller: Principal, thread_id: str, *, by: Actor) -> None:
    """Cancel the unfinished message of a thread, if there is one."""
    message = await unfinished_message(services, caller, thread_id)
    if message is not None:
        with suppress(MessageNotFound, NotCancellable):  # it has ended meanwhile
            await services.queue.cancel(caller, message.id, running=True, by=by)


async def _private(services: Services, caller: Principal, thread_id: str) -> Message | None:
    """Return the unfinished message without a thread that has the thread's id; None if there is none."""
    try:
        message = (await find_run(services, caller, thread_id)).message
    except MessageNotFound:
        return None
    return message if message.thread_id is None and message.completed_at is None else None
