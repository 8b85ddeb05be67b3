"""Endpoints of chats, which are threads."""

from typing import Annotated

from fastapi import Query, Request, Response

from ...access.principals import Principal
from ...access.scopes import AccessScope, needs
from ...api.deps import ActorDep, PrincipalDep, ServicesDep, ThreadIdDep, body_of
from ...models.messages import Message, MessageFilter, Page
from ...services import Services
from ..priorities import PriorityDep
from ..runs import runs_of
from ..unfinished import cancel_unfinished, unfinished_message
from .requests import begun_run
from .routing import make_router
from .schemas import ChatRequest
from .streams import stream_of_message, stream_of_request

router = make_router()


@router.post("")
@needs(AccessScope.SUBMIT)
async def send(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    by: ActorDep,
    priority: PriorityDep = None,
) -> Response:
    """Store what a page sends and stream the answer."""
    body = await body_of(request, ChatRequest)
    if body.priority is None:
        body = body.model_copy(update={"priority": priority})
    await services.stream_limits.check(principal)
    run, is_known = await begun_run(services, principal, body, by=by)
    if is_known:
        return await stream_of_message(services, principal, run)
    return await stream_of_request(services, principal, run)


@router.get("/{thread_id}/stream")
@needs(AccessScope.READ)
async def resume(
    services: ServicesDep,
    principal: PrincipalDep,
    thread_id: ThreadIdDep,
    ended: Annotated[bool, Query()] = False,
) -> Response:
    """Stream the unfinished answer of a chat from its start. 204 if there is none, also for an unknown chat.

    With `ended`, the newest answer is streamed although it has ended, as long as its events are kept. A page asks for
    each chat that it opens, a new one too.
    """
    message = await unfinished_message(services, principal, thread_id)
    if message is None and ended:
        message = await _newest(services, principal, thread_id)
    if message is None:
        return Response(status_code=204)
    await services.stream_limits.check(principal)
    run = (await runs_of(services, message))[-1]
    return await stream_of_message(services, principal, run)


@router.post("/{thread_id}/stop")
@needs(AccessScope.CONTROL)
async def stop(services: ServicesDep, principal: PrincipalDep, by: ActorDep, thread_id: ThreadIdDep) -> Response:
    """Cancel the unfinished answer of a chat, if there is one."""
    await cancel_unfinished(services, principal, thread_id, by=by)
    return Response(status_code=204)


async def _newest(services: Services, caller: Principal, chat_id: str) -> Message | None:
    """Return the newest message of a chat if all of its events are kept; None otherwise."""
    for found in await services.queue.list_messages(caller, MessageFilter(thread_id=chat_id), Page(1)):
        log = await services.log.read(caller.tenant, found.id, after=0, limit=1)
        if log.events and log.first == 1:
            return await services.queue.get(caller, found.id)
    return None
