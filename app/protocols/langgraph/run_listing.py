"""Lists the runs of a thread."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Literal

from ...access.principals import Principal
from ...errors import MessageNotFound, ThreadNotFound
from ...models.messages import Message, MessageFilter, MessageState, Page
from ...services import Services
from ..runs import Run, runs_of
from .run_lookup import STATUSES, status_of
from .thread_lookup import find_thread

RunStatus = Literal["pending", "running", "error", "success", "timeout", "interrupted"]

PAGE_MESSAGES = 100


async def list_runs(
    services: Services, caller: Principal, thread_id: str, status: RunStatus | None, *, limit: int, offset: int
) -> list[Run]:
    """Return runs of a thread, newest first. Raises ThreadNotFound, or InvalidRequest if the id is no UUID either."""
    found: list[Run] = []
    async for message in _messages(services, caller, thread_id, _states(status)):
        runs = await runs_of(services, message)
        found += [run for run in reversed(runs) if status in (None, status_of(run))]
        if len(found) >= offset + limit:
            break
    return [each async for each in _whole(services, caller, found[offset : offset + limit])]


async def _whole(services: Services, caller: Principal, runs: list[Run]) -> AsyncIterator[Run]:
    """Yield runs with the options of their messages, which lists of messages do not have."""
    for run in runs:
        with suppress(MessageNotFound):  # deleted meanwhile
            yield run._replace(message=await services.queue.get(caller, run.message.id))


def _states(status: RunStatus | None) -> frozenset[MessageState] | None:
    """Return the states of the messages that can have such runs. None means any.

    Messages in any state can have runs whose question was answered, which are `success`.
    """
    if status in (None, "success"):
        return None
    return frozenset(state for state, named in STATUSES.items() if named == status)


async def _messages(
    services: Services, caller: Principal, thread_id: str, states: frozenset[MessageState] | None
) -> AsyncIterator[Message]:
    """Yield the messages of a thread, newest first. Raises ThreadNotFound."""
    private = await _message_of_private_thread(services, caller, thread_id)
    if private is not None:
        yield private
        return
    if states == frozenset():
        return
    chosen = MessageFilter(thread_id=thread_id, states=states)
    cursor = None
    while page := await services.queue.list_messages(caller, chosen, Page(PAGE_MESSAGES, cursor)):
        for message in page:
            yield message
        cursor = (page[-1].number, "")


async def _message_of_private_thread(services: Services, caller: Principal, thread_id: str) -> Message | None:
    """Return the message whose private thread has this id; None if there is a thread with this id.

    Raises ThreadNotFound if there is neither, and InvalidRequest if the id is no UUID either.
    """
    try:
        await find_thread(services, caller, thread_id)
    except ThreadNotFound:
        with suppress(MessageNotFound):
            message = await services.queue.get(caller, thread_id)
            if message.id == thread_id and message.thread_id is None:
                return message
        raise
    return None
