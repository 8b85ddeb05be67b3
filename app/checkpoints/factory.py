"""Opens the saver of the agents' memory for a URL."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import CHECKPOINT_HISTORY, Settings, place_of
from ..errors import ConfigurationError, MissingDriver

if TYPE_CHECKING:
    from .saver import FencedSaver

MEMORY = "memory://"
SQLITE = "sqlite:///"
POSTGRES = ("postgresql://", "postgres://")
REDIS = ("redis://", "rediss://")


def checkpoint_url(settings: Settings) -> str:
    """Return the URL of the agents' memory: CHECKPOINT_URL, or one derived from DATABASE_URL.

    Raises ConfigurationError.
    """
    url = settings.checkpoint_url
    if url is None:
        _check("DATABASE_URL", settings.database_url)
        return _beside(settings.database_url)
    _check("CHECKPOINT_URL", url)
    if url.startswith(SQLITE) and url == settings.database_url:
        raise ConfigurationError("CHECKPOINT_URL: expected another file than DATABASE_URL, got the same")
    return url


def memory_file(url: str) -> Path | None:
    """Return the file of the agents' memory at this URL; None if it is in no file of this host."""
    return Path(url.removeprefix(SQLITE)) if url.startswith(SQLITE) else None


def _beside(url: str) -> str:
    """Return the URL of a file beside the queue's file; the same URL if the queue is no file."""
    if not url.startswith(SQLITE):
        return url
    queue = Path(url.removeprefix(SQLITE))
    return f"{SQLITE}{queue.with_name(f'{queue.stem}_checkpoints.db')}"


def _check(variable: str, url: str) -> None:
    """Raise ConfigurationError if no driver can open the URL. Leave out of the error whatever may be a password."""
    got = "a URL that cannot be read"
    if url.startswith(POSTGRES):
        with _extra("postgres", variable):
            from ..store.postgres.connection import connection_parameters
        with suppress(ConfigurationError):
            connection_parameters(url)
            return
    elif url.startswith(REDIS):
        with _extra("redis", variable):
            from ..store.redis.connection import connection_options
        with suppress(ConfigurationError):
            connection_options(url)
            return
    elif url == MEMORY or url.removeprefix(SQLITE) not in ("", url):
        return
    else:
        got = place_of(url)
    raise ConfigurationError(
        f"{variable}: expected sqlite:///path/to/file.db, postgresql://user@host/database, redis://host or memory://, "
        f"got {got}"
    )


@contextmanager
def _extra(name: str, variable: str = "CHECKPOINT_URL") -> Iterator[None]:
    """Raise MissingDriver if the import of an optional driver fails."""
    try:
        yield
    except ImportError as error:
        raise MissingDriver(variable, name, error) from error


def saver_opener(url: str) -> "Callable[[str, Collection[str], int], AbstractAsyncContextManager[FencedSaver]]":
    """Return the function that opens the saver, given a queue's id, the allowed types and the turns to keep.

    This imports LangGraph, which takes seconds.
    """
    if url.startswith(POSTGRES):
        with _extra("postgres"):
            from . import postgres
        return partial(postgres.open_saver, url)
    if url.startswith(REDIS):
        with _extra("redis"):
            from . import redis
        return partial(redis.open_saver, url)
    from . import sqlite

    return partial(sqlite.open_saver, memory_file(url))


async def check_server(url: str) -> None:
    """Check that the server at this URL can be used. Do nothing for files. Do not import LangGraph.

    Raises StoreError, ConfigurationError.
    """
    if url.startswith(POSTGRES):
        from ..store.postgres.connection import connection_parameters
        from ..store.postgres.migrations import check_access

        await asyncio.to_thread(check_access, connection_parameters(url))
    elif url.startswith(REDIS):
        from ..store.redis.connection import check_access as check_redis

        await check_redis(url)


@asynccontextmanager
async def open_saver(
    url: str, queue_id: str, state_types: Collection[str] = (), history: int = CHECKPOINT_HISTORY
) -> "AsyncIterator[FencedSaver]":
    """Open the saver at this URL for the queue with this id.

    `state_types` is the setting ALLOWED_STATE_TYPES, `history` is CHECKPOINT_HISTORY.
    """
    async with saver_opener(url)(queue_id, state_types, history) as saver:
        yield saver
