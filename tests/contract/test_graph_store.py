"""The store that graphs get: what LangGraph says of batches, times to live and names."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    Item,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchItem,
    SearchOp,
)

from app.errors import InvalidRequest, LeaseLost
from app.errors.items import InvalidItem
from app.models.items import MAX_TTL_MINUTES, ItemTtl
from app.policy.items import MAX_FILTER_CONDITIONS
from app.store import limits
from app.store.ports import Store
from app.store.redis import items as redis_items
from app.store.sql import items as sql_items
from tests.clock import ManualClock
from tests.contract.builders import ALL, LEASE_SECONDS, OTHER_TENANT, start
from tests.contract.item_tools import MAX_VALUE_BYTES, get, graph_store, keys, put

A, B = ("a",), ("b",)


async def test_reads_of_a_batch_see_what_was_there_before_its_writes(store: Store) -> None:
    graph = graph_store(store)
    await graph.aput(A, "old", {"n": 1})
    results = await graph.abatch(
        [
            PutOp(A, "new", {"n": 2}),
            GetOp(A, "new"),
            GetOp(A, "old"),
            PutOp(A, "old", None),
            SearchOp(A),
            PutOp(A, "new", {"n": 3}),
            ListNamespacesOp(),
            PutOp(B, "other", {}),
        ]
    )
    assert [results[0], results[1], results[3], results[5], results[7]] == [None] * 5
    found, listed = results[2], results[4]
    assert isinstance(found, Item)
    assert (found.key, found.value) == ("old", {"n": 1})
    assert isinstance(listed, list)
    assert [type(each) for each in listed] == [SearchItem]
    assert results[6] == [A]
    new = await graph.aget(A, "new")
    assert new is not None
    assert (new.value, await graph.aget(A, "old")) == ({"n": 3}, None)


async def test_a_batch_with_a_wrong_operation_does_nothing(store: Store) -> None:
    wrong: Any = "no operation"
    for last in (PutOp(("a.b",), "k", {}), SearchOp(A, {"n": {"$near": 1}}), PutOp(A, "k", {"n": {1}}), wrong):
        with pytest.raises((InvalidItem, TypeError)):
            await graph_store(store).abatch([PutOp(A, "k", {}), last])
    assert await keys(store) == []


async def test_times_are_those_of_the_queue(store: Store, clock: ManualClock) -> None:
    graph = graph_store(store)
    await graph.aput(A, "k", {})
    clock.advance(1.5)
    await graph.aput(A, "k", {"n": 1})
    (found,) = await graph.asearch(())
    assert found.updated_at - found.created_at == timedelta(seconds=1.5)
    assert found.created_at.tzinfo is not None
    assert found.score is None


async def test_a_read_begins_the_time_to_live_again_unless_told_otherwise(store: Store, clock: ManualClock) -> None:
    graph = graph_store(store)
    for key in ("got", "found", "neither"):
        await graph.aput(A, key, {"key": key}, ttl=1)
    for _ in range(3):
        clock.advance(50)
        assert await graph.aget(A, "got") is not None
        assert len(await graph.asearch(A, filter={"key": "found"})) == 1
    assert await keys(store) == ["found", "got"]
    clock.advance(50)
    assert await graph.aget(A, "got", refresh_ttl=False) is not None
    assert len(await graph.asearch(A, refresh_ttl=False)) == 2
    clock.advance(10)
    assert await keys(store) == []


async def test_the_settings_say_when_items_expire(store: Store, clock: ManualClock) -> None:
    graph = graph_store(store, ttl=ItemTtl(default_minutes=2, refresh_on_read=False))
    await graph.aput(A, "default", {})
    await graph.aput(A, "short", {}, ttl=1)
    await graph.aput(A, "never", {}, ttl=None)
    clock.advance(59)
    assert len(await graph.asearch(A)) == 3
    clock.advance(1)
    assert await keys(store) == ["default", "never"]
    assert await graph.aget(A, "default", refresh_ttl=True) is not None
    clock.advance(119)
    assert await keys(store) == ["default", "never"]
    clock.advance(1)
    assert await keys(store) == ["never"]


async def test_a_query_and_an_index_have_no_effect(store: Store) -> None:
    graph = graph_store(store)
    await graph.aput(A, "k", {"text": "x"}, index=["text"])
    await graph.aput(A, "other", {"text": "y"}, index=False)
    assert {each.key for each in await graph.asearch(A, query="x")} == {"k", "other"}


async def test_long_values_do_not_shorten_a_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (limits, sql_items, redis_items):
        monkeypatch.setattr(module, "PAGE_TEXT_LENGTH", 100)
    graph = graph_store(store)
    for number in range(10):
        await graph.aput(A, f"{number}", {"text": "x" * 60})
    assert len(await keys(store)) < 10
    assert [each.key for each in await graph.asearch(A, limit=8, offset=1)] == [f"{number}" for number in range(1, 9)]


NAMES: list[tuple[Any, ...]] = [(), ("",), ("a", ""), ("a.b",), ("langgraph",), ("langgraph", "a"), (1,), ("a", None)]


@pytest.mark.parametrize("namespace", NAMES, ids=str)
async def test_names_that_langgraph_refuses_are_refused(store: Store, namespace: tuple[Any, ...]) -> None:
    graph = graph_store(store)
    with pytest.raises(InvalidNamespaceError):
        await graph.aput(namespace, "k", {})
    with pytest.raises(InvalidItem):
        await graph.abatch([PutOp(namespace, "k", {})])
    assert await keys(store) == []


WRONG: list[tuple[Any, str]] = [
    (PutOp(("a\x01",), "k", {}), "namespace"),
    (PutOp(("a\ud800",), "k", {}), "namespace"),
    (PutOp(("x" * 1_022, "x"), "k", {}), "namespace"),
    (PutOp(("x",) * 33, "k", {}), "namespace"),
    (PutOp(A, "é" * 513, {}), "key"),
    (PutOp(A, "\x00", {}), "key"),
    (PutOp(A, "k", {"a": float("nan")}), "value"),
    (PutOp(A, "k", {"a": {"b": b"x"}}), "value.a.b"),
    (PutOp(A, "k", {1: "x"}), "value"),  # type: ignore[dict-item]  # what LangGraph would change silently
    (PutOp(A, "k", {"a": 2**1_023}), "value.a"),
    (PutOp(A, "k", {"a": "\x00"}), "value"),
    (PutOp(A, "k", {"a": "x" * MAX_VALUE_BYTES}), "value"),
    (PutOp(A, "k", {}, ttl=0), "ttl"),
    (PutOp(A, "k", {}, ttl=float("nan")), "ttl"),
    (PutOp(A, "k", {}, ttl=MAX_TTL_MINUTES + 1), "ttl"),
    (SearchOp(A, limit=-1), "limit"),
    (SearchOp(A, offset=-1), "offset"),
    (SearchOp(("a.b",)), "namespace_prefix"),
    (SearchOp(A, {"n": {"$gt": True}}), "filter.n.$gt"),
    (SearchOp(A, {"n": list(range(MAX_FILTER_CONDITIONS))}), "filter"),
    (ListNamespacesOp(max_depth=-1), "max_depth"),
    (ListNamespacesOp(limit=10**10), "limit"),
    (ListNamespacesOp((MatchCondition("suffix", ("",)),)), "suffix"),
]


@pytest.mark.parametrize(("op", "field"), WRONG, ids=lambda each: str(each)[:40])
async def test_what_cannot_be_stored_or_asked_is_refused_with_its_field(op: Any, field: str) -> None:
    nothing: Any = None  # it is refused before the store is called
    with pytest.raises(InvalidItem) as refused:
        await graph_store(nothing).abatch([op])
    assert refused.value.field == field
    assert isinstance(refused.value, InvalidRequest)


async def test_the_longest_names_are_stored(store: Store) -> None:
    namespace = ("x" * 1_022,)
    await put(store, namespace, "é" * 512, tenant="t" * 255)
    assert await get(store, namespace, "é" * 512, "t" * 255) is not None
    assert await keys(store, tenant="t" * 255) == ["é" * 512]
    deepest = tuple(str(number) for number in range(32))
    await put(store, deepest, "k")
    assert await get(store, deepest, "k") is not None


async def test_a_value_that_has_no_end_is_refused(store: Store) -> None:
    endless: dict[str, Any] = {}
    endless["a"] = [endless]
    deep: dict[str, Any] = {}
    for _ in range(10_000):
        deep = {"a": deep}
    for value in (endless, deep):
        with pytest.raises(InvalidItem, match="nested more than 100 deep"):
            await graph_store(store).aput(A, "k", value)


async def test_each_tenant_has_a_store_of_its_own(store: Store) -> None:
    ours, theirs = graph_store(store), graph_store(store, tenant=OTHER_TENANT)
    await ours.aput(A, "k", {})
    assert await theirs.asearch(()) == await theirs.alist_namespaces() == []
    await theirs.adelete(A, "k")
    assert await ours.aget(A, "k") is not None


async def test_an_attempt_that_lost_its_lease_writes_nothing_and_may_read(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    graph = graph_store(store, lease=lease)
    await graph.aput(A, "k", {})
    clock.advance(LEASE_SECONDS)
    await store.rescue()
    with pytest.raises(LeaseLost):
        await graph.aput(A, "late", {})
    with pytest.raises(LeaseLost):
        await graph.adelete(A, "k")
    assert [each.key for each in await graph.asearch(())] == ["k"]


async def test_threads_call_it_synchronously(store: Store) -> None:
    graph = graph_store(store)

    def work(number: int) -> int:
        graph.put(A, f"{number}", {"n": number})
        found = graph.get(A, f"{number}")
        assert found is not None
        assert found.value == {"n": number}
        assert graph.list_namespaces(prefix=A) == [A]
        return len(graph.search(A, filter={"n": number}, limit=ALL))

    assert await asyncio.gather(*(asyncio.to_thread(work, number) for number in range(10))) == [1] * 10
    await asyncio.to_thread(graph.delete, A, "3")
    assert len(await keys(store)) == 9


async def test_a_synchronous_call_on_the_loop_of_the_database_is_refused_at_once(store: Store) -> None:
    with pytest.raises(RuntimeError, match="would wait for itself"):
        graph_store(store).put(A, "k", {})
