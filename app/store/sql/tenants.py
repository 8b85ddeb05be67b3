"""Keeps settings of tenants: the part that both SQL stores share."""

import json
from typing import Any, Protocol

from typing_extensions import override

from ...models.audit import NewAudit
from ...models.tenants import Tenant, TenantSettings, given_of
from ..ports import TenantStore
from ..tenants import to_tenant
from .audit import RecordedChanges
from .group_commit import GroupCommitThread
from .rooms import SqlRooms


class TenantChanges(RecordedChanges, Protocol):
    """Changes records of tenants, inside a transaction."""

    def put_tenant(self, tenant: str, settings: TenantSettings, revision: int | None) -> Tenant | None:
        """Implement `TenantStore.put_tenant`."""

    def delete_tenant(self, tenant: str) -> bool:
        """Implement `TenantStore.delete_tenant`."""


class SqlTenants(SqlRooms, TenantStore):
    """Implements `TenantStore` for both SQL stores."""

    _access_thread: GroupCommitThread
    _tenant_changes: TenantChanges

    @override
    async def get_tenant(self, tenant: str) -> Tenant | None:
        row = await self._read_thread.run(lambda: self._reads.row("get_tenant", tenant=tenant))
        return None if row is None else to_tenant(row)

    @override
    async def list_tenants(self, *, after: str, limit: int) -> list[Tenant]:
        rows = await self._list_thread.run(lambda: self._lists.rows("list_tenants", after=after, limit=limit))
        return list(map(to_tenant, rows))

    @override
    async def put_tenant(
        self, tenant: str, settings: TenantSettings, *, revision: int | None, audit: NewAudit | None = None
    ) -> Tenant | None:
        changes = self._tenant_changes
        return await self._access_thread.run(
            lambda: changes.recorded(audit, lambda: changes.put_tenant(tenant, settings, revision))
        )

    @override
    async def delete_tenant(self, tenant: str, *, audit: NewAudit | None = None) -> bool:
        changes = self._tenant_changes
        return await self._access_thread.run(lambda: changes.recorded(audit, lambda: changes.delete_tenant(tenant)))


def tenant_values(tenant: str, settings: TenantSettings) -> dict[str, Any]:
    """Return the parameters of the queries `add_tenant` and `change_tenant`, except the time and the revision."""
    counts = {name: getattr(settings, name) for name in ("limits", "quotas", "subject_quotas")}
    return {
        "tenant": tenant,
        **settings._asdict(),
        **{name: json.dumps(given_of(each)) for name, each in counts.items()},
    }
