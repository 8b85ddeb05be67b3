"""Starts without the engines that a process needs: they are waited for, and what goes wrong is an end with a reason."""

import asyncio
import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from app.config import Settings
from tests import postgres_server, wire
from tests.graph_control import GraphControl
from tests.integration.test_engines import SECRET, Engine, submit
from tests.postgres_server import VOLATILE, PostgresServer
from tests.servers import ServerProcess, cold_server_process, finished_process, free_port, server_process, until
from tests.valkey_server import ValkeyServer

AGENT = {"AGENTS": "steps=tests.graphs:steps"}
STOP_SECONDS = 2.0


@contextlib.contextmanager
def postgres() -> Iterator[tuple[Engine, str]]:
    """A server that is not started."""
    server = PostgresServer(*VOLATILE)
    try:
        yield server, server.url
    finally:
        server.remove()


@contextlib.contextmanager
def valkey() -> Iterator[tuple[Engine, str]]:
    """A server that is not started."""
    server = ValkeyServer()
    try:
        yield server, server.url
    finally:
        server.__exit__(None, None, None)


Away = Callable[[], contextlib.AbstractContextManager[tuple[Engine, str]]]
ENGINES: list[Away] = [postgres, valkey]

MODULES: dict[str, tuple[str, ...]] = {
    "app.main": (),
    "uvicorn": ("app.main:app", "--host", "127.0.0.1", "--port", "{port}"),
}


def refuses(server: ServerProcess) -> bool:
    """Whether nobody listens on the port."""
    with socket.socket() as client:
        client.settimeout(5)
        return client.connect_ex(("127.0.0.1", server.port)) != 0


async def waits(server: ServerProcess) -> None:
    def look() -> bool:
        assert server.process.poll() is None, server.output
        return "Waiting for up to" in server.output

    await until(look, "it waits")


@pytest.mark.parametrize(("engine", "module"), list(zip(ENGINES, MODULES, strict=True)))
async def test_a_server_waits_for_its_engine_and_does_not_listen_meanwhile(
    tmp_path: Path, engine: Away, module: str
) -> None:
    """Each engine with one of the two commands: no command knows which engine it waits for."""
    with engine() as (database, url):
        environment = {"DATABASE_URL": url, "ALLOW_VOLATILE": "true", **AGENT, **GraphControl(tmp_path).environment}
        with server_process(tmp_path, module, arguments=MODULES[module], **environment) as server:
            await waits(server)
            assert refuses(server)
            await asyncio.to_thread(database.start)
            await server.ready()
            message = (await submit(server)).json()["message_id"]
            assert (await wire.frames_of(server.url, message))[-1].data["result"] == "Heard: Hello"
            assert server.output.count("Waiting for up to") == 1


async def test_a_worker_waits_for_its_engine(tmp_path: Path) -> None:
    with postgres() as (database, url):
        environment = {"DATABASE_URL": url, "ALLOW_VOLATILE": "true", **AGENT, **GraphControl(tmp_path).environment}
        with cold_server_process(tmp_path, "app.worker", **environment) as worker:
            await waits(worker)
            await asyncio.to_thread(database.start)
            await until(lambda: "Worker started" in worker.output, "it works")


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_server_waits_for_the_engine_of_the_memory(tmp_path: Path, engine: Away) -> None:
    with engine() as (database, url):
        environment = {"CHECKPOINT_URL": url, **AGENT, **GraphControl(tmp_path).environment}
        with server_process(tmp_path, **environment) as server:
            await waits(server)
            assert "CHECKPOINT_URL" in server.output
            assert refuses(server)
            await asyncio.to_thread(database.start)
            await server.ready()


async def test_a_server_waits_for_a_file_that_somebody_has_locked(tmp_path: Path) -> None:
    """Another process locks the file like this while it migrates."""
    with server_process(tmp_path, WORKER_CONCURRENCY="0") as first:
        await first.ready()
        first.terminate()
    with contextlib.closing(apsw.Connection(str(tmp_path / "queue.db"))) as locking:
        locking.execute("BEGIN IMMEDIATE")
        with server_process(tmp_path, WORKER_CONCURRENCY="0") as server:
            await waits(server)
            assert refuses(server)
            locking.execute("ROLLBACK")
            await server.ready()


def ended(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process that ends by itself."""
    return finished_process(folder, *(command or ("app.main",)), **{"HOST": "127.0.0.1", "PORT": "0", **environment})


@pytest.mark.parametrize("variable", ["DATABASE_URL", "CHECKPOINT_URL"])
@pytest.mark.parametrize("url", ["postgresql://postgres:{}@127.0.0.1:{}/postgres", "redis://:{}@127.0.0.1:{}/0"])
@pytest.mark.parametrize("module", ["app.main", "app.worker"])
def test_an_engine_that_does_not_come_ends_the_process_with_one_line(
    tmp_path: Path, module: str, url: str, variable: str
) -> None:
    url = url.format(SECRET, free_port())
    told = ended(tmp_path, module, **{variable: url, "STARTUP_TIMEOUT_SECONDS": "2"})
    assert told.returncode == 1
    (line,) = [line for line in told.stderr.splitlines() if line.startswith("Cannot start. ")]
    assert variable in line
    assert "Traceback" not in told.stderr
    assert SECRET not in told.stderr + told.stdout
    assert "Waiting for up to" in told.stderr + told.stdout


def test_a_wait_can_be_switched_off(tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    told = ended(tmp_path, DATABASE_URL=url, STARTUP_TIMEOUT_SECONDS="0")
    assert told.returncode == 1
    assert "Waiting" not in told.stderr + told.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("module", "arguments"), [*MODULES.items(), ("app.worker", ())])
async def test_a_signal_ends_a_process_that_waits_at_once(
    tmp_path: Path, module: str, arguments: tuple[str, ...], number: signal.Signals
) -> None:
    url = f"postgresql://127.0.0.1:{free_port()}/queue"
    with server_process(tmp_path, module, arguments=arguments, DATABASE_URL=url) as server:
        await waits(server)
        began = time.monotonic()
        server.process.send_signal(number)
        assert await asyncio.to_thread(server.process.wait, 30) == 128 + number
        assert time.monotonic() - began < STOP_SECONDS


FAILING = """
import {module}
from app.main import serve, work
from app.startup import run

def fail(*_, **__):
    raise {error}

{module}.{name} = fail
run({command})
"""


@pytest.mark.parametrize("command", ["serve", "work"])
@pytest.mark.parametrize(
    ("module", "name", "error"),
    [
        ("app.bootstrap", "Runtime.running", "RuntimeError('nobody thought of this')"),
        ("threading", "Thread.start", "RuntimeError('cannot start new thread')"),
        ("app.startup", "make_store", "OSError(24, 'Too many open files')"),
        ("app.main", "create_app", "KeyError('lifespan')"),
        ("app.heartbeat", "Heartbeat.start", "RuntimeError('cannot start new thread')"),
    ],
)
def test_whatever_fails_at_a_start_ends_the_process(
    tmp_path: Path, command: str, module: str, name: str, error: str
) -> None:
    if (command, name) == ("work", "create_app"):
        name, module = "Runtime", "app.main"
    program = FAILING.format(module=module, name=name, error=error, command=command)
    told = ended(tmp_path, "-c", program)
    assert told.returncode not in (0, -signal.SIGKILL), told.stderr
    assert error.split("'")[1] in told.stderr + told.stdout


def test_a_device_is_no_database(tmp_path: Path) -> None:
    told = ended(tmp_path, DATABASE_URL="sqlite:////dev/null")
    assert told.returncode == 78
    assert "it is a device or a pipe, not a file" in told.stderr


def test_a_file_that_may_not_be_read_is_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    (tmp_path / "data").write_text("in the way of the folder")
    told = ended(tmp_path)
    assert told.returncode == 78
    assert "DATABASE_URL" in told.stderr
    assert "HOST, PORT" not in told.stderr


def test_a_port_that_is_taken_is_told_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        told = ended(tmp_path, PORT=str(taken.getsockname()[1]), DATABASE_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert told.returncode == 1
    cure = "HOST, PORT: Address already in use: set PORT to a free port, or stop the program that has it"
    assert told.stderr.splitlines()[-1].endswith(cure)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///:memory:",
        "sqlite:////:memory:",
        "sqlite:///:MEMORY:",
        "sqlite:///:memory:?x=1",
        "sqlite:///file::memory:?cache=shared",
    ],
)
def test_a_database_without_a_file_has_one_name(url: str) -> None:
    settings = Settings(_env_file=None, database_url=url, checkpoint_url=url)
    assert (settings.database_url, settings.checkpoint_url) == ("memory://", "memory://")


# Not ready, with the reason


async def health(server: ServerProcess) -> tuple[int, str]:
    answer = await wire.request(server.url, "GET", "/health/ready")
    return answer.status, answer.body.decode()


async def is_not_ready(server: ServerProcess, reason: str) -> None:
    async def look() -> bool:
        assert server.process.poll() is None, server.output
        with contextlib.suppress(OSError):
            status, told = await health(server)
            return status == 503 and reason in told
        return False

    await until(look, f"it is not ready because of {reason!r}: {server.output}")


async def test_too_few_connections_are_told_and_messages_wait(tmp_path: Path) -> None:
    server = postgres_server.shared_server()
    database = postgres_server.database_of(tmp_path).rpartition("/")[2]
    server.execute("DROP ROLE IF EXISTS crowded")
    server.execute("CREATE ROLE crowded LOGIN CONNECTION LIMIT 3")
    server.execute(f"GRANT CREATE ON DATABASE {database} TO crowded")
    url = server.url_of(database, user="crowded")
    environment = {"DATABASE_URL": url, "ALLOW_VOLATILE": "true", **AGENT, **GraphControl(tmp_path).environment}
    try:
        with server_process(tmp_path, **environment) as process:
            await is_not_ready(process, "too few connections")
            message = (await submit(process)).json().get("message_id")
            server.execute("ALTER ROLE crowded CONNECTION LIMIT 30")
            await process.ready()
            message = message or (await submit(process)).json()["message_id"]
            server.execute("ALTER ROLE crowded CONNECTION LIMIT 0")
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'crowded'")
            await is_not_ready(process, "too few connections")
            server.execute("ALTER ROLE crowded CONNECTION LIMIT 30")
            await process.ready()
            frames = await wire.frames_of(process.url, message)
            assert frames[-1].data["result"] == "Heard: Hello"
            again = (await submit(process)).json()["message_id"]
            assert (await wire.frames_of(process.url, again))[-1].data["result"] == "Heard: Hello"
    finally:
        server.execute("DROP SCHEMA IF EXISTS agent_queue, agent_queue_memory CASCADE", database)
        server.execute(f"REVOKE CREATE ON DATABASE {database} FROM crowded")
        server.execute("DROP ROLE crowded")


def files_of(folder: Path) -> list[Path]:
    """The memory's file and those beside it."""
    return [*folder.glob("queue_checkpoints.db*")]


async def test_a_damaged_memory_is_told_and_messages_wait(tmp_path: Path) -> None:
    memory = tmp_path / "queue_checkpoints.db"
    memory.write_bytes(b"no database at all, " * 1000)
    environment = {**AGENT, **GraphControl(tmp_path).environment, "LEASE_SECONDS": "15"}  # no attempt is lost to load
    with server_process(tmp_path, **environment) as server:
        await is_not_ready(server, "is damaged")
        assert (await wire.request(server.url, "GET", "/health/live")).status == 200
        message = (await submit(server, thread_id="t")).json()["message_id"]
        memory.unlink()
        await server.ready()
        assert (await wire.frames_of(server.url, message))[-1].data["result"] == "Heard: Hello"
        for part in files_of(tmp_path):
            part.write_bytes(b"damaged while it is used, " * 1000)
        message = (await submit(server, thread_id="t")).json()["message_id"]
        await is_not_ready(server, "is damaged")
        findings = (await wire.request(server.url, "GET", "/doctor")).json()["findings"]
        assert "memory_unusable" in {each["code"] for each in findings}
        for part in files_of(tmp_path):
            part.unlink()
        await server.ready()
        assert (await wire.frames_of(server.url, message))[-1].data["result"] == "Heard: Hello"
        status = (await wire.request(server.url, "GET", f"/messages/{message}/status")).json()
        assert (status["state"], status["attempt"]) == ("completed", 1), server.output


def test_a_start_ends_with_one_line_if_prices_are_no_numbers(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text('[models]\nm = { input = "free", output = 2 }')
    refused = finished_process(tmp_path, "app.cli", "serve", PRICES="prices.toml", PORT="0")
    assert refused.returncode == 78
    assert refused.stderr == (
        "Cannot start. PRICES: prices.toml: `models.m.input`: expected US dollars per million tokens, a number from "
        "0 to 10000, got 'free'\n"
    )
