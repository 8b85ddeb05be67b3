"""Rows of another tenant are as if they did not exist."""

from collections.abc import Awaitable, Callable

import pytest

from app.errors import MessageNotFound, ThreadNotFound
from app.models.messages import Message, MessageFilter, MessageState, Page
from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.builders import (
    ALL,
    ANSWER,
    DONE,
    FAILED,
    HIGH,
    OTHER_TENANT,
    RELEASED,
    TENANT,
    add,
    all_threads,
    claim_one,
    dead_letter,
    interrupt,
    new,
    request_key,
    resume,
    seen,
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
    asking = await interrupt(store, thread="interrupted")
    queued = await add(store, thread="queued")
    return {
        MessageState.INTERRUPTED: asking.id,
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


Verb = Callable[[Store, str, Message], Awaitable[object]]


async def cancel_it(store: Store, tenant: str, message: Message) -> None:
    await store.cancel(tenant, message.id, running=True)


async def reprioritize_it(store: Store, tenant: str, message: Message) -> None:
    await store.reprioritize(tenant, message.id, HIGH)


async def resume_it(store: Store, tenant: str, message: Message) -> None:
    await store.resume(tenant, message.id, message.fence, ANSWER)


async def resume_it_with_a_key(store: Store, tenant: str, message: Message) -> None:
    await store.resume(tenant, message.id, message.fence, ANSWER, key=request_key(tenant=tenant))


async def requeue_it(store: Store, tenant: str, message: Message) -> None:
    await store.requeue(tenant, [message.id])


async def purge_it(store: Store, tenant: str, message: Message) -> None:
    await store.purge(tenant, [message.id])


VERBS: list[Verb] = [cancel_it, reprioritize_it, resume_it, resume_it_with_a_key, requeue_it, purge_it]


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
async def test_a_message_is_changed_by_its_own_tenant_only(store: Store, verb: Verb) -> None:
    """Whatever its state: a 409 would tell that it exists."""
    for message_id in (await one_of_each_state(store)).values():
        before = await seen(store, message_id)
        for stranger in (OTHER_TENANT, "", TENANT.upper(), TENANT + " "):
            with pytest.raises(MessageNotFound) as refused:
                await verb(store, stranger, before[0])
            assert str(refused.value) == str(MessageNotFound(message_id))
        assert await seen(store, message_id) == before


async def test_the_key_of_one_tenant_answers_no_other(store: Store) -> None:
    asking = await interrupt(store)
    await resume(store, asking, key=request_key())
    await store.add([new("ours")], max_queued=ALL, key=request_key("another"))
    with pytest.raises(MessageNotFound):
        await store.resume(OTHER_TENANT, asking.id, asking.fence, ANSWER, key=request_key(tenant=OTHER_TENANT))
    theirs = await store.add(
        [new("theirs", tenant=OTHER_TENANT)], max_queued=ALL, key=request_key("another", tenant=OTHER_TENANT)
    )
    assert (theirs.replayed, theirs.messages[0].content) == (False, "theirs")


async def test_lists_groups_and_heads_show_nothing_of_another_tenant(store: Store) -> None:
    for message_id in (await one_of_each_state(store)).values():
        message = await store.get(TENANT, message_id)
        assert message.thread_id is not None
        assert await store.get_head(OTHER_TENANT, message.thread_id) is None
    assert await store.list_messages(OTHER_TENANT, MessageFilter(), Page(ALL)) == []
    assert await store.group_dead_letters(OTHER_TENANT, limit=ALL) == []
    assert len(await store.group_dead_letters(TENANT, limit=ALL)) == 1


async def test_a_batch_refused_for_one_tenant_shows_nothing_of_the_other(store: Store) -> None:
    theirs = await dead_letter(store, tenant=OTHER_TENANT)
    ours = await dead_letter(store)
    for verb in (store.requeue, store.purge):
        with pytest.raises(MessageNotFound) as refused:
            await verb(TENANT, [ours.id, theirs.id])
        assert str(refused.value) == str(MessageNotFound(theirs.id))
    assert (await store.get(OTHER_TENANT, theirs.id)).state is MessageState.FAILED


async def test_a_requeue_moves_only_the_own_tenants_thread(store: Store) -> None:
    await add(store, thread="t", tenant=OTHER_TENANT)
    before = await store.get_thread(OTHER_TENANT, "t")
    lease = await claim_one(store)
    ours = await dead_letter(store, thread="t")
    (requeued,) = await store.requeue(TENANT, [ours.id])
    assert requeued.thread_number == 2
    await store.finish(lease, RELEASED)
    assert await store.get_thread(OTHER_TENANT, "t") == before


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
    tenants = ["a", "b", "a/thread", "a/message", "a/thread/t", "a%2Fthread%2Ft"]
    threads = ("t", "message/x", "t/thread/x", "x", "thread/t", None)
    messages = [await add(store, tenant=tenant, thread=thread) for tenant in tenants for thread in threads]
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


async def test_a_log_is_read_by_its_own_tenant_only(store: Store) -> None:
    lease = await start(store)
    with pytest.raises(MessageNotFound):
        await store.read(OTHER_TENANT, lease.message_id, after=0, limit=ALL)
    assert (await store.read(TENANT, lease.message_id, after=0, limit=ALL)).events


async def test_failed_attempts_are_listed_to_their_own_tenant_only(store: Store) -> None:
    lease = await start(store)
    await store.finish(lease, FAILED)
    assert not (await store.list_attempts(OTHER_TENANT, [lease.message_id]))[lease.message_id]
    assert (await store.list_attempts(TENANT, [lease.message_id]))[lease.message_id]
