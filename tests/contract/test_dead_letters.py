"""Failed messages: their kinds, and how they are put back or deleted."""

import asyncio
from collections.abc import Sequence

import pytest

from app.clock import to_datetime
from app.errors import MessageNotFound, NotFailed, ThreadNotFound
from app.models.attempts import Failed, Outcome
from app.models.messages import Message, MessageState, Priority, new_message_id
from app.store.ports import Store
from tests.clock import START, ManualClock
from tests.contract.builders import (
    CANCELLED,
    DONE,
    FAILED,
    INTERRUPTED,
    LEASE_SECONDS,
    OTHER_TENANT,
    RELEASED,
    TENANT,
    add,
    cancel_running,
    claim,
    claim_one,
    claimed_ids,
    dead_letter,
    interrupt,
    listed,
    page,
    requeue,
    seen,
    start,
    state_of,
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
