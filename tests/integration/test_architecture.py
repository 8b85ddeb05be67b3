"""The architecture's page names the threads of a server and counts its connections as they are, on each engine."""

import asyncio
import re
import threading
from pathlib import Path

import psycopg
import pytest

from tests import postgres_server, valkey_server
from tests.documents import ARCHITECTURE
from tests.integration.conftest import Serve
from tests.pages import DOCS
from tests.servers import LiveServer, until

MANY_PROCESSES = DOCS / "how-to" / "run-many-processes.md"
ENGINES = {"sqlite": "SQLite", "postgres": "PostgreSQL", "redis": "Redis"}
WHEN_NEEDED = {"agents-beside", "asyncio_0"}
"""Threads that a server starts only when a call needs them."""


def url_of(engine: str, folder: Path) -> str:
    match engine:
        case "postgres":
            return postgres_server.database_of(folder)
        case "redis":
            return valkey_server.shared_server().url
    return f"sqlite:///{folder / 'queue.db'}"


def described(engine: str) -> set[str]:
    """The names of threads that the page gives for an engine. Only the first of a numbered kind is named."""
    rows = re.findall(r"^\| `([\w-]+)`[^|]* \| (\w+) \|", ARCHITECTURE.read_text("utf-8"), re.MULTILINE)
    return {name for name, on in rows if on in {"all", ENGINES[engine]}}


def first_of_its_kind(name: str) -> str:
    """`agents-1` for `agents-7`, `asyncio_0` for `asyncio_3`."""
    if numbered := re.fullmatch(r"(agents-)[1-9]\d*|(asyncio_)\d+", name):
        return f"{numbered[1]}1" if numbered[1] else f"{numbered[2]}0"
    return name


async def served(serve: Serve, engine: str, folder: Path) -> LiveServer:
    """A server on an engine that has run a message."""
    url = url_of(engine, folder)
    server = await serve(database_url=url, agents="steps=tests.graphs:steps", allow_volatile=True)
    await server.ended((await server.submit())["message_id"])
    return server


@pytest.mark.parametrize("engine", ENGINES)
async def test_the_threads_are_those_of_the_page(serve: Serve, tmp_path: Path, engine: str) -> None:
    before = {thread.ident for thread in threading.enumerate()} - {threading.main_thread().ident}
    await served(serve, engine, tmp_path)
    names = {first_of_its_kind(thread.name) for thread in threading.enumerate() if thread.ident not in before}

    assert names - {"MainThread"} <= described(engine)
    assert described(engine) <= names | WHEN_NEEDED


async def test_the_connections_to_postgresql_are_as_many_as_the_page_says(serve: Serve, tmp_path: Path) -> None:
    told = re.search(
        r"process holds up to (\d+) for the queue, one for its heartbeat", MANY_PROCESSES.read_text("utf-8")
    )
    assert told is not None
    wanted = int(told[1]) + 1
    await served(serve, "postgres", tmp_path)

    def connected() -> bool:
        with psycopg.connect(postgres_server.database_of(tmp_path)) as connection:
            [[count]] = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'agent-queue'"
            )
        assert count <= wanted
        return bool(count == wanted)

    await until(lambda: asyncio.to_thread(connected), f"{wanted} connections")
