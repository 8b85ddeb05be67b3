"""Threads are deleted when nothing happened in them for their TTL."""

import asyncio

import pytest

from app.errors import ThreadNotFound
from app.models.attempts import Lease
from app.models.memory import DroppedMemory
from app.models.threads import MINUTE_MS, NewThread, ThreadChange
from app.store.ports import Store
from tests.clock import START, ManualClock
from tests.contract.builders import (
    ALL,
    DONE,
    OTHER_TENANT,
    TENANT,
    add,
    all_threads,
    interrupt,
    listed,
    start,
)

TTL = 10.0
MINUTE = MINUTE_MS / 1000


async def expire(store: Store, *, default: float | None = None, limit: int = ALL) -> int:
    seconds = None if default is None else default * MINUTE
    return await store.expire_threads(default_ttl_seconds=seconds, limit=limit)


async def names(store: Store, tenant: str = TENANT) -> list[str]:
    return sorted(thread.thread_id for thread in await all_threads(store, tenant))


async def ended(store: Store, thread: str, tenant: str = TENANT) -> Lease:
    lease = await start(store, thread=thread, tenant=tenant)
    await store.finish(lease, DONE)
    return lease


async def test_an_idle_thread_is_deleted_with_its_messages_and_its_memory(
    store: Store, other_store: Store, clock: ManualClock
) -> None:
    await store.create_thread(TENANT, "t", NewThread(None, ttl=TTL))
    await ended(store, "t")
    await ended(store, "without a TTL")
    clock.advance(TTL * MINUTE - 0.001)
    assert await expire(other_store) == 0
    clock.advance(0.001)
    assert await expire(other_store) == 1
    for at in (store, other_store):
        assert await names(at) == ["without a TTL"]
        assert len(await listed(at)) == 1
        with pytest.raises(ThreadNotFound):
            await at.get_thread(TENANT, "t")
    assert await store.list_dropped_memories(ALL) == [DroppedMemory(TENANT, "t", "")]
    assert await expire(store) == 0
    await store.settle_dropped_memories([DroppedMemory(TENANT, "t", "")])
    await ended(store, "t")
    assert (await store.get_thread(TENANT, "t")).ttl is None


async def test_the_time_counts_from_the_last_activity(store: Store, clock: ManualClock) -> None:
    await store.create_thread(TENANT, "t", NewThread(None, ttl=TTL))
    clock.advance(0.9 * TTL * MINUTE)
    lease = await start(store, thread="t")
    clock.advance(0.9 * TTL * MINUTE)
    assert await expire(store) == 0
    await store.finish(lease, DONE)
    clock.advance(0.9 * TTL * MINUTE)
    assert await expire(store) == 0
    clock.advance(0.1 * TTL * MINUTE)
    assert await expire(store) == 1


@pytest.mark.parametrize("default", [None, TTL])
async def test_threads_with_unfinished_messages_stay(store: Store, clock: ManualClock, default: float | None) -> None:
    own = NewThread(None, ttl=None if default else TTL)
    for thread in ("queued", "delayed", "asking", "running"):
        await store.create_thread(TENANT, thread, own)
    asking = await interrupt(store, thread="asking")
    running = await start(store, thread="running")
    await add(store, thread="queued")
    await add(store, thread="delayed", delay_seconds=10_000.0)
    clock.advance(2 * TTL * MINUTE)
    for _ in range(2):
        assert await expire(store, default=default) == 0
    await store.finish(running, DONE)
    await store.cancel(TENANT, asking.id, running=True)
    clock.advance(2 * TTL * MINUTE)
    assert await expire(store, default=default) == 2
    assert await names(store) == ["delayed", "queued"]


async def test_the_default_counts_for_threads_without_a_ttl(store: Store, clock: ManualClock) -> None:
    await store.create_thread(TENANT, "longer", NewThread(None, ttl=3 * TTL))
    await store.create_thread(TENANT, "empty", NewThread(None))
    for tenant in (TENANT, OTHER_TENANT):
        await ended(store, "t", tenant)
    clock.advance(TTL * MINUTE)
    await ended(store, "young")
    assert await expire(store) == 0
    assert await expire(store, default=TTL) == 3
    assert await names(store) == ["longer", "young"]
    assert await names(store, OTHER_TENANT) == []
    clock.advance(2 * TTL * MINUTE)
    assert await expire(store) == 1
    assert await names(store) == ["young"]


async def test_a_ttl_is_read_and_changed(store: Store, other_store: Store, clock: ManualClock) -> None:
    made = await store.create_thread(TENANT, "t", NewThread(None, ttl=0.5))
    assert made.thread.ttl == 0.5
    changed = await store.change_thread(TENANT, "t", ThreadChange(names=("name",)))
    assert (changed.ttl, changed.name) == (0.5, "name")
    changed = await other_store.change_thread(TENANT, "t", ThreadChange(ttls=(TTL,)))
    assert (changed.ttl, changed.name) == (TTL, "name")
    assert [each.ttl for each in await all_threads(other_store)] == [TTL]
    clock.advance(1 * MINUTE)
    assert await expire(store) == 0
    assert (await store.change_thread(TENANT, "t", ThreadChange(ttls=(None,)))).ttl is None
    clock.advance(2 * TTL * MINUTE)
    assert await expire(store) == 0
    assert await names(store) == ["t"]
    await store.change_thread(TENANT, "t", ThreadChange(ttls=(TTL,)))
    assert clock.milliseconds > START
    assert await expire(store) == 1, "a change of the TTL is no activity"


async def test_a_forked_thread_and_a_draft(store: Store, clock: ManualClock) -> None:
    await store.draft_thread(TENANT, "draft")
    await store.draft_thread(TENANT, "fork")
    clock.advance(TTL * MINUTE)
    assert (await store.publish_thread(TENANT, "fork", NewThread(None))).ttl is None
    assert await expire(store, default=TTL) == 0
    clock.advance(TTL * MINUTE)
    assert await expire(store, default=TTL) == 1
    await store.publish_thread(TENANT, "draft", NewThread(None))


async def test_up_to_the_limit_is_deleted(store: Store, clock: ManualClock) -> None:
    for number in range(25):
        await store.create_thread(TENANT, f"{number}", NewThread(None, ttl=TTL if number % 2 else None))
    clock.advance(TTL * MINUTE)
    assert [await expire(store, default=TTL, limit=15) for _ in range(3)] == [15, 10, 0]


async def test_a_thread_that_is_made_anew_does_not_expire_by_the_former_ttl(store: Store, clock: ManualClock) -> None:
    await store.create_thread(TENANT, "t", NewThread(None, ttl=TTL))
    await store.delete_thread(TENANT, "t")
    await store.settle_dropped_memories([DroppedMemory(TENANT, "t", "")])
    await ended(store, "t")
    clock.advance(2 * TTL * MINUTE)
    assert await expire(store) == 0
    assert await names(store) == ["t"]


async def test_processes_delete_a_thread_once(store: Store, other_store: Store, clock: ManualClock) -> None:
    for number in range(5):
        await store.create_thread(TENANT, f"{number}", NewThread(None, ttl=TTL))
    clock.advance(TTL * MINUTE)
    counts = [await expire(store), await expire(other_store)]
    assert sum(counts) == 5


async def test_an_expired_thread_is_found_behind_any_number_that_stay(store: Store, clock: ManualClock) -> None:
    """The others have a TTL of their own. They are passed in parts, since a server does nothing else meanwhile."""
    kept = [f"{number}" for number in range(620)]
    await asyncio.gather(*(store.create_thread(TENANT, each, NewThread(None, ttl=1000 * TTL)) for each in kept))
    clock.advance(1)
    for tenant in (TENANT, OTHER_TENANT):
        for thread in ("a", "b"):
            await ended(store, thread, tenant)
    clock.advance(TTL * MINUTE)
    assert await expire(store, default=TTL) == 4
    assert await names(store) == sorted(kept)
    assert await names(store, OTHER_TENANT) == []
