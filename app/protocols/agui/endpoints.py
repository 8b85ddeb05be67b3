"""Endpoints of agents: the run of a page, and the end of it."""

import asyncio
import sys
from importlib import import_module
from typing import Any

from fastapi import Request, Response
from starlette.exceptions import HTTPException

from ...access.scopes import AccessScope, needs
from ...api.deps import ActorDep, PrincipalDep, ServicesDep, ThreadIdDep
from ..agents import visible_agent
from ..priorities import PriorityDep
from ..unfinished import cancel_unfinished
from .routing import make_router

router = make_router()

NOT_INSTALLED = (
    "This server lacks the package of AG-UI. Its operator installs it with `pip install 'agent-queue-system[agui]'` "
    "and starts the server again."
)


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
    reply: Response = await (await _replies()).run(request, services, principal, name, priority, by=by)
    return reply


@router.get("/{agent}")
@needs(AccessScope.READ)
async def describe(services: ServicesDep, principal: PrincipalDep, agent: str) -> Response:
    """Tell what clients can do with an agent."""
    name = visible_agent(services, principal, agent)
    reply: Response = await (await _replies()).describe(services, name)
    return reply


@router.post("/{agent}/{thread_id}/stop")
@needs(AccessScope.CONTROL)
async def stop(
    services: ServicesDep, principal: PrincipalDep, by: ActorDep, agent: str, thread_id: ThreadIdDep
) -> Response:
    """Cancel the unfinished message of a thread, if there is one."""
    visible_agent(services, principal, agent)
    await cancel_unfinished(services, principal, thread_id, by=by)
    return Response(status_code=204)


async def _replies() -> Any:
    """Return the module that needs the package of the protocol. Raises HTTPException without the package.

    The first call imports it, on a thread. A thread for each call would cost a tenth of a millisecond.
    """
    name = f"{__package__}.replies"
    try:
        return import_module(name) if name in sys.modules else await asyncio.to_thread(import_module, name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "ag_ui":
            raise HTTPException(501, NOT_INSTALLED) from None
        raise
