"""HTTP/1.1 on a connection: uvicorn's protocol, with limits that hold before anybody knows who is asking.

uvicorn limits neither the size of a request's head nor the time in which a request arrives. It answers no request that
asks for another protocol than WebSocket, and its answers to invalid requests may be lost. `docs/adr/0030` says which of
its settings are used.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable
from typing import Any, cast

import httptools
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ..access.hosts import same_authority
from .connections import SECONDS, Wait, connections_of
from .cors import let_page_read
from .errors import problem, title_of
from .uvicorn_protocol import EXTENSION

logger = logging.getLogger(__name__)

MAX_HEAD_BYTES = 64 * 1024
"""Limit of a request line with its headers, and of what a chunked body has besides its data."""

MAX_HEADERS = 100

SMALL_HEAD_BYTES = 4 * MAX_HEADERS
"""A head of this size cannot have more than MAX_HEADERS headers, so they need not be counted."""

MAX_TARGET_BYTES = 32 * 1024
"""Limit of the path with the query as they were sent. The longest cursor takes 24 KB when all of it is escaped."""

MAX_HANDSHAKE_LINE_BYTES = 8000
"""Limit of the target and of one header in a WebSocket's handshake. The library that reads it again has it."""

MAX_PIPELINED = 32
"""Requests that may wait on one connection for the request before them."""

MIN_BODY_BYTES_PER_SECOND = 1024
"""A body that is slower on average is refused, after the time that every body is given."""

MAX_DISCARDED_BYTES = 1024 * 1024
"""How much of a body may follow its answer before the connection is closed."""

LINGER_SECONDS = 30.0
MAX_LINGERED_BYTES = 64 * 1024 * 1024
"""How long, and how much, the client may go on sending after we closed our half."""

HEALTH = b"/health"
"""Paths that begin so are answered above the limit of connections too: a full process is not a broken one."""

SLASH = ord("/")

UPGRADE_TOKENS = frozenset((b"upgrade", b"http2-settings"))

BETWEEN, HEAD, BODY = range(3)
"""How far the parser is. Numbers: a look at a member of an enumeration costs ten times as much, at each event."""

AWAITS_HEAD, AWAITS_BODY, AWAITS_REQUEST = Wait.HEAD, Wait.BODY, Wait.NEXT_REQUEST


class Refused(Exception):
    """A request that is answered ahead of the application; the connection is closed after the answer."""

    def __init__(self, status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.response = problem(status, code, detail, headers=headers)


class ConnectedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which shows the connection to the application and limits what comes over it."""

    # Slots, since attributes beyond the thirtieth would cost each connection two kilobytes.
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
        "write",
    )

    allowed_origins: Collection[str] = ()
    """Origins whose pages can read refusals."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.limit_concurrency = None  # `Connections` does what uvicorn would do with it
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

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """See HttpToolsProtocol."""
        super().connection_made(transport)
        self.write = transport.write  # called by the cycle of a request, with bytes of its response
        self._surplus = not self._connections.admit(self, len(self.connections))
        self._connections.expect(self, Wait.FIRST_BYTE)

    def connection_lost(self, exc: Exception | None) -> None:
        """See HttpToolsProtocol."""
        self._connections.drop(self)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """See HttpToolsProtocol."""
        super().pause_writing()
        self._connections.expect_reader(self)

    def resume_writing(self) -> None:
        """See HttpToolsProtocol."""
        super().resume_writing()
        self._connections.forget_reader(self)

    def shutdown(self) -> None:
        """See HttpToolsProtocol."""
        super().shutdown()
        if self._linger_until is not None:
            self.transport.close()

    def abort(self) -> None:
        """See Waiting."""
        self.transport.abort()

    def unsent(self) -> int:
        """See Waiting."""
        return self.transport.get_write_buffer_size()

    def overdue(self, wait: Wait) -> None:
        """See Waiting."""
        if wait is AWAITS_REQUEST:
            self.close()
        elif wait is AWAITS_BODY:
            self._look_at_body()
        elif wait is AWAITS_HEAD and not self._is_answered():
            self._connections.expect(self, AWAITS_HEAD)  # the requests before it are answered first
        else:
            self.transport.abort()  # without an answer: nobody knows what was to be asked

    def _look_at_body(self) -> None:
        """Wait on for a body that is fast enough or that the application does not take. Refuse any other."""
        now = self.loop.time()
        deadline = self._body_deadline + self._body_bytes / MIN_BODY_BYTES_PER_SECOND
        if self.flow.read_paused:
            self._body_deadline += SECONDS[Wait.BODY]
            self._connections.expect(self, AWAITS_BODY)
        elif now < deadline:
            self._connections.expect(self, AWAITS_BODY, min(deadline - now, SECONDS[Wait.BODY]))
        else:
            self._refuse(
                Refused(
                    408,
                    "request_timeout",
                    f"The body took too long: it has to come with {MIN_BODY_BYTES_PER_SECOND} bytes a second on "
                    "average. Send the request again.",
                )
            )

    # Called by the cycle of a request

    def is_closing(self) -> bool:
        """Return whether no further response can be sent."""
        return self._linger_until is not None or self.transport.is_closing()

    def close(self) -> None:
        """Close the connection after what was written. Wait for the end of a request that is still being sent."""
        if self._stage == BETWEEN:
            self._close_at_once()
        else:
            self._linger()

    def _close_at_once(self) -> None:
        if self.unsent():
            self._connections.expect_reader(self)
        self.transport.close()

    def _linger(self) -> None:
        """Close our half, then discard what the client sends until it closes its own half.

        The kernel resets a connection that is closed with unread data, and the client then loses the answer.
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

    # Called with received bytes

    def data_received(self, data: bytes) -> None:
        """See HttpToolsProtocol."""
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
        """Return whether the newest request that reached the application has its whole answer."""
        cycle = cast(RequestResponseCycle | None, self.cycle)  # None until the first request
        return cycle is None or cycle.response_complete

    def _upgrade(self, rest: bytes) -> None:
        """Serve the WebSocket that is asked for, or parse the request as if it asked for nothing.

        Raises HttpParserError, Refused.
        """
        while not self._should_upgrade():
            data = self._head_without_upgrade() + rest
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:  # of the next request
                rest = data[upgrade.args[0] :]
            else:
                return
        if not self._is_answered():
            raise Refused(400, "bad_request", "Open a WebSocket on a connection without other requests.")
        self._connections.drop(self)
        self.handle_websocket_upgrade()

    def _head_without_upgrade(self) -> bytes:
        """Return the head that the client would have sent without its wish to upgrade, for a fresh parser.

        The parser does not read the body of a request that asks for an upgrade.
        """
        method, version = self.parser.get_method(), self.parser.get_http_version()
        lines = [b"%s %s HTTP/%s" % (method, self.url, version.encode())]
        for name, value in self.headers:
            if name == b"connection":
                tokens = (token.strip() for token in value.split(b","))
                lines += [b"connection: %s" % token for token in tokens if token.lower() not in UPGRADE_TOKENS]
            elif name not in UPGRADE_TOKENS:
                lines.append(b"%s: %s" % (name, value))
        self._other_upgrade = False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        return b"\r\n".join((*lines, b"", b""))

    def _await_head(self, *, began_before: bool) -> None:
        """Wait for the rest of a head. Raises Refused."""
        self._unfinished_bytes = self._unfinished_bytes + self._chunk_bytes if began_before else 0
        if self._unfinished_bytes > MAX_HEAD_BYTES:
            raise _head_too_large()
        if self.wait is not AWAITS_HEAD:
            self._connections.expect(self, AWAITS_HEAD)

    def _await_body(self, bytes_before: int) -> None:
        """Wait for the rest of a body. Raises Refused."""
        if self.wait is not AWAITS_BODY:
            self._overhead_bytes = self._discarded_bytes = 0
            self._body_deadline = self.loop.time() + SECONDS[Wait.BODY]
            self._connections.expect(self, AWAITS_BODY)
        self._overhead_bytes = self._overhead_bytes + self._chunk_bytes if self._body_bytes == bytes_before else 0
        if self._overhead_bytes > MAX_HEAD_BYTES:
            raise _head_too_large()
        if self._is_answered():
            self._discarded_bytes += self._chunk_bytes
            if self._discarded_bytes > MAX_DISCARDED_BYTES:
                self.close()

    # What is refused ahead of the application

    def _refuse(self, refused: Refused) -> None:
        """Answer what was received last with a refusal, after the answers to the requests before it."""
        logger.debug("Refused a request: status=%d, reason=%s", refused.response.status_code, refused)
        let_page_read(refused.response, cast(Scope | None, self.scope), self.allowed_origins)
        self.headers = []
        if not self._has_cycle:
            if self._is_answered():
                self._answer(refused)
            else:
                self._end_with(refused)
        elif self.pipeline and self.pipeline[0][0] is self.cycle:
            self.pipeline.popleft()
            self._end_with(refused)
        elif self.cycle.response_complete:
            self._linger()
        elif self.cycle.response_started:
            self.transport.abort()
        else:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._answer(refused)

    def _end_with(self, refused: Refused) -> None:
        self._ending = refused
        self._connections.forget(self)

    def _answer(self, refused: Refused) -> None:
        response = refused.response
        self.transport.write(
            b"HTTP/1.1 %d %s\r\n" % (response.status_code, title_of(response.status_code).encode())
            + _header_lines(self.server_state.default_headers)
            + _header_lines(response.raw_headers)
            + b"connection: close\r\n\r\n"
            + (b"" if self.parser.get_method() == b"HEAD" else bytes(response.body))
        )
        self._linger()

    # The parser's events

    def on_message_begin(self) -> None:
        """See HttpToolsProtocol."""
        super().on_message_begin()
        cast(Scope, self.scope)["extensions"] = {EXTENSION: self.transport}
        if self.wait is not None:
            self._connections.forget(self)
        self._stage = HEAD
        self._has_cycle = False
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        """See HttpToolsProtocol. Raises Refused."""
        self.url += url
        if len(self.url) > MAX_TARGET_BYTES:
            raise _target_too_long(MAX_TARGET_BYTES)

    def on_headers_complete(self) -> None:
        """See HttpToolsProtocol. Raises Refused."""
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
                self._other_upgrade = True  # it is parsed once more, without
            return
        super().on_headers_complete()
        self._has_cycle = True
        self.headers = []  # trailers would be headers that nobody has checked
        self.cycle.transport = cast(asyncio.Transport, self)
        if self._surplus:
            self.cycle.keep_alive = False

    def _check_head(self) -> None:
        """Raise Refused when the head is too large or asks for more than there is. Small usual ones need no look."""
        if len(self.headers) > MAX_HEADERS:
            raise _head_too_large()
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD_BYTES:
            raise _head_too_large()
        if self.url[0] != SLASH:
            self._take_origin_form()
        if self._surplus and not self.url.startswith(HEALTH):
            raise Refused(
                503,
                "too_many_connections",
                "This server has as many connections as it can take. Close idle ones, or try again later.",
                {"Retry-After": "1"},
            )
        if len(self.pipeline) >= MAX_PIPELINED:
            raise Refused(429, "too_many_requests", f"{MAX_PIPELINED} requests wait on this connection already.")

    def _take_origin_form(self) -> None:
        """Make `GET http://host/path` `GET /path`. Raises Refused for another host, and for what a proxy is asked."""
        if self.parser.get_method() == b"CONNECT":
            raise Refused(501, "not_implemented", "This server is no proxy.")
        if self.url == b"*":
            return
        target = httptools.parse_url(self.url)
        hosts = [value for name, value in self.headers if name == b"host"]
        authority = self.url.partition(b"://")[2].partition(b"/")[0].partition(b"?")[0]
        if target.schema.lower() not in (b"http", b"https") or not all(
            same_authority(authority, host) for host in hosts
        ):
            raise Refused(400, "invalid_host", "The request line names another host than the header Host.")
        query = cast(bytes | None, target.query)
        self.url = (target.path or b"/") + (b"" if query is None else b"?" + query)

    def on_body(self, body: bytes) -> None:
        """See HttpToolsProtocol."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """See HttpToolsProtocol."""
        self._stage = BETWEEN
        if self.wait is not None:
            self._connections.forget(self)
        if not self._other_upgrade:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """See HttpToolsProtocol, whose timer for the next request `Connections` replaces."""
        self.server_state.total_requests += 1
        if self.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._ending is not None:
            self._answer(self._ending)
        elif self._stage == BETWEEN:
            self._connections.expect(self, AWAITS_REQUEST)

    def _should_upgrade(self) -> bool:
        """See HttpToolsProtocol. Raises Refused. Only asked about requests that want an upgrade."""
        if self.parser.get_method() != b"GET" or not self._should_upgrade_to_ws():
            return False
        if not any(name == b"upgrade" and value.strip().lower() == b"websocket" for name, value in self.headers):
            return False
        if len(self.url) > MAX_HANDSHAKE_LINE_BYTES:
            raise _target_too_long(MAX_HANDSHAKE_LINE_BYTES)
        if any(len(name) + len(value) > MAX_HANDSHAKE_LINE_BYTES for name, value in self.headers):
            raise _head_too_large()
        return True


def protocol_for(allowed_origins: Collection[str]) -> type[ConnectedHttpProtocol]:
    """Return the protocol of a server whose refusals can be read by pages of these origins."""
    return type("HttpProtocol", (ConnectedHttpProtocol,), {"__slots__": (), "allowed_origins": tuple(allowed_origins)})


def _head_too_large() -> Refused:
    return Refused(
        431,
        "headers_too_large",
        f"At most {MAX_HEADERS} headers and {MAX_HEAD_BYTES} bytes are allowed, "
        f"in the handshake of a WebSocket {MAX_HANDSHAKE_LINE_BYTES} bytes a header.",
    )


def _target_too_long(limit: int) -> Refused:
    return Refused(414, "url_too_long", f"Path and query may have {limit} bytes together.")


def _header_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(b"%s: %s\r\n" % header for header in headers)
