"""Query parameters that a route does not know are refused, on every route, by one mechanism."""

import json
import re
from urllib.parse import quote

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Route

from app.api.targets import target_of
from tests import raw, wire
from tests.integration.test_api import check_problem
from tests.servers import LiveServer
from tests.surfaces import check_refused
from tests.talk import finished

KNOWN = {
    "GET /messages": "agent, count, cursor, error_code, fingerprint, limit, metadata.KEY, priority, q, state, subject, "
    "thread_id",
    "GET /dead-letters": "agent, count, cursor, error_code, fingerprint, limit, metadata.KEY, priority, q, subject, "
    "thread_id",
    "GET /messages/x/events": "after, limit",
    "GET /messages/x/stream": "after, ticket",
    "GET /queue": "limit",
    "GET /threads/a%2Fb/messages": "cursor, limit",
}

UPGRADE = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


async def test_every_route_refuses_what_it_does_not_know(quiet: LiveServer) -> None:
    message_id = (await quiet.submit(thread_id="t"))["message_id"]
    asked = 0
    for route in quiet.app.router.routes:
        if not isinstance(route, APIRoute | Route):
            continue
        path = route.path.replace("{thread_id:path}", "t").replace("{message_id}", message_id)
        for method in (route.methods or set()) - {"HEAD"}:
            response = await wire.request(quiet.url, method, f"{path.replace('{delivery_id}', 'x')}?colour=red")
            if target_of(route, quiet.app).takes_any_query:
                assert (path.startswith("/streams/"), response.status) == (True, 200)
                continue
            told = check_refused(response, path, 422, "validation_error", "colour")
            assert "Known here" in told or "has none" in told
            asked += 1
    assert asked > 30
    assert (await quiet.client.get("/queue")).json()["total_queued"] == 1


@pytest.mark.parametrize("path", ["/threads/%ff", "/threads/%00/messages", "/threads/%F0%9F/messages?limit=x"])
async def test_only_those_who_may_use_a_route_are_told_what_is_wrong(quiet: LiveServer, path: str) -> None:
    response = await wire.request(quiet.url, "GET", path, headers={"X-Forwarded-For": "1.2.3.4"})
    check_problem(response, 401, "authentication_required")
    assert (await wire.request(quiet.url, "GET", path)).status == 422


async def test_only_those_who_may_use_a_route_are_told_what_it_knows(quiet: LiveServer) -> None:
    stranger = {"X-Forwarded-For": "1.2.3.4"}
    statuses = set()
    for route in quiet.app.router.routes:
        if not isinstance(route, APIRoute | Route):
            continue
        path = re.sub(r"\{.*?\}", "x", route.path)
        for method in (route.methods or set()) - {"HEAD"}:
            plain = await wire.request(quiet.url, method, path, headers=stranger)
            asked = await wire.request(quiet.url, method, f"{path}?colour=red", headers=stranger)
            needs_a_scope = plain.status == 401 and path != "/session"
            assert asked.status == (401 if needs_a_scope else 422), (method, path)
            statuses.add(asked.status)
    assert statuses == {401, 422}
    async with raw.connected(quiet.url) as client:
        await client.send(raw.get("/ws?token=x", *UPGRADE, b"Via: 1.1 proxy"))
        check_problem(await client.response(), 401, "authentication_required")


@pytest.mark.parametrize("request_line", KNOWN)
async def test_the_refusal_names_what_is_unknown_and_what_is_known(quiet: LiveServer, request_line: str) -> None:
    method, _, path = request_line.partition(" ")
    response = await wire.request(quiet.url, method, f"{path}?limt=3&a=&limit=2&after=0")
    problem = check_problem(response, 422, "validation_error", "limt")
    assert problem["detail"].endswith(f"Known here: {KNOWN[request_line]}.")
    assert {error["field"] for error in problem["errors"]} == {"limt", "a", "limit", "after"} - set(
        KNOWN[request_line].split(", ")
    )


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/messages?State=queued", "State"),
        ("/messages?state=queued&%66oo=1", "foo"),
        ("/messages?limit=1&&fo%C3%B6", "foö"),
        ("/messages?" + quote('a"b'), 'a"b'),
        ("/health?verbose", "verbose"),
        ("/?x=1", "x"),
        ("/threads/a%2Fmessages?limit=1", "limit"),
    ],
)
async def test_names_are_compared_as_they_are_meant(quiet: LiveServer, path: str, field: str) -> None:
    check_problem(await wire.request(quiet.url, "GET", path), 422, "validation_error", field)


async def test_what_is_known_works_and_an_empty_query_is_none(server: LiveServer) -> None:
    message_id = await finished(server)
    for path in (
        "/queue?",
        "/queue?&",
        "/queue?limit=1",
        "/messages?state=queued&state=completed&limit=5",
        f"/messages/{message_id}/stream?after=1",
        f"/messages/{message_id}/events?after=1&limit=1",
        f"/messages/{message_id}/status?",
    ):
        assert (await wire.request(server.url, "GET", path)).status == 200, path


async def test_hot_routes_refuse_before_they_do_anything(quiet: LiveServer) -> None:
    body = json.dumps({"message": "x"}).encode()
    headers = {"Content-Type": "application/json"}
    response = await wire.request(quiet.url, "POST", "/messages?priority=high", headers=headers, body=body)
    problem = check_problem(response, 422, "validation_error", "priority")
    assert "has none" in problem["detail"]
    assert (await quiet.client.get("/queue")).json()["total_queued"] == 0
    message_id = (await quiet.submit())["message_id"]
    response = await wire.request(quiet.url, "GET", f"/messages/{message_id}/stream?last_event_id=4")
    check_problem(response, 422, "validation_error", "last_event_id")


async def test_other_answers_are_as_they_are_without_a_query(quiet: LiveServer) -> None:
    check_problem(await wire.request(quiet.url, "GET", "/nowhere?x=1"), 404, "not_found")
    check_problem(await wire.request(quiet.url, "PUT", "/messages?x=1"), 405, "method_not_allowed")
    assert (await wire.request(quiet.url, "OPTIONS", "/messages?x=1")).status == 204
    async with raw.connected(quiet.url) as client:
        await client.send(raw.get("/queue?x=1").replace(b"GET", b"HEAD", 1) + raw.get("/health/live"))
        assert (await client.response(head_only=True)).status == 422
        assert (await client.response()).status == 200


async def test_a_websocket_is_refused_at_its_handshake(quiet: LiveServer) -> None:
    async with raw.connected(quiet.url) as client:
        await client.send(raw.get("/ws?token=x", *UPGRADE))
        check_problem(await client.response(), 422, "validation_error", "token")
