"""Items: what agents keep across threads, by namespace and key."""

import asyncio
from collections.abc import Awaitable, Sequence
from random import Random
from typing import Any

import pytest

from app.errors import LeaseLost
from app.models.items import ItemName, ItemSearch, ItemWrite, NamespaceListing, NamespaceMatch
from app.policy.items import compiled as compiled_filter
from app.policy.items import deleted_item, matches
from app.store import items as shared_items
from app.store.limits import PAGE_TEXT_LENGTH
from app.store.ports import Store
from app.store.redis import items as redis_items
from app.store.sql import items as sql_items
from tests.clock import ManualClock
from tests.contract.builders import (
    ALL,
    CANCELLED,
    DONE,
    FAILED,
    INTERRUPTED,
    LEASE_SECONDS,
    OTHER_TENANT,
    RELEASED,
    RETRIED,
    TENANT,
    claim_one,
    start,
)
from tests.contract.item_tools import get, keys, put

A, AB, B = ("a",), ("a", "b"), ("b",)


async def names(store: Store, tenant: str = TENANT, **listing: Any) -> list[tuple[str, ...]]:
    return await store.list_namespaces(tenant, NamespaceListing(**listing))


async def test_an_item_is_read_as_it_was_stored(store: Store, clock: ManualClock) -> None:
    value: dict[str, Any] = {
        "text": 'ü 🙂 "quoted" \\ \n',
        "n": [1, 2.5, -0.0, 1e300, 2**64, True, None, {}, []],
        "": {"ä.b": "c"},
    }
    await put(store, AB, "k\n ü", value)
    item = await get(store, AB, "k\n ü")
    assert item is not None
    assert (item.namespace, item.key, item.ttl_ms) == (AB, "k\n ü", None)
    assert (await get(store, AB, "k")) is None
    clock.advance(1)
    await put(store, AB, "k\n ü", {"new": 1})
    again = await get(store, AB, "k\n ü")
    assert again is not None
    assert (again.value, again.created_at) == ('{"new":1}', item.created_at)
    assert (again.updated_at - item.updated_at).total_seconds() == 1
    assert item.value == (
        '{"text":"ü 🙂 \\"quoted\\" \\\\ \\n","n":[1,2.5,-0.0,1e+300,18446744073709551616,true,null,{},[]],'
        '"":{"ä.b":"c"}}'
    )


async def test_a_deleted_item_is_gone(store: Store) -> None:
    await put(store, A, "k")
    await put(store, A, "other")
    await store.put_items(TENANT, [deleted_item(A, "k"), deleted_item(B, "unknown")])
    assert await get(store, A, "k") is None
    assert await keys(store) == ["other"]


async def test_of_writes_with_one_name_the_last_counts(store: Store) -> None:
    writes = [ItemWrite(A, "k", '{"n":1}'), ItemWrite(A, "k", None), ItemWrite(A, "k", '{"n":2}')]
    await store.put_items(TENANT, [*writes, ItemWrite(A, "gone", "{}"), ItemWrite(A, "gone", None)])
    item = await get(store, A, "k")
    assert item is not None
    assert (item.value, await keys(store)) == ('{"n":2}', ["k"])


async def test_each_tenant_has_its_own_items(store: Store) -> None:
    await put(store, A, "k", {"of": "us"})
    await put(store, A, "k", {"of": "them"}, tenant=OTHER_TENANT)
    await put(store, B, "k", tenant=OTHER_TENANT)
    ours, theirs = await get(store, A, "k"), await get(store, A, "k", OTHER_TENANT)
    assert ours is not None
    assert theirs is not None
    assert (ours.value, theirs.value) == ('{"of":"us"}', '{"of":"them"}')
    assert (await names(store), await names(store, OTHER_TENANT)) == ([A], [A, B])
    await store.put_items(TENANT, [deleted_item(A, "k")])
    assert (await keys(store), await keys(store, tenant=OTHER_TENANT)) == ([], ["k", "k"])


async def test_a_search_finds_a_namespace_and_what_is_inside(store: Store, clock: ManualClock) -> None:
    for namespace in (
        A,
        AB,
        ("ab",),
        ("a-", "b"),
        ("a", "b", "c"),
        ("b", "a"),
        ("A",),
        ("a_",),
        ("a%",),
        ("\U0010ffff",),
    ):
        await put(store, namespace, ".".join(namespace))
        clock.advance(1)
    assert await keys(store, A) == ["a.b.c", "a.b", "a"]
    assert await keys(store, AB) == ["a.b.c", "a.b"]
    assert await keys(store, ("a_",)) == ["a_"]
    assert await keys(store, ("c",)) == []
    assert len(await keys(store)) == 10


async def test_pages_of_a_search_are_in_the_order_of_the_last_update(store: Store, clock: ManualClock) -> None:
    for number in range(7):
        await put(store, AB if number % 2 else A, f"{number}")
        clock.advance(number % 3)
    await put(store, A, "0")
    whole = await keys(store)
    assert whole == ["0", "6", "5", "4", "3", "2", "1"]
    assert [await keys(store, limit=2, offset=offset) for offset in range(0, 8, 2)] == [
        whole[0:2], whole[2:4], whole[4:6], whole[6:],
    ]  # fmt: skip
    assert await keys(store, limit=0) == await keys(store, offset=7) == []


FILTERS: list[tuple[dict[str, Any], set[str]]] = [
    ({"n": 1}, {"one"}),
    ({"n": 1.0}, {"one"}),
    ({"n": True}, {"yes"}),
    ({"n": False}, set()),
    ({"n": "1"}, {"text"}),
    ({"n": None}, {"null", "missing", "inner"}),
    ({"n": {"$eq": 1}}, {"one"}),
    ({"n": {"$ne": 1}}, {"yes", "text", "null", "missing", "two", "inner"}),
    ({"n": {"$ne": None}}, {"one", "yes", "text", "two"}),
    ({"n": {"$gt": 1}}, {"two"}),
    ({"n": {"$gte": 1}}, {"one", "two"}),
    ({"n": {"$lt": 2.5}}, {"one"}),
    ({"n": {"$lte": 2.5, "$gt": 0}}, {"one", "two"}),
    ({"n": {"$gt": "0"}}, {"text"}),
    ({"n": {"$lt": "10"}}, {"text"}),
    ({"n": 1, "other": "x"}, set()),
    ({"inner": {"name": "é"}}, {"inner"}),
    ({"inner": {"name": {"$gte": "e"}}}, {"inner"}),
    ({"inner": {"missing": {"$ne": 1}}}, {"inner"}),
    ({"inner": {}}, {"inner"}),
    ({"inner": {"$eq": {"name": "é", "list": [1, {"a": None}, []], "0": 0}}}, {"inner"}),
    ({"inner": {"$eq": {"name": "é", "list": [1, {"a": None}, []]}}}, set()),
    ({"inner": {"$ne": {"name": "é", "list": [1, {"b": None}, []], "0": 0}, "$gt": 1}}, set()),
    ({"inner": {"list": [1, {}, []]}}, {"inner"}),
    ({"inner": {"list": [{"$gt": 0}, {"a": None}, {"$eq": []}]}}, {"inner"}),
    ({"inner": {"list": [1, {"a": None}]}}, set()),
    ({"inner": {"list": {"0": 1}}}, set()),
    ({"inner": {"$ne": {"list": 1}}}, {"one", "yes", "text", "null", "missing", "two", "inner"}),
    ({'"q\\u.[0]': "x"}, {"two"}),
    ({"🙂": "🙂"}, {"two"}),
    ({"empty": []}, {"one"}),
    ({"empty": {}}, {"two"}),
    ({"empty": {"$eq": {}}}, {"two"}),
]


async def test_a_filter_selects_by_the_parts_of_the_value(store: Store) -> None:
    values: dict[str, dict[str, Any]] = {
        "one": {"n": 1, "empty": []},
        "yes": {"n": True},
        "text": {"n": "1"},
        "null": {"n": None},
        "missing": {},
        "two": {"n": 2.5, '"q\\u.[0]': "x", "🙂": "🙂", "empty": {}},
        "inner": {"inner": {"name": "é", "list": [1, {"a": None}, []], "0": 0}},
    }
    for key, value in values.items():
        await put(store, A, key, value)
    found = [set(await keys(store, A, wanted)) for wanted, _ in FILTERS]
    assert found == [expected for _, expected in FILTERS]
    assert [{key for key in values if matches(values[key], compiled_filter(wanted))} for wanted, _ in FILTERS] == found


async def test_a_page_of_filtered_items_has_its_limit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_items, "ITEMS_AT_ONCE", 7)
    for number in range(40):
        await put(store, A, f"{number:02}", {"odd": number % 2 == 1})
    odd = [f"{number:02}" for number in range(1, 40, 2)]
    assert await keys(store, A, {"odd": True}) == odd
    assert await keys(store, A, {"odd": True}, limit=5, offset=10) == odd[10:15]


async def test_a_page_ends_early_when_its_values_are_long(store: Store) -> None:
    for number in range(6):
        await put(store, A, f"{number}", {"text": "é" * (PAGE_TEXT_LENGTH // 8 - 100), "n": number})
    for wanted in (None, {"n": {"$gte": 0}}):
        found = await keys(store, A, wanted)
        assert found == [f"{number}" for number in range(len(found))]
        assert len(found) == 5
        assert await keys(store, A, wanted, offset=5) == ["5"]


async def test_namespaces_are_listed_in_the_order_of_their_labels(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_items, "NAMESPACES_AT_ONCE", 2)
    given = [("b",), ("a", "b", "c"), ("a",), ("a-",), ("a", "b", "d"), ("a", "c", "c"), ("ä", "c"), ("c", "b", "c")]
    for namespace in given:
        await put(store, namespace, "1")
        await put(store, namespace, "2")
    assert await names(store) == sorted(given)
    assert await names(store, max_depth=1) == [("a",), ("a-",), ("b",), ("c",), ("ä",)]
    assert await names(store, max_depth=2) == [
        ("a",), ("a", "b"), ("a", "c"), ("a-",), ("b",), ("c", "b"), ("ä", "c"),
    ]  # fmt: skip
    assert await names(store, max_depth=0) == [()]
    for size in (1, 3):
        pages = [await names(store, limit=size, offset=offset) for offset in range(0, 9, size)]
        assert [name for page in pages for name in page] == sorted(given)
    assert await names(store, limit=0) == []


async def test_namespaces_are_matched_by_their_beginning_and_end(store: Store) -> None:
    for namespace in (A, AB, ("a", "b", "c"), ("a", "x", "c"), ("b", "c"), ("ab", "b", "c")):
        await put(store, namespace, "k")

    async def matching(*matches: tuple[str, tuple[str, ...]], **listing: Any) -> list[tuple[str, ...]]:
        return await names(store, matches=tuple(NamespaceMatch(*each) for each in matches), **listing)  # type: ignore[arg-type]  # the side is a literal

    assert await matching(("prefix", A)) == [A, AB, ("a", "b", "c"), ("a", "x", "c")]
    assert await matching(("prefix", ("*", "b"))) == [AB, ("a", "b", "c"), ("ab", "b", "c")]
    assert await matching(("suffix", ("b", "c"))) == [("a", "b", "c"), ("ab", "b", "c"), ("b", "c")]
    assert await matching(("suffix", ("*", "c")), ("prefix", A)) == [("a", "b", "c"), ("a", "x", "c")]
    assert await matching(("suffix", ("c",)), max_depth=1) == [("a",), ("ab",), ("b",)]
    assert await matching(("prefix", ("a", "*", "c"))) == [("a", "b", "c"), ("a", "x", "c")]
    assert await matching(("prefix", ("c",))) == []


# Time to live


async def test_an_expired_item_is_never_shown(store: Store, clock: ManualClock) -> None:
    await put(store, A, "short", {"n": 1}, ttl=1)
    await put(store, A, "long", {"n": 1}, ttl=2)
    await put(store, B, "short", ttl=1)
    first = await get(store, A, "short")
    clock.advance(59.999)
    assert await keys(store, A, {"n": 1}) == ["long", "short"]
    clock.advance(0.001)
    assert await get(store, A, "short") is None
    assert await keys(store) == await keys(store, A, {"n": 1}) == ["long"]
    assert await names(store) == [A]
    await put(store, A, "short")
    again = await get(store, A, "short")
    assert first is not None
    assert again is not None
    assert (again.created_at - first.created_at).total_seconds() == 60
    clock.advance(1_000)
    assert await keys(store) == ["short"]


async def test_a_refreshed_item_lives_longer(store: Store, clock: ManualClock) -> None:
    for key, ttl in (("refreshed", 1), ("other", 1), ("for ever", None)):
        await put(store, A, key, ttl=ttl)
    before = await get(store, A, "refreshed")
    clock.advance(50)
    assert before is not None
    await store.refresh_items(
        TENANT, [before.name, before.name._replace(key="for ever"), before.name._replace(key="?")]
    )
    clock.advance(50)
    assert await keys(store) == ["for ever", "refreshed"]
    assert await get(store, A, "refreshed") == before
    clock.advance(10)
    await store.refresh_items(TENANT, [before.name])
    assert await keys(store) == ["for ever"], "an expired item does not come back"


async def test_a_write_without_a_time_to_live_ends_the_old_one(store: Store, clock: ManualClock) -> None:
    await put(store, A, "k", ttl=1)
    await put(store, A, "k")
    clock.advance(1_000)
    assert await keys(store) == ["k"]
    assert await store.prune_items(limit=ALL) == 0
    await put(store, A, "k", ttl=1)
    clock.advance(60)
    assert await keys(store) == []


async def test_expired_items_are_pruned(store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_items, "PRUNED_ITEMS_AT_ONCE", 2)
    monkeypatch.setattr(redis_items, "ITEMS_AT_ONCE", 2)
    for number in range(7):
        await put(store, A, f"{number}", ttl=1, tenant=(TENANT, OTHER_TENANT)[number % 2])
    await put(store, A, "stays", ttl=2)
    assert await store.prune_items(limit=ALL) == 0
    clock.advance(60)
    assert [await store.prune_items(limit=3), await store.prune_items(limit=ALL), await store.prune_items(limit=1)] == [
        3, 4, 0,
    ]  # fmt: skip
    assert (await keys(store), await keys(store, tenant=OTHER_TENANT)) == (["stays"], [])


# Leases


async def test_the_holder_of_a_lease_writes(store: Store) -> None:
    lease = await start(store)
    await put(store, A, "k", lease=lease)
    assert await keys(store) == ["k"]


async def test_an_agent_writes_after_it_has_answered(store: Store) -> None:
    lease = await start(store)
    await store.finish(lease, DONE)
    await put(store, A, "k", lease=lease)
    assert await keys(store) == ["k"]


@pytest.mark.parametrize(
    "outcome", [RELEASED, RETRIED, INTERRUPTED, FAILED, CANCELLED], ids=lambda each: type(each).__name__
)
async def test_an_attempt_without_an_answer_writes_nothing_once_it_has_ended(store: Store, outcome: Any) -> None:
    lease = await start(store)
    await store.finish(lease, outcome)
    await refused(store, lease)


async def test_an_attempt_that_was_rescued_writes_nothing(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    clock.advance(LEASE_SECONDS)
    await store.rescue()
    await refused(store, lease)
    again = await claim_one(store, worker="worker 2")
    await refused(store, lease)
    await put(store, A, "new", lease=again)
    assert await keys(store) == ["kept", "new"]


async def test_the_attempt_of_a_purged_message_writes_nothing(store: Store) -> None:
    lease = await start(store)
    await store.finish(lease, FAILED)
    await store.purge(TENANT, [lease.message_id])
    await refused(store, lease)


async def refused(store: Store, lease: Any) -> None:
    """Nothing of a call is done."""
    await put(store, A, "kept")
    with pytest.raises(LeaseLost):
        await store.put_items(TENANT, [ItemWrite(A, "k", "{}"), ItemWrite(A, "kept", None)], lease=lease)
    assert await get(store, A, "kept") is not None
    assert await get(store, A, "k") is None


async def test_calls_that_cross_do_not_block_each_other(store: Store, other_store: Store) -> None:
    random = Random(1)

    def call(each: Store) -> Awaitable[None]:
        chosen = [ItemName(A, f"{key:02}") for key in random.sample(range(20), 12)]
        values: Sequence[str | None] = random.choice([(), ("{}",), (None,), ("{}", None)])
        if not values:
            return each.refresh_items(TENANT, chosen)
        return each.put_items(TENANT, [ItemWrite(*name, random.choice(values), 60_000) for name in chosen])

    await asyncio.gather(*(call(each) for _ in range(400) for each in (store, other_store)))
    assert set(await keys(store)) <= {f"{key:02}" for key in range(20)}


async def test_many_items_are_written_at_once(store: Store) -> None:
    await store.put_items(TENANT, [ItemWrite(A, f"{number:04}", "{}") for number in range(3_000)])
    found = await store.search_items(TENANT, ItemSearch(A, limit=ALL))
    assert [each.key for each in found] == [f"{number:04}" for number in range(3_000)]
    got = await store.get_items(TENANT, [each.name for each in found])
    assert got == found
