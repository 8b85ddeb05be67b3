"""Who is asking. Without keys the rule is: this host and nobody else, unless ALLOW_ANONYMOUS says otherwise."""

from functools import lru_cache
from typing import NamedTuple

from starlette.requests import HTTPConnection

from ..errors import Unauthorized
from ..models.messages import DEFAULT_TENANT
from ..text import escaped
from .hosts import is_loopback, parse_host

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
"""Headers by which proxies, load balancers, networks of them and tunnels are known. No program sends them itself."""

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
CURE = "To let everybody in, start it with ALLOW_ANONYMOUS=true, and only where the network is trusted."
MAX_SHOWN_HEADER = 100


class Principal(NamedTuple):
    """Whose data a request may touch."""

    tenant: str


@lru_cache(maxsize=1024)
def _is_of_a_proxy(header: bytes) -> bool:
    name = header.decode("latin-1")
    return name in FORWARDING_HEADERS or name.startswith(FORWARDING_PREFIXES)


def authenticate(connection: HTTPConnection, *, allow_anonymous: bool) -> Principal:
    """The principal of a request. Raises Unauthorized.

    A loopback peer alone does not prove the host: a proxy on it passes others through, and a web page can have its
    browser call a name that resolves to 127.0.0.1 (the Host header then names that page's host). A proxy is known by
    its headers, or by the HTTP/1.0 that nginx speaks where nothing is configured; one that hides itself, such as a
    tunnel, cannot be told from this host.
    """
    if allow_anonymous:
        return Principal(DEFAULT_TENANT)
    scope = connection.scope
    peer = scope.get("client")
    if peer is None or not is_loopback(peer[0]):
        raise _refused("This request came from another host.")
    if scope.get("http_version") == "1.0":
        raise _refused("This request came with HTTP/1.0, as proxies send it; from this host, use HTTP/1.1.")
    host = None
    for name, value in scope["headers"]:  # raw, since a submit spends 2 % of its time on `connection.headers`
        if _is_of_a_proxy(name):
            shown = escaped(name.decode("latin-1")[:MAX_SHOWN_HEADER])
            raise _refused(f"This request came with the header `{shown}`, which proxies add.")
        if name == b"host":
            host = parse_host(value)
    if host is None or not is_loopback(host.name):
        raise _refused("This request names another host in `Host`; from this host, use the name localhost.")
    return Principal(DEFAULT_TENANT)


def _refused(why: str) -> Unauthorized:
    return Unauthorized(f"{RULE} {why} {CURE}")
