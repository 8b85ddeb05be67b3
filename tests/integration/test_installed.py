"""The installed package beside a user's own code: its name, its files, and its command in a folder with an `app`."""

import subprocess
import sys
import zipfile
from importlib.metadata import EntryPoint, PathDistribution
from pathlib import Path

import httpx2
import pytest

from app import __version__
from tests.servers import DEADLINE_SECONDS, ROOT, server_process

GRAPH = """
from langgraph.graph import START, MessagesState, StateGraph
from app.words import HELLO

graph = StateGraph(MessagesState)
graph.add_node("answer", lambda _: {"messages": [("ai", HELLO)]})
graph.add_edge(START, "answer")
graph = graph.compile()
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel of this checkout is installed."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = (folder / "dist").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_a_wheel_has_all_of_the_package_under_its_own_name(site: Path) -> None:
    roots = (ROOT / "app", ROOT / "app" / "client")  # a link, which `rglob` of its parent passes over
    files = (path for root in roots for path in root.rglob("*") if path.suffix not in ("", ".pyc"))
    ours = {path.relative_to(ROOT / "app") for path in files}
    assert Path("client/client.py") in ours
    assert {path.relative_to(site / "agentq") for path in (site / "agentq").rglob("*") if path.is_file()} == ours
    assert {each.name.partition("-")[0] for each in site.iterdir()} == {"agentq", "agent_queue_system"}
    (information,) = site.glob("*.dist-info")
    distribution = PathDistribution(information)
    assert distribution.version == __version__
    assert list(distribution.entry_points) == [EntryPoint("agentq", "agentq.cli.main:main", "console_scripts")]


async def test_the_command_serves_a_project_that_has_an_app_package_of_its_own(site: Path, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").touch()
    (tmp_path / "app" / "words.py").write_text('HELLO = "from an app of my own"')
    (tmp_path / "app" / "graph.py").write_text(GRAPH)
    (tmp_path / "langgraph.json").write_text('{"dependencies": ["."], "graphs": {"mine": "./app/graph.py:graph"}}')
    environment = {"PYTHONPATH": str(site), "LANGGRAPH_CONFIG": "langgraph.json"}
    with server_process(tmp_path, "agentq.cli", arguments=["serve"], **environment) as server:
        await server.ready("/health/live")
        async with httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_SECONDS, trust_env=False) as client:
            body = {"message": "Hello", "agent": "mine"}
            answer = await client.post("/messages", json=body, headers={"Prefer": "wait=30"})
        assert answer.json()["result"] == "from an app of my own", server.output
        assert server.terminate() == 0
    assert "agentq.worker - INFO - Worker started" in server.output
    assert (site / "agentq" / "py.typed").exists()
