"""On OpenAI's surface too, things that a caller may not see are like missing ones, and each act needs its scope."""

import json
from typing import Any
from urllib.parse import quote

from starlette.routing import Route

from app.access.principals import Principal
from app.access.scopes import AccessScope
from app.models.messages import MessageFilter, Page
from app.protocols.openai import SURFACE
from tests import wire
from tests.callers import admit
from tests.contract.builders import ALL, interrupt, new
from tests.integration.conftest import Serve
from tests.integration.test_keys import issue
from tests.integration.test_visibility import AGENTS, ANN, JSON, STRANGERS, ann_has, snapshot, without
from tests.servers import LiveServer

MISSING = "7f3e4b1c-0000-4000-8000-00000000000{}"
THREAD = "0a3e4b1c-0000-4000-8000-000000000001"
TURN = {"model": "MODEL", "input": "Hi", "background": True}
ANSWER = {"model": "MODEL", "input": [{"type": "function_call_output", "call_id": "q", "output": "yes"}]}
BY_BODY: list[dict[str, Any]] = [
    {**body, **past} for body in (TURN, ANSWER) for past in ({"conversation": "CONV"}, {"previous_response_id": "RESP"})
]
BODIES: dict[str, Any] = {"POST /conversations/{conversation_id}": {"metadata": {"a": 1}}}
PLACES = {"response_id": "RESP", "conversation_id": "CONV", "model": "MODEL"}
"""Where bodies have ids."""

NO_ID = {"/models", "/models/{model}", "/responses", "/conversations", "/chat/completions"}


async def ask(server: LiveServer, caller: str, method: str, path: str, body: Any = None, **ids: str) -> tuple[int, str]:
    """The status and the body of a reply, with ID in place of the ids."""
    text = json.dumps(body)
    for name, value in ids.items():
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
        text = text.replace(
            json.dumps({"response_id": "RESP", "conversation_id": "CONV", "model": "MODEL"}[name]), json.dumps(value)
        )
    sent = b"" if body is None else text.encode()
    headers = {"X-API-Key": caller, **JSON}
    response = await wire.request(server.url, method, f"/v1{path}", headers=headers, body=sent)
    told = response.body.decode()
    for value in ids.values():
        told = without(told, value)
    return response.status, told


async def test_a_foreign_id_is_answered_like_a_missing_one(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    await issue(server)
    store = server.runtime.services.store
    known = await ann_has(store)
    (queued,) = (await store.add([new(thread=THREAD, subject="ann")], max_queued=ALL)).messages
    before = await snapshot(store)
    theirs = [(THREAD, queued.id), *((known["thread"][2], message) for message in known["message"])]
    asked: list[tuple[str, str, Any]] = [("POST", "/responses", body) for body in BY_BODY]
    for route in SURFACE.routes:
        assert isinstance(route, Route)
        path = route.path.removeprefix(SURFACE.prefix)
        if path not in NO_ID:
            (method,) = route.methods or {""}
            asked.append((method, path, BODIES.get(f"{method} {path}")))
    walked = 0
    for who, stranger in STRANGERS.items():
        caller = await admit(server, stranger)
        agent = "coder" if who == "other agents" else "chat"
        for method, path, body in asked:
            by_response = "{response_id}" in path or "RESP" in json.dumps(body)
            if who == "other agents" and not by_response:
                continue  # threads of other agents are shown, without their messages
            for thread, message in theirs if by_response else theirs[:2]:
                ids = {"response_id": f"resp_{MISSING.format(1)}", "conversation_id": f"conv_{MISSING.format(2)}"}
                missing = await ask(server, caller, method, path, body, model=agent, **ids)
                assert missing[0] in (400, 404), (method, path, missing)
                given = {"response_id": f"resp_{message}", "conversation_id": f"conv_{thread}"}
                assert await ask(server, caller, method, path, body, model=agent, **given) == missing, (who, path, body)
                walked += 1
    assert walked > 150
    assert await snapshot(store) == before


async def test_models_are_those_that_the_caller_may_use(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    await issue(server)
    caller = await admit(server, STRANGERS["other agents"])
    status, told = await ask(server, caller, "GET", "/models")
    assert (status, [model["id"] for model in json.loads(told)["data"]]) == (200, ["coder"])
    assert await ask(server, caller, "GET", "/models/{model}", model="chat") == await ask(
        server, caller, "GET", "/models/{model}", model="missing"
    )


async def test_each_act_needs_its_scope(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    await issue(server)
    store = server.runtime.services.store
    asking = await interrupt(store, thread=THREAD)
    submits = await admit(server, Principal("default", frozenset({AccessScope.SUBMIT})))
    past = {"response_id": f"resp_{asking.id}"}
    answer = {**ANSWER, "previous_response_id": "RESP"}
    status, told = await ask(server, submits, "POST", "/responses", answer, model=asking.agent, **past)
    assert (status, "control" in told) == (403, True)
    status, told = await ask(server, submits, "GET", "/responses/{response_id}", **past)
    assert (status, "read" in told) == (403, True)
    hook = {"model": "chat", "input": "Hi", "webhook_url": "https://example.com"}
    status, told = await ask(server, await admit(server, ANN), "POST", "/responses", hook)
    assert (status, "webhook_url" in told) == (403, True)
    assert (await store.get("default", asking.id)).state == "interrupted"
    assert len(await store.list_messages("default", MessageFilter(), Page(ALL))) == 1
