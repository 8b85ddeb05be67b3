"""The manners of replies: each ends with a newline, and `/` tells what this is."""

import pytest
from fastapi.routing import APIRoute

from app import __version__
from app.models.messages import MessageState
from app.protocols.langgraph.ids import assistant_id_of
from tests import raw, wire
from tests.integration.conftest import Serve
from tests.integration.states import SECRET, bring
from tests.integration.test_api import check_problem
from tests.servers import LiveServer

PAGE = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
JSON = {"Content-Type": "application/json"}


def check_text(response: wire.RawResponse) -> None:
    assert response.body.endswith(b"\n"), response
    assert not response.body.endswith(b"\n\n"), response
    assert int(response.headers["content-length"]) == len(response.body)


async def test_every_json_reply_ends_with_a_newline(quiet: LiveServer) -> None:
    message_id = await bring(quiet, MessageState.FAILED, thread_id="t")
    read = 0
    item = b'{"namespace": ["a"], "key": "k", "value": {}}'
    stored = await wire.request(quiet.url, "PUT", "/store/items", headers=JSON, body=item)
    assert stored.status == 204
    assert (await quiet.client.patch("/tenants/gone", json={})).status_code == 200
    parameters = {
        "{thread_id:path}": "t",
        "{thread_id}": "t",
        "{message_id}": message_id,
        "{run_id}": message_id,
        "{name}": "chat",
        "{model}": "chat",
        "{agent}": "chat",
        "{response_id}": f"resp_{message_id}",
        "{conversation_id}": "conv_t",
        "{assistant_id}": assistant_id_of("chat"),
        "/store/items": "/store/items?namespace=a&key=k",
        "{tenant:path}": "acme",
        "{erasure_id}": (await quiet.client.delete("/tenants/gone")).json()["id"],
        "/stats/series": "/stats/series?metric=ended",
    }
    assert (await quiet.client.patch("/tenants/acme", json={})).status_code == 200
    for route in quiet.app.router.routes:
        path = getattr(route, "path", "")
        for parameter, value in parameters.items():
            path = path.replace(parameter, value)
        if "GET" not in (getattr(route, "methods", None) or ()) or path.endswith(("/stream", "/metrics", "/events")):
            continue
        if path.startswith("/langgraph/") and path.endswith(("/join", "/subgraphs", "{namespace}", "{checkpoint_id}")):
            continue
        if path.startswith("/dashboard"):
            continue
        if path == "/mcp":  # it opens no stream
            continue
        if path == "/keys/{key_id}":  # with a key, the server would refuse the other requests
            continue
        response = await wire.request(quiet.url, "GET", path)
        assert response.status == 200, path
        if response.headers["content-type"].startswith("text/html"):
            continue
        check_text(response)
        response.json()
        async with raw.connected(quiet.url) as client:
            await client.send(raw.get(path).replace(b"GET", b"HEAD", 1))
            head = await client.response(head_only=True)
        if path.endswith("/agent-card.json"):  # its length depends on the header Host
            continue
        is_log = path.startswith("/streams/")  # HEAD tells where a log ends, not how long a part of it is
        assert head.headers.get("content-length") == (None if is_log else response.headers["content-length"])
        read += 1
    assert read >= 14


async def test_replies_to_changes_and_problems_end_with_a_newline(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, webhook_secret=SECRET)
    failed = await bring(server, MessageState.FAILED)
    asking = await bring(server, MessageState.INTERRUPTED)
    queued = await bring(server, MessageState.QUEUED)
    changes: list[tuple[str, str, bytes, int]] = [
        ("POST", "/messages", b'{"message": "x"}', 202),
        ("POST", "/messages/batch", b'{"messages": [{"message": "x"}]}', 202),
        ("PATCH", f"/messages/{queued}", b'{"priority": "low"}', 200),
        ("POST", f"/messages/{asking}/resume", b'{"value": 1}', 202),
        ("POST", f"/messages/{failed}/retry", b"", 202),
        ("POST", f"/messages/{failed}/cancel", b"", 200),
        ("DELETE", f"/messages/{queued}", b"", 200),
        ("POST", "/messages/cancel", b'{"filter": {"agent": "chat"}}', 200),
        ("POST", "/dead-letters/requeue", b'{"filter": {}, "expected_count": 0}', 200),
        ("POST", "/queue/pause", b"", 200),
        ("POST", "/queue/resume", b"", 200),
        ("POST", "/messages", b"{}", 422),
        ("POST", "/messages", b'{"message": "x", "agent": "nobody"}', 422),
        ("POST", "/dead-letters", b"", 405),
        ("GET", "/nowhere", b"", 404),
        ("GET", "/messages/x", b"", 404),
        ("GET", "/messages/x/stream", b"", 404),
        ("GET", "/queue?x=1", b"", 422),
    ]
    for method, path, body, status in changes:
        response = await wire.request(server.url, method, path, headers=JSON, body=body)
        assert response.status == status, (path, response)
        check_text(response)
    response = await wire.request(server.url, "POST", "/queue/pause", headers={"Origin": "https://evil.example"})
    check_problem(response, 403, "foreign_origin")
    check_text(response)
    async with raw.connected(server.url) as client:  # refused ahead of the application
        await client.send(b"NOT HTTP\r\n\r\n")
        response = await client.response()
        check_problem(response, 400, "bad_request")
        check_text(response)


# The root


@pytest.mark.parametrize(
    "accept",
    [{}, {"Accept": "*/*"}, {"Accept": "application/json"}, {"Accept": "text/html, application/json"}],
    ids=str,
)
async def test_the_root_tells_what_this_is_and_where_to_go_on(quiet: LiveServer, accept: dict[str, str]) -> None:
    response = await wire.request(quiet.url, "GET", "/", headers=accept)
    assert (response.status, response.headers["content-type"]) == (200, "application/json")
    assert response.headers["vary"] == "Accept"
    about = response.json()
    assert (about["name"], about["version"]) == ("Agent Queue System", __version__)
    assert {"docs", "openapi", "health", "messages", "threads", "queue"} <= about["links"].keys()
    for name, path in about["links"].items():
        if name != "websocket":
            assert (await wire.request(quiet.url, "GET", path)).status == 200, path
    assert {route.path for route in quiet.app.router.routes if isinstance(route, APIRoute)} >= {"/"}


async def test_a_browser_is_led_to_the_dashboard(quiet: LiveServer) -> None:
    response = await wire.request(quiet.url, "GET", "/", headers=PAGE)
    assert (response.status, response.headers["location"]) == (303, "dashboard/")  # below any prefix of a proxy
    assert response.headers["vary"] == "Accept"
    assert (await wire.request(quiet.url, "GET", "/dashboard/", headers=PAGE)).status == 200


async def test_the_root_is_open_to_everybody_as_the_health_is(quiet: LiveServer) -> None:
    for path, status in (("/", 200), ("/health", 200), ("/queue", 401)):
        assert (await wire.request(quiet.url, "GET", path, headers={"X-Forwarded-For": "1.2.3.4"})).status == status
