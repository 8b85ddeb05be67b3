"""uvicorn's HTTP/1.1 protocol, with limits that apply before the caller is authorized.

uvicorn does not limit the size of a request's head or the time that a request takes to arrive. It does not answer a
request to upgrade to a protocol other than WebSocket. Clients may lose its answers to invalid requests. `docs/adr/0030`
explains why uvicorn's settings are not sufficient.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

import httptools
from starlette.responses import Response
from starlette.types import Scope
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from . import request_heads
from .connections import SECONDS, Wait, connections_of
from .reply_writing import ReplyWriting
from .request_heads import MAX_HEAD_BYTES, MAX_HEADERS, MAX_TARGET_BYTES, Refused
from .uvicorn_protocol import EXTENSION

logger = logging.getLogger(__name__)

SMALL_HEAD_BYTES = 4 * MAX_HEADERS
"""A head of this size cannot have more than MAX_HEADERS headers, so its headers are not counted."""

MAX_PIPELINED = 32
"""Maximum number of requests of one connection that wait for an earlier request."""

MIN_BODY_BYTES_PER_SECOND = 1024
"""A body that is slower on average is refused. Every body has at least the time `Wait.BODY`."""

MAX_DISCARDED_BYTES = 1024 * 1024
"""Maximum bytes of a body that are discarded after its answer. The connection is closed after that."""

LINGER_SECONDS = 30.0
MAX_LINGERED_BYTES = 64 * 1024 * 1024
"""How long, and how many bytes, a client may send after the server has closed its half."""

HEALTH = b"/health"
"""Beginning of the paths that are also answered above the limit of connections."""

SLASH = ord("/")

Finish = Callable[[Response, Scope | None, str], Response]

BETWEEN, HEAD, BODY = range(3)
"""Stages of the parser. They are numbers, since reading a member of an enumeration takes ten times as long."""

AWAITS_HEAD, AWAITS_BODY, AWAITS_REQUEST = Wait.HEAD, Wait.BODY, Wait.NEXT_REQUEST


class ConnectedHttpProtocol(ReplyWriting):
    """uvicorn's protocol. It passes the connection to the application and limits what clients send."""

    # Slots, since more than 30 attributes would cost each connection two kilobytes.
    __slots__ = (
        "_body_bytes",
        "_body_deadline",
        "_chunk_bytes",
        "_connections",
        "_discarded_bytes",
        "_ending",
        "_has_cycle",
        "_linger_until",
        "_other_upgrade",
        "_overhead_bytes",
        "_stage",
        "_surplus",
        "_unfinished_bytes",
        "wait",
    )

    finish: Finish

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.limit_concurrency = None  # `Connections` replaces uvicorn's limit
        self._connections = connections_of(self)
        self.wait: Wait | None = None
        self._stage = BETWEEN
        self._surplus = False
        self._ending: Refused | None = None
        self._linger_until: float | None = None
        self._has_cycle = False
        self._other_upgrade = False
        self._chunk_bytes = 0
        self._unfinished_bytes = 0
        self._overhead_bytes = 0
        self._body_bytes = 0
        self._discarded_bytes = 0
        self._body_deadline = 0.0

    # The connection

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._surplus = not self._connections.admit(self, len(self.connections))
        self._connections.expect(self, Wait.FIRST_BYTE)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.drop(self)
        super().connection_lost(exc)

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._connections.expect_reader(self)

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        self._connections.forget_reader(self)

    @override
    def shutdown(self) -> None:
        super().shutdown()
        if self._linger_until is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self.transport.abort()

    def overdue(self, wait: Wait) -> None:
        """End a connection that missed the deadline for `wait`, or set a new deadline."""
        if wait is AWAITS_REQUEST:
            self.close()
        elif wait is AWAITS_BODY:
            self._check_body()
        elif wait is AWAITS_HEAD and not self._is_answered():
            self._connections.expect(self, AWAITS_HEAD)  # earlier requests are answered first
        else:
            self.transport.abort()  # no request is known, so there is no answer

    def _check_body(self) -> None:
        """Refuse a slow body. Wait longer for a fast body, or while the application has paused reading."""
        now = self.loop.time()
        deadline = self._body_deadline + self._body_bytes / MIN_BODY_BYTES_PER_SECOND
        if self.flow.read_paused:
            self._body_deadline += SECONDS[Wait.BODY]
            self._connections.expect(self, AWAITS_BODY)
        elif now < deadline:
            self._connections.expect(self, AWAITS_BODY, min(deadline - now, SECONDS[Wait.BODY]))
        else:
            self._refuse(request_heads.body_too_slow(MIN_BODY_BYTES_PER_SECOND))

    # Called by the cycle of a request

    def is_closing(self) -> bool:
        """Return whether no further response can be sent."""
        return self._linger_until is not None or self.transport.is_closing()

    def close(self) -> None:
        """Close the connection after the written data. If a request is still arriving, wait for its end."""
        self.flush()
        if self._stage == BETWEEN:
            self._close_at_once()
        else:
            self._linger()

    def _close_at_once(self) -> None:
        if self.unsent():
            self._connections.expect_reader(self)
        self.transport.close()

    def _linger(self) -> None:
        """Close our half of the connection. Discard what the client sends until it closes its half.

        If a connection is closed with unread data, the kernel resets it, and the client loses the answer.
        """
        if self.is_closing():
            return
        if not self.transport.can_write_eof():
            self._close_at_once()
            return
        if self.unsent():
            self._connections.expect_reader(self)
        self._linger_until = self.loop.time() + LINGER_SECONDS
        self._discarded_bytes = 0
        self.transport.write_eof()
        self.flow.resume_reading()
        self._connections.expect(self, Wait.LAST_BYTE)

    @override
    def data_received(self, data: bytes) -> None:
        if self._linger_until is not None:
            self._discarded_bytes += len(data)
            if self._discarded_bytes > MAX_LINGERED_BYTES:
                self.transport.abort()
            elif self.loop.time() < self._linger_until:
                self._connections.expect(self, Wait.LAST_BYTE)
            return
        if self._ending is not None:
            return
        self._chunk_bytes = len(data)
        stage, body_bytes = self._stage, self._body_bytes
        try:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._upgrade(data[upgrade.args[0] :])
            if self._stage == HEAD:
                self._await_head(began_before=stage == HEAD)
            elif self._stage == BODY:
                self._await_body(body_bytes)
            elif stage != BETWEEN and self.wait is None and self._is_answered():
                self._connections.expect(self, AWAITS_REQUEST)
        except httptools.HttpParserError as error:
            cause = error.__context__
            invalid = Refused(400, "bad_request", "This is not a valid HTTP/1.1 request.")
            self._refuse(cause if isinstance(cause, Refused) else invalid)
        except Refused as refused:
            self._refuse(refused)

    def _is_answered(self) -> bool:
        """Return whether the newest request that reached the application has been answered completely."""
        cycle = cast(RequestResponseCycle | None, self.cycle)  # None before the first request
        return cycle is None or cycle.response_complete

    def _upgrade(self, rest: bytes) -> None:
        """Open the requested WebSocket. Parse a request for another upgrade again, without its upgrade headers.

        `rest` has the bytes after the head. Raises HttpParserError, Refused.
        """
        while not self._should_upgrade():
            # Use a new parser, since a parser skips the body of a request that asks for an upgrade.
            data = request_heads.without_upgrade(self.parser, self.url, self.headers) + rest
            self._other_upgrade = False
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:  # raised for the next request
                rest = data[upgrade.args[0] :]
            else:
                return
        if not self._is_answered():
            raise Refused(400, "bad_request", "Open the WebSocket on a connection without other requests.")
        self._connections.drop(self)
        self.handle_websocket_upgrade()

    def _await_head(self, *, began_before: bool) -> None:
        """Set the deadline for the rest of a request's head. Raises Refused if the head is too large."""
        self._unfinished_bytes = self._unfinished_bytes + self._chunk_bytes if began_before else 0
        if self._unfinished_bytes > MAX_HEAD_BYTES:
            raise request_heads.head_too_large()
        if self.wait is not AWAITS_HEAD:
            self._connections.expect(self, AWAITS_HEAD)

    def _await_body(self, bytes_before: int) -> None:
        """Set the deadline for the rest of a body. Raises Refused if its chunks have too many bytes besides data."""
        if self.wait is not AWAITS_BODY:
            self._overhead_bytes = self._discarded_bytes = 0
            self._body_deadline = self.loop.time() + SECONDS[Wait.BODY]
            self._connections.expect(self, AWAITS_BODY)
        self._overhead_bytes = self._overhead_bytes + self._chunk_bytes if self._body_bytes == bytes_before else 0
        if self._overhead_bytes > MAX_HEAD_BYTES:
            raise request_heads.head_too_large()
        if self._is_answered():
            self._discarded_bytes += self._chunk_bytes
            if self._discarded_bytes > MAX_DISCARDED_BYTES:
                self.close()

    # Refusals before the application is called

    def _refuse(self, refused: Refused) -> None:
        """Refuse the request that was received last, after the answers to earlier requests."""
        logger.debug("Refused a request: status=%d, reason=%s", refused.response.status_code, refused)
        path = self.url.partition(b"?")[0].decode("latin-1")
        refused.response = self.finish(refused.response, cast(Scope | None, self.scope), path)
        self.headers = []
        if not self._has_cycle:
            if self._is_answered():
                self._answer(refused)
            else:
                self._ending = refused
                self._connections.forget(self)
        elif self.pipeline and self.pipeline[0][0] is self.cycle:
            self.pipeline.popleft()
            self._ending = refused
            self._connections.forget(self)
        elif self.cycle.response_complete:
            self._linger()
        elif self.cycle.response_started:
            self.transport.abort()
        else:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._answer(refused)

    def _answer(self, refused: Refused) -> None:
        default_headers, method = self.server_state.default_headers, self.parser.get_method()
        self.transport.write(request_heads.last_response(refused.response, default_headers, method))
        self._linger()

    # The parser's events

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast(Scope, self.scope)["extensions"] = {EXTENSION: self.transport}
        if self.wait is not None:
            self._connections.forget(self)
        self._stage = HEAD
        self._has_cycle = False
        self._body_bytes = 0

    @override
    def on_url(self, url: bytes) -> None:
        """Collect the target of the request. Raises Refused if the target is too long."""
        self.url += url
        if len(self.url) > MAX_TARGET_BYTES:
            raise request_heads.target_too_long(MAX_TARGET_BYTES)

    @override
    def on_headers_complete(self) -> None:
        """Check the head, then pass the request to the application. Raises Refused if the check fails."""
        self._stage = BODY
        if (
            self._chunk_bytes > SMALL_HEAD_BYTES
            or self.wait is AWAITS_HEAD
            or self._surplus
            or self.pipeline
            or self.url[0] != SLASH
        ):
            self._check_head()
        if self.parser.should_upgrade():
            if self._should_upgrade():
                super().on_headers_complete()
            else:
                self._other_upgrade = True  # `_upgrade` parses the request again
            return
        super().on_headers_complete()
        self._has_cycle = True
        self.headers = []  # later trailers would be unchecked headers
        self.cycle.transport = cast(asyncio.Transport, self)
        if self._surplus:
            self.cycle.keep_alive = False

    def _check_head(self) -> None:
        """Raise Refused if the head is invalid or too large, or if there are too many connections or requests."""
        request_heads.check_size(self.url, self.headers)
        if self.url[0] != SLASH:
            self.url = request_heads.origin_form(self.parser.get_method(), self.url, self.headers)
        if self._surplus and not self.url.startswith(HEALTH):
            raise request_heads.too_many_connections()
        if len(self.pipeline) >= MAX_PIPELINED:
            raise Refused(429, "too_many_requests", f"{MAX_PIPELINED} requests already wait on this connection.")

    @override
    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        self._stage = BETWEEN
        if self.wait is not None:
            self._connections.forget(self)
        if not self._other_upgrade:
            super().on_message_complete()

    @override
    def on_response_complete(self) -> None:
        """Start the next request, or set its deadline. `Connections` replaces uvicorn's timer."""
        self.server_state.total_requests += 1
        self.flush()
        if self.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._ending is not None:
            self._answer(self._ending)
        elif self._stage == BETWEEN:
            self._connections.expect(self, AWAITS_REQUEST)

    @override
    def _should_upgrade(self) -> bool:
        """Return whether the request opens a WebSocket. Raises Refused if a line of its handshake is too long."""
        if self.parser.get_method() != b"GET" or not self._should_upgrade_to_ws():
            return False
        if not any(name == b"upgrade" and value.strip().lower() == b"websocket" for name, value in self.headers):
            return False
        request_heads.check_handshake(self.url, self.headers)
        return True


def protocol_for(finish: Finish) -> type[ConnectedHttpProtocol]:
    """Return a protocol class that calls `finish` with each refusal."""
    return type("HttpProtocol", (ConnectedHttpProtocol,), {"__slots__": (), "finish": staticmethod(finish)})
