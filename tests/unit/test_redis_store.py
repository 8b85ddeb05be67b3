"""Features of the store on Redis or Valkey alone: its clock, its hints, deep threads, a verb's cost."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis

from app.errors import StoreError
from app.models.attempts import Released
from app.models.storage import FIRST_PLACE
from app.store.ports import READY, message_topic
from app.store.redis.scripts import load_scripts
from app.store.redis.store import RedisStore
from tests.clock import ManualClock
from tests.contract.builders import (
    FAILED,
    HIGH,
    LOW,
    NORMAL,
    TENANT,
    WORKER,
    add,
    chunk,
    claim,
    claim_one,
    claimed_ids,
    interrupt,
    listed,
    log,
    new,
    start,
    thread_messages,
)
from tests.unit.redis_tools import SOON, opened
from tests.valkey_server import shared_server


@pytest.fixture
def admin() -> Iterator[redis.Redis]:
    """A client of the shared server that is not ours."""
    client = redis.Redis.from_url(shared_server().url, decode_responses=True)
    yield client
    client.close()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[RedisStore]:
    """On the shared server, whose own clock decides."""
    async with opened(RedisStore(shared_server().url, prefix=str(tmp_path))) as store:
        yield store


# Time


async def test_the_servers_clock_decides(store: RedisStore, admin: redis.Redis) -> None:
    seconds, microseconds = admin.time()
    message = await add(store)
    assert abs(message.created_at.timestamp() - (seconds + microseconds / 1_000_000)) < 60


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_399_999, "2000-02-28T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (1_709_251_199_001, "2024-02-29T23:59:59.001Z"),
        (1_735_689_599_123, "2024-12-31T23:59:59.123Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
    ],
)
async def test_times_of_events_are_those_of_the_calendar(tmp_path: Path, milliseconds: int, text: str) -> None:
    clock = ManualClock()
    clock.milliseconds = milliseconds
    async with opened(RedisStore(shared_server().url, clock=clock, prefix=str(tmp_path))) as store:
        message = await add(store)
        await store.cancel(TENANT, message.id)
        (event,) = await log(store, message.id)
        assert f'"completed_at": "{text}"' in event.data


async def test_an_id_that_is_taken_is_refused(store: RedisStore) -> None:
    given = new("first")
    await store.add([given], max_queued=10)
    with pytest.raises(StoreError, match="taken"):
        await store.add([new("other"), given._replace(content="second")], max_queued=10)
    with pytest.raises(StoreError, match="taken"):
        await store.add([other := new("twice"), other], max_queued=10)
    assert await listed(store) == [given.id]
    assert (await store.get(TENANT, given.id)).content == "first"


# Deep threads, whose ranks change in slices


@pytest.mark.parametrize("depth", [1, 2, 500, 501, 502, 1_001, 1_300])
async def test_a_deep_thread_inherits_as_a_whole_and_gives_back_as_a_whole(store: RedisStore, depth: int) -> None:
    low = await asyncio.gather(*(add(store, thread="t", priority=LOW) for _ in range(depth)))
    await add(store, priority=NORMAL)
    high = await add(store, thread="t", priority=HIGH)

    async def positions() -> list[int | None]:
        return [message.queue_position for message in await thread_messages(store, "t")]

    assert await positions() == list(range(depth + 1))
    await store.cancel(TENANT, high.id)
    assert await positions() == [*range(1, depth + 1), None]
    assert (await claimed_ids(store, 2))[1] == low[0].id


async def test_a_thread_whose_head_waits_for_its_time_inherits_behind_it(store: RedisStore) -> None:
    lease = await start(store, thread="t", priority=LOW)
    low = [await add(store, thread="t", priority=LOW) for _ in range(600)]
    await store.finish(lease, Released("later", delay=1_000))
    high = await add(store, thread="t", priority=HIGH)
    assert (await store.get(TENANT, low[-1].id)).queue_position == 599
    normal = await add(store, priority=NORMAL)
    assert normal.queue_position == 601
    await store.cancel(TENANT, high.id)
    assert (await store.get(TENANT, normal.id)).queue_position == 0
    assert await claimed_ids(store) == [normal.id]


# Hints


async def test_hints_reach_other_processes(tmp_path: Path, store: RedisStore) -> None:
    async with opened(RedisStore(shared_server().url, prefix=str(tmp_path))) as other:
        with other.subscribe(READY) as ready:
            message = await add(store)
            assert await ready.wait(SOON)
        with other.subscribe(message_topic(message.id)) as hints:
            lease = await claim_one(store)
            assert await hints.wait(SOON)
            await store.append(lease, [chunk(0)])
            assert await hints.wait(SOON)


async def test_hints_come_again_after_the_listener_lost_its_connection(
    tmp_path: Path, store: RedisStore, admin: redis.Redis
) -> None:
    async with opened(RedisStore(shared_server().url, prefix=str(tmp_path))) as other:
        admin.client_kill_filter(_type="pubsub")
        with other.subscribe(READY) as ready:
            async with asyncio.timeout(SOON):
                await add(store)
                while not await ready.wait(0.05):
                    await add(store)


async def test_a_queue_gets_no_hints_of_another(tmp_path: Path, store: RedisStore) -> None:
    async with opened(RedisStore(shared_server().url, prefix=f"{tmp_path} other")) as other:
        with other.subscribe(READY) as ready:
            await add(store)
            assert not await ready.wait(0.05)


# What it costs

COUNTED = """
local calls, elements = 0, 0
local server = redis
local redis = {error_reply = server.error_reply}
function redis.call(...)
    local reply = server.call(...)
    calls = calls + 1
    if type(reply) == 'table' then elements = elements + #reply end
    return reply
end
local function script()
%s
end
local reply = script()
if type(reply) == 'table' then
    if reply.err then return reply end
    if type(reply[1]) == 'table' and reply[1].err then return reply[1] end
end
return {calls, elements}
"""


PENDING = " pending "


async def costs(admin: redis.Redis, folder: Path, depth: int) -> dict[str, list[int]]:
    """Commands that scripts run, and elements of the answers to them, in a queue of its own."""
    keys = [f"{{{folder}}}", f"{{{folder}}}:process:counted"]
    scripts = load_scripts()
    turns = itertools.count(1)
    async with opened(RedisStore(shared_server().url, prefix=str(folder))) as store:
        await asyncio.gather(*(add(store, thread="t" if i % 3 else None) for i in range(depth)))
        await asyncio.gather(*(add(store, agent="broken", webhook_url="https://a.example") for _ in range(depth)))
        claims = await claim(store, depth, agents=["broken"])
        await asyncio.gather(*(store.finish(each.lease, FAILED) for each in claims))
        requeued, purged = (each.message.id for each in claims[:2])
        delivery, *_ = await store.claim_deliveries(1, lease_seconds=30)
        urgent = (await add(store, thread="t")).id
        last = (await add(store)).id
        asking = await interrupt(store, thread="asking", agent="asking")
        running, retried, lease = [each.lease for each in await claim(store, 3)]

    def cost(script: str, *arguments: str | int) -> list[int]:
        counted: list[int] = admin.eval(COUNTED % scripts[script].text, len(keys), *keys, *arguments)
        return counted

    def write(script: str, *arguments: str | int) -> list[int]:
        return write_timeless(script, time.time_ns() // 1_000_000, *arguments)

    def write_timeless(script: str, *arguments: str | int) -> list[int]:
        return cost(script, next(turns), 0, len(arguments), *arguments)

    def listing(*states: str) -> list[int]:
        return cost(
            "list_messages", TENANT, "", 5, 10**6, 1_000, "", "".join(states), "", "", "", "", "", "", "", "", ""
        )

    assert delivery.next_at is not None
    taken_until = round(delivery.next_at.timestamp() * 1000)
    request = (TENANT, "a key", "a request", 10**6, "", "", "", "", "")
    fields = ("chat", "Hello", "normal", 10**15, "Hello", "", "", "", "enqueue", "https://a.example", "", "", "", "")
    used = '[["m", [1, 2, 3, 0, 0, 0, 0]]]'
    ranks = ("high", 0, "normal", 10**15, "low", 2 * 10**15)
    return {
        "add": write("add", 10**9, *request, "tenant", "alone", TENANT, "", *fields),
        "add again": write("add", 10**9, *request, "tenant", "alone", TENANT, "", *fields),
        "add to a thread": write(
            "add", 10**9, "", "", "", 0, "", "", "", "", "", "tenant", "in a thread", TENANT, "t", *fields
        ),
        "claim": write("claim", WORKER, 2, 30_000, "", "chat", "", "v1", "chat", "v1", "v1", "other", "", ""),
        "cancel": write("cancel", TENANT, urgent, "", 0),
        "cancel what runs": write("cancel", TENANT, running.message_id, "", 1),
        "reprioritize": write("reprioritize", TENANT, last, "high", "tenant", *ranks),
        "resume": write("resume", TENANT, asking.id, asking.fence, "{}", "", "", "", "", 0, ""),
        "requeue": write("requeue", TENANT, "", *ranks, "tenant", requeued, "Hello"),
        "purge": write_timeless("purge", TENANT, purged),
        "get": cost("get", TENANT, last),
        "get_head": cost("get_head", TENANT, "t"),
        "count_overtaking": cost("count_overtaking", TENANT, last, 50),
        "list_messages": listing(),
        "list_messages that failed": listing(" failed "),
        "list_messages that are interrupted": listing(" interrupted "),
        "list_attempts": cost("list_attempts", requeued),
        "group_dead_letters": cost("group_dead_letters", TENANT, 10),
        "throughput": cost("throughput", 50),
        "read": cost("read", last, 0, 10, 10**6),
        "summary": cost("summary", TENANT, 5, 10**6),
        "list_threads": cost("list_threads", TENANT, 2, "", "", 1_000, "threads", 1, "", "", "", "", ""),
        "list_thread_messages": cost("list_thread_messages", TENANT, "t", 5, 5, 10**6, ""),
        "rescue": write("rescue", 3, 100, "", "", "", "", "", "", ""),
        "promote": write("promote", 100, "tenant", *ranks),
        "list_versions": cost("list_versions"),
        "see_versions": write_timeless("see_versions", 0, "chat", "v1", 1, 2),
        "move_versions": write_timeless("move_versions", "chat", "v1", "v2", 100, "version {}"),
        "expire_interrupts": write("expire_interrupts", 100, "", "", "", ""),
        "append": write("append", lease.message_id, lease.fence, "chunk {}"),
        "append_with_usage": write("append_with_usage", lease.message_id, lease.fence, used, "usage {}"),
        "put_back": write("put_back", retried.message_id, retried.fence, "", 1_000, "", "It broke.", "agent_error"),
        "finish": write("finish", lease.message_id, lease.fence, "", "completed", "", "", 50, ""),
        "claim_deliveries": write("claim_deliveries", 5, 30_000),
        "settle_delivery": write("settle_delivery", delivery.id, delivery.tries, taken_until, "delivered", "", "{}"),
        "list_deliveries": cost("list_deliveries", TENANT, delivery.message_id),
        "find_deliveries": cost("find_deliveries", TENANT, 5, "", "", "", PENDING, " completed failed "),
        "find_deliveries behind one": cost("find_deliveries", TENANT, 5, 2**52, "x", "", PENDING, " failed "),
        "find_deliveries of no kind": cost("find_deliveries", TENANT, 5, "", "", "", " delivered ", " cancelled "),
        "find_deliveries of a message": cost("find_deliveries", TENANT, 5, "", "", f"={last}", PENDING, " failed "),
    }


async def test_no_cost_grows_with_the_depth_of_the_queue(admin: redis.Redis, tmp_path: Path) -> None:
    assert await costs(admin, tmp_path / "deep", 3_000) == await costs(admin, tmp_path / "shallow", 100)


@pytest.mark.parametrize("thread", ["t", None])
async def test_a_script_that_measures_ends_in_the_midst_of_a_long_log(store: RedisStore, thread: str | None) -> None:
    """The server does nothing else meanwhile, and a log may have any number of events."""
    lease = await start(store, thread=thread)
    await store.append(lease, [chunk(number) for number in range(1_000)])
    if thread is None:
        alone = await store.measure_messages(TENANT, FIRST_PLACE, limit=10)
        sizes, place, ids = alone.sizes, alone.place, alone.ids
    else:
        first = await store.measure_threads(TENANT, FIRST_PLACE, limit=10)
        sizes, place, ids = first.threads[0].sizes, first.place, [lease.message_id]
    assert place is not None
    assert (sizes.messages, ids) == (1, [lease.message_id])
    assert 0 < sizes.events < 100


async def test_a_script_that_measures_reads_no_more_than_some_megabytes(store: RedisStore) -> None:
    lease = await start(store)
    await store.append(lease, [chunk(number, "x" * 100_000) for number in range(100)])
    part = await store.measure_messages(TENANT, FIRST_PLACE, limit=1_000)
    assert part.place is not None
    assert part.sizes.event_bytes < 8_000_000
