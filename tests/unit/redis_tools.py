"""Tools for tests of the store on Redis or Valkey: open stores, one behind a proxy, patience."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import redis

from app.errors import StoreUnavailable
from app.store.redis.scripts import load_scripts
from app.store.redis.store import RedisStore
from tests.clock import ManualClock
from tests.proxy import Proxy, proxy_to
from tests.valkey_server import shared_server

SOON = 5.0


@asynccontextmanager
async def closing(store: RedisStore) -> AsyncIterator[RedisStore]:
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def opened(store: RedisStore) -> AsyncIterator[RedisStore]:
    async with closing(store):
        await store.open()
        yield store


async def until_it_works(call: Callable[[], Awaitable[Any]]) -> Any:
    """The result of the first call that the server is there for; nothing but StoreUnavailable may come before."""
    async with asyncio.timeout(SOON):
        while True:
            try:
                return await call()
            except StoreUnavailable:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def proxied(folder: Path, clock: ManualClock | None = None) -> AsyncIterator[tuple[RedisStore, Proxy]]:
    """A store behind a proxy that cuts connections with scripts on them."""
    async with proxy_to(shared_server().port, b"EVALSHA") as proxy:
        store = RedisStore(f"redis://127.0.0.1:{proxy.port}", clock=clock, prefix=str(folder))
        async with opened(store):
            yield store, proxy


def repeated(admin: redis.Redis, script: str, keys: Sequence[str], turn: int, *arguments: str | int) -> Any:
    """The reply to the only operation of this turn, which may have been sent before."""
    text = load_scripts()[script].text
    reply: Any = admin.eval(text, len(keys), *keys, turn, 0, len(arguments), *arguments)
    return reply[0]
