"""LangGraph's JavaScript clients, unmodified, use the surface for all that a chat page does."""

import asyncio
import json
import subprocess
from typing import Any

import pytest

from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.langgraph_clients import AGENTS
from tests.node_packages import installed, node
from tests.openai_stub import Answer, StubServer, ToolCall
from tests.pages import DOCS, named
from tests.servers import ROOT, LiveServer

FOLDER = ROOT / "tests" / "langgraph_sdks"
PAGE = DOCS / "how-to" / "use-langgraph-clients.md"
DEADLINE_SECONDS = 100

SEEN: dict[str, Any] = {
    "assistants": ["steps", "approving", "failing"],
    "events": ["metadata", "values", "messages", "values", "messages", "values"],
    "pieces": ["Step one. ", "Heard: Hello"],
    "created": True,
    "joined": True,
    "resumed": True,
    "waited": 6,
    "state": 6,
    "history": [0, 1, 1, 1, 0, 1, 1, 1],
    "found": ["idle"],
    "count": 1,
    "question": [{"question": "May I?"}],
    "interrupted": "interrupted",
    "answer": "yes",
    "runs": ["success", "success"],
    "item": {"text": "kept"},
    "missing": 404,
    "left": 0,
}


@pytest.mark.parametrize("package", ["langgraph-sdk-1", "langgraph-sdk-2"])
async def test_a_javascript_client_sees_what_it_sees_on_its_own_server(
    serve: Serve, control: GraphControl, package: str
) -> None:
    await asyncio.to_thread(installed, FOLDER)
    server = await serve(agents=AGENTS, max_attempts=1)
    command = [node(), "scenario.mjs", package, f"{server.url}/langgraph"]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS
    )
    assert done.returncode == 0, done.stderr
    saw = json.loads(done.stdout)
    assert "this graph cannot" in saw.pop("failure")
    assert saw == SEEN


async def test_the_core_of_the_react_package_follows_threads(
    serve: Serve, control: GraphControl, model: StubServer
) -> None:
    await asyncio.to_thread(installed, FOLDER)
    server = await serve(agents=f"tools=tests.graphs:tools,{AGENTS}", max_attempts=1)
    model.replies += [ToolCall("_add", {"a": 2, "b": 3}), Answer("It is 5.")]
    command = [node(), "protocol.mjs", f"{server.url}/langgraph"]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS
    )
    assert done.returncode == 0, done.stderr
    whole = ["Do", "Step one. ", "yes", "Heard: Do"]
    assert json.loads(done.stdout) == {
        "question": [{"question": "May I?"}],
        "before": whole[:2],
        "after": whole,
        "reloaded": whole,
        "again": ["Again", "Step one. "],
        "tools": [["_add", {"a": 2, "b": 3}, "5", "finished"]],
        "answer": "It is 5.",
        "failure": "ValueError: this graph cannot: x",
    }


async def test_the_example_of_the_page_prints_the_answer(server: LiveServer, model: StubServer) -> None:
    await asyncio.to_thread(installed, FOLDER)
    code = named(PAGE, "tested: langgraph client in javascript").replace("http://localhost:8000", server.url)
    code = code.replace("@langchain/langgraph-sdk", "langgraph-sdk-2")
    program = [node(), "--input-type=module", "--eval", code]
    done = await asyncio.to_thread(
        subprocess.run, program, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS
    )
    (message,) = (await server.client.get("/messages")).json()["messages"]
    assert (done.returncode, done.stdout) == (0, message["result"]), done.stderr
    assert model.text_of_users(0) == ["What is the capital of France?"]
