"""Special features of the agents' memory on PostgreSQL. The rest is in tests/contract/test_savers.py."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint

from app.checkpoints.fence import Mark
from app.checkpoints.postgres import FencedPostgresSaver, open_saver
from app.checkpoints.postgres_lists import QUERIES
from app.checkpoints.postgres_pool import MAX_CONNECTIONS
from app.checkpoints.postgres_vacuum import PRUNED_ROWS, Vacuum
from app.errors import LeaseLost
from app.models.memory import MEMORY_FENCE_KEY
from tests.postgres_server import PostgresServer
from tests.servers import until

QUEUE = "this queue"
KEY = "default/thread/t"
WAITS_FOR_LOCK = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
LEFT_OPEN = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"


@pytest.fixture
async def saver(postgres: PostgresServer) -> AsyncIterator[FencedPostgresSaver]:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS agent_queue_memory CASCADE")
    async with open_saver(postgres.url, QUEUE) as opened:
        yield opened


@pytest.fixture
def connection(postgres: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    """Another process."""
    with psycopg.connect(postgres.url, autocommit=True, options="-c search_path=agent_queue_memory") as opened:
        yield opened


def config(fence: tuple[int, int], key: str = KEY) -> RunnableConfig:
    return {"configurable": {"thread_id": key, "checkpoint_ns": "", MEMORY_FENCE_KEY: fence}}


async def put(saver: FencedPostgresSaver, fence: tuple[int, int], key: str = KEY) -> str:
    checkpoint = empty_checkpoint()
    await saver.aput(config(fence, key), checkpoint, {}, {})
    return checkpoint["id"]


def count(connection: psycopg.Connection[Any], query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


async def until_waiting(connection: psycopg.Connection[Any], number: int) -> None:
    await until(lambda: count(connection, WAITS_FOR_LOCK) == number, f"{number} wait for a lock")


async def test_a_write_waits_for_a_taking_that_is_under_way_and_is_then_refused(
    saver: FencedPostgresSaver, postgres: PostgresServer, connection: psycopg.Connection[Any]
) -> None:
    await put(saver, (7, 1))
    with psycopg.connect(postgres.url, options="-c search_path=agent_queue_memory") as later:
        later.execute(QUERIES["take_fence"].encode(), Mark(KEY, QUEUE, 7, 2)._asdict())
        writing = asyncio.create_task(put(saver, (7, 1)))
        await until_waiting(connection, 1)
        assert not writing.done()
    with pytest.raises(LeaseLost):
        await writing


async def test_a_taking_waits_for_a_write_that_is_under_way_and_then_reads_it(
    saver: FencedPostgresSaver, postgres: PostgresServer, connection: psycopg.Connection[Any]
) -> None:
    await put(saver, (7, 1))
    checkpoint = empty_checkpoint()
    with psycopg.connect(postgres.url, options="-c search_path=agent_queue_memory") as other:
        other.execute(
            "INSERT INTO checkpoints (thread_id, checkpoint_id, checkpoint) VALUES (%s, %s, '{}')",
            (KEY, checkpoint["id"]),
        )
        writing = asyncio.create_task(saver.aput(config((7, 1)), checkpoint, {}, {}))
        await until_waiting(connection, 1)
        reading = asyncio.create_task(saver.aget_tuple(config((7, 2))))
        await until_waiting(connection, 2)
        assert not reading.done()
    await writing
    read = await reading
    assert read is not None
    assert read.checkpoint["v"] == checkpoint["v"]


async def test_cancelled_calls_give_their_connections_back(
    saver: FencedPostgresSaver, connection: psycopg.Connection[Any]
) -> None:
    """More calls than connections, so that they are cancelled while they wait, write, and give back."""
    await put(saver, (1, 1))

    async def use(key: str) -> None:
        await saver.aget_tuple(config((1, 1), key))
        await put(saver, (1, 1), key)

    for turns in range(0, 2000, 40):
        calls = [asyncio.create_task(use(f"default/message/{number}")) for number in range(30)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
            await asyncio.sleep(0)
        await asyncio.gather(*calls, return_exceptions=True)

    def all_are_back() -> bool:
        stats = saver.pool.get_stats()
        return 0 < stats["pool_available"] == stats["pool_size"] <= MAX_CONNECTIONS

    await until(all_are_back, "all connections are in the pool again")
    assert count(connection, LEFT_OPEN) == 0


async def test_its_tables_are_in_the_schema_of_the_queue(
    saver: FencedPostgresSaver, connection: psycopg.Connection[Any]
) -> None:
    await put(saver, (1, 1))
    rows = connection.execute(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    assert sorted(rows.fetchall()) == [
        ("agent_queue_memory", "checkpoint_blobs"),
        ("agent_queue_memory", "checkpoint_fences"),
        ("agent_queue_memory", "checkpoint_messages"),
        ("agent_queue_memory", "checkpoint_migrations"),
        ("agent_queue_memory", "checkpoint_numberings"),
        ("agent_queue_memory", "checkpoint_writes"),
        ("agent_queue_memory", "checkpoints"),
    ]
    invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
    assert count(connection, invalid) == 0


async def test_tables_that_another_process_makes_meanwhile_are_used(
    saver: FencedPostgresSaver, postgres: PostgresServer, connection: psycopg.Connection[Any]
) -> None:
    """A run that was cancelled has looked for the schema on the same connection; the server may remember the answer."""
    async with saver.pool.connection() as cancelled, cancelled.transaction(force_rollback=True):
        for looking in ("lock_setup", "schema_is_missing"):
            await cancelled.execute(QUERIES[looking].encode())
    with psycopg.connect(postgres.url) as first:
        first.execute(QUERIES["lock_setup"].encode())
        setting_up = asyncio.create_task(saver.setup())
        await until_waiting(connection, 1)
        first.execute(QUERIES["create_schema"].encode())
    await setting_up
    await put(saver, (1, 1))


async def test_forgetting_leaves_no_row(saver: FencedPostgresSaver, connection: psycopg.Connection[Any]) -> None:
    saved = await put(saver, (1, 1))
    with_id = config((1, 1))
    with_id["configurable"]["checkpoint_id"] = saved
    await saver.aput_writes(with_id, [("answer", ["yes"])], "task")
    await saver.forget([KEY])
    for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes", "checkpoint_fences"):
        assert count(connection, f"SELECT count(*) FROM {table}") == 0


VACUUMED = "SELECT sum(vacuum_count) FROM pg_stat_user_tables WHERE relname = 'checkpoints'"
DEAD = "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'checkpoints'"


async def test_a_small_table_with_many_dead_rows_is_vacuumed(
    saver: FencedPostgresSaver, connection: psycopg.Connection[Any]
) -> None:
    await put(saver, (1, 1))
    connection.execute("ALTER TABLE checkpoints SET (autovacuum_enabled = off)")
    numbers = "SELECT n, n, '{}' FROM generate_series(1, 3000) AS n"
    connection.execute(f"INSERT INTO checkpoints (thread_id, checkpoint_id, checkpoint) {numbers}".encode())
    connection.execute("DELETE FROM checkpoints WHERE thread_id = checkpoint_id")
    await until(lambda: count(connection, DEAD) >= 3000, "the dead rows are counted")
    vacuum = Vacuum(saver._connection)
    vacuum.note_pruned(PRUNED_ROWS - 1)
    vacuum.note_pruned(1)
    await until(lambda: count(connection, VACUUMED) == 1, "a vacuum")
    await vacuum.close()
    assert await saver.aget_tuple(config((1, 1))) is not None


async def test_a_vacuum_that_cannot_be_done_fails_nothing(
    saver: FencedPostgresSaver, connection: psycopg.Connection[Any]
) -> None:
    await put(saver, (1, 1))
    await saver.pool.close()
    vacuum = Vacuum(saver._connection)
    vacuum.note_pruned(PRUNED_ROWS)
    await vacuum.close()
    vacuum.note_pruned(PRUNED_ROWS)
    await asyncio.sleep(0)
    await vacuum.close()
