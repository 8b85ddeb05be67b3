"""Promises of `ControlStore.cancel` about messages that have begun: once acknowledged, they never complete."""

import asyncio
import os
from collections.abc import Awaitable

import pytest

from app.errors import LeaseLost, MessageNotFound, NotCancellable
from app.models.attempts import Beat, Lease, Outcome
from app.models.events import EventType
from app.models.messages import Message, MessageState, new_message_id
from app.store.limits import MAX_CRASHES
from app.store.ports import CANCELS, READY, Store, message_topic
from tests.clock import ManualClock
from tests.contract.builders import (
    ALL,
    CANCELLED,
    DONE,
    ENDS,
    FAILED,
    INTERRUPTED,
    LEASE_SECONDS,
    OTHER_TENANT,
    OUTCOMES,
    RELEASED,
    RETRIED,
    TENANT,
    add,
    add_all,
    beat,
    cancel_running,
    chunk,
    claim,
    claim_one,
    claimed_ids,
    dead_letter,
    drain,
    event_types,
    interrupt,
    new,
    requeue,
    resume,
    seen,
    start,
    state_of,
    told,
    worker,
)

RACE_TRIES = int(os.environ.get("RACE_TRIES", "300"))
"""Cancels that race the end of a run, on each backend."""

RACE_WIDTH = 50
SOON = 5.0
A_MOMENT = 0.03
"""Real time, long enough for a hint that should not come."""

with_each_outcome = pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)


# Queued, interrupted and ended messages


async def test_a_queued_message_is_cancelled_at_once(store: Store) -> None:
    head, behind = await add(store, thread="t"), await add(store, thread="t")
    cancelled = await cancel_running(store, head.id)
    assert cancelled.state is MessageState.CANCELLED
    assert await store.get(TENANT, head.id) == cancelled
    assert await event_types(store, head.id) == ["cancelled"]
    assert await drain(store) == [behind.id]


async def test_an_interrupted_message_is_cancelled_at_once(store: Store, clock: ManualClock) -> None:
    asking = await interrupt(store, thread="t")
    behind = await add(store, thread="t")
    clock.advance(1)
    cancelled = await cancel_running(store, asking.id)
    assert cancelled.state is MessageState.CANCELLED
    assert cancelled.completed_at is not None
    assert cancelled.interrupt is None
    assert await store.get(TENANT, asking.id) == cancelled
    assert await event_types(store, asking.id) == ["processing", "interrupted", "cancelled"]
    assert await drain(store) == [behind.id]


async def test_an_interrupted_message_is_not_cancelled_as_a_queued_one(store: Store) -> None:
    asking = await interrupt(store)
    before = await seen(store, asking.id)
    with pytest.raises(NotCancellable) as refused:
        await store.cancel(TENANT, asking.id)
    assert refused.value.state == "interrupted"
    assert await seen(store, asking.id) == before


@pytest.mark.parametrize("outcome", ENDS, ids=lambda outcome: type(outcome).__name__)
async def test_a_message_that_has_ended_cannot_be_cancelled(store: Store, outcome: Outcome) -> None:
    lease = await start(store)
    await store.finish(lease, outcome)
    before = await seen(store, lease.message_id)
    with pytest.raises(NotCancellable) as refused:
        await cancel_running(store, lease.message_id)
    assert refused.value.state == before[0].state
    assert await seen(store, lease.message_id) == before


async def test_a_message_that_does_not_exist_is_not_found(store: Store) -> None:
    lease = await start(store)
    for tenant, message_id in ((TENANT, new_message_id()), (OTHER_TENANT, lease.message_id)):
        with pytest.raises(MessageNotFound):
            await cancel_running(store, message_id, tenant)
    assert not (await store.get(TENANT, lease.message_id)).cancel_requested


# Running messages


async def test_a_running_message_runs_until_its_worker_stops_it(store: Store) -> None:
    lease = await start(store, thread="t")
    behind = await add(store, thread="t")
    acknowledged = await cancel_running(store, lease.message_id)
    assert (acknowledged.state, acknowledged.cancel_requested) == (MessageState.PROCESSING, True)
    assert await store.get(TENANT, lease.message_id) == acknowledged
    assert await event_types(store, lease.message_id) == ["processing"]
    await store.append(lease, [chunk(0)])
    assert await claim(store) == []
    await store.finish(lease, CANCELLED)
    assert await event_types(store, lease.message_id) == ["processing", "chunk", "cancelled"]
    assert await claimed_ids(store) == [behind.id]


@with_each_outcome
async def test_it_ends_as_cancelled_whatever_its_worker_makes_of_it(
    store: Store, clock: ManualClock, outcome: Outcome
) -> None:
    lease = await start(store, thread="t")
    behind = await add(store, thread="t")
    await cancel_running(store, lease.message_id)
    clock.advance(3)
    await store.finish(lease, outcome)
    message = await store.get(TENANT, lease.message_id)
    assert message.state is MessageState.CANCELLED
    assert (message.result, message.error, message.error_code, message.fingerprint) == (None, None, None, None)
    assert (message.interrupt, message.interrupt_expires_at) == (None, None)
    assert message.completed_at is not None
    assert (message.completed_at - message.created_at).total_seconds() == 3
    assert await event_types(store, lease.message_id) == ["processing", "cancelled"]
    clock.advance(10 * INTERRUPTED.ttl_seconds)
    assert (await store.rescue(), await store.promote(), await store.expire_interrupts()) == (0, 0, 0)
    assert await drain(store) == [behind.id]


async def test_a_worker_cancels_a_message_that_nobody_else_did(store: Store) -> None:
    lease = await start(store, thread="t")
    behind = await add(store, thread="t")
    await store.finish(lease, CANCELLED)
    assert await state_of(store, lease.message_id) is MessageState.CANCELLED
    assert await drain(store) == [behind.id]


async def test_a_second_cancel_changes_nothing(store: Store) -> None:
    lease = await start(store)
    first = await cancel_running(store, lease.message_id)
    before = await seen(store, lease.message_id)
    assert await cancel_running(store, lease.message_id) == first
    assert await seen(store, lease.message_id) == before
    await store.finish(lease, DONE)
    assert await event_types(store, lease.message_id) == ["processing", "cancelled"]


async def test_one_that_is_to_be_stopped_is_still_no_queued_one(store: Store) -> None:
    lease = await start(store)
    await cancel_running(store, lease.message_id)
    with pytest.raises(NotCancellable) as refused:
        await store.cancel(TENANT, lease.message_id)
    assert refused.value.state == "processing"


async def test_its_worker_is_told_by_the_next_beat(store: Store) -> None:
    for _ in range(3):
        await add(store)
    first, second, _ = [each.lease for each in await claim(store, 3)]
    assert (await beat(store)).cancelled == frozenset()
    await cancel_running(store, second.message_id)
    for _ in range(2):
        told_ = await beat(store)
        assert len(told_.held) == 3
        assert told_.held[second.message_id] == second.fence
        assert told_.cancelled == {second.message_id}
    await store.finish(second, CANCELLED)
    assert (await beat(store)).cancelled == frozenset()
    await cancel_running(store, first.message_id)
    assert (await beat(store)).cancelled == {first.message_id}


async def test_another_worker_is_not_told(store: Store) -> None:
    lease = await start(store)
    await cancel_running(store, lease.message_id)
    with store.open_lease_renewer() as renewer:
        told_ = renewer.beat(worker("worker 2"), [lease], lease_seconds=LEASE_SECONDS)
        assert told_ == Beat({}, frozenset())


async def test_a_cancel_is_hinted_at_to_the_workers_and_the_readers(store: Store) -> None:
    lease = await start(store)
    with store.subscribe(CANCELS) as hints:
        await hints.wait(A_MOMENT)
        await cancel_running(store, lease.message_id)
        assert await hints.wait(SOON)
    with store.subscribe(message_topic(lease.message_id)) as reader:
        await reader.wait(A_MOMENT)
        await store.finish(lease, DONE)
        assert await reader.wait(SOON)


async def test_workers_are_woken_by_the_end_of_a_cancelled_head(store: Store) -> None:
    lease = await start(store, thread="t")
    await add(store, thread="t")
    await cancel_running(store, lease.message_id)
    with store.subscribe(READY) as hints:
        await hints.wait(A_MOMENT)
        await store.finish(lease, CANCELLED)
        assert await hints.wait(SOON)


async def test_a_run_of_a_lost_worker_is_cancelled_by_the_rescue(store: Store, clock: ManualClock) -> None:
    lease = await start(store, thread="t")
    behind = await add(store, thread="t")
    await cancel_running(store, lease.message_id)
    clock.advance(LEASE_SECONDS)
    assert await store.rescue() == 1
    assert await event_types(store, lease.message_id) == ["processing", "cancelled"]
    assert (await store.list_attempts(TENANT, [lease.message_id]))[lease.message_id] == []
    with pytest.raises(LeaseLost):
        await store.finish(lease, DONE)
    assert await state_of(store, lease.message_id) is MessageState.CANCELLED
    assert await drain(store) == [behind.id]


async def test_a_cancelled_run_is_cancelled_also_when_its_workers_were_lost_too_often(
    store: Store, clock: ManualClock
) -> None:
    message = await add(store)
    for _ in range(MAX_CRASHES):
        await claim_one(store)
        if (await store.get(TENANT, message.id)).crashes == MAX_CRASHES - 1:
            await cancel_running(store, message.id)
        clock.advance(LEASE_SECONDS)
        assert await store.rescue() == 1
    assert await state_of(store, message.id) is MessageState.CANCELLED


async def test_a_message_that_waits_to_be_tried_again_is_cancelled_at_once(store: Store) -> None:
    for outcome in (RETRIED, RELEASED):
        lease = await start(store)
        await store.finish(lease, outcome)
        assert (await cancel_running(store, lease.message_id)).state is MessageState.CANCELLED


async def test_a_message_that_was_answered_is_cancelled_at_once(store: Store) -> None:
    asking = await interrupt(store)
    await resume(store, asking)
    cancelled = await cancel_running(store, asking.id)
    assert cancelled.state is MessageState.CANCELLED
    assert await claim(store) == []


async def test_a_thread_goes_on_after_cancels_of_every_kind(store: Store, clock: ManualClock) -> None:
    running = await start(store, thread="t")
    waiting, delayed, last = await add_all(store, new(thread="t"), new(thread="t", delay_seconds=60), new(thread="t"))
    for message_id in (delayed.id, running.message_id, waiting.id):
        await cancel_running(store, message_id)
    assert await claim(store) == []
    await store.finish(running, FAILED)
    assert await drain(store) == [last.id]
    assert (await store.get_thread(TENANT, "t")).states[MessageState.CANCELLED] == 3


async def test_a_cancel_of_an_earlier_life_does_not_count_in_the_next(store: Store) -> None:
    failed = await dead_letter(store)
    await requeue(store, failed.id)
    lease = await claim_one(store)
    assert not (await store.get(TENANT, failed.id)).cancel_requested
    assert (await beat(store)).cancelled == frozenset()
    await store.finish(lease, DONE)
    assert await state_of(store, failed.id) is MessageState.COMPLETED


# Races


async def race(canceller: Store, worker: Store, lease: Lease, outcome: Outcome, turn: int) -> bool:
    """Cancel a message at the moment of its end; whether the cancel was acknowledged."""
    cancel, finish = cancel_running(canceller, lease.message_id), worker.finish(lease, outcome)
    calls: list[Awaitable[Message | None]] = [cancel, finish]
    forward = turn % 2 == 0
    results = await asyncio.gather(*calls if forward else reversed(calls), return_exceptions=True)
    cancelled, finished = results if forward else reversed(results)
    assert finished is None
    if isinstance(cancelled, NotCancellable):
        return False
    assert isinstance(cancelled, Message)
    return True


async def test_after_an_acknowledged_cancel_no_message_ever_completes(store: Store, other_store: Store) -> None:
    """Both come at the same moment, in either order, from one process or two; each has to be first sometimes."""
    # Each store has cancels and ends to write: whichever commits first, both kinds win some.
    pairs = [(store, store), (other_store, other_store), (store, other_store), (other_store, store)]
    acknowledged = []
    for _ in range(0, RACE_TRIES, RACE_WIDTH):
        await add_all(store, *[new() for _ in range(RACE_WIDTH)])
        leases = [each.lease for each in await claim(store, RACE_WIDTH)]
        wins = await asyncio.gather(
            *(race(*pairs[turn // 2 % 4], lease, DONE, turn) for turn, lease in enumerate(leases))
        )
        messages = await asyncio.gather(*(store.get(TENANT, lease.message_id) for lease in leases))
        logs = await asyncio.gather(*(event_types(store, lease.message_id) for lease in leases))
        for won, message, types in zip(wins, messages, logs, strict=True):
            assert message.state is (MessageState.CANCELLED if won else MessageState.COMPLETED)
            assert types == ["processing", "cancelled" if won else "done"]
        acknowledged += wins
    assert 0 < sum(acknowledged) < len(acknowledged), "one side was never first"


@pytest.mark.parametrize("outcome", [FAILED, RETRIED, RELEASED, INTERRUPTED], ids=lambda each: type(each).__name__)
async def test_a_cancel_races_every_other_outcome(store: Store, other_store: Store, outcome: Outcome) -> None:
    for turn in range(30):
        lease = await start(store)
        acknowledged = await race(other_store if turn % 3 else store, store, lease, outcome, turn)
        state = await state_of(store, lease.message_id)
        if acknowledged:
            assert state is MessageState.CANCELLED
        else:
            assert state is MessageState.FAILED


async def test_a_cancel_races_the_rescue(store: Store, other_store: Store, clock: ManualClock) -> None:
    for _ in range(20):
        lease = await start(store)
        clock.advance(LEASE_SECONDS)
        cancelled, rescued = await asyncio.gather(cancel_running(store, lease.message_id), other_store.rescue())
        assert rescued or await store.rescue() == 1, "a rescue may leave to the next one what is just being written"
        assert isinstance(cancelled, Message)
        assert await state_of(store, lease.message_id) is MessageState.CANCELLED
        assert not await told(store, lease.message_id, EventType.DONE)


async def test_a_cancel_races_the_claim(store: Store, other_store: Store) -> None:
    for turn in range(30):
        message = await add(store)
        calls: list[Awaitable[object]] = [cancel_running(store, message.id), claim(other_store, ALL)]
        await asyncio.gather(*calls if turn % 2 else reversed(calls))
        stored = await store.get(TENANT, message.id)
        if stored.state is MessageState.PROCESSING:
            assert stored.cancel_requested
            await store.finish(Lease(stored.id, stored.fence, stored.attempt, "worker 1"), DONE)
        assert await state_of(store, message.id) is MessageState.CANCELLED
