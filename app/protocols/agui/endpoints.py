"""Endpoints of agents: the run of a page, and the end of it."""

from contextlib import suppress

from fastapi import Request, Response

from ...access.scopes import AccessScope, needs
from ...api.deps import ActorDep, PrincipalDep, ServicesDep, ThreadIdDep, body_of
from ...api.replies import JsonReply
from ...errors import MessageNotFound, NotCancellable
from ..agents import visible_agent
from ..priorities import PriorityDep
from ..unfinished import unfinished_message
from .capabilities import capabilities_of
from .requests import begun_run
from .routing import make_router
from .schemas import AgentRun
from .streams import stream_of

router = make_router()


@router.post("/{agent}")
@needs(AccessScope.SUBMIT)
async def run(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    by: ActorDep,
    agent: str,
    priority: PriorityDep = None,
) -> Response:
    """Store what a page sends and stream the run. A page that sends nothing new gets its thread and what runs there."""
    name = visible_agent(services, principal, agent)
    body = await body_of(request, AgentRun)
    if body.props.priority is None and priority is not None:
        body = body.model_copy(update={"forwarded_props": body.props.model_copy(update={"priority": priority})})
    await services.stream_limits.check(principal)
    begun = await begun_run(services, principal, name, body, by=by)
    return await stream_of(services, principal, body, begun)


@router.get("/{agent}")
@needs(AccessScope.READ)
async def describe(services: ServicesDep, principal: PrincipalDep, agent: str) -> Response:
    """Tell what clients can do with an agent, in the form that the protocol has for it."""
    return JsonReply(capabilities_of(visible_agent(services, principal, agent)).model_dump_json(by_alias=True))


@router.post("/{agent}/{thread_id}/stop")
@needs(AccessScope.CONTROL)
async def stop(
    services: ServicesDep, principal: PrincipalDep, by: ActorDep, agent: str, thread_id: ThreadIdDep
) -> Response:
    """Cancel the unfinished message of a thread, if there is one."""
    visible_agent(services, principal, agent)
    message = await unfinished_message(services, principal, thread_id)
    if message is not None:
        with suppress(MessageNotFound, NotCancellable):  # it has ended meanwhile
            await services.queue.cancel(principal, message.id, running=True, by=by)
    return Response(status_code=204)
