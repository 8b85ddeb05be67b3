"""Threads that are made before their first message."""

import asyncio

import pytest

from app.errors import KeyReused, ThreadNotFound
from app.errors.threads import MetadataTooLarge, ThreadExists, ThreadNotReady
from app.models.messages import CreatedThread
from app.models.threads import NewThread, ThreadChange
from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.builders import ALL, DONE, OTHER_TENANT, TENANT, add, all_threads, claim_one, request_key

NEW = NewThread(None, "Tea", {"a": 1, "none": None}, "ann")


async def test_a_new_thread_has_no_messages(store: Store, clock: ManualClock) -> None:
    made = await store.create_thread(TENANT, "t", NEW)
    assert made == CreatedThread(await store.get_thread(TENANT, "t"), is_new=True)
    thread = made.thread
    assert (thread.name, thread.metadata, thread.subject, thread.forked_from) == ("Tea", {"a": 1}, "ann", None)
    assert (thread.message_count, thread.last_number, thread.last_message_preview) == (0, 0, "")
    assert await all_threads(store) == [thread]
    clock.advance(5)
    changed = await store.change_thread(TENANT, "t", ThreadChange(metadata={"b": 2}))
    assert (changed.metadata, changed.created_at) == ({"a": 1, "b": 2}, thread.created_at)
    message = await add(store, thread="t")
    assert (message.thread_number, message.subject) == (1, "ann")
    with pytest.raises(ThreadNotFound):
        await add(store, thread="t", subject="bob")
    await store.finish(await claim_one(store), DONE)
    assert (await store.get_thread(TENANT, "t")).created_at == thread.created_at


async def test_an_id_in_use_makes_no_thread(store: Store) -> None:
    await add(store, thread="t", metadata={"c": 3})
    with pytest.raises(ThreadExists):
        await store.create_thread(TENANT, "t", NEW)
    kept = await store.create_thread(TENANT, "t", NEW, keeps_existing=True)
    assert (kept.is_new, kept.thread) == (False, await store.get_thread(TENANT, "t"))
    assert (kept.thread.metadata, kept.thread.subject) == ({"c": 3}, None)
    assert (await store.create_thread(OTHER_TENANT, "t", NEW)).is_new
    await store.draft_thread(TENANT, "draft")
    await store.delete_thread(TENANT, "t")
    for hidden in ("draft", "t"):
        with pytest.raises(ThreadNotReady):
            await store.create_thread(TENANT, hidden, NEW, keeps_existing=True)
    with pytest.raises(MetadataTooLarge):
        await store.create_thread(TENANT, "long", NewThread(None, metadata={"long": "x" * 70_000}))


async def test_a_repeated_request_makes_one_thread(store: Store) -> None:
    first = await store.create_thread(TENANT, "t", NEW, key=request_key())
    again = await store.create_thread(TENANT, "another", NEW, key=request_key())
    assert again == first._replace(replayed=True)
    with pytest.raises(KeyReused):
        await store.create_thread(TENANT, "t", NEW, key=request_key(fingerprint="another request"))
    kept = await store.create_thread(TENANT, "t", NEW, keeps_existing=True, key=request_key("kept"))
    assert (await store.create_thread(TENANT, "u", NEW, key=request_key("kept"))) == kept._replace(replayed=True)
    with pytest.raises(ThreadExists):
        await store.create_thread(TENANT, "t", NEW, key=request_key("refused"))
    assert (await store.create_thread(TENANT, "u", NEW, key=request_key("refused"))).is_new
    await store.delete_thread(TENANT, "t")
    with pytest.raises(ThreadNotFound):
        await store.create_thread(TENANT, "t", NEW, key=request_key())


async def test_one_id_at_once(store: Store, other_store: Store) -> None:
    made = await asyncio.gather(
        *(at.create_thread(TENANT, "t", NEW, keeps_existing=True) for at in (store, other_store) for _ in range(3)),
        add(other_store, thread="t", subject="ann"),
    )
    assert sum(each.is_new for each in made if isinstance(each, CreatedThread)) <= 1
    assert (await store.get_thread(TENANT, "t")).last_number == 1
    keyed = await asyncio.gather(
        *(at.create_thread(TENANT, f"k{i}", NEW, key=request_key()) for at in (store, other_store) for i in range(3))
    )
    assert len({each.thread.thread_id for each in keyed}) == 1
    assert sum(not each.replayed for each in keyed) == 1


async def test_an_empty_thread_is_pruned_by_its_age_and_can_be_deleted(store: Store, clock: ManualClock) -> None:
    await store.create_thread(TENANT, "old", NEW)
    await store.create_thread(TENANT, "deleted", NEW)
    await store.delete_thread(TENANT, "deleted")
    clock.advance(11)
    await store.create_thread(TENANT, "young", NEW)
    await store.prune_messages(older_than_seconds=10, limit=ALL)
    assert [each.thread_id for each in await all_threads(store)] == ["young"]
    dropped = {each.memory_key for each in await store.list_dropped_memories(ALL)}
    assert dropped == {f"{TENANT}/thread/old", f"{TENANT}/thread/deleted"}
