"""What only the SQLite store has: one file, its migrations, its locks, its limits, and processes that die."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from app.errors import LeaseLost, MessageNotFound, QueueFull, StoreError, StoreIncompatible, StoreUnavailable
from app.models import Completed, MessageState
from app.store.base import MOVED, READY, message_topic
from app.store.named_sql import load_migrations
from app.store.sqlite import connection as sqlite_connection
from app.store.sqlite import operations
from app.store.sqlite.store import SqliteStore
from tests.clock import ManualClock
from tests.contract.builders import (
    ALL,
    DONE,
    LEASE_SECONDS,
    TENANT,
    add,
    beat,
    chunk,
    claim,
    claim_one,
    claimed_ids,
    event_types,
    log,
    new,
    seen,
    start,
)
from tests.servers import ROOT, until

SOON = 1.0
"""Much less than what a poll of the worker and of the streams may take together."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "queue.db"


@asynccontextmanager
async def opened(path: Path | None, clock: ManualClock | None = None) -> AsyncIterator[SqliteStore]:
    """An open store on this file, closed on leaving."""
    store = SqliteStore(path, clock=clock)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(path: Path, clock: ManualClock) -> AsyncIterator[SqliteStore]:
    async with opened(path, clock) as sqlite:
        yield sqlite


@contextmanager
def connected(path: Path) -> Iterator[apsw.Connection]:
    """Another connection, by the library that the store uses; as good as another process."""
    connection = apsw.Connection(str(path))
    try:
        yield connection
    finally:
        connection.close()


def ask(path: Path, query: str) -> Any:
    """What another connection gets."""
    with connected(path) as connection:
        return connection.execute(query).get


def put(path: Path, content: bytes) -> None:
    """Make a file and its folder."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def folder_of(path: Path) -> dict[str, bytes]:
    """All that lies beside the file, by name."""
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


def modes_of(path: Path) -> dict[str, int]:
    """Who may do what with the file, what lies beside it, and the folder."""
    return {file.name: file.stat().st_mode & 0o777 for file in (path.parent, *path.parent.iterdir())}


async def in_writer(store: SqliteStore, statement: str) -> Any:
    """Run a statement on the writing connection."""
    return await store._write_lane.run(lambda: store._writer.connection.execute(statement).get)


async def refused(path: Path, error: type[StoreError]) -> str:
    """Open a store that must not open; the error's text."""
    with pytest.raises(error) as raised:
        async with opened(path):
            pass
    return str(raised.value)


# Migrations


async def test_a_new_file_has_the_newest_schema(store: SqliteStore, path: Path) -> None:
    assert ask(path, "PRAGMA user_version") == len(load_migrations("sqlite"))
    assert ask(path, "PRAGMA application_id") == sqlite_connection.APPLICATION_ID
    assert ask(path, "PRAGMA journal_mode") == "wal"
    assert ask(path, "PRAGMA integrity_check") == "ok"


async def test_a_file_that_is_opened_again_keeps_everything(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock) as store:
        done = await start(store, thread="t")
        await store.append(done, [chunk(0)])
        await store.finish(done, DONE)
        running = await start(store, thread="t")
        await add(store, thread="t")
        before = await seen(store, done.message_id), await seen(store, running.message_id)
        threads = await store.get_thread(TENANT, "t")
    schema = ask(path, "SELECT group_concat(sql, ';') FROM sqlite_schema")
    async with opened(path, clock) as store:
        assert (await seen(store, done.message_id), await seen(store, running.message_id)) == before
        assert await store.get_thread(TENANT, "t") == threads
        await store.append(running, [chunk(0)])
        await store.finish(running, DONE)
    assert ask(path, "SELECT group_concat(sql, ';') FROM sqlite_schema") == schema


async def test_a_queue_keeps_its_name_and_one_made_anew_gets_another(path: Path) -> None:
    names = []
    for _ in range(3):
        async with opened(path) as store:
            names.append(await store.queue_id())
        if len(names) == 2:
            path.unlink()
    assert names[0] == names[1] != names[2]


async def test_an_empty_file_is_a_new_one(path: Path) -> None:
    put(path, b"")
    async with opened(path) as store:
        await add(store)


OPEN_TOGETHER = """
import asyncio, os, sys
from pathlib import Path
from app.store.sqlite.store import SqliteStore
from tests.contract.builders import add

async def open_and_add(path: str) -> None:
    store = SqliteStore(Path(path))
    await store.open()
    await add(store, thread="t")
    await store.close()

def in_child(path: str) -> int:
    if child := os.fork():
        return child
    try:
        asyncio.run(open_and_add(path))
        os._exit(0)
    except BaseException as error:
        os.write(2, repr(error).encode())
        os._exit(1)

for path in sys.argv[1:]:
    children = [in_child(path) for _ in range(4)]
    print([os.waitpid(child, 0)[1] for child in children], flush=True)
"""


@contextmanager
def python(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that runs this script, with pipes to and from it; killed on leaving."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_processes_that_open_a_new_file_together_make_it_once(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.db" for number in range(8)]
    with python(OPEN_TOGETHER, *map(str, paths)) as process:
        told, _ = process.communicate(timeout=60)
    assert told.splitlines() == ["[0, 0, 0, 0]"] * len(paths)
    for path in paths:
        assert ask(path, "SELECT group_concat(thread_number) FROM messages ORDER BY number") == "1,2,3,4"


async def test_the_file_of_a_newer_program_is_refused_and_left_alone(path: Path) -> None:
    async with opened(path):
        pass
    newer = len(load_migrations("sqlite")) + 1
    ask(path, f"PRAGMA user_version = {newer}")
    before = folder_of(path)
    assert f"version {newer}" in await refused(path, StoreIncompatible)
    assert folder_of(path) == before


@pytest.mark.parametrize("journal", ["delete", "wal"])
async def test_the_database_of_another_program_is_refused_and_left_alone(path: Path, journal: str) -> None:
    put(path, b"")
    ask(path, f"PRAGMA journal_mode = {journal}")
    ask(path, "CREATE TABLE bookmarks (url); INSERT INTO bookmarks VALUES ('https://example.org')")
    before = folder_of(path)
    assert "another program" in await refused(path, StoreIncompatible)
    assert folder_of(path) == before


@pytest.mark.parametrize("content", [b"Dear diary, " * 1000, b"SQLite format 3\x00" + b"\xff" * 8176])
async def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    put(path, content)
    await refused(path, StoreIncompatible)
    assert folder_of(path) == {path.name: content}


async def test_a_damaged_schema_is_refused(path: Path) -> None:
    async with opened(path) as store:
        await add(store)
    content = folder_of(path)[path.name]
    put(path, content[:100] + b"\xff" * 1900 + content[2000:])
    await refused(path, StoreIncompatible)


async def test_a_path_that_cannot_be_a_file_is_told(tmp_path: Path) -> None:
    await refused(tmp_path, StoreUnavailable)
    put(tmp_path / "file", b"")
    await refused(tmp_path / "file" / "queue.db", StoreUnavailable)


async def test_a_store_that_could_not_open_can_be_opened_later(path: Path) -> None:
    put(path.parent, b"")
    await refused(path, StoreUnavailable)
    path.parent.unlink()
    async with opened(path) as store:
        await add(store)


async def test_the_files_are_for_their_owner_only(path: Path) -> None:
    mask = os.umask(0)
    try:
        async with opened(path) as store:
            await add(store)
            modes = modes_of(path)
    finally:
        os.umask(mask)
    assert modes == {"folder": 0o700, "queue.db": 0o600, "queue.db-wal": 0o600, "queue.db-shm": 0o600}


# Group commit


@pytest.fixture
async def commits(store: SqliteStore) -> list[str]:
    """One entry for each commit of the writer from here on: how far it waits for the disk."""
    levels: list[str] = []
    before_commit = store._writer.before_commit

    def count() -> None:
        before_commit()
        levels.append({1: "NORMAL", 2: "FULL"}.get(store._writer.connection.execute("PRAGMA synchronous").get, "OFF"))

    store._writer.before_commit = count  # type: ignore[method-assign]
    return levels


async def test_concurrent_calls_share_their_commits(store: SqliteStore, commits: list[str]) -> None:
    messages = await asyncio.gather(*(add(store) for _ in range(64)))
    assert 1 <= len(commits) <= 4
    leases = [each.lease for each in await claim(store, 64)]
    commits.clear()
    await asyncio.gather(*(store.append(lease, [chunk(0)]) for lease in leases))
    await asyncio.gather(*(store.finish(lease, DONE) for lease in leases))
    assert 2 <= len(commits) <= 8
    assert len({message.id for message in messages}) == 64


async def test_calls_that_come_while_a_commit_is_under_way_share_the_next_one(
    store: SqliteStore, commits: list[str]
) -> None:
    """Calls of different turns of the event loop too: there is no timer that gathers them."""
    let_go = threading.Event()
    busy = store._write_lane.run(let_go.wait)
    adding = []
    for _ in range(20):
        adding.append(asyncio.create_task(add(store)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    let_go.set()
    await asyncio.gather(busy, *adding)
    assert len(commits) <= 3


async def test_state_changes_wait_for_the_disk_and_tokens_do_not(store: SqliteStore, commits: list[str]) -> None:
    await add(store)
    lease = await claim_one(store)
    assert commits == ["FULL", "FULL"]
    await store.append(lease, [chunk(0)])
    assert commits[2:] == ["NORMAL"]
    await asyncio.gather(store.append(lease, [chunk(1)]), add(store), store.append(lease, [chunk(2)]))
    assert set(commits[3:]) == {"FULL"}
    await store.finish(lease, DONE)
    cancelled = await add(store)
    await store.cancel(TENANT, cancelled.id)
    assert set(commits[3:]) == {"FULL"}


async def test_an_operation_that_fails_harms_no_other_of_its_batch(store: SqliteStore, commits: list[str]) -> None:
    known = new("first", thread="t")
    results = await asyncio.gather(
        store.add(known, max_queued=ALL),
        store.add(known.model_copy(update={"content": "the same id again"}), max_queued=ALL),
        store.add(new("\ud800", thread="t"), max_queued=ALL),
        store.cancel(TENANT, "unknown"),
        store.add(new("second", thread="t"), max_queued=ALL),
        store.add(new(thread="refused"), max_queued=1),
        return_exceptions=True,
    )
    assert len(commits) == 1
    kinds = [type(result) for result in results]
    assert kinds[1:4] == [StoreError, UnicodeEncodeError, MessageNotFound]
    assert kinds[5] is QueueFull
    stored = await store.list_thread_messages(TENANT, "t", after=0, limit=ALL)
    assert [(message.content, message.thread_number) for message in stored] == [("first", 1), ("second", 2)]
    assert (await store.get_thread(TENANT, "t")).states[MessageState.QUEUED] == 2


async def test_a_read_that_fails_harms_no_other(store: SqliteStore) -> None:
    message = await add(store)
    async with asyncio.timeout(5):
        results = await asyncio.gather(
            store.get(TENANT, message.id),
            store.get(TENANT, "\ud800"),
            store.read(message.id, after=2**70, limit=1),
            store.get(TENANT, message.id),
            return_exceptions=True,
        )
        assert [isinstance(result, Exception) for result in results] == [False, True, True, False]
        assert await store.get(TENANT, message.id) == message


# Full, locked


async def fill(store: SqliteStore) -> list[str]:
    """Add until there is no room for more; the ids that were accepted."""
    accepted: list[str] = []

    async def add_another() -> None:
        accepted.append((await add(store, "x" * 3_000, thread="t")).id)

    async def add_for_ever() -> None:
        while len(accepted) < 1_000:
            await add_another()

    with pytest.raises(StoreUnavailable, match="full"):
        await add_for_ever()
    return accepted


async def test_a_full_disk_refuses_what_it_cannot_keep_and_tears_nothing(store: SqliteStore, path: Path) -> None:
    lease = await start(store, thread="running")
    pages = await in_writer(store, "PRAGMA page_count")
    await in_writer(store, f"PRAGMA max_page_count = {pages + 30}")
    accepted = await fill(store)
    before = await seen(store, lease.message_id)
    with pytest.raises(StoreUnavailable):
        await store.finish(lease, Completed("y" * 100_000))
    with pytest.raises(StoreUnavailable):
        await store.append(lease, [chunk(0, "y" * 100_000)])
    assert await seen(store, lease.message_id) == before
    assert [m.id for m in await store.list_thread_messages(TENANT, "t", after=0, limit=ALL)] == accepted
    summary = await store.summary(TENANT, limit=ALL)
    assert [message.id for message in summary.queued] == accepted
    assert summary.totals[MessageState.QUEUED] == len(accepted)
    assert ask(path, "PRAGMA integrity_check") == "ok"


async def test_a_full_disk_is_no_trouble_once_there_is_room_again(store: SqliteStore) -> None:
    lease = await start(store)
    pages = await in_writer(store, "PRAGMA page_count")
    await in_writer(store, f"PRAGMA max_page_count = {pages + 30}")
    accepted = await fill(store)
    await in_writer(store, f"PRAGMA max_page_count = {pages + 10_000}")
    later = await add(store, "x" * 100_000, thread="t")
    assert later.thread_number == len(accepted) + 1
    await store.append(lease, [chunk(0, "y" * 100_000)])
    await store.finish(lease, DONE)
    assert await event_types(store, lease.message_id) == ["processing", "chunk", "done"]
    assert await claimed_ids(store) == accepted[:1]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores made in this test wait for a lock for a moment only."""
    monkeypatch.setattr(sqlite_connection, "BUSY_TIMEOUT_MILLISECONDS", 50)


async def test_a_locked_database_refuses_writes_and_serves_reads(
    impatient: None, path: Path, clock: ManualClock
) -> None:
    async with opened(path, clock) as store:
        lease = await start(store)
        before = await seen(store, lease.message_id)
        with connected(path) as other:
            other.execute("BEGIN IMMEDIATE")
            for refused_call in (add(store), store.append(lease, [chunk(0)]), store.finish(lease, DONE), store.ping()):
                with pytest.raises(StoreUnavailable, match="locked"):
                    await refused_call
            with pytest.raises(StoreUnavailable, match="locked"):
                await beat(store)
            assert await seen(store, lease.message_id) == before
            other.execute("ROLLBACK")
        await store.ping()
        assert await beat(store) == {lease.message_id: lease.fence}
        await store.finish(lease, DONE)
        assert (await add(store)).queue_position == 0


async def test_a_lock_that_is_let_go_in_time_costs_only_time(store: SqliteStore, path: Path) -> None:
    with connected(path) as other:
        other.execute("BEGIN IMMEDIATE")
        adding = asyncio.gather(*(add(store) for _ in range(10)))
        await asyncio.wait([adding], timeout=0.05)
        assert not adding.done()
        other.execute("ROLLBACK")
        assert len(await adding) == 10


# Several stores on one file


@pytest.fixture
async def neighbour(store: SqliteStore, path: Path, clock: ManualClock) -> AsyncIterator[SqliteStore]:
    """A second store on the same file, whose ear for hints is open."""
    async with opened(path, clock) as other:
        with other.subscribe(READY, MOVED) as hints:

            async def heard() -> bool:
                await store.cancel(TENANT, (await add(store)).id)
                return await hints.wait(0.1)

            await until(heard, "the second store hears the first")
            while await hints.wait(0.1):
                pass
        yield other


async def test_hints_reach_the_other_processes_of_a_file(store: SqliteStore, neighbour: SqliteStore) -> None:
    with neighbour.subscribe(READY) as ready, neighbour.subscribe(MOVED) as moved:
        message = await add(store)
        assert await ready.wait(SOON)
        with neighbour.subscribe(message_topic(message.id)) as reader, neighbour.subscribe("message:other") as stranger:
            lease = await claim_one(store)
            assert await moved.wait(SOON)
            assert await reader.wait(SOON)
            await store.append(lease, [chunk(0)])
            assert await reader.wait(SOON)
            assert len(await log(neighbour, message.id)) == 2
            await store.finish(lease, DONE)
            assert await reader.wait(SOON)
            assert not await stranger.wait(0)


async def test_a_store_does_not_hear_its_own_hints_twice(store: SqliteStore, neighbour: SqliteStore) -> None:
    lease = await start(store)
    with store.subscribe(message_topic(lease.message_id)) as own, neighbour.subscribe(READY) as other:
        await store.append(lease, [chunk(0)])
        assert await own.wait(SOON)
        await add(store)
        assert await other.wait(SOON)  # by now the first hint has come back, had it been going to
        assert not await own.wait(0.1)


async def test_two_stores_share_the_work_of_one_file(store: SqliteStore, neighbour: SqliteStore) -> None:
    stores = (store, neighbour)
    added = await asyncio.gather(*(add(stores[i % 2], thread="t" if i % 3 else None) for i in range(60)))
    assert sorted(m.thread_number for m in added if m.thread_id) == list(range(1, 41))
    claims = await asyncio.gather(*(claim(stores[i % 2], 2, worker=f"worker {i}") for i in range(20)))
    taken = Counter(each.lease.message_id for batch in claims for each in batch)
    assert set(taken.values()) == {1}
    assert len(taken) == 21


async def test_a_lease_of_one_store_is_fenced_in_the_other(
    store: SqliteStore, neighbour: SqliteStore, clock: ManualClock
) -> None:
    old = await start(store)
    clock.advance(LEASE_SECONDS)
    assert sum(await asyncio.gather(store.rescue(), neighbour.rescue())) == 1
    lease = await claim_one(neighbour, worker="worker 2")
    with pytest.raises(LeaseLost):
        await store.append(old, [chunk(0)])
    await neighbour.finish(lease, DONE)
    assert await event_types(store, old.message_id) == ["processing", "retry", "processing", "done"]


async def test_old_hints_are_dropped(store: SqliteStore, path: Path) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 19999)"
    await in_writer(store, f"{numbers} INSERT INTO hints (process, topics) SELECT 'gone', '[]' FROM n")
    for _ in range(1_000):
        await add(store)
        if ask(path, "SELECT count(*) FROM hints") < 10_000:
            return
    pytest.fail("the hints only grow")


# The end of a process


async def test_a_memory_store_leaves_no_files_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with opened(None) as store:
        assert (await asyncio.to_thread(lambda: [*tmp_path.rglob("*.db")])) != []
        await start(store, thread="t")
        await beat(store)
    assert folder_of(tmp_path / "any") == {}


ADD_AND_TELL = """
import asyncio, os, sys
from pathlib import Path
from app.store.sqlite.store import SqliteStore
from tests.contract.builders import DONE, add, claim

async def add_for_ever(store: SqliteStore, thread: str | None) -> None:
    while True:
        message = await add(store, thread=thread)
        os.write(1, f"added {message.id}\\n".encode())

async def run_for_ever(store: SqliteStore) -> None:
    while True:
        for claimed in await claim(store, 3):
            await store.finish(claimed.lease, DONE)
            os.write(1, f"finished {claimed.message.id}\\n".encode())

async def main() -> None:
    store = SqliteStore(Path(sys.argv[1]))
    await store.open()
    await asyncio.gather(*(add_for_ever(store, thread) for thread in ("a", "b", None) * 3), run_for_ever(store))

asyncio.run(main())
"""


async def test_what_was_told_outlives_a_kill(path: Path) -> None:
    told: list[tuple[str, str]] = []
    for _ in range(2):
        with python(ADD_AND_TELL, str(path)) as process:
            assert process.stdout is not None
            told += [_words(process.stdout.readline()) for _ in range(200)]
            process.send_signal(signal.SIGKILL)
            told += [_words(line) for line in process.stdout if line.endswith("\n")]
    async with opened(path) as store:
        for verb, message_id in told:
            message = await store.get(TENANT, message_id)
            assert verb == "added" or message.state is MessageState.COMPLETED
            events = await log(store, message_id)
            assert [event.id for event in events] == list(range(1, len(events) + 1))
            assert (len(events) == 2) == (message.state is MessageState.COMPLETED)
        assert {verb for verb, _ in told} == {"added", "finished"}
        for thread in "ab":
            messages = await store.list_thread_messages(TENANT, thread, after=0, limit=ALL)
            assert [message.thread_number for message in messages] == list(range(1, len(messages) + 1))
    assert ask(path, "PRAGMA integrity_check") == "ok"


def _words(line: str) -> tuple[str, str]:
    verb, _, message_id = line.strip().partition(" ")
    return verb, message_id


# What stays behind


async def test_a_deleted_message_leaves_no_rows_behind(store: SqliteStore, path: Path, clock: ManualClock) -> None:
    lease = await start(store, thread="t")
    await store.append(lease, [chunk(0)])
    await store.finish(lease, DONE)
    clock.advance(10)
    assert (await store.prune_messages(older_than_seconds=1, limit=ALL))[0] == 1
    for table in ("messages", "events", "threads"):
        assert ask(path, f"SELECT count(*) FROM {table}") == 0


# Long queues


async def test_positions_are_exact_from_either_end_and_estimated_between(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "EXACT_POSITION_LIMIT", 20)
    monkeypatch.setattr(operations, "NEAR_END", 5)
    messages = await asyncio.gather(*(add(store) for _ in range(100)))
    read = await asyncio.gather(*(store.get(TENANT, message.id) for message in messages))
    positions = [message.queue_position for message in read]
    assert positions[:21] == list(range(21))
    assert positions[79:] == list(range(79, 100))
    assert all(position is not None and 20 < position < 80 for position in positions[21:79])


def test_the_library_of_the_store_is_free_of_the_race_in_the_write_ahead_log() -> None:
    """Fixed in 3.51.3; Python's own SQLite must never open the file, and is older in some distributions."""
    assert tuple(map(int, apsw.sqlite_lib_version().split("."))) >= (3, 51, 3)
    assert sqlite3.sqlite_version != apsw.sqlite_lib_version() or sqlite3.sqlite_version_info >= (3, 51, 3)
