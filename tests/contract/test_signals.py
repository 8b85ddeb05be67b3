"""Hints: whoever waits for a change is woken by it, and what was hinted before the wait is not lost."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.models.attempts import Lease, Released
from app.store.handles import Subscription
from app.store.ports import MOVED, READY, Store, message_topic
from tests.clock import ManualClock
from tests.contract.backends import BACKENDS, StoreFactory
from tests.contract.builders import (
    DONE,
    FAILED,
    INTERRUPTED,
    LEASE_SECONDS,
    RELEASED,
    RETRIED,
    TENANT,
    add,
    cancel_running,
    chunk,
    claim,
    claim_one,
    dead_letter,
    start,
)

SOON = 5.0
NOW = 0.0
A_MOMENT = 0.03
"""Real time, long enough for a hint that should not come."""

Change = Callable[[Store, ManualClock, Lease], Awaitable[object]]


@pytest.fixture(params=BACKENDS)
def make_store(request: pytest.FixtureRequest) -> StoreFactory:
    """The factory of each backend, `memory://` included."""
    return BACKENDS[request.param]


async def claimed(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, RELEASED)
    await claim(store)


async def appended(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.append(lease, [chunk(0)])


async def completed(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, DONE)


async def failed(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, FAILED)


async def released(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, Released("later", delay=10))


async def rescued(store: Store, clock: ManualClock, lease: Lease) -> None:
    clock.advance(LEASE_SECONDS)
    await store.rescue()


async def worker_lost(store: Store, clock: ManualClock, lease: Lease) -> None:
    clock.advance(LEASE_SECONDS)
    await store.rescue(max_crashes=1)


async def retried(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, RETRIED)


async def interrupted(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, INTERRUPTED)


async def cancelled(store: Store, clock: ManualClock, lease: Lease) -> None:
    await cancel_running(store, lease.message_id)
    await store.finish(lease, DONE)


async def cancelled_by_the_rescue(store: Store, clock: ManualClock, lease: Lease) -> None:
    await cancel_running(store, lease.message_id)
    clock.advance(LEASE_SECONDS)
    await store.rescue()


async def settle(hints: Subscription) -> None:
    """Take the hints of what a test did to get ready."""
    for _ in range(100):
        if not await hints.wait(A_MOMENT):
            return
    pytest.fail("hints come without end")


CHANGES: list[Change] = [
    claimed,
    appended,
    completed,
    failed,
    released,
    rescued,
    worker_lost,
    retried,
    interrupted,
    cancelled,
    cancelled_by_the_rescue,
]
for_each_change = pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)


@for_each_change
async def test_readers_of_a_message_are_woken_by_its_changes(store: Store, clock: ManualClock, change: Change) -> None:
    lease = await start(store)
    with store.subscribe(message_topic(lease.message_id)) as hints:
        await settle(hints)
        waiting = asyncio.create_task(hints.wait(SOON))
        await change(store, clock, lease)
        assert await waiting


async def test_readers_of_a_queued_message_are_woken_by_its_claim(store: Store) -> None:
    message = await add(store)
    with store.subscribe(message_topic(message.id)) as hints:
        await claim(store)
        assert await hints.wait(SOON)


async def test_readers_of_a_queued_message_are_woken_by_its_cancel(store: Store) -> None:
    message = await add(store)
    with store.subscribe(message_topic(message.id)) as hints:
        await store.cancel(TENANT, message.id)
        assert await hints.wait(SOON)


async def test_readers_of_a_failed_message_are_woken_by_its_requeue(store: Store) -> None:
    failed = await dead_letter(store)
    with store.subscribe(message_topic(failed.id)) as hints:
        await settle(hints)
        await store.requeue(TENANT, [failed.id])
        assert await hints.wait(SOON)


async def test_readers_of_other_messages_are_left_asleep(store: Store) -> None:
    lease = await start(store)
    other = await add(store, thread="other")
    with store.subscribe(message_topic(lease.message_id)) as ours, store.subscribe(message_topic(other.id)) as theirs:
        await store.append(lease, [chunk(0)])
        await store.finish(lease, DONE)
        assert await ours.wait(SOON)
        assert not await theirs.wait(A_MOMENT)


async def test_an_append_does_not_wake_those_who_watch_the_queue(store: Store) -> None:
    lease = await start(store)
    with store.subscribe(message_topic(lease.message_id)) as reader, store.subscribe(READY, MOVED) as watcher:
        await settle(watcher)
        await store.append(lease, [chunk(0)])
        assert await reader.wait(SOON)
        assert not await watcher.wait(A_MOMENT)


async def test_workers_are_woken_by_a_new_message(store: Store) -> None:
    with store.subscribe(READY) as hints:
        await add(store)
        assert await hints.wait(SOON)


READYING: list[Change] = [completed, failed, rescued, worker_lost, cancelled, cancelled_by_the_rescue]


@pytest.mark.parametrize("change", READYING, ids=lambda change: change.__name__)
async def test_workers_are_woken_when_a_change_makes_work(store: Store, clock: ManualClock, change: Change) -> None:
    lease = await start(store, thread="t")
    await add(store, thread="t")
    with store.subscribe(READY) as hints:
        await settle(hints)
        await change(store, clock, lease)
        assert await hints.wait(SOON)
        await claim_one(store)


async def test_workers_are_woken_by_a_release(store: Store) -> None:
    lease = await start(store)
    with store.subscribe(READY) as hints:
        await settle(hints)
        await store.finish(lease, RELEASED)
        assert await hints.wait(SOON)


async def test_workers_are_woken_when_a_cancelled_head_makes_room(store: Store) -> None:
    head, _ = [await add(store, thread="t") for _ in range(2)]
    with store.subscribe(READY) as hints:
        await settle(hints)
        await store.cancel(TENANT, head.id)
        assert await hints.wait(SOON)


async def test_workers_are_woken_when_a_delay_is_over(store: Store, clock: ManualClock) -> None:
    await store.finish(await start(store), Released("later", delay=10))
    clock.advance(10)
    with store.subscribe(READY) as hints:
        await settle(hints)
        await store.promote()
        assert await hints.wait(SOON)


@pytest.mark.parametrize("change", [completed, failed, claimed], ids=lambda change: change.__name__)
async def test_those_who_wait_in_the_queue_are_woken_when_it_moves(
    store: Store, clock: ManualClock, change: Change
) -> None:
    lease = await start(store)
    with store.subscribe(MOVED) as hints:
        await settle(hints)
        await change(store, clock, lease)
        assert await hints.wait(SOON)


async def test_those_who_wait_in_the_queue_are_woken_by_a_cancel(store: Store) -> None:
    message = await add(store)
    with store.subscribe(MOVED) as hints:
        await settle(hints)
        await store.cancel(TENANT, message.id)
        assert await hints.wait(SOON)


async def test_what_was_hinted_is_there_to_be_read(store: Store) -> None:
    lease = await start(store)

    async def read_until(last: int) -> None:
        with store.subscribe(message_topic(lease.message_id)) as hints:
            while (await store.read(TENANT, lease.message_id, after=0, limit=1)).last < last:
                assert await hints.wait(SOON), "an event was written without a hint"

    readers = [asyncio.create_task(read_until(51)) for _ in range(3)]
    for index in range(50):
        await store.append(lease, [chunk(index)])
    await asyncio.gather(*readers)


async def test_a_hint_before_the_wait_is_not_lost(store: Store) -> None:
    with store.subscribe("topic") as hints:
        store.publish("topic")
        assert await hints.wait(NOW)


async def test_hints_before_one_wait_are_one(store: Store) -> None:
    with store.subscribe("topic", "other") as hints:
        store.publish("topic")
        store.publish("other", "topic")
        assert await hints.wait(SOON)
        assert not await hints.wait(NOW)


async def test_a_hint_wakes_every_subscriber_of_its_topic_and_no_other(store: Store) -> None:
    with store.subscribe("a") as a, store.subscribe("a", "b") as both, store.subscribe("b") as b:
        store.publish("a")
        assert await a.wait(NOW)
        assert await both.wait(NOW)
        assert not await b.wait(A_MOMENT)


async def test_a_hint_wakes_the_waiter_at_once(store: Store) -> None:
    with store.subscribe("topic") as hints:
        waiting = asyncio.create_task(hints.wait(SOON))
        await asyncio.sleep(0)
        assert not waiting.done()
        store.publish("topic")
        async with asyncio.timeout(SOON / 2):
            assert await waiting


@pytest.mark.parametrize("timeout", [0.0, 0.01])
async def test_without_a_hint_a_wait_ends_at_its_timeout(store: Store, timeout: float) -> None:
    with store.subscribe("topic") as hints:
        store.publish("another topic")
        async with asyncio.timeout(SOON):
            assert not await hints.wait(timeout)


async def test_a_wait_that_is_cancelled_leaves_the_next_hint_to_the_next_wait(store: Store) -> None:
    with store.subscribe("topic") as hints:
        waiting = asyncio.create_task(hints.wait(SOON))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        store.publish("topic")
        assert await hints.wait(SOON)


async def test_who_has_left_is_not_woken(store: Store) -> None:
    with store.subscribe("topic") as hints:
        pass
    store.publish("topic")
    assert not await hints.wait(A_MOMENT)
