"""Locks of the PostgreSQL store, each with another process in the middle of its transaction."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from app.errors.limits import LimitExceeded
from app.models.limits import Limit, Limited, Limits
from app.policy.rank import RankPolicy
from app.store.postgres.store import PostgresStore
from app.store.sql.named_sql import load_queries
from tests.clock import ManualClock
from tests.contract.builders import NORMAL, TENANT, add, new
from tests.postgres_server import database_of
from tests.servers import until
from tests.unit.postgres_tools import ask, opened

QUERIES = load_queries("postgres")
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
LIMIT = Limit("tenant:a", "tenant", Limited.TENANT, 3, 60)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return database_of(tmp_path)


@pytest.fixture
async def store(url: str, clock: ManualClock) -> AsyncIterator[PostgresStore]:
    async with opened(url, clock) as postgres:
        yield postgres


async def waits(url: str) -> None:
    """Wait until a transaction waits for another one."""
    await until(lambda: ask(url, WAITING) == 1, "a transaction waits for a lock")


async def test_a_submit_counts_what_another_process_is_counting(store: PostgresStore, url: str) -> None:
    async def submit() -> None:
        await store.add([new()], max_queued=1000, limits=Limits(LIMIT))

    await submit()
    with psycopg.connect(url, options="-c search_path=agent_queue") as other:
        row = other.execute("SELECT value FROM limits WHERE name = %s FOR UPDATE", [LIMIT.name]).fetchone()
        assert row is not None
        submitting = asyncio.create_task(submit())
        await waits(url)
        other.execute("UPDATE limits SET value = value + 60000000 WHERE name = %s", [LIMIT.name])  # all that is left
    with pytest.raises(LimitExceeded):
        await submitting


async def test_a_submit_locks_no_limit_while_it_waits_for_a_new_one(store: PostgresStore, url: str) -> None:
    """Both processes count against an old and a new limit. Names are locked in order, and the new one is the first."""
    new_limit = LIMIT._replace(name="key:a")
    await store.add([new()], max_queued=1000, limits=Limits(LIMIT))
    with psycopg.connect(url, options="-c search_path=agent_queue") as other:
        other.execute("INSERT INTO limits (name, value, expires_at) VALUES (%s, 0, 0)", [new_limit.name])
        submitting = asyncio.create_task(store.add([new()], max_queued=1000, limits=Limits(LIMIT, new_limit)))
        await waits(url)
        other.execute("SELECT FROM limits WHERE name = %s FOR UPDATE NOWAIT", [LIMIT.name])
    counted = (await submitting).counted
    assert counted is not None
    assert counted.rests[::2] == [1, 2]


async def test_a_submit_takes_its_turn_after_those_of_another_process(store: PostgresStore, url: str) -> None:
    await add(store)
    with psycopg.connect(url, options="-c search_path=agent_queue") as other:
        flow = {"tenants": [TENANT], "flows": [""], "firsts": [RankPolicy().rank(NORMAL.level, 0)]}
        other.execute(QUERIES["lock_flows"].encode(), flow)
        submitting = asyncio.create_task(add(store))
        await waits(url)
        other.execute("UPDATE messages SET base_rank = base_rank + 1000000, rank = rank + 1000000")
        last = other.execute("SELECT max(base_rank) FROM messages").fetchone()
    await submitting
    assert last is not None
    assert ask(url, "SELECT max(base_rank) FROM messages") > last[0]
