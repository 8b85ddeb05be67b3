"""Logs of requeued and purged messages on the SQL stores: deleted in parts, whoever gets to it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from app.errors import StoreUnavailable
from app.store.postgres.store import PostgresStore
from app.store.sql import rooms
from app.store.sqlite.store import SqliteStore
from tests.clock import ManualClock
from tests.contract.builders import ALL, FAILED, TENANT, chunk, event_types, start
from tests.postgres_server import database_of
from tests.unit import postgres_tools, sqlite_tools


class Subject(NamedTuple):
    """A store, and a count over its database."""

    store: SqliteStore | PostgresStore
    count: Callable[[str], int]


@pytest.fixture(params=["sqlite", "postgres"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Subject]:
    async with AsyncExitStack() as stack:
        if request.param == "sqlite":
            path = tmp_path / "queue.db"
            file = await stack.enter_async_context(sqlite_tools.opened(path, clock))
            yield Subject(file, lambda query: int(sqlite_tools.ask(path, query)))
        else:
            url = database_of(tmp_path)
            database = await stack.enter_async_context(postgres_tools.opened(url, clock))
            yield Subject(database, lambda query: int(postgres_tools.ask(url, query)))


def strays(subject: Subject) -> list[int]:
    """Rows of no message, and logs that wait to be deleted."""
    of_none = "message NOT IN (SELECT number FROM messages)"
    return [
        subject.count(f"SELECT count(*) FROM {table}")
        for table in (f"events WHERE {of_none}", f"attempts WHERE {of_none}", "dropped_logs")
    ]


async def dead_letters(subject: Subject, count: int, chunks: int) -> list[str]:
    ids = []
    for _ in range(count):
        lease = await start(subject.store)
        await subject.store.append(lease, [chunk(number) for number in range(chunks)])
        await subject.store.finish(lease, FAILED)
        ids.append(lease.message_id)
    return ids


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "EVENTS_AT_ONCE", 4)


@pytest.mark.usefixtures("small_parts")
async def test_nothing_of_a_dropped_log_stays(subject: Subject) -> None:
    requeued, purged = await dead_letters(subject, 3, 5), await dead_letters(subject, 3, 5)
    await subject.store.requeue(TENANT, requeued)
    assert strays(subject) == [0, 0, 0]
    await subject.store.purge(TENANT, purged)
    assert strays(subject) == [0, 0, 0]
    for message_id in requeued:
        assert await event_types(subject.store, message_id) == ["retry"]


@pytest.mark.usefixtures("small_parts")
async def test_logs_that_were_left_behind_are_deleted_by_upkeep(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The process ends in between: the requeue and the purge hold, and readers see nothing of the old logs."""

    async def fails() -> None:
        raise StoreUnavailable("away")

    requeued, purged = await dead_letters(subject, 2, 5), await dead_letters(subject, 2, 5)
    with monkeypatch.context() as patch:
        patch.setattr(subject.store, "_delete_dropped_logs", fails)
        await subject.store.requeue(TENANT, requeued)
        await subject.store.purge(TENANT, purged)
    assert "Dropped logs are deleted later: error=away" in caplog.text
    assert strays(subject)[0] == 4 * 7
    assert await event_types(subject.store, requeued[0]) == ["retry"]
    await subject.store.prune_messages(older_than_seconds=3600, limit=ALL)
    assert strays(subject) == [0, 0, 0]
    assert await event_types(subject.store, requeued[1]) == ["retry"]
