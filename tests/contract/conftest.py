"""Fixtures of the contract suite alone."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.backends import StoreFactory


@pytest.fixture
async def other_store(
    make_store: StoreFactory, tmp_path: Path, clock: ManualClock, store: Store
) -> AsyncIterator[Store]:
    """The same queue as another process has it, for races that one store alone would line up."""
    other = make_store(tmp_path, clock)
    await other.open()
    try:
        yield other
    finally:
        await other.close()
