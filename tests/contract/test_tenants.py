"""Settings of tenants in the store."""

import asyncio

from app.models.audit import AuditAction, AuditFilter, NewAudit
from app.models.tenants import DEFAULT_SETTINGS, Quotas, TenantLimits, TenantSettings
from app.store.ports import ACCESS, Store
from tests.clock import ManualClock

SETTINGS = TenantSettings(
    0.1,
    TenantLimits(submits_per_minute=60, queued=0),
    Quotas(tokens_per_month=10**12),
    Quotas(messages_per_day=1),
    0.5,
    36.25,
)
RECORD = NewAudit("key:k", "k", "192.0.2.1", AuditAction.CHANGE_TENANT, "ü 👍", ("ü 👍",), {"weight": 0.1})


async def test_settings_are_read_as_they_were_stored(store: Store, clock: ManualClock) -> None:
    assert await store.get_tenant("ü 👍") is None
    at = store.now()
    added = await store.put_tenant("ü 👍", SETTINGS, revision=None)
    assert added is not None
    assert added == await store.get_tenant("ü 👍")
    assert (added.tenant, added.settings, added.created_at, added.changed_at) == ("ü 👍", SETTINGS, at, at)
    clock.advance(5)
    changed = await store.put_tenant("ü 👍", DEFAULT_SETTINGS, revision=added.revision)
    assert changed is not None
    assert changed == await store.get_tenant("ü 👍")
    assert (changed.settings, changed.created_at, changed.changed_at) == (DEFAULT_SETTINGS, at, store.now())
    assert changed.revision != added.revision


async def test_settings_are_stored_only_over_the_expected_revision(store: Store) -> None:
    assert await store.put_tenant("a", SETTINGS, revision=7, audit=RECORD) is None
    assert await store.get_tenant("a") is None
    added = await store.put_tenant("a", SETTINGS, revision=None)
    assert added is not None
    assert await store.put_tenant("a", DEFAULT_SETTINGS, revision=None, audit=RECORD) is None
    assert await store.put_tenant("a", DEFAULT_SETTINGS, revision=added.revision + 1, audit=RECORD) is None
    assert await store.get_tenant("a") == added
    assert await store.list_audit(AuditFilter(), after=None, limit=9, newest_first=True) == []


async def test_one_of_many_changes_at_once_is_stored(store: Store, other_store: Store) -> None:
    added = await store.put_tenant("a", DEFAULT_SETTINGS, revision=None)
    assert added is not None
    puts = [
        each.put_tenant("a", TenantSettings(weight=number), revision=added.revision)
        for number, each in enumerate([store, other_store] * 10, 1)
    ]
    (stored,) = filter(None, await asyncio.gather(*puts))
    assert stored == await store.get_tenant("a") == await other_store.get_tenant("a")


async def test_tenants_are_listed_by_name_in_pages(store: Store) -> None:
    for name in ("c", "a", "b", "B", "ü"):
        await store.put_tenant(name, SETTINGS, revision=None)
    listed = await store.list_tenants(after="", limit=9)
    assert [each.tenant for each in listed] == ["B", "a", "b", "c", "ü"]
    assert listed[1] == await store.get_tenant("a")
    assert [each.tenant for each in await store.list_tenants(after="a", limit=2)] == ["b", "c"]
    assert await store.list_tenants(after="ü", limit=2) == []


async def test_a_deleted_record_is_gone_and_can_be_made_again(store: Store) -> None:
    added = await store.put_tenant("a", SETTINGS, revision=None)
    assert added is not None
    delete = RECORD._replace(action=AuditAction.DELETE_TENANT)
    assert await store.delete_tenant("a", audit=delete)
    assert not await store.delete_tenant("a", audit=delete)
    assert await store.get_tenant("a") is None
    assert await store.list_tenants(after="", limit=9) == []
    assert len(await store.list_audit(AuditFilter(), after=None, limit=9, newest_first=True)) == 1
    again = await store.put_tenant("a", DEFAULT_SETTINGS, revision=None)
    assert again is not None
    assert (again.settings, again.revision != added.revision) == (DEFAULT_SETTINGS, True)


async def test_a_change_and_its_record_are_stored_together(store: Store) -> None:
    await store.put_tenant("ü 👍", SETTINGS, revision=None, audit=RECORD)
    (found,) = await store.list_audit(AuditFilter(), after=None, limit=9, newest_first=True)
    assert tuple(found[2:]) == tuple(RECORD)


async def test_every_change_raises_the_revision_of_access_and_is_hinted(store: Store, other_store: Store) -> None:
    states = [await store.access_state()]
    with other_store.subscribe(ACCESS) as hints:
        for number in range(100):  # until the other process listens
            await store.put_tenant(f"first {number}", SETTINGS, revision=None)
            if await hints.wait(0.1):
                break
    added = await store.put_tenant("a", SETTINGS, revision=None)
    assert added is not None
    for change in (
        lambda: store.put_tenant("a", DEFAULT_SETTINGS, revision=added.revision),
        lambda: store.delete_tenant("a"),
    ):
        states.append(await store.access_state())
        with other_store.subscribe(ACCESS) as hints:
            await change()
            assert await hints.wait(10)
    states.append(await store.access_state())
    await store.put_tenant("b", DEFAULT_SETTINGS, revision=7)
    assert await store.access_state() == states[-1]
    assert len({each.revision for each in states}) == len(states)
