"""Verifies API keys. A key that was verified once needs no query until any key changes."""

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from ..errors.access import ExpiredKey, InvalidKey, RevokedKey
from ..models.keys import ApiKey, KeyWebhook
from ..store.ports import AccessStore, TenantStore
from .keys import hash_of, parse
from .principals import Principal
from .scopes import AccessScope

MAX_VERIFIED = 10_000
"""Maximum number of keys that are remembered. The least recently used one is dropped."""

MARK_LENGTH = 16
UNKNOWN_HASH = "0" * 64
"""Compared for unknown ids, so that they take as long as wrong secrets."""

MALFORMED = "This is no API key: expected `aq_`, an id, `_` and a secret with its check. Copy the whole key again."
UNKNOWN = "This server has no such API key. Use another key, or have one made with `agentq keys create`."
EXPIRED = "This API key has expired, or it was replaced by a rotation. Use its new secret, or another key."
REVOKED = "This API key was revoked. Use another key, or have one made with `agentq keys create`."


class KeyStore(AccessStore, TenantStore, Protocol):
    """The ports of keys and of the tenants to which they belong, and the clock that dates them."""

    def now(self) -> datetime:
        """Return the store's time."""


class OtherCredentials(Protocol):
    """Verifies credentials that are no API keys."""

    def accepts(self, text: str) -> bool:
        """Return whether a text looks like a credential of this kind."""

    async def verify(self, text: str) -> Principal:
        """Return the principal of a credential. Raises Unauthorized."""

    def forget(self) -> None:
        """Forget what may have changed with the keys."""


class KeyVerifier:
    """Returns the principals of API keys and other credentials, and notes which keys are used."""

    def __init__(
        self, store: KeyStore, others: Sequence["OtherCredentials"] = (), *, forgetting: Callable[[], object] = int
    ) -> None:
        """Call `forgetting`, too, whenever something that is remembered may have changed."""
        self._store = store
        self._others = others
        self._forgetting = forgetting
        self._verified: OrderedDict[bytes, Principal] = OrderedDict()
        self._generation = 0
        self.used: set[str] = set()
        """Ids of the keys that were used since the watch last stored them."""
        self.has_keys = False
        """Whether the store has a key that was not revoked, as far as this process knows."""

    def forget(self) -> None:
        """Look every key up again. Look-ups that are under way are not remembered either."""
        self._generation += 1
        self._verified.clear()
        self._forgetting()
        for each in self._others:
            each.forget()

    def find(self, text: str) -> Principal | None:
        """Return the principal of a key that was verified before and has not expired, without a query."""
        digest = _digest(text)
        principal = self._verified.get(digest)
        if principal is None or ((end := principal.ends_at) is not None and end <= self._store.now()):
            return None
        self._verified.move_to_end(digest)
        if principal.key_id is not None:
            self.used.add(principal.key_id)
        return principal

    async def verify(self, text: str) -> Principal:
        """Look a key up, or verify another credential, and return its principal.

        Raises InvalidKey, ExpiredKey, RevokedKey; the last two only to callers who have a secret of the key. A text
        whose check is wrong is refused without a query. Raises what the verifiers of other credentials raise.
        """
        generation = self._generation
        other = next((each for each in self._others if each.accepts(text)), None)
        principal = await (self._verify_key(text) if other is None else other.verify(text))
        if principal.key_id is not None:
            self.used.add(principal.key_id)
        if generation == self._generation:
            self._verified[_digest(text)] = principal
            if len(self._verified) > MAX_VERIFIED:
                self._verified.popitem(last=False)
        return principal

    async def _verify_key(self, text: str) -> Principal:
        given = parse(text)
        if given is None:
            raise InvalidKey(MALFORMED)
        key = await self._store.get_key(None, given.id)
        return _principal(key, hash_of(given.secret), self._store.now())


def _digest(text: str) -> bytes:
    """Return the hash by which a text is remembered, so that the cache keeps no secrets."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _principal(key: ApiKey | None, secret_hash: str, now: datetime) -> Principal:
    """Return the principal of a key for the caller who presents a secret with this hash, at the time `now`."""
    is_current = hmac.compare_digest(UNKNOWN_HASH if key is None else key.secret_hash, secret_hash)
    is_previous = hmac.compare_digest((key and key.previous_hash) or UNKNOWN_HASH, secret_hash)
    if key is None or not (is_current or is_previous):
        raise InvalidKey(UNKNOWN)
    if key.revoked_at is not None:
        raise RevokedKey(REVOKED)
    ends = [end for end in (key.expires_at, None if is_current else key.previous_until) if end is not None]
    expires_at = min(ends, default=None)
    if expires_at is not None and expires_at <= now:
        raise ExpiredKey(EXPIRED)
    scopes = frozenset(map(AccessScope, key.scopes))
    return Principal(
        key.tenant, scopes, key_id=key.id, key_mark=mark_of(secret_hash), expires_at=expires_at,
        webhook=webhook_of(key), key_limit=key.limits.submits_per_minute, key_quotas=key.quotas,
    )  # fmt: skip


def mark_of(secret_hash: str) -> str:
    """Return what tells a key's secrets apart, for tokens that are made with them."""
    return secret_hash[:MARK_LENGTH]


def webhook_of(key: ApiKey) -> KeyWebhook | None:
    """Return what a key adds to the messages of its callers, None for nothing."""
    if key.webhook_url is None and not key.signs_webhooks:
        return None
    return KeyWebhook(key.webhook_url, key.id if key.signs_webhooks else None)
