"""Drafts of threads: ids reserved while a memory is copied, which become threads or leave nothing behind."""

import asyncio

import pytest

from app.errors import ThreadNotFound
from app.errors.threads import MetadataTooLarge, ThreadExists, ThreadNotReady
from app.models.threads import ForkSource, NewThread
from app.store.limits import DRAFT_SECONDS
from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.builders import ALL, DONE, OTHER_TENANT, TENANT, add, all_threads, claim_one, start

SOURCE = ForkSource(thread_id="source", checkpoint_id="c1", message_id="m1", agent="chat")
NEW = NewThread(SOURCE, "A fork", {"a": 1, "none": None})


async def keys(store: Store) -> set[str]:
    return {each.memory_key for each in await store.list_dropped_memories(ALL)}


async def test_a_draft_is_seen_by_nobody_and_takes_no_messages(store: Store, other_store: Store) -> None:
    await store.draft_thread(TENANT, "t")
    for at in (store, other_store):
        assert await all_threads(at) == []
        with pytest.raises(ThreadNotFound):
            await at.get_thread(TENANT, "t")
        with pytest.raises(ThreadNotReady):
            await add(at, thread="t")
        with pytest.raises(ThreadExists):
            await at.draft_thread(TENANT, "t")
        with pytest.raises(ThreadNotFound):
            await at.delete_thread(TENANT, "t")
    assert await keys(store) == set()
    assert await add(store, thread="t", tenant=OTHER_TENANT)


async def test_a_published_draft_is_a_thread_without_messages(store: Store, clock: ManualClock) -> None:
    await store.draft_thread(TENANT, "t")
    clock.advance(5)
    thread = await store.publish_thread(TENANT, "t", NEW)
    assert (thread.name, thread.metadata, thread.forked_from) == ("A fork", {"a": 1}, SOURCE)
    assert (thread.message_count, thread.last_number, thread.last_message_preview) == (0, 0, "")
    assert await store.get_thread(TENANT, "t") == thread
    assert await all_threads(store) == [thread]
    clock.advance(5)
    message = await add(store, thread="t", metadata={"b": 2})
    assert message.thread_number == 1
    later = await store.get_thread(TENANT, "t")
    assert later.created_at == thread.created_at
    assert (later.metadata, later.forked_from) == ({"a": 1, "b": 2}, SOURCE)
    await store.finish(await claim_one(store), DONE)
    assert await keys(store) == set()


async def test_an_id_in_use_cannot_be_drafted(store: Store) -> None:
    await add(store, thread="t")
    with pytest.raises(ThreadExists):
        await store.draft_thread(TENANT, "t")
    await store.delete_thread(TENANT, "t")
    with pytest.raises(ThreadExists):
        await store.draft_thread(TENANT, "t")
    await store.settle_dropped_memories(await store.list_dropped_memories(ALL))
    await store.draft_thread(TENANT, "t")


async def test_only_a_draft_can_be_published(store: Store) -> None:
    await add(store, thread="t")
    for thread in ("t", "none"):
        with pytest.raises(ThreadNotFound):
            await store.publish_thread(TENANT, thread, NEW)
    await store.draft_thread(TENANT, "draft")
    with pytest.raises(ThreadNotFound):
        await store.publish_thread(OTHER_TENANT, "draft", NEW)
    with pytest.raises(MetadataTooLarge):
        await store.publish_thread(TENANT, "draft", NewThread(SOURCE, metadata={"long": "x" * 70_000}))


async def test_an_abandoned_draft_leaves_only_its_memory_to_delete(store: Store) -> None:
    await store.draft_thread(TENANT, "t")
    await store.abandon_thread(TENANT, "t")
    assert await keys(store) == {f"{TENANT}/thread/t"}
    with pytest.raises(ThreadNotFound):
        await store.publish_thread(TENANT, "t", NEW)
    with pytest.raises(ThreadExists):
        await store.draft_thread(TENANT, "t")
    await store.settle_dropped_memories(await store.list_dropped_memories(ALL))
    await store.draft_thread(TENANT, "t")
    await store.publish_thread(TENANT, "t", NEW)
    await store.abandon_thread(TENANT, "t")
    assert (await store.get_thread(TENANT, "t")).forked_from == SOURCE


async def test_a_draft_whose_process_has_died_is_abandoned(store: Store, clock: ManualClock) -> None:
    await store.draft_thread(TENANT, "old")
    clock.advance(DRAFT_SECONDS - 1)
    await store.draft_thread(TENANT, "young")
    assert await keys(store) == set()
    clock.advance(2)
    assert await keys(store) == {f"{TENANT}/thread/old"}
    assert await keys(store) == {f"{TENANT}/thread/old"}
    with pytest.raises(ThreadNotFound):
        await store.publish_thread(TENANT, "old", NEW)
    assert (await store.publish_thread(TENANT, "young", NEW)).thread_id == "young"
    await store.settle_dropped_memories(await store.list_dropped_memories(ALL))
    assert await add(store, thread="old")


async def test_two_forks_to_one_id(store: Store, other_store: Store) -> None:
    tried = await asyncio.gather(
        *(at.draft_thread(TENANT, "t") for at in (store, other_store) for _ in range(3)), return_exceptions=True
    )
    assert [type(each) for each in tried if each is not None] == [ThreadExists] * 5


async def test_a_draft_and_a_message_at_once(store: Store, other_store: Store) -> None:
    """Only one of them gets the id."""
    message, drafted = await asyncio.gather(
        add(other_store, thread="t"), store.draft_thread(TENANT, "t"), return_exceptions=True
    )
    assert isinstance(message, ThreadNotReady) != isinstance(drafted, ThreadExists)


async def test_an_empty_fork_is_pruned_by_its_age(store: Store, clock: ManualClock) -> None:
    await store.draft_thread(TENANT, "t")
    await store.publish_thread(TENANT, "t", NEW)
    await store.prune_messages(older_than_seconds=10, limit=ALL)
    assert len(await all_threads(store)) == 1
    clock.advance(11)
    await store.prune_messages(older_than_seconds=10, limit=ALL)
    assert await all_threads(store) == []
    assert await keys(store) == {f"{TENANT}/thread/t"}
    await start(store, thread="t")
