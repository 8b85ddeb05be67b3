"""A change whose record cannot be stored is taken back, on the engines that have transactions."""

import inspect
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from app.models.audit import NewAudit
from app.store.ports import Store
from tests.contract.test_audit import CHANGES, Change, record
from tests.postgres_server import database_of
from tests.unit import postgres_tools, sqlite_tools

Rows = dict[str, list[Any]]

WITHOUT_ACTOR = record(actor=cast(str, None))
"""A record that no engine with columns takes."""

NO_DATA = frozenset({"hints", "sqlite_sequence", "commits"})
"""Tables that say nothing about messages, threads or keys. A hint without news costs a reader one look."""


class Watched:
    """Passes calls on to a store. Reads all rows before a call that has a record."""

    def __init__(self, store: Store, read: Callable[[], Rows]) -> None:
        self._store = store
        self.read = read
        self.before: Rows = {}

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def call(*arguments: Any, audit: NewAudit | None = None, **options: Any) -> Any:
            if audit is None:
                return await method(*arguments, **options)
            self.before = self.read()
            return await method(*arguments, audit=audit, **options)

        return call


def rows_on_sqlite(path: Path) -> Rows:
    with sqlite_tools.connected(path) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        names = [name for name in names if name not in NO_DATA]
        return {name: connection.execute(f'SELECT * FROM "{name}" ORDER BY 1').fetchall() for name in names}


def rows_on_postgres(url: str) -> Rows:
    with postgres_tools.connected(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'agent_queue'").fetchall()
        names = [name for (name,) in tables if name not in NO_DATA]
        return {name: connection.execute(f'SELECT * FROM "{name}" ORDER BY 1'.encode()).fetchall() for name in names}


@pytest.fixture(params=["sqlite", "postgres"])
async def watched(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Watched]:
    if request.param == "sqlite":
        path = tmp_path / "queue.db"
        async with sqlite_tools.opened(path) as store:
            yield Watched(store, lambda: rows_on_sqlite(path))
    else:
        url = database_of(tmp_path)
        async with postgres_tools.opened(url) as store:
            yield Watched(store, lambda: rows_on_postgres(url))


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
async def test_a_change_whose_record_fails_is_taken_back(watched: Watched, change: Change) -> None:
    with pytest.raises(Exception, match=r"(?i)null"):
        await change(cast(Store, watched), WITHOUT_ACTOR)
    assert watched.before
    assert watched.read() == watched.before
