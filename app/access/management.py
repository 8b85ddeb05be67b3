"""Makes, lists, rotates and revokes API keys."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from ..models.keys import ApiKey, NewKey
from .keys import hash_of, new_id, new_secret, text_of
from .scopes import AccessScope
from .verification import KeyStore

DEFAULT_GRACE = timedelta(days=1)
"""How long the earlier secret of a rotated key stays good, unless its owner says otherwise."""


class IssuedKey(NamedTuple):
    """A key, and the text that its callers present. The text cannot be shown again."""

    key: ApiKey
    text: str


class KeyManager:
    """Makes, lists, rotates and revokes API keys. A `tenant` of None stands for all tenants."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store

    async def create(
        self, tenant: str, name: str, scopes: Iterable[AccessScope], expires_at: datetime | None
    ) -> IssuedKey:
        """Store a new key."""
        key_id, secret = new_id(), new_secret()
        ordered = tuple(scope.value for scope in AccessScope if scope in set(scopes))
        key = await self._store.add_key(NewKey(key_id, tenant, name, ordered, hash_of(secret), expires_at))
        return IssuedKey(key, text_of(key_id, secret))

    async def list(self, tenant: str | None, *, after: str = "", limit: int = 1000) -> list[ApiKey]:
        """Return a page of keys, by id."""
        return await self._store.list_keys(tenant, after=after, limit=limit)

    async def rotate(self, tenant: str | None, key_id: str, grace: timedelta = DEFAULT_GRACE) -> IssuedKey:
        """Give a key a new secret. The present secret stays good for `grace`. Raises KeyNotFound, KeyRevoked."""
        secret = new_secret()
        key = await self._store.rotate_key(tenant, key_id, hash_of(secret), self._store.now() + grace)
        return IssuedKey(key, text_of(key_id, secret))

    async def revoke(self, tenant: str | None, key_id: str) -> ApiKey:
        """Revoke a key for good. Raises KeyNotFound."""
        return await self._store.revoke_key(tenant, key_id)
