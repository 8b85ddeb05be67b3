"""The commands of README and guides, run as they stand there, against a server."""

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
from tests.servers import DEADLINE_SECONDS, ROOT, SETTING_NAMES, ServerProcess, server_process
from tests.unit.postgres_tools import opened

BLOCK_SECONDS = 120
DATABASE_URL = "sqlite:///data/agent_queue.db"
README = (ROOT / "README.md").read_text("utf-8")
CONTROL = (ROOT / "docs" / "CONTROL.md").read_text("utf-8")


class Block(NamedTuple):
    """Commands of a document, and what its comment says that they show."""

    code: str
    server_is_stopped: bool
    expected: tuple[re.Pattern[str], ...]


class Ran(NamedTuple):
    """What a block printed, and its commands that failed."""

    output: str
    failures: list[str]


def blocks_of(document: str) -> list[Block]:
    """Those behind a comment like `<!-- tested, the server is stopped | shows: text | matches: a pattern -->`."""
    blocks = []
    found = re.findall(r"^<!-- tested([^\n]*) -->\n```bash\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)
    for notes, code in found:
        first, *rest = notes.split(" | ")
        expected = []
        for kind, _, text in (note.partition(": ") for note in rest):
            assert kind in {"shows", "matches"}, kind
            expected.append(re.compile(text if kind == "matches" else re.escape(text)))
        blocks.append(Block(code, first == ", the server is stopped", tuple(expected)))
    return blocks


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


async def test_the_tour_works_as_it_is_written(tmp_path: Path) -> None:
    blocks = blocks_of(README)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    with server_process(tmp_path, cold=True, DATABASE_URL=DATABASE_URL) as server:
        await server.ready()
        environment = {
            "DATABASE_URL": DATABASE_URL,
            "HOST": "127.0.0.1",
            "PORT": str(server.port),
            "PYTHONPATH": str(ROOT),
        }
        async with shell(tmp_path, **environment) as bash:
            for block in blocks:
                if block.server_is_stopped:
                    await asyncio.to_thread(server.terminate)
                await check(bash, block, server)
                if "VACUUM INTO" in block.code:
                    await check(bash, block, server)  # as the next day's backup

    assert len(blocks) == README.count("<!-- tested")
    assert any(block.server_is_stopped for block in blocks)
    assert {path.name for path in (tmp_path / "data" / "backup").iterdir()} == {
        "agent_queue.db",
        "agent_queue_checkpoints.db",
    }


async def test_the_guide_to_control_works_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "desk.py").write_text(example_graph("desk.py", CONTROL))
    with server_process(tmp_path, DATABASE_URL=DATABASE_URL, AGENTS="desk=desk:graph", MAX_ATTEMPTS="1") as server:
        await server.ready()
        async with shell(tmp_path) as bash:
            for block in blocks_of(CONTROL):
                await check(bash, block, server)


def example_graph(name: str, document: str) -> str:
    found = re.search(rf"^<!-- file: {re.escape(name)} -->\n```python\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


async def test_a_backup_of_postgresql_and_its_restore_can_be_done_twice(tmp_path: Path) -> None:
    dump, restore = blocks_of((ROOT / "docs" / "OPERATIONS.md").read_text("utf-8"))
    url = postgres_server.database_of(tmp_path)
    programs = f"{postgres_server.shared_server().programs}{os.pathsep}{os.environ['PATH']}"
    async with shell(tmp_path, DATABASE_URL=url, PATH=programs) as bash:

        async def succeeds(block: Block) -> None:
            ran = await bash.run(block.code)
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
    """The result of a message in the example's thread."""
    async with httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_SECONDS) as client:
        submitted = await client.post("/messages", json={"message": message, "thread_id": "groceries"})
        message_id = submitted.json()["message_id"]
        await client.get(f"/messages/{message_id}/stream")  # returns when the stream has ended
        return str((await client.get(f"/messages/{message_id}/status")).json()["result"])


@pytest.mark.parametrize("setting", ["AGENTS", "LANGGRAPH_CONFIG"])
async def test_the_example_of_a_graph_works(setting: str, tmp_path: Path) -> None:
    (tmp_path / "my_agents.py").write_text(example_graph("my_agents.py", README))
    (tmp_path / "langgraph.json").write_text('{"graphs": {"shopping": "./my_agents.py:graph"}}')
    values = {"AGENTS": "shopping=my_agents:graph", "LANGGRAPH_CONFIG": "langgraph.json"}

    with server_process(tmp_path, cold=True, **{setting: values[setting]}) as server:
        await server.ready()
        answers = [await answer_of(server, "bread"), await answer_of(server, "milk")]

    assert answers == ["On the list: bread.", "On the list: bread, milk."]
    assert answers[1] in README
