"""Questions that were answered over the native API: the surfaces go on behind the answer."""

import asyncio
import json
import subprocess
from typing import Any

import pytest

from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_interrupts import answer, interrupted
from tests.node_packages import installed, node
from tests.servers import ROOT, LiveServer, until
from tests.talk import talk

FOLDER = ROOT / "tests" / "agui"
AGENTS = "approving=tests.graphs:approving"
THREAD = "0a3e4b1c-0000-4000-8000-000000000002"
SHOWN = [["user", "Delete it"], ["assistant", "Step one. "], ["assistant", "yes"], ["assistant", "Heard: Delete it"]]


async def came_back(server: LiveServer) -> dict[str, Any]:
    """The messages of a page of AG-UI after it has come back to the thread."""
    await asyncio.to_thread(installed, FOLDER)
    command = [node(), "back.mjs", server.url, "approving", THREAD]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    saw: dict[str, Any] = json.loads(done.stdout)
    return saw


async def asking(server: LiveServer) -> str:
    """The id of a message that asks."""
    message_id = str((await server.submit("Delete it", thread_id=THREAD))["message_id"])
    await interrupted(server, message_id)
    return message_id


async def test_a_page_of_ag_ui_goes_on_behind_an_answer_of_the_native_api(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    message_id = await asking(server)
    assert await came_back(server) == {"outcome": "interrupt", "asked": 1, "messages": SHOWN[:2]}
    control.hold("second")
    assert await answer(server, message_id, "yes") == 202
    await until(lambda: control.waits("second"), "the step behind the question")
    page = asyncio.create_task(came_back(server))
    await until(lambda: server.runtime.services.streams.open_by_kind()["stream"], "a reader")
    control.release("second")
    assert await page == {"outcome": "success", "asked": 0, "messages": SHOWN}
    assert await came_back(server) == {"outcome": "success", "asked": 0, "messages": SHOWN}


@pytest.mark.parametrize("over", ["http", "socket", "mcp"])
async def test_an_answer_of_any_api_is_a_run_on_all_surfaces(serve: Serve, control: GraphControl, over: str) -> None:
    server = await serve(agents=AGENTS)
    message_id = await asking(server)
    client = server.client
    if over == "http":
        assert await answer(server, message_id, "yes") == 202
    elif over == "socket":
        async with talk(server.url) as talking:
            await talking.send("resume", message_id=message_id, value="yes")
            await talking.until("resumed", message_id=message_id)
    else:
        asked = {"name": "answer_message", "arguments": {"message_id": message_id, "value": "yes"}}
        headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": asked}
        assert (await client.post("/mcp", json=body, headers=headers)).status_code == 200
    await server.ended(message_id)
    runs = (await client.get(f"/langgraph/threads/{THREAD}/runs")).json()
    assert [run["status"] for run in runs] == ["success", "success"]
    newest = runs[0]["run_id"]
    assert runs[1]["run_id"] == message_id != newest
    joined = await client.get(f"/langgraph/threads/{THREAD}/runs/{newest}/join")
    assert [each["content"] for each in joined.json()["messages"]][-1] == "Heard: Delete it"
    response = (await client.get(f"/v1/responses/resp_{newest}")).json()
    assert (response["status"], response["output"][-1]["content"][0]["text"]) == ("completed", "Heard: Delete it")
    items = (await client.get(f"/v1/conversations/conv_{THREAD}/items?order=asc&limit=100")).json()["data"]
    assert [item["type"] for item in items] == ["message", "message", "function_call", "message"]
    page = await client.get(f"/api/chat/{THREAD}/stream?ended=true")
    assert "Heard: Delete it" in page.text
    assert (await client.get(f"/messages/{message_id}")).json()["aliases"] == [newest]
