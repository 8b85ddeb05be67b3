from datetime import UTC, datetime, timedelta

from app.access.limits import LimitRules, SubmitLimits
from app.access.principals import ANONYMOUS
from app.errors import ThreadNotFound
from app.models.audit import NewAudit
from app.models.messages import NewMessage, Thread
from app.models.tenants import Quotas, Tenant, TenantSettings
from app.store.ports import TenantStore

EVENING = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)


class OneTenant(TenantStore):
    """A tenant with quotas of messages, at a time that the test sets."""

    def __init__(self, quotas: Quotas) -> None:
        self.moment = EVENING
        self._settings = TenantSettings(quotas=quotas)

    def now(self) -> datetime:
        return self.moment

    async def get_tenant(self, tenant: str) -> Tenant | None:
        return Tenant(tenant, self._settings, revision=1, created_at=EVENING, changed_at=EVENING)

    async def list_tenants(self, *, after: str, limit: int) -> list[Tenant]:
        raise NotImplementedError

    async def put_tenant(
        self, tenant: str, settings: TenantSettings, *, revision: int | None, audit: NewAudit | None = None
    ) -> Tenant | None:
        raise NotImplementedError

    async def delete_tenant(self, tenant: str, *, audit: NewAudit | None = None) -> bool:
        raise NotImplementedError

    async def get_thread(self, tenant: str, thread_id: str) -> Thread:
        raise ThreadNotFound(thread_id)


async def test_a_submit_of_another_day_or_month_counts_against_its_own_quota() -> None:
    store = OneTenant(Quotas(messages_per_day=5, messages_per_month=9))
    limits = SubmitLimits(store, LimitRules(per_tenant=7))

    async def periods() -> list[str]:
        rules = await limits.of(ANONYMOUS, [NewMessage("Hello")], None)
        return [each.name.rpartition(":")[2] for each in rules.limits if each.period is not None]

    assert await periods() == await periods() == ["2026-11-30", "2026-11"]
    store.moment += timedelta(seconds=1)
    assert await periods() == await periods() == ["2026-12-01", "2026-12"]
    store.moment += timedelta(days=1)
    assert await periods() == ["2026-12-02", "2026-12"]
