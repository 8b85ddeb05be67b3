"""Sessions of browsers: signed like tokens and not stored, kept in a cookie, and safe from pages of other origins."""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from starlette.datastructures import Headers
from starlette.types import Scope

from ..errors import Unauthorized
from ..errors.access import CsrfFailed, InvalidSession, RevokedToken, SessionEnded
from ..models.audit import Actor, AuditAction, record_of
from .hosts import parse_host
from .principals import Principal, Session
from .signing import SESSION_PREFIX, Signer, SigningStore
from .tokens import Tokens, claims_of, principal_of

COOKIE = "agentq_session"
SECURE_COOKIE = f"__Host-{COOKIE}"
"""The cookie of https. Browsers take this name only from the host itself, over https and for all paths."""

CSRF_HEADER = "x-csrf-token"
SECURE_SCHEMES = frozenset(("https", "wss"))
USUAL_PORTS = {"http": 80, "https": 443}
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
FOREIGN_SITES = frozenset(("same-site", "cross-site"))

INVALID = "This is no session of this server, or it was changed. Sign in again with POST /session."
IDLE = "This session has ended, since it was not used for a while or is old. Sign in again with POST /session."
ENDED = (
    "This session was ended: its user signed out, or the API key or the user that it belongs to was locked out. Sign "
    "in again with POST /session."
)
OF_ANOTHER_PAGE = (
    "A session is good for pages of this server's own origin only. The browser tells it in `Sec-Fetch-Site: "
    "same-origin` or `Origin`; programs send an API key instead."
)
UNPROVEN = (
    "A request with a session that changes something, and the handshake of a WebSocket, need the header `X-CSRF-Token` "
    "with the `csrf_token` of GET /session. A page opens a WebSocket with a ticket of POST /tickets instead."
)


class SessionLimits(NamedTuple):
    """How long a session lasts without a request, and at most."""

    idle: timedelta
    longest: timedelta


class Sessions:
    """Starts, verifies, renews and ends sessions."""

    def __init__(self, store: SigningStore, tokens: Tokens, limits: SessionLimits) -> None:
        self._store = store
        self._tokens = tokens
        self._limits = limits
        self._signer = Signer(store, "session", SESSION_PREFIX)

    def now(self) -> datetime:
        """Return the store's time."""
        return self._store.now()

    def accepts(self, text: str) -> bool:
        """Return whether a text looks like a session."""
        return self._signer.accepts(text)

    def forget(self) -> None:
        """Read the signing secrets again."""
        self._signer.forget()

    async def start(self, by: Principal) -> tuple[str, Principal]:
        """Return a new session with the rights of a caller: its text, and the principal with the session."""
        now = self._store.now()
        state = await self._store.access_state()
        last = now + self._limits.longest
        session = Session(secrets.token_urlsafe(32), min(now + self._limits.idle, last), last, state.revision)
        by = by._replace(session=session)
        return await self._text_of(by), by

    async def renew(self, by: Principal) -> str | None:
        """Return the session of a caller with a new idle time; None if less than half of the idle time has passed."""
        now = self._store.now()
        session = by.session
        if session is None or now + self._limits.idle / 2 < session.until or session.until == session.last:
            return None
        until = min(now + self._limits.idle, session.last)
        return await self._text_of(by._replace(session=session._replace(until=until)))

    async def end(self, by: Principal, actor: Actor | None = None) -> None:
        """End the session of a caller. Callers without one change nothing."""
        if by.session is not None:
            audit = record_of(actor, AuditAction.END_SESSION, by.tenant)
            await self._store.end_tokens(by.tenant, by.session.ended_name, audit=audit)

    async def verify(self, text: str) -> Principal:
        """Return the principal of a session. Raises InvalidSession, SessionEnded."""
        try:
            claims = await self._signer.claims_of(text, check_end=False)
        except Unauthorized:
            raise InvalidSession(INVALID) from None
        until, last = (datetime.fromtimestamp(claims[name], UTC) for name in ("exp", "max"))
        session = Session(claims["sid"], until, last, claims["rev"])
        if until <= self._store.now():
            raise SessionEnded(IDLE)
        end = claims.get("end")
        principal = principal_of(claims, None if end is None else datetime.fromtimestamp(end, UTC))
        principal = principal._replace(session=session, by_token=principal.issuer is not None)
        try:
            return await self._tokens.admitted(principal, session.revision, session.ended_name)
        except RevokedToken:
            raise SessionEnded(ENDED) from None

    async def _text_of(self, principal: Principal) -> str:
        session = principal.session
        assert session is not None, "only sessions are signed"
        claims: dict[str, Any] = {
            **claims_of(principal),
            "sid": session.id,
            "rev": session.revision,
            "exp": session.until.timestamp(),
            "max": session.last.timestamp(),
        }
        if principal.issuer is not None and principal.expires_at is not None:  # a key's end is looked up
            claims["end"] = principal.expires_at.timestamp()
        return await self._signer.sign(claims)


def csrf_token_of(session: Session) -> str:
    """Return the token that requests of a session need. It tells nothing of the session's id, which is secret."""
    digest = hashlib.sha256(f"csrf\n{session.id}".encode()).digest()
    return urlsafe_b64encode(digest).decode().rstrip("=")


def is_secure(connection: Scope) -> bool:
    """Return whether a request came over https, as a named proxy tells it."""
    return connection.get("scheme") in SECURE_SCHEMES


def cookie_in(connection: Scope) -> str | None:
    """Return the session in the cookie of a request; None if it has none, or two different ones."""
    wanted = SECURE_COOKIE if is_secure(connection) else COOKIE
    found = set()
    for header in Headers(scope=connection).getlist("cookie"):
        for part in header.split(";"):
            name, _, value = part.strip().partition("=")
            if name == wanted and value.startswith(SESSION_PREFIX):
                found.add(value)
    return found.pop() if len(found) == 1 else None


def set_cookie(connection: Scope, text: str, seconds: int) -> str:
    """Return the header `Set-Cookie` that keeps a session for so many seconds."""
    is_https = is_secure(connection)
    name = SECURE_COOKIE if is_https else COOKIE
    return f"{name}={text}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Strict" + ("; Secure" if is_https else "")


def drop_cookie(connection: Scope) -> str:
    """Return the header `Set-Cookie` that has the browser forget a session."""
    return set_cookie(connection, "", 0)


def check_page(connection: Scope, session: Session) -> None:
    """Raise CsrfFailed unless a page of this server's own origin sent a request with a session.

    A cookie is sent by the browser, whichever page asks. Ports of one host share cookies, and `SameSite` does not tell
    them apart. A request that changes something therefore has to name its origin, and to have the session's token.
    """
    if not check_own_page(connection):
        return
    given = Headers(scope=connection).getlist(CSRF_HEADER)
    wanted = csrf_token_of(session).encode()
    if len(given) != 1 or not hmac.compare_digest(given[0].encode("latin-1", "replace"), wanted):
        raise CsrfFailed(UNPROVEN)


def check_own_page(connection: Scope) -> bool:
    """Raise CsrfFailed unless a page of this server's own origin sent a request. Return whether it changes something.

    A request that changes nothing may be without an origin, as that of a navigation is.
    """
    headers = Headers(scope=connection)
    if connection["type"] == "http" and connection["method"] in SAFE_METHODS:
        if FOREIGN_SITES.intersection(headers.getlist("sec-fetch-site")):
            raise CsrfFailed(OF_ANOTHER_PAGE)
        return False
    if not _is_of_own_page(connection, headers):
        raise CsrfFailed(OF_ANOTHER_PAGE)
    return True


def check_sign_in(connection: Scope) -> None:
    """Raise CsrfFailed if a browser tells that a page of another origin signs in. Programs tell no origin.

    Such a page would sign its user in as somebody else, and end their session.
    """
    headers = Headers(scope=connection)
    if any(name in headers for name in ("origin", "sec-fetch-site")) and not _is_of_own_page(connection, headers):
        raise CsrfFailed(OF_ANOTHER_PAGE)


def _is_of_own_page(connection: Scope, headers: Headers) -> bool:
    """Return whether the browser tells that a page of this server's own origin sent the request."""
    if sites := headers.getlist("sec-fetch-site"):
        return all(site == "same-origin" for site in sites)
    return _names_own_origin(connection, headers)


def _names_own_origin(connection: Scope, headers: Headers) -> bool:
    """Return whether the request names this server's own origin in exactly one `Origin`."""
    origins, hosts = headers.getlist("origin"), headers.getlist("host")
    if len(origins) != 1 or len(hosts) != 1:
        return False
    scheme = "https" if is_secure(connection) else "http"
    given, _, authority = origins[0].partition("://")
    page, own = parse_host(authority.encode("latin-1")), parse_host(hosts[0].encode("latin-1"))
    if given != scheme or page is None or own is None:
        return False
    usual = USUAL_PORTS[scheme]
    return (page.name, page.port or usual) == (own.name, own.port or usual)
