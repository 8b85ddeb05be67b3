"""Deleting a thread: gone at once, with all that belongs to it, and its id free when its memory is deleted."""

import asyncio

import pytest

from app.errors import MessageNotFound, ThreadNotFound
from app.errors.threads import MessageDeleted, ThreadMoved, ThreadNotReady, ThreadRunning
from app.models.deliveries import DeliveryFilter
from app.models.messages import MessageFilter, MessageState, Page
from app.store.limits import KEY_SECONDS
from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.builders import (
    ALL,
    DONE,
    FAILED,
    OTHER_TENANT,
    TENANT,
    add,
    add_all,
    all_threads,
    claim,
    claim_one,
    drain,
    interrupt,
    listed,
    new,
    page,
    request_key,
    start,
    thread_messages,
)

URL = "https://example.com/hook"


async def settle(store: Store) -> set[str]:
    """Do what the duty does with dropped memories. Return their keys."""
    dropped = await store.list_dropped_memories(ALL)
    await store.settle_dropped_memories(dropped)
    return {each.memory_key for each in dropped}


@pytest.mark.parametrize("thread", ["t", "3:t/\u00e9:"])
async def test_nothing_of_a_deleted_thread_is_left(store: Store, other_store: Store, thread: str) -> None:
    done = await start(store, thread=thread, webhook_url=URL, aliases=("one",), metadata={"a": 1}, thread_name="N")
    await store.finish(done, DONE)
    failed = await start(store, thread=thread, webhook_url=URL)
    await store.finish(failed, FAILED)
    queued = [await add(store, thread=thread, webhook_url=URL, delay_seconds=seconds) for seconds in (0.0, 60.0)]
    kept = await add(store, thread="other", delay_seconds=60.0)
    await store.delete_thread(TENANT, thread)
    ids = [done.message_id, failed.message_id, *(message.id for message in queued)]
    for at in (store, other_store):
        for message_id in [*ids, "one"]:
            with pytest.raises(MessageNotFound):
                await at.get(TENANT, message_id)
            with pytest.raises(MessageNotFound):
                await page(at, message_id)
        with pytest.raises(ThreadNotFound):
            await at.get_thread(TENANT, thread)
        with pytest.raises(ThreadNotFound):
            await thread_messages(at, thread)
        assert await listed(at) == [kept.id]
        assert await listed(at, thread_id=thread) == []
        assert [each.thread_id for each in await all_threads(at)] == ["other"]
        assert await at.find_alias(TENANT, "one") is None
        assert await at.get_head(TENANT, thread) is None
        assert await at.find_deliveries(TENANT, DeliveryFilter(), Page(ALL)) == []
        assert await at.claim_deliveries(ALL, lease_seconds=1) == []
        assert not any((await at.list_attempts(TENANT, ids)).values())
        assert await at.group_dead_letters(TENANT, limit=ALL) == []
        summary = await at.summary(TENANT, limit=ALL)
        assert {state: count for state, count in summary.totals.items() if count} == {MessageState.QUEUED: 1}
    assert await claim(store, ALL) == []
    with pytest.raises(ThreadNotFound):
        await store.delete_thread(TENANT, thread)


async def test_an_interrupted_message_goes_with_its_thread(store: Store) -> None:
    asking = await interrupt(store, thread="t")
    behind = await add(store, thread="t")
    await store.delete_thread(TENANT, "t")
    for message in (asking, behind):
        with pytest.raises(MessageNotFound):
            await store.get(TENANT, message.id)
    assert not any((await store.summary(TENANT, limit=ALL)).totals.values())
    assert await store.expire_interrupts() == 0


async def test_a_thread_with_a_processing_message_is_not_deleted(store: Store) -> None:
    lease = await start(store, thread="t")
    behind = await add(store, thread="t")
    with pytest.raises(ThreadRunning, match="is being processed"):
        await store.delete_thread(TENANT, "t")
    assert await store.list_dropped_memories(ALL) == []
    assert len(await thread_messages(store, "t")) == 2
    await store.finish(lease, DONE)
    assert await drain(store) == [behind.id]


async def test_a_thread_with_a_later_message_than_the_named_one_is_not_deleted(store: Store) -> None:
    for text in ("One", "Two"):
        await add(store, text, thread="t")
        await store.finish(await claim_one(store), DONE)
    for number in (1, 3):
        with pytest.raises(ThreadMoved):
            await store.delete_thread(TENANT, "t", last_number=number)
    assert len(await thread_messages(store, "t")) == 2
    assert await store.list_dropped_memories(ALL) == []
    await store.delete_thread(TENANT, "t", last_number=2)
    with pytest.raises(ThreadNotFound):
        await store.get_thread(TENANT, "t")


async def test_a_thread_of_another_tenant_is_not_deleted(store: Store) -> None:
    message = await add(store, thread="t")
    with pytest.raises(ThreadNotFound):
        await store.delete_thread(OTHER_TENANT, "t")
    await add(store, thread="t", tenant=OTHER_TENANT)
    await store.delete_thread(OTHER_TENANT, "t")
    assert await settle(store) == {f"{OTHER_TENANT}/thread/t"}
    assert await claim_one(store)
    assert (await store.get(TENANT, message.id)).state is MessageState.PROCESSING


async def test_the_id_is_free_when_the_memory_is_settled(store: Store) -> None:
    """A message before that would begin with what the agent remembers of the deleted thread."""
    await add(store, thread="t", metadata={"a": 1}, thread_name="Name")
    await store.delete_thread(TENANT, "t")
    with pytest.raises(ThreadNotReady):
        await add(store, thread="t")
    await add(store, thread="other")
    assert await settle(store) == {f"{TENANT}/thread/t"}
    message = await add(store, thread="t")
    assert message.thread_number == 1
    thread = await store.get_thread(TENANT, "t")
    assert (thread.message_count, thread.name, thread.metadata) == (1, None, {})
    assert await store.list_dropped_memories(ALL) == []


async def test_messages_for_other_threads_are_stored_beside_refused_ones(store: Store) -> None:
    await add(store, thread="t")
    await store.delete_thread(TENANT, "t")
    tried = await asyncio.gather(
        *(add(store, thread=thread) for thread in ("a", "t", "b", "t")), return_exceptions=True
    )
    assert [type(each).__name__ for each in tried] == ["Message", "ThreadNotReady", "Message", "ThreadNotReady"]
    with pytest.raises(ThreadNotReady):
        await add_all(store, new(thread="a"), new(thread="t"))
    assert (await store.get_thread(TENANT, "a")).message_count == 1


async def test_pruning_does_not_free_the_id_of_a_thread_with_a_memory(store: Store) -> None:
    await add(store, thread="t")
    await store.delete_thread(TENANT, "t")
    await store.prune_messages(older_than_seconds=-1, limit=ALL)
    with pytest.raises(ThreadNotReady):
        await add(store, thread="t")
    assert await settle(store) == {f"{TENANT}/thread/t"}


async def test_a_repeated_request_does_not_answer_with_a_deleted_message(store: Store) -> None:
    key = request_key()
    first = new(thread="t")
    await add_all(store, first, key=key)
    await store.delete_thread(TENANT, "t")
    with pytest.raises(MessageDeleted):
        await add_all(store, new(thread="t"), key=key)
    await settle(store)
    with pytest.raises(MessageDeleted):
        await add_all(store, new(thread="t"), key=key)
    with pytest.raises(ThreadNotFound):
        await store.get_thread(TENANT, "t")


async def test_deleted_messages_are_forgotten_with_their_keys(store: Store, clock: ManualClock) -> None:
    key = request_key()
    await add_all(store, new(thread="t"), key=key)
    await store.delete_thread(TENANT, "t")
    await settle(store)
    clock.advance(KEY_SECONDS + 1)
    await store.prune_keys()
    assert await add_all(store, new(thread="t"), key=key)


async def test_a_batch_with_a_deleted_message_is_not_repeated(store: Store) -> None:
    key = request_key()
    await add_all(store, new(thread="t"), new(thread="kept"), key=key)
    await store.delete_thread(TENANT, "t")
    with pytest.raises(MessageDeleted):
        await add_all(store, new(thread="t"), new(thread="kept"), key=key)


@pytest.mark.parametrize("round", range(5))
async def test_a_claim_and_a_deletion_at_once(store: Store, other_store: Store, round: int) -> None:
    """Either the message runs and the thread stays, or the thread goes and nothing runs."""
    message = await add(store, thread="t")
    behind = await add(store, thread="t")
    claims, deleted = await asyncio.gather(claim(other_store), store.delete_thread(TENANT, "t"), return_exceptions=True)
    if isinstance(deleted, ThreadRunning):
        assert isinstance(claims, list)
        (claimed,) = claims
        assert claimed.message.id == message.id
        await other_store.finish(claimed.lease, DONE)
        assert await drain(store) == [behind.id]
    else:
        assert deleted is None
        assert claims == []
        assert await store.list_messages(TENANT, MessageFilter(), Page(ALL)) == []


async def test_a_submit_and_a_deletion_at_once(store: Store, other_store: Store) -> None:
    """The message is in the thread that goes, or is refused; it never is in no thread."""
    await add(store, thread="t")
    added, deleted = await asyncio.gather(
        add(other_store, thread="t"), store.delete_thread(TENANT, "t"), return_exceptions=True
    )
    assert deleted is None
    assert not isinstance(added, BaseException) or isinstance(added, ThreadNotReady)
    assert await listed(store) == []
    await settle(store)
    assert (await add(store, thread="t")).thread_number == 1


async def test_many_messages_go_in_one_step(store: Store) -> None:
    await add_all(store, *(new(thread="t") for _ in range(300)))
    await drain(store)
    await add_all(store, *(new(thread="t") for _ in range(300)))
    kept = await add(store)
    await store.delete_thread(TENANT, "t")
    assert await listed(store) == [kept.id]
    assert await drain(store) == [kept.id]
