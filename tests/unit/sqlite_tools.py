"""Tools for tests of the SQLite store: stores on files, other connections, other processes."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from app.errors import StoreError
from app.store.sqlite.store import SqliteStore
from tests.clock import ManualClock
from tests.servers import ROOT


@asynccontextmanager
async def opened(path: Path | None, clock: ManualClock | None = None) -> AsyncIterator[SqliteStore]:
    """An open store on this file, closed on leaving."""
    store = SqliteStore(path, clock=clock)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@contextmanager
def connected(path: Path) -> Iterator[apsw.Connection]:
    """Another connection, by the library that the store uses; as good as another process."""
    connection = apsw.Connection(str(path))
    try:
        yield connection
    finally:
        connection.close()


def ask(path: Path, query: str) -> Any:
    """Return what another connection gets."""
    with connected(path) as connection:
        return connection.execute(query).get


def put(path: Path, content: bytes) -> None:
    """Make a file and its folder."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def folder_of(path: Path) -> dict[str, bytes]:
    """All that lies beside the file, by name."""
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


def modes_of(path: Path) -> dict[str, int]:
    """Return the permissions of the file, of what lies beside it, and of the folder."""
    return {file.name: file.stat().st_mode & 0o777 for file in (path.parent, *path.parent.iterdir())}


async def refused(path: Path, error: type[StoreError]) -> str:
    """Open a store that must not open; the error's text."""
    with pytest.raises(error) as raised:
        async with opened(path):
            pass
    return str(raised.value)


@contextmanager
def python(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that runs this script, with pipes to and from it; killed on leaving."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
