"""The databases of a chaos run. A new one is a function and an entry in BACKENDS."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.proxy import Proxy


@dataclass
class Database:
    """What a run needs of its database. With `proxy` there is a server of our own behind it."""

    url: str
    """For the application; leads through the proxy."""
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
    from tests.postgres_server import PostgresServer

    server = PostgresServer()
    try:
        server.start()
        server.make_database("chaos")
        async with Proxy("127.0.0.1", server.port) as proxy:
            yield Database(server.url("chaos", port=proxy.port), proxy, server.crash, server.start)
    finally:
        server.remove()


@contextlib.asynccontextmanager
async def redis(folder: Path) -> AsyncIterator[Database]:
    """With `appendfsync always`: less may have answered before it wrote, when it is killed."""
    from tests.valkey_server import ValkeyServer

    with ValkeyServer(appendfsync="always") as server:
        async with Proxy("127.0.0.1", server.port) as proxy:
            yield Database(server.url.replace(f":{server.port}", f":{proxy.port}"), proxy, server.kill, server.start)


BACKENDS: dict[str, Callable[[Path], AbstractAsyncContextManager[Database]]] = {"sqlite": sqlite}
