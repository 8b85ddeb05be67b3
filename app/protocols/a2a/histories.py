"""The history of a task: what its users said, and what the agent asked between."""

import json
from collections.abc import Iterator, Sequence

from a2a.types import a2a_pb2 as pb

from ...access.principals import Principal
from ...models.events import Event, EventType
from ...models.messages import Message
from ...services import Services
from ..runs import runs_of
from .tasks import answer_message, context_of, given_message, question_message


async def history_of(services: Services, caller: Principal, message: Message, length: int | None) -> list[pb.Message]:
    """Return the last `length` messages of a task, oldest first; None means all of them.

    Questions and their answers are events. When these are no longer kept, the first message alone is left. An open
    question is in the status of the task.
    """
    if length == 0:
        return []
    said = [given_message(message)]
    if message.started_at is not None:
        for answered in (await runs_of(services, message))[1:]:
            after = max(0, answered.first_event - 2)
            page = await services.log.read(caller.tenant, message.id, after=after, limit=2)
            said += _said_in(message, page.events)
    return said if length is None else said[-length:]


def _said_in(message: Message, events: Sequence[Event]) -> Iterator[pb.Message]:
    """Yield the question and the answer that events have."""
    context_id = context_of(message)
    for event in events:
        data = json.loads(event.data)
        match event.type:
            case EventType.INTERRUPTED:
                yield question_message(message.id, context_id, data["interrupts"])
            case EventType.RESUMED:
                yield answer_message(f"{message.id}-answer-{event.id}", message.id, context_id, data["answers"])
