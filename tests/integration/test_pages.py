"""The commands of all pages, run as they stand there, against a server."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from app.errors import MessageNotFound
from tests import postgres_server
from tests.contract.builders import TENANT, add, dead_letter
from tests.pages import DOCS, PAGES, README, ROOT, Block, blocks_of, graphs_of, name_of, named, runs, server_settings
from tests.servers import DEADLINE_SECONDS, SETTING_NAMES, ServerProcess, cold_server_process, server_process
from tests.unit import sqlite_tools
from tests.unit.postgres_tools import opened

BLOCK_SECONDS = 120
DATABASE_URL = "sqlite:///data/agent_queue.db"
ONE_SERVER = DOCS / "how-to" / "run-one-server.md"
MANY_PROCESSES = DOCS / "how-to" / "run-many-processes.md"
BACKUPS = DOCS / "how-to" / "back-up-and-restore.md"
GRAPHS = DOCS / "how-to" / "serve-your-graphs.md"
TOUR = DOCS / "tutorial" / "tour.md"
CONTROL = DOCS / "how-to" / "control-messages.md"
PROJECT = ROOT / "examples" / "langgraph-project"


class Ran(NamedTuple):
    """The output of a block, and its commands that failed."""

    output: str
    failures: list[str]


class Shell:
    """A bash that runs blocks one after the other and keeps their variables, functions and background processes."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._count = 0

    async def run(self, code: str) -> Ran:
        """Every command counts, not only the last one."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._count += 1
        script = self._folder / f"block-{self._count}.sh"
        script.write_text(code)
        self._process.stdin.write(f"source {script.name}; printf '\\nEND OF BLOCK\\n'\n".encode())
        lines: list[str] = []
        async with asyncio.timeout(BLOCK_SECONDS):
            while (line := (await self._process.stdout.readline()).decode()) != "END OF BLOCK\n":
                assert line, f"bash ended; it had printed {lines}"
                lines.append(line)
        return Ran("".join(lines), [line for line in lines if line.startswith("FAILED ")])


@contextlib.asynccontextmanager
async def shell(folder: Path, **environment: str) -> AsyncIterator[Shell]:
    """A shell in this folder; what it started is ended with it."""
    inherited = {name: value for name, value in os.environ.items() if name not in SETTING_NAMES}
    process = await asyncio.create_subprocess_exec(
        "bash",
        cwd=folder,
        env={**inherited, **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        limit=2**20,
    )
    assert process.stdin is not None
    process.stdin.write(b"set -E; trap 'echo \"FAILED $? $BASH_COMMAND\"' ERR\n")
    try:
        yield Shell(process, folder)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


async def test_the_shell_notices_every_command_that_fails(tmp_path: Path) -> None:
    async with shell(tmp_path) as bash:
        ran = await bash.run("look() { false; echo looked; }\nlook\nNAME=kept\n")
        then = await bash.run('echo "$NAME"\n')

    assert ran.output.splitlines()[:2] == ["FAILED 1 false", "looked"]
    assert ran.failures == ["FAILED 1 false\n"]
    assert then == ("kept\n\n", [])


async def check(bash: Shell, block: Block, server: ServerProcess) -> None:
    """Run a block against this server, and look that it shows what its document says."""
    ran = await bash.run(block.code.replace("http://localhost:8000", server.url))
    told = f"\n{block.code}\nprinted\n{ran.output}"
    assert not ran.failures, told
    missing = [pattern.pattern for pattern in block.expected if not pattern.search(ran.output)]
    assert not missing, f"not shown: {missing}{told}"


def environment_of(server: ServerProcess) -> dict[str, str]:
    """Return the environment of commands that call this server, or start one of their own in its place."""
    own = {"DATABASE_URL": DATABASE_URL, "HOST": "127.0.0.1", "PORT": str(server.port), "PYTHONPATH": str(ROOT)}
    return {**own, "AGENTQ_URL": server.url}


def make_command(folder: Path) -> str:
    """Make the command `agentq` of this checkout and return the PATH on which it is found."""
    folder.mkdir()
    script = folder / "agentq"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m app.cli "$@"\n')
    script.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


WALKS = [
    [README, TOUR],
    [CONTROL, CONTROL],
    *([page] for page in PAGES if runs(page) and page not in {README, TOUR, CONTROL}),
]
"""Pages whose commands run one after the other on one database: readers go on, and go through a page again."""


@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: " then ".join(map(name_of, walk)))
async def test_the_commands_of_pages_show_what_they_say(walk: list[Path], tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(sys.prefix)
    path = make_command(tmp_path / "programs")
    for name, code in graphs_of(walk[0]).items():
        (tmp_path / name).write_text(code)
    start = cold_server_process if walk[0] == README else server_process
    with start(tmp_path, DATABASE_URL=DATABASE_URL, **server_settings(walk[0])) as server:
        await server.ready()
        for page in walk:
            async with shell(tmp_path, PATH=path, **environment_of(server)) as bash:
                for block in blocks_of(page):
                    if block.server_is_stopped:
                        await asyncio.to_thread(server.terminate)
                    if block.is_run:
                        await check(bash, block, server)
            if page == README:
                check_log(server.output)


def check_log(printed: str) -> None:
    """Look that the log has the lines that the page shows, but for times and ids."""
    for line in named(ONE_SERVER, "sample: log").splitlines():
        pattern = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", line).partition(" - ")[2]
        pattern = rf"^\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d - {re.escape(pattern).replace('ID', '[0-9a-f-]{36}')}$"
        assert re.search(pattern, printed, re.MULTILINE), line


def test_all_pages_are_run_that_have_commands_to_run() -> None:
    assert (
        {page for walk in WALKS for page in walk} == {page for page in PAGES if runs(page)} >= {README, TOUR, CONTROL}
    )


async def test_a_backup_of_sqlite_can_be_made_twice(tmp_path: Path) -> None:
    path = make_command(tmp_path / "programs")
    with server_process(tmp_path, DATABASE_URL=DATABASE_URL, AGENTS="steps=tests.graphs:steps") as server:
        await server.ready()
        await answer_of(server, "x")
        async with shell(tmp_path, PATH=path, **environment_of(server)) as bash:
            for _ in range(2):
                ran = await bash.run(named(ONE_SERVER, "tested: backup"))
                assert not ran.failures, ran.output

    assert [path.name for path in (tmp_path / "data" / "backup").iterdir()] == ["agent_queue.backup"]


async def test_a_queue_moves_from_sqlite_to_postgresql(tmp_path: Path) -> None:
    async with sqlite_tools.opened(tmp_path / "data" / "agent_queue.db") as store:
        waiting = await add(store, thread="t")
    url = postgres_server.database_of(tmp_path)
    path = make_command(tmp_path / "programs")
    async with shell(tmp_path, PATH=path, PYTHONPATH=str(ROOT), NEW_DATABASE_URL=url, ALLOW_VOLATILE="true") as bash:
        ran = await bash.run(named(BACKUPS, "tested: move"))
    assert not ran.failures, ran.output
    async with opened(url) as store:
        assert (await store.get(TENANT, waiting.id)).created_at == waiting.created_at


async def test_the_example_project_answers_as_its_page_asks(tmp_path: Path) -> None:
    settings = {"LANGGRAPH_CONFIG": str(PROJECT / "langgraph.json"), "GREETING": "Hello"}
    with server_process(tmp_path, PYTHONDONTWRITEBYTECODE="1", **settings) as server:
        await server.ready()
        async with shell(tmp_path) as bash:
            asked = named(PROJECT / "README.md", "tested: greeter").replace("http://localhost:8000", server.url)
            ran = await bash.run(asked)
    assert not ran.failures, ran.output
    assert '"result":"Hello, Ada!"' in ran.output


async def test_a_backup_of_postgresql_and_its_restore_can_be_done_twice(tmp_path: Path) -> None:
    dump, restore = (named(MANY_PROCESSES, mark) for mark in ("tested: postgres backup", "tested: postgres restore"))
    url = postgres_server.database_of(tmp_path)
    programs = f"{postgres_server.shared_server().programs}{os.pathsep}{os.environ['PATH']}"
    async with shell(tmp_path, DATABASE_URL=url, PATH=programs) as bash:

        async def succeeds(code: str) -> None:
            ran = await bash.run(code)
            assert not ran.failures, ran.output

        async with opened(url) as store:
            kept = await dead_letter(store, thread="t")
            for _ in range(2):
                await succeeds(dump)
            lost = await add(store)
        for _ in range(2):
            await succeeds(restore)
            async with opened(url) as store:
                assert await store.get(TENANT, kept.id) == kept
                with pytest.raises(MessageNotFound):
                    await store.get(TENANT, lost.id)
                await add(store, thread="t")


async def answer_of(server: ServerProcess, message: str) -> str:
    """The result of a message in a thread."""
    async with httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_SECONDS) as client:
        submitted = await client.post("/messages", json={"message": message, "thread_id": "groceries"})
        message_id = submitted.json()["message_id"]
        await client.get(f"/messages/{message_id}/stream")  # returns when the stream has ended
        return str((await client.get(f"/messages/{message_id}/status")).json()["result"])


@pytest.mark.parametrize("setting", ["AGENTS", "LANGGRAPH_CONFIG"])
async def test_the_example_of_a_graph_works(setting: str, tmp_path: Path) -> None:
    (tmp_path / "my_agents.py").write_text(named(GRAPHS, "file: my_agents.py"))
    (tmp_path / "langgraph.json").write_text('{"graphs": {"shopping": "./my_agents.py:graph"}}')
    values = {"AGENTS": "shopping=my_agents:graph", "LANGGRAPH_CONFIG": "langgraph.json"}

    with cold_server_process(tmp_path, **{setting: values[setting]}) as server:
        await server.ready()
        answers = [await answer_of(server, "bread"), await answer_of(server, "milk")]

    assert answers == ["On the list: bread.", "On the list: bread, milk."]
    assert answers[1] in GRAPHS.read_text("utf-8")
