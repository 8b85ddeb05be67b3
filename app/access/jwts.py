"""Verifies the JSON Web Tokens of the operator's own identity provider. PyJWT is imported at the first use."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from ..errors.access import ExpiredToken, InvalidToken, KeysUnavailable, TokenNotYetValid
from ..models.messages import DEFAULT_TENANT
from ..models.types import SUBJECT_MAX_LENGTH
from ..text import on_one_line, storable
from .principals import Principal
from .tokens import TOKEN_SCOPES

logger = logging.getLogger(__name__)

LEEWAY_SECONDS = 30
"""How far the clocks of the provider and of this host may differ."""

REFETCH_SECONDS = 60.0
"""Minimum time between two fetches of the provider's keys because of an unknown one."""

RETRY_SECONDS = 5.0
"""Minimum time between a fetch that failed and the next one."""

STALE_SECONDS = 600.0
"""Age at which the keys are fetched again before a token is verified, so that withdrawn keys are noticed."""

FETCH_SECONDS = 5.0
MAX_KEYS = 100
MAX_LENGTH = 16_384

INVALID = (
    "This is no token of the identity provider that this server trusts, it was changed, or it is for another audience. "
    "Get a new token from the identity provider."
)

Fetch = Callable[[], Awaitable[bytes]]
"""Returns the provider's JWKS. Raises OSError with a text for the log."""


class JwtRules(NamedTuple):
    """The rules for tokens of the provider, and the claims that have the tenant, the subject and the scopes.

    A claim `a.b` is the field `b` of the claim `a`, unless there is a claim of that name. `tenant_claim` None means
    that all tokens are of the default tenant.
    """

    issuer: str
    audience: str
    algorithms: tuple[str, ...]
    tenant_claim: str | None
    subject_claim: str
    scopes_claim: str


class ProviderKey(NamedTuple):
    """A public key, as PyJWT takes it, and the only algorithm that it is for; None if the JWKS does not say."""

    key: Any
    algorithm: str | None


class ProviderKeys:
    """The public keys of the identity provider: one from the settings, or those of its JWKS by their ids."""

    def __init__(self, public_key: str | None, fetch: Fetch | None, on_change: Callable[[], None]) -> None:
        self._public_key = public_key
        self._fetch = fetch
        self._on_change = on_change
        self._keys: dict[str | None, ProviderKey] = {}
        self._text = b""
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def find(self, key_id: str | None, algorithm: str) -> Any:
        """Return the key with this id for this algorithm, None if there is none. Raises KeysUnavailable."""
        if self._fetch is None:
            return self._public_key
        now = time.monotonic()
        if now - self._fetched_at > STALE_SECONDS or self._find(key_id) is None:
            await self._refetch(self._fetch, now)
        found = self._find(key_id)
        return found.key if found is not None and found.algorithm in (None, algorithm) else None

    def _find(self, key_id: str | None) -> ProviderKey | None:
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    async def _refetch(self, fetch: Fetch, now: float) -> None:
        async with self._fetching:
            if self._tried_at >= now or now - self._tried_at < REFETCH_SECONDS:
                if not self._keys:
                    raise KeysUnavailable
                return
            self._tried_at = time.monotonic()
            try:
                async with asyncio.timeout(FETCH_SECONDS):
                    text = await fetch()
                keys = _keys_of(text)
            except (OSError, ValueError) as error:  # a TimeoutError is an OSError
                reason = str(error) or "no answer in time"
                logger.warning("The keys of the identity provider could not be fetched: %s", reason)
                self._tried_at += RETRY_SECONDS - REFETCH_SECONDS
                if not self._keys:
                    raise KeysUnavailable from None
                return
            self._fetched_at = time.monotonic()
            changed, self._text = self._text not in (b"", text), text
            self._keys = keys
            if changed:
                logger.info("The identity provider has other keys now: count=%d", len(keys))
                self._on_change()


class JwtVerifier:
    """Returns the principals of an identity provider's tokens."""

    def __init__(self, rules: JwtRules, keys: ProviderKeys) -> None:
        self._rules = rules
        self._keys = keys

    def accepts(self, text: str) -> bool:
        """Return whether a text looks like a JSON Web Token."""
        return text.startswith("eyJ") and text.count(".") == 2

    def forget(self) -> None:
        """Do nothing: the provider's keys do not change with ours."""

    async def verify(self, text: str) -> Principal:
        """Return the principal of a token.

        Raises InvalidToken, with the same text for all that is wrong before the signature is known to be right;
        ExpiredToken, TokenNotYetValid, KeysUnavailable.
        """
        import jwt

        rules = self._rules
        if len(text) > MAX_LENGTH:
            raise InvalidToken(INVALID)
        try:
            header = jwt.get_unverified_header(text)
            algorithm, key_id = header.get("alg"), header.get("kid")
            if algorithm not in rules.algorithms or not isinstance(key_id, str | None):
                raise InvalidToken(INVALID)
            key = await self._keys.find(key_id, algorithm)
            if key is None:
                raise InvalidToken(INVALID)
            claims: dict[str, Any] = jwt.decode(
                text,
                key,
                algorithms=[algorithm],
                audience=rules.audience,
                issuer=rules.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"], "verify_sub": False},
            )
        except jwt.ExpiredSignatureError:
            raise ExpiredToken("This token has expired. Get a new token from the identity provider.") from None
        except jwt.ImmatureSignatureError:
            raise TokenNotYetValid("This token is not valid yet. Check the clocks, or get another token.") from None
        except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError):
            raise InvalidToken(INVALID) from None
        return self._principal(claims)

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        rules = self._rules
        tenant = DEFAULT_TENANT if rules.tenant_claim is None else _name_in(claims, rules.tenant_claim)
        given = _claim(claims, rules.scopes_claim)
        names = given.split() if isinstance(given, str) else given if isinstance(given, list) else ()
        try:
            end = datetime.fromtimestamp(claims["exp"], UTC) + timedelta(seconds=LEEWAY_SECONDS)
        except (TypeError, ValueError, OverflowError, OSError):  # a text, or a time that the host cannot tell
            raise InvalidToken(INVALID) from None
        return Principal(
            tenant,
            frozenset(scope for scope in TOKEN_SCOPES if scope.value in names),
            subject=_name_in(claims, rules.subject_claim),
            expires_at=end,
            by_token=True,
            issuer=rules.issuer,
        )


def _keys_of(text: bytes) -> dict[str | None, ProviderKey]:
    """Return the public keys of a JWKS that verify signatures, by their ids. Raises ValueError.

    Leaves out keys that PyJWT does not know, secret ones, and those for encryption.
    """
    import jwt

    try:
        listed = json.loads(text)["keys"]
        found: dict[str | None, ProviderKey] = {}
        for each in listed[:MAX_KEYS]:
            if each.get("kty") == "oct" or "d" in each or each.get("use", "sig") != "sig":
                continue
            try:
                found[each.get("kid")] = ProviderKey(jwt.PyJWK(each).key, each.get("alg"))
            except jwt.PyJWTError:
                continue
    except (LookupError, TypeError, AttributeError, RecursionError):
        raise ValueError("the answer is no JWKS") from None
    return found


def _claim(claims: Mapping[str, Any], name: str) -> object:
    """Return a claim, or a field of one; None if there is none."""
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _name_in(claims: Mapping[str, Any], name: str) -> str:
    """Return the tenant or the subject in a claim. Raises InvalidToken if it has none that can be stored."""
    value = _claim(claims, name)
    try:
        if isinstance(value, str) and 0 < len(value) <= SUBJECT_MAX_LENGTH:
            return on_one_line(storable(value))
    except ValueError:
        pass
    text = f"a text of 1 to {SUBJECT_MAX_LENGTH} characters"
    raise InvalidToken(f"The claim `{name}` of this token is missing, or is not {text}.")
