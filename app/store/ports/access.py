"""API keys."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from ...models.audit import NewAudit
from ...models.keys import AccessState, ApiKey, KeyCounts, NewKey


class AccessStore(Protocol):
    """Keeps API keys (tests/contract/test_access.py).

    Adding, changing, rotating and revoking a key raises the revision and hints at ACCESS, in the same transaction. A
    `tenant` of None stands for all tenants. A key of another tenant is like a missing one.
    """

    async def add_key(self, new: NewKey, *, audit: NewAudit | None = None) -> ApiKey:
        """Store a key. Raises ErasureInProgress if its tenant is being erased."""

    async def get_key(self, tenant: str | None, key_id: str) -> ApiKey | None:
        """Return a key, also an expired or revoked one; None if there is none."""

    async def list_keys(self, tenant: str | None, *, after: str, limit: int) -> list[ApiKey]:
        """Return up to `limit` keys with ids above `after`, by id, also expired and revoked ones."""

    async def rotate_key(
        self,
        tenant: str | None,
        key_id: str,
        secret_hash: str,
        previous_until: datetime,
        *,
        audit: NewAudit | None = None,
    ) -> ApiKey:
        """Give a key a new secret. Its present secret stays good until `previous_until`, an earlier one ends at once.

        Raises KeyNotFound, KeyRevoked.
        """

    async def change_key(
        self,
        tenant: str | None,
        key_id: str,
        counts: KeyCounts,
        *,
        expected: KeyCounts,
        audit: NewAudit | None = None,
    ) -> ApiKey | None:
        """Give a key other limits and quotas, if it has the expected ones. Otherwise, change nothing and return None.

        Raises KeyNotFound, KeyRevoked.
        """

    async def revoke_key(self, tenant: str | None, key_id: str, *, audit: NewAudit | None = None) -> ApiKey:
        """Revoke a key for good. A second call changes nothing. Raises KeyNotFound."""

    async def use_keys(self, used: Mapping[str, datetime]) -> None:
        """Store when keys were last used, by their ids. An earlier time than the stored one changes nothing."""

    async def access_state(self) -> AccessState:
        """Return the revision, which differs after every change of keys, and whether any key is not revoked."""
