"""Endpoints of the protocol. Each request has one message of it."""

import asyncio
import sys
from importlib import import_module
from typing import Annotated, Any

from fastapi import Header, Request, Response
from starlette.exceptions import HTTPException

from ...access.hosts import parse_host
from ...access.scopes import AccessScope, needs
from ...api.deps import ActorDep, PrincipalDep, ServicesDep
from ...api.errors import UnsupportedMediaType, problem
from ...api.header_checks import FOREIGN, is_foreign
from ...api.json_limits import check_json_values
from ..priorities import PriorityDep
from .exchanges import LAST_EVENT_ID, Exchange
from .routing import make_router

router = make_router()

NOT_INSTALLED = "This server lacks the package of MCP. Install it with pip install 'agent-queue-system[mcp]'."

NO_STREAM = (
    "This server sends nothing on its own, so there is no stream to open. A GET goes on with the stream of a call. It "
    f"needs the header {LAST_EVENT_ID}."
)


@router.post("")
@needs(AccessScope.READ)
async def send_message(
    request: Request, services: ServicesDep, principal: PrincipalDep, by: ActorDep, priority: PriorityDep = None
) -> Response:
    """Carry out one message of the protocol."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType("Send the message as JSON, with the header Content-Type: application/json.")
    body = await request.body()
    check_json_values(body)
    exchange = Exchange(services, principal, by, priority)
    reply: Response = await (await _replies()).reply_to(request, exchange, body)
    return reply


@router.get("")
@needs(AccessScope.READ)
async def resume_call(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    by: ActorDep,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Go on with the stream of a call whose connection was cut. It is refused to pages of other sites, as calls are."""
    host = parse_host(request.headers.get("host", "").encode())
    if is_foreign({**request.scope, "method": "POST"}, host, services.settings.cors_origins):
        return problem(403, "foreign_origin", FOREIGN)
    if not last_event_id:
        return problem(405, "method_not_allowed", NO_STREAM, headers={"Allow": "POST"})
    exchange = Exchange(services, principal, by)
    reply: Response = await (await _replies()).resume(request, exchange, last_event_id)
    return reply


async def _replies() -> Any:
    """Return the module that needs the package `mcp`. Raises HTTPException without the package.

    It is imported on a thread, since this takes seconds. Once it is there, no call waits for a thread.
    """
    name = f"{__package__}.replies"
    if hasattr(found := sys.modules.get(name), "resume"):  # its last name, so that its import has ended
        return found
    try:
        return await asyncio.to_thread(import_module, name)
    except ModuleNotFoundError as error:
        if error.name in ("mcp", "mcp_types"):
            raise HTTPException(501, NOT_INSTALLED) from None
        raise
