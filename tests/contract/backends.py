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


class StoreFactory(Protocol):
    """Makes a store that is not yet open. For each folder it is an empty one of its own."""

    def __call__(self, folder: Path, clock: Clock, ranks: RankPolicy | None = None) -> Store: ...


def memory(folder: Path, clock: Clock, ranks: RankPolicy | None = None) -> Store:
    return SqliteStore(None, ranks=ranks, clock=clock)


def sqlite(folder: Path, clock: Clock, ranks: RankPolicy | None = None) -> Store:
    return SqliteStore(folder / "queue.db", ranks=ranks, clock=clock)


def postgres(folder: Path, clock: Clock, ranks: RankPolicy | None = None) -> Store:
    """On one server for all, with connections that other stores have left; the folder names the database."""
    return KeptPostgresStore(shared_queues().of(folder), ranks, clock)


def valkey(folder: Path, clock: Clock, ranks: RankPolicy | None = None) -> Store:
    """On one server for all; the folder names the queue."""
    return RedisStore(valkey_server.shared_server().url, ranks=ranks, clock=clock, prefix=str(folder))


BACKENDS: dict[str, StoreFactory] = {"memory": memory, "sqlite": sqlite, "postgres": postgres, "valkey": valkey}
