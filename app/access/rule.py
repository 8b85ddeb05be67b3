"""Decides who may use the server: callers with an API key.

Without one, only programs on this host may use a server that has no keys. ALLOW_ANONYMOUS admits everybody.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from starlette.types import Scope

from ..errors import Forbidden, Unauthorized
from ..errors.access import InvalidKey, InvalidToken, SessionRefused, SessionsNotHere
from ..text import escaped
from .hosts import is_loopback, parse_host
from .principals import ANONYMOUS, Principal
from .proxy_users import ProxyUsers
from .scopes import AccessScope
from .sessions import Sessions, check_page, cookie_in, drop_cookie, is_secure, set_cookie
from .signing import SESSION_PREFIX, TICKET_PREFIX, TOKEN_PREFIX
from .tokens import Tokens
from .verification import KeyVerifier

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
REMEDY = (
    "For callers on other hosts, make a key with `agentq keys create`. To admit everybody, start the server with "
    "ALLOW_ANONYMOUS=true, but only in a trusted network."
)
KEY_NEEDED = (
    "This server has API keys or an identity provider, so each request needs a key or a token, also from its own host. "
    "Send `Authorization: Bearer KEY` or `X-API-Key: KEY`. `agentq keys create` makes a key."
)
TICKET_IN_HEADER = (
    "A ticket belongs in the URL: `?ticket=` of a stream or of `/ws`. Send a token or an API key in headers."
)
SESSION_IN_HEADER = "A session belongs in the cookie that POST /session sets. Send a token or an API key in headers."
SESSION_NEEDS_HTTPS = (
    "A session needs https, or a request made directly from the server's own host. Behind a proxy with https, name the "
    "proxy in TRUSTED_PROXIES. Without https, send an API key with each request."
)
TWO_KEYS = "The request has two different credentials. Send one, in `Authorization` or in `X-API-Key`."
FORWARDED_BY_PROXY = "agent_queue.forwarded_by_proxy"
"""A key in the ASGI scope of requests that a proxy in TRUSTED_PROXIES sent. `client` is then the proxy's client."""

CREDENTIAL_HEADERS = frozenset((b"authorization", b"x-api-key"))
OWN_PREFIXES = (b"aq_", TOKEN_PREFIX.encode(), TICKET_PREFIX.encode(), SESSION_PREFIX.encode())
REDEEMED = "agent_queue.ticket"
"""A key in the ASGI scope of requests that came with a ticket: its text, after it was used up."""

PROXY_USER = "agent_queue.proxy_user"
"""A key in the ASGI scope of requests of a named proxy: the principal of its user, None if it names no user."""

MAX_SHOWN_HEADER = 100


class Access:
    """Authorizes requests. Everybody who is admitted without a key gets the principal `anonymous`.

    With `needs_credentials` nobody is, also while there are no keys, unless ALLOW_ANONYMOUS admits everybody.
    `proxy_users` admits the users whom a named proxy has signed in.
    """

    def __init__(
        self,
        keys: KeyVerifier,
        tokens: Tokens,
        sessions: Sessions,
        *,
        allow_anonymous: bool,
        needs_credentials: bool = False,
        proxy_users: ProxyUsers | None = None,
        anonymous: Principal = ANONYMOUS,
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._sessions = sessions
        self._needs_credentials = needs_credentials
        self._proxy_users = proxy_users
        self._allow_anonymous = allow_anonymous
        self._anonymous = anonymous
        self._held: dict[object, Held] = {}
        self.has_unchecked = False
        """Whether `check_held` has to be called: keys have changed since a held request was authorized."""

    def authorize(self, connection: Scope, scope: AccessScope | None) -> Principal | None:
        """Return the principal of a request that needs this scope; None if `look_up` has to find the principal.

        `connection` is the ASGI scope of the request. With `scope` None, callers with any scopes are admitted. Raises
        Unauthorized if the caller may not use the server, Forbidden if they do not have the scope or if a page of
        another origin sends their session.
        """
        given = self._credential_in(connection)
        if given is None:
            return _allowed(self._principal_without_credential(connection), scope)
        principal = self._keys.find(given)
        return None if principal is None else _allowed_here(connection, principal, scope)

    async def look_up(self, connection: Scope, scope: AccessScope | None) -> Principal:
        """Return the principal as `authorize` does, after a query if it is needed. Raises StoreError too."""
        given = self._credential_in(connection)
        if given is None:
            return _allowed(self._principal_without_credential(connection), scope)
        try:
            principal = self._keys.find(given) or await self._keys.verify(given)
        except SessionRefused as error:
            error.cookie = drop_cookie(connection)
            raise
        return _allowed_here(connection, principal, scope)

    async def renewed_cookie(self, connection: Scope, principal: Principal) -> str | None:
        """Return the header `Set-Cookie` that lets a session's idle time begin again; None if it is not due."""
        if REDEEMED in connection or (text := await self._sessions.renew(principal)) is None:
            return None
        return self.session_cookie(connection, principal, text)

    def session_cookie(self, connection: Scope, principal: Principal, text: str) -> str:
        """Return the header `Set-Cookie` of a session."""
        assert principal.session is not None, "only sessions have cookies"
        return set_cookie(
            connection, text, max(1, int((principal.session.last - self._sessions.now()).total_seconds()))
        )

    def check_sessions_possible(self, connection: Scope) -> None:
        """Raise SessionsNotHere unless a connection is encrypted or from this host, so that nobody reads its cookie."""
        if not is_secure(connection) and _why_not_direct(connection) is not None:
            raise SessionsNotHere(SESSION_NEEDS_HTTPS)

    @contextmanager
    def held(
        self, connection: Scope, principal: Principal, scope: AccessScope, end: Callable[[], object]
    ) -> Iterator[None]:
        """Call `end` when the principal of an open stream, socket or held reply expires or is no longer admitted.

        `scope` is the scope that the request needs.
        """
        entry = object()
        self._held[entry] = Held(connection, principal, scope, end)
        try:
            # A change of keys between the authorization and now ended nothing yet.
            if self.authorize(connection, scope) is None:
                self.has_unchecked = True
        except (Unauthorized, Forbidden):
            end()
        try:
            yield
        finally:
            del self._held[entry]

    def recheck(self) -> None:
        """Look every credential up again, since a change in this process must take effect before its reply."""
        self._keys.forget()
        self.has_unchecked = True

    def end_expired(self, now: datetime) -> None:
        """End the streams, sockets and held replies whose principals have expired."""
        for held in list(self._held.values()):
            if (end := held.principal.ends_at) is not None and end <= now:
                held.end()

    async def check_held(self) -> None:
        """End the streams, sockets and held replies whose callers are no longer admitted. Raises StoreError."""
        self.has_unchecked = False
        try:
            for entry, held in list(self._held.items()):
                try:
                    principal = await self.look_up(held.connection, held.scope)
                except (Unauthorized, Forbidden):
                    held.end()
                else:
                    if entry in self._held:  # a rotation gave the secret an end
                        self._held[entry] = held._replace(principal=principal)
        except BaseException:
            self.has_unchecked = True
            raise

    def _principal_without_credential(self, connection: Scope) -> Principal:
        """Return the user whom a named proxy has signed in, else the anonymous principal. Raises Unauthorized."""
        if self._proxy_users is not None and FORWARDED_BY_PROXY in connection:
            if PROXY_USER not in connection:  # later calls for a stream must not move its end
                connection[PROXY_USER] = self._proxy_users.principal_of(connection)
            user: Principal | None = connection[PROXY_USER]
            if user is not None:
                return user
        if not self._allow_anonymous:
            if self.takes_credentials:
                raise Unauthorized(KEY_NEEDED)
            _check_origin(connection)
        return self._anonymous

    async def redeem(self, connection: Scope, ticket: str, message_id: str | None) -> None:
        """Use a ticket up. The request then has the rights of the caller who got the ticket.

        Raises what `Tokens.redeem` raises.
        """
        await self._tokens.redeem(ticket, message_id)
        connection[REDEEMED] = ticket

    @property
    def takes_credentials(self) -> bool:
        """Return whether there are API keys, an identity provider, or users of a proxy."""
        return self._keys.has_keys or self._needs_credentials

    def _credential_in(self, connection: Scope) -> str | None:
        """Return the API key, token, redeemed ticket or session of a request, None if it has none. Raises InvalidKey.

        While there are no keys, other credentials are ignored: clients of other services send some by default. A
        browser sends its cookie with every request, so a credential in a header comes first.
        """
        redeemed: str | None = connection.get(REDEEMED)
        if redeemed is not None:
            return redeemed
        given: set[bytes] = {
            value.partition(b" ")[2].strip() if name == b"authorization" and value[:7].lower() == b"bearer " else value
            for name, value in connection["headers"]
            if name in CREDENTIAL_HEADERS
        }
        if not given or (not self.takes_credentials and not any(value.startswith(OWN_PREFIXES) for value in given)):
            return self._session_in(connection)
        if len(given) > 1:
            raise InvalidKey(TWO_KEYS)
        text = given.pop().decode("latin-1")
        if text.startswith(TICKET_PREFIX):
            raise InvalidToken(TICKET_IN_HEADER)
        if text.startswith(SESSION_PREFIX):
            raise InvalidToken(SESSION_IN_HEADER)
        return text

    def _session_in(self, connection: Scope) -> str | None:
        """Return the session in the cookie of a request, None if there is none that counts on this connection."""
        if not self.takes_credentials or not any(name == b"cookie" for name, _ in connection["headers"]):
            return None
        if not is_secure(connection) and _why_not_direct(connection) is not None:
            return None
        return cookie_in(connection)


class Held(NamedTuple):
    """An open stream or socket or a held reply, the scope that it needs, and how to end it."""

    connection: Scope
    principal: Principal
    scope: AccessScope | None
    end: Callable[[], object]


def _allowed_here(connection: Scope, principal: Principal, scope: AccessScope | None) -> Principal:
    if principal.session is not None and REDEEMED not in connection:
        check_page(connection, principal.session)
    return _allowed(principal, scope)


def _allowed(principal: Principal, scope: AccessScope | None) -> Principal:
    if scope is not None and scope not in principal.scopes:
        raise Forbidden(f"This request needs the scope `{scope}`, which the caller does not have.")
    return principal


@lru_cache(maxsize=1024)
def _is_proxy_header(header: bytes) -> bool:
    name = header.decode("latin-1")
    return name in FORWARDING_HEADERS or name.startswith(FORWARDING_PREFIXES)


def _check_origin(connection: Scope) -> None:
    """Raise Unauthorized unless a program on this host sent the request directly."""
    if (why := _why_not_direct(connection)) is not None:
        raise Unauthorized(f"{RULE} {why} {REMEDY}")


def _why_not_direct(connection: Scope) -> str | None:
    """Return why a request is not taken for one that a program on this host sent directly; None if it is.

    A loopback peer is not sufficient proof. A proxy on this host forwards requests of other hosts. A web page can make
    a browser on this host send requests to a name that resolves to 127.0.0.1; `Host` then has that name. Proxies are
    recognised by their headers, and by HTTP/1.0, the default of nginx. A proxy that hides both, such as some tunnels,
    looks like a program on this host.
    """
    if FORWARDED_BY_PROXY in connection:
        return "This request is from a proxy that TRUSTED_PROXIES names."
    peer = connection.get("client")
    if peer is None or not is_loopback(peer[0]):
        return "This request is from another host."
    if connection.get("http_version") == "1.0":
        return "This request uses HTTP/1.0, as proxies do. From this host, use HTTP/1.1."
    host = None
    for name, value in connection["headers"]:
        if _is_proxy_header(name):
            shown = escaped(name.decode("latin-1")[:MAX_SHOWN_HEADER])
            return f"This request has the header `{shown}`, which proxies add."
        if name == b"host":
            host = parse_host(value)
    if host is None or not is_loopback(host.name):
        return "This request names another host in `Host`. From this host, use the name localhost."
    return None
