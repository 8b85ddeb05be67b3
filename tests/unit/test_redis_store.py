"""What only the store on Redis or Valkey has: a server that goes away, lost answers, settings that lose data."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from app.errors import ConfigurationError, NotCancellable, StoreError, StoreIncompatible, StoreUnavailable
from app.models import Message, MessageState, Released
from app.store.base import READY, message_topic
from app.store.redis import connection
from app.store.redis.connection import Link
from app.store.redis.lane import WriteLane
from app.store.redis.scripts import load_scripts
from app.store.redis.store import RedisStore
from tests.clock import START, ManualClock
from tests.contract.builders import (
    DONE,
    FAILED,
    HIGH,
    LEASE_SECONDS,
    LOW,
    NORMAL,
    RELEASED,
    TENANT,
    WORKER,
    add,
    all_threads,
    chunk,
    claim,
    claim_one,
    claimed_ids,
    drain,
    event_types,
    log,
    new,
    page,
    start,
    thread_messages,
    worker,
)
from tests.proxy import Moment, Proxy, proxy_to
from tests.valkey_server import ValkeyServer, free_port, shared_server

SOON = 5.0
PASSWORD = "s3cret"


@asynccontextmanager
async def closing(store: RedisStore) -> AsyncIterator[RedisStore]:
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def opened(store: RedisStore) -> AsyncIterator[RedisStore]:
    async with closing(store):
        await store.open()
        yield store


async def until_it_works(call: Callable[[], Awaitable[Any]]) -> Any:
    """The result of the first call that the server is there for; nothing but StoreUnavailable may come before."""
    async with asyncio.timeout(SOON):
        while True:
            try:
                return await call()
            except StoreUnavailable:
                await asyncio.sleep(0.01)


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


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    """A server of the test's own, which may be killed: with less than `always` it answers before it has written."""
    with ValkeyServer(appendfsync="always") as server:
        yield server


# Time


async def test_the_servers_clock_decides(store: RedisStore, admin: redis.Redis) -> None:
    seconds, microseconds = admin.time()  # type: ignore[misc]
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


# A server that goes away


@pytest.mark.parametrize("end", [ValkeyServer.kill, ValkeyServer.stop], ids=["killed", "stopped"])
async def test_work_goes_on_after_a_restart(server: ValkeyServer, end: Callable[[ValkeyServer], None]) -> None:
    async with opened(RedisStore(server.url)) as store:
        lease = await start(store, thread="t")
        behind = await add(store, thread="t")
        await store.append(lease, [chunk(0)])
        end(server)
        with pytest.raises(StoreUnavailable):
            await store.get(TENANT, behind.id)
        server.start()
        assert await until_it_works(lambda: store.append(lease, [chunk(1)])) == 3
        with store.open_heart() as heart:
            assert heart.beat(worker(), [lease], lease_seconds=30) == {lease.message_id: lease.fence}
        await store.finish(lease, DONE)
        assert await event_types(store, lease.message_id) == ["processing", "chunk", "chunk", "done"]
        assert await drain(store) == [behind.id]


async def test_a_killed_server_comes_back_with_all_that_was_acknowledged(
    server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WriteLane, "settle_seconds", 0.1)
    async with opened(RedisStore(server.url)) as store:
        accepted: list[Message] = []

        async def submit() -> None:
            while True:
                try:
                    accepted.append(await add(store, thread="t"))
                except StoreUnavailable:
                    return

        submitting = [asyncio.create_task(submit()) for _ in range(8)]
        async with asyncio.timeout(SOON):
            while len(accepted) < 200:
                await add(store)
        server.kill()
        async with asyncio.timeout(30):
            await asyncio.gather(*submitting)
        server.start()
        stored = await until_it_works(lambda: thread_messages(store, "t"))
        assert {message.id for message in accepted} <= {message.id for message in stored}
        assert [message.thread_number for message in stored] == list(range(1, len(stored) + 1))


async def test_what_was_under_way_is_settled_when_the_server_is_back_at_once(server: ValkeyServer) -> None:
    async with opened(RedisStore(server.url)) as store:
        adding = [asyncio.create_task(add(store, thread="t")) for _ in range(300)]
        await asyncio.wait(adding, return_when=asyncio.FIRST_COMPLETED)
        server.kill()
        server.start()
        messages = await asyncio.gather(*adding)
        assert sorted(message.thread_number for message in messages) == list(range(1, 301))


async def test_a_heart_goes_on_after_a_restart(server: ValkeyServer) -> None:
    async with opened(RedisStore(server.url)) as store:
        lease = await start(store)
        with store.open_heart() as heart:
            heart.beat(worker(), [lease], lease_seconds=30)
            server.kill()
            with pytest.raises(StoreUnavailable):
                heart.beat(worker(), [lease], lease_seconds=30)
            server.start()
            assert heart.beat(worker(), [lease], lease_seconds=30) == {lease.message_id: lease.fence}


async def test_without_a_server_no_heart_opens(store: RedisStore) -> None:
    away = RedisStore(f"redis://127.0.0.1:{free_port()}")
    with pytest.raises(StoreUnavailable), away.open_heart():
        pytest.fail("opened")


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        async with opened(RedisStore(f"redis://127.0.0.1:{free_port()}")):
            pytest.fail("opened")


async def test_scripts_that_the_server_forgot_are_loaded_again(store: RedisStore, admin: redis.Redis) -> None:
    lease = await start(store)
    admin.script_flush()
    calls = [store.append(lease, [chunk(index)]) for index in range(10)]
    assert sorted(await asyncio.gather(*calls)) == list(range(2, 12))
    admin.script_flush()
    assert (await page(store, lease.message_id)).last == 11


async def test_a_server_that_hangs_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.2)
    async with proxied(tmp_path) as (store, proxy):
        await add(store)
        proxy.cut = Moment.NEVER_ANSWERED
        await add(store)
        assert proxy.cuts == 1, "settled on a new connection"
        assert len(await claimed_ids(store)) == 2


async def test_a_full_server_is_unavailable_and_recovers(server: ValkeyServer) -> None:
    admin = redis.Redis(port=server.port)
    async with opened(RedisStore(server.url)) as store:
        lease = await start(store, thread="t")
        admin.config_set("maxmemory", 1)
        for call in (
            lambda: add(store, thread="t"),
            lambda: store.append(lease, [chunk(0)]),
            lambda: store.finish(lease, DONE),
        ):
            with pytest.raises(StoreUnavailable, match="memory"):
                await call()
        assert await event_types(store, lease.message_id) == ["processing"]
        assert len(await thread_messages(store, "t")) == 1
        admin.config_set("maxmemory", 0)
        await store.append(lease, [chunk(0)])
        await store.finish(lease, DONE)
        assert (await add(store, thread="t")).thread_number == 2
    admin.close()


async def test_a_server_that_refuses_writes_is_unavailable(server: ValkeyServer) -> None:
    admin = redis.Redis(port=server.port)
    async with opened(RedisStore(server.url)) as store:
        admin.config_set("min-replicas-to-write", 1)
        with pytest.raises(StoreUnavailable, match="refuses writes"):
            await add(store)
        admin.config_set("min-replicas-to-write", 0)
        await add(store)
    admin.close()


async def test_what_cannot_be_sent_disturbs_nobody_else(store: RedisStore) -> None:
    contents = ["good", "lone surrogate \ud800", "good too"]
    results = await asyncio.gather(*(add(store, content) for content in contents), return_exceptions=True)
    assert isinstance(results[1], UnicodeEncodeError)
    assert len(await drain(store)) == 2


async def test_a_server_that_became_a_replica_is_unavailable(server: ValkeyServer) -> None:
    admin = redis.Redis(port=server.port)
    async with opened(RedisStore(server.url)) as store:
        admin.replicaof("127.0.0.1", free_port())
        with pytest.raises(StoreUnavailable, match="replica"):
            await add(store)
        admin.replicaof("NO", "ONE")
        await add(store)
    admin.close()


# Lost answers


@asynccontextmanager
async def proxied(folder: Path, clock: ManualClock | None = None) -> AsyncIterator[tuple[RedisStore, Proxy]]:
    """A store behind a proxy that cuts connections with scripts on them."""
    async with proxy_to(shared_server().port, b"EVALSHA") as proxy:
        store = RedisStore(f"redis://127.0.0.1:{proxy.port}", clock=clock, prefix=str(folder))
        async with opened(store):
            yield store, proxy


CUTS = [Moment.BEFORE_THE_COMMAND, Moment.BEFORE_THE_ANSWER, Moment.IN_THE_ANSWER]
at_each_moment = pytest.mark.parametrize("moment", CUTS, ids=lambda moment: moment.value)


@at_each_moment
async def test_an_add_is_done_once(tmp_path: Path, moment: Moment) -> None:
    async with proxied(tmp_path) as (store, proxy):
        proxy.cut = moment
        message = await add(store, thread="t")
        assert proxy.cuts == 1
        assert (message.thread_number, message.queue_position) == (1, 0)
        assert await thread_messages(store, "t") == [message]
        assert await claimed_ids(store) == [message.id]


@at_each_moment
async def test_an_append_is_done_once(tmp_path: Path, moment: Moment) -> None:
    async with proxied(tmp_path) as (store, proxy):
        lease = await start(store)
        proxy.cut = moment
        assert await store.append(lease, [chunk(0), chunk(1)]) == 3
        assert await store.append(lease, [chunk(2)]) == 4
        assert proxy.cuts == 1
        assert [event.data for event in await log(store, lease.message_id)][1:] == [chunk(i).data for i in range(3)]


@at_each_moment
@pytest.mark.parametrize("outcome", [DONE, FAILED, RELEASED], ids=lambda outcome: type(outcome).__name__)
async def test_a_finish_is_done_once(tmp_path: Path, moment: Moment, outcome: Any) -> None:
    async with proxied(tmp_path) as (store, proxy):
        lease = await start(store, thread="t")
        behind = await add(store, thread="t")
        proxy.cut = moment
        await store.finish(lease, outcome)
        assert proxy.cuts == 1
        assert len(await event_types(store, lease.message_id)) == 2
        assert await drain(store) == ([lease.message_id] if outcome is RELEASED else []) + [behind.id]


@at_each_moment
async def test_a_claim_is_done_once(tmp_path: Path, moment: Moment) -> None:
    async with proxied(tmp_path) as (store, proxy):
        ids = [(await add(store, "x" * 1_000)).id for _ in range(4)]
        proxy.cut = moment
        claims = await claim(store, 2)
        assert proxy.cuts == 1
        assert [each.message.id for each in claims] == ids[:2]
        assert [each.message.content for each in claims] == ["x" * 1_000] * 2
        assert await claimed_ids(store) == ids[2:]
        for lease, message in claims:
            assert (lease.attempt, message.state) == (1, MessageState.PROCESSING)
            await store.finish(lease, DONE)
            assert await event_types(store, message.id) == ["processing", "done"]


@at_each_moment
async def test_a_cancel_is_done_once(tmp_path: Path, moment: Moment) -> None:
    async with proxied(tmp_path) as (store, proxy):
        message = await add(store)
        proxy.cut = moment
        assert (await store.cancel(TENANT, message.id)).state is MessageState.CANCELLED
        assert proxy.cuts == 1
        assert await event_types(store, message.id) == ["cancelled"]
        with pytest.raises(NotCancellable):
            await store.cancel(TENANT, message.id)


@at_each_moment
async def test_what_maintenance_did_is_told_once(tmp_path: Path, moment: Moment) -> None:
    clock = ManualClock()
    async with proxied(tmp_path, clock) as (store, proxy):
        for _ in range(2):
            lease = await start(store)
            await store.finish(lease, Released("later", delay=1))
        clock.advance(1)
        proxy.cut = moment
        assert (await store.promote(), await store.promote()) == (2, 0)
        await claim(store, 2)
        clock.advance(LEASE_SECONDS)
        proxy.cut = moment
        assert (await store.rescue(), await store.rescue()) == (2, 0)
        ended = await drain(store)
        clock.advance(60)
        keys = sorted(Message.memory_key_of(TENANT, None, each) for each in ended)
        proxy.cut = moment
        count, named = await store.prune_logs(older_than_seconds=1, limit=10)
        assert (count, sorted(named)) == (2, keys)
        proxy.cut = moment
        assert await store.prune_messages(older_than_seconds=1, limit=10) == (2, [])
        assert proxy.cuts == 4


@at_each_moment
async def test_of_calls_that_share_a_pipeline_each_is_done_once(tmp_path: Path, moment: Moment) -> None:
    async with proxied(tmp_path) as (store, proxy):
        leases = [await start(store, thread=str(index)) for index in range(3)]
        proxy.cut = moment
        calls = [store.append(lease, [chunk(index)]) for index in range(40) for lease in leases]
        adds = [add(store, thread="t") for _ in range(40)]
        lasts, messages = await asyncio.gather(asyncio.gather(*calls), asyncio.gather(*adds))
        assert proxy.cuts == 1
        assert sorted(lasts) == sorted([*range(2, 42)] * 3)
        assert sorted(message.thread_number for message in messages) == list(range(1, 41))
        for lease in leases:
            assert len(await event_types(store, lease.message_id)) == 41
        assert [message.thread_number for message in await thread_messages(store, "t")] == list(range(1, 41))


@at_each_moment
async def test_reads_are_repeated(tmp_path: Path, moment: Moment) -> None:
    async with proxied(tmp_path) as (store, proxy):
        message = await add(store)
        proxy.cut = moment
        assert await store.get(TENANT, message.id) == message
        assert proxy.cuts == 1


async def test_callers_that_are_cancelled_leave_no_answer_to_others(store: RedisStore) -> None:
    messages = [await add(store, str(number)) for number in range(20)]
    calls = [asyncio.create_task(store.get(TENANT, message.id)) for message in messages]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert results[1::2] == messages[1::2]
    assert await asyncio.gather(*(store.get(TENANT, message.id) for message in messages)) == messages


def test_what_arrives_after_its_process_went_on_is_refused(admin: redis.Redis, tmp_path: Path) -> None:
    """As from a connection that was given up while the server hung."""
    keys = [f"{{{tmp_path}}}", f"{{{tmp_path}}}:process:p"]

    def submit(turn: int, name: str) -> Any:
        fields = (TENANT, "", "chat", "", "normal", 10**15, "")
        return admin.eval(load_scripts()["add"].text, 2, *keys, turn, 0, "", 10, name, *fields)

    assert submit(2, "a")[0] == 1
    assert submit(2, "a")[0] == 1, "once"
    with pytest.raises(redis.ResponseError, match="STALE"):
        submit(1, "b")
    assert submit(3, "b")[0] == 2


async def test_a_repeated_claim_does_not_give_what_another_worker_has_by_now(
    admin: redis.Redis, tmp_path: Path
) -> None:
    clock = ManualClock()
    keys = [f"{{{tmp_path}}}", f"{{{tmp_path}}}:process:p"]
    async with opened(RedisStore(shared_server().url, clock=clock, prefix=str(tmp_path))) as store:
        ids = [(await add(store)).id for _ in range(2)]

        def repeat() -> list[str]:
            lease_ms = int(LEASE_SECONDS * 1000)
            rows = admin.eval(load_scripts()["claim"].text, 2, *keys, 1, 0, START, WORKER, 2, lease_ms, "", "chat")
            return [row[1] for row in rows]  # type: ignore[union-attr]

        assert repeat() == ids
        assert repeat() == ids
        clock.advance(LEASE_SECONDS)
        await store.rescue()
        assert (await claim_one(store, worker="worker 2")).message_id == ids[0]
        assert repeat() == []


async def test_nothing_is_lost_or_doubled_while_connections_are_cut_all_the_time(tmp_path: Path) -> None:
    chance = random.Random(7)
    async with proxied(tmp_path) as (store, proxy):
        proxy.plan = (chance.choice(CUTS) if number % 3 == 0 else None for number in itertools.count())
        accepted: list[Message] = []
        ran: list[str] = []

        async def submit(thread: str) -> None:
            accepted.extend([await add(store, thread=thread) for _ in range(15)])

        async def work(name: str) -> None:
            while len(ran) < 60:
                for lease, _ in await claim(store, 2, worker=name):
                    assert await store.append(lease, [chunk(0), chunk(1)]) == 3
                    assert await store.append(lease, [chunk(2)]) == 4
                    await store.finish(lease, DONE)
                    ran.append(lease.message_id)

        async with asyncio.timeout(60):
            await asyncio.gather(*(submit(thread) for thread in "abcd"), *(work(f"worker {i}") for i in range(3)))
        assert proxy.cuts > 20
        proxy.plan = iter(())
        assert sorted(ran) == sorted(message.id for message in accepted)
        for message in accepted:
            types = await event_types(store, message.id)
            assert types == ["processing", "chunk", "chunk", "chunk", "done"]
        assert {thread.states[MessageState.COMPLETED] for thread in await all_threads(store)} == {15}


async def test_an_id_that_is_taken_is_refused(store: RedisStore) -> None:
    given = new("first")
    await store.add(given, max_queued=10)
    with pytest.raises(StoreError, match="taken"):
        await store.add(given.model_copy(update={"content": "second"}), max_queued=10)
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


# What is refused at the start


async def refused(url: str, **options: Any) -> str:
    """Why a store does not open, in one line."""
    with pytest.raises((ConfigurationError, StoreIncompatible)) as error:
        async with opened(RedisStore(url, **options)):
            pytest.fail("opened")
    text = str(error.value)
    assert "\n" not in text
    return text


LOSING = [
    ({"appendonly": "no"}, "appendonly yes"),
    ({"appendonly": "no", "save": "60 1"}, "appendonly yes"),
    ({"maxmemory": "100mb", "maxmemory_policy": "allkeys-lru"}, "maxmemory-policy noeviction"),
    ({"maxmemory": "100mb", "maxmemory_policy": "volatile-ttl"}, "maxmemory-policy noeviction"),
]


@pytest.mark.parametrize(("config", "cure"), LOSING)
async def test_a_server_that_loses_data_is_refused_unless_it_may(config: dict[str, str], cure: str) -> None:
    with ValkeyServer(**config) as server:
        text = await refused(server.url)
        assert cure in text
        assert "ALLOW_VOLATILE" in text
        async with opened(RedisStore(server.url, allow_volatile=True)) as store:
            assert not store.capabilities.durable
            await drain(store)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"appendfsync": "always"}, "a crash of the host"),
        ({"appendfsync": "everysec"}, "last two seconds"),
        ({"appendfsync": "no"}, "appendfsync no"),
        ({"maxmemory": "100mb", "maxmemory_policy": "noeviction"}, "last two seconds"),
        ({"maxmemory_policy": "allkeys-lru"}, "last two seconds"),
    ],
)
async def test_a_server_that_keeps_data_tells_what_it_promises(config: dict[str, str], told: str) -> None:
    with ValkeyServer(**config) as server:
        async with opened(RedisStore(server.url)) as store:
            assert store.capabilities.durable
            assert told in store.capabilities.promise
            assert "failover" in store.capabilities.promise


async def test_a_user_who_may_ask_nothing_is_told_what_to_allow(server: ValkeyServer) -> None:
    admin = redis.Redis(port=server.port)
    admin.execute_command("ACL", "SETUSER", "app", "on", f">{PASSWORD}", "~*", "&*", "+@all", "-@dangerous")
    url = server.url.replace("redis://", f"redis://app:{PASSWORD}@")
    text = await refused(url)
    assert "+info" in text
    assert PASSWORD not in text
    admin.execute_command("ACL", "SETUSER", "app", "+info")
    admin.close()
    async with opened(RedisStore(url)) as store:
        assert store.capabilities.durable
        assert "may lose the last seconds" in store.capabilities.promise
        await add(store)


async def test_a_wrong_password_is_told_without_it() -> None:
    with ValkeyServer() as server:
        admin = redis.Redis(port=server.port)
        admin.config_set("requirepass", "right")
        admin.close()
        for login in (f":{PASSWORD}@", f"default:{PASSWORD}@", f"nobody:{PASSWORD}@", ""):
            text = await refused(server.url.replace("redis://", f"redis://{login}"))
            assert "password" in text
            assert PASSWORD not in text
        async with opened(RedisStore(server.url.replace("redis://", "redis://:right@"))) as store:
            await add(store)


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{PASSWORD}@127.0.0.1:0x7/0",
        f"redis://:{PASSWORD}/@127.0.0.1:6379/0",
        f"redis://:{PASSWORD}@127.0.0.1:6379/queue",
        f"redis://127.0.0.1:6379/{PASSWORD}",
        f"redis://127.0.0.1:6379/0?socket_timeout={PASSWORD}",
    ],
)
async def test_a_url_that_cannot_be_read_is_told_without_its_parts(url: str) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL") as error:
        RedisStore(url)
    assert PASSWORD not in str(error.value)


async def test_a_database_that_the_server_does_not_have_is_refused(server: ValkeyServer) -> None:
    assert "database number" in await refused(server.url.replace("/0", "/99"))


async def test_a_replica_is_refused(server: ValkeyServer) -> None:
    admin = redis.Redis(port=server.port)
    admin.replicaof("127.0.0.1", free_port())
    admin.close()
    assert "replica" in await refused(server.url)


async def test_one_node_that_has_the_slot_of_the_queue_is_enough(tmp_path: Path) -> None:
    with ValkeyServer(cluster_enabled="yes") as server:
        with pytest.raises(StoreUnavailable, match="Cluster"):
            async with opened(RedisStore(server.url)):
                pytest.fail("opened")
        admin = redis.Redis(port=server.port)
        slot = admin.execute_command("CLUSTER", "KEYSLOT", "{agent_queue}")
        admin.execute_command("CONFIG", "SET", "cluster-require-full-coverage", "no")
        admin.execute_command("CLUSTER", "ADDSLOTS", slot)
        admin.close()

        async def open_one() -> RedisStore:
            store = RedisStore(server.url)
            await store.open()
            return store

        async with closing(await until_it_works(open_one)) as store:
            messages = [await add(store, thread="t") for _ in range(2)]
            lease = await claim_one(store)
            await store.append(lease, [chunk(0)])
            await store.finish(lease, DONE)
            assert await drain(store) == [messages[1].id]
            assert len(await all_threads(store)) == 1


class OldServer(Link):
    """Says that it is too old; no such server is at hand."""

    async def ask(self, *command: str | int) -> Any:
        return "# Server\r\nredis_version:6.0.16\r\naof_enabled:1\r\n" if command == ("INFO",) else []


async def test_an_old_server_is_refused() -> None:
    with pytest.raises(StoreIncompatible, match=r"6\.2"):
        await connection.inspect(OldServer("redis://127.0.0.1"), allow_volatile=True)


async def test_a_queue_of_a_newer_program_is_refused(store: RedisStore, admin: redis.Redis, tmp_path: Path) -> None:
    admin.set(f"{{{tmp_path}}}:schema", 1_000)
    assert "version 1000" in await refused(shared_server().url, prefix=str(tmp_path))


@pytest.mark.parametrize(
    ("key", "value"), [("schema", "theirs"), ("schema", None), ("waiting", "theirs"), ("queue", "theirs")]
)
async def test_keys_of_another_program_are_refused_and_left(
    admin: redis.Redis, tmp_path: Path, key: str, value: str | None
) -> None:
    name = f"{{{tmp_path}}}:{key}"
    if value is None:
        admin.rpush(name, "theirs")
    else:
        admin.set(name, value)
    assert "not of this program" in await refused(shared_server().url, prefix=str(tmp_path))
    assert admin.keys(f"{{{tmp_path}}}*") == [name]


async def test_the_queue_is_the_same_after_the_next_start_and_another_one_in_an_emptied_database(
    server: ValkeyServer,
) -> None:
    async with opened(RedisStore(server.url)) as store:
        name = await store.queue_id()
    async with opened(RedisStore(server.url)) as store:
        assert await store.queue_id() == name
        admin = redis.Redis(port=server.port)
        admin.flushall()
        admin.close()
        with pytest.raises(StoreIncompatible, match="emptied"):
            await store.queue_id()
    async with opened(RedisStore(server.url)) as store:
        assert await store.queue_id() != name


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
if type(reply) == 'table' and reply.err then return reply end
return {calls, elements}
"""


async def costs(admin: redis.Redis, folder: Path, depth: int) -> dict[str, list[int]]:
    """Commands that scripts run, and elements of the answers to them, in a queue of its own."""
    keys = [f"{{{folder}}}", f"{{{folder}}}:process:counted"]
    scripts = load_scripts()
    turns = itertools.count(1)
    async with opened(RedisStore(shared_server().url, prefix=str(folder))) as store:
        await asyncio.gather(*(add(store, thread="t" if i % 3 else None) for i in range(depth)))
        urgent = (await add(store, thread="t")).id
        last = (await add(store)).id
        lease = await claim_one(store)

    def cost(script: str, *arguments: str | int) -> list[int]:
        return admin.eval(COUNTED % scripts[script].text, len(keys), *keys, *arguments)  # type: ignore[return-value]

    def write(script: str, *arguments: str | int) -> list[int]:
        return cost(script, next(turns), 0, "", *arguments)

    fields = ("chat", "Hello", "normal", 10**15, "Hello")
    return {
        "add": write("add", 10**9, "alone", TENANT, "", *fields),
        "add to a thread": write("add", 10**9, "in a thread", TENANT, "t", *fields),
        "claim": write("claim", WORKER, 2, 30_000, "", "chat", "other"),
        "cancel": write("cancel", TENANT, urgent, ""),
        "get": cost("get", TENANT, last),
        "read": cost("read", last, 0, 10, 10**6),
        "summary": cost("summary", TENANT, 5, 10**6),
        "list_threads": cost("list_threads", TENANT, 2, "", ""),
        "list_thread_messages": cost("list_thread_messages", TENANT, "t", 5, 5, 10**6),
        "rescue": write("rescue", 3, 100, "", "", "", ""),
        "promote": write("promote"),
        "append": cost("append", next(turns), 0, lease.message_id, lease.fence, "chunk {}"),
        "finish": write("finish", lease.message_id, lease.fence, "completed", "", ""),
    }


async def test_no_cost_grows_with_the_depth_of_the_queue(admin: redis.Redis, tmp_path: Path) -> None:
    assert await costs(admin, tmp_path / "deep", 3_000) == await costs(admin, tmp_path / "shallow", 100)
