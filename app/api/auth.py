"""Who is asking. Without keys the rule is: this host and nobody else, unless ALLOW_ANONYMOUS says otherwise."""

import ipaddress
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from app.api.errors import Unauthorized
from app.models import DEFAULT_TENANT

FORWARDING_HEADERS = frozenset(
    ("forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip", "x-original-forwarded-for")
)
CURE = (
    "This server has no API keys, so it only answers requests made directly from its own host. To let everybody in, "
    "start it with ALLOW_ANONYMOUS=true, and only where the network is trusted."
)


class Principal(NamedTuple):
    """Whose data a request may touch."""

    tenant: str


def authenticate(connection: HTTPConnection, *, allow_anonymous: bool) -> Principal:
    """The principal of a request. Raises Unauthorized.

    A loopback peer alone does not prove the host: a proxy on it passes others through, and a web page can have its
    browser call a name that resolves to 127.0.0.1 (the Host header then names that page's host). A proxy is known by
    its headers, or by the HTTP/1.0 that nginx speaks where nothing is configured; one that hides itself, such as a
    tunnel, cannot be told from this host.
    """
    if allow_anonymous:
        return Principal(DEFAULT_TENANT)
    if connection.client is None or not _is_loopback(connection.client.host):
        raise Unauthorized(CURE)
    if any(name in FORWARDING_HEADERS or name.startswith("x-forwarded") for name in connection.headers):
        raise Unauthorized(CURE)
    if connection.scope.get("http_version") == "1.0":
        raise Unauthorized(CURE)
    if not _is_loopback(_host_of(connection.headers.get("host", ""))):
        raise Unauthorized(f"{CURE} From this host, use the name localhost.")
    return Principal(DEFAULT_TENANT)


def refuse_foreign_pages(connection: HTTPConnection) -> None:
    """Keep pages of other sites from using a reader's browser for a WebSocket. Raises HTTPException.

    Browsers let any page connect anywhere and say in `Origin` which one it is; other programs send none. Pages of this
    host may use a server on this host, whatever their ports.
    """
    host = _host_of(connection.headers.get("host", "")).lower().removesuffix(".")
    for origin in connection.headers.getlist("origin"):
        try:
            page = (urlsplit(origin).hostname or "").removesuffix(".")
        except ValueError:
            page = ""
        if not page or (page != host and not (_is_loopback(page) and _is_loopback(host))):
            raise HTTPException(
                403, "A page of another site may not connect; only pages of this server's own host may."
            )


def _host_of(header: str) -> str:
    """The host without port and brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


@lru_cache(maxsize=1024)
def _is_loopback(host: str) -> bool:
    if host.lower().removesuffix(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
