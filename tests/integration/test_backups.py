"""Backups: made while servers run, checked, and put back whole or not at all."""

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import apsw
import httpx2
import pytest
import redis

from app.errors import StoreIncompatible
from app.store.copies import Progress
from app.store.redis import copies as redis_copies
from app.store.redis.copies import RedisCopier
from app.store.schema_version import SCHEMA_VERSION
from app.store.sqlite import copies as sqlite_copies
from app.store.sqlite.copies import SqliteCopier
from tests import postgres_server
from tests.contract.builders import TENANT, add
from tests.graph_control import FOLDER_VARIABLE
from tests.integration.backups import (
    AGENTS,
    agentq,
    backup,
    contents,
    put,
    queue,
    refusal,
    submit,
    succeeds,
    with_programs_of_postgres,
)
from tests.integration.test_keys import database_on
from tests.servers import DEADLINE_SECONDS, ServerProcess, finished_process, server_process
from tests.unit import postgres_tools
from tests.valkey_server import ValkeyServer

__all__ = ["backup", "queue", "with_programs_of_postgres"]


@pytest.mark.parametrize("engine", ["sqlite", "postgres", "valkey"])
def test_a_database_without_a_queue_is_not_said_to_be_compact(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistyped DATABASE_URL would pass for a proof that nothing is left."""
    monkeypatch.setenv("DATABASE_URL", database_on(engine, request, tmp_path))
    assert refusal("compact") == "database_missing"
    if engine == "sqlite":
        monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/no-such-folder/queue.db")
        assert refusal("compact") == "database_missing"
        assert list(tmp_path.iterdir()) == []
    monkeypatch.delenv("DATABASE_URL")
    assert refusal("compact") == "database_missing"


# Every engine


async def seen(server: ServerProcess) -> Any:
    """All that clients see of a queue with the thread `t`."""
    async with httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_SECONDS) as client:
        replies = [await client.get(path) for path in ("/messages", "/threads/t/messages", "/threads/t/state", "/keys")]
        log = await client.get(f"/messages/{replies[0].json()['messages'][-1]['message_id']}/events")
        return [reply.json() for reply in (*replies, log)]


async def test_a_backup_has_the_queue_and_the_memory_of_a_running_server(
    database: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in database.items():
        monkeypatch.setenv(name, value)
    assert refusal("backup", "early") in ("backup_failed", "store_unavailable")
    environment = {**database, "AGENTS": AGENTS, FOLDER_VARIABLE: str(tmp_path)}
    with server_process(tmp_path, **environment) as server:
        await server.ready()
        await submit(server, "one", thread_id="t")
        before = await seen(server)
        made = await asyncio.to_thread(succeeds, "backup", "kept")
        await submit(server, "two", thread_id="t")
        assert refusal("restore", "kept", "--force") == "target_in_use"
        await asyncio.to_thread(succeeds, "export", "lines")
        assert await asyncio.to_thread(refusal, "import", "lines") == "target_in_use"
        assert await seen(server) != before
    assert made["bytes"] > 0
    assert made["parts"][-1]["schema_version"] == SCHEMA_VERSION
    assert refusal("restore", "kept") == "target_not_empty"
    for _ in range(2):
        assert succeeds("restore", "kept", "--force")["created_at"] == made["created_at"]
    with server_process(tmp_path, **environment) as server:
        await server.ready()
        assert await seen(server) == before
        await submit(server, "three", thread_id="t")


# The file of a backup, on SQLite


def test_a_backup_that_is_cut_anywhere_changes_nothing(backup: Path, queue: Path, tmp_path: Path) -> None:
    put(queue, "present")
    whole, before = backup.read_bytes(), queue.read_bytes()
    for length in (0, 1, 511, 512, 513, 1024, *range(2000, len(whole), 9001), len(whole) - 10240, len(whole) - 1):
        (tmp_path / "cut").write_bytes(whole[:length])
        assert refusal("restore", tmp_path / "cut", "--force") == "backup_damaged", length
    assert queue.read_bytes() == before
    assert contents(queue) == ["present"]


def test_a_backup_with_other_bytes_is_refused(backup: Path, queue: Path) -> None:
    whole = backup.read_bytes()
    for place in (512 + 5, len(whole) // 2, whole.rindex(b"  queue.sqlite") - 3):
        backup.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert refusal("restore", backup) == "backup_damaged"
    assert not queue.exists()


def repacked(backup: Path, change: Any) -> None:
    """Change the description of a backup as a newer version would write it."""
    with tarfile.open(backup) as archive:
        members = {
            member.name: archive.extractfile(member).read()  # type: ignore[union-attr]  # all are files
            for member in archive
        }
    description = json.loads(members["agentq-backup.json"])
    change(description)
    members["agentq-backup.json"] = json.dumps(description).encode()
    with tarfile.open(backup, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, BytesIO(content))


def test_what_belongs_elsewhere_is_refused(backup: Path, queue: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.tar"
    with tarfile.open(other, "w") as archive:
        archive.add(backup, "agentq-backup.json.old")
    assert refusal("restore", other) == "backup_damaged"
    assert refusal("restore", tmp_path) == "file_unusable"
    missing = agentq("restore", tmp_path / "missing")
    assert (missing.code, missing.problem["code"]) == (3, "file_unusable")

    whole = backup.read_bytes()
    repacked(backup, lambda description: description.update(version=2))
    assert refusal("restore", backup) == "backup_damaged"
    backup.write_bytes(whole)
    repacked(backup, lambda description: description["parts"][1].update(engine="redis"))
    assert refusal("restore", backup) == "backup_unfit"
    assert not queue.exists()


def test_a_backup_of_another_place_for_the_memory_is_refused(
    backup: Path, queue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECKPOINT_URL", "memory://")
    assert refusal("restore", backup) == "backup_unfit"


def test_a_newer_schema_is_neither_backed_up_nor_put_back(queue: Path, tmp_path: Path) -> None:
    put(queue)
    with apsw.Connection(str(queue)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    assert refusal("backup", "newer") == "store_incompatible"
    with pytest.raises(StoreIncompatible):
        SqliteCopier(tmp_path / "another.db").check(queue)


# Names


def test_a_backup_replaces_nothing_unless_told_to(backup: Path, queue: Path, tmp_path: Path) -> None:
    succeeds("restore", backup)
    before = backup.read_bytes()
    assert refusal("backup", backup) == "file_exists"
    assert refusal("backup", tmp_path) == "file_unusable"
    assert refusal("backup", tmp_path / "missing" / "backup") == "file_unusable"
    os.mkfifo(queue.parent / "pipe")
    assert refusal("backup", queue.parent / "pipe", "--force") == "file_exists"
    assert agentq("backup", queue.parent / "pipe").problem["fix"] == "agentq backup --help", "--force does not help"
    assert refusal("backup", queue, "--force") == "file_exists"  # the database itself
    assert backup.read_bytes() == before
    succeeds("backup", backup, "--force")
    assert backup.read_bytes() != before
    assert backup.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"backup", "data"}


def test_a_file_that_appears_meanwhile_is_not_replaced(
    backup: Path, queue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    succeeds("restore", backup)
    copy = SqliteCopier.copy

    def copy_slowly(self: SqliteCopier, to: Path, progress: Progress) -> int:
        (tmp_path / "new").write_text("of another program")
        return copy(self, to, progress)

    monkeypatch.setattr(SqliteCopier, "copy", copy_slowly)
    assert refusal("backup", tmp_path / "new") == "file_exists"
    assert (tmp_path / "new").read_text() == "of another program"


# Cut off


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_everything_as_it_was(backup: Path, queue: Path, tmp_path: Path) -> None:
    with largest_file(100_000):
        assert refusal("restore", backup) == "disk_full"
    succeeds("restore", backup)
    before = queue.read_bytes()
    for size in (100_000, len(before) + 4000):  # in the copy of the queue, and in the archive
        with largest_file(size):
            assert refusal("backup", tmp_path / "new") == "disk_full"
    assert {path.name for path in tmp_path.iterdir()} == {"backup", "data"}
    assert contents(queue) == ["kept"]


def test_a_backup_that_is_interrupted_leaves_no_file(
    backup: Path, queue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    succeeds("restore", backup)
    monkeypatch.setattr(SqliteCopier, "check", interrupted)
    assert agentq("backup", tmp_path / "new").code == 130
    assert {path.name for path in tmp_path.iterdir()} == {"backup", "data"}


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_copy_is_a_snapshot_while_others_write(queue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(queue, *["x" * 10_000] * 30)
    monkeypatch.setattr(sqlite_copies, "PAGES", 20)
    with closing(apsw.Connection(str(queue))) as other:
        texts = iter(["later", "later still"])

        def write(*_: int) -> None:
            if text := next(texts, None):
                other.execute("UPDATE messages SET content = ?", [text])

        SqliteCopier(queue).copy(tmp_path / "copy", write)
        assert next(texts, None) is None
    assert set(contents(tmp_path / "copy")) == {"x" * 10_000}


KILLED = """
import os, signal
from pathlib import Path
from app.store.sqlite import copies
copies.PAGES = 20
copier = copies.SqliteCopier(Path("data/queue.db"))
copier.restore(Path("copy"), lambda done, _: done > 60 and os.kill(os.getpid(), signal.SIGKILL))
"""


def test_a_restore_that_is_killed_is_undone(queue: Path, tmp_path: Path) -> None:
    put(queue, *["x" * 10_000] * 30)
    SqliteCopier(queue).copy(tmp_path / "copy", lambda *_: None)
    for path in queue.parent.iterdir():
        path.unlink()
    put(queue, "present")
    assert finished_process(tmp_path, "-c", KILLED).returncode == -signal.SIGKILL
    assert Path(f"{queue}-journal").exists()
    assert contents(queue) == ["present"]


def test_a_damaged_database_is_moved_aside(backup: Path, queue: Path) -> None:
    queue.write_bytes(b"not a database" * 1000)
    assert refusal("restore", backup) == "target_not_empty"
    succeeds("restore", backup, "--force")
    (moved,) = queue.parent.glob("queue.db.damaged-*")
    assert moved.read_bytes().startswith(b"not a database")
    assert contents(queue) == ["kept"]


def test_a_database_of_another_program_is_left_alone(backup: Path, queue: Path) -> None:
    with apsw.Connection(str(queue)) as connection:
        connection.execute("CREATE TABLE messages (id)")
    assert refusal("restore", backup, "--force") == "store_incompatible"
    assert refusal("backup", "other") == "store_incompatible"


OPEN = """
import sys, apsw
connection = apsw.Connection(sys.argv[1])
connection.pragma("journal_mode", "wal")
connection.pragma("user_version")
print(flush=True)
sys.stdin.read()
"""


def test_who_uses_the_database_is_named(backup: Path, queue: Path) -> None:
    succeeds("restore", backup)
    other = subprocess.Popen(
        [sys.executable, "-c", OPEN, str(queue)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout is not None
        other.stdout.readline()
        refused = agentq("restore", backup, "--force")
        other.kill()
    assert refused.problem["code"] == "target_in_use"
    assert f"{queue} open: {other.pid} (python" in refused.problem["message"]
    assert refused.problem["fix"] == f"kill {other.pid}"


# PostgreSQL


async def test_a_restore_of_postgresql_that_is_cut_off_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres_server.database_of(tmp_path)
    monkeypatch.setenv("DATABASE_URL", url)
    async with postgres_tools.opened(url) as store:
        kept = await add(store)
        succeeds("backup", "kept")
        lost = await add(store)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, script in {"psql": 'exec "$REAL/psql" "$@"', "pg_restore": CUT_OFF}.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    with monkeypatch.context() as changed:
        changed.setenv("REAL", str(postgres_server.shared_server().programs))
        changed.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
        assert refusal("restore", "kept", "--force") == "backup_damaged"
    async with postgres_tools.opened(url) as store:
        assert await store.get(TENANT, kept.id) == kept
        assert await store.get(TENANT, lost.id) == lost


CUT_OFF = """
case "$*" in
    *--version*|*--data-only*) exec "$REAL/pg_restore" "$@";;
    *) "$REAL/pg_restore" "$@" | head -n 60; echo "pg_restore: error: cut off" >&2; exit 1;;
esac"""


async def open_once(url: str) -> None:
    async with postgres_tools.opened(url):
        pass


def test_a_host_without_pg_dump_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres_server.database_of(tmp_path)
    monkeypatch.setenv("DATABASE_URL", url)
    asyncio.run(open_once(url))
    (tmp_path / "pg_dump").write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6'\n")
    (tmp_path / "pg_dump").chmod(0o755)
    monkeypatch.setattr("app.store.postgres.copies.INSTALLED", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = agentq("backup", "kept")
    assert ended.problem["code"] == "program_missing"
    assert "postgresql-client-" in ended.problem["message"]
    assert "9.6" in ended.problem["message"]


# Redis


def test_writes_wait_while_redis_is_copied(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_keys = redis_copies._write_keys
    refused = []
    with redis.Redis.from_url(valkey.url) as client:
        client.mset({redis_copies.SCHEMA: SCHEMA_VERSION, "other": "first"})

        def write_meanwhile(*given: Any) -> None:
            with redis.Redis.from_url(valkey.url, socket_timeout=0.1, retry=None) as other:
                try:
                    other.set("other", "later")
                except redis.TimeoutError:
                    refused.append(client.get("other"))
            write_keys(*given)

        monkeypatch.setattr(redis_copies, "_write_keys", write_meanwhile)
        RedisCopier(valkey.url).copy(tmp_path / "copy", lambda *_: None)
        assert refused[0] == b"first"
        assert client.set("other", "then")


def test_a_pause_of_writes_that_has_ended_fails_the_backup(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", valkey.url)
    with redis.Redis.from_url(valkey.url) as client:
        client.set(redis_copies.SCHEMA, SCHEMA_VERSION)
    monkeypatch.setattr(redis_copies, "PAUSE_MILLISECONDS", 0)
    assert refusal("backup", "kept") == "backup_failed"
    assert not Path("kept").exists()


def test_a_restore_of_redis_that_was_cut_off_can_be_repeated(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", valkey.url)
    with redis.Redis.from_url(valkey.url) as client:
        client.mset({redis_copies.SCHEMA: SCHEMA_VERSION, "{agent_queue}:queue": "id", "of another program": "x"})
        client.set("{agent_queue}:deleted:x", "1", px=3_600_000)
        client.set("{agent_queue}:deleted:y", "1", px=1)
        succeeds("backup", "kept")
        client.set("{agent_queue}:message:later", "x")
        with monkeypatch.context() as changed:
            changed.setattr(redis_copies, "_restore_key", interrupted)
            assert agentq("restore", "kept").code == 130
        assert not client.exists(redis_copies.SCHEMA)  # servers do not start on a half
        assert refusal("restore", "kept") == "target_not_empty"
        succeeds("restore", "kept", "--force")
        assert {
            b"of another program", b"{agent_queue}:schema", b"{agent_queue}:queue", b"{agent_queue}:deleted:x",
        } == set(client.keys())  # fmt: skip
        assert 0 < client.pttl("{agent_queue}:deleted:x") <= 3_600_000
        assert client.set("{agent_queue}:queue", "writes go on")
