"""Serves the revisions without a handshake: 2026-07-28 and newer. The SDK does all that is about HTTP."""

import asyncio
import time
from typing import Any

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from typing_extensions import override

from ...api.streaming import send_while_it_moves
from ...api.targets import PRINCIPAL, TARGET
from ...api.uvicorn_protocol import connection_of
from ...observability.recent_streams import StreamEnd
from ..departures import Departure
from .exchanges import Exchange
from .server import make_server


class StatelessReply(Response):
    """Answers a request by the SDK. The run of an agent is cancelled some time after its caller has left.

    In these revisions a client cancels a call by closing its connection.
    """

    def __init__(self, exchange: Exchange, body: bytes) -> None:
        super().__init__()
        self._exchange = exchange
        self._body = body

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange, services, connection = self._exchange, self._exchange.services, connection_of(scope)
        began = time.monotonic()
        is_whole = is_slow = False

        async def send_while_read(message: Message) -> None:
            nonlocal is_whole, is_slow
            try:
                await send_while_it_moves(send, message, connection)
            except TimeoutError:
                is_slow = True
                raise
            is_whole = message["type"] == "http.response.body" and not message.get("more_body")

        serving = asyncio.ensure_future(self._serve(scope, _with_body(self._body, receive), send_while_read))
        principal = scope[PRINCIPAL]
        try:
            with services.access.held(scope, principal, scope[TARGET].needs, serving.cancel):
                await asyncio.wait([serving])
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
        if exchange.message_id is not None:  # other calls end at once
            end = StreamEnd.WHOLE if is_whole else StreamEnd.SLOW if is_slow else StreamEnd.LEFT
            services.recent_streams.ended(time.monotonic() - began, end)
        if not (serving.cancelled() or is_slow):
            serving.result()
        if not is_whole:
            if connection is not None:
                connection.abort()  # no client takes half an answer for a whole one
                await asyncio.sleep(0)  # else uvicorn does not know yet, and logs the missing end as an error
            if exchange.run is not None and not services.streams.is_closing:
                await Departure(services, exchange.caller, exchange.run, cancels_as=exchange.by).cancel()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        manager = StreamableHTTPSessionManager(make_server(), stateless=True)
        async with manager.run():
            await manager.handle_request(scope, receive, send)


def _with_body(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body that was read before, and then what follows."""
    is_given = False

    async def receive_again() -> Any:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
