"""Fair share: within a priority, tenants or subjects take turns, however many messages each of them has queued."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.errors import StoreError
from app.models.attempts import Claim, Retry
from app.models.messages import IfBusy
from app.models.sharing import FairShare
from app.models.tenants import TenantSettings
from app.policy.rank import RankPolicy
from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.backends import StoreFactory
from tests.contract.builders import (
    ALL,
    CANCELLED,
    DONE,
    FAILED,
    HIGH,
    LOW,
    NORMAL,
    TENANT,
    add,
    add_all,
    claim,
    claim_one,
    claimed_ids,
    drain,
    new,
    start,
)
from tests.contract.bursts import BIG, BURST, SMALL, burst, mixed, run, waits


@pytest.fixture
def policy() -> RankPolicy:
    """The default; tests may give another."""
    return RankPolicy()


@pytest.fixture
async def shared(
    make_store: StoreFactory, tmp_path: Path, clock: ManualClock, policy: RankPolicy
) -> AsyncIterator[Store]:
    """A store with this policy."""
    store = make_store(tmp_path, clock, policy)
    await store.open()
    yield store
    await store.close()


by_subject = pytest.mark.parametrize("policy", [RankPolicy(fair_share=FairShare.SUBJECT)], ids=["subject"])
by_time = pytest.mark.parametrize("policy", [RankPolicy(fair_share=FairShare.NONE)], ids=["none"])


# Turns


async def test_a_burst_delays_the_next_message_of_another_tenant_by_one_run(store: Store) -> None:
    await burst(store)
    await run(store, 20)
    late = await add(store, tenant=SMALL)
    assert late.queue_position is not None
    assert late.queue_position <= 1
    assert SMALL in await run(store, 2)


async def test_a_tenant_that_is_new_while_all_slots_are_busy_is_next_but_one_at_the_latest(store: Store) -> None:
    await burst(store)
    running = await claim(store, 5)
    late = await add(store, tenant=SMALL)
    for taken in running:
        await store.finish(taken.lease, DONE)
    assert late.id in await claimed_ids(store, 2)


async def test_backlogs_take_turns(store: Store) -> None:
    await burst(store)
    await burst(store, 20, SMALL)
    order = await run(store, 41)
    assert Counter(order)[SMALL] == 20
    assert max(waits(order, SMALL)) <= 1


async def test_one_of_a_hundred_tenants_has_a_burst_and_nobody_else_waits_for_it(store: Store) -> None:
    others = [f"tenant {number}" for number in range(99)]
    await burst(store)
    await run(store, 10)
    messages = await add_all(store, *[new(tenant=tenant) for tenant in others for _ in range(2)])
    order = await run(store, 2 * 100 + 1)
    assert Counter(order)[BIG] <= 3
    assert all(Counter(order)[tenant] == 2 for tenant in others)
    assert len(messages) == 2 * 99


async def test_one_that_waits_for_each_answer_alternates_with_a_burst(store: Store) -> None:
    await burst(store)
    await run(store, 10)
    order = []
    await add(store, tenant=SMALL)
    for _ in range(40):
        (taken,) = await claim(store)
        order.append(taken.message.tenant)
        await store.finish(taken.lease, DONE)
        if taken.message.tenant == SMALL:
            await add(store, tenant=SMALL)  # before the slot that became free is given to anybody
    assert Counter(order) == {BIG: 20, SMALL: 20}
    assert max(waits(order, SMALL)) <= 1
    assert max(waits(order, BIG)) <= 1


async def test_the_messages_of_one_tenant_go_in_the_order_of_accepting(store: Store, clock: ManualClock) -> None:
    ids = []
    for step in range(30):
        ids.append((await add(store)).id)
        if step % 3 == 2:
            clock.advance(step)
            assert await claimed_ids(store, 1) == [ids.pop(0)]
    assert await drain(store) == ids


async def test_priorities_stay_strict(store: Store) -> None:
    await burst(store, 5, priority=HIGH)
    normal = await add(store, tenant=SMALL, priority=NORMAL)
    low = await add(store, tenant=SMALL, priority=LOW)
    assert await run(store, 5) == [BIG] * 5
    assert await claimed_ids(store) == [normal.id, low.id]


async def test_each_priority_has_turns_of_its_own(store: Store) -> None:
    await burst(store, 50, priority=LOW)
    await burst(store, 3, SMALL, priority=HIGH)
    await burst(store, 3, priority=HIGH)
    order = await run(store, 6)
    assert Counter(order) == {BIG: 3, SMALL: 3}
    assert order[1] == BIG


async def test_a_tenant_gets_as_many_turns_as_its_weight_says(store: Store) -> None:
    await store.put_tenant(SMALL, TenantSettings(weight=3), revision=None)
    await burst(store, 60)
    await burst(store, 60, SMALL)
    order = await run(store, 40)
    assert Counter(order) == {BIG: 10, SMALL: 30}
    assert max(waits(order, BIG)) <= 4


async def test_a_low_weight_delays_a_first_message_by_one_run(store: Store) -> None:
    await store.put_tenant(SMALL, TenantSettings(weight=0.1), revision=None)
    await burst(store)
    await run(store, 10)
    first, second = await burst(store, 2, SMALL)
    assert first.queue_position == 0
    assert second.queue_position == 11


# Runs that are no turns


@pytest.mark.parametrize("newest_first", [False, True])
async def test_a_tenant_that_cancelled_a_burst_waits_for_none_of_it(store: Store, newest_first: bool) -> None:
    cancelled = await burst(store)
    await burst(store, 20, SMALL)
    for message in reversed(cancelled) if newest_first else cancelled:
        await store.cancel(BIG, message.id)
    again = await add(store, tenant=BIG)
    assert again.queue_position is not None
    assert again.queue_position <= 1


async def test_messages_of_a_batch_that_cancel_each_other_take_one_turn(store: Store) -> None:
    await burst(store)
    last = (await burst(store, 20, SMALL, thread="t", if_busy=IfBusy.INTERRUPT))[-1]
    assert last.queue_position is not None
    assert last.queue_position <= 1


async def test_refused_messages_take_no_turns_of_those_that_come_at_once(store: Store) -> None:
    known = await add(store, tenant=BIG)

    async def one(number: int) -> None:
        taken = number % 11  # ten of eleven have an id that is taken
        message = new(tenant=BIG)._replace(id=known.id) if taken else new(tenant=BIG)
        await store.add([message], max_queued=ALL)

    refused = await asyncio.gather(*(one(number) for number in range(33)), return_exceptions=True)
    assert [type(each) for each in refused if each is not None] == [StoreError] * 30
    await burst(store, 20, SMALL)
    assert await run(store, 8) == [BIG, SMALL] * 4


async def test_what_is_left_of_a_burst_keeps_its_turns(store: Store) -> None:
    messages = await burst(store, 40)
    for message in messages[:30]:
        await store.cancel(BIG, message.id)
    rest = [message.id for message in messages[30:]]
    last = await add(store, tenant=BIG)
    others = await burst(store, 3, SMALL)
    order = await drain(store)
    assert [each for each in order if each in {*rest, last.id}] == [*rest, last.id]
    assert order.index(others[-1].id) < len(others) * 2 + 1


@pytest.mark.parametrize("while_it_runs", [True, False])
async def test_a_run_that_was_cancelled_was_a_turn(store: Store, while_it_runs: bool) -> None:
    await burst(store)
    await run(store, 5)
    await add(store, tenant=SMALL)
    order = []
    for _ in range(20):
        (taken,) = await claim(store)
        order.append(taken.message.tenant)
        if taken.message.tenant == BIG:
            await store.finish(taken.lease, DONE)
            continue
        if not while_it_runs:
            await store.finish(taken.lease, Retry("It broke for now.", "agent_error", 5.0))
        await store.cancel(SMALL, taken.message.id, running=True)
        if while_it_runs:
            await store.finish(taken.lease, CANCELLED)
        await add(store, tenant=SMALL)
    assert Counter(order)[BIG] >= 9


async def test_messages_for_later_take_their_turns_when_their_time_has_come(store: Store, clock: ManualClock) -> None:
    await burst(store, delay_seconds=60)
    now = await add(store, tenant=BIG)
    assert now.queue_position == 0
    await burst(store, 50, SMALL)
    await run(store, 41)
    clock.advance(60)
    assert await store.promote() == BURST
    assert Counter(await run(store, 21)) == {BIG: 11, SMALL: 10}
    late = await add(store, tenant="somebody new")
    assert late.queue_position is not None
    assert late.queue_position <= 2


async def test_a_retry_keeps_its_turn(store: Store, clock: ManualClock) -> None:
    lease = await start(store, tenant=BIG)
    await burst(store, 5)
    await store.finish(lease, Retry("It broke for now.", "agent_error", 5.0))
    clock.advance(5)
    await store.promote()
    assert (await claim_one(store)).message_id == lease.message_id


async def test_requeued_messages_take_new_turns(store: Store) -> None:
    dead = []
    await burst(store, 10)
    for _ in range(10):
        (taken,) = await claim(store)
        await store.finish(taken.lease, FAILED)
        dead.append(taken.message.id)
    await burst(store, 3, SMALL)
    await store.requeue(BIG, dead)
    order = await run(store, 6)
    assert Counter(order) == {BIG: 3, SMALL: 3}


# Threads


async def test_a_message_that_was_held_by_its_thread_does_not_turn_time_back(store: Store) -> None:
    head = await start(store, tenant=BIG, thread="t")
    held = await add(store, tenant=BIG, thread="t")
    await burst(store, 30, SMALL)
    await run(store, 20)
    await store.finish(head, DONE)
    assert await claimed_ids(store, 1) == [held.id]  # it has waited for its thread alone
    await burst(store, 50)
    order = await run(store, 20)
    assert Counter(order) == {BIG: 10, SMALL: 10}


async def test_an_urgent_message_lifts_its_thread_among_all_tenants(store: Store) -> None:
    await burst(store)
    low = await add(store, tenant=SMALL, thread="t", priority=LOW)
    high = await add(store, tenant=SMALL, thread="t", priority=HIGH)
    assert await claimed_ids(store, 1) == [low.id]
    assert (await store.get(SMALL, high.id)).queue_position == 0


# Another priority


async def test_with_another_priority_a_message_takes_its_place_among_those_of_its_tenant(store: Store) -> None:
    first = await add(store, tenant=BIG, priority=LOW)
    second = await add(store, tenant=BIG, priority=LOW)
    high = await burst(store, 3, priority=HIGH)
    third = await add(store, tenant=BIG, priority=LOW)
    for message in (second, first, third):
        await store.reprioritize(BIG, message.id, HIGH)
    assert await drain(store) == [first.id, second.id, *[message.id for message in high], third.id]


async def test_a_burst_that_became_urgent_takes_turns(store: Store) -> None:
    for message in await burst(store, 30, priority=LOW):
        await store.reprioritize(BIG, message.id, HIGH)
    await burst(store, 3, SMALL, priority=HIGH)
    assert Counter(await run(store, 6)) == {BIG: 3, SMALL: 3}


# By subject, by time


@by_subject
async def test_subjects_of_a_tenant_take_turns(shared: Store) -> None:
    await burst(shared, 50, TENANT, subject="ann")
    await burst(shared, 5, TENANT, subject="bob", thread=None)
    await burst(shared, 5, TENANT)
    await burst(shared, 5, SMALL)
    taken = await claim(shared, 20)
    assert Counter((each.message.tenant, each.message.subject) for each in taken) == {
        (TENANT, "ann"): 5,
        (TENANT, "bob"): 5,
        (TENANT, None): 5,
        (SMALL, None): 5,
    }


@by_subject
async def test_a_message_without_a_subject_takes_turns_with_those_of_its_thread(shared: Store) -> None:
    await add(shared, thread="t", subject="ann")
    await burst(shared, 20, TENANT, thread="t")
    await burst(shared, 3, TENANT)
    order = [each.message.subject for _ in range(6) for each in await finished(shared)]
    assert Counter(order) == {"ann": 3, None: 3}


async def finished(store: Store) -> list[Claim]:
    taken = await claim(store)
    for each in taken:
        await store.finish(each.lease, DONE)
    return list(taken)


@by_time
async def test_without_shares_messages_go_by_time(shared: Store, clock: ManualClock) -> None:
    first = await burst(shared, 5)
    clock.advance(1)
    second = await add(shared, tenant=SMALL)
    assert second.queue_position == 5
    assert await drain(shared) == [*[message.id for message in first], second.id]


@pytest.mark.parametrize(
    "settings",
    [
        *itertools.product([FairShare.TENANT, FairShare.NONE, FairShare.SUBJECT], [FairShare.TENANT, FairShare.NONE]),
        (FairShare.NONE, FairShare.TENANT, FairShare.NONE),  # turns that are later than the time
    ],
    ids="-".join,
)
async def test_a_change_of_the_setting_keeps_the_order_of_a_tenant(
    make_store: StoreFactory, tmp_path: Path, clock: ManualClock, settings: tuple[FairShare, ...]
) -> None:
    ids = []
    for number, share in enumerate(settings, start=1):
        store = make_store(tmp_path, clock, RankPolicy(fair_share=share))
        await store.open()
        for _ in range(5):
            ids.append((await add(store)).id)
            clock.advance(0.1)
        if number == len(settings):
            assert await drain(store) == ids
        await store.close()


# Several processes


async def test_messages_that_are_accepted_at_once_share_turns_too(
    make_store: StoreFactory, tmp_path: Path, clock: ManualClock
) -> None:
    stores = [make_store(tmp_path, clock, None) for _ in range(3)]
    for store in stores:
        await store.open()
    try:
        await asyncio.gather(*(burst(store, 10) for store in stores for _ in range(5)))
        await run(stores[0], 20)
        await burst(stores[1], 20, SMALL)
        order = await run(stores[2], 40)
        assert max(waits(order, SMALL)) <= 1
    finally:
        for store in stores:
            await store.close()


async def test_accepting_in_several_flows_at_once_never_locks_up(
    make_store: StoreFactory, tmp_path: Path, clock: ManualClock
) -> None:
    stores = [make_store(tmp_path, clock, None) for _ in range(3)]
    for store in stores:
        await store.open()
    try:
        await asyncio.gather(*(mixed(store, turn) for turn, store in enumerate(stores * 8)))
        assert len(await claimed_ids(stores[0], ALL)) > 0
    finally:
        for store in stores:
            await store.close()
