"""On OpenAI's surface too, things that a caller may not see are like missing ones, and each act needs its scope."""

import json
from collections.abc import Iterator
from typing import Any

from app.access.principals import Principal
from app.access.scopes import AccessScope
from app.models.messages import MessageFilter, Page
from app.protocols.openai import SURFACE
from tests.callers import admit
from tests.contract.builders import ALL, interrupt, new
from tests.foreign_ids import MISSING, THREAD, Asked, ask, routes_of, walk
from tests.integration.conftest import Serve
from tests.integration.test_keys import issue
from tests.strangers import AGENTS, ANN, STRANGERS, ann_has

TURN = {"model": "{model}", "input": "Hi", "background": True}
ANSWER = {"model": "{model}", "input": [{"type": "function_call_output", "call_id": "q", "output": "yes"}]}
PASTS = ({"conversation": "{conversation_id}"}, {"previous_response_id": "{response_id}"})
BY_BODY: list[dict[str, Any]] = [{**body, **past} for body in (TURN, ANSWER) for past in PASTS]
NAMED: list[dict[str, Any]] = [
    {**TURN, "input": [{"type": "item_reference", "id": "{item_id}"}]},
    {**ANSWER, "input": [{"type": "function_call_output", "call_id": "{call_id}", "output": "yes"}]},
]
BODIES: dict[str, Any] = {"POST /conversations/{conversation_id}": {"metadata": {"a": 1}}}
NO_ID = {"/models", "/models/{model}", "/responses", "/conversations", "/chat/completions"}


def by_message(message_id: str) -> dict[str, str]:
    """The ids that lead to a message."""
    return {"response_id": f"resp_{message_id}", "item_id": f"msg_{message_id}", "call_id": f"call_{message_id}_q"}


async def test_a_foreign_id_is_answered_like_a_missing_one(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    await issue(server)
    store = server.runtime.services.store
    known = await ann_has(store)
    (queued,) = (await store.add([new(thread=THREAD, subject="ann")], max_queued=ALL)).messages
    theirs = [(THREAD, queued.id), *((known["thread"][2], message) for message in known["message"])]
    asked: list[tuple[str, str, Any]] = [("POST", "/responses", body) for body in BY_BODY + NAMED]
    asked += [(*each, BODIES.get(" ".join(each))) for each in routes_of(SURFACE) if each[1] not in NO_ID]
    missing = {"conversation_id": f"conv_{MISSING.format(2)}", **by_message(MISSING.format(1))}

    def requests(who: str) -> Iterator[Asked]:
        others = who == "other agents"
        ids = {"model": "coder" if others else "chat"}
        for method, path, body in asked:
            by_response = any(f"{{{name}}}" in path + json.dumps(body) for name in by_message(""))
            if others and not by_response:
                continue  # threads of other agents are shown, without their messages
            for thread, message in theirs if by_response else theirs[:2]:
                given = {"conversation_id": f"conv_{thread}", **by_message(message)}
                yield Asked(method, path, {**ids, **given}, {**ids, **missing}, body)

    await walk(server, SURFACE, requests, at_least=150)


async def test_models_are_those_that_the_caller_may_use(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    await issue(server)
    caller = await admit(server, STRANGERS["other agents"])
    status, told = await ask(server, SURFACE, caller, "GET", "/models")
    assert (status, [model["id"] for model in json.loads(told)["data"]]) == (200, ["coder"])
    assert await ask(server, SURFACE, caller, "GET", "/models/{model}", model="chat") == await ask(
        server, SURFACE, caller, "GET", "/models/{model}", model="missing"
    )


async def test_each_act_needs_its_scope(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    await issue(server)
    store = server.runtime.services.store
    asking = await interrupt(store, thread=THREAD)
    submits = await admit(server, Principal("default", frozenset({AccessScope.SUBMIT})))
    past = {"response_id": f"resp_{asking.id}"}
    answer = {**ANSWER, "previous_response_id": "{response_id}"}
    status, told = await ask(server, SURFACE, submits, "POST", "/responses", answer, model=asking.agent, **past)
    assert (status, "control" in told) == (403, True)
    status, told = await ask(server, SURFACE, submits, "GET", "/responses/{response_id}", **past)
    assert (status, "read" in told) == (403, True)
    item = {**TURN, "input": [{"type": "item_reference", "id": f"msg_{asking.id}"}]}
    status, told = await ask(server, SURFACE, submits, "POST", "/responses", item, model=asking.agent)
    assert (status, "read" in told) == (403, True)
    hook = {"model": "chat", "input": "Hi", "webhook_url": "https://example.com"}
    status, told = await ask(server, SURFACE, await admit(server, ANN), "POST", "/responses", hook)
    assert (status, "webhook_url" in told) == (403, True)
    assert (await store.get("default", asking.id)).state == "interrupted"
    assert len(await store.list_messages("default", MessageFilter(), Page(ALL))) == 1
