"""Commands of backups on the database of the environment, and what they have to keep."""

import asyncio
import os
from io import StringIO
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.cli.main import execute
from app.cli.terminal import Terminal
from app.models.messages import MessageFilter, Page
from tests import postgres_server
from tests.contract.builders import ALL, TENANT, add
from tests.integration.test_command_line import Ended
from tests.servers import DEADLINE_SECONDS, ServerProcess
from tests.unit.sqlite_tools import opened

AGENTS = "steps=tests.graphs:steps"


def agentq(*arguments: str | Path) -> Ended:
    """Run a command on the database of the environment."""
    terminal = Terminal(StringIO(), StringIO(), StringIO(), environment={})
    code = execute([*map(str, arguments), "--json"], terminal)
    assert isinstance(terminal.stdout, StringIO)
    assert isinstance(terminal.stderr, StringIO)
    return Ended(code, terminal.stdout.getvalue(), terminal.stderr.getvalue())


def succeeds(*arguments: str | Path) -> Any:
    """Run a command that must succeed, and return what it prints."""
    ended = agentq(*arguments)
    assert ended.code == 0, ended.errors
    (record,) = ended.records
    return record


def refusal(*arguments: str | Path) -> str:
    """Run a command that must fail in one line, and return the code of its error."""
    ended = agentq(*arguments)
    assert ended.code in (1, 3, 78)
    assert not ended.output
    assert len(ended.errors.splitlines()) == 1, ended.errors
    assert ended.problem["fix"]
    return str(ended.problem["code"])


@pytest.fixture(autouse=True)
def with_programs_of_postgres(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", f"{postgres_server.shared_server().programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of DATABASE_URL."""
    path = tmp_path / "data" / "queue.db"
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{path}")
    return path


@pytest.fixture
def backup(queue: Path, tmp_path: Path) -> Path:
    """A backup of a queue with one message, which is gone."""
    put(queue, "kept")
    file = tmp_path / "backup"
    succeeds("backup", file)
    for path in queue.parent.iterdir():
        path.unlink()
    return file


def put(path: Path, *texts: str) -> None:
    """Accept messages into the queue in a file."""

    async def accept() -> None:
        async with opened(path) as store:
            for text in texts:
                await add(store, text)

    asyncio.run(accept())


def contents(path: Path) -> list[str]:
    """The messages in a file, newest first."""

    async def read() -> list[str]:
        async with opened(path) as store:
            return [each.content for each in await store.list_messages(TENANT, MessageFilter(), Page(ALL))]

    return asyncio.run(read())


async def submit(server: ServerProcess, text: str, **fields: Any) -> str:
    """Submit a message, wait for its end, and return its result."""
    async with httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_SECONDS) as client:
        reply = await client.post("/messages", json={"message": text, **fields}, headers={"Prefer": "wait=30"})
        assert reply.json()["state"] == "completed", reply.text
        return str(reply.json()["result"])


async def question_from(server: ServerProcess, **fields: Any) -> str:
    """Submit a message to an agent that asks, wait for its question, and return its id."""
    async with httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_SECONDS) as client:
        body = {"message": "may I?", "agent": "approving", **fields}
        reply = await client.post("/messages", json=body, headers={"Prefer": "wait=30"})
        assert reply.json()["state"] == "interrupted", reply.text
        return str(reply.json()["message_id"])
