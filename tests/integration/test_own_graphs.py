"""A user's project in a server process: its path, its environment, its factories, and what the log says of it."""

import json
from pathlib import Path
from typing import Any

import httpx2

from tests.servers import DEADLINE_SECONDS, ROOT, ServerProcess, cold_server_process, server_process, until

GRAPHS = """
import os
from contextlib import asynccontextmanager
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, MessagesState, StateGraph
from .names import NAMES

def graph_of(text):
    builder = StateGraph(MessagesState)
    builder.add_node("node", lambda _: {"messages": [AIMessage(text())]})
    builder.add_edge(START, "node")
    return builder.compile()

graph = graph_of(lambda: " ".join(os.environ.get(name, "-") for name in NAMES))

@asynccontextmanager
async def make(config: RunnableConfig):
    with open("notes.txt", "a") as notes:
        print("open", config["configurable"]["run_id"], file=notes)
        yield graph_of(lambda: "made")
        print("closed", config["configurable"]["run_id"], file=notes)

def fails():
    raise RuntimeError(os.environ["SEARCH_API_KEY"])
"""

LANGGRAPH_JSON: dict[str, Any] = {
    "dependencies": ["."],
    "graphs": {
        "environment": "./src/mine/graphs.py:graph",
        "made": {"path": "./src/mine/graphs.py:make"},
        "fails": "./src/mine/graphs.py:fails",
        "broken": "./src/mine/broken.py:graph",
    },
    "env": "./my.env",
    "python_version": "3.12",
    "auth": {"path": "./auth.py:auth"},
}


async def answer_of(server: ServerProcess, agent: str) -> dict[str, Any]:
    async with httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_SECONDS, trust_env=False) as client:
        body = {"message": "Hello", "agent": agent}
        response = await client.post("/messages", json=body, headers={"Prefer": "wait=30"})
        assert response.status_code == 200, response.text
        return dict(response.json())


async def test_a_project_has_its_path_its_environment_and_its_factories(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "src" / "mine").mkdir(parents=True)
    (project / "src" / "mine" / "graphs.py").write_text(GRAPHS)
    (project / "src" / "mine" / "names.py").write_text("NAMES = ['MY_ONE', 'MY_TWO', 'MY_THREE', 'MY_FOUR']")
    (project / "src" / "mine" / "broken.py").write_text("\nimport a_module_that_is_not_there\n")
    (project / "my.env").write_text("MY_ONE=project\nMY_TWO=project\nSEARCH_API_KEY=tvly-1234567890\n")
    (project / "langgraph.json").write_text(json.dumps(LANGGRAPH_JSON))
    (tmp_path / ".env").write_text("MY_ONE=server\nMY_TWO=server\nMY_THREE=server\n")
    with cold_server_process(tmp_path, LANGGRAPH_CONFIG="project/langgraph.json", MY_ONE="real") as server:
        await server.ready()
        assert (await answer_of(server, "environment"))["result"] == "real project server -"
        made = [await answer_of(server, "made") for _ in range(2)]
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as client:
            detail = (await client.get("/health")).json()["checks"]["agents"]["detail"]

    assert [each["result"] for each in made] == ["made", "made"]
    ids = [each["message_id"] for each in made]
    notes = (tmp_path / "notes.txt").read_text().splitlines()
    assert notes == [f"{news} {message_id}" for message_id in ids for news in ("open", "closed")]
    assert "fails: RuntimeError: *** (" in detail, "a secret of the project is not told"
    assert "No module named 'a_module_that_is_not_there'" in detail
    assert "mine/broken.py:2 in <module>" in detail
    assert "tvly" not in server.output
    (warning,) = [line for line in server.output.splitlines() if "have no effect" in line]
    assert warning.endswith("fields that have no effect here: python_version, auth")
    (at,) = [n for n, line in enumerate(server.output.splitlines()) if "name=broken" in line]
    traceback = [line for line in server.output.splitlines()[at + 1 : at + 7] if line.startswith(" ")]
    assert traceback[0].strip() == "Traceback (most recent call last):"
    assert len(traceback) == 5, traceback


async def test_the_command_finds_modules_in_the_working_directory(tmp_path: Path) -> None:
    """The command runs as an installed script, whose own folder Python puts on the path."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "agentq"
    script.write_text("from app.cli.main import main\nmain()\n")
    (tmp_path / "my_agents.py").write_text("async def answer(text: str) -> str:\n    return f'Heard: {text}'\n")
    with server_process(tmp_path, str(script), arguments=["serve"], AGENTS="mine=my_agents:answer") as server:
        await server.ready()
        assert (await answer_of(server, "mine"))["result"] == "Heard: Hello"


async def test_a_broken_langgraph_json_ends_the_start_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "langgraph.json").write_text('{\n  "graphs": {"mine": "./graph.py:graph",}\n}')
    with server_process(tmp_path, LANGGRAPH_CONFIG="langgraph.json") as server:
        code = await until(server.process.poll, "it has ended")
    assert code == 78
    (line,) = server.output.splitlines()
    assert "langgraph.json:2" in line
    assert str(ROOT) not in line
