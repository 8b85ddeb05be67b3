"""ASGI extensions for the application, and uvicorn's WebSocket protocol with limits."""

import logging
from typing import TYPE_CHECKING, Any, Protocol, cast

from starlette.types import Scope
from typing_extensions import override
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

logger = logging.getLogger(__name__)

EXTENSION = "agent_queue.connection"

HEAD_EXTENSION = "agent_queue.head"
"""A key in the scope's extensions of a HEAD request. The request is answered like a GET, without the body."""

SERVICE_RESTART = 1012
"""The code with which a stopping server closes a WebSocket, from the registry of RFC 6455."""

BAD_HANDSHAKE = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"

CLOSE_SECONDS = 5.0
"""How long the client of a closed WebSocket may take to read the unsent bytes."""

MAX_FRAGMENTS = 1024
"""Maximum number of frames of one WebSocket message. Otherwise, empty frames could fill the memory."""


class Connection(Protocol):
    """The connection of a request: the methods of asyncio's transport that the application uses."""

    def get_write_buffer_size(self) -> int:
        """Return how many written bytes are not yet sent."""

    def abort(self) -> None:
        """Close the connection at once, and drop bytes that are not yet sent."""


class ConnectedWebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol. It passes the connection to the application, and closes it despite slow readers.

    If a client does not read, uvicorn's own protocol sends no close frame and keeps the connection for ever.
    """

    __slots__ = ("_failed",)  # more than 30 attributes would cost each connection two kilobytes

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._failed = False

    @override
    async def run_asgi(self) -> None:
        cast(Scope, self.scope)["extensions"][EXTENSION] = self.transport
        await super().run_asgi()

    @override
    async def send(self, message: "ASGISendEvent") -> None:
        if message["type"] != "websocket.close":
            await super().send(message)
            if self.initial_response is not None and self.close_sent:
                self.handshake_complete = True  # a refusal completes it; uvicorn would log an error
            return
        self.writable.set()
        await super().send(message)
        if self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)

    @override
    def data_received(self, data: bytes) -> None:
        """Handle the frames in these bytes, including valid frames before an invalid frame."""
        if self._failed:
            return
        self.conn.receive_data(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(b"".join(self.conn.data_to_send()) or BAD_HANDSHAKE)
            self.transport.close()
            return
        self.handle_events()
        if self.conn.parser_exc is not None and not self._failed:
            self.handle_parser_exception()

    @override
    def handle_cont(self, event: Frame) -> None:
        if self._failed:
            return
        if len(self.frames) >= MAX_FRAGMENTS:
            self.conn.fail(CloseCode.MESSAGE_TOO_BIG, f"over {MAX_FRAGMENTS} frames for a message")
            self.handle_parser_exception()
            return
        super().handle_cont(event)

    @override
    def send_receive_event_to_app(self) -> None:
        """Pass an ASGI event to the application. Text that is not UTF-8 closes the connection without a traceback."""
        if self._failed:
            return
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.conn.fail(CloseCode.INVALID_DATA, "text that is not UTF-8")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    @override
    def handle_ping(self) -> None:
        """Answer a ping, unless the client reads nothing."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    @override
    def handle_parser_exception(self) -> None:
        """Close the connection after an invalid frame. The client gets CLOSE_SECONDS to read the reason."""
        self._failed = True
        self.stop_keepalive()
        if self.conn.close_sent is None:  # frames before the handshake's answer
            self.transport.abort()
            return
        code, reason = self.conn.close_sent.code, self.conn.close_sent.reason
        logger.info("A WebSocket is closed because of an invalid frame: code=%d, reason=%s", code, reason)
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        if not self.transport.is_closing():
            self.transport.write(b"".join(self.conn.data_to_send()))
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self.transport.resume_reading()  # discard the data: a socket closed with unread data is reset
        self.close_sent = True
        self.read_paused = False
        self.writable.set()
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)

    @override
    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.loop.call_later(CLOSE_SECONDS, self.transport.abort)

    @override
    def shutdown(self) -> None:
        """Have the application answer the frames that it has taken, then close. uvicorn limits the time."""
        if self.handshake_complete and not self.close_sent:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": SERVICE_RESTART})
        else:
            super().shutdown()


def connection_of(scope: Scope) -> Connection | None:
    """Return the connection of a request, None if the server does not provide it."""
    connection: Connection | None = scope.get("extensions", {}).get(EXTENSION)
    return connection
