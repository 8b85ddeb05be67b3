"""The databases of a chaos run: one class each. `server` and `proxy` are None where there is nothing to restart."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.chaos.proxy import Proxy


class Server(Protocol):
    """A database server of our own on 127.0.0.1, from `tests/postgres_server.py` or `tests/valkey_server.py`."""

    url: str
    port: int

    def kill(self) -> None:
        """End it without a warning; what it promised to keep, it keeps."""

    def start(self) -> None:
        """Start it again, on the same port and data; returns when it answers."""


@dataclass
class Database:
    """What a run needs of its database."""

    url: str
    """For the application; leads through the proxy."""
    server: Server | None = None
    proxy: Proxy | None = None

    async def restart(self, down_seconds: float) -> None:
        """Kill the server, and start it after a while."""
        assert self.server is not None
        await asyncio.to_thread(self.server.kill)
        await asyncio.sleep(down_seconds)
        await asyncio.to_thread(self.server.start)


@contextlib.asynccontextmanager
async def sqlite(folder: Path) -> AsyncIterator[Database]:
    yield Database(f"sqlite:///{folder / 'queue.db'}")


@contextlib.asynccontextmanager
async def postgres(folder: Path) -> AsyncIterator[Database]:
    from tests.postgres_server import PostgresServer

    with PostgresServer() as server:
        async with _proxied(server) as database:
            yield database


@contextlib.asynccontextmanager
async def redis(folder: Path) -> AsyncIterator[Database]:
    from tests.valkey_server import ValkeyServer

    with ValkeyServer() as server:
        async with _proxied(server) as database:
            yield database


@contextlib.asynccontextmanager
async def _proxied(server: Server) -> AsyncIterator[Database]:
    async with Proxy("127.0.0.1", server.port) as proxy:
        yield Database(server.url.replace(f":{server.port}", f":{proxy.port}"), server, proxy)


BACKENDS: dict[str, Callable[[Path], AbstractAsyncContextManager[Database]]] = {"sqlite": sqlite}
