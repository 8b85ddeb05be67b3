"""The whole application on a database server that is wrong, goes away, and comes back."""

import asyncio
import base64
import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import httpx2
import pytest
from redis import Redis

from app.clock import SteadyClock
from tests import postgres_server, wire
from tests.contract.backends import StoreFactory
from tests.graph_control import GraphControl
from tests.servers import ServerProcess, finished_process, live_server, server_process, settings_for, until
from tests.valkey_server import ValkeyServer

SECRET = "hunter2hunter2"


class Engine(Protocol):
    """A server of our own that can be away."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


def start(folder: Path, url: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Return what `agentq serve` says when it cannot start."""
    environment = {"DATABASE_URL": url, "HOST": "127.0.0.1", "PORT": "0", **environment}
    return finished_process(folder, "app.cli", "serve", **environment)


def postgres_without_database(_: Path) -> Iterator[str]:
    yield f"postgresql://postgres:{SECRET}@127.0.0.1:{postgres_server.shared_server().port}/missing"


def postgres_without_user(_: Path) -> Iterator[str]:
    yield f"postgresql://nobody:{SECRET}@127.0.0.1:{postgres_server.shared_server().port}/postgres"


def postgres_with_an_unknown_setting(_: Path) -> Iterator[str]:
    port = postgres_server.shared_server().port
    yield f"postgresql://postgres:{SECRET}@127.0.0.1:{port}/postgres?options=-c%20nosuch%3D1"


def postgres_with_a_wrong_setting(_: Path) -> Iterator[str]:
    port = postgres_server.shared_server().port
    yield f"postgresql://postgres:{SECRET}@127.0.0.1:{port}/postgres?options=-c%20work_mem%3Dbanana"


def postgres_on_no_port(_: Path) -> Iterator[str]:
    yield f"postgresql://postgres:{SECRET}@127.0.0.1:99999/postgres"


def postgres_without_fsync(folder: Path) -> Iterator[str]:
    yield postgres_server.database_of(folder)


def postgres_from_the_future(folder: Path) -> Iterator[str]:
    url = postgres_server.database_of(folder)
    server, database = postgres_server.shared_server(), url.rpartition("/")[2]
    server.execute("CREATE SCHEMA agent_queue", database)
    server.execute("CREATE TABLE agent_queue.agent_queue_migrations AS SELECT 99 AS number", database)
    yield url


def redis_with_another_password(_: Path) -> Iterator[str]:
    with ValkeyServer() as server, contextlib.closing(Redis.from_url(server.url)) as client:
        client.config_set("requirepass", "swordfish")
        yield f"redis://:{SECRET}@127.0.0.1:{server.port}/0"


def redis_that_evicts(_: Path) -> Iterator[str]:
    with ValkeyServer(maxmemory="100mb", maxmemory_policy="allkeys-lru") as server:
        yield server.url


def redis_without_a_file(_: Path) -> Iterator[str]:
    with ValkeyServer(appendonly="no") as server:
        yield server.url


def redis_from_the_future(_: Path) -> Iterator[str]:
    with ValkeyServer() as server, contextlib.closing(Redis.from_url(server.url)) as client:
        client.set("{agent_queue}:schema", 99)
        yield server.url


WRONG: dict[Callable[[Path], Iterator[str]], str] = {
    postgres_without_database: 'database "missing" does not exist',
    postgres_without_user: 'role "nobody" does not exist',
    postgres_with_an_unknown_setting: 'unrecognized configuration parameter "nosuch"',
    postgres_with_a_wrong_setting: 'invalid value for parameter "work_mem"',
    postgres_on_no_port: 'invalid port number: "99999"',
    postgres_without_fsync: "fsync=off, so a crash of it would lose accepted messages: switch it on, or set ALLOW_VOL",
    postgres_from_the_future: "The database has schema version 99",
    redis_with_another_password: "the server does not know this user and password",
    redis_that_evicts: "CONFIG SET maxmemory-policy noeviction",
    redis_without_a_file: "CONFIG SET appendonly yes",
    redis_from_the_future: "The database has schema version 99",
}


@pytest.mark.parametrize("setting", WRONG, ids=lambda setting: setting.__name__)
def test_what_is_wrong_with_an_engine_is_one_line_at_the_start(
    tmp_path: Path, setting: Callable[[Path], Iterator[str]]
) -> None:
    with contextlib.contextmanager(setting)(tmp_path) as url:
        refused = start(tmp_path, url, ALLOW_VOLATILE=str(setting is postgres_from_the_future))
    assert refused.returncode == 78
    assert refused.stderr.startswith("Cannot start. ")
    assert refused.stderr.count("\n") == 1
    assert WRONG[setting] in refused.stderr
    assert SECRET not in refused.stderr + refused.stdout


@contextlib.contextmanager
def postgres() -> Iterator[tuple[Engine, dict[str, str]]]:
    with postgres_server.PostgresServer(*postgres_server.VOLATILE) as server:
        yield server, {"DATABASE_URL": server.url, "ALLOW_VOLATILE": "true"}


@contextlib.contextmanager
def valkey() -> Iterator[tuple[Engine, dict[str, str]]]:
    with ValkeyServer() as server:
        yield server, {"DATABASE_URL": server.url}


async def submit(server: ServerProcess, **fields: str) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, verify=False, timeout=30) as client:
        return await client.post("/messages", json={"message": "Hello", **fields})


@pytest.mark.parametrize("engine", [postgres, valkey])
async def test_an_engine_that_goes_away_and_comes_back_loses_nothing(
    tmp_path: Path, engine: Callable[[], contextlib.AbstractContextManager[tuple[Engine, dict[str, str]]]]
) -> None:
    """One message waits and one runs; meanwhile 503; then all goes on by itself, the open stream included."""
    control = GraphControl(tmp_path)
    control.hold("second")
    agent = {"AGENTS": "steps=tests.graphs:steps", **control.environment}
    with (
        engine() as (database, settings),
        server_process(tmp_path, "app.cli", arguments=("serve",), **settings, **agent) as server,
    ):
        await server.ready()
        running = (await submit(server, thread_id="t")).json()["message_id"]
        waiting = (await submit(server, thread_id="t")).json()["message_id"]
        async with wire.stream(server.url, running) as stream:
            await stream.until("chunk")
            await asyncio.to_thread(database.stop)
            refused = await submit(server)
            assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
            assert int(refused.headers["retry-after"]) >= 1
            assert "127.0.0.1" not in refused.text + (await wire.request(server.url, "GET", "/health")).body.decode()
            assert (await wire.request(server.url, "GET", "/health/live")).status == 200
            assert (await wire.request(server.url, "GET", "/health/ready")).status == 503
            await asyncio.to_thread(database.start)

            async def accepted() -> bool:
                return (await submit(server)).status_code == 202

            await until(accepted, "messages are accepted again", 10)
            control.release("second")
            await stream.rest()
        wire.check_log(stream.frames)
        assert stream.frames[-1].data["result"] == "Heard: Hello"
        frames = await wire.frames_of(server.url, waiting)
        assert frames[-1].data["result"] == "Heard: Hello | Hello"
        await server.ready()


async def test_what_a_database_cannot_hold_is_not_found(make_store: StoreFactory, tmp_path: Path) -> None:
    """PostgreSQL refuses NUL in a text, and SQLite and Redis take it; nobody may notice."""
    store = make_store(tmp_path, SteadyClock())
    async with live_server(settings_for(tmp_path, worker_concurrency=0), store=store) as server:
        for method, path in (
            ("GET", "/messages/%00/status"),
            ("GET", "/messages/a%00b/stream"),
            ("GET", "/messages/%00/events"),
            ("DELETE", "/messages/a%00"),
        ):
            answer = await wire.request(server.url, method, path)
            assert (answer.status, answer.json()["code"]) == (404, "message_not_found"), path
        cursor = base64.urlsafe_b64encode(b'[1, "\\u0000"]').decode()
        answer = await wire.request(server.url, "GET", f"/threads?cursor={cursor}")
        assert (answer.status, answer.json()["code"]) == (422, "invalid_request")
