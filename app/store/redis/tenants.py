"""Keeps settings of tenants."""

import json

from typing_extensions import override

from ...errors.erasures import ErasureInProgress
from ...models.audit import NewAudit
from ...models.erasures import ErasureKind
from ...models.tenants import Tenant, TenantSettings, given_of
from ..ports import ACCESS, TenantStore
from . import replies
from .rooms import RedisRooms


class RedisTenants(RedisRooms, TenantStore):
    """Implements `TenantStore` on Redis."""

    @override
    async def get_tenant(self, tenant: str) -> Tenant | None:
        reply = await self._reads.run("get_tenant", tenant)
        return None if reply is None else replies.tenant(reply)

    @override
    async def list_tenants(self, *, after: str, limit: int) -> list[Tenant]:
        begin = f"({after}" if after else "-"
        return list(map(replies.tenant, await self._reads.run("list_tenants", begin, limit)))

    @override
    async def put_tenant(
        self, tenant: str, settings: TenantSettings, *, revision: int | None, audit: NewAudit | None = None
    ) -> Tenant | None:
        retention = (settings.retention_days, settings.event_retention_hours)
        reply = await self._writes.run(
            "put_tenant", self._now(), tenant, "" if revision is None else revision, repr(settings.weight),
            *(json.dumps(given_of(each)) for each in (settings.limits, settings.quotas, settings.subject_quotas)),
            *("" if each is None else repr(each) for each in retention),
            topics=lambda reply: (ACCESS,) if isinstance(reply, list) else (), audit=self._record(audit),
        )  # fmt: skip
        if reply == "erasing":
            raise ErasureInProgress(ErasureKind.TENANT)
        return None if reply is None else replies.tenant(reply)

    @override
    async def delete_tenant(self, tenant: str, *, audit: NewAudit | None = None) -> bool:
        return bool(
            await self._writes.run(
                "delete_tenant", self._now(), tenant,
                topics=lambda reply: (ACCESS,) if reply else (), audit=self._record(audit),
            )
        )  # fmt: skip
