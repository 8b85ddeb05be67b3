"""Replies to messages of the protocol, by the revision that the client speaks."""

import json

from mcp.shared.dispatcher import as_request_id
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types import UNSUPPORTED_PROTOCOL_VERSION
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, KNOWN_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

from ...api.replies import JsonReply
from ...text import escaped
from . import handshake
from .exchanges import SCOPE_KEY, Exchange
from .stateless import StatelessReply

MAX_SHOWN_VERSION = 100


async def reply_to(request: Request, exchange: Exchange, body: bytes) -> Response:
    """Return the reply to a message. Raises AgentQueueError."""
    request.scope[SCOPE_KEY] = exchange
    version = request.headers.get(MCP_PROTOCOL_VERSION_HEADER)
    if version is None or version in HANDSHAKE_PROTOCOL_VERSIONS:
        return await handshake.reply_to(request, exchange, body)
    if version not in MODERN_PROTOCOL_VERSIONS:
        return _unknown_revision(version, body)
    return StatelessReply(exchange, body)


async def resume(request: Request, exchange: Exchange, last_event_id: str) -> Response:
    """Return the rest of the stream of a call whose connection was cut. Raises AgentQueueError."""
    request.scope[SCOPE_KEY] = exchange
    return await handshake.resume(request, exchange, last_event_id)


def _unknown_revision(version: str, body: bytes) -> Response:
    """Return the refusal of a revision. Clients choose another one from it."""
    shown = escaped(version[:MAX_SHOWN_VERSION])
    told = f"MCP-Protocol-Version: expected one of {', '.join(KNOWN_PROTOCOL_VERSIONS)}, got {shown!r}"
    data = {"supported": list(KNOWN_PROTOCOL_VERSIONS), "requested": shown, "code": "invalid_request", "status": 400}
    error = {"code": UNSUPPORTED_PROTOCOL_VERSION, "message": told, "data": data}
    return JsonReply(json.dumps({"jsonrpc": "2.0", "id": _id_in(body), "error": error}), 400)


def _id_in(body: bytes) -> int | str | None:
    """Return the id of the request in a body; None if it has none."""
    try:
        decoded = from_json(body)
    except ValueError:
        return None
    return as_request_id(decoded.get("id")) if isinstance(decoded, dict) else None
