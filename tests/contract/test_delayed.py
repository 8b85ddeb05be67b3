"""Messages that are not to run before a time."""

import asyncio
from datetime import datetime
from typing import Any

import pytest

from app.clock import to_datetime
from app.errors import QueueFull
from app.models.messages import MessageState, Readiness
from app.store.ports import READY, Store
from tests.clock import START, ManualClock
from tests.contract.builders import (
    DONE,
    HIGH,
    LOW,
    TENANT,
    add,
    add_all,
    cancel_running,
    claim,
    claim_one,
    claimed_ids,
    drain,
    new,
    start,
    state_of,
)

MILLISECOND = 0.001
DELAY = 60.0


def at(seconds: float) -> datetime:
    """The moment so many seconds after the start."""
    return to_datetime(START + round(seconds * 1000))


async def promoted_after(store: Store, clock: ManualClock, seconds: float) -> int:
    clock.advance(seconds)
    return await store.promote()


@pytest.mark.parametrize("when", [{"run_at": at(DELAY)}, {"delay_seconds": DELAY}], ids=["run_at", "delay"])
async def test_a_delayed_message_is_ready_at_its_time_and_not_before(
    store: Store, clock: ManualClock, when: dict[str, Any]
) -> None:
    message = await add(store, **when)
    assert (message.state, message.readiness) == (MessageState.QUEUED, Readiness.DELAYED)
    assert (message.run_at, message.queue_position) == (at(DELAY), None)
    assert await store.get(TENANT, message.id) == message
    assert await claim(store) == []
    assert await promoted_after(store, clock, DELAY - MILLISECOND) == 0
    assert await claim(store) == []
    assert await promoted_after(store, clock, MILLISECOND) == 1
    ready = await store.get(TENANT, message.id)
    assert (ready.readiness, ready.queue_position) == (Readiness.READY, 0)
    assert await claimed_ids(store) == [message.id]


async def test_a_delay_counts_by_the_clock_of_the_store(store: Store, clock: ManualClock) -> None:
    clock.advance(1_000)
    assert (await add(store, delay_seconds=1.5)).run_at == at(1_001.5)


async def test_a_time_that_is_past_is_at_once(store: Store) -> None:
    message = await add(store, run_at=at(-5))
    assert (message.readiness, message.queue_position) == (Readiness.READY, 0)
    assert await claimed_ids(store) == [message.id]


async def test_a_delayed_message_is_ahead_of_nobody(store: Store) -> None:
    await add(store, priority=HIGH, delay_seconds=DELAY)
    assert (await add(store, priority=LOW)).queue_position == 0


async def test_a_delayed_message_counts_for_the_limit(store: Store) -> None:
    await add(store, delay_seconds=DELAY)
    with pytest.raises(QueueFull):
        await add(store, max_queued=1)


async def test_a_delayed_message_goes_by_its_priority_once_it_is_ready(store: Store, clock: ManualClock) -> None:
    high = await add(store, priority=HIGH, delay_seconds=DELAY)
    low = await add(store, priority=LOW, delay_seconds=DELAY)
    normal = await add(store)
    assert await promoted_after(store, clock, DELAY) == 2
    assert await drain(store) == [high.id, normal.id, low.id]


async def test_delayed_messages_are_listed_behind_those_that_are_ready(store: Store) -> None:
    later = await add(store, priority=HIGH, delay_seconds=2 * DELAY)
    sooner = await add(store, priority=LOW, delay_seconds=DELAY)
    ready = await add(store, priority=LOW)
    queued = (await store.summary(TENANT, limit=10)).queued
    assert [message.id for message in queued] == [ready.id, sooner.id, later.id]


async def test_workers_are_woken_when_the_time_has_come(store: Store, clock: ManualClock) -> None:
    await add(store, delay_seconds=DELAY)
    clock.advance(DELAY)
    with store.subscribe(READY) as hints:
        await store.promote()
        assert await hints.wait(5)


async def test_concurrent_promotes_make_each_message_ready_once(store: Store, clock: ManualClock) -> None:
    messages = await add_all(store, *[new(delay_seconds=1 + number % 3) for number in range(30)])
    clock.advance(3)
    assert sum(await asyncio.gather(*(store.promote() for _ in range(6)))) == 30
    assert sorted(await drain(store)) == sorted(message.id for message in messages)


# In threads


async def test_a_delayed_head_keeps_its_thread_closed_and_no_other(store: Store, clock: ManualClock) -> None:
    head = await add(store, thread="t", delay_seconds=DELAY)
    behind = await add(store, thread="t", priority=HIGH)
    other = await add(store, thread="other", priority=LOW)
    assert behind.readiness is Readiness.BLOCKED
    assert await drain(store) == [other.id]
    assert await promoted_after(store, clock, DELAY) == 1
    assert await drain(store) == [head.id, behind.id]


async def test_one_that_is_first_too_early_is_delayed_from_then_on(store: Store, clock: ManualClock) -> None:
    running = await start(store, thread="t")
    message = await add(store, thread="t", delay_seconds=DELAY)
    assert (message.readiness, message.run_at) == (Readiness.BLOCKED, at(DELAY))
    clock.advance(DELAY / 2)
    await store.finish(running, DONE)
    delayed = await store.get(TENANT, message.id)
    assert (delayed.readiness, delayed.queue_position, delayed.run_at) == (Readiness.DELAYED, None, at(DELAY))
    assert await claim(store) == []
    assert await promoted_after(store, clock, DELAY / 2) == 1
    assert await claimed_ids(store) == [message.id]


async def test_one_whose_time_passed_while_it_was_behind_is_ready_at_once(store: Store, clock: ManualClock) -> None:
    running = await start(store, thread="t")
    message = await add(store, thread="t", delay_seconds=DELAY)
    clock.advance(DELAY)
    await store.finish(running, DONE)
    assert (await store.get(TENANT, message.id)).readiness is Readiness.READY
    assert await claimed_ids(store) == [message.id]


async def test_a_message_that_is_behind_is_not_promoted_by_its_time(store: Store, clock: ManualClock) -> None:
    await start(store, thread="t")
    message = await add(store, thread="t", delay_seconds=DELAY)
    assert await promoted_after(store, clock, DELAY) == 0
    assert (await store.get(TENANT, message.id)).readiness is Readiness.BLOCKED
    assert await claim(store) == []


async def test_one_that_is_first_after_a_cancel_waits_for_its_time(store: Store, clock: ManualClock) -> None:
    head = await add(store, thread="t")
    delayed = await add(store, thread="t", delay_seconds=DELAY)
    last = await add(store, thread="t")
    await store.cancel(TENANT, head.id)
    assert (await store.get(TENANT, delayed.id)).readiness is Readiness.DELAYED
    assert await drain(store) == []
    assert await promoted_after(store, clock, DELAY) == 1
    assert await drain(store) == [delayed.id, last.id]


@pytest.mark.parametrize("running", [False, True])
async def test_a_delayed_message_is_cancelled_at_once_and_makes_room(
    store: Store, clock: ManualClock, running: bool
) -> None:
    head = await add(store, thread="t", delay_seconds=DELAY)
    behind = await add(store, thread="t")
    await (cancel_running(store, head.id) if running else store.cancel(TENANT, head.id))
    assert await state_of(store, head.id) is MessageState.CANCELLED
    assert await drain(store) == [behind.id]
    assert await promoted_after(store, clock, DELAY) == 0


async def test_a_delayed_message_that_a_more_urgent_one_waits_for_inherits(store: Store, clock: ManualClock) -> None:
    head = await add(store, thread="t", priority=LOW, delay_seconds=DELAY)
    normal = await add(store)
    high = await add(store, thread="t", priority=HIGH)
    await promoted_after(store, clock, DELAY)
    assert await drain(store) == [head.id, high.id, normal.id]


async def test_a_delayed_message_that_was_claimed_and_put_back_is_ready_at_once(
    store: Store, clock: ManualClock
) -> None:
    message = await add(store, delay_seconds=DELAY)
    await promoted_after(store, clock, DELAY)
    await claim_one(store)
    clock.advance(DELAY)
    await store.rescue()
    assert await claimed_ids(store) == [message.id]


async def test_delayed_messages_of_one_call_have_their_own_times(store: Store, clock: ManualClock) -> None:
    late, soon, now = await add_all(store, new(delay_seconds=20), new(run_at=at(10)), new())
    assert [message.readiness for message in (late, soon, now)] == [
        Readiness.DELAYED,
        Readiness.DELAYED,
        Readiness.READY,
    ]
    assert now.queue_position == 0
    assert await drain(store) == [now.id]
    assert await promoted_after(store, clock, 10) == 1
    assert await drain(store) == [soon.id]
    assert await promoted_after(store, clock, 10) == 1
    assert await drain(store) == [late.id]
