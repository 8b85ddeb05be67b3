"""What a response may ask of its connection, which ASGI has no words for."""

from typing import TYPE_CHECKING, Protocol, cast

from starlette.types import Scope
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

EXTENSION = "agent_queue.connection"

HEAD_EXTENSION = "agent_queue.head"
"""In the scope of a HEAD request, which is answered as a GET whose body is not sent."""

SERVICE_RESTART = 1012
"""The code of RFC 6455's registry with which a server that stops closes a WebSocket."""

FAREWELL_SECONDS = 5.0
"""How long a WebSocket that is closed may take to read what is left for it."""


class Connection(Protocol):
    """The connection of a request, a part of asyncio's transport."""

    def get_write_buffer_size(self) -> int:
        """Bytes that were given to it and are not yet sent."""

    def abort(self) -> None:
        """Close it at once, without waiting for what is not yet sent."""


class ConnectedWebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, which shows the connection too, and whose end does not wait for a client that does not read.

    uvicorn's own would send no close frame to such a client, and keep its connection for as long as the peer likes.
    """

    async def run_asgi(self) -> None:
        """See WebSocketsSansIOProtocol."""
        cast(Scope, self.scope)["extensions"][EXTENSION] = self.transport
        await super().run_asgi()

    async def send(self, message: "ASGISendEvent") -> None:
        """See WebSocketsSansIOProtocol."""
        if message["type"] != "websocket.close":
            await super().send(message)
            return
        self.writable.set()
        await super().send(message)
        if self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(FAREWELL_SECONDS, self.transport.abort)

    def keepalive_timeout(self) -> None:
        """See WebSocketsSansIOProtocol."""
        super().keepalive_timeout()
        self.loop.call_later(FAREWELL_SECONDS, self.transport.abort)

    def shutdown(self) -> None:
        """The application answers what it has taken, then closes; uvicorn waits for it, within its limit."""
        if self.handshake_complete and not self.close_sent:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": SERVICE_RESTART})
        else:
            super().shutdown()


def connection_of(scope: Scope) -> Connection | None:
    """The connection of a request; None under a server that does not show it."""
    connection: Connection | None = scope.get("extensions", {}).get(EXTENSION)
    return connection
