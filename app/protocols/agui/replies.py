"""Replies to requests, with the models of the protocol's package."""

from fastapi import Request, Response

from ...access.principals import Principal
from ...api.deps import body_of
from ...api.replies import JsonReply
from ...models.audit import Actor
from ...models.messages import Priority
from ...services import Services
from .capabilities import capabilities_of
from .page_tools import takes_tools
from .requests import begun_run
from .schemas import AgentRun
from .streams import stream_of


async def run(
    request: Request, services: Services, caller: Principal, agent: str, priority: Priority | None, *, by: Actor
) -> Response:
    """Carry out what a page sends and return the stream of its run. `priority` is for a body that names none."""
    body = await body_of(request, AgentRun)
    if body.props.priority is None and priority is not None:
        body = body.model_copy(update={"forwarded_props": body.props.model_copy(update={"priority": priority})})
    await services.stream_limits.check(caller)
    begun = await begun_run(services, caller, agent, body, by=by)
    return await stream_of(services, caller, body, begun)


async def describe(services: Services, agent: str) -> Response:
    """Return what clients can do with an agent, in the form that the protocol has for it."""
    known = await services.descriptions.get(agent)
    found = capabilities_of(agent, takes_tools=takes_tools(None if known is None else known.description))
    return JsonReply(found.model_dump_json(by_alias=True))
