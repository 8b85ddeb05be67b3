"""`if_busy`: what a message does that finds unfinished messages in its thread."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.errors import NotInterrupted, QueueFull, ThreadAsks, ThreadBusy
from app.models.attempts import Lease, Outcome
from app.models.messages import IfBusy, Message, MessageState, Readiness
from app.store.ports import CANCELS, Store, message_topic
from tests.clock import ManualClock
from tests.contract.builders import (
    DONE,
    ENDS,
    FAILED,
    INTERRUPTED,
    LEASE_SECONDS,
    OTHER_TENANT,
    OUTCOMES,
    TENANT,
    add,
    add_all,
    beat,
    claim,
    claim_one,
    claimed_ids,
    drain,
    event_types,
    interrupt,
    listed,
    new,
    request_key,
    resume,
    seen,
    start,
    state_of,
    thread_messages,
)

ENQUEUE, REJECT, INTERRUPT, ROLLBACK = IfBusy.ENQUEUE, IfBusy.REJECT, IfBusy.INTERRUPT, IfBusy.ROLLBACK

Ahead = Callable[[Store], Awaitable[str]]


async def queued(store: Store) -> str:
    return (await add(store, thread="t")).id


async def processing(store: Store) -> str:
    return (await start(store, thread="t")).message_id


async def delayed(store: Store) -> str:
    return (await add(store, thread="t", delay_seconds=60)).id


async def interrupted(store: Store) -> str:
    return (await interrupt(store, thread="t")).id


AHEAD: list[Ahead] = [queued, processing, delayed, interrupted]
behind_each = pytest.mark.parametrize("ahead", AHEAD, ids=lambda ahead: ahead.__name__)
with_each = pytest.mark.parametrize("if_busy", IfBusy)
by_each_cancel = pytest.mark.parametrize("if_busy", [INTERRUPT, ROLLBACK])


@with_each
async def test_an_idle_thread_is_no_matter(store: Store, if_busy: IfBusy) -> None:
    for outcome in ENDS:
        await store.finish(await start(store, thread="t"), outcome)
    await add(store, thread="other")
    message = await add(store, thread="t", if_busy=if_busy)
    assert (message.state, message.readiness, message.thread_number) == (MessageState.QUEUED, Readiness.READY, 4)
    assert message.rollback == ()
    assert await store.get(TENANT, message.id) == message
    assert (await add(store, thread="new", if_busy=if_busy)).thread_number == 1


@with_each
async def test_without_a_thread_nothing_is_busy(store: Store, if_busy: IfBusy) -> None:
    running, waiting = await start(store), await add(store)
    message = await add(store, if_busy=if_busy)
    assert message.rollback == ()
    assert await state_of(store, running.message_id) is MessageState.PROCESSING
    assert await drain(store) == [waiting.id, message.id]


@with_each
async def test_the_thread_of_another_tenant_is_no_matter(store: Store, if_busy: IfBusy) -> None:
    theirs = await start(store, thread="t", tenant=OTHER_TENANT)
    message = await add(store, thread="t", if_busy=if_busy)
    assert (message.thread_number, message.rollback) == (1, ())
    assert not (await store.get(OTHER_TENANT, theirs.message_id)).cancel_requested
    assert await claimed_ids(store) == [message.id]


@behind_each
async def test_enqueue_waits(store: Store, ahead: Ahead) -> None:
    first = await ahead(store)
    before = await seen(store, first)
    message = await add(store, thread="t", if_busy=ENQUEUE)
    assert (message.readiness, message.thread_number, message.rollback) == (Readiness.BLOCKED, 2, ())
    assert await seen(store, first) == before


@pytest.mark.parametrize("ahead", [queued, processing, delayed], ids=lambda ahead: ahead.__name__)
async def test_reject_stores_nothing(store: Store, clock: ManualClock, ahead: Ahead) -> None:
    first = await ahead(store)
    before = await seen(store, first), await store.get_thread(TENANT, "t")
    clock.advance(1)
    with pytest.raises(ThreadBusy):
        await add(store, thread="t", if_busy=REJECT)
    assert (await seen(store, first), await store.get_thread(TENANT, "t")) == before
    assert await listed(store) == [first]
    assert (await add(store, thread="t")).thread_number == 2


@by_each_cancel
@pytest.mark.parametrize("ahead", [queued, delayed, interrupted], ids=lambda ahead: ahead.__name__)
async def test_what_waits_is_cancelled_at_once_and_the_new_one_is_first(
    store: Store, if_busy: IfBusy, ahead: Ahead
) -> None:
    first = await ahead(store)
    message = await add(store, thread="t", if_busy=if_busy)
    assert await state_of(store, first) is MessageState.CANCELLED
    assert (await event_types(store, first))[-1] == "cancelled"
    assert (message.readiness, message.queue_position, message.thread_number) == (Readiness.READY, 0, 2)
    assert await store.get(TENANT, message.id) == message
    assert message.rollback == ((first,) if if_busy is ROLLBACK else ())
    assert await claimed_ids(store) == [message.id]


@by_each_cancel
@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
async def test_the_end_of_what_runs_frees_the_new_one(store: Store, if_busy: IfBusy, outcome: Outcome) -> None:
    lease = await start(store, thread="t")
    message = await add(store, thread="t", if_busy=if_busy)
    running = await store.get(TENANT, lease.message_id)
    assert (running.state, running.cancel_requested) == (MessageState.PROCESSING, True)
    assert message.readiness is Readiness.BLOCKED
    assert message.rollback == ((lease.message_id,) if if_busy is ROLLBACK else ())
    assert (await beat(store)).cancelled == {lease.message_id}
    assert await claim(store) == []
    await store.finish(lease, outcome)
    assert await state_of(store, lease.message_id) is MessageState.CANCELLED
    (claimed,) = await claim(store)
    assert (claimed.message.id, claimed.message.rollback) == (message.id, message.rollback)


@by_each_cancel
async def test_the_rescue_of_what_ran_frees_the_new_one(store: Store, clock: ManualClock, if_busy: IfBusy) -> None:
    lease = await start(store, thread="t")
    message = await add(store, thread="t", if_busy=if_busy)
    clock.advance(LEASE_SECONDS)
    assert await store.rescue() == 1
    assert await state_of(store, lease.message_id) is MessageState.CANCELLED
    assert await claimed_ids(store) == [message.id]


@by_each_cancel
async def test_all_that_are_ahead_are_cancelled(store: Store, if_busy: IfBusy) -> None:
    lease = await start(store, thread="t")
    waiting = await add_all(store, new(thread="t"), new(thread="t", delay_seconds=5), new(thread="t"))
    message = await add(store, thread="t", if_busy=if_busy)
    states = [await state_of(store, each.id) for each in waiting]
    assert states == [MessageState.CANCELLED] * 3
    assert message.rollback == ((lease.message_id, *(each.id for each in waiting)) if if_busy is ROLLBACK else ())
    await store.finish(lease, DONE)
    assert await drain(store) == [message.id]


# A thread that only waits for a human: new input starts a new turn


async def test_reject_takes_the_place_of_an_open_question(store: Store) -> None:
    asking = await interrupt(store, thread="t")
    message = await add(store, thread="t", if_busy=REJECT)
    assert (message.readiness, message.queue_position, message.thread_number) == (Readiness.READY, 0, 2)
    assert message.rollback == ()
    assert await store.get(TENANT, message.id) == message
    assert await state_of(store, asking.id) is MessageState.CANCELLED
    assert (await event_types(store, asking.id))[-2:] == ["interrupted", "cancelled"]
    with pytest.raises(NotInterrupted):
        await resume(store, asking)
    assert (await store.get_thread(TENANT, "t")).states[MessageState.CANCELLED] == 1
    assert await drain(store) == [message.id]


async def test_readers_of_the_question_are_hinted_at_its_end(store: Store) -> None:
    asking = await interrupt(store, thread="t")
    with store.subscribe(message_topic(asking.id)) as hints:
        await hints.wait(0.03)
        await add(store, thread="t", if_busy=REJECT)
        assert await hints.wait(5)


async def test_reject_refuses_if_anything_waits_behind_the_question(store: Store) -> None:
    asking = await interrupt(store, thread="t")
    behind = await add(store, thread="t")
    before = await seen(store, asking.id), await seen(store, behind.id)
    with pytest.raises(ThreadBusy):
        await add(store, thread="t", if_busy=REJECT)
    assert (await seen(store, asking.id), await seen(store, behind.id)) == before


async def test_reject_refuses_once_the_answer_has_come(store: Store) -> None:
    asking = await interrupt(store, thread="t")
    await resume(store, asking)
    for _ in range(2):
        with pytest.raises(ThreadBusy):
            await add(store, thread="t", if_busy=REJECT)
        await claim(store)
    assert await state_of(store, asking.id) is MessageState.PROCESSING


@pytest.mark.parametrize("first", IfBusy)
async def test_reject_refuses_behind_another_of_its_call_and_the_question_stays(store: Store, first: IfBusy) -> None:
    asking = await interrupt(store, thread="t")
    before = await seen(store, asking.id)
    with pytest.raises(ThreadBusy):
        await add_all(store, new(thread="t", if_busy=first), new(thread="t", if_busy=REJECT))
    assert await seen(store, asking.id) == before
    assert await listed(store) == [asking.id]


async def test_in_a_call_each_thread_has_its_own_question(store: Store) -> None:
    asking = [await interrupt(store, thread=thread) for thread in ("a", "b", "c")]
    messages = await add_all(
        store,
        new(thread="a", if_busy=REJECT),
        new(thread="b", if_busy=ENQUEUE),
        new(thread="c", if_busy=ROLLBACK),
        new(thread="a"),
        new(thread="d", if_busy=REJECT),
    )
    states = [await state_of(store, each.id) for each in asking]
    assert states == [MessageState.CANCELLED, MessageState.INTERRUPTED, MessageState.CANCELLED]
    places = [each.readiness for each in messages]
    assert places == [Readiness.READY, Readiness.BLOCKED, Readiness.READY, Readiness.BLOCKED, Readiness.READY]
    assert [each.rollback for each in messages] == [(), (), (asking[2].id,), (), ()]


async def test_a_refused_reject_leaves_the_question(store: Store) -> None:
    asking = await interrupt(store, thread="t")
    before = await seen(store, asking.id)
    with pytest.raises(QueueFull):
        await add(store, thread="t", if_busy=REJECT, max_queued=0)
    assert await seen(store, asking.id) == before
    await add(store, thread="t", if_busy=REJECT, max_queued=1)
    assert await state_of(store, asking.id) is MessageState.CANCELLED


async def test_a_replayed_reject_cancels_no_later_question(store: Store) -> None:
    asking = await interrupt(store, thread="t")
    given = new(thread="t", if_busy=REJECT)
    (message,) = await add_all(store, given, key=request_key())
    await store.finish(await claim_one(store), INTERRUPTED)
    assert (await store.add([given], max_queued=9, key=request_key())).replayed
    assert await state_of(store, asking.id) is MessageState.CANCELLED
    assert await state_of(store, message.id) is MessageState.INTERRUPTED


async def test_an_answer_and_a_new_turn_at_the_same_moment(store: Store, other_store: Store) -> None:
    for turn in range(30):
        asking = await interrupt(store, thread="t")
        calls: list[Awaitable[Message]] = [resume(store, asking), add(other_store, thread="t", if_busy=REJECT)]
        replies = await asyncio.gather(*calls[:: (1, -1)[turn % 2]], return_exceptions=True)
        (accepted,) = [reply for reply in replies if isinstance(reply, Message)]
        (refused,) = [reply for reply in replies if isinstance(reply, Exception)]
        assert isinstance(refused, ThreadBusy if accepted.id == asking.id else NotInterrupted)
        assert await drain(store) == [accepted.id]


# A message that must not wait behind a question


@pytest.mark.parametrize("ahead", [queued, processing, delayed], ids=lambda ahead: ahead.__name__)
async def test_only_a_question_refuses_it(store: Store, ahead: Ahead) -> None:
    await interrupt(store, thread="other")
    await interrupt(store, thread="t", tenant=OTHER_TENANT)
    await ahead(store)
    message = await add(store, thread="t", behind_question=False)
    assert (message.readiness, message.thread_number) == (Readiness.BLOCKED, 2)
    assert (await add(store, thread="new", behind_question=False)).readiness is Readiness.READY
    assert (await add(store, behind_question=False)).readiness is Readiness.READY


async def test_it_is_refused_until_the_question_is_answered(store: Store) -> None:
    asking = await interrupt(store, thread="t")
    before = await seen(store, asking.id), await store.get_thread(TENANT, "t")
    refused = new(thread="t", behind_question=False)
    for news in ([refused], [new(thread="t", if_busy=INTERRUPT), refused], [new(thread="new"), refused]):
        with pytest.raises(ThreadAsks):
            await add_all(store, *news, key=request_key())
    assert (await seen(store, asking.id), await store.get_thread(TENANT, "t")) == before
    assert await listed(store) == [asking.id]
    await resume(store, asking)
    (message,) = await add_all(store, refused, key=request_key())
    assert message.readiness is Readiness.BLOCKED


async def test_its_key_gives_its_first_answer_also_behind_a_later_question(store: Store) -> None:
    given = new(thread="t", behind_question=False)
    (message,) = await add_all(store, given, key=request_key())
    await store.finish(await claim_one(store), INTERRUPTED)
    replayed = await store.add([given], max_queued=9, key=request_key())
    assert (replayed.replayed, replayed.messages[0].id) == (True, message.id)
    with pytest.raises(ThreadAsks):
        await add(store, thread="t", behind_question=False)


async def test_other_messages_of_the_moment_are_stored_beside_a_refused_one(store: Store) -> None:
    await interrupt(store, thread="t")
    calls = [add(store, thread=thread, behind_question=False) for thread in ("a", "t", "b")]
    first, refused, last = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(refused, ThreadAsks)
    assert [each.id for each in (first, last) if isinstance(each, Message)] == await claimed_ids(store)


# What a rollback names


async def test_a_rollback_names_no_message_that_has_ended(store: Store) -> None:
    for outcome in (DONE, FAILED):
        await store.finish(await start(store, thread="t"), outcome)
    waiting = await add(store, thread="t")
    cancelled = await add(store, thread="t")
    await store.cancel(TENANT, cancelled.id)
    message = await add(store, thread="t", if_busy=ROLLBACK)
    assert message.rollback == (waiting.id,)


async def test_a_rollback_names_also_one_that_runs_though_it_was_cancelled(store: Store) -> None:
    """Its worker may not have stopped yet."""
    lease = await start(store, thread="t")
    first = await add(store, thread="t", if_busy=INTERRUPT)
    second = await add(store, thread="t", if_busy=ROLLBACK)
    assert second.rollback == (lease.message_id, first.id)
    assert await state_of(store, first.id) is MessageState.CANCELLED
    await store.finish(lease, DONE)
    assert await drain(store) == [second.id]


async def test_a_rollback_is_kept_through_retries(store: Store, clock: ManualClock) -> None:
    waiting = await add(store, thread="t")
    message = await add(store, thread="t", if_busy=ROLLBACK)
    await claim_one(store)
    clock.advance(LEASE_SECONDS)
    await store.rescue()
    (claimed,) = await claim(store)
    assert (claimed.message.id, claimed.message.rollback) == (message.id, (waiting.id,))


async def test_workers_are_hinted_at_the_cancel_of_what_runs(store: Store) -> None:
    await start(store, thread="t")
    with store.subscribe(CANCELS) as hints:
        await hints.wait(0.03)
        await add(store, thread="t", if_busy=INTERRUPT)
        assert await hints.wait(5)


async def test_a_delayed_message_cancels_at_once_and_runs_later(store: Store, clock: ManualClock) -> None:
    waiting = await add(store, thread="t")
    message = await add(store, thread="t", if_busy=INTERRUPT, delay_seconds=60)
    assert await state_of(store, waiting.id) is MessageState.CANCELLED
    assert (message.readiness, message.queue_position) == (Readiness.DELAYED, None)
    clock.advance(60)
    await store.promote()
    assert await drain(store) == [message.id]


@by_each_cancel
async def test_a_full_queue_cancels_nothing(store: Store, if_busy: IfBusy) -> None:
    lease = await start(store, thread="t")
    other = await add(store)
    before = await seen(store, lease.message_id)
    with pytest.raises(QueueFull):
        await add(store, thread="t", if_busy=if_busy, max_queued=1)
    assert await seen(store, lease.message_id) == before
    assert await drain(store) == [other.id]


@by_each_cancel
async def test_what_it_would_cancel_makes_no_room(store: Store, if_busy: IfBusy) -> None:
    waiting = await add(store, thread="t")
    with pytest.raises(QueueFull):
        await add(store, thread="t", if_busy=if_busy, max_queued=1)
    assert await state_of(store, waiting.id) is MessageState.QUEUED
    await add(store, thread="t", if_busy=if_busy, max_queued=2)
    assert await state_of(store, waiting.id) is MessageState.CANCELLED


# In batches


@by_each_cancel
async def test_those_before_it_in_the_same_call_are_cancelled_too(store: Store, if_busy: IfBusy) -> None:
    waiting = await add(store, thread="t")
    news = [new(thread="t"), new(thread="other"), new(thread="t", if_busy=if_busy), new(thread="t")]
    messages = await add_all(store, *news)
    states = [await state_of(store, message_id) for message_id in (waiting.id, *(each.id for each in news))]
    gone, kept = MessageState.CANCELLED, MessageState.QUEUED
    assert states == [gone, gone, kept, kept, kept]
    assert [each.thread_number for each in messages] == [2, 1, 3, 4]
    rollback = (await store.get(TENANT, news[2].id)).rollback
    assert rollback == messages[2].rollback == ((waiting.id, news[0].id) if if_busy is ROLLBACK else ())
    assert await event_types(store, news[0].id) == ["cancelled"]
    assert await drain(store) == [news[1].id, news[2].id, news[3].id]


async def test_several_in_one_call_leave_the_last(store: Store) -> None:
    news = [new(thread="t", if_busy=if_busy) for if_busy in (REJECT, INTERRUPT, ROLLBACK)]
    messages = await add_all(store, *news)
    assert messages[2].rollback == (news[1].id,)
    assert [message.thread_number for message in await thread_messages(store, "t")] == [1, 2, 3]
    assert await drain(store) == [news[2].id]


# Races


async def test_of_many_that_reject_at_once_one_is_accepted(store: Store, other_store: Store) -> None:
    calls = (add(each, thread="t", if_busy=REJECT) for each in [store, other_store] * 10)
    replies = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(reply, ThreadBusy) for reply in replies) == 19
    assert len(await drain(store)) == 1


async def test_of_many_that_interrupt_at_once_the_last_runs(store: Store, other_store: Store) -> None:
    lease = await start(store, thread="t")
    calls = (add(each, thread="t", if_busy=INTERRUPT) for each in [store, other_store] * 10)
    messages = await asyncio.gather(*calls)
    last = max(messages, key=lambda message: message.thread_number)
    await store.finish(lease, DONE)
    assert await drain(store) == [last.id]
    totals = (await store.summary(TENANT, limit=1)).totals
    assert (totals[MessageState.CANCELLED], totals[MessageState.COMPLETED]) == (20, 1)


@by_each_cancel
async def test_an_interrupt_and_the_end_of_what_runs_at_the_same_moment(
    store: Store, other_store: Store, if_busy: IfBusy
) -> None:
    async def finish(lease: Lease) -> None:
        await store.finish(lease, DONE)

    for turn in range(30):
        lease = await start(store, thread="t")
        calls: list[Awaitable[object]] = [add(other_store, thread="t", if_busy=if_busy), finish(lease)]
        await asyncio.gather(*calls if turn % 2 else reversed(calls))
        (claimed,) = await claim(store)
        ended = await state_of(store, lease.message_id)
        if if_busy is ROLLBACK:
            cancelled = claimed.message.rollback == (lease.message_id,)
            assert ended is (MessageState.CANCELLED if cancelled else MessageState.COMPLETED)
        else:
            assert ended in {MessageState.CANCELLED, MessageState.COMPLETED}
        await store.finish(claimed.lease, DONE)


async def test_a_claim_and_an_interrupt_at_the_same_moment(store: Store, other_store: Store) -> None:
    for turn in range(30):
        first = await add(store, thread="t")
        calls: list[Awaitable[object]] = [add(other_store, thread="t", if_busy=INTERRUPT), claim(store)]
        await asyncio.gather(*calls if turn % 2 else reversed(calls))
        message = await store.get(TENANT, first.id)
        if message.state is MessageState.PROCESSING:
            assert message.cancel_requested
            await store.finish(Lease(first.id, message.fence, message.attempt, "worker 1"), INTERRUPTED)
        assert await state_of(store, first.id) is MessageState.CANCELLED
        for running in (await store.summary(TENANT, limit=10)).processing:
            await store.finish(Lease(running.id, running.fence, running.attempt, "worker 1"), DONE)
        await drain(store)
