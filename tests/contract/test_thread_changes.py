"""Changing threads: names, metadata, and the right to change what agents remember of them."""

import asyncio

import pytest

from app.errors import ThreadNotFound
from app.errors.threads import MetadataTooLarge, ThreadRunning
from app.models.messages import IfBusy
from app.models.threads import ThreadChange
from app.store.ports import Store
from tests.contract.builders import (
    DONE,
    FAILED,
    OTHER_TENANT,
    RELEASED,
    TENANT,
    add,
    claim_one,
    dead_letter,
    interrupt,
    requeue,
    resume,
    start,
)


async def test_a_name_is_set_kept_and_removed(store: Store) -> None:
    await add(store, thread="t", thread_name="First", metadata={"a": 1})
    before = await store.get_thread(TENANT, "t")
    changed = await store.change_thread(TENANT, "t", ThreadChange(("Second",)))
    assert changed == before.model_copy(update={"name": "Second"})
    assert (await store.change_thread(TENANT, "t", ThreadChange())).name == "Second"
    assert (await store.change_thread(TENANT, "t", ThreadChange((None,)))).name is None
    assert await store.get_thread(TENANT, "t") == before.model_copy(update={"name": None})


async def test_metadata_are_merged(store: Store) -> None:
    await add(store, thread="t", metadata={"a": 1, "b": "x", "c": True})
    patch = {"a": 2.5, "b": None, "d": "\u00e9\"'", "gone": None}
    changed = await store.change_thread(TENANT, "t", ThreadChange(metadata=patch))
    assert changed.metadata == {"a": 2.5, "c": True, "d": "\u00e9\"'"}
    await add(store, thread="t", metadata={"d": 1})
    assert (await store.get_thread(TENANT, "t")).metadata == {"a": 2.5, "c": True, "d": 1}


async def test_metadata_that_would_be_too_long_change_nothing(store: Store) -> None:
    await add(store, thread="t", metadata={"a": "x" * 40_000})
    with pytest.raises(MetadataTooLarge):
        await store.change_thread(TENANT, "t", ThreadChange(("New",), {"b": "x" * 40_000}))
    thread = await store.get_thread(TENANT, "t")
    assert (thread.name, set(thread.metadata)) == (None, {"a"})


async def test_changes_at_once_lose_nothing(store: Store, other_store: Store) -> None:
    await add(store, thread="t")
    await asyncio.gather(
        *(
            at.change_thread(TENANT, "t", ThreadChange(metadata={f"{name}{number}": number}))
            for name, at in (("a", store), ("b", other_store))
            for number in range(5)
        )
    )
    assert len((await store.get_thread(TENANT, "t")).metadata) == 10


async def test_only_threads_of_the_tenant_are_changed(store: Store) -> None:
    await add(store, thread="t")
    for tenant, thread in ((OTHER_TENANT, "t"), (TENANT, "none")):
        with pytest.raises(ThreadNotFound):
            await store.change_thread(tenant, thread, ThreadChange(("New",)))
        with pytest.raises(ThreadNotFound):
            await store.take_memory_right(tenant, thread)
    assert (await store.get_thread(TENANT, "t")).name is None


# Rights


async def fence(store: Store) -> tuple[int, int]:
    return (await store.take_memory_right(TENANT, "t")).fence


async def test_a_right_is_above_ended_attempts_and_below_later_ones(store: Store) -> None:
    first = await start(store, thread="t")
    number = (await store.get(TENANT, first.message_id)).number
    await store.finish(first, DONE)
    rights = [await fence(store) for _ in range(3)]
    assert rights == sorted(set(rights))
    assert rights[0] > (number, first.fence)
    second = await start(store, thread="t")
    assert rights[-1] < ((await store.get(TENANT, second.message_id)).number, second.fence)


async def test_a_right_is_below_the_next_attempt_of_a_waiting_message(store: Store, other_store: Store) -> None:
    """It is at least as high as an attempt that was put back."""
    first = await start(store, thread="t")
    number = (await store.get(TENANT, first.message_id)).number
    behind = await add(store, thread="t")
    await store.finish(first, RELEASED)
    right = await fence(other_store)
    assert right > (number, first.fence)
    second = await claim_one(store)
    assert second.message_id == first.message_id
    assert right < (number, second.fence)
    await store.finish(second, DONE)
    assert (number, second.fence) < await fence(store) < (behind.number, (await claim_one(store)).fence)


async def test_a_right_is_below_the_attempt_with_an_answer(store: Store) -> None:
    asking = await interrupt(store, thread="t")
    right = await fence(store)
    await resume(store, asking)
    assert right <= await fence(store)
    lease = await claim_one(store)
    assert right < (asking.number, lease.fence)


async def test_a_right_is_above_a_purged_message(store: Store) -> None:
    """Its attempt may still try to write, and no message of the thread is left to tell of it."""
    failed = await dead_letter(store, thread="t")
    await store.purge(TENANT, [failed.id])
    assert await fence(store) > (failed.number, failed.fence)


async def test_a_right_is_below_a_requeued_message(store: Store) -> None:
    failed = await dead_letter(store, thread="t")
    right = await fence(store)
    (again,) = await requeue(store, failed.id)
    assert right < (again.number, 0)
    assert (failed.number, failed.fence) < await fence(store) < (again.number, (await claim_one(store)).fence)


async def test_there_is_no_right_while_a_message_is_processing(store: Store, other_store: Store) -> None:
    lease = await start(store, thread="t")
    await add(store, thread="t")
    for at in (store, other_store):
        with pytest.raises(ThreadRunning):
            await at.take_memory_right(TENANT, "t")
    await store.finish(lease, FAILED)
    assert await fence(other_store)


async def test_a_right_tells_what_will_be_rolled_back(store: Store) -> None:
    asking = await interrupt(store, thread="t")
    assert (await store.take_memory_right(TENANT, "t")).rolled_back == ()
    await add(store, thread="t", if_busy=IfBusy.ROLLBACK)
    assert (await store.take_memory_right(TENANT, "t")).rolled_back == (asking.id,)
