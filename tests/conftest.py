"""Fixtures that every tier uses: a clock that stands still, stores, and the model's stand-in."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from langgraph.checkpoint.base import BaseCheckpointSaver

from app.checkpoints.factory import open_saver
from app.store.base import Store
from tests.clock import ManualClock
from tests.contract.backends import BACKENDS, StoreFactory
from tests.openai_stub import StubServer, openai_stub
from tests.postgres_server import PostgresServer, postgres_server
from tests.valkey_server import ValkeyServer, valkey_server

QUEUE = "this queue"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=BACKENDS)
def make_store(request: pytest.FixtureRequest) -> StoreFactory:
    """The factory of each backend, for tests that need a store with options or more than one."""
    return BACKENDS[request.param]


@pytest.fixture
async def store(make_store: StoreFactory, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Store]:
    """An open, empty store of each backend; the contract suite runs on all of them."""
    backend = make_store(tmp_path, clock)
    await backend.open()
    try:
        yield backend
    finally:
        await backend.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    with valkey_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres", "redis"])
def memory_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty memory of agents is, of each kind."""
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA IF EXISTS agent_queue CASCADE")
        return str(server.url)
    if request.param == "redis":
        server = request.getfixturevalue("valkey")
        with redis.Redis.from_url(server.url) as client:
            client.flushdb()
        return str(server.url)
    return f"sqlite:///{tmp_path}/checkpoints.db"


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
async def no_task_outlives_its_test() -> AsyncIterator[None]:
    """Whatever a test started, it has to end."""
    before = asyncio.all_tasks()
    yield
    left = {task for task in asyncio.all_tasks() - before - {asyncio.current_task()} if not task.done()}
    assert not left, f"tasks left behind: {left}"
