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
