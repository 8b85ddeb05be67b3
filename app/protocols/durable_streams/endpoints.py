"""Endpoints of streams."""

from fastapi import Request, Response

from ...access.scopes import AccessScope, needs
from ...api.deps import MessageIdDep, PrincipalDep, ServicesDep, ThreadIdDep
from ...api.streaming import Ticket
from ...api.targets import takes_any_query
from .message_stream import MessageStream
from .replies import reply_to
from .routing import make_router
from .thread_stream import ThreadStream

router = make_router()


@router.get("/messages/{message_id}")
@takes_any_query
@needs(AccessScope.READ)
async def read_message(
    request: Request, services: ServicesDep, principal: PrincipalDep, message_id: MessageIdDep, _ticket: Ticket = None
) -> Response:
    """Read the stream of a message."""
    stream = await MessageStream.find(services, principal, message_id)
    return await reply_to(request, services, principal, stream)


@router.get("/threads/{thread_id:path}")
@takes_any_query
@needs(AccessScope.READ)
async def read_thread(
    request: Request, services: ServicesDep, principal: PrincipalDep, thread_id: ThreadIdDep, _ticket: Ticket = None
) -> Response:
    """Read the stream of a thread."""
    stream = await ThreadStream.find(services, principal, thread_id)
    return await reply_to(request, services, principal, stream)
