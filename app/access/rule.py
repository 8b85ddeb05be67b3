"""Decides who may use the server: only programs on this host, unless ALLOW_ANONYMOUS admits everybody."""

from functools import lru_cache

from starlette.types import Scope

from ..errors import Forbidden, Unauthorized
from ..text import escaped
from .hosts import is_loopback, parse_host
from .principals import ANONYMOUS, Principal
from .scopes import AccessScope

FORWARDING_HEADERS = frozenset(
    (
        "forwarded",
        "via",
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-remote-ip",
        "x-remote-addr",
        "x-host",
        "true-client-ip",
        "client-ip",
        "proxy-client-ip",
        "wl-proxy-client-ip",
        "x-proxyuser-ip",
        "incap-client-ip",
        "do-connecting-ip",
        "x-sucuri-clientip",
        "x-forward-for",
        "x-scheme",
        "x-url-scheme",
        "front-end-https",
        "x-request-start",
        "x-queue-start",
        "x-varnish",
        "x-rewrite-url",
        "cdn-loop",
        "rndr-id",
        "x-amzn-trace-id",
        "x-amz-cf-id",
        "disguised-host",
        "was-default-hostname",
        "surrogate-capability",
        "x-cloud-trace-context",
        "x-auth-request-user",
        "remote-user",
        "forwarded-for",
        "x_forwarded_for",
        "ali-cdn-real-ip",
        "x-edge-client-ip",
    )
)
"""Headers that only proxies, load balancers, content delivery networks and tunnels add."""

FORWARDING_PREFIXES = (
    "x-forwarded",
    "x-original-",
    "x-envoy-",
    "x-appengine-",
    "x-vercel-",
    "x-azure-",
    "x-arr-",
    "x-fd-",
    "x-nf-",
    "x-railway-",
    "x-replit-",
    "x-tunnel-",
    "x-ms-proxy",
    "x-akamai-",
    "akamai-",
    "cf-",
    "fastly-",
    "fly-",
    "ngrok-",
    "x-ngrok-",
    "tailscale-",
    "cloudfront-",
    "x-amzn-oidc-",
    "x-goog-iap-",
    "x-goog-authenticated-",
)
RULE = "This server has no API keys, so it only answers requests made directly from its own host."
REMEDY = "To admit everybody, start the server with ALLOW_ANONYMOUS=true, but only in a trusted network."
MAX_SHOWN_HEADER = 100


class Access:
    """Authorizes requests. Everybody who is admitted without a key gets the principal `anonymous`."""

    def __init__(self, *, allow_anonymous: bool, anonymous: Principal = ANONYMOUS) -> None:
        self._allow_anonymous = allow_anonymous
        self._anonymous = anonymous

    def authorize(self, connection: Scope, scope: AccessScope) -> Principal:
        """Return the principal of a request that needs this scope. `connection` is the ASGI scope of the request.

        Raises Unauthorized if the caller may not use the server, Forbidden if they do not have the scope.
        """
        if not self._allow_anonymous:
            _check_origin(connection)
        if scope not in self._anonymous.scopes:
            raise Forbidden(f"This request needs the scope `{scope}`, which the caller does not have.")
        return self._anonymous


@lru_cache(maxsize=1024)
def _is_proxy_header(header: bytes) -> bool:
    name = header.decode("latin-1")
    return name in FORWARDING_HEADERS or name.startswith(FORWARDING_PREFIXES)


def _check_origin(connection: Scope) -> None:
    """Raise Unauthorized unless a program on this host sent the request directly.

    A loopback peer is not sufficient proof. A proxy on this host forwards requests of other hosts. A web page can make
    a browser on this host send requests to a name that resolves to 127.0.0.1; `Host` then has that name. Proxies are
    recognised by their headers, and by HTTP/1.0, the default of nginx. A proxy that hides both, such as some tunnels,
    looks like a program on this host.
    """
    peer = connection.get("client")
    if peer is None or not is_loopback(peer[0]):
        raise _refused("This request is from another host.")
    if connection.get("http_version") == "1.0":
        raise _refused("This request uses HTTP/1.0, as proxies do. From this host, use HTTP/1.1.")
    host = None
    for name, value in connection["headers"]:
        if _is_proxy_header(name):
            shown = escaped(name.decode("latin-1")[:MAX_SHOWN_HEADER])
            raise _refused(f"This request has the header `{shown}`, which proxies add.")
        if name == b"host":
            host = parse_host(value)
    if host is None or not is_loopback(host.name):
        raise _refused("This request names another host in `Host`. From this host, use the name localhost.")


def _refused(why: str) -> Unauthorized:
    return Unauthorized(f"{RULE} {why} {REMEDY}")
