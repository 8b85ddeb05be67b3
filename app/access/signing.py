"""Signs and verifies tokens, tickets and sessions: JSON Web Tokens (HS256) with a secret that all processes share.

HS256 is enough, since only this queue makes and reads them. PyJWT is imported at the first use: it takes 50 ms.
"""

import asyncio
import secrets
import time
from datetime import datetime, timedelta
from typing import Any, Protocol

from ..errors.access import ExpiredToken, InvalidToken, TokenNotYetValid
from ..models.tokens import SigningSecret
from ..store.ports import AccessStore, TokenStore

ALGORITHM = "HS256"
TOKEN_PREFIX, TICKET_PREFIX, SESSION_PREFIX = "aqt_", "aqk_", "aqs_"
"""The beginnings of tokens, tickets and sessions, by which scanners and our own log recognise them."""

MAX_LENGTH = 16_384
"""Maximum characters of a token. Those of a token with all that may be in it are fewer."""

SECRET_DAYS = 7
"""Age at which a signing secret is replaced. The one before stays good, longer than any token lives."""

SETTLED = timedelta(seconds=60)
"""A new secret signs nothing until all processes know it, if there is another one."""

RELOAD_SECONDS = 1.0
"""Minimum time between two reads of the secrets because of an unknown one."""

INVALID = "This is no {what} of this server, or it was changed. Get a new {what} from POST /{what}s."
EXPIRED = "This {what} has expired. Get a new {what} from POST /{what}s."


class SigningStore(AccessStore, TokenStore, Protocol):
    """The ports that signing needs."""

    def now(self) -> datetime:
        """Return the store's time."""


class Signer:
    """Signs the claims of tokens, tickets or sessions, as `what` says, and verifies them. None is taken for another."""

    def __init__(self, store: SigningStore, what: str, prefix: str) -> None:
        self._store = store
        self._audience = f"agentq:{what}"
        self._prefix = prefix
        self.invalid, self.expired = INVALID.format(what=what), EXPIRED.format(what=what)
        self._live: list[SigningSecret] = []
        self._read_at = -RELOAD_SECONDS
        self._reading = asyncio.Lock()

    def accepts(self, text: str) -> bool:
        """Return whether a text looks like what this signer signs."""
        return text.startswith(self._prefix)

    def forget(self) -> None:
        """Read the secrets again."""
        self._live = []
        self._read_at = -RELOAD_SECONDS

    async def sign(self, claims: dict[str, Any]) -> str:
        """Return the text of a token with these claims. `exp` is in seconds."""
        import jwt

        now = self._store.now()
        live = self._live or await self._read()
        if not live or live[0].created_at < now - timedelta(days=SECRET_DAYS):
            new_id, new = secrets.token_urlsafe(9), secrets.token_urlsafe(32)
            live = self._live = await self._store.rotate_signing_secret(
                new_id, new, older_than=now - timedelta(days=SECRET_DAYS)
            )
        chosen = live[-1] if live[0].created_at > now - SETTLED else live[0]
        signed = jwt.encode({**claims, "aud": self._audience}, chosen.secret, ALGORITHM, headers={"kid": chosen.id})
        return self._prefix + signed

    async def claims_of(self, text: str, *, check_end: bool = True) -> dict[str, Any]:
        """Return the claims of a text that was signed here.

        Raises ExpiredToken, TokenNotYetValid. Raises InvalidToken, with the same text whatever is wrong, for all else.
        """
        import jwt

        refused = InvalidToken(self.invalid)
        if len(text) > MAX_LENGTH:
            raise refused
        signed = text.removeprefix(self._prefix)
        try:
            secret_id = jwt.get_unverified_header(signed).get("kid")
            secret = await self._secret_of(secret_id)
            # A wrong secret for an unknown id, so that both take as long.
            claims: dict[str, Any] = jwt.decode(
                signed,
                secret or "0" * 43,
                algorithms=[ALGORITHM],
                audience=self._audience,
                options={"require": ["exp", "aud"], "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            raise refused from None
        if secret is None:
            raise refused
        now = self._store.now().timestamp()
        if check_end and claims["exp"] <= now:
            raise ExpiredToken(self.expired)
        if claims.get("nbf", 0) > now:
            raise TokenNotYetValid("This token is not valid yet. Wait until it begins, or get another one.")
        return claims

    async def _secret_of(self, secret_id: object) -> str | None:
        found = self._find(secret_id)
        if found is None:
            async with self._reading:  # calls side by side await one read, and none takes its beginning for its end
                found = self._find(secret_id)
                if found is None and time.monotonic() - self._read_at >= RELOAD_SECONDS:
                    await self._read()
                    found = self._find(secret_id)
        return found

    def _find(self, secret_id: object) -> str | None:
        return next((each.secret for each in self._live if each.id == secret_id), None)

    async def _read(self) -> list[SigningSecret]:
        self._live = await self._store.list_signing_secrets()
        self._read_at = time.monotonic()
        return self._live
