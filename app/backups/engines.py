"""Picks what copies the databases that DATABASE_URL and CHECKPOINT_URL name."""

from collections.abc import Mapping
from pathlib import Path

from ..checkpoints.factory import MEMORY, checkpoint_url
from ..config import Settings, place_of
from ..errors import ConfigurationError
from ..store.copies import Copier
from ..store.factory import POSTGRES, REDIS, SQLITE


def copiers_of(settings: Settings) -> Mapping[str, Copier]:
    """Return what copies the memory and the queue, by part and in the order in which they are copied.

    The memory comes first: a queue that is a moment younger is safe, and an older one is not. There is no part `memory`
    if the queue's database holds it too, or if it ends with the server. Raises ConfigurationError.
    """
    queue, memory = settings.database_url, checkpoint_url(settings)
    if queue == MEMORY:
        raise ConfigurationError("DATABASE_URL: expected a database that outlives its server, got 'memory://'")
    copiers = {"queue": _copier(queue, is_memory=False, holds_both=memory == queue)}
    if memory in (queue, MEMORY):
        return copiers
    return {"memory": _copier(memory, is_memory=True), **copiers}


def _copier(url: str, *, is_memory: bool, holds_both: bool = False) -> Copier:
    if url.startswith(SQLITE):
        from ..store.sqlite.copies import SqliteCopier

        return SqliteCopier(Path(url.removeprefix(SQLITE)), is_memory=is_memory)
    if url.startswith(POSTGRES):
        from ..store.postgres.copies import PostgresCopier

        return PostgresCopier(url, holds_queue=not is_memory, holds_memory=is_memory or holds_both)
    if url.startswith(REDIS):
        from ..store.redis.copies import RedisCopier

        return RedisCopier(url, is_memory=is_memory)
    raise ConfigurationError(f"DATABASE_URL: expected a database, got {place_of(url)}")
