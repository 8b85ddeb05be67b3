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
from tests.integration.test_visibility import ANN, JSON, STRANGERS
from tests.servers import LiveServer

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
