"""The engines to measure on, each empty and with its durable default."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.postgres_server import PostgresServer
from tests.valkey_server import ValkeyServer


@contextmanager
def sqlite(folder: Path) -> Iterator[str]:
    """Yield the URL of a file, with `synchronous=FULL`."""
    yield f"sqlite:///{folder / 'queue.db'}"


@contextmanager
def postgres(_: Path) -> Iterator[str]:
    """Yield the URL of a real server that waits for its disk at each commit."""
    with PostgresServer() as server:
        yield server.url


@contextmanager
def valkey(_: Path) -> Iterator[str]:
    """Yield the URL of a real server whose append-only file is flushed every second."""
    with ValkeyServer() as server:
        yield server.url


BACKENDS: dict[str, Callable[[Path], AbstractContextManager[str]]] = {
    "sqlite": sqlite,
    "postgres": postgres,
    "valkey": valkey,
}


@contextmanager
def database(name: str) -> Iterator[tuple[Path, str]]:
    """Yield an empty folder to run in, and the URL of an empty database of this backend."""
    with tempfile.TemporaryDirectory() as folder, BACKENDS[name](Path(folder)) as url:
        yield Path(folder), url


def megabytes(url: str) -> float:
    """Return the size of the database: on the disk, or in memory for Redis."""
    kind, _, rest = url.partition("://")
    if kind == "sqlite":
        path = Path(rest.removeprefix("/"))
        return sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*")) / 2**20
    if kind == "postgresql":
        import psycopg

        with psycopg.connect(url) as connection:
            found = connection.execute("SELECT pg_database_size(current_database())").fetchone()
            assert found is not None
            return float(found[0]) / 2**20
    import redis

    with redis.Redis.from_url(url) as client:
        return float(client.info("memory")["used_memory"]) / 2**20
