"""Replies to messages of the protocol, by the revision that the client speaks."""

from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.requests import Request
from starlette.responses import Response

from . import handshake
from .exchanges import SCOPE_KEY, Exchange
from .stateless import StatelessReply


async def reply_to(request: Request, exchange: Exchange, body: bytes) -> Response:
    """Return the reply to a message. Raises AgentQueueError."""
    request.scope[SCOPE_KEY] = exchange
    version = request.headers.get(MCP_PROTOCOL_VERSION_HEADER)
    if version is None or version in HANDSHAKE_PROTOCOL_VERSIONS:
        return await handshake.reply_to(request, exchange, body)
    return StatelessReply(exchange, body)  # the SDK refuses revisions that it does not know


async def resume(request: Request, exchange: Exchange, last_event_id: str) -> Response:
    """Return the rest of the stream of a call whose connection was cut. Raises AgentQueueError."""
    request.scope[SCOPE_KEY] = exchange
    return await handshake.resume(request, exchange, last_event_id)
