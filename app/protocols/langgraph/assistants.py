"""Endpoints of assistants: one for each agent. They are made by configuring agents, not by requests."""

import json
from typing import Any

from fastapi import Request, Response

from ...access.principals import Principal
from ...access.scopes import AccessScope, needs
from ...api.deps import PrincipalDep, ServicesDep, body_of
from ...api.replies import JsonReply
from ...errors import InvalidRequest
from ...models.agents import AgentDescription
from ...services import Services
from ..agents import visible_agents
from .agents import agent_of
from .errors import not_served
from .ids import assistant_id_of, require_uuid
from .paging import page_headers
from .routing import make_router
from .schemas.assistants import AssistantMatch, AssistantSearch

router = make_router()

METADATA = {"created_by": "system"}
"""The metadata of every assistant, as LangGraph's server gives it to the assistants of configured graphs."""

UNKNOWN_TIME = "1970-01-01T00:00:00.000Z"
"""Stands for when an assistant was made. Nobody notes when an agent was configured."""

CONFIGURED = "assistants: they are the agents that AGENTS or LANGGRAPH_CONFIG names. Requests cannot change them."
NO_SUBGRAPHS = "assistants: the schemas of subgraphs are not served."


@router.post("/assistants/search")
@needs(AccessScope.READ)
async def search(request: Request, services: ServicesDep, principal: PrincipalDep) -> Response:
    """Return the assistants that match all filters, by default in the order of their configuration."""
    wanted = await body_of(request, AssistantSearch)
    found = await _found(services, principal, wanted)
    if wanted.sort_by is not None:
        key = wanted.sort_by
        found.sort(key=lambda view: str(view[key]), reverse=wanted.sort_order != "asc")
    page = found[wanted.offset : wanted.offset + wanted.limit]
    headers = page_headers(len(found), wanted.offset, len(page))
    if wanted.select is not None:
        page = [{key: value for key, value in view.items() if key in wanted.select} for view in page]
    return JsonReply(json.dumps(page), headers=headers)


@router.post("/assistants/count")
@needs(AccessScope.READ)
async def count(request: Request, services: ServicesDep, principal: PrincipalDep) -> Response:
    """Return how many assistants match all filters."""
    return JsonReply(json.dumps(len(await _found(services, principal, await body_of(request, AssistantMatch)))))


@router.get("/assistants/{assistant_id}")
@needs(AccessScope.READ)
async def get(services: ServicesDep, principal: PrincipalDep, assistant_id: str) -> Response:
    """Return an assistant."""
    agent = _agent_of(services, principal, assistant_id)
    return JsonReply(json.dumps(_view(agent, await _description(services, agent))))


@router.get("/assistants/{assistant_id}/schemas")
@needs(AccessScope.READ)
async def get_schemas(services: ServicesDep, principal: PrincipalDep, assistant_id: str) -> Response:
    """Return the JSON Schemas of a graph. They are null before a worker has loaded it."""
    agent = _agent_of(services, principal, assistant_id)
    known = await _description(services, agent)
    schemas = {
        "graph_id": agent,
        "input_schema": known and known.input_schema,
        "output_schema": known and known.output_schema,
        "state_schema": known and known.state_schema,
        "config_schema": None,
        "context_schema": known and known.context_schema,
    }
    return JsonReply(json.dumps(schemas))


@router.get("/assistants/{assistant_id}/graph")
@needs(AccessScope.READ)
async def get_graph(services: ServicesDep, principal: PrincipalDep, assistant_id: str, xray: str = "false") -> Response:
    """Return the nodes and edges of a graph, by its id or its name, without those of its subgraphs."""
    if xray.lower() not in ("false", "0", ""):
        raise InvalidRequest("xray: the nodes of subgraphs are not served. Leave it out.", field="xray")
    known = await _description(services, agent_of(services, principal, assistant_id))
    drawing = None if known is None else known.graph
    return JsonReply(json.dumps(drawing or {"nodes": [], "edges": []}))


@router.get("/assistants/{assistant_id}/subgraphs")
@router.get("/assistants/{assistant_id}/subgraphs/{namespace}")
@needs(AccessScope.READ)
async def get_subgraphs(
    services: ServicesDep,
    principal: PrincipalDep,
    assistant_id: str,
    recurse: bool = False,  # noqa: ARG001  it would choose among what is not served
) -> Response:
    """Refuse the schemas of subgraphs."""
    _agent_of(services, principal, assistant_id)
    raise not_served(NO_SUBGRAPHS)


@router.post("/assistants/{assistant_id}/versions")
@needs(AccessScope.READ)
async def list_versions(services: ServicesDep, principal: PrincipalDep, assistant_id: str) -> Response:
    """Return the only version of an assistant."""
    agent = _agent_of(services, principal, assistant_id)
    return JsonReply(json.dumps([_view(agent, await _description(services, agent))]))


@router.post("/assistants")
@router.patch("/assistants/{assistant_id}")
@router.delete("/assistants/{assistant_id}")
@router.post("/assistants/{assistant_id}/latest")
@needs(AccessScope.CONTROL)
async def change() -> Response:
    """Refuse to make or change assistants."""
    raise not_served(CONFIGURED)


def _agent_of(services: Services, caller: Principal, assistant_id: str) -> str:
    """Return the agent of an assistant. Raises AssistantNotFound, and InvalidRequest for an id that is no UUID."""
    require_uuid(assistant_id, "assistant_id", "A search for a graph_id finds the ids of its assistants.")
    return agent_of(services, caller, assistant_id)


async def _description(services: Services, agent: str) -> AgentDescription | None:
    """Return what is known of an agent; None before a worker has loaded it."""
    known = await services.descriptions.get(agent)
    return None if known is None else known.description


async def _found(services: Services, caller: Principal, wanted: AssistantMatch) -> list[dict[str, Any]]:
    """Return the assistants that match a filter."""
    return [
        _view(agent, await _description(services, agent))
        for agent in visible_agents(services, caller)
        if wanted.graph_id in (None, agent)
        and (wanted.name or "").lower() in agent.lower()
        and (wanted.metadata or {}).items() <= METADATA.items()
    ]


def _view(agent: str, known: AgentDescription | None) -> dict[str, Any]:
    return {
        "assistant_id": assistant_id_of(agent),
        "graph_id": agent,
        "config": {},
        "context": {},
        "metadata": METADATA,
        "name": agent,
        "description": (known and known.description) or None,
        "version": 1,
        "created_at": UNKNOWN_TIME,
        "updated_at": UNKNOWN_TIME,
    }
