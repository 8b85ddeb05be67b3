"""Fixtures that every tier uses: a clock that stands still, stores, and the model's stand-in."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.store.base import Store
from app.store.sqlite.store import SqliteStore
from tests.openai_stub import StubServer, openai_stub

START = 1_700_000_000_000


class ManualClock:
    """Time that passes when a test says so. Meets `app.clock.Clock`."""

    def __init__(self) -> None:
        self.milliseconds = START

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return self.milliseconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.milliseconds += round(seconds * 1000)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Store]:
    """An open, empty store of each backend; the contract suite runs on all of them."""
    backend = SqliteStore(None if request.param == "memory" else tmp_path / "queue.db", clock=clock)
    await backend.open()
    try:
        yield backend
    finally:
        await backend.close()


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
