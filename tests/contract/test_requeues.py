"""Dead letters that are put back: they are queued as if they were new, and their logs go on."""

import asyncio
from collections.abc import Sequence

import pytest

from app.errors import NotFailed
from app.models.events import EventType
from app.models.messages import MessageState, Readiness
from app.store.limits import MAX_CRASHES
from app.store.ports import READY, Store
from tests.clock import ManualClock
from tests.contract.builders import (
    DONE,
    FAILED,
    HIGH,
    INTERRUPTED,
    LEASE_SECONDS,
    LOW,
    TENANT,
    add,
    add_all,
    chunk,
    claim,
    claim_one,
    claimed_ids,
    dead_letter,
    drain,
    event_types,
    interrupt,
    listed,
    log,
    new,
    page,
    requeue,
    resume,
    start,
    state_of,
    thread_messages,
    told,
)
from tests.contract.test_dead_letters import BROKEN

# Requeue


async def test_a_requeued_message_is_queued_as_if_it_were_new(store: Store) -> None:
    failed = await dead_letter(store, BROKEN, thread="t")
    (message,) = await requeue(store, failed.id)
    assert (message.id, message.state, message.readiness) == (failed.id, MessageState.QUEUED, Readiness.READY)
    assert (message.attempt, message.crashes, message.run_at) == (0, 0, None)
    assert (message.error, message.error_code, message.fingerprint) == (None, None, None)
    assert (message.started_at, message.completed_at, message.result) == (None, None, None)
    for name in ("tenant", "thread_id", "agent", "content", "priority", "options", "created_at", "webhook_url"):
        assert getattr(message, name) == getattr(failed, name), name
    now = await store.get(TENANT, failed.id)
    assert now.queue_position == 0
    assert now._replace(queue_position=None) == message._replace(queue_position=None)
    lease = await claim_one(store)
    assert (lease.message_id, lease.attempt) == (failed.id, 1)
    assert lease.fence > failed.fence
    await store.finish(lease, DONE)
    assert await state_of(store, failed.id) is MessageState.COMPLETED


async def test_a_requeued_message_goes_to_the_tail_of_its_thread_and_says_so(store: Store) -> None:
    failed = await dead_letter(store, thread="t")
    behind = [await add(store, thread="t") for _ in range(2)]
    (message,) = await requeue(store, failed.id)
    assert (message.thread_number, message.readiness) == (4, Readiness.BLOCKED)
    assert message.number > behind[-1].number
    assert [each.id for each in await thread_messages(store, "t")] == [behind[0].id, behind[1].id, failed.id]
    later = await add(store, thread="t")
    assert (later.thread_number, later.number > message.number) == (5, True)
    thread = await store.get_thread(TENANT, "t")
    assert (thread.message_count, thread.last_number) == (4, 5)
    assert await drain(store) == [behind[0].id, behind[1].id, failed.id, later.id]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
async def test_requeued_messages_of_a_thread_keep_their_order(store: Store, order: Sequence[int]) -> None:
    """The order of the ids does not matter, nor do messages of other threads between them."""
    failed = [await dead_letter(store, BROKEN, thread=thread) for thread in ("t", "u", "t", None, "t", "u")]
    chosen = [failed[place].id for place in order] + [failed[5].id, failed[4].id]
    requeued = await requeue(store, *chosen)
    assert [message.id for message in requeued] == chosen
    assert [each.id for each in await thread_messages(store, "t")] == [failed[0].id, failed[2].id, failed[4].id]
    assert [each.id for each in await thread_messages(store, "u")] == [failed[1].id, failed[5].id]
    assert sorted(requeued, key=lambda each: each.number) == sorted(requeued, key=lambda each: each.queue_position or 0)
    assert await drain(store) == [message.id for message in failed]


async def test_messages_requeued_twice_keep_the_order_of_their_thread(store: Store) -> None:
    first, second = [await dead_letter(store, BROKEN, thread="t") for _ in range(2)]
    await requeue(store, first.id)
    await store.finish(await claim_one(store), BROKEN)
    await requeue(store, second.id, first.id)
    assert await drain(store) == [second.id, first.id]


async def test_a_thousand_are_requeued_at_once(store: Store) -> None:
    """Without threads, with threads of their own, and two by two: each in its place, none if one of them is no more."""
    await add_all(store, *(new(thread=(None, f"t{i}", f"u{i // 6}")[i % 3]) for i in range(1_000)))
    failed: list[str] = []
    while claims := await claim(store, 1_000):
        await asyncio.gather(*(store.finish(each.lease, FAILED) for each in claims))
        failed += [each.message.id for each in claims]
    completed = await start(store)
    await store.finish(completed, DONE)
    with pytest.raises(NotFailed):
        await requeue(store, *failed, completed.message_id)
    assert (await store.summary(TENANT, limit=1)).totals[MessageState.FAILED] == 1_000
    chosen = failed[::-1]
    requeued = await requeue(store, *chosen)
    assert [message.id for message in requeued] == chosen
    by_number = sorted(requeued, key=lambda message: message.number)
    assert [message.queue_position for message in by_number] == list(range(1_000))
    assert [await store.get(TENANT, message.id) for message in requeued[::100]] == requeued[::100]
    ends = [each.id for each in by_number if each.readiness is Readiness.BLOCKED]
    assert await claimed_ids(store) == [each.id for each in by_number if each.readiness is Readiness.READY]
    assert len(ends) == 166, "the second of each two"


async def test_a_requeued_message_ranks_as_of_now(store: Store, clock: ManualClock) -> None:
    failed = await dead_letter(store)
    clock.advance(1)
    waiting = await add(store)
    low = await add(store, priority=LOW)
    clock.advance(1)
    await requeue(store, failed.id)
    clock.advance(1)
    later = await add(store)
    assert (await store.get(TENANT, failed.id)).queue_position == 1
    assert await drain(store) == [waiting.id, failed.id, later.id, low.id]


async def test_a_requeued_message_of_the_same_moment_is_behind_those_that_were_there(store: Store) -> None:
    failed = await dead_letter(store)
    waiting = await add(store)
    await requeue(store, failed.id)
    assert await drain(store) == [waiting.id, failed.id]


async def test_a_requeued_message_lifts_those_ahead_in_its_thread(store: Store) -> None:
    failed = await dead_letter(store, thread="t", priority=HIGH)
    low = await add(store, thread="t", priority=LOW)
    normal = await add(store)
    await requeue(store, failed.id)
    assert await drain(store) == [low.id, failed.id, normal.id]


async def test_many_are_requeued_oldest_first_and_returned_in_the_order_of_the_call(store: Store) -> None:
    failed = [await dead_letter(store, thread=thread) for thread in ("t", None, "t", "t", None)]
    ids = [failed[index].id for index in (3, 1, 0, 4, 2)]
    messages = await requeue(store, *ids)
    assert [message.id for message in messages] == ids
    oldest_first = sorted(messages, key=lambda each: each.number)
    assert [message.id for message in oldest_first] == [each.id for each in failed]
    assert [each.id for each in await thread_messages(store, "t")] == [failed[0].id, failed[2].id, failed[3].id]
    assert [message.thread_number for message in oldest_first if message.thread_id] == [4, 5, 6]
    assert [message.queue_position for message in oldest_first] == [0, 1, 2, 3, 4]
    assert await drain(store) == [each.id for each in failed]


async def test_a_requeued_message_counts_where_it_is(store: Store) -> None:
    failed = await dead_letter(store, thread="t")
    await requeue(store, failed.id)
    totals = (await store.summary(TENANT, limit=10)).totals
    assert (totals[MessageState.FAILED], totals[MessageState.QUEUED]) == (0, 1)
    states = (await store.get_thread(TENANT, "t")).states
    assert (states[MessageState.FAILED], states[MessageState.QUEUED]) == (0, 1)


async def test_the_log_of_a_requeued_message_goes_on_with_one_event(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    await store.append(lease, [chunk(0), chunk(1)])
    await store.finish(lease, FAILED)
    clock.advance(5)
    await requeue(store, lease.message_id)
    part = await page(store, lease.message_id)
    assert [(event.id, event.type) for event in part.events] == [(5, EventType.RETRY)]
    assert (part.first, part.last, part.state) == (5, 5, MessageState.QUEUED)
    (retry,) = await told(store, lease.message_id, EventType.RETRY)
    assert (retry["state"], retry["discard_from"]) == ("queued", 1)
    assert retry["next_at"] == "2023-11-14T22:13:25.000Z"
    assert retry["error"]
    again = await claim_one(store)
    await store.append(again, [chunk(0)])
    await store.finish(again, DONE)
    events = await log(store, lease.message_id)
    assert [(event.id, event.type) for event in events] == [(5, "retry"), (6, "processing"), (7, "chunk"), (8, "done")]


async def test_a_log_that_was_pruned_goes_on_too(store: Store, clock: ManualClock) -> None:
    failed = await dead_letter(store)
    clock.advance(60)
    await store.prune_logs(older_than_seconds=1, limit=10)
    await requeue(store, failed.id)
    assert [(event.id, event.type) for event in await log(store, failed.id)] == [(3, "retry")]
    await drain(store)
    clock.advance(60)
    assert (await store.prune_logs(older_than_seconds=1, limit=10))[0] == 1, "it has a log to be pruned again"
    assert [(event.id, event.type) for event in await log(store, failed.id)] == [(5, "done")]


async def test_a_message_is_requeued_again_and_again(store: Store, clock: ManualClock) -> None:
    failed = await dead_letter(store, thread="t")
    numbers, fences = [failed.number], [failed.fence]
    for turn in range(2, 6):
        (message,) = await requeue(store, failed.id)
        assert message.thread_number == turn
        numbers.append(message.number)
        lease = await claim_one(store)
        assert lease.attempt == 1
        fences.append(lease.fence)
        await store.finish(lease, FAILED)
        clock.advance(1)
        attempts = (await store.list_attempts(TENANT, [failed.id]))[failed.id]
        assert len(attempts) == turn
        assert [attempt.ended_at for attempt in attempts] == sorted(attempt.ended_at for attempt in attempts)
    assert numbers == sorted(set(numbers))
    assert fences == sorted(set(fences))
    assert [event.id for event in await log(store, failed.id)] == [12, 13, 14]
    assert (await store.get_thread(TENANT, "t")).message_count == 1


async def test_a_requeued_message_has_all_its_crashes_again(store: Store, clock: ManualClock) -> None:
    await start(store)
    clock.advance(LEASE_SECONDS)
    await store.rescue(max_crashes=1)
    (failed,) = await listed(store)
    await requeue(store, failed)
    for _ in range(MAX_CRASHES - 1):
        await claim_one(store)
        clock.advance(LEASE_SECONDS)
        await store.rescue()
    assert await state_of(store, failed) is MessageState.QUEUED


async def test_a_requeued_message_asks_nothing_any_more(store: Store, clock: ManualClock) -> None:
    asking = await interrupt(store)
    clock.advance(INTERRUPTED.ttl_seconds)
    await store.expire_interrupts()
    (message,) = await requeue(store, asking.id)
    assert (message.interrupt, message.interrupt_expires_at, message.resume_value) == (None, None, None)


async def test_a_requeued_message_has_no_answer_any_more(store: Store) -> None:
    """It would be one to a question that the new run has not asked."""
    asking = await interrupt(store)
    await resume(store, asking)
    await store.finish(await claim_one(store), FAILED)
    (message,) = await requeue(store, asking.id)
    assert (message.interrupt, message.resume_value) == (None, None)
    (claimed,) = await claim(store)
    assert (claimed.message.interrupt, claimed.message.resume_value) == (None, None)


async def test_a_requeued_message_runs_though_its_last_run_was_to_be_cancelled(store: Store) -> None:
    failed = await dead_letter(store)
    await requeue(store, failed.id)
    lease = await claim_one(store)
    await store.finish(lease, DONE)
    assert await state_of(store, failed.id) is MessageState.COMPLETED


async def test_a_requeued_message_can_be_cancelled(store: Store) -> None:
    failed = await dead_letter(store)
    await requeue(store, failed.id)
    await store.cancel(TENANT, failed.id)
    assert await event_types(store, failed.id) == ["retry", "cancelled"]


async def test_workers_are_woken_by_a_requeue(store: Store) -> None:
    failed = await dead_letter(store)
    with store.subscribe(READY) as hints:
        await hints.wait(0.03)
        await requeue(store, failed.id)
        assert await hints.wait(5)


async def test_of_concurrent_requeues_one_counts(store: Store, other_store: Store) -> None:
    failed = [(await dead_letter(store, thread="t")).id for _ in range(3)]
    replies = await asyncio.gather(
        *(requeue(each, *failed) for each in [store, other_store] * 3), return_exceptions=True
    )
    assert sum(isinstance(reply, NotFailed) for reply in replies) == 5
    assert await drain(store) == failed
