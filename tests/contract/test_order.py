"""The order in which messages are claimed: ranks, threads, inheritance, and the positions that tell of it."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models.attempts import Released
from app.models.messages import Message, Priority
from app.policy.rank import RankPolicy
from app.store.ports import Store
from tests.clock import START, ManualClock
from tests.contract.backends import StoreFactory
from tests.contract.builders import (
    ALL,
    DONE,
    ENDS,
    HIGH,
    LOW,
    NORMAL,
    TENANT,
    add,
    claim_one,
    claimed_ids,
    drain,
    start,
)

MOMENTS = st.integers(0, 10**14)
LEVELS = st.sampled_from(list(Priority)).map(lambda priority: priority.level)
AGING_SECONDS = 60.0


@pytest.fixture
async def aging_store(make_store: StoreFactory, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Store]:
    """A store where a level of priority is a head start of a minute."""
    store = make_store(tmp_path, clock, RankPolicy(AGING_SECONDS))
    await store.open()
    yield store
    await store.close()


# Ranks


@given(LEVELS, MOMENTS, LEVELS, MOMENTS)
def test_strict_ranks_compare_priority_first_then_time(level: int, time: int, other: int, later: int) -> None:
    rank = RankPolicy().rank
    assert (rank(level, time) < rank(other, later)) == ((level, time) < (other, later))


@given(LEVELS, MOMENTS, st.integers(0, 2), st.floats(0.001, 10**9))
def test_aging_ranks_make_a_level_a_head_start(level: int, time: int, levels: int, seconds: float) -> None:
    rank = RankPolicy(seconds).rank
    head_start = levels * seconds * 1000
    assert abs(rank(level + levels, time) - rank(level, time + int(head_start))) <= 1
    assert rank(level, time) < rank(level, time + 1)


@given(LEVELS, MOMENTS, LEVELS, MOMENTS)
def test_ranks_fit_into_a_database_integer(level: int, time: int, other: int, seconds: int) -> None:
    assert abs(RankPolicy().rank(level, time)) < 2**63
    assert abs(RankPolicy(min(seconds, 10**9)).rank(other, time)) < 2**63


# Priority and time


async def test_priority_goes_before_time(store: Store, clock: ManualClock) -> None:
    ids = {}
    for priority in (LOW, NORMAL, HIGH):
        ids[priority] = (await add(store, priority=priority)).id
        clock.advance(3_600)
    assert await drain(store) == [ids[HIGH], ids[NORMAL], ids[LOW]]


@pytest.mark.parametrize("seconds", [0.0, 0.001, 1.0])
async def test_within_a_priority_first_come_first_served(store: Store, clock: ManualClock, seconds: float) -> None:
    ids = []
    for _ in range(20):
        ids.append((await add(store)).id)
        clock.advance(seconds)
    assert await drain(store) == ids


async def test_a_clock_that_jumps_back_does_not_turn_a_thread_around(store: Store, clock: ManualClock) -> None:
    ids = []
    for _ in range(5):
        ids.append((await add(store, thread="t")).id)
        clock.advance(-60)
    assert await drain(store) == ids


async def test_with_aging_what_waited_longer_than_the_head_start_goes_first(
    aging_store: Store, clock: ManualClock
) -> None:
    low = await add(aging_store, priority=LOW)
    clock.advance(2 * AGING_SECONDS - 1)
    high_in_time = await add(aging_store, priority=HIGH)
    clock.advance(2)
    high_too_late = await add(aging_store, priority=HIGH)
    assert await drain(aging_store) == [high_in_time.id, low.id, high_too_late.id]


async def test_with_aging_fresh_messages_go_by_priority(aging_store: Store, clock: ManualClock) -> None:
    ids = {}
    for priority in (LOW, NORMAL, HIGH):
        ids[priority] = (await add(aging_store, priority=priority)).id
        clock.advance(1)
    assert await drain(aging_store) == [ids[HIGH], ids[NORMAL], ids[LOW]]


async def test_with_aging_a_thread_keeps_its_order(aging_store: Store, clock: ManualClock) -> None:
    ids = []
    for priority in (LOW, HIGH, NORMAL, HIGH, LOW):
        ids.append((await add(aging_store, thread="t", priority=priority)).id)
        clock.advance(50)
    assert await drain(aging_store) == ids


# Threads


async def test_only_the_first_unfinished_message_of_a_thread_is_ready(store: Store) -> None:
    heads = [(await add(store, thread=thread)).id for thread in ("a", "b")]
    for thread in ("a", "b"):
        await add(store, thread=thread, priority=HIGH)
    alone = (await add(store)).id
    assert await claimed_ids(store) == [*heads, alone]
    assert await claimed_ids(store) == []


@pytest.mark.parametrize("seed", range(3))
async def test_a_thread_runs_in_the_order_of_accepting_whatever_the_priorities(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    threads: dict[str, list[str]] = {thread: [] for thread in "abc"}
    for _ in range(40):
        thread = chance.choice(list(threads))
        threads[thread].append((await add(store, thread=thread, priority=chance.choice(list(Priority)))).id)
    drained = await drain(store)
    for ids in threads.values():
        assert [each for each in drained if each in ids] == ids


@pytest.mark.parametrize("outcome", ENDS)
async def test_the_end_of_a_message_makes_the_next_of_its_thread_ready(store: Store, outcome: object) -> None:
    lease = await start(store, thread="t")
    following = [(await add(store, thread="t")).id for _ in range(2)]
    assert await claimed_ids(store) == []
    await store.finish(lease, outcome)  # type: ignore[arg-type]  # each outcome in turn
    assert await claimed_ids(store) == [following[0]]


async def test_a_busy_thread_holds_up_no_other(store: Store) -> None:
    await start(store, thread="busy")
    for _ in range(50):
        await add(store, thread="busy", priority=HIGH)
    other = await add(store, thread="other", priority=LOW)
    alone = await add(store, priority=LOW)
    assert await claimed_ids(store, 2) == [other.id, alone.id]


# Priority inheritance


async def test_the_head_of_a_thread_inherits_from_those_behind_it(store: Store) -> None:
    low = await add(store, thread="t", priority=LOW)
    normal = await add(store)
    high = await add(store, thread="t", priority=HIGH)
    assert await drain(store) == [low.id, high.id, normal.id]


async def test_all_that_are_ahead_in_the_thread_inherit(store: Store) -> None:
    ahead = [(await add(store, thread="t", priority=priority)).id for priority in (LOW, NORMAL, LOW, NORMAL)]
    other = await add(store, priority=NORMAL)
    high = await add(store, thread="t", priority=HIGH)
    assert await drain(store) == [*ahead, high.id, other.id]


async def test_those_behind_the_lifting_message_do_not_inherit(store: Store) -> None:
    first = await add(store, thread="t", priority=LOW)
    high = await add(store, thread="t", priority=HIGH)
    behind = await add(store, thread="t", priority=LOW)
    normal = await add(store)
    assert await drain(store) == [first.id, high.id, normal.id, behind.id]


async def test_a_less_urgent_message_behind_lifts_nobody(store: Store) -> None:
    first = await add(store, thread="t")
    other = await add(store)
    second = await add(store, thread="t", priority=LOW)
    assert await drain(store) == [first.id, other.id, second.id]


async def test_inheritance_ends_when_the_lifting_message_is_cancelled(store: Store) -> None:
    low = [(await add(store, thread="t", priority=LOW)).id for _ in range(3)]
    normal = await add(store)
    high = await add(store, thread="t", priority=HIGH)
    assert [(await store.get(TENANT, each)).queue_position for each in low] == [0, 1, 2]
    await store.cancel(TENANT, high.id)
    assert (await store.get(TENANT, normal.id)).queue_position == 0
    assert await drain(store) == [normal.id, *low]


async def test_inheritance_falls_back_to_the_next_best_behind(store: Store) -> None:
    low = await add(store, thread="t", priority=LOW)
    other_low = await add(store, priority=LOW)
    normal = await add(store, thread="t", priority=NORMAL)
    other_normal = await add(store, priority=NORMAL)
    high = await add(store, thread="t", priority=HIGH)
    await store.cancel(TENANT, high.id)
    assert await drain(store) == [low.id, normal.id, other_normal.id, other_low.id]


async def test_inheritance_stays_while_another_lifts_as_much(store: Store) -> None:
    low = await add(store, thread="t", priority=LOW)
    normal = await add(store)
    high = [await add(store, thread="t", priority=HIGH) for _ in range(2)]
    await store.cancel(TENANT, high[1].id)
    assert (await store.get(TENANT, low.id)).queue_position == 0
    later = await add(store, thread="t", priority=HIGH)
    await store.cancel(TENANT, high[0].id)
    assert await drain(store) == [low.id, later.id, normal.id]


async def test_inheritance_stays_when_one_that_only_inherited_is_cancelled(store: Store) -> None:
    low = [await add(store, thread="t", priority=LOW) for _ in range(3)]
    normal = await add(store)
    high = await add(store, thread="t", priority=HIGH)
    await store.cancel(TENANT, low[0].id)
    await store.cancel(TENANT, low[2].id)
    assert await drain(store) == [low[1].id, high.id, normal.id]


async def test_a_message_that_is_put_back_inherits_from_those_that_came_meanwhile(store: Store) -> None:
    lease = await start(store, thread="t", priority=LOW)
    normal = await add(store)
    high = await add(store, thread="t", priority=HIGH)
    await store.finish(lease, Released("again"))
    assert await drain(store) == [lease.message_id, high.id, normal.id]


async def test_a_message_that_is_put_back_does_not_inherit_from_one_that_was_cancelled(store: Store) -> None:
    lease = await start(store, thread="t", priority=LOW)
    normal = await add(store)
    high = await add(store, thread="t", priority=HIGH)
    await store.cancel(TENANT, high.id)
    await store.finish(lease, Released("again"))
    assert await drain(store) == [normal.id, lease.message_id]


async def test_a_message_that_is_put_back_no_longer_inherits_once_the_lifting_one_is_cancelled(store: Store) -> None:
    low = await add(store, thread="t", priority=LOW)
    normal = await add(store)
    high = await add(store, thread="t", priority=HIGH)
    lease = await claim_one(store)
    assert lease.message_id == low.id
    await store.finish(lease, Released("again"))
    await store.cancel(TENANT, high.id)
    assert await drain(store) == [normal.id, low.id]


async def test_a_message_that_waits_for_its_time_inherits_too(store: Store, clock: ManualClock) -> None:
    lease = await start(store, thread="t", priority=LOW)
    await store.finish(lease, Released("later", delay=10))
    normal = await add(store)
    high = await add(store, thread="t", priority=HIGH)
    clock.advance(10)
    await store.promote()
    assert await drain(store) == [lease.message_id, high.id, normal.id]


async def test_a_cancelled_head_hands_over_to_the_next_of_its_thread(store: Store) -> None:
    head = await add(store, thread="t", priority=LOW)
    normal = await add(store)
    high = await add(store, thread="t", priority=HIGH)
    await store.cancel(TENANT, head.id)
    assert await drain(store) == [high.id, normal.id]


# Positions


async def random_backlog(store: Store, clock: ManualClock, seed: int) -> dict[str, Message]:
    """Messages of mixed threads, priorities and times, some of them cancelled; those that are queued."""
    chance = random.Random(seed)
    messages: dict[str, Message] = {}
    for _ in range(12):
        clock.advance(chance.choice([0, 0.001, 5]))
        threads = [chance.choice([None, None, "a", "b", "c", f"t{chance.randrange(20)}"]) for _ in range(4)]
        together = (add(store, thread=thread, priority=chance.choice(list(Priority))) for thread in threads)
        messages |= {message.id: message for message in await asyncio.gather(*together)}
    for cancelled in chance.sample(sorted(messages), 10):
        await store.cancel(TENANT, cancelled)
        del messages[cancelled]
    return messages


@pytest.mark.parametrize("seed", range(8))
async def test_positions_are_the_order_of_claiming(store: Store, clock: ManualClock, seed: int) -> None:
    messages = await random_backlog(store, clock, seed)
    positions = {each: (await store.get(TENANT, each)).queue_position for each in messages}
    listed = [message.id for message in (await store.summary(TENANT, limit=ALL)).queued]
    drained = await drain(store)
    assert sorted(drained) == sorted(messages)
    assert positions == {each: place for place, each in enumerate(drained)}
    assert listed == drained


@pytest.mark.parametrize("seed", range(5))
async def test_positions_hold_behind_messages_that_are_being_processed(
    store: Store, clock: ManualClock, seed: int
) -> None:
    messages = await random_backlog(store, clock, seed)
    leases = [await claim_one(store) for _ in range(5)]
    waiting = messages.keys() - {lease.message_id for lease in leases}
    positions = {each: (await store.get(TENANT, each)).queue_position for each in waiting}
    for lease in leases:
        await store.finish(lease, DONE)
    assert positions == {each: place for place, each in enumerate(await drain(store))}


async def test_the_position_told_at_accept_is_the_one_that_is_read_then(store: Store, clock: ManualClock) -> None:
    chance = random.Random(START)
    for _ in range(40):
        message = await add(store, thread=chance.choice([None, *"ab"]), priority=chance.choice(list(Priority)))
        assert (await store.get(TENANT, message.id)).queue_position == message.queue_position


async def test_messages_that_are_not_queued_have_no_position(store: Store) -> None:
    lease = await start(store)
    cancelled = await add(store)
    assert (await store.cancel(TENANT, cancelled.id)).queue_position is None
    assert (await store.get(TENANT, lease.message_id)).queue_position is None
    await store.finish(lease, DONE)
    assert (await store.get(TENANT, lease.message_id)).queue_position is None


async def test_a_message_that_waits_for_its_time_is_ahead_of_nobody_who_is_ready(store: Store) -> None:
    lease = await start(store, priority=HIGH)
    await store.finish(lease, Released("later", delay=10))
    assert (await add(store, priority=LOW)).queue_position == 0


async def test_a_message_that_waits_for_its_time_is_not_counted_when_it_inherits_either(store: Store) -> None:
    lease = await start(store, thread="t", priority=LOW)
    await store.finish(lease, Released("later", delay=10))
    await add(store, thread="t", priority=HIGH)
    ready = await add(store)
    assert ready.queue_position is not None
    assert ready.queue_position <= 1, "only the one behind the delayed message may be counted"


async def test_positions_in_a_deep_queue_are_exact(store: Store, clock: ManualClock) -> None:
    for _ in range(15):
        levels = list(Priority) * 13
        await asyncio.gather(*(add(store, priority=priority) for priority in levels))
        clock.advance(1)
    waiting = [message.id for message in (await store.summary(TENANT, limit=ALL)).queued]
    messages = await asyncio.gather(*(store.get(TENANT, each) for each in waiting))
    assert [message.queue_position for message in messages] == list(range(585))
    assert await claimed_ids(store) == waiting


async def test_positions_count_the_messages_of_all_tenants(store: Store) -> None:
    await add(store, tenant="a")
    await add(store, tenant="b")
    assert (await add(store, tenant="a")).queue_position == 2
