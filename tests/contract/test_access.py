"""API keys in the store."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from app.errors.access import KeyNotFound, KeyRevoked
from app.models.keys import NO_KEY_COUNTS, KeyCounts, KeyLimits, NewKey
from app.models.tenants import Quotas
from app.store.ports import ACCESS, Store
from tests.clock import ManualClock
from tests.contract.builders import OTHER_TENANT, TENANT, add

KEY = NewKey("a" * 12, TENANT, "ü name", ("submit", "read"), "hash")


async def test_a_key_is_read_as_it_was_stored(store: Store) -> None:
    at = store.now()
    expires_at = at + timedelta(seconds=10)
    added = await store.add_key(KEY._replace(expires_at=expires_at))
    assert added == await store.get_key(TENANT, KEY.id) == await store.get_key(None, KEY.id)
    assert added[:6] == (KEY.id, TENANT, "ü name", ("submit", "read"), at, expires_at)
    assert added[6:] == (None, None, "hash", None, None, None, False, *NO_KEY_COUNTS)


async def test_a_key_of_another_tenant_is_a_missing_one(store: Store) -> None:
    await store.add_key(KEY)
    assert await store.get_key(OTHER_TENANT, KEY.id) is None
    assert await store.list_keys(OTHER_TENANT, after="", limit=9) == []
    for tenant, key_id in ((OTHER_TENANT, KEY.id), (TENANT, "b" * 12), (None, "b" * 12)):
        with pytest.raises(KeyNotFound):
            await store.rotate_key(tenant, key_id, "other", store.now())
        with pytest.raises(KeyNotFound):
            await store.revoke_key(tenant, key_id)
    key = await store.get_key(TENANT, KEY.id)
    assert key is not None
    assert (key.revoked_at, key.secret_hash) == (None, "hash")


async def test_keys_are_listed_by_id_in_pages(store: Store) -> None:
    for name, tenant in (("c", TENANT), ("a", TENANT), ("b", OTHER_TENANT), ("B", TENANT)):
        await store.add_key(KEY._replace(id=name, tenant=tenant))
    listed = await store.list_keys(None, after="", limit=9)
    assert [key.id for key in listed] == ["B", "a", "b", "c"]
    assert [key.id for key in await store.list_keys(TENANT, after="B", limit=1)] == ["a"]
    assert [key.id for key in await store.list_keys(TENANT, after="a", limit=9)] == ["c"]


async def test_two_secrets_are_kept_while_a_key_is_rotated(store: Store) -> None:
    await store.add_key(KEY)
    until = store.now() + timedelta(hours=1)
    rotated = await store.rotate_key(TENANT, KEY.id, "second", until)
    assert (rotated.secret_hash, rotated.previous_hash, rotated.previous_until) == ("second", "hash", until)
    again = await store.rotate_key(None, KEY.id, "third", until)
    assert again == await store.get_key(TENANT, KEY.id)
    assert (again.secret_hash, again.previous_hash) == ("third", "second")


async def test_limits_and_quotas_of_a_key_are_changed_if_they_are_the_expected_ones(store: Store) -> None:
    given = KeyCounts(KeyLimits(5), Quotas(messages_per_day=7))
    added = await store.add_key(KEY._replace(limits=given.limits, quotas=given.quotas))
    assert added.counts == given
    assert await store.change_key(TENANT, KEY.id, NO_KEY_COUNTS, expected=NO_KEY_COUNTS) is None
    assert await store.get_key(TENANT, KEY.id) == added
    before = await store.access_state()
    changed = await store.change_key(None, KEY.id, NO_KEY_COUNTS, expected=given)
    assert changed == added._replace(limits=KeyLimits(), quotas=Quotas()) == await store.get_key(TENANT, KEY.id)
    assert await store.access_state() != before
    for tenant, key_id in ((OTHER_TENANT, KEY.id), (TENANT, "b" * 12)):
        with pytest.raises(KeyNotFound):
            await store.change_key(tenant, key_id, given, expected=NO_KEY_COUNTS)
    await store.revoke_key(TENANT, KEY.id)
    with pytest.raises(KeyRevoked):
        await store.change_key(TENANT, KEY.id, given, expected=NO_KEY_COUNTS)


async def test_a_revoked_key_stays_revoked(store: Store, clock: ManualClock) -> None:
    await store.add_key(KEY)
    revoked = await store.revoke_key(TENANT, KEY.id)
    assert revoked.revoked_at == store.now()
    clock.advance(1)
    assert await store.revoke_key(None, KEY.id) == revoked == await store.get_key(TENANT, KEY.id)
    with pytest.raises(KeyRevoked):
        await store.rotate_key(TENANT, KEY.id, "second", store.now())


async def test_the_last_use_is_the_latest(store: Store) -> None:
    await store.add_key(KEY)
    before = await store.access_state()
    now = store.now()
    for used_at in (now, now - timedelta(seconds=5)):
        await store.use_keys({KEY.id: used_at, "b" * 12: used_at})
    key = await store.get_key(TENANT, KEY.id)
    assert key is not None
    assert key.last_used_at == now
    assert await store.get_key(None, "b" * 12) is None
    assert await store.access_state() == before


async def test_every_change_of_keys_has_a_revision_of_its_own(store: Store) -> None:
    states = [await store.access_state()]
    changes: list[Callable[[], Awaitable[object]]] = [
        lambda: store.add_key(KEY),
        lambda: store.rotate_key(TENANT, KEY.id, "second", store.now()),
        lambda: store.add_key(KEY._replace(id="b")),
        lambda: store.revoke_key(TENANT, KEY.id),
        lambda: store.revoke_key(TENANT, "b"),
    ]
    for change in changes:
        await change()
        states.append(await store.access_state())
    assert [state.has_keys for state in states] == [False, True, True, True, True, False]
    assert len({state.revision for state in states}) == len(states)


async def test_changes_of_keys_are_hinted_to_every_process(store: Store, other_store: Store) -> None:
    changes: list[Callable[[], Awaitable[object]]] = [
        lambda: store.add_key(KEY),
        lambda: store.rotate_key(TENANT, KEY.id, "second", store.now()),
        lambda: store.revoke_key(TENANT, KEY.id),
    ]
    with other_store.subscribe(ACCESS) as hints:
        for number in range(100):  # until the other process listens
            await store.add_key(KEY._replace(id=f"first {number}"))
            if await hints.wait(0.1):
                break
    for change in changes:
        with other_store.subscribe(ACCESS) as hints:
            await change()
            assert await hints.wait(10)


async def test_the_webhook_of_a_key_is_kept_and_its_secret_is_never_read_with_the_key(store: Store) -> None:
    url = "https://example.com/hook"
    added = await store.add_key(KEY._replace(webhook_url=url, webhook_secret="whsec_secret"))
    assert (added.webhook_url, added.signs_webhooks) == (url, True)
    bare = await store.add_key(KEY._replace(id="b", webhook_url=url))
    assert (bare.webhook_url, bare.signs_webhooks) == (url, False)
    keys = [await store.get_key(TENANT, KEY.id), *await store.list_keys(None, after="", limit=9)]
    keys += [await store.rotate_key(None, KEY.id, "second", store.now()), await store.revoke_key(None, KEY.id)]
    assert "whsec_" not in repr(keys)


async def test_the_secret_of_the_key_signs_webhooks_of_its_messages(store: Store) -> None:
    await store.add_key(KEY._replace(webhook_secret="whsec_secret"))
    url = "https://example.com/hook"
    signed = await add(store, webhook_url=url, webhook_key=KEY.id)
    others = [await add(store, webhook_url=url), await add(store, webhook_url=url, webhook_key="b"), await add(store)]
    assert (await store.get(TENANT, signed.id)).webhook_key == signed.webhook_key == KEY.id
    await store.revoke_key(None, KEY.id)
    assert (await store.sender_details(signed.id)).secret == "whsec_secret", "what was accepted is reported as before"
    for message in others:
        assert (await store.sender_details(message.id)).secret is None
    assert (await store.sender_details("missing")).secret is None
