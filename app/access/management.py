"""Makes, lists, rotates and revokes API keys."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from ..errors import InvalidRequest
from ..errors.access import KeyMoved, KeyNotFound, RightsExceeded
from ..models.audit import LOCAL, Actor, AuditAction, record_of
from ..models.keys import NO_KEY_COUNTS, ApiKey, KeyCounts, NewKey
from ..models.tenants import DEFAULT_SETTINGS
from ..policy.contradictions import contradiction_of_key
from ..text import rfc3339, storable
from .keys import hash_of, new_id, new_secret, text_of
from .principals import Principal
from .scopes import AccessScope
from .verification import KeyStore

DEFAULT_SCOPES = (AccessScope.SUBMIT, AccessScope.READ, AccessScope.CONTROL)
DEFAULT_GRACE = timedelta(days=1)
"""How long the earlier secret of a rotated key stays good, unless its owner says otherwise."""

MAX_TRIES = 10
"""Maximum number of tries of a change, while others change the same key."""

MAX_NAME_LENGTH = 255
MAX_TENANT_LENGTH = 255
MAX_DAYS = 36_500


class IssuedKey(NamedTuple):
    """A key, and the text that its callers present. The text cannot be shown again."""

    key: ApiKey
    text: str


class KeyManager:
    """Makes, lists, rotates and revokes API keys. A `tenant` of None stands for all tenants.

    `by` is the caller, whose scope `admin` was checked. They may manage the keys of all tenants. A key that they make
    or rotate has no scope that they lack, and does not expire after them. None stands for the operator at the command
    line, who has all rights. The audit log names `actor`.
    """

    def __init__(self, store: KeyStore, by: Principal | None = None, actor: Actor = LOCAL) -> None:
        self._store = store
        self._by = by
        self._actor = actor

    async def create(
        self,
        tenant: str,
        name: str,
        scopes: Iterable[AccessScope],
        expires_at: datetime | None,
        *,
        webhook_url: str | None = None,
        webhook_secret: str | None = None,
        counts: KeyCounts = NO_KEY_COUNTS,
    ) -> IssuedKey:
        """Store a new key. The webhook is as in `NewKey`, and was checked before.

        Raises RightsExceeded, ErasureInProgress, and InvalidRequest if a caller gives an end in the past or very late.
        """
        wanted = set(scopes)
        now = self._store.now()
        if self._by is not None and expires_at is not None and not now < expires_at <= now + timedelta(days=MAX_DAYS):
            text = f"expected a time in the future, at most {MAX_DAYS:,} days from now"
            raise InvalidRequest(f"expires_at: {text}", field="expires_at")
        self._check_gives(wanted, expires_at)
        await self._check_counts(tenant, counts)
        key_id, secret = new_id(), new_secret()
        ordered = tuple(scope.value for scope in AccessScope if scope in wanted)
        new = NewKey(key_id, tenant, name, ordered, hash_of(secret), expires_at, webhook_url, webhook_secret, *counts)
        audit = record_of(self._actor, AuditAction.CREATE_KEY, tenant, key_id, scopes=list(ordered))
        key = await self._store.add_key(new, audit=audit)
        return IssuedKey(key, text_of(key_id, secret))

    async def get(self, tenant: str | None, key_id: str) -> ApiKey:
        """Return a key. Raises KeyNotFound, RightsExceeded."""
        self._check_caller()
        key = await self._store.get_key(tenant, _possible(key_id))
        if key is None:
            raise KeyNotFound(key_id)
        return key

    async def list(self, tenant: str | None, *, after: str = "", limit: int = 1000) -> list[ApiKey]:
        """Return a page of keys, by id. Raises RightsExceeded."""
        self._check_caller()
        return await self._store.list_keys(tenant, after=after, limit=limit)

    async def rotate(self, tenant: str | None, key_id: str, grace: timedelta = DEFAULT_GRACE) -> IssuedKey:
        """Give a key a new secret. The present secret stays good for `grace`.

        The caller gets the new secret, and with it all rights of the key. Raises KeyNotFound, KeyRevoked,
        RightsExceeded.
        """
        key = await self.get(tenant, key_id)
        self._check_gives(map(AccessScope, key.scopes), key.expires_at)
        secret = new_secret()
        audit = record_of(
            self._actor, AuditAction.ROTATE_KEY, key.tenant, key.id, grace_seconds=int(grace.total_seconds())
        )
        key = await self._store.rotate_key(tenant, key.id, hash_of(secret), self._store.now() + grace, audit=audit)
        return IssuedKey(key, text_of(key_id, secret))

    async def change(
        self, tenant: str | None, key_id: str, changes: Mapping[str, Mapping[str, int | None] | None]
    ) -> ApiKey:
        """Change limits and quotas of a key. `changes` has `limits`, `quotas` or both, with the fields to change.

        None gives a field, or all fields, the default. Raises KeyNotFound, KeyRevoked, KeyMoved, RightsExceeded, and
        InvalidRequest for limits and quotas that contradict each other or those of the tenant.
        """
        for _ in range(MAX_TRIES):
            key = await self.get(tenant, key_id)
            counts = key.counts
            for name, fields in changes.items():
                present = getattr(counts, name)
                counts = counts._replace(**{name: type(present)() if fields is None else present._replace(**fields)})
            await self._check_counts(key.tenant, counts)
            if counts == key.counts and key.revoked_at is None:
                return key
            audit = record_of(self._actor, AuditAction.CHANGE_KEY, key.tenant, key.id, **changes)
            stored = await self._store.change_key(tenant, key.id, counts, expected=key.counts, audit=audit)
            if stored is not None:
                return stored
        raise KeyMoved(key_id)

    async def _check_counts(self, tenant: str, counts: KeyCounts) -> None:
        """Raise InvalidRequest if limits and quotas of a key contradict each other or those of its tenant."""
        if counts == NO_KEY_COUNTS:
            return
        record = await self._store.get_tenant(tenant)
        found = contradiction_of_key(counts, DEFAULT_SETTINGS if record is None else record.settings)
        if found is not None:
            raise InvalidRequest(f"{found.field}: {found.text}", field=found.field)

    async def revoke(self, tenant: str | None, key_id: str) -> ApiKey:
        """Revoke a key for good. Raises KeyNotFound, RightsExceeded."""
        key = await self.get(tenant, key_id)
        audit = record_of(self._actor, AuditAction.REVOKE_KEY, key.tenant, key.id)
        return await self._store.revoke_key(tenant, key.id, audit=audit)

    def _check_caller(self) -> None:
        """Raise RightsExceeded for a caller who is narrowed to an end user, threads or agents, since no key is."""
        if self._by is not None and self._by.is_narrowed:
            raise RightsExceeded("The caller is limited to an end user, threads or agents, and may not manage keys.")

    def _check_gives(self, scopes: Iterable[AccessScope], expires_at: datetime | None) -> None:
        """Raise RightsExceeded if a key with these scopes and this end would have more rights than the caller."""
        self._check_caller()
        if self._by is None:
            return
        if lacking := [scope for scope in AccessScope if scope in set(scopes) - self._by.scopes]:
            raise RightsExceeded(f"The key would have scopes that the caller does not have: {', '.join(lacking)}.")
        end = self._by.expires_at
        if end is not None and (expires_at is None or expires_at > end):
            raise RightsExceeded(f"The key would expire after the caller, who expires at {rfc3339(end)}.")


def _possible(key_id: str) -> str:
    """Return the id of a key. Raises KeyNotFound if no store could hold it."""
    try:
        return storable(key_id)
    except ValueError:
        raise KeyNotFound(key_id) from None
