"""On LangGraph's surface too, things that a caller may not see are like missing ones."""

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from app.access.principals import Principal
from app.access.scopes import AccessScope
from app.models.messages import MessageFilter, Page
from app.models.visibility import ThreadNarrowing
from app.protocols.langgraph import SURFACE
from app.protocols.langgraph.ids import assistant_id_of
from tests import wire
from tests.callers import admit
from tests.contract.builders import ALL, interrupt, new
from tests.foreign_ids import MISSING, THREAD, Asked, routes_of, walk
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_keys import issue
from tests.servers import LiveServer
from tests.strangers import AGENTS, ANN, JSON, STRANGERS, ann_has

RUN = {"assistant_id": "{agent}", "input": {"messages": [{"role": "user", "content": "Hi"}]}, "if_not_exists": "reject"}
BODIES: dict[str, Any] = {
    "POST /threads": {"thread_id": "{thread_id}"},
    "POST /threads/search": {"ids": ["{thread_id}"]},
    "POST /threads/count": {"ids": ["{thread_id}"]},
    "PATCH /threads/{thread_id}": {"metadata": {"a": 1}},
    "POST /threads/{thread_id}/state": {"values": {}},
    "POST /threads/{thread_id}/state/checkpoint": {"checkpoint": {"checkpoint_id": "x"}},
    "POST /threads/{thread_id}/history": {},
    **{f"POST /threads/{{thread_id}}/runs{how}": RUN for how in ("", "/wait", "/stream")},
    "POST /runs/batch": [{**RUN, "thread_id": "{thread_id}"}],
    "POST /runs/cancel": {"thread_id": "{thread_id}", "run_ids": ["{run_id}"]},
}
FREE = {"POST /threads": "a missing id makes a thread, so the refusal is compared with that of a missing thread"}
NO_ID = re.compile(
    r"/(ok|info|store/.*|runs(/wait|/stream)?|assistants(/search|/count)?|(.*/)?crons.*|threads/(prune|{.*}/stream))"
)
"""Paths without an id, or that refuse everybody. Items are kept apart by `tests/integration/test_items.py`."""


async def test_a_foreign_id_is_answered_like_a_missing_one(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    await issue(server)
    store = server.runtime.services.store
    known = await ann_has(store)
    (queued,) = (await store.add([new(thread=THREAD, subject="ann")], max_queued=ALL)).messages
    alone = known["message"][-1]
    theirs = [(THREAD, queued.id), (alone, alone), (known["thread"][2], known["message"][2])]

    def of_route(who: str, method: str, path: str) -> Iterator[Asked]:
        others = who == "other agents"  # threads of other agents are shown, without their messages
        ids = {"checkpoint_id": "no-checkpoint", "namespace": "no-namespace"}
        if "{assistant_id}" in path:
            if others:
                given, missing = {"assistant_id": assistant_id_of("chat")}, {"assistant_id": MISSING.format(1)}
                yield Asked(method, path, {**ids, **given}, {**ids, **missing})
            return
        if others and "{run_id}" not in path:
            return
        is_free = f"{method} {path}" in FREE
        for thread, run in theirs:
            if is_free and (who.startswith("another tenant") or thread != THREAD):
                continue
            unknown = MISSING if thread in (THREAD, alone) else "ann/nothing {}"
            ids["agent"] = "coder" if others else "chat"
            yield Asked(
                method,
                path,
                {**ids, "thread_id": thread, "run_id": run},
                {**ids, "thread_id": unknown.format(1), "run_id": MISSING.format(2)},
                BODIES.get(f"{method} {path}"),
                ("GET", "/threads/{thread_id}") if is_free else None,
            )

    def requests(who: str) -> Iterator[Asked]:
        for method, path in routes_of(SURFACE):
            if not NO_ID.fullmatch(path):
                yield from of_route(who, method, path)

    await walk(server, SURFACE, requests, at_least=150)


async def found(server: LiveServer, caller: str) -> str:
    """All threads that a caller finds, as JSON."""
    headers = {"X-API-Key": caller, **JSON}
    response = await wire.request(server.url, "POST", "/langgraph/threads/search", headers=headers, body=b"{}")
    assert response.status == 200, response
    return response.body.decode()


async def test_lists_show_nothing_of_others(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    await issue(server)
    known = await ann_has(server.runtime.services.store)
    for who, stranger in STRANGERS.items():
        caller = await admit(server, stranger)
        told = await found(server, caller)
        shown = set(known["message"]) if who == "other agents" else {*known["message"], *known["thread"]}
        assert not [each for each in shown if json.dumps(each) in told], who
    told = await found(server, await admit(server, ANN))
    assert {each["thread_id"] for each in json.loads(told)} == set(known["thread"])


async def test_what_a_run_does_needs_its_own_scope(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    await issue(server)
    store = server.runtime.services.store
    asking = await interrupt(store, thread=THREAD)
    submits = await admit(server, Principal("default", frozenset({AccessScope.SUBMIT})))
    answer = {"assistant_id": asking.agent, "command": {"resume": 1}}
    run = {**RUN, "assistant_id": "chat"}

    async def told(caller: str, path: str, body: Any) -> tuple[int, str]:
        headers = {"X-API-Key": caller, **JSON}
        text = json.dumps(body).encode()
        response = await wire.request(server.url, "POST", f"/langgraph{path}", headers=headers, body=text)
        return response.status, response.body.decode()

    status, text = await told(submits, f"/threads/{THREAD}/runs", answer)
    assert (status, "control" in text) == (403, True)
    assert (await store.get("default", asking.id)).state == "interrupted"
    for path in (f"/threads/{THREAD}/runs/wait", "/runs/wait"):
        status, text = await told(submits, path, run)
        assert (status, "read" in text) == (403, True)
    status, text = await told(await admit(server, ANN), "/runs", {**run, "webhook": "https://example.com"})
    assert (status, "webhook_url" in text) == (403, True)
    listed = await store.list_messages("default", MessageFilter(), Page(ALL))
    assert [message.id for message in listed] == [asking.id]


async def test_a_run_is_found_in_its_own_thread_only(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    first, other = [str(UUID(int=number)) for number in (1, 2)]
    runs = [(await server.submit(thread_id=thread))["message_id"] for thread in (first, other)]
    for thread, run, status in ((first, runs[0], 200), (first, runs[1], 404), (runs[0], runs[0], 404)):
        response = await server.client.get(f"/langgraph/threads/{thread}/runs/{run}")
        assert response.status_code == status, (thread, run)


async def test_a_result_shows_no_state_of_an_agent_that_its_caller_may_not_use(
    serve: Serve, control: GraphControl
) -> None:
    server = await serve(agents=AGENTS)
    await issue(server)
    coder = await admit(server, STRANGERS["other agents"])
    everything = {"X-API-Key": await admit(server, Principal("default", frozenset(AccessScope)))}
    server.client.headers.update(everything)
    later = await server.submit("Later", thread_id=THREAD, agent="coder", delay_seconds=3600)
    await server.client.post(f"/messages/{later['message_id']}/cancel")
    await server.ended((await server.submit("A secret", thread_id=THREAD, agent="chat"))["message_id"])
    path = f"/langgraph/threads/{THREAD}/runs/{later['message_id']}/join"
    assert "A secret" in (await server.client.get(path)).text
    shown = await server.client.get(path, headers={"X-API-Key": coder})
    assert shown.json()["__error__"]["error"] == "thread_not_found"
    found = await server.client.post("/langgraph/threads/search", headers={"X-API-Key": coder}, json={})
    assert [(each["thread_id"], each["values"]) for each in found.json()] == [(THREAD, None)]


async def test_a_kept_thread_has_an_id_that_its_caller_may_use(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    await issue(server)
    run = json.dumps({**RUN, "assistant_id": "chat", "on_completion": "keep"}).encode()
    for prefix, status, told in (("mine/", 200, '"thread_id": "mine/'), (None, 422, "thread_id: ")):
        caller = await admit(server, ANN._replace(threads=ThreadNarrowing(frozenset({"one"}), prefix)))
        headers = {"X-API-Key": caller, **JSON}
        response = await wire.request(server.url, "POST", "/langgraph/runs", headers=headers, body=run)
        assert (response.status, told in response.body.decode()) == (status, True), response
