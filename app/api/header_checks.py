"""Refuses requests by their headers alone, before every route, mount and WebSocket."""

from collections.abc import Awaitable, Collection

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..access.hosts import Host, is_loopback, is_own_page, parse_host
from .errors import BodyTooLarge, answer, nothing_here, problem
from .request_reading import HEADERS
from .targets import is_routed_as_sent
from .uvicorn_protocol import HEAD_EXTENSION

CLOSE = {"Connection": "close"}

SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
"""Methods that change nothing. Pages of other sites cannot read the answers, which have no CORS headers."""

MAX_LENGTH_DIGITS = 18

OWN_SITES = frozenset((b"same-origin", b"none"))
"""Values of `Sec-Fetch-Site` for pages of the server's own origin, and for actions of the user in the browser."""

FOREIGN = (
    "A page of another site may not send this request. Use a page of the server's own host, or a program other than a "
    "browser. If the page is on this host, have the proxy pass `Host` on unchanged. If it is your own page on another "
    "host, name its origin in CORS_ORIGINS."
)


class HeaderChecks:
    """Refuses requests with invalid headers, from pages of other sites, or with a large body. Answers HEAD like GET.

    Browsers name the page in `Origin` or `Sec-Fetch-Site` unless a request is a simple read. Pages cannot change these
    headers. Other programs send neither header.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, allowed_origins: Collection[str] = ()) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._allowed_origins = frozenset(allowed_origins)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Refuse the request or call the next stage. This is no coroutine function: coroutines cost time."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        found = dict(headers)
        if len(found) == len(headers):
            scope[HEADERS] = found
        if (refusal := self._refusal(scope, headers, found)) is not None:
            return answer(refusal, scope, receive, send)
        if scope["type"] == "http":
            if not (
                scope["http_version"] == "1.1"
                and len(found) == len(headers)
                and b"transfer-encoding" not in found
                and found.get(b"content-length", b"0").isdigit()
            ):
                receive = _counted(receive, self._max_body_bytes)  # the header may not state the body's real length
            if scope["method"] == "HEAD":
                extensions = {**scope.get("extensions", {}), HEAD_EXTENSION: {}}
                scope = {**scope, "method": "GET", "extensions": extensions}
                send = _without_body(send)
        return self._app(scope, receive, send)

    def _refusal(self, scope: Scope, headers: list[tuple[bytes, bytes]], found: dict[bytes, bytes]) -> Response | None:
        """Return the refusal of a request, None if it is accepted. `found` has the last header of each name."""
        length = found.get(b"content-length", b"0")
        if length.isdigit() and (len(length) > MAX_LENGTH_DIGITS or int(length) > self._max_body_bytes):
            error = BodyTooLarge(self._max_body_bytes)
            return problem(413, error.code, str(error), headers=CLOSE)
        sent = found.get(b"host")
        host = None if sent is None else parse_host(sent)
        if len(found) < len(headers) and sum(name == b"host" for name, _ in headers) > 1:
            host = None
        if host is None and (sent is not None or scope["http_version"] == "1.1"):
            detail = "Expected one header Host with a name or an address, and optionally a port."
            return problem(400, "invalid_host", detail, headers=CLOSE)
        if scope["http_version"] == "2.0":  # HTTP/1 syntax with this version; a server for real HTTP/2 sets "2"
            return problem(505, "http_version_not_supported", "This server speaks HTTP/1.1.", headers=CLOSE)
        if (b"origin" in found or b"sec-fetch-site" in found) and is_foreign(scope, host, self._allowed_origins):
            return problem(403, "foreign_origin", FOREIGN)
        # The router's patterns end with `$`, which also matches before a final line break. Threads are routed as sent.
        if scope["path"][-1:] == "\n" and not is_routed_as_sent(scope):
            return nothing_here()
        return None


def is_foreign(scope: Scope, host: Host | None, allowed_origins: Collection[str] = ()) -> bool:
    """Return whether a page of another site sent this request, and its origin is not in `allowed_origins`.

    Reads are never foreign, since the browser does not show their answers to such a page.
    """
    if scope["type"] == "http" and scope["method"] in SAFE_METHODS:
        return False
    headers = Headers(scope=scope)
    origins = headers.getlist("origin")
    if len(origins) == 1 and origins[0] in allowed_origins:
        return False
    if not all(is_own_page(origin, host) for origin in origins):
        return True
    sites = headers.getlist("sec-fetch-site")
    if all(site.encode("latin-1") in OWN_SITES for site in sites):
        return False
    # Pages of this host may use a server on this host, whatever their ports.
    return not (set(sites) == {"same-site"} and origins and host is not None and is_loopback(host.name))


def _counted(receive: Receive, max_bytes: int) -> Receive:
    """Return a `receive` that counts the bytes of the body and raises BodyTooLarge above `max_bytes`."""
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > max_bytes:
            raise BodyTooLarge(max_bytes)
        return message

    return counted


def _without_body(send: Send) -> Send:
    """Return a `send` that sends only the head of each response."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head
