"""The engines to measure on, each with its durable default: an empty one, and its DATABASE_URL."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.postgres_server import PostgresServer
from tests.valkey_server import ValkeyServer


@contextmanager
def sqlite(folder: Path) -> Iterator[str]:
    """A file, with `synchronous=FULL`."""
    yield f"sqlite:///{folder / 'queue.db'}"


@contextmanager
def postgres(_: Path) -> Iterator[str]:
    """A real server that waits for its disk at each commit."""
    with PostgresServer() as server:
        yield server.url


@contextmanager
def valkey(_: Path) -> Iterator[str]:
    """A real server with an append-only file, flushed each second."""
    with ValkeyServer() as server:
        yield server.url


BACKENDS: dict[str, Callable[[Path], AbstractContextManager[str]]] = {
    "sqlite": sqlite,
    "postgres": postgres,
    "valkey": valkey,
}


@contextmanager
def database(name: str) -> Iterator[tuple[Path, str]]:
    """An empty folder to run in, and the URL of an empty database of this backend."""
    with tempfile.TemporaryDirectory() as folder, BACKENDS[name](Path(folder)) as url:
        yield Path(folder), url
