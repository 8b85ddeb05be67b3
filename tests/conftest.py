"""Fixtures that every tier uses: a clock that stands still, stores, and the model's stand-in."""

import asyncio
import faulthandler
import gc
import logging
import math
import os
import tempfile
import time
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from _pytest.faulthandler import fault_handler_stderr_fd_key
from langgraph.checkpoint.base import BaseCheckpointSaver
from pytest_asyncio import is_async_test

from app.checkpoints.factory import open_saver
from app.store.ports import Store
from tests import postgres_server, valkey_server
from tests.clock import ManualClock
from tests.contract.backends import LASTING, StoreFactory
from tests.openai_stub import StubServer, openai_stub
from tests.postgres_server import PostgresServer
from tests.valkey_server import ValkeyServer

QUEUE = "this queue"
FOLDER = Path(__file__).parent
GC_THRESHOLDS = (20_000, 10, 20)
HUNG_SECONDS = 120.0
RENEW_SECONDS = 30.0
RENEWED = pytest.StashKey[float]()
MEMORY_FOLDER = Path("/dev/shm")
MIN_FREE_BYTES = 4 << 30


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    """Keep temporary files in memory, if there is room for them and programs among them can be run.

    A flush to a disk guards against a crash of the host, which no test causes. It takes a tenth of a run's processor
    time, and tests wait for it.
    """
    if "TMPDIR" in os.environ or not MEMORY_FOLDER.is_dir():
        return
    found = os.statvfs(MEMORY_FOLDER)
    if found.f_bavail * found.f_frsize >= MIN_FREE_BYTES and not found.f_flag & os.ST_NOEXEC:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY_FOLDER)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector from visiting what was imported and collected: 700,000 objects that stay.

    It then looks at new objects less often than it does by default, which takes a twentieth of a run.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that take longest, spread over the workers.

    pytest-xdist gives each worker a slice of as many tests, and one that has none left takes from the end of another's.
    Half of the workers begin with the chaos tests, the others with the integration tests.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    folders: dict[str, list[pytest.Item]] = {"chaos": [], "integration": []}
    rest: list[pytest.Item] = []
    for item in items:
        folders.get(item.path.relative_to(FOLDER).parts[0], rest).append(item)
    chaos, integration = folders.values()
    half = -(-workers // 2)
    slices = [chaos[number::half] for number in range(half)]
    for number in range(others := workers - half):
        first, end = (len(integration) * each // others for each in (number, number + 1))
        slices.append(integration[first:end])
    if not others:
        slices[0] += integration
    count = len(items)
    for number, filled in enumerate(slices):
        share = count // (workers - number)
        count -= share
        wanted = max(0, share - len(filled))
        filled.extend(rest[:wanted])
        del rest[:wanted]
    items[:] = [*(item for filled in slices for item in filled), *rest]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """Show what all threads do if a test takes HUNG_SECONDS, or up to RENEW_SECONDS more.

    `faulthandler_timeout` does so with a new thread for each test, which takes a millisecond.
    """
    stash = item.config.stash
    if time.monotonic() - stash.get(RENEWED, -math.inf) > RENEW_SECONDS:
        faulthandler.dump_traceback_later(HUNG_SECONDS + RENEW_SECONDS, file=stash[fault_handler_stderr_fd_key])
        stash[RENEWED] = time.monotonic()
    try:
        return (yield)
    finally:
        if nextitem is None:
            faulthandler.cancel_dump_traceback_later()


def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    """Begin the time anew with the next test, since pytest's own plugin stops it at each failure."""
    node.config.stash[RENEWED] = -math.inf


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=LASTING)
def make_store(request: pytest.FixtureRequest) -> StoreFactory:
    """The factory of each backend, for tests that need a store with options or more than one."""
    return LASTING[request.param]


@pytest.fixture
async def store(make_store: StoreFactory, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Store]:
    """An open, empty store of each backend."""
    backend = make_store(tmp_path, clock)
    await backend.open()
    try:
        yield backend
    finally:
        await backend.close()


@pytest.fixture(params=["sqlite", "postgres", "valkey"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of processes on an empty database of each backend that they can share."""
    match request.param:
        case "sqlite":
            yield {"DATABASE_URL": f"sqlite:///{tmp_path / 'queue.db'}"}
        case "postgres":
            yield {"DATABASE_URL": postgres_server.database_of(tmp_path), "ALLOW_VOLATILE": "true"}
        case _:
            with ValkeyServer() as server:
                yield {"DATABASE_URL": server.url}


@pytest.fixture
def postgres() -> PostgresServer:
    """The server for all; its own database has nothing of ours."""
    server = postgres_server.shared_server()
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS agent_queue_memory CASCADE")
    return server


@pytest.fixture
def valkey() -> ValkeyServer:
    """The server for all, empty."""
    server = valkey_server.shared_server()
    with redis.Redis.from_url(server.url) as client:
        client.flushdb()
    return server


@pytest.fixture(params=["sqlite", "postgres", "valkey"])
def memory_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty memory of agents is, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/checkpoints.db"
    return str(request.getfixturevalue(request.param).url)


@pytest.fixture
async def saver(memory_url: str) -> AsyncIterator[BaseCheckpointSaver[str]]:
    """An open, empty memory of agents."""
    async with open_saver(memory_url, QUEUE) as opened:
        yield opened


@pytest.fixture
async def model() -> AsyncIterator[StubServer]:
    """An OpenAI-compatible server that answers what a test tells it to."""
    async with openai_stub() as stub:
        yield stub


@pytest.fixture(autouse=True)
def no_task_outlives_its_test(request: pytest.FixtureRequest) -> None:
    """Whatever a test started, it has to end. A test without an event loop is not given one for that."""
    if is_async_test(request.node) or {"model", "store"} & set(request.fixturenames):
        request.getfixturevalue("no_task_is_left")


@pytest.fixture
async def no_task_is_left() -> AsyncIterator[None]:
    """Compare the tasks of the event loop after the test with those before."""
    before = asyncio.all_tasks()
    yield
    left = {task for task in asyncio.all_tasks() - before - {asyncio.current_task()} if not task.done()}
    assert not left, f"tasks left behind: {left}"


@pytest.fixture(autouse=True)
def level_of_the_log() -> Iterator[None]:
    """Keeps the level for later tests: a command that is run in this process sets that of a process of its own."""
    logger = logging.getLogger("app")
    level = logger.level
    yield
    logger.setLevel(level)
