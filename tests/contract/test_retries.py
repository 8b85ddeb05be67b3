"""An attempt that failed for now: the outcome `Retry`."""

from dataclasses import replace

import pytest

from app.clock import to_datetime
from app.models.attempts import Released, Retry
from app.models.events import EventType
from app.models.failures import FailureDetails
from app.models.messages import MessageState, Readiness
from app.store.ports import READY, Store
from app.text import rfc3339
from tests.clock import START, ManualClock
from tests.contract.builders import (
    DONE,
    FAILED,
    HIGH,
    INTERRUPTED,
    LEASE_SECONDS,
    LOW,
    RELEASED,
    RETRIED,
    TENANT,
    WORKER,
    add,
    chunk,
    claim,
    claim_one,
    claimed_ids,
    drain,
    event_types,
    log,
    start,
    told,
)

MILLISECOND = 0.001
AT_ONCE = Retry("It broke for now.", "agent_error", 0.0)
DETAILS = FailureDetails(
    node="ask\u00e9",
    error_type="ValueError",
    where="agents.py:3 in ask",
    traceback="Traceback:\n  …\nValueError: \U0001f600",
)


async def test_a_message_is_tried_again_after_its_delay(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    await store.finish(lease, RETRIED)
    message = await store.get(TENANT, lease.message_id)
    assert (message.state, message.readiness, message.queue_position) == (MessageState.QUEUED, Readiness.DELAYED, None)
    assert message.run_at == to_datetime(START + 5_000)
    assert message.completed_at is None
    clock.advance(RETRIED.delay - MILLISECOND)
    assert (await store.promote(), await claim(store)) == (0, [])
    clock.advance(MILLISECOND)
    assert await store.promote() == 1
    assert await claimed_ids(store) == [lease.message_id]


async def test_without_a_delay_it_is_ready_at_once(store: Store) -> None:
    lease = await start(store)
    with store.subscribe(READY) as hints:
        await hints.wait(0.03)
        await store.finish(lease, AT_ONCE)
        assert await hints.wait(5)
    assert (await store.get(TENANT, lease.message_id)).queue_position == 0
    assert await claimed_ids(store) == [lease.message_id]


@pytest.mark.parametrize("asked_for", [0.0, 5.0])
async def test_a_message_that_is_queued_again_at_once_is_not_put_off(
    store: Store, clock: ManualClock, asked_for: float
) -> None:
    message = await add(store, delay_seconds=asked_for)
    clock.advance(asked_for)
    await store.promote()
    for outcome in (RELEASED, AT_ONCE):
        await store.finish(await claim_one(store), outcome)
        assert (await store.get(TENANT, message.id)).run_at is None
    await claim_one(store)
    clock.advance(LEASE_SECONDS + MILLISECOND)
    assert await store.rescue() == 1
    assert (await store.get(TENANT, message.id)).run_at is None
    await store.finish(await claim_one(store), RETRIED)
    assert (await store.get(TENANT, message.id)).run_at is not None


async def test_the_attempt_is_not_refunded(store: Store) -> None:
    await add(store)
    for attempt in (1, 2, 3, 4):
        lease = await claim_one(store)
        assert lease.attempt == attempt
        await store.finish(lease, AT_ONCE)
        message = await store.get(TENANT, lease.message_id)
        assert (message.attempt, message.crashes) == (attempt, 0)
        assert message.fence > lease.fence


async def test_readers_are_told_of_a_retry_and_what_to_drop(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    await store.append(lease, [chunk(0), chunk(1)])
    clock.advance(2)
    await store.finish(lease, RETRIED)
    clock.advance(RETRIED.delay)
    await store.promote()
    again = await claim_one(store)
    await store.append(again, [chunk(0)])
    await store.finish(again, Retry("Another reason.", "timeout", 0.25))
    types = ["processing", "chunk", "chunk", "retry", "processing", "chunk", "retry"]
    assert await event_types(store, lease.message_id) == types
    assert await told(store, lease.message_id, EventType.RETRY) == [
        {
            "state": "queued",
            "attempt": 1,
            "error": "It broke for now.",
            "next_at": rfc3339(to_datetime(START + 7_000)),
            "discard_from": 1,
        },
        {
            "state": "queued",
            "attempt": 2,
            "error": "Another reason.",
            "next_at": rfc3339(to_datetime(START + 7_250)),
            "discard_from": 5,
        },
    ]


async def test_a_retrying_head_keeps_its_thread_closed_and_no_other(store: Store, clock: ManualClock) -> None:
    lease = await start(store, thread="t", priority=HIGH)
    behind = await add(store, thread="t", priority=HIGH)
    other = await add(store, priority=LOW)
    await store.finish(lease, RETRIED)
    assert await drain(store) == [other.id]
    clock.advance(RETRIED.delay)
    await store.promote()
    assert await drain(store) == [lease.message_id, behind.id]


async def test_a_retry_goes_before_what_came_later(store: Store) -> None:
    lease = await start(store)
    later = await add(store)
    await store.finish(lease, AT_ONCE)
    assert await drain(store) == [lease.message_id, later.id]


async def test_a_retrying_message_can_be_cancelled(store: Store, clock: ManualClock) -> None:
    lease = await start(store, thread="t")
    behind = await add(store, thread="t")
    await store.finish(lease, RETRIED)
    await store.cancel(TENANT, lease.message_id)
    assert await event_types(store, lease.message_id) == ["processing", "retry", "cancelled"]
    assert await drain(store) == [behind.id]
    clock.advance(RETRIED.delay)
    assert await store.promote() == 0


async def test_a_retry_may_be_followed_by_any_end(store: Store) -> None:
    await store.finish(await start(store), AT_ONCE)
    completed = await claim_one(store)
    await store.finish(completed, DONE)
    await store.finish(await start(store), AT_ONCE)
    failed = await claim_one(store)
    await store.finish(failed, FAILED)
    messages = [await store.get(TENANT, lease.message_id) for lease in (completed, failed)]
    assert [(message.state, message.attempt) for message in messages] == [
        (MessageState.COMPLETED, 2),
        (MessageState.FAILED, 2),
    ]


# The list of failed attempts


async def test_failed_attempts_are_listed_with_their_times_workers_and_errors(store: Store, clock: ManualClock) -> None:
    await add(store)
    clock.advance(1)
    first = await claim_one(store, worker="worker 1")
    clock.advance(2)
    await store.finish(first, AT_ONCE)
    clock.advance(4)
    second = await claim_one(store, worker="worker 2")
    clock.advance(8)
    await store.finish(second, FAILED)
    attempts = (await store.list_attempts(TENANT, [first.message_id]))[first.message_id]
    unknown = FailureDetails().model_dump()
    assert [attempt.model_dump() for attempt in attempts] == [
        unknown
        | {
            "attempt": 1,
            "worker_id": "worker 1",
            "started_at": to_datetime(START + 1_000),
            "ended_at": to_datetime(START + 3_000),
            "error": "It broke for now.",
            "error_code": "agent_error",
        },
        unknown
        | {
            "attempt": 2,
            "worker_id": "worker 2",
            "started_at": to_datetime(START + 7_000),
            "ended_at": to_datetime(START + 15_000),
            "error": "It broke.",
            "error_code": "agent_error",
        },
    ]


@pytest.mark.parametrize("details", [DETAILS, FailureDetails(node="ask"), None])
async def test_a_failed_attempt_has_where_it_failed(store: Store, details: FailureDetails | None) -> None:
    lease = await start(store)
    await store.finish(lease, replace(AT_ONCE, details=details))
    again = await claim_one(store)
    await store.finish(again, replace(FAILED, details=details))
    attempts = (await store.list_attempts(TENANT, [lease.message_id]))[lease.message_id]
    wanted = (details or FailureDetails()).model_dump()
    assert len(attempts) == 2
    for attempt in attempts:
        assert {name: getattr(attempt, name) for name in wanted} == wanted


async def test_where_an_attempt_failed_is_told_to_no_reader_of_the_log(store: Store) -> None:
    lease = await start(store, webhook_url="https://example.com/hook")
    await store.finish(lease, replace(AT_ONCE, details=DETAILS))
    await store.finish(await claim_one(store), replace(FAILED, details=DETAILS))
    events = await log(store, lease.message_id)
    (delivery,) = await store.list_deliveries(TENANT, lease.message_id)
    assert "Traceback" not in "".join([delivery.data, *(event.data for event in events)])


async def test_attempts_of_lost_workers_are_listed_too(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    clock.advance(LEASE_SECONDS)
    await store.rescue()
    again = await claim_one(store, worker="worker 2")
    clock.advance(LEASE_SECONDS)
    await store.rescue(max_crashes=2)
    attempts = (await store.list_attempts(TENANT, [lease.message_id]))[lease.message_id]
    assert [(attempt.attempt, attempt.worker_id, attempt.error_code) for attempt in attempts] == [
        (1, WORKER, "worker_lost"),
        (2, "worker 2", "worker_lost"),
    ]
    assert attempts[0].started_at == to_datetime(START)
    assert attempts[0].ended_at == attempts[1].started_at == to_datetime(START + 30_000)
    assert all(attempt.error for attempt in attempts)
    assert again.attempt == 2


@pytest.mark.parametrize("outcome", [DONE, RELEASED, INTERRUPTED], ids=lambda outcome: type(outcome).__name__)
async def test_an_attempt_that_did_not_fail_is_not_listed(store: Store, outcome: Released) -> None:
    lease = await start(store)
    await store.finish(lease, outcome)
    assert (await store.list_attempts(TENANT, [lease.message_id]))[lease.message_id] == []


async def test_a_finish_that_is_repeated_lists_no_attempt_twice(store: Store) -> None:
    lease = await start(store)
    await store.finish(lease, FAILED)
    await store.finish(lease, FAILED)
    assert len((await store.list_attempts(TENANT, [lease.message_id]))[lease.message_id]) == 1


async def test_attempts_of_many_messages_are_told_apart(store: Store) -> None:
    leases = [await start(store) for _ in range(3)]
    await store.finish(leases[0], AT_ONCE)
    await store.finish(leases[2], FAILED)
    ids = [lease.message_id for lease in leases]
    found = await store.list_attempts(TENANT, ids)
    assert [len(found[each]) for each in ids] == [1, 0, 1]
    assert await store.list_attempts(TENANT, []) == {}


async def test_crashes_and_failures_are_counted_apart(store: Store, clock: ManualClock) -> None:
    """A message that kills its workers cannot do so as often as its agent may fail."""
    await add(store)
    for _ in range(2):
        await store.finish(await claim_one(store), AT_ONCE)
    for _ in range(2):
        await claim_one(store)
        clock.advance(LEASE_SECONDS)
        await store.rescue()
    lease = await claim_one(store)
    message = await store.get(TENANT, lease.message_id)
    assert (message.crashes, message.state) == (2, MessageState.PROCESSING)
    assert len((await store.list_attempts(TENANT, [message.id]))[message.id]) == 4
    clock.advance(LEASE_SECONDS)
    await store.rescue()
    failed = await store.get(TENANT, message.id)
    assert (failed.crashes, failed.state, failed.error_code) == (3, MessageState.FAILED, "worker_lost")
