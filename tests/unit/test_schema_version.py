"""The version of what the stores keep changes with it, and databases of other versions are refused at the start."""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest
from redis import Redis

from app.models.events import NewEvent
from app.store.redis.scripts import load_scripts
from app.store.redis.templates import stored
from app.store.schema_version import SCHEMA_VERSION
from app.store.sql.named_sql import load_migrations
from app.store.sqlite.connection import APPLICATION_ID
from tests import postgres_server
from tests.servers import finished_process
from tests.valkey_server import ValkeyServer

FINGERPRINTS = {
    10: "59c47040503059c5",
    11: "4eac7dc27bb43c23",
    12: "23fa8b5586e93a08",
    13: "1185688c9a093648",
    14: "3e9e8f5e8361003f",
    15: "1902c15893d11353",
    16: "110e35d75bb4f6fb",
    17: "eacf1b53fc3b0b5b",
    18: "9206605fb87ffac8",
    19: "3fdb40c600a3929e",
    20: "eb110fdd980c390c",
    21: "9e07c047902ac3e6",
    22: "6e9b535bc8f98fce",
    23: "29b00b917bf67135",
    24: "892e84512d8b7aa7",
    25: "78fa3a3497b058e7",
    26: "bcb0adc25cdbb039",
    27: "6917d27a5af8f8c7",
    28: "0491f833cd68b9e8",
    29: "fbceaf0ed21a9c79",
    30: "ba4115904974528d",
    31: "f76cd7ddbe082121",
    32: "2f240cb3b86abce8",
    33: "6bd67465b155a7ba",
    34: "9c20f8c6a5e4bcd3",
    35: "86572391d5187efe",
    36: "2a31457fcd287c84",
    37: "563dd3716ceafb8b",
    38: "3e28e81875232b9c",
    39: "611afe8455412087",
    40: "2b2e464eceb9efe3",
    41: "cebfb5410b911799",
    42: "649fdfb28e642e9c",
    43: "050773f05289f317",
}
"""Fingerprints of what the stores keep, by schema version. A version that was on `main` stays as it is."""

WHAT_TO_DO = f"""
Tables, columns, keys or fields are not those of schema version {SCHEMA_VERSION}. Give them a version of their own:
1. Raise SCHEMA_VERSION in app/store/schema_version.py by one.
2. Until 0.2.0 is released: raise OLDEST_SCHEMA_VERSION as well, and rename both files `*_initial.sql` to that number.
   After it: leave the existing migrations as they are, and add one of that number for each SQL engine.
3. Add the new version to FINGERPRINTS in this file, with this fingerprint: """

_NAME = re.compile(r"'([a-z_:]*[a-z][a-z_:]*)'")
_COMMENT = re.compile(r"--.*")


def fingerprint() -> str:
    """Return what tells one layout from another: migrations without comments, and the names and events of Redis."""
    scripts = [script for dialect in ("sqlite", "postgres") for _, script in load_migrations(dialect)]
    statements = [" ".join(_COMMENT.sub("", script).split()) for script in scripts]
    names = {name for script in load_scripts().values() for name in _NAME.findall(_COMMENT.sub("", script.text))}
    return hashlib.sha256(
        "\n".join([*statements, *sorted(names), *stored([NewEvent.processing(1)], 2)]).encode()
    ).hexdigest()[:16]


def test_what_the_stores_keep_does_not_change_without_the_schema_version() -> None:
    assert FINGERPRINTS.get(SCHEMA_VERSION) == fingerprint(), WHAT_TO_DO + fingerprint()


def test_no_two_schema_versions_are_the_same() -> None:
    assert len(set(FINGERPRINTS.values())) == len(FINGERPRINTS)
    assert max(FINGERPRINTS) == SCHEMA_VERSION


def sqlite_of_version(version: int, folder: Path) -> Iterator[str]:
    with closing(apsw.Connection(str(folder / "queue.db"))) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("CREATE TABLE messages (place TEXT)")
    yield f"sqlite:///{folder}/queue.db"


def postgres_of_version(version: int, folder: Path) -> Iterator[str]:
    url = postgres_server.database_of(folder)
    server, database = postgres_server.shared_server(), url.rpartition("/")[2]
    server.execute("CREATE SCHEMA agent_queue", database)
    server.execute(f"CREATE TABLE agent_queue.agent_queue_migrations AS SELECT {version} AS number", database)
    yield url


def redis_of_version(version: int, _: Path) -> Iterator[str]:
    with ValkeyServer() as server, closing(Redis.from_url(server.url)) as client:
        client.set("{agent_queue}:schema", version)
        yield server.url


ENGINES = (sqlite_of_version, postgres_of_version, redis_of_version)


@pytest.mark.parametrize("command", ["serve", "migrate"])
@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.__name__)
@pytest.mark.parametrize(
    ("version", "cure"),
    [
        (1, "of a development version before 0.2.0, which has no migration. Start with an empty database: expected "),
        (99, "this program knows versions up to"),
    ],
)
def test_a_database_of_another_version_is_refused_in_one_line(
    tmp_path: Path, engine: Callable[[int, Path], Iterator[str]], command: str, version: int, cure: str
) -> None:
    with contextmanager(engine)(version, tmp_path) as url:
        environment = {"DATABASE_URL": url, "PORT": "0", "ALLOW_VOLATILE": "true"}
        refused = finished_process(tmp_path, "app.cli", command, **environment)
    assert refused.returncode == 78
    told = refused.stderr.removeprefix("Cannot start. ")
    assert told.startswith(f"DATABASE_URL: The database has schema version {version}, ")
    assert cure in refused.stderr
    assert refused.stderr.count("\n") == 1
