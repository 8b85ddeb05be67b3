"""The agents' memory has a URL. A wrong one is refused with one line and without a password."""

import re
import sys

import pytest

from app import checkpoints
from app.checkpoints.factory import checkpoint_url, saver_opener
from app.config import Settings
from app.errors import ConfigurationError
from app.store.factory import make_store
from tests.pages import PROJECT

SECRET = "hunter2"


def url_of(database_url: str, checkpoint: str | None = None) -> str:
    return checkpoint_url(Settings(_env_file=None, database_url=database_url, checkpoint_url=checkpoint))


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        ("memory://", "memory://"),
        ("sqlite:///data/queue.db", "sqlite:///data/queue_checkpoints.db"),
        ("sqlite:////var/queue.db", "sqlite:////var/queue_checkpoints.db"),
        ("postgresql://u:p@db/name", "postgresql://u:p@db/name"),
        ("postgres://db:1,db:2/name", "postgres://db:1,db:2/name"),
        ("redis://:p@cache:6380/2", "redis://:p@cache:6380/2"),
        ("rediss://cache", "rediss://cache"),
    ],
)
def test_the_memory_is_beside_the_queue(database: str, expected: str) -> None:
    assert url_of(database) == expected


QUEUES = ["memory://", "sqlite:///queue.db", "postgresql://db/name", "redis://cache"]


@pytest.mark.parametrize("database", QUEUES)
@pytest.mark.parametrize("checkpoint", ["memory://", "sqlite:///memory.db", "postgresql://db/name", "redis://cache"])
def test_any_queue_goes_with_any_memory(database: str, checkpoint: str) -> None:
    assert url_of(database, checkpoint) == checkpoint


@pytest.mark.parametrize(
    "nonsense",
    [
        f"mysql://root:{SECRET}@db/queue",
        f"{SECRET}",
        "sqlite:///",
        "sqlite:///queue.db",
        f"postgresql://u:%{SECRET}@db/name",
        f"postgresql://u:{SECRET}@db/name?nonsense=1",
        f"redis://:{SECRET}@cache:port",
        f"redis://:{SECRET}@cache?socket_timeout={SECRET}",
        f"redis:///cache?password={SECRET}",
        f"mongodb://cache?password={SECRET}",
        f"postgresql://u:{SECRET}@{SECRET}@db/name",
    ],
)
def test_nonsense_is_refused_in_one_line(nonsense: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^CHECKPOINT_URL: expected .*, got ") as refused:
        url_of("sqlite:///queue.db", nonsense)
    assert "\n" not in str(refused.value)
    assert SECRET not in str(refused.value) or nonsense == SECRET
    assert refused.value.__cause__ is None


def test_what_is_wrong_with_the_queues_url_is_said_of_that() -> None:
    with pytest.raises(ConfigurationError, match=r"^DATABASE_URL: expected .*, got a URL that cannot be read$"):
        url_of("postgresql://db/name?nonsense=1")


def installing(setting: str, extra: str) -> str:
    """A pattern of the refusal, whose command needs no checkout and no published package of ours."""
    packages = " ".join(f"'{package}'" for package in PROJECT["project"]["optional-dependencies"][extra])
    return f"^{setting}: expected .*{re.escape(f'`pip install {packages}`')}$"


@pytest.mark.parametrize(
    ("url", "driver", "extra"), [(QUEUES[2], "psycopg", "postgres"), (QUEUES[3], "redis", "redis")]
)
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, url: str, driver: str, extra: str) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == driver]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"app.store.{extra}.connection", raising=False)
    with pytest.raises(ConfigurationError, match=installing("CHECKPOINT_URL", extra)):
        url_of("memory://", url)
    monkeypatch.delitem(sys.modules, f"app.store.{extra}.store", raising=False)
    with pytest.raises(ConfigurationError, match=installing("DATABASE_URL", extra)):
        make_store(Settings(_env_file=None, database_url=url))


@pytest.mark.parametrize(
    ("url", "module", "missing", "extra"),
    [
        (QUEUES[2], "postgres", "langgraph.checkpoint.postgres.aio", "postgres"),
        (QUEUES[3], "redis", "redis.asyncio", "redis"),
    ],
)
def test_half_an_extra_is_named_when_the_saver_is_imported(
    monkeypatch: pytest.MonkeyPatch, url: str, module: str, missing: str, extra: str
) -> None:
    monkeypatch.delattr(checkpoints, module, raising=False)
    monkeypatch.delitem(sys.modules, f"app.checkpoints.{module}", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigurationError, match=installing("CHECKPOINT_URL", extra)):
        saver_opener(url)
