"""Servers, URLs and databases that the store on Redis or Valkey refuses when it starts, and what it says of others."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from app.errors import ConfigurationError, StoreIncompatible, StoreUnavailable
from app.store.redis import connection
from app.store.redis.connection import Link
from app.store.redis.store import RedisStore
from tests.contract.builders import (
    DONE,
    add,
    all_threads,
    chunk,
    claim_one,
    drain,
)
from tests.unit.redis_tools import closing, opened, until_it_works
from tests.valkey_server import ValkeyServer, free_port, shared_server

PASSWORD = "s3cret"


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
    admin: Any = redis.Redis(port=server.port)  # `execute_command` has no types
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
        admin: Any = redis.Redis(port=server.port)  # `execute_command` has no types
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
        with pytest.raises(StoreUnavailable, match="emptied"):
            await store.queue_id()
    async with opened(RedisStore(server.url)) as store:
        assert await store.queue_id() != name
