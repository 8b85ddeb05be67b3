"""The backends that the contract suite runs on, by name. A new one is one entry here."""

from pathlib import Path
from typing import Protocol

from app.clock import Clock
from app.store.base import RankPolicy, Store
from app.store.postgres.store import PostgresStore
from app.store.sqlite.store import SqliteStore
from tests.postgres_server import database_of


class StoreFactory(Protocol):
    """Makes a store that is not yet open. For each folder it is an empty one of its own."""

    def __call__(self, folder: Path, clock: Clock, ranks: RankPolicy | None = None) -> Store: ...


def memory(folder: Path, clock: Clock, ranks: RankPolicy | None = None) -> Store:
    return SqliteStore(None, ranks=ranks, clock=clock)


def sqlite(folder: Path, clock: Clock, ranks: RankPolicy | None = None) -> Store:
    return SqliteStore(folder / "queue.db", ranks=ranks, clock=clock)


def postgres(folder: Path, clock: Clock, ranks: RankPolicy | None = None) -> Store:
    return PostgresStore(database_of(folder), ranks=ranks, clock=clock, allow_volatile=True)


BACKENDS: dict[str, StoreFactory] = {"memory": memory, "sqlite": sqlite, "postgres": postgres}
