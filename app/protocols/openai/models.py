"""Endpoints of models: one for each agent."""

import json
from typing import Any

from fastapi import Response

from ...access.scopes import AccessScope, needs
from ...api.deps import PrincipalDep, ServicesDep
from ...api.replies import JsonReply
from ..agents import visible_agent, visible_agents
from .routing import make_router

router = make_router()

OWNER = "agentq"
UNKNOWN_TIME = 0
"""Stands for when a model was made. Nobody notes when an agent was configured."""


@router.get("/models")
@needs(AccessScope.READ)
async def list_models(services: ServicesDep, principal: PrincipalDep) -> Response:
    """List the agents that the caller may use, in the order of their configuration."""
    data = [_view(agent) for agent in visible_agents(services, principal)]
    return JsonReply(json.dumps({"object": "list", "data": data}))


@router.get("/models/{model}")
@needs(AccessScope.READ)
async def get(services: ServicesDep, principal: PrincipalDep, model: str) -> Response:
    """Return one agent."""
    return JsonReply(json.dumps(_view(visible_agent(services, principal, model))))


def _view(agent: str) -> dict[str, Any]:
    return {"id": agent, "object": "model", "created": UNKNOWN_TIME, "owned_by": OWNER}
