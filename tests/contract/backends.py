"""The backends that the contract suite runs on, by name. A new one is one entry here."""

from pathlib import Path
from typing import Protocol

from app.clock import Clock
from app.policy.rank import RankPolicy
from app.store.ports import Store
from app.store.redis.store import RedisStore
from app.store.sqlite.store import SqliteStore
from tests import valkey_server
from tests.contract.postgres_queues import KeptPostgresStore, shared_queues
from tests.migrated_files import make_migrated


class StoreFactory(Protocol):
    """Makes a store that is not yet open. For each folder it is an empty one of its own."""

    def __call__(self, folder: Path, clock: Clock, ranks: RankPolicy | None = None, *, running: int = 0) -> Store: ...


def memory(folder: Path, clock: Clock, ranks: RankPolicy | None = None, *, running: int = 0) -> Store:
    return _migrated(SqliteStore(None, ranks=ranks, clock=clock, running=running))


def sqlite(folder: Path, clock: Clock, ranks: RankPolicy | None = None, *, running: int = 0) -> Store:
    return _migrated(SqliteStore(folder / "queue.db", ranks=ranks, clock=clock, running=running))


def postgres(folder: Path, clock: Clock, ranks: RankPolicy | None = None, *, running: int = 0) -> Store:
    """On one server for all, with connections that other stores have left; the folder names the database."""
    return KeptPostgresStore(shared_queues().of(folder), ranks, clock, running)


def valkey(folder: Path, clock: Clock, ranks: RankPolicy | None = None, *, running: int = 0) -> Store:
    """On one server for all; the folder names the queue."""
    url = valkey_server.shared_server().url
    return RedisStore(url, ranks=ranks, clock=clock, prefix=str(folder), running=running)


def _migrated(store: SqliteStore) -> Store:
    """Give a store without a file one that is migrated."""
    make_migrated(store._path)
    return store


LASTING: dict[str, StoreFactory] = {"sqlite": sqlite, "postgres": postgres, "valkey": valkey}
BACKENDS: dict[str, StoreFactory] = {"memory": memory, **LASTING}
"""Most tests run on `LASTING`. `memory://` is the SQLite store on a private file, whose statements are the same.

It differs in what it promises, in hints, which no other process gets, in its end, which removes the file, and in
writes that do not wait for the disk. Tests of these and of sequences of all calls run on `BACKENDS`.
"""
