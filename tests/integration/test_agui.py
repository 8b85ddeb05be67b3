"""AG-UI's client, unmodified, uses the surface for all that a page does. It checks the order of all events itself."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.browser.agents import WORDS
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.node_packages import installed, node
from tests.openai_stub import StubServer
from tests.pages import DOCS, named
from tests.servers import ROOT, LiveServer, server_process

FOLDER = ROOT / "tests" / "agui"
PAGE = DOCS / "how-to" / "use-ag-ui.md"
DEADLINE_SECONDS = 100
PAGES = ",".join(f"{name}=tests.browser.agents:{name}" for name in ("tools", "thinks", "writes"))
GRAPHS = ",".join(f"{name}=tests.graphs:{name}" for name in ("steps", "approving", "failing", "flaky", "lists"))

TEXT = ["TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END"]
CALL = ["TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END"]
THOUGHT = [f"REASONING_{part}" for part in ("START", "MESSAGE_START", "MESSAGE_CONTENT", "MESSAGE_END", "END")]
READ = ["RUN_STARTED", "MESSAGES_SNAPSHOT", "RUN_FINISHED"]


def run_of(*steps: list[str]) -> list[str]:
    """The types of a run's events, without those of its place in the queue."""
    return [
        "RUN_STARTED",
        *(each for step in steps for each in ("STEP_STARTED", *step, "STEP_FINISHED")),
        "RUN_FINISHED",
    ]


SEEN: dict[str, Any] = {
    "types": run_of(TEXT, TEXT),
    "result": "Heard: Hello",
    "outcome": "success",
    "text": [
        *(["user", "Hello"], ["assistant", "Step one. "], ["assistant", "Heard: Hello"]),
        *(["user", "Again"], ["assistant", "Step one. "], ["assistant", "Heard: Hello | Again"]),
    ],
    "reloaded": READ,
    "same": True,
    "nothing": [READ],
    "tool_types": run_of([*TEXT, *CALL], ["TOOL_CALL_RESULT"], TEXT),
    "tools": [
        ["user", "Where?"],
        ["assistant", "Let me look.", 'search {"query": "capital of France"}'],
        ["tool", '{"capital": "Paris"}'],
        ["assistant", "It is **Paris**."],
    ],
    "reasoning_types": run_of([*THOUGHT, *TEXT]),
    "reasoning": [["user", "Where?"], ["reasoning", "Easy."], ["assistant", "Paris."]],
    "question": ["interrupt", "input_required", "May I?", {"value": {"question": "May I?"}}, "string"],
    "asked": [["user", "Do"], ["assistant", "Step one. "]],
    "open": ["interrupt", [["user", "Do"], ["assistant", "Step one. "]], [True]],
    "answered": [
        "success",
        [["user", "Do"], ["assistant", "Step one. "], ["assistant", "yes"], ["assistant", "Heard: Do"]],
    ],
    "refused": "cancelled",
    "cut": 3,
    "stopped": [
        *(204, "cancelled", ["RUN_STARTED", "MESSAGES_SNAPSHOT"]),
        [["user", "Write"], ["assistant", "word0"], ["assistant", "word1"], ["assistant", "word2"]],
    ],
    "custom": True,
    "failed": ["RUN_ERROR", "ValueError: this graph cannot: x", "agent_error"],
    "unknown": [404, "agent_not_found"],
    "retried": [1, [["user", "x"], ["assistant", "Step one. "], ["assistant", "It works."]]],
    "state": {"items": ["x", "x"]},
    "place": 0,
    "file": [["user", "image,text"], ["assistant", "Step one. "], ["assistant", "Heard: Look"]],
}


@pytest.mark.parametrize("package", ["ag-ui-0", "ag-ui-1"])
async def test_a_page_of_ag_ui_has_its_whole_day(serve: Serve, control: GraphControl, package: str) -> None:
    await asyncio.to_thread(installed, FOLDER)
    control.crash("flaky")
    server = await serve(agents=f"{PAGES},{GRAPHS}", max_attempts=2, retry_base_seconds=0.01)
    command = [node(), "scenario.mjs", package, server.url]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS
    )
    assert done.returncode == 0, done.stderr
    saw = json.loads(done.stdout)
    thread_id, client_id = saw.pop("thread")
    assert saw == SEEN
    messages = (await server.client.get(f"/threads/{thread_id}/messages")).json()["messages"]
    assert [message["priority"] for message in messages] == ["high"]
    state = (await server.client.get(f"/threads/{thread_id}/state")).json()
    human, *_ = state["values"]["messages"]
    assert human["id"] == client_id
    assert [block["type"] for block in human["content"]] == ["image", "text"]
    assert human["content"][0]["extras"] == {"filename": "a.png"}


READING = """
const before = globalThis.fetch;
globalThis.fetch = async (...given) => {
  const response = await before(...given);
  console.error("reading");
  return response;
};
"""


async def test_the_example_comes_back_to_a_server_that_was_killed(tmp_path: Path, control: GraphControl) -> None:
    await asyncio.to_thread(installed, FOLDER)
    given = {"AGENTS": "chat=tests.browser.agents:writes", "RETRY_BASE_SECONDS": "0", "MAX_ATTEMPTS": "5"}
    with server_process(tmp_path, **given) as killed:
        await killed.ready()
        async with httpx2.AsyncClient(base_url=killed.url, trust_env=False) as client:
            body = {"message": "Write", "thread_id": "t1", "agent": "chat"}
            assert (await client.post("/messages", json=body)).status_code == 202
        code = READING + named(PAGE, "tested: ag-ui comes back").replace("http://localhost:8000", killed.url)
        page = await asyncio.create_subprocess_exec(
            *(node(), "--input-type=module", "--eval", code.replace('"@ag-ui/client"', '"ag-ui-1"')),
            cwd=FOLDER,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert page.stderr is not None
            async with asyncio.timeout(DEADLINE_SECONDS):
                assert await page.stderr.readline() == b"reading\n"
                killed.kill()
                with server_process(tmp_path, PORT=str(killed.port), **given):
                    told, _ = await page.communicate()
        finally:
            if page.returncode is None:
                page.kill()
                await page.wait()
    assert page.returncode == 0
    assert told.decode().splitlines() == ["user: Write", *(f"assistant: word{number}" for number in range(WORDS))]


async def test_the_examples_of_the_page_print_answers(serve: Serve, control: GraphControl, model: StubServer) -> None:
    await asyncio.to_thread(installed, FOLDER)
    server, asking = await serve(), await serve(agents="approving=tests.graphs:approving")

    async def printed(name: str, server: LiveServer) -> list[str]:
        code = named(PAGE, name).replace("http://localhost:8000", server.url)
        program = [node(), "--input-type=module", "--eval", code.replace('"@ag-ui/client"', '"ag-ui-1"')]
        done = await asyncio.to_thread(
            subprocess.run, program, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    told = await printed("tested: ag-ui in node", server)
    (message,) = (await server.client.get("/messages")).json()["messages"]
    assert told == [message["result"]] * 2
    assert (message["thread_id"], message["priority"]) == ("t1", "high")
    question = "What is the capital of France?"
    assert model.text_of_users(0) == [question]
    assert await printed("tested: ag-ui comes back", server) == [f"user: {question}", f"assistant: {message['result']}"]
    assert await printed("tested: ag-ui answers", asking) == ["May I?", "Heard: Delete the reports"]
