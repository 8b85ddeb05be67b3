"""Runs and answers on the surfaces for callers who are different people."""

import json
from typing import Any

from app.access.principals import Principal
from app.access.scopes import AccessScope
from tests import wire
from tests.callers import admit
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_keys import issue
from tests.servers import LiveServer
from tests.strangers import ANN, JSON, STRANGERS

SCOPES = frozenset(AccessScope)
THREAD = "0a3e4b1c-0000-4000-8000-000000000001"
GRAPHS = "steps=tests.graphs:steps,asking=tests.graphs:asking"


async def ask(server: LiveServer, caller: str, method: str, path: str, body: Any = None) -> wire.RawResponse:
    """The reply to a caller's request."""
    text = b"" if body is None else json.dumps(body).encode()
    return await wire.request(server.url, method, path, headers={"X-API-Key": caller, **JSON}, body=text)


async def test_the_answers_of_an_end_user_are_runs_for_the_api_key_too(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    await issue(server)
    ann, key = await admit(server, ANN), await admit(server, Principal("default", SCOPES))
    runs = f"/langgraph/threads/{THREAD}/runs"
    turn = {"assistant_id": "asking", "input": {"messages": [{"role": "user", "content": "Hi"}]}}
    first = await ask(server, ann, "POST", f"{runs}/wait", {**turn, "if_not_exists": "create"})
    assert first.json()["__interrupt__"], first
    second = await ask(server, ann, "POST", f"{runs}/wait", {"assistant_id": "asking", "command": {"resume": "yes"}})
    assert second.status == 200, second
    bob = await admit(server, STRANGERS["another subject"])
    for caller in (ann, key):
        listed = (await ask(server, caller, "GET", runs)).json()
        assert len(listed) == 2
        for run in listed:
            assert (await ask(server, caller, "GET", f"{runs}/{run['run_id']}")).json() == run
            found = await ask(server, caller, "GET", f"/v1/responses/resp_{run['run_id']}")
            assert found.json()["status"] == "completed", found
            assert (await ask(server, bob, "GET", f"{runs}/{run['run_id']}")).status == 404
        assert (await ask(server, caller, "GET", f"/v1/conversations/conv_{THREAD}/items")).status == 200
        assert (await ask(server, caller, "GET", f"/api/chat/{THREAD}/stream?ended=true")).status == 200


async def test_a_caller_without_read_is_not_shown_the_state_of_a_thread(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    await issue(server)
    submits = await admit(server, Principal("default", frozenset({AccessScope.SUBMIT})))
    run = {"assistant_id": "steps", "input": {"messages": [{"role": "user", "content": "Hi"}]}}
    headers = {"X-API-Key": submits, "Accept": "text/event-stream"}
    for thread, mode, status in (
        (THREAD, "values", 403),
        (THREAD, "tasks", 403),
        (THREAD, "checkpoints", 403),
        (THREAD, "debug", 403),
        (THREAD, "updates", 200),
        (None, "values", 200),
    ):
        path = "/langgraph/runs/stream" if thread is None else f"/langgraph/threads/{thread}/runs/stream"
        wanted = {**run, "stream_mode": mode, "if_not_exists": "create"}
        assert (await ask(server, submits, "POST", path, wanted)).status == status, (thread, mode)
        native = {"message": "Hi", "agent": "steps", "thread_id": thread, "events": [mode]}
        reply = await server.client.post("/messages", json=native, headers=headers)
        assert reply.status_code == status, (thread, mode)
        assert status == 200 or "needs the scope `read`" in reply.json()["detail"]


async def test_a_reader_without_control_cannot_have_a_run_cancelled_by_leaving(serve: Serve) -> None:
    server = await serve(agents=GRAPHS, worker_concurrency=0)
    await issue(server)
    server.client.headers["X-API-Key"] = await admit(server, Principal("default", SCOPES))
    run = (await server.submit(agent="steps", thread_id=THREAD))["message_id"]
    reads = await admit(server, Principal("default", frozenset({AccessScope.READ})))
    refused = await ask(
        server, reads, "GET", f"/langgraph/threads/{THREAD}/runs/{run}/stream?cancel_on_disconnect=true"
    )
    assert refused.status == 403
    assert "cancel_on_disconnect" in refused.json()["detail"]


async def test_a_key_shows_nothing_of_callers_with_other_rights(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    await issue(server)
    every = await admit(server, Principal("default", SCOPES))
    narrowed = await admit(server, Principal("default", SCOPES, agents=frozenset({"asking"})))
    headers = {"Idempotency-Key": "one"}
    stored, refused = [
        await server.client.post("/messages", json={"message": "Hi"}, headers={**headers, "X-API-Key": caller})
        for caller in (every, narrowed)
    ]
    assert (stored.status_code, refused.json()["code"]) == (202, "idempotency_key_reused")
    said = {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}
    for caller in (every, narrowed):
        assert (await ask(server, caller, "POST", "/api/chat", {"id": "c", "messages": [said]})).status == 200
    messages = (await ask(server, every, "GET", "/threads/c/messages")).json()["messages"]
    assert [message["agent"] for message in messages] == ["steps", "asking"]
