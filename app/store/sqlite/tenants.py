"""Changes records of tenants."""

from typing_extensions import override

from ...models.tenants import Tenant, TenantSettings
from ..erasures import refused_thread
from ..ports import ACCESS
from ..sql.tenants import TenantChanges, tenant_values
from ..tenants import to_tenant
from .changes import Changes


class TenantWrites(Changes, TenantChanges):
    """Changes records of tenants, inside a transaction."""

    @override
    def put_tenant(self, tenant: str, settings: TenantSettings, revision: int | None) -> Tenant | None:
        if (refusal := refused_thread(tenant, None, None, self.rows("running_erasures"))) is not None:
            raise refusal
        values = {**tenant_values(tenant, settings), "now": self._now()}
        if revision is None:
            row = self.row("add_tenant", **values)
        else:
            row = self.row("change_tenant", **values, revision=revision)
        self._changed(row is not None)
        return None if row is None else to_tenant(row)

    @override
    def delete_tenant(self, tenant: str) -> bool:
        deleted = self.row("delete_tenant", tenant=tenant) is not None
        self._changed(deleted)
        return deleted

    def _changed(self, has_changed: bool) -> None:
        self._changes_nothing = not has_changed
        if has_changed:
            self.execute("raise_revision")
            self.touched.add(ACCESS)
