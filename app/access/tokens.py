"""Tokens for browsers and end users, and tickets for streams and WebSockets in browsers.

Neither is stored. A token ends when it expires, when its subject's or its tenant's tokens are ended, and when the API
key that made it is revoked or expires.
"""

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from ..errors import InvalidRequest
from ..errors.access import ExpiredToken, InvalidToken, RevokedToken, RightsExceeded, UsedTicket
from ..models.audit import Actor, AuditAction, record_of
from ..models.keys import ApiKey
from ..models.visibility import ThreadNarrowing
from ..store.limits import MAX_TOKEN_SECONDS
from .principals import Principal
from .scopes import AccessScope
from .signing import TICKET_PREFIX, TOKEN_PREFIX, Signer, SigningStore
from .verification import mark_of, webhook_of

TOKEN_SCOPES = (AccessScope.SUBMIT, AccessScope.READ, AccessScope.CONTROL)
"""The scopes that a token may have. The others concern more than one end user."""

DEFAULT_SECONDS = 900
TICKET_LIFE_SECONDS = 30
ENDED = (
    "This token was ended: its end user was logged out, or its API key was revoked or rotated. Get a new one from POST "
    "/tokens."
)
ONLY_KEYS = "Tokens are made and ended with an API key that has the scope `submit`, and not with a token."
NOT_BY_SESSION = "Tokens are made with an API key in a header, and not with a session: they would outlive it."


class TokenWish(NamedTuple):
    """The rights that a token is to have. None means all that its maker may do."""

    subject: str | None = None
    threads: ThreadNarrowing | None = None
    agents: frozenset[str] | None = None
    scopes: frozenset[AccessScope] | None = None
    seconds: int = DEFAULT_SECONDS
    rate_per_minute: int | None = None


class IssuedToken(NamedTuple):
    """A token or a ticket: its text, and when it expires."""

    text: str
    expires_at: datetime
    scopes: tuple[AccessScope, ...] = ()


class Tokens:
    """Makes, verifies and ends tokens and tickets."""

    def __init__(self, store: SigningStore, *, allow_anonymous: bool) -> None:
        self._store = store
        self._allow_anonymous = allow_anonymous
        self._tokens = Signer(store, "token", TOKEN_PREFIX)
        self._tickets = Signer(store, "ticket", TICKET_PREFIX)

    def accepts(self, text: str) -> bool:
        """Return whether a text looks like a token or a ticket."""
        return self._tokens.accepts(text) or self._tickets.accepts(text)

    def forget(self) -> None:
        """Read the signing secrets again."""
        self._tokens.forget()
        self._tickets.forget()

    async def issue(self, by: Principal, wish: TokenWish) -> IssuedToken:
        """Return a new token with a part of the maker's rights. Raises RightsExceeded, InvalidRequest."""
        _require_key(by)
        if by.session is not None:
            raise RightsExceeded(NOT_BY_SESSION)
        scopes = _allowed_scopes(by, wish.scopes)
        now = self._store.now()
        end = now + timedelta(seconds=min(wish.seconds, MAX_TOKEN_SECONDS))
        if by.expires_at is not None:
            end = min(end, by.expires_at)
        principal = by._replace(
            subject=wish.subject,
            threads=wish.threads,
            agents=wish.agents,
            scopes=frozenset(scopes),
            expires_at=end,
            rate_per_minute=wish.rate_per_minute,
        )
        state = await self._store.access_state()
        text = await self._tokens.sign({**claims_of(principal), "rev": state.revision, "exp": end.timestamp()})
        return IssuedToken(text, end, scopes)

    async def end(self, by: Principal, subject: str | None, actor: Actor | None = None) -> None:
        """End the tokens of a subject of the maker's tenant, or with None of the tenant. Raises RightsExceeded."""
        _require_key(by)
        whose, details = ((), {"all": True}) if subject is None else ((subject,), {})
        audit = record_of(actor, AuditAction.END_TOKENS, by.tenant, *whose, **details)
        await self._store.end_tokens(by.tenant, subject, audit=audit)

    async def issue_ticket(self, by: Principal, message_id: str | None) -> IssuedToken:
        """Return a ticket that opens one stream or WebSocket as this caller; with `message_id` only its stream."""
        now = self._store.now()
        end = now + timedelta(seconds=TICKET_LIFE_SECONDS)
        if by.ends_at is not None:
            end = min(end, by.ends_at)
        state = await self._store.access_state()
        claims = {**claims_of(by), "rev": state.revision, "exp": end.timestamp(), "jti": secrets.token_urlsafe(12)}
        if by.ends_at is not None:
            claims["end"] = by.ends_at.timestamp()
        if by.session is not None:
            claims["sid"] = by.session.ended_name
        if message_id is not None:
            claims["msg"] = message_id
        return IssuedToken(await self._tickets.sign(claims), end)

    async def redeem(self, text: str, message_id: str | None) -> None:
        """Use a ticket up, for a stream of the message, or with None for a WebSocket.

        Raises InvalidToken, ExpiredToken, UsedTicket.
        """
        if not self._tickets.accepts(text):
            raise InvalidToken(self._tickets.invalid)
        claims = await self._tickets.claims_of(text)
        if claims.get("msg") not in (None, message_id):
            raise InvalidToken("This ticket is for the stream of another message. Get a new ticket from POST /tickets.")
        if not await self._store.use_ticket(claims["jti"]):
            raise UsedTicket("This ticket was used before. Get a new ticket from POST /tickets for each connection.")

    async def verify(self, text: str) -> Principal:
        """Return the principal of a token, or of a ticket that was redeemed.

        Raises InvalidToken, ExpiredToken, TokenNotYetValid, RevokedToken.
        """
        if self._tickets.accepts(text):
            claims = await self._tickets.claims_of(text, check_end=False)
            end = claims.get("end")
        else:
            claims = await self._tokens.claims_of(text)
            end = claims["exp"]
        expires_at = None if end is None else datetime.fromtimestamp(end, UTC)
        if expires_at is not None and expires_at <= self._store.now():
            raise ExpiredToken(self._tokens.expired)
        return await self.admitted(principal_of(claims, expires_at), claims["rev"], claims.get("sid"))

    async def admitted(self, principal: Principal, revision: int, session: str | None = None) -> Principal:
        """Return the principal of a token or a session with the end of their API key, and with its webhook.

        `revision` is that of the mint. `session` is the name of the session that they belong to, as it is noted when
        it is ended. Raises RevokedToken if one of the tokens, the session or the key was ended.
        """
        for name in {principal.subject, session or principal.subject}:
            if await self._store.tokens_ended(principal.tenant, name) > revision:
                raise RevokedToken(ENDED)
        if principal.key_id is None:
            anonymous = principal.issuer is None and not self._allow_anonymous
            if anonymous and (await self._store.access_state()).has_keys:
                raise RevokedToken(ENDED)  # the first key ends what callers without one may do
            return principal
        key = await self._store.get_key(None, principal.key_id)
        now = self._store.now()
        if key is None or key.revoked_at is not None:
            raise RevokedToken(ENDED)
        ends = [end for end in (key.expires_at, _end_of_secret(key, principal.key_mark)) if end is not None]
        if any(end <= now for end in ends):
            raise RevokedToken(ENDED)
        if principal.expires_at is not None:
            ends.append(principal.expires_at)
        return principal._replace(
            expires_at=min(ends, default=None),
            webhook=webhook_of(key),
            key_limit=key.limits.submits_per_minute,
            key_quotas=key.quotas,
        )


def _end_of_secret(key: ApiKey, mark: str | None) -> datetime | None:
    """Return when the secret ends that made a token; None means never. Raises RevokedToken for an earlier secret."""
    if mark == mark_of(key.secret_hash):
        return None
    if key.previous_hash is None or mark != mark_of(key.previous_hash):
        raise RevokedToken(ENDED)
    return key.previous_until


def _require_key(by: Principal) -> None:
    if by.by_token or by.is_narrowed:
        raise RightsExceeded(ONLY_KEYS)


def _allowed_scopes(by: Principal, wanted: Iterable[AccessScope] | None) -> tuple[AccessScope, ...]:
    """Return the scopes of a new token in their order. Raises RightsExceeded for others than the maker's."""
    default = (AccessScope.SUBMIT, AccessScope.READ)
    chosen = set(by.scopes.intersection(default) if wanted is None else wanted)
    if not chosen:
        raise InvalidRequest("scopes: expected at least one", field="scopes")
    if lacking := [scope for scope in AccessScope if scope in chosen and scope not in by.scopes]:
        raise RightsExceeded(f"The token would have scopes that the caller does not have: {', '.join(lacking)}.")
    return tuple(scope for scope in TOKEN_SCOPES if scope in chosen)


def claims_of(principal: Principal) -> dict[str, Any]:
    """Return what a token says of its principal. What is not narrowed is left out."""
    claims: dict[str, Any] = {
        "tnt": principal.tenant,
        "scp": [each.value for each in AccessScope if each in principal.scopes],
    }
    optional = {
        "sub": principal.subject,
        "key": principal.key_id,
        "mrk": principal.key_mark,
        "agt": None if principal.agents is None else sorted(principal.agents),
        "rate": principal.rate_per_minute,
        "idp": principal.issuer,
        "usr": principal.user,
    }
    if principal.threads is not None:
        optional |= {"thr": sorted(principal.threads.ids), "thp": principal.threads.prefix}
    return claims | {name: value for name, value in optional.items() if value is not None}


def principal_of(claims: dict[str, Any], expires_at: datetime | None) -> Principal:
    """Return the principal that a token's claims describe."""
    agents, threads = claims.get("agt"), claims.get("thr")
    return Principal(
        claims["tnt"],
        frozenset(map(AccessScope, claims["scp"])),
        key_id=claims.get("key"),
        key_mark=claims.get("mrk"),
        subject=claims.get("sub"),
        threads=None if threads is None else ThreadNarrowing(frozenset(threads), claims.get("thp")),
        agents=None if agents is None else frozenset(agents),
        expires_at=expires_at,
        rate_per_minute=claims.get("rate"),
        by_token=True,
        issuer=claims.get("idp"),
        user=claims.get("usr"),
    )
