"""Promises of `ControlStore.reprioritize`: a message gets the place that it would have had with this priority."""

import asyncio

import pytest

from app.errors import MessageNotFound, NotQueued
from app.models.attempts import Outcome, Released
from app.models.messages import Message, MessageState, Priority, Readiness, new_message_id
from app.store.ports import MOVED, Store
from tests.clock import ManualClock
from tests.contract.builders import (
    CANCELLED,
    DONE,
    FAILED,
    HIGH,
    INTERRUPTED,
    LOW,
    NORMAL,
    OTHER_TENANT,
    TENANT,
    add,
    claim_one,
    dead_letter,
    drain,
    event_types,
    requeue,
    resume,
    seen,
    start,
)


async def urge(store: Store, message: Message, priority: Priority = HIGH) -> Message:
    return await store.reprioritize(TENANT, message.id, priority)


async def test_a_message_is_claimed_by_its_new_priority(store: Store, clock: ManualClock) -> None:
    messages = []
    for _ in range(3):
        messages.append(await add(store))
        clock.advance(1)
    changed = await urge(store, messages[2])
    assert (changed.priority, changed.state, changed.readiness) == (HIGH, MessageState.QUEUED, Readiness.READY)
    assert (await store.get(TENANT, messages[2].id)).priority is HIGH
    assert (await store.get(TENANT, messages[2].id)).queue_position == 0
    assert await drain(store) == [messages[2].id, messages[0].id, messages[1].id]


async def test_the_rest_of_the_message_stays_as_it_was(store: Store, clock: ManualClock) -> None:
    message = await add(store, thread="t")
    clock.advance(5)
    changed = await urge(store, message)
    assert changed._replace(priority=message.priority, queue_position=message.queue_position) == message
    assert await event_types(store, message.id) == []


async def test_a_message_can_be_put_back(store: Store, clock: ManualClock) -> None:
    first = await add(store)
    clock.advance(1)
    second = await add(store)
    await urge(store, first, LOW)
    assert (await store.get(TENANT, second.id)).queue_position == 0
    assert await drain(store) == [second.id, first.id]


async def test_it_takes_the_place_it_would_have_had_from_its_acceptance_on(store: Store, clock: ManualClock) -> None:
    earlier = await add(store, priority=HIGH)
    clock.advance(1)
    message = await add(store, priority=LOW)
    clock.advance(1)
    later = await add(store, priority=HIGH)
    clock.advance(60)
    await urge(store, message)
    assert await drain(store) == [earlier.id, message.id, later.id]


async def test_there_and_back_changes_nothing(store: Store, clock: ManualClock) -> None:
    messages = []
    for _ in range(4):
        messages.append(await add(store))
        clock.advance(1)
    for priority in (HIGH, LOW, NORMAL, NORMAL):
        await urge(store, messages[1], priority)
    assert await drain(store) == [message.id for message in messages]


async def test_the_order_of_a_thread_stays(store: Store) -> None:
    first, second, third = [await add(store, thread="t") for _ in range(3)]
    await urge(store, third)
    await urge(store, second, LOW)
    assert await drain(store) == [first.id, second.id, third.id]


async def test_those_ahead_in_the_thread_inherit_the_new_priority(store: Store) -> None:
    low, behind = await add(store, thread="t", priority=LOW), await add(store, thread="t", priority=LOW)
    normal = await add(store)
    changed = await urge(store, behind)
    assert changed.readiness is Readiness.BLOCKED
    assert (await store.get(TENANT, low.id)).priority is LOW
    assert await drain(store) == [low.id, behind.id, normal.id]


async def test_those_ahead_inherit_no_longer_from_one_that_is_less_urgent_now(store: Store) -> None:
    low, behind = await add(store, thread="t", priority=LOW), await add(store, thread="t", priority=HIGH)
    normal = await add(store)
    await urge(store, behind, LOW)
    assert await drain(store) == [normal.id, low.id, behind.id]


async def test_those_ahead_inherit_from_the_next_best(store: Store) -> None:
    low = await add(store, thread="t", priority=LOW)
    changed = await add(store, thread="t", priority=HIGH)
    other_low = await add(store, priority=LOW)
    last = await add(store, thread="t", priority=NORMAL)
    other_normal = await add(store)
    await urge(store, changed, LOW)
    assert await drain(store) == [low.id, changed.id, last.id, other_normal.id, other_low.id]


async def test_one_that_inherits_keeps_the_better_rank(store: Store) -> None:
    head = await add(store, thread="t", priority=NORMAL)
    await add(store, thread="t", priority=HIGH)
    await add(store)
    await urge(store, head, LOW)
    assert (await store.get(TENANT, head.id)).queue_position == 0


async def test_those_behind_do_not_inherit(store: Store) -> None:
    first, second = await add(store, thread="t"), await add(store, thread="t", priority=LOW)
    other = await add(store)
    await urge(store, first)
    assert await drain(store) == [first.id, other.id, second.id]


async def test_a_running_head_takes_the_priority_of_those_behind_when_it_is_put_back(store: Store) -> None:
    lease = await start(store, thread="t", priority=LOW)
    behind = await add(store, thread="t", priority=LOW)
    normal = await add(store)
    await urge(store, behind)
    await store.finish(lease, Released("again"))
    assert await drain(store) == [lease.message_id, behind.id, normal.id]


async def test_a_delayed_message_has_its_new_priority_when_its_time_has_come(store: Store, clock: ManualClock) -> None:
    delayed = await add(store, priority=LOW, delay_seconds=10)
    normal = await add(store)
    changed = await urge(store, delayed)
    assert (changed.priority, changed.readiness, changed.queue_position) == (HIGH, Readiness.DELAYED, None)
    assert (await store.get(TENANT, normal.id)).queue_position == 0
    clock.advance(10)
    assert await store.promote() == 1
    assert await drain(store) == [delayed.id, normal.id]


async def test_one_behind_a_delayed_head_lifts_it(store: Store, clock: ManualClock) -> None:
    delayed = await add(store, thread="t", priority=LOW, delay_seconds=10)
    behind = await add(store, thread="t", priority=LOW)
    normal = await add(store)
    await urge(store, behind)
    clock.advance(10)
    await store.promote()
    assert await drain(store) == [delayed.id, behind.id, normal.id]


async def test_a_message_that_was_put_back_keeps_its_new_priority(store: Store) -> None:
    first, message = await add(store), await add(store)
    await urge(store, message)
    lease = await claim_one(store)
    assert lease.message_id == message.id
    await store.finish(lease, Released("again"))
    assert await drain(store) == [message.id, first.id]


async def test_a_requeued_message_counts_from_its_requeue_on(store: Store, clock: ManualClock) -> None:
    failed = await dead_letter(store)
    clock.advance(10)
    high = await add(store, priority=HIGH)
    clock.advance(10)
    await requeue(store, failed.id)
    await urge(store, failed)
    assert await drain(store) == [high.id, failed.id]


async def test_an_answered_message_can_be_changed_too(store: Store) -> None:
    lease = await start(store, priority=LOW)
    await store.finish(lease, INTERRUPTED)
    normal = await add(store)
    answered = await resume(store, await store.get(TENANT, lease.message_id))
    await urge(store, answered)
    assert await drain(store) == [answered.id, normal.id]


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (None, "processing"),
        (DONE, "completed"),
        (FAILED, "failed"),
        (CANCELLED, "cancelled"),
        (INTERRUPTED, "interrupted"),
    ],
)
async def test_only_queued_messages_are_changed(store: Store, outcome: Outcome | None, state: str) -> None:
    lease = await start(store)
    if outcome is not None:
        await store.finish(lease, outcome)
    before = await seen(store, lease.message_id)
    with pytest.raises(NotQueued) as refused:
        await store.reprioritize(TENANT, lease.message_id, HIGH)
    assert refused.value.state == state
    assert await seen(store, lease.message_id) == before


async def test_a_message_that_does_not_exist_is_not_found(store: Store) -> None:
    message = await add(store, priority=LOW)
    with pytest.raises(MessageNotFound):
        await store.reprioritize(TENANT, new_message_id(), HIGH)
    with pytest.raises(MessageNotFound):
        await store.reprioritize(OTHER_TENANT, message.id, HIGH)
    assert (await store.get(TENANT, message.id)).priority is LOW


async def test_those_who_wait_in_the_queue_are_woken(store: Store) -> None:
    message = await add(store)
    with store.subscribe(MOVED) as hints:
        await hints.wait(0.03)
        await urge(store, message)
        assert await hints.wait(5)


async def test_positions_follow_many_changes_at_once(store: Store, clock: ManualClock) -> None:
    messages = []
    for number in range(24):
        messages.append(await add(store, thread=f"t{number % 5}" if number % 2 else None))
        clock.advance(1)
    await asyncio.gather(*(urge(store, message, list(Priority)[number % 3]) for number, message in enumerate(messages)))
    positions = {message.id: (await store.get(TENANT, message.id)).queue_position for message in messages}
    assert positions == {message_id: place for place, message_id in enumerate(await drain(store))}
