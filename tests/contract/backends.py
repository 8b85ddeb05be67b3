"""The backends that the contract suite runs on, by name. A new one is one entry here."""

import uuid
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from app.clock import Clock
from app.policy.rank import RankPolicy
from app.store.ports import Store
from app.store.redis.store import RedisStore
from app.store.sqlite.connection import connect, migrate
from app.store.sqlite.store import SqliteStore
from tests import valkey_server
from tests.contract.postgres_queues import KeptPostgresStore, shared_queues


class StoreFactory(Protocol):
    """Makes a store that is not yet open. For each folder it is an empty one of its own."""

    def __call__(self, folder: Path, clock: Clock, ranks: RankPolicy | None = None) -> Store: ...


def memory(folder: Path, clock: Clock, ranks: RankPolicy | None = None) -> Store:
    return _migrated(SqliteStore(None, ranks=ranks, clock=clock))


def sqlite(folder: Path, clock: Clock, ranks: RankPolicy | None = None) -> Store:
    return _migrated(SqliteStore(folder / "queue.db", ranks=ranks, clock=clock))


def postgres(folder: Path, clock: Clock, ranks: RankPolicy | None = None) -> Store:
    """On one server for all, with connections that other stores have left; the folder names the database."""
    return KeptPostgresStore(shared_queues().of(folder), ranks, clock)


def valkey(folder: Path, clock: Clock, ranks: RankPolicy | None = None) -> Store:
    """On one server for all; the folder names the queue."""
    return RedisStore(valkey_server.shared_server().url, ranks=ranks, clock=clock, prefix=str(folder))


@cache
def _migrated_file() -> tuple[bytes, bytes]:
    """Return what a new file has after its migration, and the queue's id in it."""
    with TemporaryDirectory() as folder, closing(connect(path := Path(folder, "queue.db"))) as connection:
        migrate(connection)
        name = str(connection.execute("SELECT id FROM queue").get).encode()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        content = path.read_bytes()
    assert content.count(name) == 1
    return content, name


def _migrated(store: SqliteStore) -> Store:
    """Give a store without a file one that is migrated, for a third of what migrating costs. Its queue has a new id."""
    path = store._path
    path.parent.mkdir(exist_ok=True, mode=0o700)
    content, name = _migrated_file()
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(content.replace(name, uuid.uuid4().hex.encode()))
    return store


BACKENDS: dict[str, StoreFactory] = {"memory": memory, "sqlite": sqlite, "postgres": postgres, "valkey": valkey}
