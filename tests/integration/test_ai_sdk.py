"""The AI SDK, unmodified, uses the surface for all that a chat page does."""

import asyncio
import json
import subprocess
from typing import Any

import pytest

from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.node_packages import installed, node
from tests.openai_clients import AGENTS as OPENAI_AGENTS
from tests.openai_stub import Answer, StubServer, ToolCall
from tests.pages import DOCS, named
from tests.servers import ROOT, LiveServer

FOLDER = ROOT / "tests" / "ai_sdk"
PAGE = DOCS / "how-to" / "use-the-ai-sdk.md"
DEADLINE_SECONDS = 100
PAGES = ",".join(f"{name}=tests.browser.agents:{name}" for name in ("tools", "thinks", "writes"))
GRAPHS = ",".join(f"{name}=tests.graphs:{name}" for name in ("steps", "approving", "failing", "flaky"))

SEEN: dict[str, Any] = {
    "text": [
        ["user", "Hello"],
        ["assistant", "Step one. ", "Heard: Hello"],
        ["user", "Again"],
        ["assistant", "Step one. ", "Heard: Hello | Again"],
    ],
    "regenerated": [["assistant", "Step one. ", "Heard: Hello | Again"], True, 4],
    "edited": [["user", "Edited"], ["assistant", "Step one. ", "Heard: Edited"]],
    "status": "ready",
    "tools": [
        ["user", "Where?"],
        ["assistant", "Let me look.", 'search output-available "{\\"capital\\": \\"Paris\\"}"', "It is **Paris**."],
    ],
    "reasoning": ["assistant", "(Easy.)", "Paris."],
    "question": ["tool-ask_human", {"question": "May I?"}],
    "open": [[["assistant", "Step one. ", "tool-ask_human input-available undefined"]], True],
    "answered": [
        ["user", "Do"],
        ["assistant", "Step one. ", 'tool-ask_human output-available "yes"', "yes", "Heard: Do"],
    ],
    "posts": 2,
    "same": True,
    "stop": 204,
    "stopped": [["assistant", "word0", "word1", "word2"], "ready", [{"written": 0}, {"written": 1}]],
    "nothing": "ready",
    "failed": ["error", True],
    "refused": ["error", True],
    "retried": ["assistant", "Step one. ", "data-retry 1", "It works."],
    "places": [["data-queue", 0]],
    "file": ["assistant", "Step one. ", "Heard: Look"],
}


@pytest.mark.parametrize("package", ["ai-6", "ai-7"])
async def test_a_page_of_the_ai_sdk_has_its_whole_day(serve: Serve, control: GraphControl, package: str) -> None:
    await asyncio.to_thread(installed, FOLDER)
    control.crash("flaky")
    server = await serve(agents=f"{PAGES},{GRAPHS}", max_attempts=2, retry_base_seconds=0.01)
    command = [node(), "scenario.mjs", package, server.url]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS
    )
    assert done.returncode == 0, done.stderr
    saw = json.loads(done.stdout)
    chat_id, client_id = saw.pop("chat")
    assert saw == SEEN
    messages = (await server.client.get(f"/threads/{chat_id}/messages")).json()["messages"]
    assert [message["priority"] for message in messages] == ["high"]
    state = (await server.client.get(f"/threads/{chat_id}/state")).json()
    human, *_ = state["values"]["messages"]
    assert human["id"] == client_id
    assert [block["type"] for block in human["content"]] == ["image", "text"]
    assert human["content"][0]["extras"] == {"filename": "a.png"}


TALKED: dict[str, Any] = {
    "turns": [
        ["Step one. Heard: One", "Step one. Heard: One | Two", "Step one. Heard: One | Two | Three"],
        ["user", *["item_reference"] * 2, "user", *["item_reference"] * 2, "user"],
    ],
    "tools": [["Five.", "Six."], ["user", "item_reference", "item_reference", "user"]],
    "question": ["ask_human", {"question": "May I?"}],
    "answered": ["yesHeard: Do", ["user", "item_reference", "function_call", "function_call_output"]],
    "later": [
        "Step one. ",
        ["user", "item_reference", "function_call", "function_call_output", *["item_reference"] * 2, "user"],
    ],
}


async def test_the_provider_for_openai_talks_by_references_to_items(
    serve: Serve, control: GraphControl, model: StubServer
) -> None:
    await asyncio.to_thread(installed, FOLDER)
    server = await serve(agents=OPENAI_AGENTS)
    for version in ("6", "7"):
        model.replies.extend([ToolCall("_add", {"a": 2, "b": 3}), Answer("Five."), Answer("Six.")])
        command = [node(), "provider.mjs", f"ai-{version}", f"openai-{version}", f"{server.url}/v1"]
        done = await asyncio.to_thread(
            subprocess.run, command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == TALKED
        said = model.requests[-1].body["messages"]
        assert [each["content"] for each in said] == ["2+3?", None, "5", "Five.", "And one more?"]
        assert len(said[2]["tool_call_id"]) <= 40, "OpenAI's models take no longer ones"


async def test_the_example_of_the_page_prints_the_answer(server: LiveServer, model: StubServer) -> None:
    await asyncio.to_thread(installed, FOLDER)
    code = named(PAGE, "tested: ai sdk in node").replace("http://localhost:8000", server.url)
    program = [node(), "--input-type=module", "--eval", code.replace('"ai"', '"ai-7"')]
    done = await asyncio.to_thread(
        subprocess.run, program, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS
    )
    (message,) = (await server.client.get("/messages")).json()["messages"]
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, message["result"]), done.stderr
    assert (message["thread_id"], message["priority"]) == ("c1", "high")
    assert model.text_of_users(0) == ["What is the capital of France?"]


@pytest.mark.parametrize(
    ("block", "file"),
    [
        ("sample: a chat page in react", "use_chat_example.jsx"),
        ("sample: a transport for long chats", "use_chat_page.jsx"),
    ],
)
def test_the_pages_of_the_documentation_are_those_that_are_used_in_a_browser(block: str, file: str) -> None:
    assert named(PAGE, block) in (ROOT / "tests" / "browser" / file).read_text()
