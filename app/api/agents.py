"""Endpoints for clients that choose an agent: what each agent takes, returns and shows, and who runs it."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from ..access.principals import Principal
from ..access.scopes import AccessScope, needs
from ..errors import AgentNotFound
from ..services import Services
from .deps import PrincipalDep, ServicesDep
from .errors import problems
from .replies import JsonReply
from .schemas.agents import AgentList, AgentView

router = APIRouter()


@router.get(
    "/agents",
    tags=["agents"],
    operation_id="listAgents",
    summary="List the agents",
    response_model=AgentList,
    responses=problems(503),
)
@needs(AccessScope.READ)
async def list_agents(services: ServicesDep, principal: PrincipalDep) -> Response:
    """List the agents with their schemas, the events that they can show, and their live workers."""
    return JsonReply(AgentList(agents=await _views(services, _names(services, principal))).model_dump_json())


@router.get(
    "/agents/{name}",
    tags=["agents"],
    operation_id="getAgent",
    summary="Get an agent",
    response_model=AgentView,
    responses=problems(404, 503),
)
@needs(AccessScope.READ)
async def get_agent(
    name: Annotated[str, Path(description="The agent's name.")], services: ServicesDep, principal: PrincipalDep
) -> Response:
    """Return an agent with its schemas, the events that it can show, and its live workers."""
    names = _names(services, principal)
    if name not in names:
        raise AgentNotFound(name, names)
    (view,) = await _views(services, (name,))
    return JsonReply(view.model_dump_json())


def _names(services: Services, principal: Principal) -> tuple[str, ...]:
    """Return the agents that the caller may use."""
    return tuple(filter(principal.visibility.shows_agent, services.registry.names))


async def _views(services: Services, names: tuple[str, ...]) -> list[AgentView]:
    workers = await services.store.list_workers()
    default = services.registry.default
    known = [await services.descriptions.get(name) for name in names]
    return [
        AgentView.of(name, each, workers, is_default=name == default) for name, each in zip(names, known, strict=True)
    ]
