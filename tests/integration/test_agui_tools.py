"""Tools and context of pages: agents that look for them get them, and their calls are answered by the page."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.agui_events import ReadRun
from tests.agui_requests import ask, back, run, said, sent, stored
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.node_packages import installed, node
from tests.openai_stub import Answer, StubServer, ToolCall
from tests.pages import DOCS, named
from tests.servers import ROOT, LiveServer, until

FOLDER = ROOT / "tests" / "agui"
GUIDE = DOCS / "how-to" / "use-ag-ui.md"
KINDS = ("copilot", "ag_ui", "listed", "names")
AGENTS = ",".join([*(f"{name}=tests.page_agents:{name}" for name in KINDS), "steps=tests.graphs:steps"])
PAINT = {"name": "paint", "description": "Paints the page", "parameters": {"type": "object", "properties": {}}}
PAGE = [{"description": "page", "value": "home"}]
CALLED = ("paint", '{"colour": "red"}')


def result(call: str = "call_0", id: str = "r1", content: Any = "painted", **fields: Any) -> dict[str, Any]:
    """The page's answer to a call."""
    return {"id": id, "role": "tool", "toolCallId": call, "content": content, **fields}


def of_page(*messages: Any, run_id: str = "r", **fields: Any) -> dict[str, Any]:
    """The request of a page with a tool and a context."""
    return run(*messages, run_id=run_id, **{"tools": [PAINT], "context": PAGE, **fields})


def ignored(read: ReadRun) -> list[str]:
    """The fields that the first event says were ignored."""
    return list(read.started["metadata"]["agentq"].get("ignored", []))


async def loaded(serve: Serve, **settings: Any) -> LiveServer:
    """A server whose agents have been described."""
    server = await serve(agents=AGENTS, **settings)
    await server.runtime.services.registry.loaded.wait()
    return server


@pytest.mark.parametrize("package", ["ag-ui-0", "ag-ui-1"])
@pytest.mark.parametrize("agent", ["copilot", "ag_ui", "listed"])
async def test_a_page_runs_its_tool_and_the_agent_goes_on(serve: Serve, package: str, agent: str) -> None:
    await asyncio.to_thread(installed, FOLDER)
    server = await loaded(serve)
    command = [node(), "tools.mjs", package, server.url, agent]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    saw = json.loads(done.stdout)
    about = "page = home" if agent == "ag_ui" else ""
    not_given = ["context"] if agent == "listed" else []
    thread = saw.pop("thread")
    shown_state = (
        {"tools": [PAINT | {"parameters": saw["state"]["tools"][0]["parameters"]}]} if agent == "listed" else {}
    )
    assert saw == {
        "outcomes": ["success", "success"],
        "ignored": [not_given, not_given],
        "colours": ["red"],
        "messages": [
            ["user", "Paint it"],
            ["assistant", about],
            ["tool", "painted"],
            ["assistant", "Result 1: painted"],
        ],
        "same": True,
        "state": shown_state,
    }
    messages = (await server.client.get(f"/threads/{thread}/messages")).json()["messages"]
    assert [each["state"] for each in messages] == ["completed", "completed"]


async def test_agents_that_declare_nothing_of_it_are_given_nothing_and_pages_are_told(
    serve: Serve, control: GraphControl
) -> None:
    server = await loaded(serve)
    read = await sent(server, of_page(), "steps")
    assert (read.shown()[-1], ignored(read)) == ("Heard: Hi", ["tools", "context"])
    own = await sent(server, of_page(threadId="n"), "names")
    assert (own.shown()[-1], ignored(own)) == ("No tools. own = None", ["tools", "context"])
    assert ignored(await sent(server, run(said(id="u2"), run_id="r2"), "steps")) == []
    for agent, takes in (("copilot", True), ("ag_ui", True), ("listed", True), ("names", False), ("steps", False)):
        assert (await ask(server, f"/{agent}", method="GET")).json()["tools"]["clientProvided"] is takes, agent


async def test_a_page_without_tools_takes_away_those_of_the_page_before(serve: Serve) -> None:
    server = await loaded(serve)
    first = await sent(server, of_page(), "copilot")
    assert first.shown() == [("user", "Hi"), CALLED]
    second = await sent(server, run(*first.messages, result(), said("More", "u2"), run_id="r2"), "copilot")
    assert second.shown()[-1] == "No tools. "
    assert second.state is None, "a page is not shown what pages gave"
    state = (await server.client.get("/threads/t/state")).json()["values"]
    assert state["copilotkit"] == {"actions": [], "context": [], "intercepted_tool_calls": None}
    assert [each["type"] for each in state["messages"]] == ["human", "ai", "tool", "human", "ai"]


async def test_an_answer_that_comes_again_is_given_once(serve: Serve) -> None:
    server = await loaded(serve)
    first = await sent(server, of_page(), "copilot")
    answered = of_page(*first.messages, result(), run_id="r2")
    wanted = (await sent(server, answered, "copilot")).shown()
    assert wanted[-1] == "Result 1: painted"
    for body in (answered, {**answered, "runId": "r3"}, back("r2"), back("r4")):
        assert (await sent(server, body, "copilot")).shown() == wanted
    assert len(await stored(server)) == 2


async def test_two_pages_that_answer_at_once_are_one_answer(serve: Serve) -> None:
    server = await loaded(serve)
    first = await sent(server, of_page(), "copilot")
    answered = of_page(*first.messages, result(), run_id="r2")
    one, other = await asyncio.gather(*(sent(server, answered, "copilot") for _ in range(2)))
    assert one.shown() == other.shown()
    assert one.shown()[-1] == "Result 1: painted"


async def test_a_failed_tool_of_a_page_is_an_error_for_the_agent(serve: Serve) -> None:
    server = await loaded(serve)
    first = await sent(server, of_page(), "copilot")
    parts = [{"type": "text", "text": "no paint"}]
    await sent(server, of_page(*first.messages, result(content=parts, error="empty"), run_id="r2"), "copilot")
    told = (await server.client.get("/threads/t/state")).json()["values"]["messages"][2]
    assert (told["tool_call_id"], told["status"], told["id"]) == ("call_0", "error", "r1")
    assert json.loads(told["content"])[0]["text"] == "no paint"


async def test_an_answer_to_nothing_is_none(serve: Serve) -> None:
    server = await loaded(serve)
    first = await sent(server, of_page(), "copilot")
    read = await sent(server, of_page(*first.messages, result("call_9"), run_id="r2"), "copilot")
    assert read.shown() == first.shown(), "the page has what the agent knows"
    assert [each["state"] for each in await stored(server)].count("completed") == len(await stored(server))


async def test_the_results_of_the_agents_own_tools_are_no_answers_of_the_page(serve: Serve) -> None:
    server = await serve(agents="tools=tests.browser.agents:tools")
    done = await sent(server, run(), "tools")
    assert [each["role"] for each in done.messages] == ["user", "assistant", "tool", "assistant"]
    again = await sent(server, run(*done.messages[:3], run_id="r2"), "tools")
    assert again.shown() == done.shown()
    assert len((await server.client.get("/messages")).json()["messages"]) == 1


async def test_a_page_that_comes_back_in_the_middle_of_a_tool_reads_on(serve: Serve) -> None:
    server = await serve(
        agents="writes=tests.browser.agents:writes,tools=tests.browser.agents:tools", worker_concurrency=0
    )
    first = asyncio.create_task(server.client.post("/agui/tools", json=run()))
    await until(lambda: server.runtime.services.streams.open_by_kind()["stream"], "a reader")
    called = {
        "id": "a",
        "role": "assistant",
        "toolCalls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    second = asyncio.create_task(server.client.post("/agui/tools", json=run(said(), called, result("c"), run_id="r2")))
    await until(lambda: server.runtime.services.streams.open_by_kind()["stream"] == 2, "both read")
    assert len((await server.client.get("/messages")).json()["messages"]) == 1
    for reader in (first, second):
        reader.cancel()


async def test_a_thread_that_the_server_does_not_have_goes_on_with_the_answer(serve: Serve) -> None:
    server = await loaded(serve)
    call = {"id": "c1", "type": "function", "function": {"name": "paint", "arguments": "{}"}}
    history = [said("Paint", "u1"), {"id": "a1", "role": "assistant", "toolCalls": [call]}, result("c1")]
    assert (await sent(server, of_page(*history), "copilot")).shown()[-1] == "Result 1: painted"


async def test_what_cannot_be_stored_is_refused(serve: Serve) -> None:
    server = await loaded(serve)
    faults: dict[str, Any] = {
        "tools": [{**PAINT, "description": "a\x00"}],
        "context": [{"description": "d", "value": "\x00"}],
    }
    for field, value in faults.items():
        response = await ask(server, "/copilot", {**run(), field: value})
        assert (response.status, field in response.json()["message"]) == (422, True), response


async def test_the_agent_of_the_page_lets_the_model_call_tools_of_pages(
    serve: Serve, model: StubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "agent_of_the_guide.py").write_text(named(GUIDE, "tested: ag-ui tools of a page"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", model.base_url)
    server = await serve(agents="guide=agent_of_the_guide:graph")
    model.replies.extend([ToolCall("paint", {"colour": "red"}), Answer("It is red now.")])
    first = await sent(server, of_page(), "guide")
    assert first.shown()[-1] == CALLED
    (call,) = first.calls()
    second = await sent(server, of_page(*first.messages, result(call["id"]), run_id="r2"), "guide")
    assert second.shown()[-1] == "It is red now."
    called, answered = (request.body for request in model.requests)
    assert called["tools"] == [{"type": "function", "function": PAINT}]
    assert [each["role"] for each in answered["messages"]] == ["user", "assistant", "tool"]
