"""The TypeScript demo as its users run it: installed from its lock, checked, tested, run."""

import re

import pytest

from tests.integration.conftest import ChatProcess
from tests.node_packages import installed, npm
from tests.pages import named
from tests.servers import ROOT

FOLDER = ROOT / "examples" / "typescript-client"


@pytest.fixture(scope="module", autouse=True)
def its_packages() -> None:
    """Exactly what the lock file says."""
    installed(FOLDER)


def test_its_types_hold() -> None:
    npm(FOLDER, "run", "typecheck")


def test_its_own_tests_pass() -> None:
    assert "# fail 0" in npm(FOLDER, "test")


def test_its_readme_lists_its_files() -> None:
    listed = re.findall(r"^src/(\S+)", named(FOLDER / "README.md", "sample: layout"), re.MULTILINE)
    there = {path.name for path in (FOLDER / "src").glob("*.ts")} | {"scenes/"}
    assert set(listed) == there


def test_the_demo_finds_nothing_wrong(chat_process: ChatProcess) -> None:
    output = npm(FOLDER, "run", "demo", AGENT_QUEUE_URL=chat_process.server.url, DEMO_TIMEOUT_SECONDS="60")
    assert "0 failed" in output
