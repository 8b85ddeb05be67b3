"""The clock that the store goes by is stepped, forward or back: nothing that is stored changes its meaning.

While a correction wears off, the store's time is up to a tenth faster or slower than real time.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.clock import SteadyClock, to_datetime
from app.models.messages import MessageState, Priority
from app.policy.rank import RankPolicy
from app.store.ports import Store
from tests.clock import START, SteppedHost
from tests.contract.backends import StoreFactory
from tests.contract.builders import (
    DONE,
    FAILED,
    INTERRUPTED,
    LEASE_SECONDS,
    LOW,
    NORMAL,
    RETRIED,
    TENANT,
    add,
    beat,
    claim,
    claim_one,
    claimed_ids,
    start,
    state_of,
)

HOUR = 3600.0
FAR = (4 * HOUR, -4 * HOUR)
STEPS = (HOUR, -HOUR, *FAR)
SECOND = 1.0
MILLISECOND = 0.001
HOOK = "https://example.com/hook"


@pytest.fixture
def host() -> SteppedHost:
    return SteppedHost()


@asynccontextmanager
async def process(
    make_store: StoreFactory, folder: Path, host: SteppedHost, ranks: RankPolicy | None = None
) -> AsyncIterator[Store]:
    """The queue as a process on this host has it."""
    store = make_store(folder, SteadyClock(host), ranks)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def stepped(make_store: StoreFactory, tmp_path: Path, host: SteppedHost) -> AsyncIterator[Store]:
    async with process(make_store, tmp_path, host) as store:
        yield store


@pytest.fixture
async def others(
    make_store: StoreFactory, tmp_path: Path, host: SteppedHost, stepped: Store
) -> AsyncIterator[tuple[Store, Store]]:
    """Two more processes; where the queue is in the memory of one process, it is the same store."""
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(process(make_store, tmp_path, host)) for _ in range(2)]
        shared = [await each.queue_id() == await stepped.queue_id() for each in opened]
        yield (opened[0] if shared[0] else stepped, opened[1] if shared[1] else stepped)


async def duties(store: Store) -> tuple[int, int, int]:
    """Do what every process does each second. Return how many messages were rescued, promoted and expired."""
    return await store.rescue(), await store.promote(), await store.expire_interrupts()


async def pass_time(host: SteppedHost, seconds: float, *stores: Store) -> None:
    """Let time pass while processes do their duties, of which none has anything to do."""
    while seconds > 0:
        host.advance(min(seconds, SECOND))
        seconds -= SECOND
        for store in stores:
            assert await duties(store) == (0, 0, 0)


@pytest.mark.parametrize("seconds", FAR)
async def test_a_run_that_beats_is_not_rescued(
    stepped: Store, others: tuple[Store, Store], host: SteppedHost, seconds: float
) -> None:
    lease = await start(stepped)
    host.step(seconds)
    for store in others:
        assert await store.rescue() == 0
    assert (await beat(stepped)).held == {lease.message_id: lease.fence}
    await pass_time(host, LEASE_SECONDS * 0.8, *others)
    assert (await beat(stepped)).held == {lease.message_id: lease.fence}
    await pass_time(host, LEASE_SECONDS * 0.8, *others)
    host.advance(LEASE_SECONDS * 0.4)
    assert sum([await store.rescue() for store in others]) == 1


@pytest.mark.parametrize("seconds", FAR)
async def test_a_beat_may_be_the_first_to_come_after_a_step(
    stepped: Store, others: tuple[Store, Store], host: SteppedHost, seconds: float
) -> None:
    lease = await start(stepped)
    host.step(seconds)
    assert (await beat(stepped)).held == {lease.message_id: lease.fence}
    assert await others[0].rescue() == 0
    await stepped.finish(lease, DONE)
    message = await stepped.get(TENANT, lease.message_id)
    assert message.started_at is not None
    assert message.completed_at is not None
    assert message.created_at <= message.started_at <= message.completed_at


async def test_steps_follow_each_other(stepped: Store, others: tuple[Store, Store], host: SteppedHost) -> None:
    lease = await start(stepped)
    for seconds in (*STEPS, *STEPS):
        host.step(seconds)
        host.advance(LEASE_SECONDS / 3)
        assert await others[0].rescue() == 0
        assert (await beat(stepped)).held == {lease.message_id: lease.fence}
        assert await others[1].rescue() == 0


@pytest.mark.parametrize("seconds", FAR)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_pause_before_a_retry_is_as_long_as_it_was_said(
    stepped: Store, others: tuple[Store, Store], host: SteppedHost, seconds: float, when: str
) -> None:
    lease = await start(stepped)
    if when == "before":
        host.step(seconds)
    await stepped.finish(lease, RETRIED)
    if when == "after":
        host.step(seconds)
    await pass_time(host, RETRIED.delay - SECOND, *others)
    host.advance(SECOND * 1.8)
    assert sum([await store.promote() for store in others]) == 1
    assert await claimed_ids(stepped) == [lease.message_id]


@pytest.mark.parametrize("seconds", FAR)
async def test_a_delay_is_as_long_as_it_was_said(
    stepped: Store, others: tuple[Store, Store], host: SteppedHost, seconds: float
) -> None:
    message = await add(stepped, delay_seconds=60)
    host.step(seconds)
    await pass_time(host, 52, *others)
    host.advance(16)
    assert sum([await store.promote() for store in others]) == 1
    assert await claimed_ids(stepped) == [message.id]


@pytest.mark.parametrize("seconds", FAR)
async def test_a_date_of_the_caller_is_one_of_the_real_world(
    stepped: Store, others: tuple[Store, Store], host: SteppedHost, seconds: float
) -> None:
    """The clock was set right by the step, and callers have the right time too."""
    host.step(seconds)
    await stepped.promote()
    message = await add(stepped, run_at=to_datetime(host.wall + 60_000))
    await pass_time(host, 58, *others)
    host.advance(4)
    assert sum([await store.promote() for store in others]) == 1
    assert await claimed_ids(stepped) == [message.id]


@pytest.mark.parametrize("seconds", FAR)
async def test_a_question_may_be_answered_for_as_long_as_it_was_said(
    stepped: Store, others: tuple[Store, Store], host: SteppedHost, seconds: float
) -> None:
    lease = await start(stepped)
    await stepped.finish(lease, INTERRUPTED)
    host.step(seconds)
    for store in others:
        assert await duties(store) == (0, 0, 0)
    for _ in range(10):
        host.advance(INTERRUPTED.ttl_seconds * 0.088)
        assert await duties(others[0]) == (0, 0, 0)
    host.advance(INTERRUPTED.ttl_seconds * 0.25)
    assert (await duties(others[0]))[2] == 1


@pytest.mark.parametrize("seconds", FAR)
async def test_a_webhook_is_due_when_it_was_said(
    stepped: Store, others: tuple[Store, Store], host: SteppedHost, seconds: float
) -> None:
    lease = await start(stepped, webhook_url=HOOK)
    await stepped.finish(lease, DONE)
    (taken,) = await stepped.claim_deliveries(1, lease_seconds=60)
    host.step(seconds)
    await pass_time(host, 52, *others)
    for store in others:
        assert await store.claim_deliveries(1, lease_seconds=60) == []
    host.advance(16)
    await others[0].promote()
    (again,) = await others[0].claim_deliveries(1, lease_seconds=60)
    assert (again.id, again.tries) == (taken.id, 2)


@pytest.mark.parametrize("aging", [0, 60])
@pytest.mark.parametrize("seconds", FAR)
async def test_messages_stay_in_their_order(
    make_store: StoreFactory, tmp_path: Path, host: SteppedHost, seconds: float, aging: int
) -> None:
    """Nobody has looked at the clock between the step and the messages that follow it."""
    async with process(make_store, tmp_path, host, RankPolicy(aging)) as store:
        accepted = []
        for step in (0.0, seconds, -seconds):
            host.step(step)
            for priority in (*Priority, *Priority):
                accepted.append(await add(store, priority=priority))
                host.advance(MILLISECOND)
        await store.promote()
        assert await claimed_ids(store) == [
            each.id for each in sorted(accepted, key=lambda each: (each.priority.level, each.number))
        ]


@pytest.mark.parametrize("seconds", FAR)
async def test_a_requeued_message_goes_behind_what_was_accepted(
    stepped: Store, others: tuple[Store, Store], host: SteppedHost, seconds: float
) -> None:
    lease = await start(stepped, priority=NORMAL)
    await stepped.finish(lease, FAILED)
    before = await add(stepped, priority=NORMAL)
    host.step(seconds)
    between = await add(stepped, priority=NORMAL)
    await others[0].requeue(TENANT, [lease.message_id])
    after, low = await add(others[1], priority=NORMAL), await add(stepped, priority=LOW)
    assert await claimed_ids(stepped) == [before.id, between.id, lease.message_id, after.id, low.id]


@pytest.mark.parametrize("seconds", FAR)
async def test_what_has_ended_is_kept_for_as_long_as_it_was_said(
    stepped: Store, others: tuple[Store, Store], host: SteppedHost, seconds: float
) -> None:
    lease = await start(stepped)
    await stepped.finish(lease, DONE)
    host.step(seconds)
    await others[0].promote()
    host.advance(0.8 * HOUR)
    await others[0].promote()
    assert await others[0].prune_logs(older_than_seconds=HOUR, limit=10) == (0, [])
    assert await others[0].prune_messages(older_than_seconds=HOUR, limit=10) == (0, [])
    host.advance(0.4 * HOUR)
    await others[0].promote()
    assert (await others[0].prune_messages(older_than_seconds=HOUR, limit=10))[0] == 1


@pytest.mark.parametrize("seconds", FAR)
async def test_workers_that_beat_are_not_forgotten(
    stepped: Store, others: tuple[Store, Store], host: SteppedHost, seconds: float
) -> None:
    await beat(stepped)
    host.step(seconds)
    await others[0].rescue()
    await others[0].prune_workers(silent_for_seconds=LEASE_SECONDS)
    assert len(await stepped.list_workers()) == 1
    host.advance(2 * LEASE_SECONDS)
    await others[0].prune_workers(silent_for_seconds=LEASE_SECONDS)
    assert await stepped.list_workers() == []


@pytest.mark.parametrize("seconds", FAR)
async def test_a_step_that_all_notice_at_once_is_corrected_once(
    stepped: Store, others: tuple[Store, Store], host: SteppedHost, seconds: float
) -> None:
    lease = await start(stepped)
    host.step(seconds)
    assert await asyncio.gather(*(store.rescue() for store in (stepped, *others) for _ in range(3))) == [0] * 9
    host.advance(LEASE_SECONDS * 0.8)
    assert await asyncio.gather(*(store.rescue() for store in (stepped, *others))) == [0] * 3
    host.advance(LEASE_SECONDS * 0.4)
    assert sum(await asyncio.gather(*(store.rescue() for store in (stepped, *others)))) == 1
    assert await state_of(stepped, lease.message_id) == MessageState.QUEUED


@pytest.mark.parametrize("hours", [1, -1])
async def test_dates_come_back_to_those_of_the_real_world(stepped: Store, host: SteppedHost, hours: int) -> None:
    created: list[datetime] = []
    host.step(hours * HOUR)
    for _ in range(12):
        await stepped.promote()
        created.append((await add(stepped)).created_at)
        host.advance(HOUR)
    assert created == sorted(created)
    assert abs((created[0] - datetime.fromtimestamp(START / 1000, UTC)).total_seconds()) < SECOND
    real = to_datetime(host.wall - round(HOUR * 1000))
    assert abs((created[-1] - real).total_seconds()) < SECOND


@pytest.mark.parametrize("seconds", FAR)
async def test_a_process_that_starts_after_a_step_goes_on(
    make_store: StoreFactory, tmp_path: Path, host: SteppedHost, seconds: float
) -> None:
    """All processes were down meanwhile; the host was not. A queue in memory has ended with its process."""
    async with process(make_store, tmp_path, host) as store:
        await store.promote()
        lease = await start(store)
        question = await start(store, agent="asks")
        await store.finish(question, INTERRUPTED)
        paused = await start(store, agent="pauses")
        await store.finish(paused, RETRIED)
        queue = await store.queue_id()
    host.step(seconds)
    async with process(make_store, tmp_path, host) as store:
        if await store.queue_id() == queue:
            assert await duties(store) == (0, 0, 0)
            host.advance(RETRIED.delay * 1.2)
            assert await duties(store) == (0, 1, 0)
            host.advance(LEASE_SECONDS)
            assert await duties(store) == (1, 0, 0)
            assert await claimed_ids(store) == [lease.message_id]


@pytest.mark.parametrize("seconds", [-HOUR, -4 * HOUR])
async def test_a_host_that_starts_with_its_clock_behind_goes_on(
    make_store: StoreFactory, tmp_path: Path, host: SteppedHost, seconds: float
) -> None:
    async with process(make_store, tmp_path, host) as store:
        lease = await start(store)
        for _ in range(10):
            host.advance(SECOND)
            await store.promote()
        queue = await store.queue_id()
    restarted = SteppedHost("another boot")
    restarted.running, restarted.wall = 10_000, host.wall
    restarted.step(seconds)
    async with process(make_store, tmp_path, restarted) as store:
        if await store.queue_id() == queue:
            assert await store.rescue() == 0
            restarted.advance(LEASE_SECONDS)
            assert await store.rescue() == 1
            assert [taken.message.id for taken in await claim(store)] == [lease.message_id]


async def test_nothing_is_dated_before_what_it_follows(
    stepped: Store, others: tuple[Store, Store], host: SteppedHost
) -> None:
    dates: list[datetime] = []
    for seconds in (*STEPS, *STEPS):
        message = await add(stepped, thread="t")
        host.step(seconds)
        lease = await claim_one(others[0])
        await others[0].finish(lease, DONE)
        await others[1].promote()
        ended = await stepped.get(TENANT, message.id)
        assert ended.started_at is not None
        assert ended.completed_at is not None
        dates += [ended.created_at, ended.started_at, ended.completed_at]
        host.advance(SECOND)
    assert dates == sorted(dates)
