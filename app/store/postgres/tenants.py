"""Changes records of tenants."""

from typing_extensions import override

from ...models.tenants import Tenant, TenantSettings
from ..erasures import refused_thread
from ..ports import ACCESS
from ..sql.tenants import TenantChanges, tenant_values
from ..tenants import to_tenant
from .changes import Writes
from .session import step


class TenantWrites(Writes, TenantChanges):
    """Changes records of tenants, each call in a transaction of its own."""

    @override
    def put_tenant(self, tenant: str, settings: TenantSettings, revision: int | None) -> Tenant | None:
        with self.transaction(step("lock_access"), step("running_erasures")) as (now, (_, running)):
            if (refusal := refused_thread(tenant, None, None, running)) is not None:
                raise refusal
            values = {**tenant_values(tenant, settings), "now": now}
            if revision is None:
                rows = self.rows("add_tenant", **values)
            else:
                rows = self.rows("change_tenant", **values, revision=revision)
            self._changed(bool(rows))
        return to_tenant(rows[0]) if rows else None

    @override
    def delete_tenant(self, tenant: str) -> bool:
        with self.transaction(step("lock_access")):
            deleted = bool(self.rows("delete_tenant", tenant=tenant))
            self._changed(deleted)
        return deleted

    def _changed(self, has_changed: bool) -> None:
        if has_changed:
            self.rows("raise_revision")
            self.touched.add(ACCESS)
        else:
            self.session.discard()
