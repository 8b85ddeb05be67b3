"""Endpoints of agents: their cards, and the calls of their methods."""

import asyncio
import sys
from importlib import import_module
from typing import Annotated, Any

from fastapi import Header, Request, Response
from starlette.exceptions import HTTPException

from ...access.principals import Principal
from ...access.scopes import AccessScope, needs
from ...api.deps import ActorDep, PrincipalDep, ServicesDep
from ...api.errors import UnsupportedMediaType
from ...api.json_limits import check_json_values
from ...errors import AgentNotFound
from ...services import Services
from ..agents import visible_agent, visible_agents
from ..priorities import PriorityDep
from ..routing import KeyNameDep
from .calls import Call, Headers
from .routing import CARD_PATH, make_root_router, make_router

router = make_router()
root_router = make_root_router()

NOT_INSTALLED = "This server lacks the package of A2A. Install it with pip install 'agent-queue-system[a2a]'."

LAST_NAMES = {"replies": "dialect_of", "cards": "card_reply"}
"""By module, the name that its import defines last."""

HeaderText = Annotated[str, Header()]


@router.post("/{agent}")
@needs(AccessScope.READ)
async def call(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    by: ActorDep,
    agent: str,
    key: KeyNameDep,
    priority: PriorityDep = None,
    a2a_version: HeaderText = "",
    a2a_extensions: HeaderText = "",
    last_event_id: HeaderText = "",
) -> Response:
    """Carry out a call of a method. Each method has a scope of its own."""
    name = visible_agent(services, principal, agent)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType("Send the call as JSON, with the header Content-Type: application/json.")
    body = await request.body()
    check_json_values(body)
    headers = Headers(str(request.base_url), a2a_version, a2a_extensions, last_event_id, priority, key)
    reply: Response = await (await _module("replies")).reply_to(Call(services, principal, by, name), headers, body)
    return reply


@router.get("/{agent}" + CARD_PATH)
@needs(AccessScope.READ)
async def show_card(request: Request, services: ServicesDep, principal: PrincipalDep, agent: str) -> Response:
    """Describe an agent to its clients."""
    return await _card(request, services, principal, visible_agent(services, principal, agent))


@root_router.get(CARD_PATH)
@needs(AccessScope.READ)
async def show_first_card(request: Request, services: ServicesDep, principal: PrincipalDep) -> Response:
    """Describe the default agent, or the first one that the caller may use."""
    names = visible_agents(services, principal)
    default = services.registry.default
    if not names:
        raise AgentNotFound(default, names)
    return await _card(request, services, principal, default if default in names else names[0])


async def _card(request: Request, services: Services, principal: Principal, agent: str) -> Response:
    cards = await _module("cards")
    reply: Response = await cards.card_reply(services, principal, agent, str(request.base_url))
    return reply


async def _module(name: str) -> Any:
    """Return a module that needs the package `a2a-sdk`. Raises HTTPException without the package.

    It is imported on a thread, since this takes long. Once it is there, no call waits for a thread.
    """
    path = f"{__package__}.{name}"
    if hasattr(found := sys.modules.get(path), LAST_NAMES[name]):
        return found
    try:
        return await asyncio.to_thread(import_module, path)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] in ("a2a", "google"):
            raise HTTPException(501, NOT_INSTALLED) from None
        raise
