"""The head of a request as bytes: its limits, its other forms, and what is answered ahead of the application."""

from collections.abc import Iterable, Sequence
from typing import cast

import httptools
from starlette.responses import Response

from ..access.hosts import same_authority
from .errors import problem, title_of

MAX_HEAD_BYTES = 64 * 1024
"""Limit of a request line with its headers, and of what a chunked body has besides its data."""

MAX_HEADERS = 100

MAX_TARGET_BYTES = 32 * 1024
"""Limit of the path with the query as they were sent. The longest cursor takes 24 KB when all of it is escaped."""

MAX_HANDSHAKE_LINE_BYTES = 8000
"""Limit of the target and of one header in a WebSocket's handshake. It is that of the library that reads it again."""

UPGRADE_TOKENS = frozenset((b"upgrade", b"http2-settings"))

Headers = Sequence[tuple[bytes, bytes]]


class Refused(Exception):
    """A request that is answered ahead of the application; the connection is closed after the answer."""

    def __init__(self, status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.response = problem(status, code, detail, headers=headers)


def head_too_large() -> Refused:
    """Return the refusal of a head with too many or too large headers."""
    return Refused(
        431,
        "headers_too_large",
        f"At most {MAX_HEADERS} headers and {MAX_HEAD_BYTES} bytes are allowed, "
        f"in the handshake of a WebSocket {MAX_HANDSHAKE_LINE_BYTES} bytes a header.",
    )


def target_too_long(limit: int) -> Refused:
    """Return the refusal of a path with its query."""
    return Refused(414, "url_too_long", f"Path and query may have {limit} bytes together.")


def body_too_slow(bytes_per_second: int) -> Refused:
    """Return the refusal of a body that takes too long."""
    return Refused(
        408,
        "request_timeout",
        f"The body took too long: it has to come with {bytes_per_second} bytes a second on average. "
        "Send the request again.",
    )


def too_many_connections() -> Refused:
    """Return the refusal of a connection above the limit."""
    return Refused(
        503,
        "too_many_connections",
        "This server has as many connections as it can take. Close idle ones, or try again later.",
        {"Retry-After": "1"},
    )


def check_size(target: bytes, headers: Headers) -> None:
    """Raise Refused when a head is too large."""
    if len(headers) > MAX_HEADERS:
        raise head_too_large()
    if len(target) + sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEAD_BYTES:
        raise head_too_large()


def check_handshake(target: bytes, headers: Headers) -> None:
    """Raise Refused when the handshake of a WebSocket has a line that its library does not take."""
    if len(target) > MAX_HANDSHAKE_LINE_BYTES:
        raise target_too_long(MAX_HANDSHAKE_LINE_BYTES)
    if any(len(name) + len(value) > MAX_HANDSHAKE_LINE_BYTES for name, value in headers):
        raise head_too_large()


def origin_form(method: bytes, target: bytes, headers: Headers) -> bytes:
    """Return the target with the path alone: `/path` for `http://host/path`.

    Raises Refused for another host, and for what only a proxy does.
    """
    if method == b"CONNECT":
        raise Refused(501, "not_implemented", "This server is no proxy.")
    if target == b"*":
        return target
    parts = httptools.parse_url(target)
    hosts = [value for name, value in headers if name == b"host"]
    authority = target.partition(b"://")[2].partition(b"/")[0].partition(b"?")[0]
    if parts.schema.lower() not in (b"http", b"https") or not all(same_authority(authority, host) for host in hosts):
        raise Refused(400, "invalid_host", "The request line names another host than the header Host.")
    query = cast(bytes | None, parts.query)
    return (parts.path or b"/") + (b"" if query is None else b"?" + query)


def without_upgrade(parser: httptools.HttpRequestParser, target: bytes, headers: Headers) -> bytes:
    """Return the head that this parser has read, as the client would have sent it without its wish to upgrade."""
    lines = [b"%s %s HTTP/%s" % (parser.get_method(), target, parser.get_http_version().encode())]
    for name, value in headers:
        if name == b"connection":
            tokens = (token.strip() for token in value.split(b","))
            lines += [b"connection: %s" % token for token in tokens if token.lower() not in UPGRADE_TOKENS]
        elif name not in UPGRADE_TOKENS:
            lines.append(b"%s: %s" % (name, value))
    return b"\r\n".join((*lines, b"", b""))


def last_response(response: Response, default_headers: Headers, method: bytes) -> bytes:
    """Return the bytes of a response to this method, after which the connection is closed."""
    return (
        b"HTTP/1.1 %d %s\r\n" % (response.status_code, title_of(response.status_code).encode())
        + _header_lines(default_headers)
        + _header_lines(response.raw_headers)
        + b"connection: close\r\n\r\n"
        + (b"" if method == b"HEAD" else bytes(response.body))
    )


def _header_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(b"%s: %s\r\n" % header for header in headers)
