"""Figures on PostgreSQL, whose transactions commit in another order than they get their numbers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.models.statistics import Metric
from app.store.postgres.store import PostgresStore
from tests.clock import START, ManualClock
from tests.contract.builders import add
from tests.contract.test_figures import counts, figures, fold
from tests.postgres_server import database_of
from tests.unit.postgres_tools import ask, connected, opened, tell


@pytest.fixture
def url(tmp_path: Path) -> str:
    return database_of(tmp_path)


@pytest.fixture
async def store(url: str, clock: ManualClock) -> AsyncIterator[PostgresStore]:
    async with opened(url, clock) as postgres:
        yield postgres


async def test_a_transaction_that_commits_late_is_counted(store: PostgresStore, url: str) -> None:
    with connected(url) as late:
        late.execute("BEGIN")
        late.execute(
            "INSERT INTO transitions (at, tenant, type, message_id, agent, priority) "
            f"VALUES ({START}, 'default', 'accepted', 'late', 'chat', 'normal')"
        )
        await add(store)
        assert await fold(store) == 0, "an older transaction is running"
        assert await counts(store) == {"accepted": 1}
        late.execute("COMMIT")
    while await fold(store):
        pass
    assert await counts(store) == {"accepted": 2}


async def test_changes_behind_a_transaction_that_is_still_running_are_read_when_it_has_ended(
    store: PostgresStore, url: str
) -> None:
    begin = await store.newest_transition()
    with connected(url) as late:
        late.execute("BEGIN")
        late.execute(
            "INSERT INTO transitions (at, tenant, type, message_id, agent, priority) "
            f"VALUES ({START}, 'default', 'accepted', 'late', 'chat', 'normal')"
        )
        message = await add(store)
        page = await store.read_transitions("default", after=begin, limit=10)
        assert (page.transitions, page.last, page.newer) == ([], begin, True)
        late.execute("COMMIT")
    page = await store.read_transitions("default", after=page.last, limit=10)
    assert [each.message_id for each in page.transitions] == ["late", message.id]


async def test_a_cursor_of_another_server_misses_changes(url: str, clock: ManualClock) -> None:
    async with opened(url, clock) as store:
        await add(store)
        cursor = await store.newest_transition()
    tell(url, "UPDATE transitions SET transaction = transaction + 1000000000000")
    async with opened(url, clock) as store:
        await add(store)  # in a transaction with a higher number than that of the cursor
        page = await store.read_transitions(None, after=cursor, limit=10)
        assert (page.missed, len(page.transitions)) == (True, 2)


async def test_records_of_another_server_are_counted_once(url: str, clock: ManualClock) -> None:
    """A dump brings numbers of transactions that this server has not reached."""
    async with opened(url, clock) as store:
        await add(store)
        while await fold(store):
            pass
        await add(store)
    for table in ("transitions", "figures_head"):
        tell(url, f"UPDATE {table} SET transaction = transaction + 1000000000000")
    async with opened(url, clock) as store:
        await add(store)
        assert await counts(store) == {"accepted": 3}
        while await fold(store):
            pass
        assert [each.value for each in await figures(store, Metric.ACCEPTED)] == [3]
        assert ask(url, "SELECT value FROM figures WHERE step = 60 AND metric = 'accepted'") == 3
