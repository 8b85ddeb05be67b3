"""Fixtures of the contract suite alone."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.backends import StoreFactory


@pytest.fixture(params=["memory", "sqlite", "postgres", "valkey"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty memory of agents is, of each kind."""
    match request.param:
        case "memory":
            return "memory://"
        case "sqlite":
            return f"sqlite:///{tmp_path}/checkpoints.db"
        case kind:
            return str(request.getfixturevalue(kind).url)


@pytest.fixture
async def other_store(
    make_store: StoreFactory, tmp_path: Path, clock: ManualClock, store: Store
) -> AsyncIterator[Store]:
    """The same queue as another process has it, for races that one store alone would line up.

    Where the queue is in the memory of one process, it is the same store.
    """
    other = make_store(tmp_path, clock)
    await other.open()
    try:
        yield other if await other.queue_id() == await store.queue_id() else store
    finally:
        await other.close()
