"""Memories of agents that nothing needs any more: listed with the deletion, until they are deleted and settled."""

import pytest

from app.models.memory import DroppedMemory
from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.builders import (
    ALL,
    DONE,
    FAILED,
    OTHER_TENANT,
    TENANT,
    add,
    claim_one,
    dead_letter,
    requeue,
    start,
)

AGE = 1_000.0


async def keys(store: Store, limit: int = ALL) -> set[str]:
    return {each.memory_key for each in await store.list_dropped_memories(limit)}


async def prune(store: Store, clock: ManualClock) -> set[str]:
    """Prune all that has ended. The store names these memories."""
    clock.advance(AGE + 1)
    _, of_logs = await store.prune_logs(older_than_seconds=AGE, limit=ALL)
    _, of_messages = await store.prune_messages(older_than_seconds=AGE, limit=ALL)
    return {*of_logs, *of_messages}


async def test_nothing_is_dropped_while_it_is_needed(store: Store) -> None:
    await dead_letter(store)
    await dead_letter(store, thread="t")
    assert await store.list_dropped_memories(ALL) == []


async def test_the_memories_of_a_purge_stay_listed_until_they_are_settled(store: Store) -> None:
    failed = [await dead_letter(store) for _ in range(3)]
    await dead_letter(store, thread="t")
    await store.purge(TENANT, [message.id for message in failed])
    dropped = await store.list_dropped_memories(ALL)
    assert {each.memory_key for each in dropped} == {message.memory_key for message in failed}
    await store.settle_dropped_memories(dropped[:1])
    assert set(await store.list_dropped_memories(ALL)) == set(dropped[1:])
    await store.settle_dropped_memories(dropped)
    assert await store.list_dropped_memories(ALL) == []


@pytest.mark.parametrize("tenant", [TENANT, OTHER_TENANT, "a:b"])
async def test_all_that_pruning_names_stays_listed(store: Store, clock: ManualClock, tenant: str) -> None:
    for thread in (None, None, "t", "3:t/\u00e9:", "t"):
        await store.finish(await start(store, tenant=tenant, **({} if thread is None else {"thread": thread})), DONE)
    named = await prune(store, clock)
    assert len(named) == 4
    assert await keys(store) == named
    assert await prune(store, clock) == set()
    assert await keys(store) == named


async def test_memories_are_listed_up_to_the_limit(store: Store) -> None:
    failed = [await dead_letter(store) for _ in range(5)]
    await store.purge(TENANT, [message.id for message in failed])
    seen: set[DroppedMemory] = set()
    for count in (2, 2, 1, 0):
        dropped = await store.list_dropped_memories(2)
        assert len(dropped) == count
        seen.update(dropped)
        if dropped:
            await store.settle_dropped_memories(dropped)
    assert len(seen) == 5


async def test_the_memory_of_a_thread_that_begins_again_is_kept(store: Store, clock: ManualClock) -> None:
    """Its name is the same, so a late deletion would take what the agent remembers of the new conversation."""
    await store.finish(await start(store, thread="t"), DONE)
    named = await prune(store, clock)
    assert await keys(store) == named
    lease = await start(store, thread="t")
    assert await keys(store) == set()
    await store.finish(lease, DONE)
    assert await prune(store, clock) == named
    assert await keys(store) == named


async def test_the_memory_of_a_message_that_is_queued_again_is_kept(store: Store, clock: ManualClock) -> None:
    failed = await dead_letter(store)
    clock.advance(AGE + 1)
    await store.prune_logs(older_than_seconds=AGE, limit=ALL)
    assert await keys(store) == {failed.memory_key}
    await requeue(store, failed.id)
    assert await keys(store) == set()
    lease = await claim_one(store)
    assert await keys(store) == set()
    await store.finish(lease, FAILED)
    assert await keys(store) == set()
    await store.purge(TENANT, [failed.id])
    assert await keys(store) == {failed.memory_key}


async def test_what_is_needed_again_hides_nothing_that_is_not(store: Store, clock: ManualClock) -> None:
    for thread in "abcd":
        await store.finish(await start(store, thread=thread), DONE)
    await prune(store, clock)
    for thread in "abc":
        await add(store, thread=thread)
    assert await keys(store, limit=1) == {f"{TENANT}/thread/d"}
