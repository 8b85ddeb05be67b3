"""Wrong requests of LangGraph's clients are refused in their form of errors, by name. Replies have their headers."""

import json
from typing import Any

import pytest

from tests import wire
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.langgraph_clients import AGENTS, MISSING, said
from tests.servers import LiveServer, until
from tests.surfaces import check_refused

RUN: dict[str, Any] = {"assistant_id": "steps", "input": said("Hi")}
RUNS = "/threads/THREAD/runs"

WRONG: list[tuple[str, str, Any, int, str]] = [
    ("GET", "/assistants/steps", None, 422, "assistant_id"),
    ("GET", f"/assistants/{MISSING}", None, 404, MISSING),
    ("GET", "/assistants/ASSISTANT/graph?xray=true", None, 422, "xray"),
    ("GET", "/assistants/ASSISTANT/subgraphs", None, 501, "subgraphs"),
    ("POST", "/assistants/search", {"limit": 0}, 422, "limit"),
    ("POST", "/threads", {"thread_id": "odd"}, 422, "thread_id"),
    ("POST", "/threads", {"supersteps": [{"updates": []}]}, 422, "supersteps"),
    ("POST", "/threads", {"ttl": {"ttl": 5, "strategy": "keep_latest"}}, 422, "ttl"),
    ("POST", "/threads", {"ttl": 0}, 422, "ttl"),
    ("POST", "/threads", {"metadata": {"a": {"b": "x" * 20_000}}}, 422, "metadata"),
    ("POST", "/threads/search", {"metadata": {"a": {"b": 1}}}, 422, "metadata.a"),
    ("GET", f"/threads/{MISSING}/stream?stream_mode=run_modes", None, 501, "run_modes"),
    ("POST", "/threads/prune", {"thread_ids": [MISSING]}, 501, "prune"),
    ("POST", "/threads/search", {"status": "odd"}, 422, "status"),
    ("POST", "/threads/search", {"sort_by": "status"}, 422, "sort_by"),
    ("GET", "/threads/odd", None, 422, "thread_id"),
    ("GET", f"/threads/{MISSING}", None, 404, MISSING),
    ("GET", f"/threads/{MISSING}/state", None, 404, MISSING),
    ("POST", "/threads/THREAD/history", {"metadata": {"a": 1}}, 422, "metadata"),
    ("POST", "/threads/THREAD/history", {"checkpoint": {"checkpoint_ns": "inner"}}, 422, "checkpoint"),
    ("POST", RUNS, {**RUN, "assistant_id": "odd"}, 422, "steps, approving, failing"),
    ("POST", RUNS, {**RUN, "assistant_id": MISSING}, 404, MISSING),
    ("POST", f"/threads/{MISSING}/runs", RUN, 404, MISSING),
    ("POST", "/threads/odd/runs", {**RUN, "if_not_exists": "create"}, 422, "thread_id"),
    ("POST", RUNS, {**RUN, "multitask_strategy": "odd"}, 422, "multitask_strategy"),
    ("POST", RUNS, {**RUN, "stream_mode": ["values", "odd"]}, 422, "stream_mode.1"),
    ("POST", RUNS, {**RUN, "input": [1]}, 422, "input"),
    ("POST", RUNS, {**RUN, "input": {"unknown": 1}}, 422, "input.unknown"),
    ("POST", RUNS, {**RUN, "metadata": {"a": ["\u0000"]}}, 422, "metadata"),
    ("POST", RUNS, {**RUN, "config": {"configurable": {"colour": 1}}}, 422, "config.configurable.colour"),
    ("POST", RUNS, {**RUN, "config": {"configurable": {"priority": "odd"}}}, 422, "priority"),
    ("POST", RUNS, {**RUN, "metadata": {"priority": "odd"}}, 422, "metadata: priority: expected one of high, normal"),
    ("POST", RUNS, {**RUN, "metadata": {"priority": [1]}}, 422, "metadata: priority"),
    ("POST", RUNS, {**RUN, "context": {"user": 1}}, 422, "context"),
    ("POST", RUNS, {**RUN, "after_seconds": -1}, 422, "after_seconds"),
    ("POST", RUNS, {**RUN, "webhook": "https://example.com"}, 422, "WEBHOOK_SECRET"),
    ("POST", RUNS, {"assistant_id": "steps", "command": {"resume": 1}}, 409, "asks no question"),
    ("POST", RUNS, {"assistant_id": "steps", "command": {}}, 422, "give resume, update or goto"),
    ("POST", RUNS, {**RUN, "command": {"goto": "second"}}, 422, "command"),
    ("POST", RUNS, {"assistant_id": "steps", "command": {"goto": "odd"}}, 422, "command.goto"),
    ("POST", RUNS, {"assistant_id": "steps", "command": {"update": [["a", 1], ["a", 2]]}}, 422, "command.update"),
    ("POST", RUNS, {**RUN, "interrupt_before": ["odd"]}, 422, "interrupt_before"),
    ("POST", RUNS, {**RUN, "input": " "}, 422, "input"),
    ("POST", RUNS, {**RUN, "checkpoint": {"checkpoint_id": "x", "checkpoint_ns": "inner"}}, 422, "checkpoint"),
    ("POST", "/runs", {"assistant_id": "steps"}, 422, "input"),
    ("POST", "/runs", {**RUN, "checkpoint_id": MISSING}, 422, "checkpoint"),
    ("POST", "/runs", {"assistant_id": "steps", "command": {"resume": 1}}, 422, "command.resume"),
    ("POST", "/runs/batch", [RUN, {"assistant_id": "steps", "command": {"resume": 1}}], 422, "1.command.resume"),
    ("POST", "/runs/batch", [RUN, {**RUN, "stream_mode": "odd"}], 422, "1.stream_mode"),
    ("POST", "/runs/cancel", {}, 422, "run_ids"),
    ("POST", "/runs/cancel?action=rollback", {"status": "all"}, 501, "run_ids"),
    ("GET", f"{RUNS}?status=odd", None, 422, "status"),
    ("GET", f"{RUNS}/odd", None, 422, "run_id"),
    ("GET", f"{RUNS}/{MISSING}", None, 404, MISSING),
    ("POST", f"{RUNS}/RUN/cancel?action=odd", None, 422, "action"),
    ("POST", "/runs/crons", {**RUN, "schedule": "* * * * *"}, 501, "crons"),
    ("POST", "/store/items/search", {"query": "near"}, 422, "query"),
]


async def ask(server: LiveServer, method: str, path: str, body: Any = None) -> wire.RawResponse:
    """The reply to a request below the mount."""
    headers = {"Content-Type": "application/json"}
    text = b"" if body is None else json.dumps(body).encode()
    return await wire.request(server.url, method, f"/langgraph{path}", headers=headers, body=text)


async def test_what_is_wrong_is_named(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    await server.runtime.services.registry.loaded.wait()
    control.hold("first")
    thread = (await ask(server, "POST", "/threads", {})).json()["thread_id"]
    run = (await ask(server, "POST", f"/threads/{thread}/runs", RUN)).json()
    for method, declared, body, status, told in WRONG:
        path = declared.replace("THREAD", thread).replace("RUN", run["run_id"])
        path = path.replace("ASSISTANT", run["assistant_id"])
        response = await ask(server, method, path, body)
        assert response.status == status, (method, path, body, response)
        assert told in check_refused(response, "/langgraph/", status, ""), (method, path, body, response)
    listed = (await ask(server, "GET", f"/threads/{thread}/runs")).json()
    assert [each["run_id"] for each in listed] == [run["run_id"]]
    assert len((await server.client.get("/messages")).json()["messages"]) == 1
    large = await ask(server, "POST", f"/threads/{thread}/runs", {**RUN, "input": said("x" * 2_000_000)})
    assert "larger than" in check_refused(large, "/langgraph/", 413, "")


async def test_an_answer_changes_nothing_but_the_question(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    thread = (await ask(server, "POST", "/threads", {})).json()["thread_id"]
    run = {**RUN, "assistant_id": "approving", "metadata": {"page": 7}}
    assert "__interrupt__" in (await ask(server, "POST", f"/threads/{thread}/runs/wait", run)).json()
    resume = {"assistant_id": "approving", "command": {"resume": "yes"}}
    for change, told in (
        ({"assistant_id": "steps"}, "assistant_id"),
        ({"input": said("More")}, "input"),
        ({"context": {"a": 1}}, "context"),
        ({"config": {"recursion_limit": 5}}, "config"),
        ({"config": {"configurable": {"priority": "high"}}}, "config.configurable.priority"),
        ({"metadata": {"page": 8}}, "metadata"),
        ({"webhook": "https://example.com"}, "webhook"),
        ({"after_seconds": 5}, "after_seconds"),
        ({"stream_mode": "updates"}, "stream_mode"),
        ({"interrupt_before": "*"}, "interrupt_before"),
        ({"checkpoint": {"checkpoint_id": MISSING}}, "checkpoint"),
        ({"command": {"resume": {"0" * 32: "yes"}}}, "command.resume"),
        ({"command": {"resume": 1, "goto": "second"}}, "command"),
    ):
        response = await ask(server, "POST", f"/threads/{thread}/runs", {**resume, **change})
        assert told in check_refused(response, "/langgraph/", 422, ""), change
    state = (await ask(server, "GET", f"/threads/{thread}/state")).json()
    resume |= {"checkpoint": state["checkpoint"], "metadata": run["metadata"]}
    same = {**resume, "config": {"tags": [], "run_name": "x"}, "context": None, "stream_mode": ["values", "messages"]}
    assert (await ask(server, "POST", f"/threads/{thread}/runs", same)).status == 200


async def test_replies_name_where_the_run_is(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    response = await ask(server, "POST", "/threads/a%2Fb/runs", RUN)
    check_refused(response, "/langgraph/", 422, "")
    await server.submit("Native", thread_id="a/b c", agent="steps")
    response = await ask(server, "POST", "/threads/a%2Fb%20c/runs", RUN)
    path = f"/threads/a%2Fb%20c/runs/{response.json()['run_id']}"
    assert response.headers["content-location"] == path
    assert "location" not in response.headers
    joined = await ask(server, "GET", f"{path}/join")
    assert (joined.headers["content-location"], joined.headers["location"]) == (path, f"{path}/join")
    assert (await ask(server, "GET", path)).json()["thread_id"] == "a/b c"


async def test_a_held_reply_stays_alive_and_a_client_that_leaves_cancels(
    serve: Serve, control: GraphControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.protocols.departures.GRACE_SECONDS", 0.0)
    server = await serve(agents=AGENTS, keepalive_interval=1)
    control.hold("second")
    body = {**RUN, "on_disconnect": "cancel"}
    async with server.client.stream("POST", "/langgraph/runs/wait", json=body) as response:
        assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
        assert await anext(response.aiter_raw()) == b"\n"
        run = response.headers["content-location"]

    async def look() -> bool:
        return bool((await ask(server, "GET", run)).json()["status"] == "interrupted")

    await until(look, "the run is cancelled")
