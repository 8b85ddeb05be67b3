"""What belongs to another tenant is as if it did not exist."""

import pytest

from app.errors import MessageNotFound, ThreadNotFound
from app.models import MessageState, Page
from app.store.base import Store
from tests.clock import ManualClock
from tests.contract.builders import (
    DONE,
    FAILED,
    OTHER_TENANT,
    TENANT,
    add,
    all_threads,
    claim_one,
    start,
    thread_messages,
)


async def one_of_each_state(store: Store) -> dict[MessageState, str]:
    """Our messages, one in each state, all in threads."""
    completed = await start(store, thread="completed")
    await store.finish(completed, DONE)
    failed = await start(store, thread="failed")
    await store.finish(failed, FAILED)
    processing = await start(store, thread="processing")
    cancelled = await add(store, thread="cancelled")
    await store.cancel(TENANT, cancelled.id)
    queued = await add(store, thread="queued")
    return {
        MessageState.COMPLETED: completed.message_id,
        MessageState.FAILED: failed.message_id,
        MessageState.PROCESSING: processing.message_id,
        MessageState.CANCELLED: cancelled.id,
        MessageState.QUEUED: queued.id,
    }


async def test_a_message_is_read_by_its_own_tenant_only(store: Store) -> None:
    for state, message_id in (await one_of_each_state(store)).items():
        assert (await store.get(TENANT, message_id)).state is state
        for stranger in (OTHER_TENANT, "", TENANT.upper(), TENANT + " "):
            with pytest.raises(MessageNotFound) as refused:
                await store.get(stranger, message_id)
            assert str(refused.value) == str(MessageNotFound(message_id))


async def test_a_message_is_cancelled_by_its_own_tenant_only(store: Store) -> None:
    """Whatever its state: a 409 would tell that it exists."""
    for state, message_id in (await one_of_each_state(store)).items():
        with pytest.raises(MessageNotFound):
            await store.cancel(OTHER_TENANT, message_id)
        assert (await store.get(TENANT, message_id)).state is state


async def test_a_thread_is_read_by_its_own_tenant_only(store: Store) -> None:
    for state in await one_of_each_state(store):
        assert (await store.get_thread(TENANT, state.value)).message_count == 1
        with pytest.raises(ThreadNotFound):
            await store.get_thread(OTHER_TENANT, state.value)
        with pytest.raises(ThreadNotFound):
            await thread_messages(store, state.value, OTHER_TENANT)


async def test_lists_and_totals_show_nothing_of_another_tenant(store: Store) -> None:
    await one_of_each_state(store)
    assert await all_threads(store, OTHER_TENANT) == []
    summary = await store.summary(OTHER_TENANT, limit=100)
    assert (set(summary.totals.values()), summary.queued, summary.processing) == ({0}, (), ())


async def test_a_cursor_of_another_tenant_leads_to_nothing_of_theirs(store: Store, clock: ManualClock) -> None:
    for name in ("a", "b", "c"):
        await add(store, thread=name)
    await add(store, thread="theirs", tenant=OTHER_TENANT)
    cursor = (clock.now(), "zzz")
    theirs = await store.list_threads(OTHER_TENANT, Page(100, cursor))
    assert [thread.thread_id for thread in theirs] == ["theirs"]


async def test_memories_of_tenants_never_share_a_name(store: Store) -> None:
    tenants = ["a", "b", "a/thread", "a/message"]
    messages = [
        await add(store, tenant=tenant, thread=thread) for tenant in tenants for thread in ("t", "message/x", None)
    ]
    assert len({message.memory_key for message in messages}) == len(messages)


async def test_a_message_id_that_is_a_thread_id_elsewhere_names_another_memory(store: Store) -> None:
    alone = await add(store)
    threaded = await add(store, thread=alone.id)
    assert alone.memory_key != threaded.memory_key


async def test_a_busy_thread_of_one_tenant_holds_up_no_other(store: Store) -> None:
    await start(store, thread="t")
    theirs = await add(store, thread="t", tenant=OTHER_TENANT)
    assert theirs.thread_number == 1
    assert (await claim_one(store)).message_id == theirs.id


async def test_cancelling_in_a_thread_moves_only_the_own_tenants(store: Store) -> None:
    ours = await start(store, thread="t")
    theirs = [await add(store, thread="t", tenant=OTHER_TENANT) for _ in range(2)]
    await store.cancel(OTHER_TENANT, theirs[0].id)
    assert (await claim_one(store)).message_id == theirs[1].id
    assert (await store.get(TENANT, ours.message_id)).state is MessageState.PROCESSING
