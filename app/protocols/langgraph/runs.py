"""Runs as LangGraph's clients see them, and how to find them."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import NamedTuple
from urllib.parse import quote

from ...access.principals import Principal
from ...errors import MessageNotFound, NotFound
from ...models.messages import Alias, Message, MessageState
from ...services import Services
from .ids import assistant_id_of, require_uuid, time_of

STATUSES = {
    MessageState.QUEUED: "pending",
    MessageState.PROCESSING: "running",
    MessageState.COMPLETED: "success",
    MessageState.FAILED: "error",
    MessageState.CANCELLED: "interrupted",
    MessageState.INTERRUPTED: "success",
}
"""The statuses of runs by the states of their messages. A run that asks a human has ended."""


class RunNotFound(NotFound):
    """The thread has no such run."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"There is no run with the id {run_id!r} in this thread.")


class Run(NamedTuple):
    """A part of a message's log: from its submit, or from an answer, to the next question or the end.

    The first event of the part is `first_event`. It is 0 for the run that the submit made, whose id is the message's.
    `is_answered` tells that the question of the run was answered. The answer began another run.
    """

    id: str
    message: Message
    first_event: int = 0
    is_answered: bool = False

    @property
    def alias(self) -> Alias:
        """Return the run as the queue knows it."""
        return Alias(self.message.id, self.first_event)

    @property
    def thread_id(self) -> str:
        """Return the id of the run's thread. A message without a thread has a private one with the message's id."""
        return self.message.thread_id or self.message.id

    @property
    def assistant_id(self) -> str:
        """Return the id of the assistant that runs it."""
        return assistant_id_of(self.message.agent)

    @property
    def status(self) -> str:
        """Return the status of the run in the words of LangGraph's clients."""
        return "success" if self.is_answered else STATUSES[self.message.state]

    @property
    def created_at(self) -> datetime:
        """Return the time of the submit, or of the answer if the id of the run tells it."""
        return (time_of(self.id) if self.first_event else None) or self.message.created_at

    @property
    def path(self) -> str:
        """Return the path of the run below the mount. Clients put the address of the mount in front of it."""
        return f"/threads/{quote(self.thread_id, safe='')}/runs/{quote(self.id, safe='')}"


async def find_run(services: Services, caller: Principal, thread_id: str, run_id: str) -> Run:
    """Return a run of a thread. Raises RunNotFound, and InvalidRequest for an unknown id that is no UUID."""
    try:
        found = await services.queue.find(caller, run_id)
        message = await services.queue.get(caller, found.message_id)
    except MessageNotFound:
        require_uuid(run_id, "run_id")
        raise RunNotFound(run_id) from None
    if thread_id != (message.thread_id or message.id):
        raise RunNotFound(run_id)
    return [each async for each in runs_of(services, caller, message) if each.first_event == found.first_event][-1]


async def runs_of(services: Services, caller: Principal, message: Message) -> AsyncIterator[Run]:
    """Yield the runs of a message, oldest first. Aliases that its submit gave name the first run."""
    begun = [Alias(message.id, 0)]
    names = [message.id]
    for name in await services.queue.list_aliases(message):
        found = await services.queue.find(caller, name)
        if found.first_event:
            begun.append(found)
            names.append(name)
    for at, (name, found) in enumerate(zip(names, begun, strict=True)):
        yield Run(name, message, found.first_event, is_answered=at + 1 < len(begun))
