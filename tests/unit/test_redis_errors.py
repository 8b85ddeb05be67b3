"""Some errors of Redis are told as an outage, so that the work is tried again."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import redis
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint
from redis import exceptions

from app.checkpoints import redis_client as memory
from app.checkpoints.redis import open_saver
from app.errors import ConfigurationError, StoreError, StoreUnavailable
from app.models.deliveries import DeliveryAttempt
from app.models.memory import MEMORY_FENCE_KEY
from app.models.messages import IfBusy
from app.store.redis import connection
from app.store.redis.store import RedisStore
from tests.contract.builders import (
    ALL,
    DONE,
    HIGH,
    LEASE_SECONDS,
    RELEASED,
    TENANT,
    add,
    add_all,
    all_threads,
    beat,
    chunk,
    claim,
    claim_one,
    dead_letter,
    drain,
    event_types,
    interrupt,
    listed,
    new,
    request_key,
    requeue,
    resume,
    start,
    thread_messages,
    worker,
)
from tests.pages import DOCS, named
from tests.unit.redis_tools import SOON, opened
from tests.valkey_server import ValkeyServer

WRAPPED = "Error running script (call to f_1): @user_script:37: @user_script: 37: "
"""How Redis 6.2 begins what a command in a script was refused with."""

AWAY = [
    exceptions.ConnectionError("Connection refused"),
    exceptions.TimeoutError("Timeout reading from socket"),
    ConnectionResetError("Connection reset by peer"),
    exceptions.BusyLoadingError("Redis is loading the dataset in memory"),
    exceptions.ClusterDownError("CLUSTERDOWN Hash slot not served"),
    exceptions.TryAgainError("TRYAGAIN Multiple keys request during rehashing of slot"),
    exceptions.MovedError("866 127.0.0.1:7001"),
    exceptions.AskError("866 127.0.0.1:7001"),
    exceptions.MasterDownError("Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
    exceptions.ReadOnlyError("You can't write against a read only replica."),
    exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
    exceptions.NoPermissionError("this user has no permissions to run the 'evalsha' command"),
    exceptions.AuthenticationError("WRONGPASS invalid username-password pair or user is disabled."),
    exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots"),
    exceptions.ResponseError("BUSY Redis is busy running a script."),
    exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."),
    exceptions.ResponseError(WRAPPED + "-OOM command not allowed when used memory > 'maxmemory'."),
    exceptions.ResponseError(WRAPPED + "-READONLY You can't write against a read only replica."),
    exceptions.ResponseError(WRAPPED + "-MISCONF Redis is configured to save RDB snapshots"),
    exceptions.ResponseError(WRAPPED + "-NOREPLICAS Not enough good replicas to write."),
    exceptions.ResponseError(WRAPPED + "The user executing the script can't run this command or subcommand"),
    exceptions.ResponseError(
        WRAPPED
        + "The user executing the script can't access at least one of the keys mentioned in the command arguments"
    ),
]


@pytest.mark.parametrize("error", AWAY, ids=lambda error: str(error)[:100])
@pytest.mark.parametrize("mapped_errors", [connection.mapped_errors, memory.mapped_errors], ids=["queue", "memory"])
def test_what_may_pass_is_a_server_that_is_away(mapped_errors: Callable[[], object], error: Exception) -> None:
    with pytest.raises(StoreUnavailable), mapped_errors():  # type: ignore[attr-defined]  # imported by name there
        raise error


@pytest.mark.parametrize("mapped_errors", [connection.mapped_errors, memory.mapped_errors], ids=["queue", "memory"])
def test_a_command_that_is_wrong_stays_wrong(mapped_errors: Callable[[], object]) -> None:
    with pytest.raises(StoreError) as raised, mapped_errors():  # type: ignore[attr-defined]  # imported by name there
        raise exceptions.ResponseError("ERR wrong number of arguments for 'hset' command")
    assert not isinstance(raised.value, StoreUnavailable)


# A user of the server

PASSWORD = "s3cret"
LEAST = named(DOCS / "how-to" / "run-many-processes.md", "tested: redis access").split()[5:]
"""The permissions that the page names, behind `ACL SETUSER app on >PASSWORD`."""


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def admin(server: ValkeyServer) -> Iterator[redis.Redis]:
    client = redis.Redis(port=server.port)
    yield client
    client.close()


@pytest.fixture
def url(server: ValkeyServer, admin: redis.Redis) -> str:
    """Return the URL of a user who may do no more than is needed."""
    allow(admin, "reset", "on", f">{PASSWORD}", *LEAST)
    return server.url.replace("redis://", f"redis://app:{PASSWORD}@")


def allow(admin: redis.Redis, *rules: str) -> None:
    cast(Any, admin).execute_command("ACL", "SETUSER", "app", *rules)


def denied(admin: redis.Redis) -> list[object]:
    """Return the commands that were refused to users."""
    return [entry["object"] for entry in admin.acl_log()]


async def control(store: RedisStore) -> None:
    """Do what operators do, with two messages that end and are left."""
    options: dict[str, Any] = {"agent": "controlled", "webhook_url": "https://receiver.example/"}
    failed, purged = [await dead_letter(store, **options) for _ in range(2)]
    assert len(await listed(store, agent="controlled")) == 2
    assert len(await store.group_dead_letters(TENANT, limit=ALL)) == 1
    assert len((await store.list_attempts(TENANT, [failed.id]))[failed.id]) == 1
    await requeue(store, failed.id)
    await store.purge(TENANT, [purged.id])
    await store.reprioritize(TENANT, failed.id, HIGH)
    await store.pause(paused=True)
    await store.throughput()
    await store.pause(paused=False)
    await drain(store, agents=["controlled"])
    taken, *_ = await store.claim_deliveries(ALL, lease_seconds=LEASE_SECONDS)
    tried = DeliveryAttempt(at=failed.created_at, status=200, error=None)
    assert await store.settle_delivery(taken, tried, next_in=None)
    await store.replay_delivery(TENANT, taken.id)
    assert len(await store.list_deliveries(TENANT, failed.id)) == 2
    asking = await interrupt(store, thread="asking", agent="controlled")
    await resume(store, asking, key=request_key())
    assert await store.get_head(TENANT, "asking") is not None
    await add_all(store, new(thread="asking", if_busy=IfBusy.ROLLBACK, delay_seconds=60), key=request_key("another"))
    await interrupt(store, agent="asking", thread="unanswered")
    assert await store.expire_interrupts() == 0
    await store.prune_keys()


async def test_the_least_that_a_user_needs_is_enough_for_the_queue(url: str, admin: redis.Redis) -> None:
    async with opened(RedisStore(url)) as store, opened(RedisStore(url)) as other:
        assert "everysec" in store.capabilities.promise
        await store.ping()
        await store.queue_id()
        with other.subscribe("moved") as hints:
            first, *_, last = [await add(store, thread="t") for _ in range(3)]
            await store.append(await claim_one(store), [chunk(0)])
            assert await hints.wait(SOON)
        await beat(store)
        assert len(await store.list_workers()) == 1
        (running,) = (await store.summary(TENANT, limit=ALL)).processing
        await store.cancel(TENANT, last.id)
        with store.open_lease_renewer() as renewer:
            renewer.stop(worker().id)
        assert len(await all_threads(store)) == 1
        assert len(await thread_messages(store, "t")) == 3
        await store.get_thread(TENANT, "t")
        await claim(store, lease_seconds=0)
        await store.rescue()
        assert running.id == first.id
        await store.promote()
        await control(store)
        await store.prune_workers(silent_for_seconds=0)
        await store.prune_logs(older_than_seconds=-1, limit=ALL)
        assert (await store.prune_messages(older_than_seconds=-1, limit=ALL))[0] == 3
    assert denied(admin) == []


async def test_the_least_that_a_user_needs_is_enough_for_the_memory(url: str, admin: redis.Redis) -> None:
    config: RunnableConfig = {"configurable": {"thread_id": "t", "checkpoint_ns": "", MEMORY_FENCE_KEY: (1, 1)}}
    async with open_saver(url, "queue") as saver:
        for _ in range(2):
            version = saver.get_next_version(None, None)
            checkpoint = {**empty_checkpoint(), "channel_values": {"a": 1}, "channel_versions": {"a": version}}
            saved = await saver.aput(config, checkpoint, {}, {"a": version})  # type: ignore[arg-type]  # a checkpoint as a plain dict
            await saver.aput_writes(saved, [("answer", "yes")], "task")
        assert await saver.aget_tuple(config) is not None
        await saver.acopy_thread("t", "copy")
        assert len([found async for found in saver.alist(None)]) == 4
        await saver.aprune(["t"])
        await saver.adelete_for_runs(["nobody's"])
        await saver.adelete_thread("copy")
        await saver.forget(["t"])
    assert denied(admin) == []


@pytest.mark.parametrize("rule", ["-eval", "-script", "-subscribe", "-info", "resetchannels", "resetkeys"])
async def test_a_user_who_lacks_something_is_refused_at_the_start(url: str, admin: redis.Redis, rule: str) -> None:
    allow(admin, rule)
    with pytest.raises(ConfigurationError, match="user"):
        async with opened(RedisStore(url)):
            pytest.fail("opened")


@pytest.mark.parametrize("rule", ["-evalsha", "-@all", "-@write -@read", "-hmget -exists", "resetkeys"])
async def test_rights_that_are_lost_while_it_runs_can_come_back(url: str, admin: redis.Redis, rule: str) -> None:
    async with opened(RedisStore(url)) as store:
        lease = await start(store)
        allow(admin, *rule.split())
        for call in (
            lambda: store.append(lease, [chunk(0)]),
            lambda: add(store),
            lambda: store.finish(lease, RELEASED),
        ):
            with pytest.raises(StoreUnavailable, match="lacks permissions"):
                await call()
        allow(admin, *LEAST)
        await store.append(lease, [chunk(0)])
        await store.finish(lease, DONE)
        assert await event_types(store, lease.message_id) == ["processing", "chunk", "done"]


async def test_without_its_rights_a_server_does_not_answer_a_ping_or_a_renewer(url: str, admin: redis.Redis) -> None:
    async with opened(RedisStore(url)) as store:
        with store.open_lease_renewer() as renewer:
            allow(admin, "-@all")
            with pytest.raises(StoreUnavailable, match="lacks permissions"):
                await store.ping()
            with pytest.raises(StoreUnavailable, match="lacks permissions"):
                renewer.beat(worker(), [], lease_seconds=LEASE_SECONDS)


async def test_memory_that_may_not_be_used_is_away(url: str, admin: redis.Redis) -> None:
    config: RunnableConfig = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    async with open_saver(url, "queue") as saver:
        allow(admin, "-evalsha")
        with pytest.raises(StoreUnavailable, match="cannot be used"):
            await saver.aget_tuple(config)
        allow(admin, *LEAST)
        assert await saver.aget_tuple(config) is None
