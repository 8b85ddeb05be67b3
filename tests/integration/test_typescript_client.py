"""The TypeScript client as its users run it: installed from its lock, checked, tested, its demo run."""

import os
import shutil
import subprocess

import pytest

from tests.integration.conftest import ChatProcess
from tests.servers import ROOT

FOLDER = ROOT / "examples" / "typescript-client"
DEADLINE_SECONDS = 100


def npm(*arguments: str, **environment: str) -> str:
    """Runs npm in the client's folder; what it printed. Fails when npm is not there or does not end with 0."""
    program = shutil.which("npm")
    assert program is not None, "Node.js with npm has to be installed for this test"
    done = subprocess.run(
        [program, *arguments],
        cwd=FOLDER,
        env={**os.environ, "NO_COLOR": "1", "CI": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """Exactly what the lock file says."""
    npm("ci", "--no-audit", "--no-fund")


def test_its_types_hold() -> None:
    npm("run", "typecheck")


def test_its_own_tests_pass() -> None:
    assert "# fail 0" in npm("test")


def test_the_demo_finds_nothing_wrong(chat_process: ChatProcess) -> None:
    output = npm("run", "demo", AGENT_QUEUE_URL=chat_process.server.url, DEMO_TIMEOUT_SECONDS="60")
    assert "0 failed" in output
