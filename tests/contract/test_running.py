"""Limits of running messages: a tenant never runs more at a time, and the others do not notice."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.models.attempts import Outcome, Retry
from app.models.messages import MessageState, Readiness
from app.models.tenants import TenantLimits, TenantSettings
from app.store.limits import HELD_AT_ONCE
from app.store.ports import READY, Store
from tests.clock import ManualClock
from tests.contract.backends import StoreFactory
from tests.contract.builders import (
    ALL,
    CANCELLED,
    DONE,
    FAILED,
    HIGH,
    INTERRUPTED,
    LEASE_SECONDS,
    LOW,
    OTHER_TENANT,
    RELEASED,
    RETRIED,
    TENANT,
    add,
    add_all,
    beat,
    cancel_running,
    claim,
    claim_one,
    claimed_ids,
    dead_letter,
    interrupt,
    new,
    requeue,
    resume,
    start,
)

RETRIED_AT_ONCE = Retry("It broke for now.", "agent_error", 0.0)


async def allow(store: Store, running: int | None, tenant: str = TENANT) -> None:
    """Give the tenant this limit in its record."""
    record = await store.get_tenant(tenant)
    settings = TenantSettings(limits=TenantLimits(running=running))
    assert await store.put_tenant(tenant, settings, revision=record.revision if record else None) is not None


async def queue(store: Store, count: int, **fields: Any) -> list[str]:
    return [each.id for each in await add_all(store, *[new(str(number), **fields) for number in range(count)])]


async def readiness(store: Store, ids: Sequence[str], tenant: str = TENANT) -> list[Readiness | None]:
    return [(await store.get(tenant, each)).readiness for each in ids]


@pytest.fixture
async def limited(make_store: StoreFactory, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Store]:
    """A store whose tenants may run two messages each, unless their records say otherwise."""
    store = make_store(tmp_path, clock, running=2)
    await store.open()
    yield store
    await store.close()


async def test_a_tenant_runs_no_more_messages_than_its_limit(store: Store) -> None:
    await allow(store, 2)
    ids = await queue(store, 5)
    first = await claim(store, 4)
    assert [each.message.id for each in first] == ids[:2]
    assert await claimed_ids(store) == []
    await store.finish(first[0].lease, DONE)
    assert await claimed_ids(store) == ids[2:3]
    assert await claimed_ids(store) == []


async def test_several_claims_share_a_limit(store: Store) -> None:
    await allow(store, 3)
    ids = await queue(store, 5)
    assert await claimed_ids(store, 2) == ids[:2]
    assert await claimed_ids(store, 2, worker="worker 2") == ids[2:3]
    assert await claimed_ids(store, 2, worker="worker 3") == []


async def test_a_tenant_without_a_limit_runs_any_number(store: Store) -> None:
    await allow(store, 1, OTHER_TENANT)
    await allow(store, 0)
    ids = await queue(store, 5)
    assert await claimed_ids(store) == ids


async def test_the_limit_of_the_store_is_for_tenants_without_their_own(limited: Store) -> None:
    await allow(limited, 1, "one")
    await allow(limited, 0, "any")
    await allow(limited, None, "none")
    ids = {tenant: await queue(limited, 4, tenant=tenant) for tenant in ("one", "any", "none", "unknown")}
    claims = await claim(limited, ALL)
    taken = {tenant: [each.message.id for each in claims if each.message.tenant == tenant] for tenant in ids}
    assert taken == {"one": ids["one"][:1], "any": ids["any"], "none": ids["none"][:2], "unknown": ids["unknown"][:2]}


@pytest.mark.parametrize(
    "outcome", [DONE, FAILED, CANCELLED, INTERRUPTED, RETRIED], ids=lambda outcome: type(outcome).__name__
)
async def test_each_end_of_a_run_lets_the_next_message_run(store: Store, outcome: Outcome) -> None:
    await allow(store, 1)
    ids = await queue(store, 3)
    lease = await claim_one(store)
    assert await claimed_ids(store) == []
    await store.finish(lease, outcome)
    assert await claimed_ids(store) == ids[1:2]


@pytest.mark.parametrize("outcome", [RELEASED, RETRIED_AT_ONCE], ids=lambda outcome: type(outcome).__name__)
async def test_a_message_that_is_put_back_runs_again_first(store: Store, outcome: Outcome) -> None:
    await allow(store, 1)
    ids = await queue(store, 3)
    lease = await claim_one(store)
    assert await claimed_ids(store) == []
    await store.finish(lease, outcome)
    assert await claimed_ids(store) == ids[:1]
    assert await claimed_ids(store) == []


async def test_a_rescue_lets_another_message_run(store: Store, clock: ManualClock) -> None:
    await allow(store, 1)
    ids = await queue(store, 2)
    await claim_one(store)
    assert await claimed_ids(store) == []
    clock.advance(LEASE_SECONDS)
    assert await store.rescue() == 1
    assert await claimed_ids(store) == ids[:1]
    assert await claimed_ids(store) == []


async def test_a_cancelled_run_counts_until_it_has_ended(store: Store) -> None:
    await allow(store, 1)
    ids = await queue(store, 2)
    lease = await claim_one(store)
    assert await claimed_ids(store) == []
    await cancel_running(store, ids[0])
    assert await claimed_ids(store) == []
    assert (await beat(store)).cancelled == {ids[0]}
    await store.finish(lease, DONE)
    assert await claimed_ids(store) == ids[1:]


async def test_an_answer_waits_for_the_limit_like_a_new_message(store: Store) -> None:
    asking = await interrupt(store)
    await allow(store, 1)
    lease = await start(store)
    await resume(store, asking)
    assert await claimed_ids(store) == []
    await store.finish(lease, DONE)
    assert await claimed_ids(store) == [asking.id]


async def test_held_messages_go_by_priority(store: Store) -> None:
    await allow(store, 1)
    lease = await start(store)
    (low,) = await queue(store, 1, priority=LOW)
    (normal,) = await queue(store, 1)
    assert await claimed_ids(store) == []
    (high,) = await queue(store, 1, priority=HIGH)
    assert await claimed_ids(store) == []
    order = []
    for _ in range(3):
        await store.finish(lease, DONE)
        (claimed,) = await claim(store, ALL)
        order.append(claimed.message.id)
        lease = claimed.lease
    assert order == [high, normal, low]


async def test_a_thread_keeps_its_order_and_its_urgent_message_lifts_a_held_one(store: Store) -> None:
    await allow(store, 1)
    lease = await start(store)
    (plain,) = await queue(store, 1)
    (head,) = await queue(store, 1, thread="t")
    assert await claimed_ids(store) == []
    (urgent,) = await queue(store, 1, thread="t", priority=HIGH)
    assert await claimed_ids(store) == []
    order = []
    for _ in range(3):
        await store.finish(lease, DONE)
        (claimed,) = await claim(store, ALL)
        order.append(claimed.message.id)
        lease = claimed.lease
    assert order == [head, urgent, plain]


async def test_an_agent_without_a_worker_does_not_keep_the_others_waiting(store: Store) -> None:
    await allow(store, 1)
    lease = await start(store)
    first = await queue(store, 2, agent="unserved")
    second = await queue(store, 2)
    assert await claimed_ids(store, agents=["unserved", "chat"]) == []
    await store.finish(lease, DONE)
    assert await claimed_ids(store) == second[:1]
    assert await claimed_ids(store, agents=["unserved", "chat"]) == []
    assert first


async def test_a_raised_limit_lets_more_messages_run(store: Store) -> None:
    await allow(store, 1)
    ids = await queue(store, 6)
    assert await claimed_ids(store) == ids[:1]
    await allow(store, 3)
    await store.promote()
    assert await claimed_ids(store) == ids[1:3]
    await allow(store, None)
    await store.promote()
    assert await claimed_ids(store) == ids[3:]


async def test_a_lowered_limit_stops_no_run_and_lets_none_begin(store: Store) -> None:
    ids = await queue(store, 4)
    running = await claim(store, 3)
    await allow(store, 2)
    assert await claimed_ids(store) == []
    await store.finish(running[0].lease, DONE)
    assert await claimed_ids(store) == []
    await store.finish(running[1].lease, DONE)
    assert await claimed_ids(store) == ids[3:]


async def test_without_a_limit_all_held_messages_are_released(store: Store) -> None:
    await allow(store, 1)
    ids = await queue(store, 1200)
    while len(held := await readiness(store, ids[-1:])) == 1 and held != [Readiness.HELD]:
        await claim(store, 100)
    assert await store.delete_tenant(TENANT)
    assert await store.promote() == 0, "it counts delayed messages alone"
    assert set(await readiness(store, ids[1:])) == {Readiness.READY}
    assert await claimed_ids(store) == ids[1:]


@pytest.mark.parametrize("count", [1, 3])
async def test_a_released_message_that_is_cancelled_gives_its_place_to_the_next(store: Store, count: int) -> None:
    await allow(store, 1)
    ids = await queue(store, 6)
    lease = await claim_one(store)
    assert await claimed_ids(store) == []
    await store.finish(lease, DONE)
    for each in ids[1 : 1 + count]:
        await store.cancel(TENANT, each)
    assert await claimed_ids(store) == ids[1 + count : 2 + count]


async def test_a_held_message_is_cancelled_like_a_queued_one(store: Store) -> None:
    await allow(store, 1)
    ids = await queue(store, 3)
    lease = await claim_one(store)
    assert await claimed_ids(store) == []
    assert (await store.cancel(TENANT, ids[1])).state is MessageState.CANCELLED
    assert await claimed_ids(store) == []
    await store.finish(lease, DONE)
    assert await claimed_ids(store) == ids[2:]


@pytest.mark.parametrize("thread", [None, "t"])
async def test_another_priority_moves_a_held_message(store: Store, thread: str | None) -> None:
    await allow(store, 1)
    lease = await start(store)
    first, last = await queue(store, 1), await queue(store, 1, thread=thread)
    assert await claimed_ids(store) == []
    await store.reprioritize(TENANT, last[0], HIGH)
    assert await claimed_ids(store) == []
    await store.finish(lease, DONE)
    assert await claimed_ids(store) == last
    assert first


@pytest.mark.parametrize("thread", [None, "t"])
async def test_a_released_message_that_gets_a_lower_priority_gives_its_place_to_the_next(
    store: Store, thread: str | None
) -> None:
    await allow(store, 1)
    lease = await start(store)
    first, last = await queue(store, 1, thread=thread), await queue(store, 1)
    assert await claimed_ids(store) == []
    await store.finish(lease, DONE)
    await store.reprioritize(TENANT, first[0], LOW)
    assert await claimed_ids(store) == last


async def test_a_requeued_message_waits_for_the_limit(store: Store) -> None:
    dead = await dead_letter(store)
    await allow(store, 1)
    lease = await start(store)
    await requeue(store, dead.id)
    assert await claimed_ids(store) == []
    await store.finish(lease, DONE)
    assert await claimed_ids(store) == [dead.id]


async def test_a_deleted_thread_with_a_held_message_leaves_nothing(store: Store) -> None:
    await allow(store, 1)
    lease = await start(store)
    await queue(store, 2, thread="t")
    last = await queue(store, 1)
    assert await claimed_ids(store) == []
    await store.delete_thread(TENANT, "t")
    await store.finish(lease, DONE)
    await store.promote()
    assert await claimed_ids(store) == last
    assert await store.check_counts() == []


async def test_held_messages_have_positions_and_are_counted_as_queued(store: Store) -> None:
    await allow(store, 1)
    ids = await queue(store, 4)
    await claim_one(store)
    assert await claimed_ids(store) == []
    assert await readiness(store, ids) == [None, *[Readiness.HELD] * 3]
    assert [(await store.get(TENANT, each)).queue_position for each in ids] == [None, 0, 1, 2]
    summary = await store.summary(TENANT, limit=ALL)
    assert [each.id for each in summary.queued] == ids[1:]
    assert summary.totals[MessageState.QUEUED] == 3
    assert await store.check_counts() == []


async def test_a_paused_queue_holds_nothing_back(store: Store) -> None:
    await allow(store, 1)
    ids = await queue(store, 2)
    await claim_one(store)
    await store.pause(paused=True)
    assert await claimed_ids(store) == []
    assert await readiness(store, ids[1:]) == [Readiness.READY]


async def test_a_release_wakes_workers(store: Store, other_store: Store) -> None:
    await allow(store, 1)
    await queue(store, 2)
    lease = await claim_one(store)
    assert await claimed_ids(store) == []
    with other_store.subscribe(READY) as ready:
        hint = asyncio.ensure_future(ready.wait(10))
        await asyncio.sleep(0)
        await store.finish(lease, DONE)
        assert await hint


async def test_a_tenant_with_much_to_do_does_not_keep_others_waiting(store: Store) -> None:
    """Each claim holds HELD_AT_ONCE messages back, and wakes the next."""
    await allow(store, 1)
    await queue(store, 5 * HELD_AT_ONCE, priority=HIGH)
    (other,) = await queue(store, 1, tenant=OTHER_TENANT)
    await claim_one(store)
    claims: list[list[str]] = []
    while not claims or other not in claims[-1]:
        with store.subscribe(READY) as ready:
            claims.append(await claimed_ids(store, 1))
            assert claims[-1] or await ready.wait(10), "nobody is woken to look further"
    assert len(claims) <= 6
    assert await claimed_ids(store, 1) == []


async def test_a_claim_that_meets_one_message_too_many_holds_the_next_ones_back_too(store: Store) -> None:
    """Else each of the next claims would have to look twice, as long as the tenant has messages."""
    await allow(store, 1)
    ids = await queue(store, 2 * HELD_AT_ONCE)
    await claim_one(store)
    await queue(store, 2, tenant=OTHER_TENANT)
    for _ in range(2):
        (claimed,) = await claim(store, 1)
        assert claimed.message.tenant == OTHER_TENANT
    held = [each is Readiness.HELD for each in await readiness(store, ids)]
    assert held == [False] + [True] * HELD_AT_ONCE + [False] * (HELD_AT_ONCE - 1)


async def test_processes_together_never_run_more_and_never_stop(store: Store, other_store: Store) -> None:
    """Each worker claims when it has ended a run. No duty runs, so a lost release would leave messages."""
    await allow(store, 3)
    await allow(store, 1, OTHER_TENANT)
    left = {*await queue(store, 60), *await queue(store, 30, tenant=OTHER_TENANT)}
    running: dict[str, set[str]] = {TENANT: set(), OTHER_TENANT: set()}
    most = {TENANT: 3, OTHER_TENANT: 1}

    async def work(each: Store, name: str) -> None:
        while left:
            with each.subscribe(READY) as ready:
                claims = await claim(each, 2, worker=name)
                if not claims and left:
                    await ready.wait(0.1)
            for _, message in claims:
                running[message.tenant].add(message.id)
                assert len(running[message.tenant]) <= most[message.tenant]
            for lease, message in claims:
                running[message.tenant].discard(message.id)
                await each.finish(lease, DONE)
                left.discard(message.id)

    async with asyncio.timeout(60):
        await asyncio.gather(*(work(each, f"worker {number}") for number, each in enumerate([store, other_store] * 4)))


async def test_messages_of_old_versions_are_held_and_released_too(store: Store) -> None:
    """A version that no worker has keeps none of the others waiting."""
    await allow(store, 1)
    old = await add(store)
    (begun,) = await store.claim("worker", ["chat"], 1, lease_seconds=30, versions={"chat": "1"})
    await store.finish(begun.lease, RELEASED)
    ids = await queue(store, 2)
    (running,) = await store.claim("worker", ["chat"], 1, lease_seconds=30, versions={"chat": "2"})
    assert running.message.id == ids[0]
    assert await store.claim("worker", ["chat"], 9, lease_seconds=30, versions={"chat": "1"}) == []
    assert await readiness(store, [old.id, ids[1]]) == [Readiness.HELD] * 2
    await store.finish(running.lease, DONE)
    (following,) = await store.claim("worker", ["chat"], 9, lease_seconds=30, versions={"chat": "2"})
    assert following.message.id == ids[1]
