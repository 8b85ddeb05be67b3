"""Fixtures that every tier uses: a clock that stands still, stores, and the model's stand-in."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.store.base import Store
from tests.clock import ManualClock
from tests.contract.backends import BACKENDS, StoreFactory
from tests.openai_stub import StubServer, openai_stub
from tests.postgres_server import database_of
from tests.valkey_server import ValkeyServer, stop_shared_server


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


@pytest.fixture(params=["sqlite", "postgres", "valkey"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of processes on an empty database of each backend that they can share."""
    match request.param:
        case "sqlite":
            yield {"DATABASE_URL": f"sqlite:///{tmp_path / 'queue.db'}"}
        case "postgres":
            yield {"DATABASE_URL": database_of(tmp_path), "ALLOW_VOLATILE": "true"}
        case _:
            with ValkeyServer() as server:
                yield {"DATABASE_URL": server.url}


@pytest.fixture
async def model() -> AsyncIterator[StubServer]:
    """An OpenAI-compatible server that answers what a test tells it to."""
    async with openai_stub() as stub:
        yield stub


@pytest.fixture(scope="session", autouse=True)
def shared_servers_end() -> Iterator[None]:
    """A server that a test started for the others too ends with the session."""
    yield
    stop_shared_server()


@pytest.fixture(autouse=True)
async def no_task_outlives_its_test() -> AsyncIterator[None]:
    """Whatever a test started, it has to end."""
    before = asyncio.all_tasks()
    yield
    left = {task for task in asyncio.all_tasks() - before - {asyncio.current_task()} if not task.done()}
    assert not left, f"tasks left behind: {left}"
