"""Runs, which are what the requests of clients made, and how to find them."""

from datetime import datetime
from typing import NamedTuple

from ..access.principals import Principal
from ..errors import MessageNotFound
from ..models.events import TERMINAL_EVENTS, EventType
from ..models.limits import Counted
from ..models.messages import Alias, Message
from ..services import Services
from .ids import time_of

ENDS = TERMINAL_EVENTS | {EventType.INTERRUPTED}
"""The events that end a run."""


class Run(NamedTuple):
    """A part of a message's log: from its submit, or from an answer, to the next question or the end.

    The first event of the part is `first_event`. It is 0 for the run that the submit made, whose id is the message's.
    `is_answered` tells that the question of the run was answered. The answer began another run. `counted` is what the
    submit has counted against limits, for the reply to it.
    """

    id: str
    message: Message
    first_event: int = 0
    is_answered: bool = False
    counted: Counted | None = None

    @property
    def alias(self) -> Alias:
        """Return the run as the queue knows it."""
        return Alias(self.message.id, self.first_event)

    @property
    def thread_id(self) -> str:
        """Return the id of the run's thread. A message without a thread has a private one with the message's id."""
        return self.message.thread_id or self.message.id

    @property
    def created_at(self) -> datetime:
        """Return the time of the submit, or of the answer if the id of the run tells it."""
        return (time_of(self.id) if self.first_event else None) or self.message.created_at

    @property
    def seen_before(self) -> int:
        """Return the id of the last event before the run; 0 if there is none."""
        return max(0, self.first_event - 1)


async def find_run(services: Services, caller: Principal, name: str) -> Run:
    """Return the run with this id or alias. Raises MessageNotFound."""
    found = await services.queue.find(caller, name)
    message = await services.queue.get(caller, found.message_id)
    for run in reversed(await runs_of(services, message)):
        if run.first_event == found.first_event:
            return run
    raise MessageNotFound(name)  # deleted meanwhile


async def runs_of(services: Services, message: Message) -> list[Run]:
    """Return the runs of a message, oldest first. Aliases that its submit gave name the first run."""
    begun = [(message.id, 0)]
    begun += [named for named in (await services.queue.list_aliases(message)).items() if named[1]]
    return [Run(name, message, first, is_answered=at < len(begun)) for at, (name, first) in enumerate(begun, 1)]
