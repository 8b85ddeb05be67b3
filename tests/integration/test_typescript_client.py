"""The TypeScript client as its users run it: installed from its lock, checked, tested, its demo run."""

import asyncio
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.graph_control import GraphControl
from tests.integration.conftest import ChatProcess
from tests.node_packages import installed, npm
from tests.pages import named
from tests.servers import ROOT, ServerProcess, server_process

FOLDER = ROOT / "examples" / "typescript-client"


@pytest.fixture(scope="module", autouse=True)
def its_packages() -> None:
    """Exactly what the lock file says."""
    installed(FOLDER)


def test_its_types_hold() -> None:
    npm(FOLDER, "run", "typecheck")


def test_its_own_tests_pass() -> None:
    assert "# fail 0" in npm(FOLDER, "test")


@pytest.fixture(scope="module")
def steered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with the agents that `test/control.ts` wants: one pauses, one asks, one fails the first time."""
    folder = tmp_path_factory.mktemp("control")
    control = GraphControl(folder)
    control.hold("second")
    control.crash("flaky")
    agents = ",".join(f"{name}=tests.graphs:{name}" for name in ("steps", "asking", "flaky"))
    with server_process(folder, AGENTS=agents, WORKER_CONCURRENCY="8", **control.environment) as server:
        asyncio.run(server.ready())
        yield server


@pytest.mark.parametrize("name", ["agent", "resume", "retry", "batch", "cancelRunning"])
def test_what_steers_messages_works(steered: ServerProcess, name: str) -> None:
    output = npm(FOLDER, "exec", "--", "tsx", "test/control.ts", name, AGENT_QUEUE_URL=steered.url)
    assert f"{name}: as it should be" in output


def test_its_readme_names_every_method_and_no_other() -> None:
    methods = set(
        re.findall(r"^  (?:async )?\*?(\w+)\(", (FOLDER / "src" / "client.ts").read_text("utf-8"), re.MULTILINE)
    )
    told = set(re.findall(r"^\| `(\w+)\(", (FOLDER / "README.md").read_text("utf-8"), re.MULTILINE))
    ours = methods - {"constructor", "ageMs", "touch", "rest", "close"}  # of errors and connections
    assert told == ours


def test_the_example_of_its_readme_compiles(tmp_path: Path) -> None:
    shutil.copytree(FOLDER / "src", tmp_path / "src")
    for name in ("package.json", "tsconfig.json", "node_modules"):
        (tmp_path / name).symlink_to(FOLDER / name)
    (tmp_path / "src" / "example.ts").write_text(named(FOLDER / "README.md", "file: example.ts"))
    npm(FOLDER, "exec", "--", "tsc", "--noEmit", "--project", str(tmp_path))


def test_its_readme_lists_its_files() -> None:
    listed = re.findall(r"^src/(\S+)", named(FOLDER / "README.md", "sample: layout"), re.MULTILINE)
    there = {path.name for path in (FOLDER / "src").glob("*.ts")} | {"scenes/"}
    assert set(listed) == there


def test_the_demo_finds_nothing_wrong(chat_process: ChatProcess) -> None:
    output = npm(FOLDER, "run", "demo", AGENT_QUEUE_URL=chat_process.server.url, DEMO_TIMEOUT_SECONDS="60")
    assert "0 failed" in output
