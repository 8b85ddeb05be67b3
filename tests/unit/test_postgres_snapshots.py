"""Snapshots of reads on PostgreSQL: they begin with the first read, and nobody waits for their ends."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from app.errors import StoreError
from app.store.postgres.runners import Reading
from app.store.postgres.store import PostgresStore
from app.store.postgres.watchdog import WatchedSocket
from tests.contract.builders import TENANT, add
from tests.postgres_server import database_of
from tests.servers import DEADLINE_SECONDS, until
from tests.unit.postgres_tools import ask, connected, opened, tell

STATES = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
)
READERS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%messages%'"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return database_of(tmp_path)


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    async with opened(url) as store:
        yield store


def counted(store: PostgresStore) -> int:
    """Return how many messages the present snapshot has."""
    return int(store._reads.value("count_queued"))  # private: reads are made of queries


async def test_the_reads_of_a_batch_see_one_snapshot(store: PostgresStore, url: str) -> None:
    await add(store)

    def twice() -> tuple[int, int]:
        before = counted(store)
        tell(url, "UPDATE tallies SET messages = messages + 5")
        return before, counted(store)

    assert await store._read_thread.run(twice) == (1, 1)
    assert await store._read_thread.run(lambda: counted(store)) == 6


async def test_no_snapshot_outlives_its_batch(store: PostgresStore, url: str) -> None:
    await add(store)
    assert await store._read_thread.run(lambda: counted(store)) == 1
    await until(lambda: ask(url, STATES) == 0, "the transaction has ended")


async def test_reads_that_fail_leave_no_snapshot(store: PostgresStore, url: str) -> None:
    message = await add(store)

    def broken() -> None:
        store._reads.value("get_message", id=1, tenant=2)

    for _ in range(2):
        with pytest.raises(StoreError):
            await store._read_thread.run(broken)
        assert (await store.get(TENANT, message.id)).id == message.id
    await until(lambda: ask(url, STATES) == 0, "the transaction has ended")


async def test_reads_that_are_repeated_alone_have_snapshots_of_their_own(store: PostgresStore, url: str) -> None:
    def later() -> int:
        tell(url, "UPDATE tallies SET messages = messages + 5")
        return counted(store)

    await add(store)
    reads = (lambda: counted(store), later, lambda: store._reads.value("get_message", id=1, tenant=2))
    first, second, broken = await asyncio.gather(*map(store._read_thread.run, reads), return_exceptions=True)
    assert isinstance(broken, StoreError)
    assert isinstance(first, int)
    assert second == first + 5


async def test_a_connection_that_is_lost_before_its_snapshot_is_made_anew(store: PostgresStore, url: str) -> None:
    message = await add(store)
    await store.get(TENANT, message.id)
    with connected(url) as other:
        other.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM ({READERS} AND pid <> pg_backend_pid()) AS readers")
    assert (await store.get(TENANT, message.id)).id == message.id


async def test_a_read_waits_for_one_answer_of_the_server(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    exchanges = 0
    original = WatchedSocket.exchange

    def exchange(socket: WatchedSocket) -> AbstractContextManager[None]:
        nonlocal exchanges
        exchanges += socket is store._reads.session._watched  # others talk to the server meanwhile
        return original(socket)

    is_read, is_told = threading.Event(), threading.Event()

    def read() -> tuple[int, int]:
        before = exchanges
        is_read.set()
        return counted(store), exchanges - before

    end = Reading.end

    def end_when_told(reading: Reading) -> None:
        assert not is_read.is_set() or is_told.wait(DEADLINE_SECONDS)
        end(reading)

    monkeypatch.setattr(Reading, "end", end_when_told)
    monkeypatch.setattr(WatchedSocket, "exchange", exchange)
    try:
        assert await store._read_thread.run(read) == (0, 1)
    finally:
        is_told.set()
