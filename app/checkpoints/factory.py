"""The saver of the agents' memory by its URL."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app.config import Settings
from app.errors import ConfigurationError

if TYPE_CHECKING:
    from app.checkpoints.postgres import FencedPostgresSaver
    from app.checkpoints.redis import FencedRedisSaver
    from app.checkpoints.sqlite import FencedSqliteSaver

    Saver = FencedSqliteSaver | FencedPostgresSaver | FencedRedisSaver

MEMORY = "memory://"
SQLITE = "sqlite:///"
POSTGRES = ("postgresql://", "postgres://")
REDIS = ("redis://", "rediss://")


def checkpoint_url(settings: Settings) -> str:
    """Where the agents' memory is: CHECKPOINT_URL, or beside the queue. Raises ConfigurationError."""
    if settings.checkpoint_url is None:
        url = settings.database_url
        if url.startswith(SQLITE):
            queue = Path(url.removeprefix(SQLITE))
            url = f"{SQLITE}{queue.with_name(f'{queue.stem}_checkpoints.db')}"
    elif settings.checkpoint_url.startswith(SQLITE) and settings.checkpoint_url == settings.database_url:
        raise ConfigurationError("CHECKPOINT_URL: expected another file than DATABASE_URL, got the same")
    else:
        url = settings.checkpoint_url
    _check(url)
    return url


def _check(url: str) -> None:
    """Refuse what no driver could open, without a word of what may be a password."""
    expected = "sqlite:///path/to/file.db, postgresql://user@host/database, redis://host or memory://"
    if url.startswith(POSTGRES):
        with _extra("postgres"):
            from psycopg import ProgrammingError
            from psycopg.conninfo import conninfo_to_dict
        try:
            conninfo_to_dict(url)
        except ProgrammingError:
            raise ConfigurationError(f"CHECKPOINT_URL: expected {expected}, got a URL that cannot be read") from None
    elif url.startswith(REDIS):
        with _extra("redis"):
            from redis.asyncio.connection import parse_url
        try:
            parse_url(url)
        except ValueError:
            raise ConfigurationError(f"CHECKPOINT_URL: expected {expected}, got a URL that cannot be read") from None
    elif url != MEMORY and url.removeprefix(SQLITE) in ("", url):
        raise ConfigurationError(f"CHECKPOINT_URL: expected {expected}, got {url.rpartition('@')[2]!r}")


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Around the imports of drivers that are an optional part of the installation."""
    try:
        yield
    except ImportError as error:
        raise ConfigurationError(
            f"CHECKPOINT_URL: expected the extra `{name}` to be installed (agent-queue-system[{name}]), got {error}"
        ) from error


def saver_opener(url: str) -> "Callable[[str], AbstractAsyncContextManager[Saver]]":
    """What opens the saver for a queue's id. Imports LangGraph and the driver, which takes seconds."""
    if url.startswith(POSTGRES):
        with _extra("postgres"):
            from app.checkpoints import postgres
        return partial(postgres.open_saver, url)
    if url.startswith(REDIS):
        with _extra("redis"):
            from app.checkpoints import redis
        return partial(redis.open_saver, url)
    from app.checkpoints import sqlite

    return partial(sqlite.open_saver, None if url == MEMORY else Path(url.removeprefix(SQLITE)))


@asynccontextmanager
async def open_saver(url: str, queue_id: str) -> "AsyncIterator[Saver]":
    """The saver at this URL, for the messages of the queue with this id."""
    async with saver_opener(url)(queue_id) as saver:
        yield saver
