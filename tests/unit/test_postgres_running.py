"""What claims and ends of runs on PostgreSQL do to each other, when both happen at the same moment."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.models.tenants import TenantLimits, TenantSettings
from app.store.postgres.store import PostgresStore
from tests.clock import ManualClock
from tests.contract.builders import ALL, DONE, TENANT, add, claim, claimed_ids, start
from tests.postgres_server import database_of
from tests.servers import until
from tests.unit.postgres_tools import ask, opened

WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


@pytest.fixture
async def store(tmp_path: Path, clock: ManualClock) -> AsyncIterator[PostgresStore]:
    """A store whose tenant may run one message."""
    async with opened(database_of(tmp_path), clock) as store:
        await store.put_tenant(TENANT, TenantSettings(limits=TenantLimits(running=1)), revision=None)
        yield store


async def test_a_claim_counts_the_runs_that_another_process_is_beginning(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: ManualClock
) -> None:
    """Both take another message. The second one waits until the first one is committed."""
    url = database_of(tmp_path)
    ids = [(await add(store)).id for _ in range(2)]
    begin, has_taken, may_commit = store._claims._begin, threading.Event(), threading.Event()

    def begin_late(*given: Any) -> Any:
        has_taken.set()
        assert may_commit.wait(10)
        return begin(*given)

    monkeypatch.setattr(store._claims, "_begin", begin_late)
    async with opened(url, clock) as other_store:
        first = asyncio.create_task(claimed_ids(store, 1))
        try:
            await until(has_taken.is_set, "the first claim has taken a message")
            second = asyncio.create_task(claimed_ids(other_store, 1, worker="worker 2"))
            await until(lambda: second.done() or ask(url, WAITING) == 1, "the second claim waits, or has not waited")
        finally:
            may_commit.set()
        assert (await first, await second) == (ids[:1], [])


async def test_a_run_that_ends_while_a_claim_holds_messages_back_leaves_its_room_to_them(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = await start(store)
    waiting = await add(store)
    loop, session = asyncio.get_running_loop(), store._claims.session
    rows = session.rows

    def end_before_holding_back(query: str, /, **values: Any) -> Any:
        if query == "hold_back":
            asyncio.run_coroutine_threadsafe(store.finish(lease, DONE), loop).result(10)
        return rows(query, **values)

    monkeypatch.setattr(session, "rows", end_before_holding_back)
    assert await claim(store, ALL) == []
    monkeypatch.undo()
    assert await claimed_ids(store) == [waiting.id]
