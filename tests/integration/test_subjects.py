"""End users of a tenant, and callers narrowed further, share names and threads without meeting each other."""

import json
from typing import Any

from app.access.principals import Principal
from tests import wire
from tests.callers import admit
from tests.integration.test_visibility import serving
from tests.servers import LiveServer
from tests.strangers import ANN, HELLO, JSON, SCOPES, STRANGERS

__all__ = ["serving"]


async def test_an_alias_and_a_request_key_of_one_subject_never_meet_those_of_another(serving: LiveServer) -> None:
    found = {}
    for name, who in (("ann", ANN), *STRANGERS.items()):
        if who.threads is not None or who.agents is not None:
            continue
        caller = await admit(serving, who)
        headers = {"X-API-Key": caller, "Idempotency-Key": "same", **JSON}
        body = json.dumps({"message": "Hello", "aliases": ["same"]}).encode()
        for replayed in (None, "true"):
            response = await wire.request(serving.url, "POST", "/messages", headers=headers, body=body)
            assert response.status == 202, response.body
            assert response.headers.get("idempotent-replayed") == replayed
        found[name] = response.json()["message_id"]
        shown = await wire.request(serving.url, "GET", "/messages/same", headers=headers)
        assert (shown.json()["message_id"], shown.json()["aliases"]) == (found[name], ["same"])
        again = await wire.request(serving.url, "POST", "/messages", headers={"X-API-Key": caller, **JSON}, body=body)
        assert (again.status, again.json()["code"]) == (409, "alias_taken")
        assert "'same'" in again.json()["detail"]
    assert len(set(found.values())) == len(found)


async def test_a_caller_with_a_subject_may_name_no_other(serving: LiveServer) -> None:
    caller = await admit(serving, ANN)
    for subject, status in (("ann", 202), ("bob", 403), ("nobody", 403), ("a\nb", 422), ("", 422)):
        body = json.dumps({**HELLO, "subject": subject}).encode()
        response = await wire.request(
            serving.url, "POST", "/messages", headers={"X-API-Key": caller, **JSON}, body=body
        )
        assert response.status == status, response.body


async def test_a_caller_without_a_subject_acts_for_end_users(serving: LiveServer) -> None:
    backend, ann = await admit(serving, Principal("default", SCOPES)), await admit(serving, ANN)
    for path, body in (
        ("/messages", {**HELLO, "subject": "ann", "thread_id": "t", "aliases": ["a"]}),
        ("/messages/batch", {"messages": [{**HELLO, "subject": "ann"}, {**HELLO, "thread_id": "t"}]}),
    ):
        text = json.dumps(body).encode()
        response = await wire.request(serving.url, "POST", path, headers={"X-API-Key": backend, **JSON}, body=text)
        assert response.status == 202, response.body
    listed = await wire.request(serving.url, "GET", "/messages", headers={"X-API-Key": ann})
    assert len(listed.json()["messages"]) == 3
    assert (await wire.request(serving.url, "GET", "/messages/a", headers={"X-API-Key": ann})).status == 200
    refused = json.dumps({**HELLO, "subject": "bob", "thread_id": "t"}).encode()
    response = await wire.request(
        serving.url, "POST", "/messages", headers={"X-API-Key": backend, **JSON}, body=refused
    )
    assert (response.status, response.json()["code"]) == (404, "thread_not_found")


async def test_the_state_of_another_agents_thread_is_not_reached_by_an_agent_of_ones_own(serving: LiveServer) -> None:
    backend = await admit(serving, Principal("default", SCOPES))
    coder = await admit(serving, STRANGERS["other agents"])
    sent = json.dumps({**HELLO, "thread_id": "t", "agent": "chat"}).encode()
    headers = {"X-API-Key": backend, **JSON}
    assert (await wire.request(serving.url, "POST", "/messages", headers=headers, body=sent)).status == 202
    for method, path, body in (
        ("GET", "/threads/t/state?agent=coder", None),
        ("GET", "/threads/t/history?agent=coder", None),
        ("POST", "/threads/t/state", {"agent": "coder", "values": {"messages": []}}),
        ("DELETE", "/threads/t", None),
    ):
        text = b"" if body is None else json.dumps(body).encode()
        refused = await wire.request(serving.url, method, path, headers={**headers, "X-API-Key": coder}, body=text)
        assert (refused.status, refused.json()["code"]) == (404, "thread_not_found"), (method, path)
    assert (await wire.request(serving.url, "GET", "/threads/t", headers=headers)).status == 200


async def test_items_are_kept_apart(serving: LiveServer) -> None:
    async def call(caller: str, method: str, path: str, body: Any = None) -> wire.RawResponse:
        headers, text = {"X-API-Key": caller, **JSON}, b"" if body is None else json.dumps(body).encode()
        return await wire.request(serving.url, method, path, headers=headers, body=text)

    callers = {name: await admit(serving, who) for name, who in STRANGERS.items()}
    ann, star = await admit(serving, ANN), await admit(serving, Principal("default", SCOPES, subject="*"))
    own = ["subjects", "ann", "notes"]
    assert (await call(ann, "PUT", "/store/items", {"namespace": own, "key": "k", "value": {"a": 1}})).status == 204
    assert (await call(ann, "GET", "/store/items?namespace=subjects.ann.notes&key=k")).status == 200
    for name in ("another subject", "other threads", "other agents"):
        caller = callers[name]
        missing = await call(caller, "GET", "/store/items?namespace=subjects.ann.notes&key=x")
        found = await call(caller, "GET", "/store/items?namespace=subjects.ann.notes&key=k")
        assert (found.status, found.body.replace(b"'k'", b"'x'")) == (404, missing.body)
        for method, path, body in (
            ("PUT", "/store/items", {"namespace": own, "key": "k", "value": {}}),
            ("DELETE", "/store/items", {"namespace": own, "key": "k"}),
            ("POST", "/store/items/search", {"namespace_prefix": own}),
            ("POST", "/store/items/search", {"namespace_prefix": []}),
            ("POST", "/store/namespaces", {"prefix": ["subjects", "*"]}),
            ("POST", "/store/namespaces", {"suffix": ["notes"]}),
        ):
            assert (await call(caller, method, path, body)).status == 403, (name, path, body)
    listed = await call(star, "POST", "/store/namespaces", {"prefix": ["subjects", "%2A"]})
    assert listed.json() == {"namespaces": []}
    assert (await call(star, "POST", "/store/namespaces", {"prefix": ["subjects", "*"]})).status == 403
    for method, path, body in (
        ("POST", "/store/items/search", {"namespace_prefix": ["subjects", "ann"]}),
        ("POST", "/store/namespaces", {"prefix": ["subjects", "ann"]}),
        ("DELETE", "/store/items", {"namespace": own, "key": "k"}),
    ):
        assert (await call(ann, method, path, body)).status in (200, 204)
