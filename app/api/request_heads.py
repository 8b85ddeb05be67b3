"""The head of a request as bytes: its limits, its unusual forms, and refusals before the application is called."""

from collections.abc import Iterable, Sequence
from typing import cast

import httptools
from starlette.responses import Response

from ..access.hosts import same_authority
from .errors import problem, title_of
from .security_headers import EVERYWHERE, PRIVATE

MAX_HEAD_BYTES = 64 * 1024
"""Maximum bytes of a request line with its headers, and of consecutive chunk headers without data."""

MAX_HEADERS = 100

MAX_TARGET_BYTES = 32 * 1024
"""Maximum bytes of path and query as they are sent. The longest cursor takes 24 KB if all of it is escaped."""

MAX_HANDSHAKE_LINE_BYTES = 8000
"""Maximum bytes of the target and of each header in a WebSocket's handshake. The WebSocket library has this limit."""

UPGRADE_TOKENS = frozenset((b"upgrade", b"http2-settings"))

Headers = Sequence[tuple[bytes, bytes]]


class Refused(Exception):
    """A request that is refused before the application is called. The connection is closed after the answer."""

    def __init__(self, status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.response = problem(status, code, detail, headers=headers)


def head_too_large() -> Refused:
    """Return the refusal of a head with too many headers or too many bytes."""
    return Refused(
        431,
        "headers_too_large",
        f"At most {MAX_HEADERS} headers and {MAX_HEAD_BYTES} bytes are allowed. "
        f"In the handshake of a WebSocket, a header may have {MAX_HANDSHAKE_LINE_BYTES} bytes.",
    )


def target_too_long(limit: int) -> Refused:
    """Return the refusal of a target (path and query) with more than `limit` bytes."""
    return Refused(414, "url_too_long", f"Path and query together may have at most {limit} bytes.")


def body_too_slow(bytes_per_second: int) -> Refused:
    """Return the refusal of a body that takes too long."""
    return Refused(
        408,
        "request_timeout",
        f"The body took too long: at least {bytes_per_second} bytes per second are expected on average. "
        "Send the request again.",
    )


def too_many_connections() -> Refused:
    """Return the refusal of a connection above the limit."""
    return Refused(
        503,
        "too_many_connections",
        "This server has its maximum number of connections. Close idle connections, or try again later.",
        {"Retry-After": "1"},
    )


def check_size(target: bytes, headers: Headers) -> None:
    """Raise Refused if the head is too large."""
    if len(headers) > MAX_HEADERS:
        raise head_too_large()
    if len(target) + sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEAD_BYTES:
        raise head_too_large()


def check_handshake(target: bytes, headers: Headers) -> None:
    """Raise Refused if the target or a header of a WebSocket's handshake is too long for the WebSocket library."""
    if len(target) > MAX_HANDSHAKE_LINE_BYTES:
        raise target_too_long(MAX_HANDSHAKE_LINE_BYTES)
    if any(len(name) + len(value) > MAX_HANDSHAKE_LINE_BYTES for name, value in headers):
        raise head_too_large()


def origin_form(method: bytes, target: bytes, headers: Headers) -> bytes:
    """Return the target without scheme and host: `/path` for `http://host/path`.

    Raises Refused for another host, and for requests that only a proxy serves.
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
    """Return the head that the parser has read, without the headers that ask for an upgrade."""
    lines = [b"%s %s HTTP/%s" % (parser.get_method(), target, parser.get_http_version().encode())]
    for name, value in headers:
        if name == b"connection":
            tokens = (token.strip() for token in value.split(b","))
            lines += [b"connection: %s" % token for token in tokens if token.lower() not in UPGRADE_TOKENS]
        elif name not in UPGRADE_TOKENS:
            lines.append(b"%s: %s" % (name, value))
    return b"\r\n".join((*lines, b"", b""))


def last_response(response: Response, default_headers: Headers, method: bytes) -> bytes:
    """Return a response to `method` as bytes, with a header that closes the connection."""
    return (
        b"HTTP/1.1 %d %s\r\n" % (response.status_code, title_of(response.status_code).encode())
        + _header_lines(default_headers)
        + _header_lines((*response.raw_headers, *EVERYWHERE, PRIVATE))
        + b"connection: close\r\n\r\n"
        + (b"" if method == b"HEAD" else bytes(response.body))
    )


def _header_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(b"%s: %s\r\n" % header for header in headers)
