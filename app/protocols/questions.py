"""Finds the question that a thread waits for, and answers it as a run of its own."""

from ..access.principals import Principal
from ..access.scopes import AccessScope
from ..errors import Forbidden, InvalidRequest
from ..models.audit import Actor
from ..models.messages import Message, MessageFilter, MessageState, Page
from ..models.requests import ResumeAnswer
from ..services import Services
from .ids import new_id
from .runs import Run, find_run

ASKING = frozenset({MessageState.INTERRUPTED})
NEWEST = Page(1)


async def question_of(services: Services, caller: Principal, thread_id: str) -> Message | None:
    """Return the message of a thread that waits for an answer, without its options; None if there is none."""
    chosen = MessageFilter(thread_id=thread_id, states=ASKING)
    found = await services.queue.list_messages(caller, chosen, NEWEST)
    return found[0] if found else None


def require_control(caller: Principal, field: str) -> None:
    """Raise Forbidden unless the caller may answer questions. `field` has the answer in the client's request."""
    if AccessScope.CONTROL not in caller.scopes:
        raise Forbidden(f"{field}: answers need the scope `control`, which the caller does not have.")


async def answer_question(
    services: Services, caller: Principal, message: Message, given: ResumeAnswer, *, field: str, by: Actor
) -> Run:
    """Answer the questions of a message, and return the run that goes on with it.

    Without an alias in `given`, the run gets a new id. `field` has the answer in the client's request. Raises
    Forbidden, InvalidRequest, which names the field, and what `QueueManager.resume` raises.
    """
    require_control(caller, field)
    alias = given.alias or new_id()
    try:
        await services.queue.resume(caller, message.id, given._replace(alias=alias, for_all=True), by=by)
    except InvalidRequest as error:
        if error.field not in ("value", "values"):
            raise
        told = str(error).removeprefix(f"{error.field}: ").removesuffix(", in `values`.")
        raise InvalidRequest(f"{field}: {told}", field=field) from None
    return await find_run(services, caller, alias)
