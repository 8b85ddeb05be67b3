"""The databases of a chaos run. A new one is a function and an entry in BACKENDS."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.proxy import Proxy
from tests.postgres_server import PostgresServer
from tests.valkey_server import ValkeyServer


@dataclass
class Database:
    """A database for a run. With `proxy` there is a server of our own behind it."""

    url: str
    """The URL for the application, which leads through the proxy."""
    proxy: Proxy | None = None
    crash: Callable[[], None] = lambda: None
    """Ends the server without a warning; what it promised to keep, it keeps."""
    start: Callable[[], None] = lambda: None
    """Starts it again; returns when it answers."""

    async def restart(self, down_seconds: float) -> None:
        """Crash the server, and start it after a while."""
        await asyncio.to_thread(self.crash)
        await asyncio.sleep(down_seconds)
        await asyncio.to_thread(self.start)


@contextlib.asynccontextmanager
async def sqlite(folder: Path) -> AsyncIterator[Database]:
    yield Database(f"sqlite:///{folder / 'queue.db'}")


@contextlib.asynccontextmanager
async def postgres(folder: Path) -> AsyncIterator[Database]:
    with PostgresServer() as server:
        async with Proxy("127.0.0.1", server.port) as proxy:
            yield Database(_through(proxy, server.url, server.port), proxy, server.kill, server.start)


@contextlib.asynccontextmanager
async def valkey(folder: Path) -> AsyncIterator[Database]:
    """With `appendfsync always`: less may have answered before it wrote, when it is killed."""
    with ValkeyServer(appendfsync="always") as server:
        async with Proxy("127.0.0.1", server.port) as proxy:
            yield Database(_through(proxy, server.url, server.port), proxy, server.kill, server.start)


def _through(proxy: Proxy, url: str, port: int) -> str:
    return url.replace(f":{port}", f":{proxy.port}")


BACKENDS: dict[str, Callable[[Path], AbstractAsyncContextManager[Database]]] = {
    "sqlite": sqlite,
    "postgres": postgres,
    "valkey": valkey,
}
