"""Failed messages: their kinds, and how they are put back or deleted."""

import asyncio
from collections.abc import Sequence

import pytest

from app.clock import to_datetime
from app.errors import MessageNotFound, NotFailed, ThreadNotFound
from app.models.attempts import Failed, Outcome
from app.models.events import EventType
from app.models.messages import Message, MessageState, Priority, Readiness, new_message_id
from app.store.limits import MAX_CRASHES
from app.store.ports import READY, Store
from tests.clock import START, ManualClock
from tests.contract.builders import (
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
    add_all,
    cancel_running,
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
    seen,
    start,
    state_of,
    thread_messages,
    told,
)

BROKEN = Failed("The tool broke.", "agent_error", "broken")
SLOW = Failed("It took too long.", "timeout", "slow")


# Kinds


async def test_a_failed_message_has_the_fingerprint_of_its_kind(store: Store) -> None:
    message = await dead_letter(store, BROKEN)
    assert (message.state, message.fingerprint) == (MessageState.FAILED, "broken")
    assert (message.error, message.error_code) == ("The tool broke.", "agent_error")


async def test_a_failure_that_nobody_sorted_is_a_kind_by_its_code(store: Store) -> None:
    assert (await dead_letter(store, Failed("Oh.", "agent_error"))).fingerprint == "agent_error"


async def test_messages_whose_workers_were_lost_are_a_kind(store: Store, clock: ManualClock) -> None:
    for _ in range(2):
        await start(store)
        clock.advance(LEASE_SECONDS)
        await store.rescue(max_crashes=1)
    (group,) = await store.group_dead_letters(TENANT, limit=10)
    assert (group.count, group.error_code) == (2, "worker_lost")


async def test_questions_that_nobody_answered_are_a_kind(store: Store, clock: ManualClock) -> None:
    await interrupt(store)
    clock.advance(INTERRUPTED.ttl_seconds)
    await store.expire_interrupts()
    (group,) = await store.group_dead_letters(TENANT, limit=10)
    assert (group.count, group.error_code) == (1, "interrupt_expired")


async def test_dead_letters_are_grouped_by_kind_the_one_that_failed_last_first(
    store: Store, clock: ManualClock
) -> None:
    for outcome in (BROKEN, SLOW, BROKEN, Failed("The tool broke again.", "agent_error", "broken"), SLOW, BROKEN):
        await dead_letter(store, outcome)
        clock.advance(10)
    await store.finish(await start(store), DONE)
    groups = await store.group_dead_letters(TENANT, limit=10)
    assert [group.model_dump() for group in groups] == [
        {
            "fingerprint": "broken",
            "count": 4,
            "error": "The tool broke.",
            "error_code": "agent_error",
            "first_failed_at": to_datetime(START),
            "last_failed_at": to_datetime(START + 50_000),
        },
        {
            "fingerprint": "slow",
            "count": 2,
            "error": "It took too long.",
            "error_code": "timeout",
            "first_failed_at": to_datetime(START + 10_000),
            "last_failed_at": to_datetime(START + 40_000),
        },
    ]


async def test_a_group_has_the_error_of_its_newest(store: Store, clock: ManualClock) -> None:
    for error in ("one", "two", "three"):
        await dead_letter(store, Failed(error, f"code {error}", "kind"))
        clock.advance(1)
    (group,) = await store.group_dead_letters(TENANT, limit=10)
    assert (group.error, group.error_code) == ("three", "code three")


async def test_groups_are_cut_at_the_limit(store: Store, clock: ManualClock) -> None:
    for number in range(5):
        await dead_letter(store, Failed("Oh.", "agent_error", f"kind {number}"))
        clock.advance(1)
    groups = await store.group_dead_letters(TENANT, limit=2)
    assert [group.fingerprint for group in groups] == ["kind 4", "kind 3"]


async def test_groups_follow_what_is_put_back_and_deleted(store: Store, clock: ManualClock) -> None:
    first, second = await dead_letter(store, BROKEN), await dead_letter(store, SLOW)
    clock.advance(1)
    third = await dead_letter(store, BROKEN)
    await requeue(store, third.id)
    groups = {group.fingerprint: group for group in await store.group_dead_letters(TENANT, limit=10)}
    assert {name: group.count for name, group in groups.items()} == {"broken": 1, "slow": 1}
    assert groups["broken"].last_failed_at == to_datetime(START)
    await store.purge(TENANT, [second.id])
    await requeue(store, first.id)
    assert await store.group_dead_letters(TENANT, limit=10) == []
    await store.finish(await claim_one(store), BROKEN)
    (group,) = await store.group_dead_letters(TENANT, limit=10)
    assert (group.fingerprint, group.count) == ("broken", 1)


async def test_dead_letters_are_listed_by_what_they_failed_of(store: Store) -> None:
    ids = [(await dead_letter(store, outcome)).id for outcome in (BROKEN, SLOW, BROKEN)]
    await store.finish(await start(store), DONE)
    failed = frozenset({MessageState.FAILED})
    assert await listed(store, states=failed) == [ids[2], ids[1], ids[0]]
    assert await listed(store, states=failed, fingerprint="broken") == [ids[2], ids[0]]
    assert await listed(store, states=failed, error_code="timeout") == [ids[1]]
    assert await listed(store, states=failed, error_code="timeout", fingerprint="broken") == []
    await requeue(store, ids[2])
    assert await listed(store, states=failed, fingerprint="broken") == [ids[0]]


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
    """Whatever the order of the ids, and also with messages of other threads between them."""
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


# Purge


async def test_a_purged_message_is_gone_with_all_that_was_of_it(store: Store) -> None:
    failed = await dead_letter(store, webhook_url="https://example.com")
    assert await store.purge(TENANT, [failed.id]) == [failed.memory_key]
    with pytest.raises(MessageNotFound):
        await store.get(TENANT, failed.id)
    with pytest.raises(MessageNotFound):
        await page(store, failed.id)
    assert not (await store.list_attempts(TENANT, [failed.id])).get(failed.id)
    assert await store.list_deliveries(TENANT, failed.id) == []
    assert (await store.summary(TENANT, limit=1)).totals[MessageState.FAILED] == 0


async def test_the_memory_of_a_thread_with_messages_is_still_needed(store: Store) -> None:
    failed = await dead_letter(store, thread="t")
    await add(store, thread="t")
    assert await store.purge(TENANT, [failed.id]) == []
    thread = await store.get_thread(TENANT, "t")
    assert (thread.message_count, thread.states[MessageState.FAILED], thread.last_number) == (1, 0, 2)
    assert (await add(store, thread="t")).thread_number == 3


async def test_the_memory_of_a_thread_is_named_once_it_is_gone(store: Store, clock: ManualClock) -> None:
    failed = await dead_letter(store, thread="t")
    keys = await store.purge(TENANT, [failed.id])
    clock.advance(60)
    keys += (await store.prune_messages(older_than_seconds=1, limit=10))[1]
    assert keys == [Message.memory_key_of(TENANT, "t", "")]
    with pytest.raises(ThreadNotFound):
        await store.get_thread(TENANT, "t")


async def test_the_memory_of_a_purged_message_is_named_also_after_its_requeue(store: Store) -> None:
    failed = await dead_letter(store)
    await requeue(store, failed.id)
    await store.finish(await claim_one(store), FAILED)
    assert await store.purge(TENANT, [failed.id]) == [failed.memory_key]


async def test_many_are_purged_at_once(store: Store) -> None:
    failed = [await dead_letter(store) for _ in range(5)]
    keys = await store.purge(TENANT, [message.id for message in failed[:4]])
    assert sorted(keys) == sorted(message.memory_key for message in failed[:4])
    assert await listed(store) == [failed[4].id]


# All or none


async def put_back(store: Store, ids: Sequence[str]) -> None:
    await store.requeue(TENANT, ids)


async def delete(store: Store, ids: Sequence[str]) -> None:
    await store.purge(TENANT, ids)


for_each_verb = pytest.mark.parametrize("verb", [put_back, delete], ids=lambda verb: verb.__name__)


@for_each_verb
@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (None, "processing"),
        (DONE, "completed"),
        (CANCELLED, "cancelled"),
        (INTERRUPTED, "interrupted"),
        (RELEASED, "queued"),
    ],
)
async def test_one_that_has_not_failed_refuses_all(
    store: Store, verb: type, outcome: Outcome | None, state: str
) -> None:
    failed = [await dead_letter(store, thread="t") for _ in range(2)]
    lease = await start(store, thread="t")
    if outcome is not None:
        await store.finish(lease, outcome)
    ids = [failed[0].id, lease.message_id, failed[1].id]
    before = [await seen(store, each) for each in ids], await store.get_thread(TENANT, "t")
    with pytest.raises(NotFailed) as refused:
        await verb(store, ids)
    assert refused.value.state == state
    assert ([await seen(store, each) for each in ids], await store.get_thread(TENANT, "t")) == before


@for_each_verb
async def test_one_that_does_not_exist_refuses_all(store: Store, verb: type) -> None:
    failed = await dead_letter(store)
    theirs = await dead_letter(store, tenant=OTHER_TENANT)
    before = await seen(store, failed.id)
    for unknown in (new_message_id(), theirs.id):
        with pytest.raises(MessageNotFound):
            await verb(store, [failed.id, unknown])
    assert await seen(store, failed.id) == before
    assert await state_of(store, theirs.id, OTHER_TENANT) is MessageState.FAILED


@for_each_verb
async def test_none_are_no_trouble(store: Store, verb: type) -> None:
    failed = await dead_letter(store)
    await verb(store, [])
    assert await state_of(store, failed.id) is MessageState.FAILED


async def test_a_requeue_and_a_purge_at_the_same_moment_have_one_winner(store: Store, other_store: Store) -> None:
    for turn in range(20):
        failed = await dead_letter(store, priority=list(Priority)[turn % 3])
        calls = [put_back(store, [failed.id]), delete(other_store, [failed.id])]
        requeued, purged = await asyncio.gather(*calls, return_exceptions=True)
        if requeued is None:
            assert isinstance(purged, NotFailed)
            assert await claimed_ids(store) == [failed.id]
        else:
            assert (isinstance(requeued, MessageNotFound), purged) == (True, None)
            assert await claim(store) == []


async def test_an_interrupted_message_that_was_cancelled_is_no_dead_letter(store: Store) -> None:
    asking = await interrupt(store)
    await cancel_running(store, asking.id)
    with pytest.raises(NotFailed):
        await requeue(store, asking.id)
    assert await store.group_dead_letters(TENANT, limit=10) == []
