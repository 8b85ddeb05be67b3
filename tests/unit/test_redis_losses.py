"""A Redis or Valkey server that forgot its last second, as after a crash or a failover, or all that it had."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import redis

from app.errors import LeaseLost, StoreUnavailable
from app.models.attempts import Completed, Lease
from app.store.redis.store import RedisStore
from tests.clock import START, ManualClock
from tests.contract.builders import (
    DONE,
    FAILED,
    INTERRUPTED,
    LEASE_SECONDS,
    OUTCOMES,
    RELEASED,
    RETRIED,
    TENANT,
    WORKER,
    add,
    beat,
    cancel_running,
    chunk,
    claim_one,
    claimed_ids,
    drain,
    event_types,
    start,
    worker,
)
from tests.unit.redis_tools import opened, repeated
from tests.valkey_server import ValkeyServer

A_MILLISECOND = 0.001
"""Numbers and fences are told by it; a server that is restored takes longer."""

Past = Callable[[], None]
Loss = Callable[[RedisStore, Lease], Awaitable[object]]


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    """A server of the test's own, whose keys it may put back or drop."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def admin(server: ValkeyServer) -> Iterator[redis.Redis]:
    client = redis.Redis(port=server.port)
    yield client
    client.close()


def remembered(admin: redis.Redis) -> Past:
    """A call that makes everything as it is now."""
    saved = [(key, admin.dump(key)) for key in admin.keys("*")]

    def restore() -> None:
        admin.flushall()
        for key, value in saved:
            admin.restore(key, 0, value)  # type: ignore[arg-type]  # redis-py types one reply for both of its clients

    return restore


# The last second


async def test_a_claim_that_the_server_forgot_has_another_fence_than_the_next(
    server: ValkeyServer, admin: redis.Redis
) -> None:
    clock = ManualClock()
    async with opened(RedisStore(server.url, clock=clock)) as store:
        message = await add(store)
        restore = remembered(admin)
        forgotten = await claim_one(store)
        restore()
        clock.advance(A_MILLISECOND)
        lease = await claim_one(store, worker="worker 2")
        assert lease.fence > forgotten.fence
        for outcome in OUTCOMES:
            with pytest.raises(LeaseLost):
                await store.finish(forgotten, outcome)
        with pytest.raises(LeaseLost):
            await store.append(forgotten, [chunk(0, "of the forgotten attempt")])
        with store.open_lease_renewer() as renewer:
            assert renewer.beat(worker(), [forgotten], lease_seconds=LEASE_SECONDS).held == {}
        assert await event_types(store, message.id) == ["processing"]
        await store.finish(lease, Completed("of worker 2"))
        assert (await store.get(TENANT, message.id)).result == "of worker 2"


async def released(store: RedisStore, lease: Lease) -> None:
    await store.finish(lease, RELEASED)


async def released_and_cancelled(store: RedisStore, lease: Lease) -> None:
    await store.finish(lease, RELEASED)
    await store.cancel(TENANT, lease.message_id)


async def rescued(store: RedisStore, lease: Lease) -> None:
    assert await store.rescue() == 1


async def failed_after_too_many_crashes(store: RedisStore, lease: Lease) -> None:
    assert await store.rescue(max_crashes=1) == 1


async def retried(store: RedisStore, lease: Lease) -> None:
    await store.finish(lease, RETRIED)


async def interrupted(store: RedisStore, lease: Lease) -> None:
    await store.finish(lease, INTERRUPTED)


async def interrupted_and_cancelled(store: RedisStore, lease: Lease) -> None:
    await store.finish(lease, INTERRUPTED)
    await cancel_running(store, lease.message_id)


async def failed_and_requeued(store: RedisStore, lease: Lease) -> None:
    await store.finish(lease, FAILED)
    await store.requeue(TENANT, [lease.message_id])


LOSSES = [
    released,
    released_and_cancelled,
    rescued,
    failed_after_too_many_crashes,
    retried,
    interrupted,
    interrupted_and_cancelled,
    failed_and_requeued,
]


@pytest.mark.parametrize("loss", LOSSES)
async def test_every_fence_is_above_those_that_the_server_forgot(
    server: ValkeyServer, admin: redis.Redis, loss: Loss
) -> None:
    clock = ManualClock()
    async with opened(RedisStore(server.url, clock=clock)) as store:
        message = await add(store)
        lease = await claim_one(store, lease_seconds=0)
        restore = remembered(admin)
        forgotten = lease.fence
        for _ in range(3):
            clock.advance(A_MILLISECOND)
            await loss(store, lease)
            fence = (await store.get(TENANT, message.id)).fence
            assert fence > forgotten
            forgotten = fence
            restore()


async def test_the_number_of_a_message_that_the_server_forgot_is_never_used_again(
    server: ValkeyServer, admin: redis.Redis
) -> None:
    clock = ManualClock()
    async with opened(RedisStore(server.url, clock=clock)) as store:
        first = await add(store)
        restore = remembered(admin)
        forgotten = [await add(store, thread="t") for _ in range(3)]
        restore()
        clock.advance(A_MILLISECOND)
        after = [await add(store, thread="t") for _ in range(3)]
        numbers = [message.number for message in (first, *forgotten, *after)]
        assert numbers == sorted(set(numbers))
        assert await drain(store) == [first.id, *(message.id for message in after)]


# Numbers as high as microseconds, with and without a clock


async def test_high_numbers_come_back_as_they_were_made(server: ValkeyServer) -> None:
    """A script that writes them as Lua does by itself, 1.8e+15, breaks them."""
    clock = ManualClock()
    async with opened(RedisStore(server.url, clock=clock)) as store:
        message = await add(store, thread="t")
        assert message.number == clock.milliseconds * 1000
        assert await store.get(TENANT, message.id) == message
        clock.advance(A_MILLISECOND)
        lease = await claim_one(store)
        assert lease.fence == clock.milliseconds * 1000
        assert (await store.get(TENANT, message.id)).fence == lease.fence
        assert (await beat(store)).held == {message.id: lease.fence}
        await store.append(lease, [chunk(0)])
        await store.finish(lease, DONE)
        await store.finish(lease, DONE)


async def test_numbers_grow_within_one_moment_and_when_the_clock_goes_back(server: ValkeyServer) -> None:
    clock = ManualClock()
    async with opened(RedisStore(server.url, clock=clock)) as store:
        messages = [await add(store) for _ in range(12)]
        clock.advance(-3600)
        messages += [await add(store) for _ in range(12)]
        first = clock.milliseconds * 1000 + 3600 * 10**6
        assert [message.number for message in messages] == list(range(first, first + 24))
        assert await claimed_ids(store) == [message.id for message in messages]


async def test_a_queue_of_low_numbers_and_fences_goes_on_with_high_ones(
    server: ValkeyServer, admin: redis.Redis
) -> None:
    async with opened(RedisStore(server.url, clock=ManualClock())) as store:
        admin.set("{agent_queue}:number", 7)
        first, second = await add(store), await add(store)
        admin.hset(f"{{agent_queue}}:message:{first.id}", "fence", 3)
        leases = [await claim_one(store) for _ in range(2)]
        assert [lease.message_id for lease in leases] == [first.id, second.id]
        assert min(lease.fence for lease in leases) >= ManualClock().milliseconds * 1000


async def test_a_repeated_claim_knows_its_fences_again(server: ValkeyServer, admin: redis.Redis) -> None:
    keys = ["{agent_queue}", "{agent_queue}:process:p"]
    async with opened(RedisStore(server.url)) as store:
        await add(store)

        def repeat() -> Any:
            return repeated(admin, "claim", keys, 1, START, WORKER, 2, 30_000, "", 0, "chat", "", "")

        first = repeat()
        assert len(first[0]) == 1
        assert repeat() == first


# All that it had


async def test_a_queue_whose_database_was_emptied_takes_nothing_until_the_next_start(
    server: ValkeyServer, admin: redis.Redis
) -> None:
    async with opened(RedisStore(server.url)) as store:
        lease = await start(store)
        admin.flushall()
        with store.open_lease_renewer() as renewer:
            calls: list[Callable[[], Awaitable[object]]] = [
                lambda: add(store),
                store.ping,
                lambda: asyncio.to_thread(renewer.beat, worker(), [lease], lease_seconds=LEASE_SECONDS),
            ]
            for call in calls:
                with pytest.raises(StoreUnavailable, match=r"emptied.*Start the program again"):
                    await call()
        with pytest.raises(LeaseLost):
            await store.append(lease, [chunk(0)])
        with pytest.raises(LeaseLost):
            await store.finish(lease, DONE)
        assert await claimed_ids(store) == []
        assert (await store.rescue(), await store.promote()) == (0, 0)
        assert admin.keys("*") == [], "nothing that the next start would take for another program's"
        async with opened(RedisStore(server.url)) as other:
            message = await add(other)
            await other.ping()
            assert await drain(other) == [message.id]


async def test_a_server_that_comes_back_empty_says_so() -> None:
    with ValkeyServer(appendonly="no", save="") as server:
        async with opened(RedisStore(server.url, allow_volatile=True)) as store:
            await add(store)
            server.kill()
            server.start()
            with pytest.raises(StoreUnavailable, match="emptied"):
                await add(store)
