"""How fast the queue moves: what estimates are made of."""

import pytest

from app.models.workers import AgentState, ServedAgent, Throughput, WorkerGroup
from app.store.limits import THROUGHPUT_MESSAGES
from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.builders import (
    CANCELLED,
    DONE,
    FAILED,
    INTERRUPTED,
    LEASE_SECONDS,
    OTHER_TENANT,
    RELEASED,
    RETRIED,
    add,
    claim_one,
    dead_letter,
    requeue,
    start,
    worker,
)


async def run_for(store: Store, clock: ManualClock, seconds: float, **fields: str) -> None:
    """A message that takes so long from its claim to its end."""
    lease = await start(store, **fields)
    clock.advance(seconds)
    await store.finish(lease, DONE)


async def test_an_empty_queue_has_no_throughput(store: Store) -> None:
    assert await store.throughput() == Throughput(paused=False, slots=0, running=0, run_seconds=None)


async def test_the_slots_are_those_of_all_live_workers(store: Store, clock: ManualClock) -> None:
    with store.open_lease_renewer() as renewer:
        renewer.beat(worker("a", 2), (), lease_seconds=LEASE_SECONDS)
        renewer.beat(worker("b", 3), (), lease_seconds=LEASE_SECONDS)
        assert (await store.throughput()).slots == 5
        renewer.beat(worker("b", 1), (), lease_seconds=LEASE_SECONDS)
        assert (await store.throughput()).slots == 3
        renewer.stop("a")
    assert (await store.throughput()).slots == 1
    clock.advance(60)
    await store.prune_workers(silent_for_seconds=30)
    assert (await store.throughput()).slots == 0


async def test_the_time_is_the_mean_of_what_was_completed(store: Store, clock: ManualClock) -> None:
    for seconds in (1, 2, 6):
        await run_for(store, clock, seconds)
    assert (await store.throughput()).run_seconds == pytest.approx(3.0)


async def test_what_runs_is_counted_until_it_has_ended(store: Store) -> None:
    lease = await start(store, thread="t")
    await start(store, tenant=OTHER_TENANT)
    await add(store, thread="t")
    assert (await store.throughput()).running == 2
    await store.finish(lease, DONE)
    assert (await store.throughput()).running == 1


async def test_the_time_in_the_queue_does_not_count(store: Store, clock: ManualClock) -> None:
    lease = await start(store, thread="t")
    await add(store, thread="t")
    clock.advance(4)
    await store.finish(lease, DONE)
    assert (await store.throughput()).run_seconds == pytest.approx(4.0)


async def test_a_run_of_no_time_is_a_time(store: Store, clock: ManualClock) -> None:
    await run_for(store, clock, 0)
    assert (await store.throughput()).run_seconds == 0.0


async def test_only_the_newest_count(store: Store, clock: ManualClock) -> None:
    for _ in range(5):
        await run_for(store, clock, 1_000)
    for _ in range(THROUGHPUT_MESSAGES):
        await run_for(store, clock, 2)
    assert (await store.throughput()).run_seconds == pytest.approx(2.0)


async def test_only_completed_messages_count(store: Store, clock: ManualClock) -> None:
    await run_for(store, clock, 3)
    for outcome in (FAILED, CANCELLED, RETRIED, INTERRUPTED, RELEASED):
        lease = await start(store)
        clock.advance(1_000)
        await store.finish(lease, outcome)
    assert (await store.throughput()).run_seconds == pytest.approx(3.0)


async def test_the_time_that_a_message_was_dead_does_not_count(store: Store, clock: ManualClock) -> None:
    failed = await dead_letter(store)
    clock.advance(1_000)
    await requeue(store, failed.id)
    lease = await claim_one(store)
    clock.advance(2)
    await store.finish(lease, DONE)
    assert (await store.throughput()).run_seconds == pytest.approx(2.0)


async def test_the_throughput_is_of_all_tenants_together(store: Store, clock: ManualClock) -> None:
    await run_for(store, clock, 1)
    await run_for(store, clock, 3, tenant=OTHER_TENANT)
    assert (await store.throughput()).run_seconds == pytest.approx(2.0)


async def test_the_throughput_is_known_after_old_messages_were_deleted(store: Store, clock: ManualClock) -> None:
    await run_for(store, clock, 100)
    clock.advance(1_000)
    await run_for(store, clock, 4)
    await store.prune_messages(older_than_seconds=500, limit=100)
    assert (await store.throughput()).run_seconds is not None


AVAILABLE = ServedAgent(name="chat", state=AgentState.AVAILABLE)
BROKEN = ServedAgent(name="chat", state=AgentState.FAILED, error='RuntimeError: It\u2019s "broken".')


async def test_workers_tell_their_agents_and_each_change(store: Store) -> None:
    with store.open_lease_renewer() as renewer:
        renewer.beat(worker("a"), (), lease_seconds=LEASE_SECONDS)
        for agents in (None, (), (BROKEN,), (AVAILABLE, BROKEN), (AVAILABLE,)):
            renewer.beat(worker("a").model_copy(update={"agents": agents}), (), lease_seconds=LEASE_SECONDS)
            (told,) = await store.list_workers()
            assert told.agents == agents
            (group,) = (await store.throughput()).groups
            assert group == WorkerGroup(1, 0, agents)


async def test_a_worker_that_was_forgotten_tells_its_agents_again(store: Store, clock: ManualClock) -> None:
    told = worker("a").model_copy(update={"agents": (AVAILABLE,)})
    with store.open_lease_renewer() as renewer:
        renewer.beat(told, (), lease_seconds=LEASE_SECONDS)
        clock.advance(60)
        await store.prune_workers(silent_for_seconds=30)
        renewer.beat(told, (), lease_seconds=LEASE_SECONDS)
    assert [each.agents for each in await store.list_workers()] == [(AVAILABLE,)]


async def test_slots_and_runs_are_told_by_what_the_workers_serve(store: Store) -> None:
    both, broken = worker("a", 2), worker("b", 3)
    agents = {"a": (AVAILABLE,), "b": (BROKEN,), "c": (AVAILABLE,)}
    with store.open_lease_renewer() as renewer:
        for each in (both, broken, worker("c", 1)):
            renewer.beat(each.model_copy(update={"agents": agents[each.id]}), (), lease_seconds=LEASE_SECONDS)
    for name in ("a", "c", "b"):
        await add(store)
        await claim_one(store, worker=name)
    now = await store.throughput()
    assert (now.slots, now.running) == (6, 3)
    assert sorted(now.groups, key=lambda each: -each.running) == [
        WorkerGroup(3, 2, (AVAILABLE,)),
        WorkerGroup(3, 1, (BROKEN,)),
    ]
