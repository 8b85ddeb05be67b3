"""Files of the SQLite store: how they are made, which are refused, and what is in them after a process is killed."""

import asyncio
import os
import signal
import sqlite3
import tempfile
from pathlib import Path

import apsw
import pytest

from app.errors import StoreIncompatible, StoreUnavailable
from app.models.messages import MessageState
from app.store.schema_version import SCHEMA_VERSION
from app.store.sqlite import connection as sqlite_connection
from app.store.sqlite.store import SqliteStore
from tests.clock import ManualClock
from tests.contract.builders import ALL, DONE, TENANT, add, beat, chunk, log, seen, start
from tests.unit.sqlite_tools import ask, connected, folder_of, modes_of, opened, put, python, refused


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "queue.db"


LOCKABLE = """
import fcntl, sys
SHARED_FIRST, SHARED_SIZE = 0x40000002, 510  # where a connection to an SQLite file holds a lock as long as it is open
with open(sys.argv[1], "r+b") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, SHARED_SIZE, SHARED_FIRST)
        print("free")
    except BlockingIOError:
        print("locked")
"""


def lock_of_others(path: Path) -> str:
    """Whether another process could lock the file for itself alone."""
    with python(LOCKABLE, str(path)) as process:
        return process.communicate(timeout=30)[0].strip()


async def test_another_process_sees_that_the_file_is_open(path: Path) -> None:
    """A process that takes a file for its own alone may delete the WAL, with what it holds."""
    async with opened(path) as store:
        with store.open_lease_renewer():
            assert await asyncio.to_thread(lock_of_others, path) == "locked"
    assert lock_of_others(path) == "free"


# Migrations


async def test_a_new_file_has_the_newest_schema(path: Path) -> None:
    async with opened(path):
        pass
    assert ask(path, "PRAGMA user_version") == SCHEMA_VERSION
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
            await asyncio.to_thread(path.unlink)
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


def test_processes_that_open_a_new_file_together_make_it_once(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.db" for number in range(8)]
    with python(OPEN_TOGETHER, *map(str, paths)) as process:
        told, _ = process.communicate(timeout=60)
    assert told.splitlines() == ["[0, 0, 0, 0]"] * len(paths)
    for path in paths:
        assert ask(path, "SELECT group_concat(thread_number) FROM messages ORDER BY number") == "1,2,3,4"


@pytest.mark.parametrize("lock", ["BEGIN; SELECT count(*) FROM sqlite_schema", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
async def test_a_new_file_that_another_process_has_locked_is_waited_for(path: Path, lock: str) -> None:
    """SQLite itself does not always wait for the lock that turns a new file to a write-ahead log."""
    put(path, b"")
    store = SqliteStore(path)
    with connected(path) as other:
        other.execute(lock)
        opening = asyncio.create_task(store.open())
        await asyncio.wait([opening], timeout=0.1)
        waited = not opening.done()
        other.execute("ROLLBACK")
        await opening
        await store.close()
    assert waited


async def test_the_file_of_a_newer_program_is_refused_and_left_alone(path: Path) -> None:
    async with opened(path):
        pass
    newer = SCHEMA_VERSION + 1
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
    files = ("queue.db", "queue.db-wal", "queue.db-shm", "queue.db-turn")
    assert modes == {"folder": 0o700, **dict.fromkeys(files, 0o600)}


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


def test_the_library_of_the_store_is_free_of_the_race_in_the_write_ahead_log() -> None:
    """Fixed in 3.51.3; Python's own SQLite must never open the file, and is older in some distributions."""
    assert tuple(map(int, apsw.sqlite_lib_version().split("."))) >= (3, 51, 3)
    assert sqlite3.sqlite_version != apsw.sqlite_lib_version() or sqlite3.sqlite_version_info >= (3, 51, 3)


async def test_a_store_without_a_file_leaves_none_behind() -> None:
    store = SqliteStore(None)
    await store.open()
    folder = store._path.parent
    assert folder.exists()
    await store.close()
    assert not folder.exists()
