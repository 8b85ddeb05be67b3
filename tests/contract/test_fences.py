"""Whoever has lost an attempt changes nothing: no event, no result, no retry."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.errors import LeaseLost
from app.models.attempts import Lease, Outcome, Retry
from app.models.events import EventType
from app.models.messages import MessageState, new_message_id
from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.builders import (
    DONE,
    ENDS,
    FAILED,
    INTERRUPTED,
    LEASE_SECONDS,
    OUTCOMES,
    RELEASED,
    RETRIED,
    TENANT,
    WORKER,
    add,
    cancel_running,
    chunk,
    claim_one,
    event_types,
    log,
    requeue,
    resume,
    seen,
    start,
    state_of,
)

Loss = Callable[[Store, ManualClock, Lease], Awaitable[None]]


async def rescued(store: Store, clock: ManualClock, lease: Lease) -> None:
    clock.advance(LEASE_SECONDS)
    assert await store.rescue() == 1


async def rescued_and_claimed_by_another(store: Store, clock: ManualClock, lease: Lease) -> None:
    await rescued(store, clock, lease)
    await claim_one(store, worker="worker 2")


async def rescued_and_claimed_by_the_same(store: Store, clock: ManualClock, lease: Lease) -> None:
    await rescued(store, clock, lease)
    await claim_one(store)


async def rescued_and_completed_by_another(store: Store, clock: ManualClock, lease: Lease) -> None:
    await rescued(store, clock, lease)
    await store.finish(await claim_one(store, worker="worker 2"), DONE)


async def failed_after_too_many_crashes(store: Store, clock: ManualClock, lease: Lease) -> None:
    clock.advance(LEASE_SECONDS)
    assert await store.rescue(max_crashes=1) == 1


async def released(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, RELEASED)


async def released_and_claimed_again(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, RELEASED)
    await claim_one(store)


async def released_and_cancelled(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, RELEASED)
    await store.cancel(TENANT, lease.message_id)


async def cancelled_and_rescued(store: Store, clock: ManualClock, lease: Lease) -> None:
    await cancel_running(store, lease.message_id)
    await rescued(store, clock, lease)
    assert await state_of(store, lease.message_id) is MessageState.CANCELLED


async def retried(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, RETRIED)


async def retried_and_claimed_again(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, Retry("It broke for now.", "agent_error", 0.0))
    await claim_one(store)


async def interrupted(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, INTERRUPTED)


async def interrupted_and_resumed(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, INTERRUPTED)
    await resume(store, await store.get(TENANT, lease.message_id))


async def resumed_and_claimed_again(store: Store, clock: ManualClock, lease: Lease) -> None:
    await interrupted_and_resumed(store, clock, lease)
    await claim_one(store)


async def interrupted_and_cancelled(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, INTERRUPTED)
    await cancel_running(store, lease.message_id)


async def interrupted_and_expired(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, INTERRUPTED)
    clock.advance(INTERRUPTED.ttl_seconds)
    assert await store.expire_interrupts() == 1


async def failed_and_requeued_by_another(store: Store, clock: ManualClock, lease: Lease) -> None:
    await rescued(store, clock, lease)
    await store.finish(await claim_one(store, worker="worker 2"), FAILED)
    await requeue(store, lease.message_id)


async def failed_and_requeued(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, FAILED)
    await requeue(store, lease.message_id)


async def requeued_and_claimed_again(store: Store, clock: ManualClock, lease: Lease) -> None:
    """Requeue the message and claim it as a first attempt, like the lost one."""
    await failed_and_requeued(store, clock, lease)
    await store.finish(await claim_one(store), DONE)  # of the one that was behind
    assert (await claim_one(store)).message_id == lease.message_id


LOSSES: list[Loss] = [
    rescued,
    rescued_and_claimed_by_another,
    rescued_and_claimed_by_the_same,
    rescued_and_completed_by_another,
    failed_after_too_many_crashes,
    released,
    released_and_claimed_again,
    released_and_cancelled,
    cancelled_and_rescued,
    retried,
    retried_and_claimed_again,
    interrupted,
    interrupted_and_resumed,
    resumed_and_claimed_again,
    interrupted_and_cancelled,
    interrupted_and_expired,
    failed_and_requeued_by_another,
    failed_and_requeued,
    requeued_and_claimed_again,
]
after_each_loss = pytest.mark.parametrize("lose", LOSSES, ids=lambda loss: loss.__name__)


@after_each_loss
async def test_a_lost_lease_appends_nothing_and_ends_nothing(store: Store, clock: ManualClock, lose: Loss) -> None:
    lease = await start(store, thread="t")
    behind = await add(store, thread="t")

    async def all_seen() -> tuple[Any, ...]:
        return await seen(store, lease.message_id), await seen(store, behind.id), await store.get_thread(TENANT, "t")

    await lose(store, clock, lease)
    before = await all_seen()
    with pytest.raises(LeaseLost) as refused:
        await store.append(lease, [chunk(0), chunk(1)])
    assert (refused.value.message_id, refused.value.fence) == (lease.message_id, lease.fence)
    assert await all_seen() == before
    for outcome in OUTCOMES:
        with pytest.raises(LeaseLost):
            await store.finish(lease, outcome)
        assert await all_seen() == before, outcome


@pytest.mark.parametrize("first", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
async def test_a_finish_that_is_repeated_after_a_cancel_changes_nothing(store: Store, first: Outcome) -> None:
    lease = await start(store, thread="t")
    await cancel_running(store, lease.message_id)
    await store.finish(lease, first)
    before = await seen(store, lease.message_id), await store.get_thread(TENANT, "t")
    for outcome in OUTCOMES:
        await store.finish(lease, outcome)
        assert (await seen(store, lease.message_id), await store.get_thread(TENANT, "t")) == before, outcome


@pytest.mark.parametrize("first", ENDS, ids=lambda outcome: type(outcome).__name__)
async def test_a_finish_that_is_repeated_changes_nothing(store: Store, first: Outcome) -> None:
    lease = await start(store, thread="t")
    await store.finish(lease, first)
    before = await seen(store, lease.message_id), await store.get_thread(TENANT, "t")
    for outcome in OUTCOMES:
        await store.finish(lease, outcome)
        assert (await seen(store, lease.message_id), await store.get_thread(TENANT, "t")) == before, outcome


@pytest.mark.parametrize("outcome", ENDS, ids=lambda outcome: type(outcome).__name__)
async def test_a_finish_that_is_repeated_leaves_the_next_of_the_thread_alone(store: Store, outcome: Outcome) -> None:
    lease = await start(store, thread="t")
    await add(store, thread="t")
    await store.finish(lease, outcome)
    following = await claim_one(store)
    before = await seen(store, following.message_id)
    await store.finish(lease, outcome)
    assert await seen(store, following.message_id) == before


@pytest.mark.parametrize("outcome", ENDS, ids=lambda outcome: type(outcome).__name__)
async def test_a_message_that_has_ended_takes_no_more_events(store: Store, outcome: Outcome) -> None:
    lease = await start(store)
    await store.finish(lease, outcome)
    before = await seen(store, lease.message_id)
    with pytest.raises(LeaseLost):
        await store.append(lease, [chunk(0)])
    assert await seen(store, lease.message_id) == before


@pytest.mark.parametrize("step", [-1, 1, 1000])
async def test_a_fence_that_was_never_given_out_proves_nothing(store: Store, step: int) -> None:
    lease = await start(store)
    before = await seen(store, lease.message_id)
    forged = lease._replace(fence=lease.fence + step)
    with pytest.raises(LeaseLost):
        await store.append(forged, [chunk(0)])
    with pytest.raises(LeaseLost):
        await store.finish(forged, DONE)
    assert await seen(store, lease.message_id) == before


async def test_a_queued_message_takes_no_events(store: Store) -> None:
    message = await add(store)
    guess = Lease(message.id, message.fence, message.attempt, WORKER)
    with pytest.raises(LeaseLost):
        await store.append(guess, [chunk(0)])
    with pytest.raises(LeaseLost):
        await store.finish(guess, DONE)
    assert await log(store, message.id) == []


async def test_a_lease_on_no_message_is_lost(store: Store) -> None:
    lease = Lease(new_message_id(), 1, 1, WORKER)
    with pytest.raises(LeaseLost):
        await store.append(lease, [chunk(0)])
    with pytest.raises(LeaseLost):
        await store.finish(lease, DONE)


async def test_a_lease_holds_until_somebody_takes_the_message(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    clock.advance(10 * LEASE_SECONDS)
    await store.append(lease, [chunk(0)])
    await store.finish(lease, DONE)
    assert await event_types(store, lease.message_id) == ["processing", "chunk", "done"]
    assert await store.rescue() == 0


async def test_the_new_holder_is_not_disturbed_by_the_old_one(store: Store, clock: ManualClock) -> None:
    old = await start(store)
    await store.append(old, [chunk(0, "old")])
    await rescued(store, clock, old)
    new = await claim_one(store, worker="worker 2")

    async def write(lease: Lease, text: str) -> None:
        for index in range(20):
            await store.append(lease, [chunk(index, text)])

    outcomes = await asyncio.gather(write(old, "old"), write(new, "new"), return_exceptions=True)
    assert isinstance(outcomes[0], LeaseLost)
    assert outcomes[1] is None
    await store.finish(new, DONE)
    events = await log(store, old.message_id)
    assert [event.type for event in events[:4]] == ["processing", "chunk", "retry", "processing"]
    assert [event.data for event in events[4:-1]] == [chunk(index, "new").data for index in range(20)]


async def test_finish_and_rescue_at_the_same_moment_end_the_attempt_once(store: Store, clock: ManualClock) -> None:
    for first in (True, False) * 25:
        lease = await start(store)
        clock.advance(LEASE_SECONDS)
        calls: list[Awaitable[int | None]] = [store.finish(lease, DONE), store.rescue()]
        results = await asyncio.gather(*calls if first else reversed(calls), return_exceptions=True)
        finished, count = results if first else reversed(results)
        message = await store.get(TENANT, lease.message_id)
        if count:
            assert isinstance(finished, LeaseLost)
            assert message.state is MessageState.QUEUED
            assert await event_types(store, message.id) == ["processing", "retry"]
            await store.cancel(TENANT, message.id)
        else:
            assert finished is None
            assert message.state is MessageState.COMPLETED
            assert await event_types(store, message.id) == ["processing", "done"]


async def test_two_finishes_at_the_same_moment_end_the_message_once(store: Store) -> None:
    for _ in range(20):
        lease = await start(store)
        await asyncio.gather(*(store.finish(lease, outcome) for outcome in (DONE, FAILED, DONE)))
        events = await log(store, lease.message_id)
        assert len(events) == 2
        state = (await store.get(TENANT, lease.message_id)).state
        assert (events[1].type is EventType.DONE) == (state is MessageState.COMPLETED)
