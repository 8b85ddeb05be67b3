"""A Redis or Valkey server that goes away, refuses, or answers into a cut connection."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import uvloop
from langchain_core.runnables import RunnableConfig

from app.checkpoints.redis import open_saver
from app.errors import CommitUnknown, NotCancellable, StoreUnavailable
from app.models.attempts import Released
from app.models.messages import Message, MessageState
from app.store.redis import connection
from app.store.redis.command_pipeline import WritePipeline
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
    all_threads,
    chunk,
    claim,
    claim_one,
    claimed_ids,
    drain,
    event_types,
    log,
    page,
    start,
    thread_messages,
    worker,
)
from tests.proxy import Moment
from tests.unit.redis_tools import SOON, opened, proxied, repeated, until_it_works
from tests.valkey_server import ValkeyServer, free_port, shared_server


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
        with store.open_lease_renewer() as renewer:
            assert renewer.beat(worker(), [lease], lease_seconds=30).held == {lease.message_id: lease.fence}
        await store.finish(lease, DONE)
        assert await event_types(store, lease.message_id) == ["processing", "chunk", "chunk", "done"]
        assert await drain(store) == [behind.id]


async def test_a_killed_server_comes_back_with_all_that_was_acknowledged(
    server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WritePipeline, "settle_seconds", 0.1)
    async with opened(RedisStore(server.url)) as store:
        accepted: list[Message] = []

        async def submit() -> None:
            while True:
                try:
                    accepted.append(await add(store, thread="t"))
                except (StoreUnavailable, CommitUnknown):
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


async def test_a_renewer_goes_on_after_a_restart(server: ValkeyServer) -> None:
    async with opened(RedisStore(server.url)) as store:
        lease = await start(store)
        with store.open_lease_renewer() as renewer:
            renewer.beat(worker(), [lease], lease_seconds=30)
            server.kill()
            with pytest.raises(StoreUnavailable):
                renewer.beat(worker(), [lease], lease_seconds=30)
            server.start()
            assert renewer.beat(worker(), [lease], lease_seconds=30).held == {lease.message_id: lease.fence}


async def test_without_a_server_no_renewer_opens(store: RedisStore) -> None:
    away = RedisStore(f"redis://127.0.0.1:{free_port()}")
    with pytest.raises(StoreUnavailable), away.open_lease_renewer():
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
@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
async def test_a_finish_is_done_once(tmp_path: Path, moment: Moment, outcome: Any) -> None:
    async with proxied(tmp_path) as (store, proxy):
        lease = await start(store, thread="t")
        behind = await add(store, thread="t")
        proxy.cut = moment
        await store.finish(lease, outcome)
        assert proxy.cuts == 1
        assert len(await event_types(store, lease.message_id)) == 2
        if outcome in (RETRIED, INTERRUPTED):
            assert await drain(store) == [], "the head of its thread is unfinished"
        else:
            assert await drain(store) == ([lease.message_id] if outcome is RELEASED else []) + [behind.id]
        assert len((await store.list_attempts(TENANT, [lease.message_id]))[lease.message_id]) == (
            outcome in (FAILED, RETRIED)
        )


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


@pytest.mark.usefixtures("store")
def test_what_arrives_after_its_process_went_on_is_refused(admin: redis.Redis, tmp_path: Path) -> None:
    """The call arrives as from a connection that was given up while the server hung."""
    keys = [f"{{{tmp_path}}}", f"{{{tmp_path}}}:process:p"]

    def submit(turn: int, name: str) -> Any:
        message = (name, TENANT, "", "chat", "", "normal", 10**15, "", "", "", "", "enqueue", "", "", "", "", "")
        return repeated(admin, "add", keys, turn, START, 10, "", "", "", 0, "", "", "", "", "", "tenant", *message)

    first = submit(2, "a")
    assert submit(2, "a") == first, "once"
    with pytest.raises(redis.ResponseError, match="STALE"):
        submit(1, "b")
    assert submit(3, "b")[1][0][1] > first[1][0][1], "a later number"


async def test_a_repeated_claim_does_not_give_what_another_worker_has_by_now(
    admin: redis.Redis, tmp_path: Path
) -> None:
    clock = ManualClock()
    keys = [f"{{{tmp_path}}}", f"{{{tmp_path}}}:process:p"]
    async with opened(RedisStore(shared_server().url, clock=clock, prefix=str(tmp_path))) as store:
        ids = [(await add(store)).id for _ in range(2)]

        def repeat() -> list[str]:
            lease_ms = int(LEASE_SECONDS * 1000)
            rows, _ = repeated(admin, "claim", keys, 1, START, WORKER, 2, lease_ms, "", 0, "chat", "", "")
            return [row[1] for row in rows]

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


async def test_a_write_that_is_never_answered_is_not_told_as_not_done(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (store, proxy):
        await add(store)
        proxy.plan = itertools.repeat(Moment.BEFORE_THE_ANSWER)
        proxy.cut = Moment.BEFORE_THE_ANSWER
        with pytest.raises(CommitUnknown, match="Check before you send it again"):
            await add(store)
        proxy.plan, proxy.cut = iter(()), None
        queue = await until_it_works(lambda: store.summary(TENANT, limit=10))
        assert queue.totals[MessageState.QUEUED] == 2, "it was done, once"


def test_under_uvloop_a_connection_that_died_is_cut() -> None:
    """uvloop raises RuntimeError for a write to a closed transport, where asyncio's own loop says nothing."""

    async def write_to_the_dead() -> None:
        link = connection.Link(shared_server().url)
        await link.connect()
        link._connection._writer.transport.abort()
        await asyncio.sleep(0)
        with pytest.raises(redis.ConnectionError):
            await link.send([connection.pack("PING")])

    uvloop.run(write_to_the_dead())


def test_under_uvloop_the_memory_survives_connections_that_died() -> None:
    async def use() -> None:
        async with open_saver(shared_server().url, "queue") as saver:
            reading: RunnableConfig = {"configurable": {"thread_id": "nobody", "checkpoint_ns": ""}}
            assert await saver.aget_tuple(reading) is None
            for each in saver._client.connection_pool._available_connections:
                each._writer.transport.abort()  # type: ignore[union-attr]  # it is connected
            assert await saver.aget_tuple(reading) is None

    uvloop.run(use())
