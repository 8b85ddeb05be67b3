"""Several processes over one database, started by the commands that the documents name."""

import asyncio
import contextlib
import importlib.metadata
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app import __version__
from app.cli import main as cli
from app.cli.commands import COMMANDS
from tests import wire
from tests.servers import ROOT, ServerProcess, cold_server_process, finished_process, server_process, until

MESSAGES = 24
API_ONLY = {"WORKER_CONCURRENCY": "0"}
AGENT = {"AGENTS": "plain=tests.graphs:plain_state"}


async def ask(server: ServerProcess, path: str) -> Any:
    response = await wire.request(server.url, "GET", path)
    assert response.status == 200, response.body
    return response.json()


async def submit(server: ServerProcess, message: str, **fields: Any) -> str:
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, verify=False) as client:
        response = await client.post("/messages", json={"message": message, **fields})
    assert response.status_code == 202, response.text
    return str(response.json()["message_id"])


async def pids_of_workers(server: ServerProcess) -> set[int]:
    return {worker["pid"] for worker in (await ask(server, "/workers"))["workers"]}


@contextlib.contextmanager
def agentq(folder: Path, database: dict[str, str], *arguments: str, **environment: str) -> Iterator[ServerProcess]:
    """`agentq …` as a process of its own, on this database."""
    environment = {**database, **AGENT, **environment}
    with server_process(folder, "app.cli", arguments=arguments, **environment) as process:
        yield process


async def test_any_number_of_servers_and_workers_share_one_queue(tmp_path: Path, database: dict[str, str]) -> None:
    """Submitted here, run there, read elsewhere; a worker that dies is missed, and what it had is run by the other."""
    with (
        agentq(tmp_path, database, "serve", **API_ONLY) as first,
        agentq(tmp_path, database, "serve", **API_ONLY) as second,
        agentq(tmp_path, database, "worker", WORKER_CONCURRENCY="2") as one,
        agentq(tmp_path, database, "worker", WORKER_CONCURRENCY="3") as other,
    ):
        await asyncio.gather(first.ready(), second.ready())

        async def listed() -> bool:
            return await pids_of_workers(second) == {one.process.pid, other.process.pid}

        await until(listed, "both workers are listed")
        workers = (await ask(first, "/workers"))["workers"]
        assert sorted(worker["slots"] for worker in workers) == [2, 3]
        assert all(worker["last_beat"] >= worker["started_at"] for worker in workers)

        servers = (first, second)
        texts = [f"message {number}" for number in range(MESSAGES)]
        ids = [
            await submit(servers[number % 2], text, thread_id=f"thread {number % 5}")
            for number, text in enumerate(texts)
        ]
        one.kill()
        logs = await asyncio.gather(
            *(wire.frames_of(servers[(number + 1) % 2].url, each) for number, each in enumerate(ids))
        )
        for text, frames in zip(texts, logs, strict=True):
            wire.check_log(frames)
            assert wire.text_of(frames) == f"Heard: {text}"

        async def forgotten() -> bool:
            return await pids_of_workers(first) == {other.process.pid}

        await until(forgotten, "the dead worker is not listed any more")
        assert await asyncio.to_thread(other.terminate) == 0
        assert await pids_of_workers(second) == set()


async def test_uvicorn_with_several_processes(tmp_path: Path) -> None:
    """On one engine. How uvicorn starts them matters here; the test above shares a queue on every engine."""
    arguments = ("app.main:app", "--host", "127.0.0.1", "--port", "{port}", "--workers", "2")
    with cold_server_process(tmp_path, "uvicorn", arguments=arguments, **AGENT) as server:
        await server.ready()

        async def both() -> bool:
            return len(await pids_of_workers(server)) == 2

        await until(both, "both processes run messages")
        ids = [await submit(server, f"message {number}") for number in range(MESSAGES)]
        for number, frames in enumerate(await asyncio.gather(*(wire.frames_of(server.url, each) for each in ids))):
            wire.check_log(frames)
            assert wire.text_of(frames) == f"Heard: message {number}"
        assert await asyncio.to_thread(server.terminate) == 0


# The command


def run_agentq(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command that imports everything itself."""
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_agentq_is_installed_with_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    in_checkout = project["scripts"]["agentq"].replace("agentq.", "app.", 1)  # as `test_installed` sees it in a wheel
    entry = importlib.metadata.EntryPoint("agentq", in_checkout, "console_scripts")
    assert entry.load() is cli.main


def test_agentq_says_its_version_and_what_it_can_do(tmp_path: Path) -> None:
    assert run_agentq(tmp_path, "--version").stdout == f"{__version__}\n"
    explained = finished_process(tmp_path, "app.cli", "--help").stdout
    assert all(f"  {name}" in explained for name in COMMANDS)
    refused = finished_process(tmp_path, "app.cli", "fly")
    assert refused.returncode == 2
    assert refused.stderr == "No such command 'fly'. Try: agentq --help\n"


def test_commands_on_the_store_tell_errors_as_json_too(tmp_path: Path) -> None:
    for command in (["keys", "list"], ["usage"], ["audit"], ["migrate"]):
        done = finished_process(tmp_path, "app.cli", *command, "--json", DATABASE_URL="redys://host")
        told = json.loads(done.stderr)
        assert (done.returncode, done.stdout, told["code"], told["fix"]) == (
            *(78, "", "configuration_error"), "agentq doctor",
        )  # fmt: skip
        assert told["message"].startswith("DATABASE_URL: expected sqlite:///path/to/file.db, ")
    database = {"DATABASE_URL": f"sqlite:///{tmp_path / 'queue.db'}"}
    migrated = finished_process(tmp_path, "app.cli", "migrate", "--json", **database)
    assert json.loads(migrated.stdout) == {"database": "sqlite", "up_to_date": True}
    missing = finished_process(tmp_path, "app.cli", "keys", "revoke", "nobody", "--json", **database)
    told = json.loads(missing.stderr)
    assert (missing.returncode, told["code"], told["fix"]) == (3, "key_not_found", "agentq keys list")


def test_agentq_migrate_makes_the_database_and_ends(tmp_path: Path) -> None:
    done = run_agentq(tmp_path, "migrate", DATABASE_URL=f"sqlite:///{tmp_path / 'queue.db'}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "The database is up to date.\n"
    assert (tmp_path / "queue.db").exists()


@pytest.mark.parametrize("url", ["sqlite:///", "mysql://root:hunter2hunter2@127.0.0.1/queue", "redis:/x", "queue.db"])
def test_a_wrong_url_is_one_line_without_its_password(tmp_path: Path, url: str) -> None:
    done = finished_process(tmp_path, "app.cli", "serve", DATABASE_URL=url, PORT="0")
    assert done.returncode == 78
    assert done.stderr.startswith("Cannot start. DATABASE_URL: expected sqlite:///path/to/file.db, postgresql://")
    assert done.stderr.count("\n") == 1
    assert "hunter2" not in done.stderr + done.stdout
