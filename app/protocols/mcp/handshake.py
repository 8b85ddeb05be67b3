"""Serves the revisions that begin with a handshake: 2025-11-25 and older.

No process keeps anything of a session, so any process serves any request of it. The id of a server-sent event has all
that another process needs to go on with the call.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
from mcp.server.connection import Connection
from mcp.server.runner import modern_error_data, serve_one
from mcp.server.streamable_http import check_accept_headers
from mcp.shared.dispatcher import CallOptions, as_request_id
from mcp.shared.exceptions import NoBackChannelError
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp.shared.jsonrpc_dispatcher import progress_token_from_params
from mcp.shared.message import ServerMessageMetadata
from mcp.shared.transport_context import TransportContext
from mcp_types import (
    DEFAULT_NEGOTIATED_VERSION,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
    jsonrpc_message_adapter,
)
from mcp_types.version import is_version_at_least
from pydantic import ValidationError
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import override

from ...api.errors import ServerStopping, problem
from ...api.replies import JsonReply
from ...api.streaming import KEEP_ALIVE, EventStreamResponse
from ...errors import InvalidRequest, MessageNotFound, NotCancellable, Unauthorized
from ..ids import new_id
from .errors import INVALID_REQUEST, not_json
from .exchanges import SCOPE_KEY, Exchange, Resumption
from .server import make_server
from .waits import resumed_message

SESSION = "Mcp-Session-Id"
CALL, CANCELLED = "tools/call", "notifications/cancelled"

FIRST_WITH_EMPTY_EVENTS = "2025-11-25"
"""The first revision whose clients take events without data, which only tell an id."""

ACCESS_ENDED = "The credential was revoked or has expired."


async def reply_to(request: Request, exchange: Exchange, body: bytes) -> Response:
    """Return the reply to a message. Raises InvalidRequest."""
    message = _message_of(body)
    if not all(check_accept_headers(request)):
        told = "Send the header Accept: application/json, text/event-stream. A call may be answered with either."
        return problem(406, "not_acceptable", told)
    if not isinstance(message, JSONRPCRequest):
        if isinstance(message, JSONRPCNotification) and message.method == CANCELLED:
            await _cancel(request, exchange, message)
        return Response(status_code=202)
    if message.method != CALL:
        reply = await _answer(request, message, Channel(request, message.id))
        headers = {SESSION: new_id()} if message.method == "initialize" else None
        return JsonReply(_json_of(reply), headers=headers)
    exchange.alias = _alias(request, message.id)
    return CallStream(request, exchange, message)


async def resume(request: Request, exchange: Exchange, last_event_id: str) -> Response:
    """Return the stream of a call whose connection was cut. Raises InvalidRequest, MessageNotFound, TooManyStreams."""
    exchange.resumed = resumed = Resumption.of(last_event_id)
    await resumed_message(exchange, resumed.message_id, resumed.place)
    await exchange.services.stream_limits.check(exchange.caller)
    meta = {} if resumed.token is None else {"_meta": {"progressToken": resumed.token}}
    params = {"name": resumed.tool, "arguments": {}, **meta}
    return CallStream(
        request, exchange, JSONRPCRequest(jsonrpc="2.0", id=resumed.request_id, method=CALL, params=params)
    )


def _message_of(body: bytes) -> JSONRPCMessage:
    """Return the message in a body. Raises InvalidRequest."""
    try:
        decoded = from_json(body)
    except ValueError as error:
        raise not_json(error) from None
    with suppress(ValidationError):
        message = jsonrpc_message_adapter.validate_python(decoded, by_name=False)
        if not (isinstance(message, JSONRPCNotification) and "id" in decoded):  # a request whose id is none
            return message
    raise InvalidRequest("body: expected one request, notification or response of JSON-RPC 2.0", field="body")


def _version(request: Request) -> str:
    return request.headers.get(MCP_PROTOCOL_VERSION_HEADER, DEFAULT_NEGOTIATED_VERSION)


def _alias(request: Request, request_id: RequestId) -> str | None:
    """Return an id for the message of a call. It cannot be guessed without the session's id. None without a session."""
    session = request.headers.get(SESSION)
    if not session:
        return None
    return f"mcp-{hashlib.sha256(json.dumps([session, request_id]).encode()).hexdigest()[:32]}"


async def _cancel(request: Request, exchange: Exchange, message: JSONRPCNotification) -> None:
    """Cancel the message that a call of the same session submitted, if the call was a run of an agent."""
    request_id = as_request_id((message.params or {}).get("requestId"))
    alias = None if request_id is None else _alias(request, request_id)
    if alias is not None:
        with suppress(MessageNotFound, NotCancellable):  # it has ended, or the call was no run
            await exchange.services.queue.cancel(exchange.caller, alias, running=True, by=exchange.by)


async def _answer(request: Request, message: JSONRPCRequest, channel: "Channel") -> JSONRPCResponse | JSONRPCError:
    """Return the response to a request. Raises ServerStopping."""
    connection = Connection.from_envelope(_version(request), None, None)
    try:
        result = await serve_one(
            make_server(), channel, message.method, message.params, connection=connection, lifespan_state={}
        )
    except ServerStopping:
        raise
    except Exception as error:  # noqa: BLE001  the SDK logs it, and hides its text from the client
        return JSONRPCError(jsonrpc="2.0", id=message.id, error=modern_error_data(error))
    return JSONRPCResponse(jsonrpc="2.0", id=message.id, result=result)


def _json_of(message: JSONRPCResponse | JSONRPCError | JSONRPCNotification) -> str:
    return json.dumps(message.model_dump(mode="json", by_alias=True, exclude_none=True), separators=(",", ":"))


def _frame(message: JSONRPCResponse | JSONRPCError | JSONRPCNotification, event_id: str | None = None) -> bytes:
    """Return a message as a server-sent event."""
    named = "" if event_id is None else f"id: {event_id}\n"
    return f"{named}event: message\ndata: {_json_of(message)}\n\n".encode()


@dataclass
class Channel:
    """The way from the SDK's server to the client for one request: a `DispatchContext` of the SDK.

    `token` is that of the request's progress. Notifications become `frames`; None drops them.
    """

    request: Request
    request_id: RequestId
    token: RequestId | None = None
    frames: asyncio.Queue[bytes] | None = None
    cancel_requested: anyio.Event = field(default_factory=anyio.Event)
    can_send_request: bool = False

    @property
    def transport(self) -> TransportContext:
        """Return what is known of the transport."""
        return TransportContext(kind="streamable-http", can_send_request=False, headers=self.request.headers)

    @property
    def message_metadata(self) -> ServerMessageMetadata:
        """Return where the handlers find the request."""
        return ServerMessageMetadata(request_context=self.request)

    async def send_raw_request(
        self,
        method: str,
        params: Mapping[str, Any] | None,  # noqa: ARG002  the SDK's protocol
        opts: CallOptions | None = None,  # noqa: ARG002  the SDK's protocol
    ) -> dict[str, Any]:
        """Raise NoBackChannelError: this server asks clients nothing."""
        raise NoBackChannelError(method)

    async def notify(
        self,
        method: str,
        params: Mapping[str, Any] | None,
        opts: CallOptions | None = None,  # noqa: ARG002  the SDK's protocol
    ) -> None:
        """Send a notification. Wait while the client is slow."""
        if self.frames is None:
            return
        message = JSONRPCNotification(jsonrpc="2.0", method=method, params=None if params is None else dict(params))
        event_id = event_id_of(self)
        await self.frames.put(_frame(message, event_id))

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """Send a progress if the client wants it."""
        if self.token is not None:
            given = {"progressToken": self.token, "progress": progress, "total": total, "message": message}
            await self.notify(
                "notifications/progress", {name: value for name, value in given.items() if value is not None}
            )


def event_id_of(channel: Channel) -> str | None:
    """Return the id of an event that is sent now; None if its call cannot be resumed."""
    exchange: Exchange = channel.request.scope[SCOPE_KEY]
    if exchange.message_id is None or exchange.tool is None:
        return None
    event_id = Resumption(
        exchange.tool, exchange.message_id, exchange.place, exchange.until, channel.request_id, channel.token
    ).event_id
    exchange.can_resume = event_id is not None
    return event_id


class CallStream(EventStreamResponse):
    """The stream of a call: its progress, and its response."""

    takes_place = False  # a call takes it before it submits a message

    def __init__(self, request: Request, exchange: Exchange, message: JSONRPCRequest) -> None:
        self._request = request
        self._exchange = exchange
        self._message = message
        super().__init__(self._frames(), exchange.services, counted=False)

    @override
    def refusal(self) -> bytes:
        message_id = self._exchange.message_id
        cure = "Send the request again with another one."
        if message_id is not None:
            cure = f"The message {message_id} goes on: call wait_for_message for it with another one."
        data = {"code": Unauthorized.code, "status": 401}
        error = {"code": INVALID_REQUEST, "message": f"{ACCESS_ENDED} {cure}", "data": data}
        refused = JSONRPCError.model_validate({"jsonrpc": "2.0", "id": self._message.id, "error": error})
        return b"\n\n" + _frame(refused)  # the last frame may have been cut off

    async def _frames(self) -> AsyncGenerator[bytes]:
        """Yield the frames until the response. Raises ServerStopping, after which the client comes back."""
        exchange, message = self._exchange, self._message
        frames: asyncio.Queue[bytes] = asyncio.Queue(1)
        channel = Channel(self._request, message.id, progress_token_from_params(message.params), frames)
        exchange.tool = str((message.params or {}).get("name"))

        async def begin_to_wait() -> None:
            self._is_counted = True  # other calls end at once
            if not is_version_at_least(_version(self._request), FIRST_WITH_EMPTY_EVENTS):
                return
            if (event_id := event_id_of(channel)) is not None:
                await frames.put(f"id: {event_id}\ndata:\n\n".encode())

        exchange.when_waiting = begin_to_wait
        seconds = exchange.services.settings.keepalive_seconds
        answering = asyncio.ensure_future(_answer(self._request, message, channel))
        getting = asyncio.ensure_future(frames.get())
        try:
            while True:
                done, _ = await asyncio.wait((answering, getting), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
                if getting in done:
                    yield getting.result()
                    getting = asyncio.ensure_future(frames.get())
                elif answering in done and frames.empty():
                    yield _frame(answering.result())
                    return
                elif not done:
                    yield KEEP_ALIVE
        finally:
            for task in (answering, getting):
                task.cancel()
            await asyncio.gather(answering, getting, return_exceptions=True)
