"""How long a worker may hold a message, and what happens when it does not come back."""

import asyncio
import json

import pytest

from app.clock import to_datetime
from app.models.attempts import Beat, Lease, Released
from app.models.events import EventType
from app.models.messages import MessageState
from app.models.workers import WorkerLoad, WorkerRun
from app.store.limits import MAX_CRASHES
from app.store.ports import Store
from app.text import rfc3339
from tests.clock import START, ManualClock
from tests.contract.builders import (
    DONE,
    HIGH,
    LEASE_SECONDS,
    LOW,
    RELEASED,
    TENANT,
    WORKER,
    add,
    beat,
    chunk,
    claim,
    claim_one,
    claimed_ids,
    drain,
    event_types,
    log,
    seen,
    start,
    worker,
)

MILLISECOND = 0.001


async def crash(store: Store, clock: ManualClock) -> Lease:
    """Claim a message, lose the worker, have it rescued."""
    lease = await claim_one(store)
    clock.advance(LEASE_SECONDS)
    assert await store.rescue() == 1
    return lease


# Beats


async def test_a_beat_extends_the_leases_of_its_worker(store: Store, clock: ManualClock) -> None:
    for _ in range(3):
        await add(store)
    leases = [each.lease for each in await claim(store, 3)]
    for _ in range(5):
        clock.advance(LEASE_SECONDS * 2 / 3)
        assert (await beat(store)).held == {lease.message_id: lease.fence for lease in leases}
        assert await store.rescue() == 0
    clock.advance(LEASE_SECONDS - MILLISECOND)
    assert await store.rescue() == 0
    clock.advance(MILLISECOND)
    assert await store.rescue() == 3


async def test_a_beat_extends_by_the_time_it_names(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    await beat(store, lease_seconds=100)
    clock.advance(100 - MILLISECOND)
    assert await store.rescue() == 0
    assert (await beat(store)).held == {lease.message_id: lease.fence}


async def test_a_beat_of_another_worker_does_not_extend(store: Store, clock: ManualClock) -> None:
    await start(store)
    clock.advance(LEASE_SECONDS / 2)
    assert (await beat(store, "worker 2")).held == {}
    clock.advance(LEASE_SECONDS / 2)
    assert await store.rescue() == 1


async def test_a_beat_does_not_revive_a_lease_that_ran_out(store: Store, clock: ManualClock) -> None:
    await start(store)
    clock.advance(LEASE_SECONDS)
    assert (await beat(store)).held == {}
    assert await store.rescue() == 1


async def test_a_beat_in_the_last_moment_of_a_lease_keeps_it(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    clock.advance(LEASE_SECONDS - MILLISECOND)
    assert (await beat(store)).held == {lease.message_id: lease.fence}
    clock.advance(MILLISECOND)
    assert await store.rescue() == 0


async def test_a_beat_tells_only_what_is_held(store: Store, clock: ManualClock) -> None:
    for _ in range(5):
        await add(store)
    finished, released, lost, held = [each.lease for each in await claim(store, 4)]
    await claim_one(store, worker="worker 2")
    await store.finish(finished, DONE)
    await store.finish(released, Released("later", delay=1_000))
    assert (await beat(store)).held == {lease.message_id: lease.fence for lease in (lost, held)}
    clock.advance(LEASE_SECONDS)
    await store.rescue()
    assert (await beat(store)).held == {}


async def test_a_beat_does_not_extend_by_the_lease_of_an_earlier_attempt(store: Store, clock: ManualClock) -> None:
    """A fence of an earlier claim is refused although the same worker has claimed the message again."""
    await add(store)
    old = await crash(store, clock)
    await claim_one(store)
    with store.open_lease_renewer() as renewer:
        assert renewer.beat(worker(), [old], lease_seconds=1_000).held == {}
    clock.advance(LEASE_SECONDS)
    assert await store.rescue() == 1


async def test_a_beat_tells_the_fence_of_a_new_attempt(store: Store, clock: ManualClock) -> None:
    await add(store)
    await crash(store, clock)
    lease = await claim_one(store)
    assert (await beat(store)).held == {lease.message_id: lease.fence}


async def test_hearts_beat_at_the_same_time_as_messages_are_written(store: Store) -> None:
    leases = [await start(store) for _ in range(3)]

    async def write(lease: Lease) -> None:
        for index in range(20):
            await store.append(lease, [chunk(index)])

    def beats() -> list[dict[str, int]]:
        with store.open_lease_renewer() as renewer:
            return [renewer.beat(worker(), leases, lease_seconds=LEASE_SECONDS).held for _ in range(20)]

    told, *_ = await asyncio.gather(asyncio.to_thread(beats), *map(write, leases))
    assert told == [{lease.message_id: lease.fence for lease in leases}] * 20


# Rescue


async def test_a_lease_that_holds_is_not_rescued(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    clock.advance(LEASE_SECONDS - MILLISECOND)
    before = await seen(store, lease.message_id)
    assert await store.rescue() == 0
    assert await seen(store, lease.message_id) == before


async def test_a_rescued_message_is_ready_at_once(store: Store, clock: ManualClock) -> None:
    lease = await start(store, thread="t")
    await add(store, thread="t")
    clock.advance(LEASE_SECONDS)
    assert await store.rescue() == 1
    message = await store.get(TENANT, lease.message_id)
    assert (message.state, message.queue_position) == (MessageState.QUEUED, 0)
    assert message.fence > lease.fence
    assert (await claim_one(store)).message_id == lease.message_id


async def test_readers_are_told_of_a_rescue_and_what_to_drop(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    await store.append(lease, [chunk(0), chunk(1)])
    clock.advance(LEASE_SECONDS)
    await store.rescue()
    again = await claim_one(store)
    await store.append(again, [chunk(0)])
    clock.advance(LEASE_SECONDS)
    await store.rescue()
    events = await log(store, lease.message_id)
    types = ["processing", "chunk", "chunk", "retry", "processing", "chunk", "retry"]
    assert [event.type for event in events] == types
    first, second = (json.loads(event.data) for event in events if event.type is EventType.RETRY)
    assert (first["attempt"], first["discard_from"]) == (1, 1)
    assert (second["attempt"], second["discard_from"]) == (2, 5)
    assert first["state"] == "queued"
    assert first["next_at"] == rfc3339(to_datetime(START + int(LEASE_SECONDS * 1000)))


async def test_a_message_fails_when_its_workers_were_lost_too_often(store: Store, clock: ManualClock) -> None:
    message = await add(store, thread="t")
    behind = await add(store, thread="t")
    for crashes in range(1, MAX_CRASHES):
        lease = await crash(store, clock)
        assert (lease.message_id, lease.attempt) == (message.id, crashes)
        assert (await store.get(TENANT, message.id)).state is MessageState.QUEUED
    await crash(store, clock)
    failed = await store.get(TENANT, message.id)
    assert (failed.state, failed.error_code, failed.result) == (MessageState.FAILED, "worker_lost", None)
    last = (await log(store, message.id))[-1]
    assert last.type is EventType.ERROR
    assert json.loads(last.data)["code"] == "worker_lost"
    assert await drain(store) == [behind.id]


async def test_how_many_crashes_are_too_many_is_the_callers_choice(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    clock.advance(LEASE_SECONDS)
    assert await store.rescue(max_crashes=1) == 1
    assert (await store.get(TENANT, lease.message_id)).state is MessageState.FAILED


async def test_a_release_is_no_crash(store: Store, clock: ManualClock) -> None:
    message = await add(store)
    for _ in range(MAX_CRASHES + 1):
        await store.finish(await claim_one(store), RELEASED)
    for _ in range(MAX_CRASHES - 1):
        await crash(store, clock)
        await store.finish(await claim_one(store), RELEASED)
    assert (await store.get(TENANT, message.id)).state is MessageState.QUEUED


async def test_a_second_rescue_finds_nothing(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    clock.advance(LEASE_SECONDS)
    assert await store.rescue() == 1
    before = await seen(store, lease.message_id)
    assert await store.rescue() == 0
    assert await seen(store, lease.message_id) == before


async def test_concurrent_rescues_take_each_message_back_once(store: Store, clock: ManualClock) -> None:
    await asyncio.gather(*(add(store) for _ in range(30)))
    ids = await claimed_ids(store)
    clock.advance(LEASE_SECONDS)
    assert sum(await asyncio.gather(*(store.rescue() for _ in range(8)))) == 30
    logs = await asyncio.gather(*(event_types(store, each) for each in ids))
    assert logs == [["processing", "retry"]] * 30


async def test_repeated_rescues_take_back_any_number_of_messages(store: Store, clock: ManualClock) -> None:
    await asyncio.gather(*(add(store) for _ in range(250)))
    await claim(store, 250)
    clock.advance(LEASE_SECONDS)
    rescued = 0
    while count := await store.rescue():
        rescued += count
    assert rescued == 250


async def test_only_the_leases_that_ran_out_are_rescued(store: Store, clock: ManualClock) -> None:
    short = await start(store)
    await beat(store, lease_seconds=1)
    await add(store)
    long = await claim_one(store, worker="worker 2")
    clock.advance(1)
    assert await store.rescue() == 1
    assert (await store.get(TENANT, short.message_id)).state is MessageState.QUEUED
    assert (await store.get(TENANT, long.message_id)).state is MessageState.PROCESSING


# Release


async def test_a_released_message_is_ready_again_with_its_attempt_refunded(store: Store) -> None:
    lease = await start(store, thread="t")
    await add(store, thread="t")
    await store.finish(lease, RELEASED)
    message = await store.get(TENANT, lease.message_id)
    assert (message.state, message.attempt) == (MessageState.QUEUED, 0)
    assert message.fence > lease.fence
    again = await claim_one(store)
    assert (again.message_id, again.attempt) == (lease.message_id, 1)
    assert again.fence > message.fence


async def test_readers_are_told_of_a_release_and_what_to_drop(store: Store, clock: ManualClock) -> None:
    await store.finish(await start(store), RELEASED)
    lease = await claim_one(store)
    await store.append(lease, [chunk(0), chunk(1)])
    await store.finish(lease, Released("The disk is full.", delay=2.5))
    events = await log(store, lease.message_id)
    assert [event.type for event in events[2:]] == ["processing", "chunk", "chunk", "retry"]
    assert json.loads(events[-1].data) == {
        "state": "queued",
        "attempt": 1,
        "error": "The disk is full.",
        "next_at": rfc3339(to_datetime(START + 2_500)),
        "discard_from": 3,
    }


async def test_a_released_message_goes_first_again(store: Store) -> None:
    leases = [await start(store) for _ in range(3)]
    newer = await add(store)
    for lease in reversed(leases):
        await store.finish(lease, RELEASED)
    assert await drain(store) == [*(lease.message_id for lease in leases), newer.id]


async def test_a_delayed_message_is_ready_after_its_time_and_a_promote(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    await store.finish(lease, Released("later", delay=10))
    assert await claim(store) == []
    clock.advance(10 - MILLISECOND)
    assert await store.promote() == 0
    assert await claim(store) == []
    clock.advance(MILLISECOND)
    assert await store.promote() == 1
    assert await store.promote() == 0
    assert await claimed_ids(store) == [lease.message_id]


async def test_a_delayed_message_holds_its_thread_and_nobody_else(store: Store, clock: ManualClock) -> None:
    lease = await start(store, thread="t", priority=HIGH)
    behind = await add(store, thread="t", priority=HIGH)
    other = await add(store, priority=LOW)
    await store.finish(lease, Released("later", delay=10))
    later = await add(store, thread="t", priority=HIGH)
    assert await drain(store) == [other.id]
    clock.advance(10)
    await store.promote()
    assert await drain(store) == [lease.message_id, behind.id, later.id]


async def test_a_delayed_message_still_counts_as_queued(store: Store) -> None:
    lease = await start(store, thread="t")
    await store.finish(lease, Released("later", delay=10))
    message = await store.get(TENANT, lease.message_id)
    assert message.state is MessageState.QUEUED
    assert (await store.get_thread(TENANT, "t")).states[MessageState.QUEUED] == 1
    assert (await store.summary(TENANT, limit=10)).totals[MessageState.QUEUED] == 1


async def test_a_delayed_message_can_be_cancelled(store: Store, clock: ManualClock) -> None:
    lease = await start(store, thread="t")
    behind = await add(store, thread="t")
    await store.finish(lease, Released("later", delay=10))
    await store.cancel(TENANT, lease.message_id)
    assert await drain(store) == [behind.id]
    clock.advance(10)
    assert await store.promote() == 0


async def test_concurrent_promotes_make_a_message_ready_once(store: Store, clock: ManualClock) -> None:
    for _ in range(10):
        await store.finish(await start(store), Released("later", delay=1))
    clock.advance(1)
    assert sum(await asyncio.gather(*(store.promote() for _ in range(6)))) == 10
    assert len(await drain(store)) == 10


# Workers


async def test_workers_are_listed_as_of_their_last_beat_oldest_first(store: Store, clock: ManualClock) -> None:
    with store.open_lease_renewer() as renewer:
        for name, slots in (("b", 1), ("a", 2)):
            renewer.beat(worker(name, slots), (), lease_seconds=LEASE_SECONDS)
            clock.advance(5)
        renewer.beat(worker("b", 3), (), lease_seconds=LEASE_SECONDS)
    workers = await store.list_workers()
    assert [(each.id, each.slots, each.host, each.pid) for each in workers] == [
        ("b", 3, "here", 1),
        ("a", 2, "here", 1),
    ]
    assert [each.last_beat for each in workers] == [to_datetime(START + 10_000), to_datetime(START + 5_000)]
    assert [each.started_at for each in workers] == [to_datetime(START), to_datetime(START + 5_000)]


async def test_a_worker_tells_what_it_does_with_each_beat(store: Store) -> None:
    runs = (WorkerRun(message_id="m", tenant=TENANT, agent="chat"),)
    load = WorkerLoad(busy=1, memory_bytes=2**31, tokens_per_second=31.5, runs=runs)
    idle = WorkerLoad(busy=0, memory_bytes=None, tokens_per_second=0.0)
    with store.open_lease_renewer() as renewer:
        for told in (None, load, idle):
            renewer.beat(worker().model_copy(update={"load": told}), (), lease_seconds=LEASE_SECONDS)
            (listed,) = await store.list_workers()
            assert listed.load == told


async def test_a_worker_that_stops_leaves_the_list(store: Store) -> None:
    await beat(store, "a")
    await beat(store, "b")
    with store.open_lease_renewer() as renewer:
        renewer.stop("a")
        renewer.stop("a")
        renewer.stop("never seen")
    assert [each.id for each in await store.list_workers()] == ["b"]


async def test_workers_that_are_silent_for_long_are_forgotten(store: Store, clock: ManualClock) -> None:
    await beat(store, "silent")
    clock.advance(60)
    await beat(store, "alive")
    clock.advance(1)
    await store.prune_workers(silent_for_seconds=62)
    assert len(await store.list_workers()) == 2
    await store.prune_workers(silent_for_seconds=60)
    assert [each.id for each in await store.list_workers()] == ["alive"]


async def test_a_worker_that_is_forgotten_keeps_its_leases_and_comes_back(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    await beat(store, lease_seconds=1_000)
    clock.advance(500)
    await store.prune_workers(silent_for_seconds=1)
    assert (await beat(store)).held == {lease.message_id: lease.fence}
    assert [each.id for each in await store.list_workers()] == [WORKER]


@pytest.mark.parametrize("seconds", [0.0, 0.5])
async def test_a_worker_that_was_heard_of_just_now_is_not_forgotten(store: Store, seconds: float) -> None:
    await beat(store)
    await store.prune_workers(silent_for_seconds=seconds)
    assert [each.id for each in await store.list_workers()] == [WORKER]


async def test_a_lease_that_its_worker_does_not_name_runs_out(store: Store, clock: ManualClock) -> None:
    """A run that ended without a finish must not be held for ever by the heartbeats of its worker."""
    forgotten, held = await start(store), await start(store)
    clock.advance(LEASE_SECONDS - 1)
    with store.open_lease_renewer() as renewer:
        told = renewer.beat(worker(), [held], lease_seconds=LEASE_SECONDS)
    assert told == Beat({held.message_id: held.fence}, frozenset())
    clock.advance(1)
    assert await store.rescue() == 1
    assert (await store.get(TENANT, forgotten.message_id)).state is MessageState.QUEUED
