"""A store by its URL."""

from pathlib import Path

from app.clock import Clock
from app.errors import ConfigurationError
from app.store.base import RankPolicy, Store
from app.store.sqlite.store import SqliteStore

SQLITE = "sqlite:///"


def make_store(url: str, *, ranks: RankPolicy, clock: Clock | None = None) -> Store:
    """The store that the URL names, not yet open. Raises ConfigurationError.

    `sqlite:///relative/path.db`, `sqlite:////absolute/path.db` or `memory://`.
    """
    if url == "memory://":
        return SqliteStore(None, ranks=ranks, clock=clock)
    if url.startswith(SQLITE) and len(url) > len(SQLITE):
        return SqliteStore(Path(url.removeprefix(SQLITE)), ranks=ranks, clock=clock)
    raise ConfigurationError(
        f"DATABASE_URL: expected sqlite:///path/to/file.db or memory://, got {url.rpartition('@')[2]!r}"
    )
