"""The writers of one file take turns: nobody waits for long, however busy another process is."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path

import apsw
import pytest

from app.models.attempts import Lease
from app.store.sqlite import connection as sqlite_connection
from app.store.sqlite.store import SqliteStore
from app.store.sqlite.write_turns import SUFFIX, WriteTurns
from tests.clock import ManualClock
from tests.contract.builders import LEASE_SECONDS, add, start, worker
from tests.servers import until
from tests.unit.sqlite_tools import connected, opened, python

BUSY_WRITER = """
import sys, time
from pathlib import Path
from app.store.sql.group_commit import Operation
from app.store.sqlite.connection import Writer

writer = Writer(Path(sys.argv[1]), durable=True)
writer.open()
writer.connection.execute("CREATE TABLE written (number)")

def write():
    writer.connection.execute("INSERT INTO written VALUES (1)")
    time.sleep(0.005)

print("ready", flush=True)
while True:
    writer.run([Operation(write, True, None)])
"""
"""Another process that writes without a pause, one transaction after the other."""

MOST_OVERTAKEN = 2
"""The transaction that is under way when a writer gets its turn, and one that has passed the turn just before."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


@pytest.fixture
async def store(path: Path, clock: ManualClock) -> AsyncIterator[SqliteStore]:
    async with opened(path, clock) as sqlite:
        yield sqlite


@pytest.fixture
def written(store: SqliteStore, path: Path) -> Iterator[apsw.Connection]:
    """A connection to count what the busy process has written."""
    with python(BUSY_WRITER, str(path)) as process, connected(path) as connection:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield connection


def count(written: apsw.Connection) -> int:
    return int(written.execute("SELECT count(*) FROM written").get)


@pytest.fixture
def overtaken(written: apsw.Connection, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many transactions the busy process has written between each turn and the begin of its transaction."""
    counts: list[int] = []
    turn = WriteTurns._turn

    @contextlib.contextmanager
    def counted(turns: WriteTurns) -> Iterator[None]:
        with turn(turns):
            before = count(written)
            yield
            counts.append(count(written) - before)

    monkeypatch.setattr(WriteTurns, "_turn", counted)
    return counts


async def test_a_heartbeat_waits_for_few_transactions_of_a_busy_process(
    store: SqliteStore, overtaken: list[int]
) -> None:
    with store.open_lease_renewer() as renewer:
        for _ in range(30):
            await asyncio.to_thread(renewer.beat, worker(), (), lease_seconds=LEASE_SECONDS)
    assert len(overtaken) == 30
    assert max(overtaken) <= MOST_OVERTAKEN, overtaken


async def test_a_write_that_has_waited_for_long_waits_for_few_transactions_more(
    path: Path, clock: ManualClock, overtaken: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_connection, "PATIENCE_MILLISECONDS", 1)
    async with opened(path, clock) as store:
        overtaken.clear()
        for _ in range(30):
            await add(store)
    assert max(overtaken) <= MOST_OVERTAKEN, overtaken


async def test_no_lease_is_lost_beside_a_busy_process(
    store: SqliteStore, written: apsw.Connection, clock: ManualClock
) -> None:
    """A heartbeat takes as long as the transactions that it waits for. A lease is 50; a third passes between beats."""
    transaction_seconds, lease_seconds = 0.04, 2.0
    leases: list[Lease] = [await start(store) for _ in range(4)]
    lost = 0
    with store.open_lease_renewer() as renewer:
        for _ in range(20):
            before = count(written)
            await asyncio.to_thread(renewer.beat, worker(leases[0].worker_id), leases, lease_seconds=lease_seconds)
            clock.advance(transaction_seconds * (count(written) - before) + lease_seconds / 3)
            lost += await store.rescue()
    assert lost == 0


async def test_a_heartbeat_goes_before_the_next_batch_of_its_process(store: SqliteStore, path: Path) -> None:
    ends: list[str] = []

    def beat_once() -> None:
        with store.open_lease_renewer() as renewer:
            renewer.beat(worker(), [], lease_seconds=LEASE_SECONDS)

    async def noted(name: str, work: Awaitable[object]) -> None:
        await work
        ends.append(name)

    with connected(path) as other:
        other.execute("BEGIN IMMEDIATE")
        beating = asyncio.create_task(noted("beat", asyncio.to_thread(beat_once)))
        await until(lambda: not is_free(path), "the heartbeat has its turn")
        adding = asyncio.create_task(noted("add", add(store)))
        await asyncio.sleep(0)
        other.execute("COMMIT")
        await asyncio.gather(beating, adding)
    assert ends == ["beat", "add"]


@contextlib.contextmanager
def turn_file(path: Path) -> Iterator[int]:
    file = os.open(path.with_name(path.name + SUFFIX), os.O_RDWR)
    try:
        yield file
    finally:
        os.close(file)


def is_free(path: Path) -> bool:
    with turn_file(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


async def test_a_stopped_process_that_has_the_turn_keeps_nobody_from_writing(store: SqliteStore, path: Path) -> None:
    with turn_file(path) as file, store.open_lease_renewer() as renewer:
        fcntl.flock(file, fcntl.LOCK_EX)
        lease = await start(store)
        beat = await asyncio.to_thread(renewer.beat, worker(lease.worker_id), [lease], lease_seconds=LEASE_SECONDS)
        assert beat.held == {lease.message_id: lease.fence}
        assert not is_free(path)


async def test_the_turn_is_given_back_after_each_transaction(store: SqliteStore, path: Path) -> None:
    with store.open_lease_renewer() as renewer:
        lease = await start(store)
        await asyncio.to_thread(renewer.beat, worker(lease.worker_id), [lease], lease_seconds=LEASE_SECONDS)
        assert is_free(path)
    assert is_free(path)
