"""Makes the store that DATABASE_URL names."""

from pathlib import Path

from ..clock import Clock
from ..config import Settings, place_of
from ..errors import ConfigurationError, MissingDriver
from ..policy.rank import RankPolicy
from .ports import Store

SQLITE = "sqlite:///"
POSTGRES = ("postgresql://", "postgres://")
REDIS = ("redis://", "rediss://")


def make_store(settings: Settings, *, clock: Clock | None = None) -> Store:
    """Return the store that DATABASE_URL names, not yet open. Imports its driver. Raises ConfigurationError."""
    url = settings.database_url
    ranks = RankPolicy(settings.priority_aging_seconds, settings.fair_share)
    running = settings.max_running_per_tenant
    if url == "memory://":
        from .sqlite.store import SqliteStore

        return SqliteStore(None, ranks=ranks, clock=clock, running=running)
    if url.startswith(SQLITE) and len(url) > len(SQLITE):
        from .sqlite.store import SqliteStore

        return SqliteStore(Path(url.removeprefix(SQLITE)), ranks=ranks, clock=clock, running=running)
    try:
        if url.startswith(POSTGRES):
            from .postgres.store import PostgresStore

            return PostgresStore(url, ranks=ranks, clock=clock, allow_volatile=settings.allow_volatile, running=running)
        if url.startswith(REDIS):
            from .redis.store import RedisStore

            return RedisStore(url, ranks=ranks, clock=clock, allow_volatile=settings.allow_volatile, running=running)
    except ImportError as error:
        extra = "postgres" if url.startswith(POSTGRES) else "redis"
        raise MissingDriver("DATABASE_URL", extra, error) from error
    raise ConfigurationError(
        "DATABASE_URL: expected sqlite:///path/to/file.db, postgresql://user@host/database, redis://host or memory://, "
        f"got {place_of(url)}"
    )
