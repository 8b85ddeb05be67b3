"""Pages of the origins in CORS_ORIGINS may use the server; those of all others may not, as without the setting."""

import asyncio
import contextlib
import json
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from app.config import load_settings
from app.errors import ConfigurationError
from tests import raw, wire
from tests.integration.conftest import Serve
from tests.integration.test_api import check_problem
from tests.integration.test_keys import issue
from tests.servers import LiveServer
from tests.surfaces import FORMS
from tests.talk import finished, talk

APP = "https://app.example"
OTHER = "http://localhost.app.example:3000"
EVIL = "https://evil.example"
PAGE = {"Origin": APP, "Sec-Fetch-Site": "cross-site"}
EXPOSED = {
    "location",
    "content-location",
    "x-pagination-next",
    "x-pagination-total",
    "link",
    "retry-after",
    "idempotent-replayed",
    "preference-applied",
    "ratelimit",
    "ratelimit-policy",
}
READABLE_ANYWAY = {"cache-control", "content-language", "content-length", "content-type", "expires", "pragma"}
FOR_BROWSERS = {
    *("date", "server", "vary", "connection", "transfer-encoding", "www-authenticate", "x-accel-buffering"),
    *("content-security-policy", "referrer-policy", "x-content-type-options", "x-frame-options"),
    "cross-origin-resource-policy",
}
"""Headers that are for browsers and proxies, and tell pages nothing."""


@pytest.fixture
async def open_to_app(serve: Serve) -> LiveServer:
    return await serve(cors_origins=f"{APP}, {OTHER}")


async def ask(server: LiveServer, method: str, path: str, body: Any = None, **headers: str) -> wire.RawResponse:
    given = {"Content-Type": "application/json", **PAGE, **{n.replace("_", "-"): v for n, v in headers.items()}}
    return await wire.request(
        server.url, method, path, headers=given, body=b"" if body is None else json.dumps(body).encode()
    )


def check_shown(response: wire.RawResponse, origin: str = APP) -> None:
    """The browser shows the reply, with its headers, to a page of this origin."""
    assert response.headers["access-control-allow-origin"] == origin
    assert "Origin" in response.headers["vary"]
    assert "access-control-allow-credentials" not in response.headers
    exposed = response.headers["access-control-expose-headers"].lower().split(", ")
    assert set(exposed) >= EXPOSED


def check_hidden(response: wire.RawResponse) -> None:
    assert "access-control-allow-origin" not in response.headers


async def test_a_page_may_do_what_programs_may(open_to_app: LiveServer) -> None:
    submitted = await ask(open_to_app, "POST", "/messages", {"message": "Hello"}, Prefer="wait=30")
    assert submitted.status == 200
    check_shown(submitted)
    message_id = submitted.json()["message_id"]
    for method, path, body, status in (
        ("GET", f"/messages/{message_id}/status", None, 200),
        ("GET", f"/messages/{message_id}/stream", None, 200),
        ("GET", "/queue", None, 200),
        ("GET", "/", None, 200),
        ("HEAD", "/queue", None, 200),
        ("GET", "/openapi.json", None, 200),
        ("POST", "/messages", {"message": "Hello"}, 202),
        ("POST", "/queue/pause", None, 200),
        ("PATCH", f"/messages/{message_id}", {"priority": "high"}, 409),
        ("DELETE", f"/messages/{message_id}", None, 409),
        ("POST", "/messages", {}, 422),
        ("GET", "/queue?x=1", None, 422),
        ("GET", "/messages/x", None, 404),
        ("GET", "/nowhere", None, 404),
        ("PUT", "/queue", None, 405),
        ("OPTIONS", "/queue", None, 204),
    ):
        response = await ask(open_to_app, method, path, body)
        assert response.status == status, path
        check_shown(response)
    check_shown(await ask(open_to_app, "POST", "/queue/resume", Origin=OTHER), OTHER)


async def test_refusals_of_the_gate_are_shown_too(open_to_app: LiveServer) -> None:
    response = await ask(open_to_app, "POST", "/messages", Content_Length="99999999999")
    check_problem(response, 413, "body_too_large")
    check_shown(response)
    response = await ask(open_to_app, "GET", "/queue", X_Forwarded_For="1.2.3.4")
    check_problem(response, 401, "authentication_required")
    check_shown(response)


PAGE_LINE = f"Origin: {APP}".encode()
HEAD = raw.get("/queue", PAGE_LINE)[:-2]
SENDING = raw.post("/messages", {}, PAGE_LINE).replace(b"Content-Length: 2", b"Transfer-Encoding: chunked")[:-2]
REFUSED_AHEAD = {
    "too many headers": (HEAD + b"X-A: a\r\n" * 200 + b"\r\n", 431, "headers_too_large"),
    "a header behind the origin": (HEAD + b"X-A: " + b"a" * 70_000 + b"\r\n\r\n", 431, "headers_too_large"),
    "an endless chunk": (SENDING + b"1;" + b"a" * 70_000, 431, "headers_too_large"),
    "an invalid chunk": (SENDING + b"x\r\n", 400, "bad_request"),
    "an invalid header": (HEAD + b"X-B: b\r\nX A\r\n\r\n", 400, "bad_request"),
    "another host": (HEAD.replace(b" /queue", b" http://evil.example/", 1) + b"\r\n", 400, "invalid_host"),
}


@pytest.mark.parametrize("what", REFUSED_AHEAD)
async def test_refusals_ahead_of_the_application_are_shown(
    open_to_app: LiveServer, quiet: LiveServer, what: str
) -> None:
    request, status, code = REFUSED_AHEAD[what]
    async with raw.connected(open_to_app.url) as page:
        await page.send(request)
        response = await page.response()
        check_problem(response, status, code)
        check_shown(response)
    async with raw.connected(open_to_app.url) as page:
        await page.send(request.replace(APP.encode(), EVIL.encode()))
        response = await page.response()
        check_hidden(response)
        assert response.headers["vary"] == "Origin"
    async with raw.connected(quiet.url) as page:
        await page.send(request)
        response = await page.response()
        check_hidden(response)
        assert "vary" not in response.headers


async def test_a_refusal_that_comes_before_the_origin_is_shown_to_the_only_one(
    open_to_app: LiveServer, serve: Serve
) -> None:
    alone = await serve(cors_origins=APP)
    for server, check in ((alone, check_shown), (open_to_app, check_hidden)):
        async with raw.connected(server.url) as page:
            await page.send(b"GET /" + b"a" * 40_000)
            response = await page.response()
            check_problem(response, 414, "url_too_long")
            check(response)


async def test_refusals_of_a_full_server_are_shown(serve: Serve) -> None:
    full = await serve(cors_origins=APP, worker_concurrency=0, max_connections=8)
    message_id = (await ask(full, "POST", "/messages", {"message": "x"})).json()["message_id"]
    async with contextlib.AsyncExitStack() as opened:
        for _ in range(8):
            await opened.enter_async_context(wire.stream(full.url, message_id))
        response = await ask(full, "GET", "/queue")
        check_problem(response, 503, "too_many_connections")
        check_shown(response)


async def test_a_request_that_a_stopping_server_cuts_off_is_shown(
    open_to_app: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def hang(*_: Any, **__: Any) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(open_to_app.runtime.services.queue, "get", hang)
    request = asyncio.create_task(ask(open_to_app, "GET", "/messages/x"))
    await asked.wait()
    for task in open_to_app.uvicorn.server_state.tasks:
        task.cancel(msg="as uvicorn does it")
    response = await request
    check_problem(response, 503, "server_stopping")
    check_shown(response)


async def test_streams_are_shown(open_to_app: LiveServer) -> None:
    message_id = await finished(open_to_app)
    plain = await wire.request(open_to_app.url, "GET", f"/messages/{message_id}/stream")
    shown = await ask(open_to_app, "GET", f"/messages/{message_id}/stream", Last_Event_ID="1")
    check_shown(shown)
    assert plain.headers["vary"] == "Origin", "a cache may not show it to a page"
    check_hidden(plain)
    assert b"event: done" in shown.body


SAID = {"role": "user", "content": "Hello"}
IN_PARTS = {"id": "ID", "role": "user", "parts": [{"type": "text", "text": "Hello"}]}
TOLD = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "Hello"}]}
LIMITED: dict[str, tuple[str, Any]] = {
    "": ("/messages", {"message": "Hello"}),
    "/langgraph": ("/langgraph/runs", {"assistant_id": "chat", "input": {"messages": [SAID]}}),
    "/v1": ("/v1/responses", {"model": "chat", "input": "Hello", "background": True}),
    "/api/chat": ("/api/chat", {"id": "c", "messages": [IN_PARTS]}),
    "/agui": ("/agui/chat", {"threadId": "t", "runId": "ID", "messages": [{"id": "ID", **SAID}]}),
    "/a2a": (
        "/a2a/chat",
        {"jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage", "params": {"message": TOLD}},
    ),
}
"""By the path of a surface, a request that stores a message. ID stands for another id in each request."""


def test_each_surface_that_stores_messages_is_asked() -> None:
    stores_none = {"/mcp", "/streams"}  # calls of MCP are refused inside of replies, and streams are only read
    assert LIMITED.keys() == {"", *FORMS} - stores_none


@pytest.mark.parametrize("surface", LIMITED)
async def test_a_page_reads_what_is_left_of_limits_on_each_surface(serve: Serve, surface: str) -> None:
    server = await serve(cors_origins=APP, submits_per_minute_per_key=1, max_streams_per_tenant=5)
    secret = (await issue(server)).text
    path, body = LIMITED[surface]
    headers = {**PAGE, "Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    for is_refused in (False, True):
        sent = json.dumps(body).replace("ID", f"id {is_refused}")
        replied = await server.client.post(path, content=sent, headers=headers)
        response = wire.RawResponse(replied.status_code, dict(replied.headers), replied.content)
        assert (response.status == 429) is is_refused, response
        check_shown(response)
        assert response.headers["ratelimit"].startswith('"key";r=0')
        assert response.headers["ratelimit-policy"].startswith('"key";q=1;w=60')
        assert ("retry-after" in response.headers) is is_refused
        exposed = set(response.headers["access-control-expose-headers"].lower().split(", "))
        rest = response.headers.keys() - exposed - READABLE_ANYWAY - FOR_BROWSERS
        assert not {name for name in rest if not name.startswith("access-control-")}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/messages"),
        ("GET", "/messages/x/stream"),
        ("PATCH", "/messages/x"),
        ("PUT", "/store/items"),
        ("DELETE", "/messages/x"),
        ("GET", "/nowhere"),
    ],
)
async def test_preflights_are_answered(open_to_app: LiveServer, method: str, path: str) -> None:
    asked = {
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "content-type, idempotency-key, last-event-id, x-stainless-os",
        "Access-Control-Request-Private-Network": "true",
    }
    response = await wire.request(open_to_app.url, "OPTIONS", path, headers={**PAGE, **asked})
    assert (response.status, response.body) == (204, b"")
    assert response.headers["access-control-allow-origin"] == APP
    assert method in response.headers["access-control-allow-methods"].split(", ")
    assert response.headers["access-control-allow-headers"] == asked["Access-Control-Request-Headers"]
    assert response.headers["access-control-allow-private-network"] == "true"
    assert int(response.headers["access-control-max-age"]) > 0
    assert "Origin" in response.headers["vary"]


@pytest.mark.parametrize("origin", [EVIL, "null", f"{APP}.evil.example", f"{APP}:8443", APP.replace("https", "http")])
async def test_pages_of_other_origins_are_kept_out(open_to_app: LiveServer, origin: str) -> None:
    foreign = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    read = await wire.request(open_to_app.url, "GET", "/queue", headers=foreign)
    check_hidden(read)
    assert "Origin" in read.headers["vary"]
    response = await wire.request(open_to_app.url, "POST", "/queue/pause", headers=foreign)
    check_problem(response, 403, "foreign_origin")
    check_hidden(response)
    preflight = {**foreign, "Access-Control-Request-Method": "POST"}
    response = await wire.request(open_to_app.url, "OPTIONS", "/messages", headers=preflight)
    check_problem(response, 403, "cors_refused")
    assert "CORS_ORIGINS" in response.json()["detail"]
    check_hidden(response)
    assert not (await open_to_app.client.get("/queue")).json()["paused"]


async def test_a_preflight_for_what_nobody_needs_is_refused(open_to_app: LiveServer) -> None:
    asked = {"Access-Control-Request-Method": "TRACE"}
    response = await wire.request(open_to_app.url, "OPTIONS", "/queue", headers={**PAGE, **asked})
    check_problem(response, 403, "cors_refused")
    assert "PATCH" in response.json()["detail"]


async def test_a_websocket_may_be_opened_from_there(open_to_app: LiveServer) -> None:
    async with talk(open_to_app.url, additional_headers=PAGE) as client:
        message_id = await client.submit()
        await client.until("ended", message_id=message_id)
    with pytest.raises(InvalidStatus) as refused:
        async with talk(open_to_app.url, additional_headers={"Origin": EVIL}):
            pass
    assert refused.value.response.status_code == 403


async def test_two_origins_are_none(open_to_app: LiveServer) -> None:
    async with talk(open_to_app.url):
        pass
    headers = [("Origin", APP), ("Origin", EVIL)]
    response = await open_to_app.client.post("/queue/pause", headers=headers)
    check_problem(response, 403, "foreign_origin")


async def test_without_the_setting_there_is_nothing_of_it(quiet: LiveServer) -> None:
    asked = {**PAGE, "Access-Control-Request-Method": "POST"}
    response = await wire.request(quiet.url, "OPTIONS", "/messages", headers=asked)
    assert response.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    for answered in (response, await ask(quiet, "GET", "/queue"), await ask(quiet, "POST", "/messages")):
        assert not [name for name in answered.headers if name.startswith("access-control-") or name == "vary"]


# The setting


@pytest.mark.parametrize(
    ("value", "origins"),
    [
        ("", ()),
        (f"{APP},{OTHER}", (APP, OTHER)),
        (f" {APP} \n {APP} ", (APP,)),
        ("http://[::1]:5173 tauri://localhost", ("http://[::1]:5173", "tauri://localhost")),
    ],
)
def test_origins_are_separated_by_commas_or_spaces(
    monkeypatch: pytest.MonkeyPatch, value: str, origins: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CORS_ORIGINS", value)
    assert load_settings(None).cors_origins == origins


@pytest.mark.parametrize(
    "value",
    ["*", f"{APP},*", f"{APP}/", f"{APP}/path", "app.example", "null", "HTTPS://APP.example", "https://*.example",
     "https://app.example:443", "https://user@app.example", "https://é.example"],
)  # fmt: skip
def test_what_no_browser_would_send_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CORS_ORIGINS", value)
    with pytest.raises(ConfigurationError, match="CORS_ORIGINS: expected"):
        load_settings(None)
