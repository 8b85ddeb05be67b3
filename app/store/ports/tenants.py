"""Settings of tenants."""

from typing import Protocol

from ...models.audit import NewAudit
from ...models.tenants import Tenant, TenantSettings


class TenantStore(Protocol):
    """Keeps a record for each tenant that was given settings (tests/contract/test_tenants.py).

    Every change raises the revision of `AccessStore.access_state` and hints at ACCESS, in the same transaction.
    """

    async def get_tenant(self, tenant: str) -> Tenant | None:
        """Return the record of a tenant, None if there is none."""

    async def list_tenants(self, *, after: str, limit: int) -> list[Tenant]:
        """Return up to `limit` records of tenants with names above `after`, in the order of the names' bytes."""

    async def put_tenant(
        self, tenant: str, settings: TenantSettings, *, revision: int | None, audit: NewAudit | None = None
    ) -> Tenant | None:
        """Store the settings of a tenant, if its record has this revision; with None, if there is no record.

        Return the new record. Otherwise, change nothing and return None. Raises ErasureInProgress if
        the tenant is being erased.
        """

    async def delete_tenant(self, tenant: str, *, audit: NewAudit | None = None) -> bool:
        """Delete the record of a tenant. Return whether there was one. Nothing else of the tenant is deleted."""
