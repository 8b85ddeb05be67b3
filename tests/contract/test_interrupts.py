"""Questions to humans: the outcome `Interrupted`, its answer, and what happens when none comes."""

import asyncio
import json

import pytest

from app.clock import to_datetime
from app.errors import LeaseLost, MessageNotFound, NotInterrupted
from app.models.attempts import Interrupted, Outcome, Retry
from app.models.events import EventType
from app.models.messages import Message, MessageState, Readiness, new_message_id
from app.store.ports import READY, Store, message_topic
from app.text import rfc3339
from tests.clock import START, ManualClock
from tests.contract.builders import (
    ANSWER,
    CANCELLED,
    DONE,
    FAILED,
    HIGH,
    INTERRUPTED,
    LEASE_SECONDS,
    LOW,
    OTHER_TENANT,
    RELEASED,
    TENANT,
    add,
    beat,
    cancel_running,
    chunk,
    claim,
    claim_one,
    claimed_ids,
    drain,
    event_types,
    interrupt,
    resume,
    seen,
    start,
    state_of,
    told,
)
from tests.state_classes import nest
from tests.state_graphs import SHOWN

MILLISECOND = 0.001
TTL = INTERRUPTED.ttl_seconds
ODD = json.dumps([{"id": "é 👍", "value": {"text": '"quotes" \\ \u2028', "n": [1, 2.5, None]}}], ensure_ascii=False)

HARD = json.dumps(
    [
        {
            "id": "hard",
            "value": [2**70, 10**4_000, -0.0, 1e22, 5e-324, {"\x00\x01T": "\x01A", "attempt": -1}, nest(90), SHOWN],
        }
    ]
)

# The question


async def test_a_message_that_asks_is_interrupted(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    clock.advance(5)
    await store.finish(lease, INTERRUPTED)
    message = await store.get(TENANT, lease.message_id)
    assert message.state is MessageState.INTERRUPTED
    assert message.interrupt == INTERRUPTED.interrupts
    assert message.interrupt_expires_at == to_datetime(START + 5_000 + round(TTL * 1000))
    assert (message.readiness, message.queue_position, message.completed_at) == (None, None, None)
    assert (message.result, message.error, message.resume_value) == (None, None, None)


async def test_the_attempt_is_the_one_that_asks_until_it_is_answered(store: Store) -> None:
    await store.finish(await start(store), Retry("The till is closed.", "agent_error", 0.0))
    for _ in range(2):
        await store.finish(lease := await claim_one(store), INTERRUPTED)
        message = await store.get(TENANT, lease.message_id)
        assert (lease.attempt, message.attempt, message.crashes) == (2, 2, 0)
        await resume(store, message)
        assert (await store.get(TENANT, lease.message_id)).attempt == 1, "the run with the answer has its number again"
    await store.finish(await claim_one(store), DONE)
    assert (await store.get(TENANT, lease.message_id)).attempt == 2


async def test_the_lease_of_an_attempt_that_asks_is_over(store: Store) -> None:
    lease = await start(store)
    await store.finish(lease, INTERRUPTED)
    message = await store.get(TENANT, lease.message_id)
    assert message.fence > lease.fence
    with pytest.raises(LeaseLost):
        await store.append(lease, [chunk(0)])


async def test_readers_are_told_what_is_asked(store: Store) -> None:
    lease = await start(store)
    await store.append(lease, [chunk(0)])
    await store.finish(lease, INTERRUPTED)
    assert await event_types(store, lease.message_id) == ["processing", "chunk", "interrupted"]
    assert await told(store, lease.message_id, EventType.INTERRUPTED) == [
        {
            "state": "interrupted",
            "attempt": 1,
            "interrupts": [{"id": "question", "value": "Shall I?"}],
            "expires_at": rfc3339(to_datetime(START + round(TTL * 1000))),
        }
    ]


@pytest.mark.parametrize("interrupts", ["[]", ODD, HARD, json.dumps([{"id": "long", "value": "x" * 100_000}])])
async def test_any_question_comes_back_as_it_was(store: Store, interrupts: str) -> None:
    lease = await start(store)
    await store.finish(lease, Interrupted(interrupts, TTL))
    message = await store.get(TENANT, lease.message_id)
    assert message.interrupt is not None
    assert json.loads(message.interrupt) == json.loads(interrupts)
    (event,) = await told(store, lease.message_id, EventType.INTERRUPTED)
    assert event["interrupts"] == json.loads(interrupts)
    await resume(store, message, interrupts)
    assert (await store.get(TENANT, lease.message_id)).resume_value == interrupts


async def test_the_slot_of_the_worker_is_free(store: Store, clock: ManualClock) -> None:
    asking = await interrupt(store)
    assert (await beat(store)).held == {}
    clock.advance(10 * LEASE_SECONDS)
    assert await store.rescue() == 0
    assert (await store.summary(TENANT, limit=10)).processing == ()
    assert await state_of(store, asking.id) is MessageState.INTERRUPTED


async def test_a_message_that_asks_is_not_queued(store: Store) -> None:
    await interrupt(store)
    summary = await store.summary(TENANT, limit=10)
    assert (summary.totals[MessageState.INTERRUPTED], summary.totals[MessageState.QUEUED]) == (1, 0)
    assert summary.queued == ()
    assert (await add(store, max_queued=1)).queue_position == 0


async def test_a_message_that_asks_is_not_claimed(store: Store, clock: ManualClock) -> None:
    await interrupt(store)
    assert await claim(store) == []
    clock.advance(TTL - 1)
    assert (await store.promote(), await claim(store)) == (0, [])


async def test_the_thread_stays_closed_meanwhile_and_no_other(store: Store) -> None:
    asking = await interrupt(store, thread="t")
    behind = await add(store, thread="t", priority=HIGH)
    other = await add(store, thread="other", priority=LOW)
    assert (behind.readiness, behind.thread_number) == (Readiness.BLOCKED, 2)
    assert await drain(store) == [other.id]
    await resume(store, asking)
    assert await drain(store) == [asking.id, behind.id]


# The answer


async def test_an_answered_message_is_ready_with_its_answer(store: Store) -> None:
    asking = await interrupt(store, thread="t")
    await add(store, thread="t")
    accepted = await store.resume(TENANT, asking.id, asking.fence, ANSWER)
    (message,) = accepted.messages
    assert not accepted.replayed
    assert (message.id, message.state, message.resume_value) == (asking.id, MessageState.QUEUED, ANSWER)
    stored = await store.get(TENANT, asking.id)
    assert (stored.state, stored.readiness, stored.queue_position) == (MessageState.QUEUED, Readiness.READY, 0)
    assert (stored.resume_value, stored.interrupt) == (ANSWER, INTERRUPTED.interrupts)
    (claimed,) = await claim(store)
    assert claimed.message.resume_value == ANSWER
    assert (claimed.lease.message_id, claimed.lease.attempt) == (asking.id, 1)
    assert claimed.lease.fence > asking.fence
    await store.finish(claimed.lease, DONE)


async def test_readers_are_told_of_the_answer_and_what_to_drop(store: Store) -> None:
    await store.finish(await start(store), RELEASED)
    lease = await claim_one(store)
    await store.append(lease, [chunk(0), chunk(1)])
    await store.finish(lease, INTERRUPTED)
    await resume(store, await store.get(TENANT, lease.message_id))
    again = await claim_one(store)
    await store.append(again, [chunk(0)])
    types = ["processing", "retry", "processing", "chunk", "chunk", "interrupted", "resumed", "processing", "chunk"]
    assert await event_types(store, lease.message_id) == types
    expected = {"state": "queued", "discard_from": 3, "answers": json.loads(ANSWER)}
    assert await told(store, lease.message_id, EventType.RESUMED) == [expected]


@pytest.mark.parametrize(
    "value", ["{}", '{"a": null}', '{"é": "👍 \\" \\\\ \\u2028"}', '{"x": "' + "y" * 100_000 + '"}']
)
async def test_any_answer_comes_back_as_it_was(store: Store, value: str) -> None:
    asking = await interrupt(store)
    await resume(store, asking, value)
    stored = (await store.get(TENANT, asking.id)).resume_value
    assert stored is not None
    assert json.loads(stored) == json.loads(value)


async def test_an_answered_message_goes_before_what_came_later(store: Store) -> None:
    asking = await interrupt(store)
    later = await add(store)
    await resume(store, asking)
    assert await drain(store) == [asking.id, later.id]


async def test_an_answered_message_inherits_from_those_behind_it(store: Store) -> None:
    asking = await interrupt(store, thread="t", priority=LOW)
    normal = await add(store)
    high = await add(store, thread="t", priority=HIGH)
    await resume(store, asking)
    assert await drain(store) == [asking.id, high.id, normal.id]


async def test_an_answered_message_that_was_delayed_before_is_ready_at_once(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    await store.finish(lease, Retry("It broke for now.", "agent_error", 5.0))
    clock.advance(5)
    await store.promote()
    clock.advance(-3)
    await store.finish(await claim_one(store), INTERRUPTED)
    await resume(store, await store.get(TENANT, lease.message_id))
    assert await claimed_ids(store) == [lease.message_id]


async def test_workers_and_readers_are_woken_by_an_answer(store: Store) -> None:
    asking = await interrupt(store)
    with store.subscribe(READY) as workers, store.subscribe(message_topic(asking.id)) as readers:
        await workers.wait(0.03)
        await readers.wait(0.03)
        await resume(store, asking)
        assert await workers.wait(5)
        assert await readers.wait(5)


async def test_the_answer_is_kept_through_retries_releases_and_rescues(store: Store, clock: ManualClock) -> None:
    """Whoever runs the step that asked needs it."""
    await resume(store, await interrupt(store))
    await store.finish(await claim_one(store), Retry("It broke for now.", "agent_error", 0.0))
    await store.finish(await claim_one(store), RELEASED)
    await claim_one(store)
    clock.advance(LEASE_SECONDS)
    await store.rescue()
    (claimed,) = await claim(store)
    assert (claimed.message.resume_value, claimed.message.interrupt) == (ANSWER, INTERRUPTED.interrupts)


async def test_the_next_question_forgets_the_answer_to_the_earlier_one(store: Store) -> None:
    first = await interrupt(store)
    await resume(store, first)
    question = Interrupted('[{"id": "second", "value": "Sure?"}]', 2 * TTL)
    await store.finish(await claim_one(store), question)
    second = await store.get(TENANT, first.id)
    assert (second.state, second.interrupt, second.resume_value) == (
        MessageState.INTERRUPTED,
        question.interrupts,
        None,
    )
    assert second.interrupt_expires_at == to_datetime(START + round(2 * TTL * 1000))
    assert second.fence > first.fence
    await resume(store, second, '{"second": "yes"}')
    (claimed,) = await claim(store)
    assert (claimed.message.resume_value, claimed.lease.attempt) == ('{"second": "yes"}', 1)


@pytest.mark.parametrize("outcome", [DONE, FAILED, CANCELLED], ids=lambda outcome: type(outcome).__name__)
async def test_the_question_is_kept_until_the_message_ends(store: Store, outcome: Outcome) -> None:
    asking = await interrupt(store)
    await resume(store, asking)
    lease = await claim_one(store)
    assert (await store.get(TENANT, asking.id)).interrupt == INTERRUPTED.interrupts
    await store.finish(lease, outcome)
    assert (await store.get(TENANT, asking.id)).interrupt is None


async def test_questions_spend_no_attempts(store: Store) -> None:
    message = await interrupt(store)
    for _ in range(5):
        await resume(store, await store.get(TENANT, message.id))
        lease = await claim_one(store)
        assert lease.attempt == 1
        await store.finish(lease, INTERRUPTED)
    assert (await store.list_attempts(TENANT, [message.id]))[message.id] == []


# What is no answer


async def test_an_answer_to_another_question_is_refused(store: Store) -> None:
    first = await interrupt(store)
    await resume(store, first)
    await store.finish(await claim_one(store), INTERRUPTED)
    before = await seen(store, first.id)
    for fence in (first.fence, before[0].fence + 1, 0):
        with pytest.raises(NotInterrupted) as refused:
            await store.resume(TENANT, first.id, fence, ANSWER)
        assert refused.value.state == "interrupted"
    assert await seen(store, first.id) == before


async def test_a_second_answer_is_refused(store: Store) -> None:
    asking = await interrupt(store)
    await resume(store, asking, '{"question": 1}')
    with pytest.raises(NotInterrupted) as refused:
        await resume(store, asking, '{"question": 2}')
    assert refused.value.state == "queued"
    assert (await store.get(TENANT, asking.id)).resume_value == '{"question": 1}'
    assert await event_types(store, asking.id) == ["processing", "interrupted", "resumed"]


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(None, "processing"), (DONE, "completed"), (FAILED, "failed"), (CANCELLED, "cancelled"), (RELEASED, "queued")],
)
async def test_a_message_that_asks_nothing_takes_no_answer(store: Store, outcome: Outcome | None, state: str) -> None:
    lease = await start(store)
    if outcome is not None:
        await store.finish(lease, outcome)
    before = await seen(store, lease.message_id)
    with pytest.raises(NotInterrupted) as refused:
        await resume(store, before[0])
    assert refused.value.state == state
    assert await seen(store, lease.message_id) == before


async def test_a_message_that_does_not_exist_is_not_found(store: Store) -> None:
    asking = await interrupt(store)
    for tenant, message_id in ((TENANT, new_message_id()), (OTHER_TENANT, asking.id)):
        with pytest.raises(MessageNotFound):
            await store.resume(tenant, message_id, asking.fence, ANSWER)
    assert await state_of(store, asking.id) is MessageState.INTERRUPTED


async def test_of_two_answers_at_the_same_moment_the_first_counts(store: Store, other_store: Store) -> None:
    for _ in range(20):
        asking = await interrupt(store)
        answers = [f'{{"question": {number}}}' for number in range(4)]
        callers = [store, other_store, store, other_store]
        calls = (resume(caller, asking, answer) for caller, answer in zip(callers, answers, strict=True))
        replies = await asyncio.gather(*calls, return_exceptions=True)
        (won,) = [reply for reply in replies if isinstance(reply, Message)]
        assert sum(isinstance(reply, NotInterrupted) for reply in replies) == 3
        (claimed,) = await claim(store)
        assert claimed.message.resume_value == won.resume_value == answers[replies.index(won)]
        await store.finish(claimed.lease, DONE)
        assert (await event_types(store, asking.id)).count("resumed") == 1


# No answer


async def test_a_question_that_nobody_answers_in_time_fails_the_message(store: Store, clock: ManualClock) -> None:
    asking = await interrupt(store, thread="t")
    behind = await add(store, thread="t")
    clock.advance(TTL - MILLISECOND)
    assert await store.expire_interrupts() == 0
    assert await state_of(store, asking.id) is MessageState.INTERRUPTED
    clock.advance(MILLISECOND)
    assert await store.expire_interrupts() == 1
    failed = await store.get(TENANT, asking.id)
    assert (failed.state, failed.error_code) == (MessageState.FAILED, "interrupt_expired")
    assert failed.error
    assert failed.completed_at == to_datetime(clock.now())
    assert (failed.interrupt, failed.interrupt_expires_at) == (None, None)
    assert await event_types(store, asking.id) == ["processing", "interrupted", "error"]
    (error,) = await told(store, asking.id, EventType.ERROR)
    assert (error["code"], error["error"]) == ("interrupt_expired", failed.error)
    assert await store.expire_interrupts() == 0
    assert await drain(store) == [behind.id]


async def test_each_question_has_its_own_time(store: Store, clock: ManualClock) -> None:
    ids = []
    for seconds in (30, 10, 20):
        lease = await start(store)
        await store.finish(lease, Interrupted("[]", seconds))
        ids.append(lease.message_id)
    for expected in (ids[1], ids[2], ids[0]):
        clock.advance(10)
        assert await store.expire_interrupts() == 1
        assert await state_of(store, expected) is MessageState.FAILED


async def test_an_answered_question_does_not_expire(store: Store, clock: ManualClock) -> None:
    await resume(store, await interrupt(store))
    clock.advance(10 * TTL)
    assert await store.expire_interrupts() == 0
    lease = await claim_one(store)
    assert await store.expire_interrupts() == 0
    await store.finish(lease, DONE)
    assert await store.expire_interrupts() == 0


async def test_an_answer_that_comes_too_late_is_refused(store: Store, clock: ManualClock) -> None:
    asking = await interrupt(store)
    clock.advance(TTL)
    await store.expire_interrupts()
    with pytest.raises(NotInterrupted) as refused:
        await resume(store, asking)
    assert refused.value.state == "failed"


async def test_workers_and_readers_are_woken_when_a_question_expires(store: Store, clock: ManualClock) -> None:
    asking = await interrupt(store, thread="t")
    await add(store, thread="t")
    clock.advance(TTL)
    with store.subscribe(READY) as workers, store.subscribe(message_topic(asking.id)) as readers:
        await workers.wait(0.03)
        await readers.wait(0.03)
        await store.expire_interrupts()
        assert await workers.wait(5)
        assert await readers.wait(5)


async def test_concurrent_expiries_fail_each_message_once(store: Store, clock: ManualClock) -> None:
    asking = [await interrupt(store) for _ in range(15)]
    clock.advance(TTL)
    assert sum(await asyncio.gather(*(store.expire_interrupts() for _ in range(6)))) == 15
    logs = await asyncio.gather(*(event_types(store, message.id) for message in asking))
    assert logs == [["processing", "interrupted", "error"]] * 15


async def test_an_answer_and_the_end_of_its_time_at_the_same_moment_have_one_winner(
    store: Store, other_store: Store, clock: ManualClock
) -> None:
    for turn in range(20):
        asking = await interrupt(store)
        clock.advance(TTL)
        calls = [resume(store, asking), other_store.expire_interrupts()]
        results = await asyncio.gather(*calls if turn % 2 else reversed(calls), return_exceptions=True)
        answered, expired = results if turn % 2 else reversed(results)
        state = await state_of(store, asking.id)
        if expired:
            assert isinstance(answered, NotInterrupted)
            assert state is MessageState.FAILED
        elif isinstance(answered, Message):
            assert state is MessageState.QUEUED
            await drain(store)
        else:
            pytest.fail("neither of the two did anything")


async def test_an_answer_and_a_cancel_at_the_same_moment_end_as_cancelled(store: Store, other_store: Store) -> None:
    for turn in range(20):
        asking = await interrupt(store)
        calls = [resume(store, asking), cancel_running(other_store, asking.id)]
        results = await asyncio.gather(*calls if turn % 2 else reversed(calls), return_exceptions=True)
        answered, cancelled = results if turn % 2 else reversed(results)
        assert isinstance(cancelled, Message)
        assert isinstance(answered, Message | NotInterrupted)
        assert await state_of(store, asking.id) is MessageState.CANCELLED
        assert await claim(store) == []
