"""Requests that HTTP allows and few clients send, and those that it does not allow."""

import asyncio
from typing import cast

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.application import Application
from tests import raw, wire
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_api import check_problem
from tests.servers import LiveServer

H2C = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")


# Clients that would rather speak something else


@pytest.mark.parametrize("cut", [None, 30, 150, 260, -3], ids=str)
async def test_a_client_that_offers_http2_is_served_with_http1(quiet: LiveServer, cut: int | None) -> None:
    request = raw.post("/messages", {"message": "x"}, *H2C)
    async with raw.connected(quiet.url) as client:
        for _ in range(2):
            if cut is None:
                await client.send(request)
            else:
                await client.send(request[:cut])
                await asyncio.sleep(0.02)
                await client.send(request[cut:])
            response = await client.response()
            assert response.status == 202
            assert "upgrade" not in response.headers
    assert (await quiet.client.get("/queue")).json()["total_queued"] == 2


async def test_offers_of_http2_on_other_routes_and_before_other_requests(quiet: LiveServer) -> None:
    patch = b"PATCH /messages/x HTTP/1.1\r\n" + raw.HOST + raw.JSON + b"\r\n".join(H2C)
    chunked = (
        patch + b"\r\nTransfer-Encoding: chunked\r\n\r\n13\r\n" + b'{"priority": "high"' + b"\r\n1\r\n}\r\n0\r\n\r\n"
    )
    requests = [
        raw.post("/messages", {"message": "x"}, *H2C),
        raw.get("/queue", *H2C),
        chunked,
        raw.post("/queue/pause", None, *H2C),
        raw.get("/health/live"),
    ]
    async with raw.connected(quiet.url) as client:
        await client.send(b"".join(requests))
        statuses = [(await client.response()).status for _ in requests]
    assert statuses == [202, 200, 404, 200, 200]


async def test_other_upgrades_are_ignored(quiet: LiveServer) -> None:
    for headers in (
        (b"Connection: upgrade", b"Upgrade: TLS/1.0"),
        (b"Connection: keep-alive", b"Connection: upgrade, close", b"Upgrade: h2c"),
    ):
        async with raw.connected(quiet.url) as client:
            await client.send(raw.post("/messages", {"message": "x"}, *headers))
            response = await client.response()
            assert response.status == 202
            assert response.headers.get("connection") == ("close" if len(headers) == 3 else None)


async def test_a_websocket_is_opened_by_get_alone_and_on_a_connection_of_its_own(quiet: LiveServer) -> None:
    upgrade = (b"Connection: keep-alive, Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    async with raw.connected(quiet.url) as client:
        await client.send(raw.post("/messages", {"message": "x"}, *upgrade, key))
        assert (await client.response()).status == 202
        await client.send(raw.post("/messages", {"message": "x"}) + raw.get("/ws", *upgrade, key))
        assert (await client.response()).status == 202
        check_problem(await client.response(), 400, "bad_request")
        assert await client.rest() == b""
    async with raw.connected(quiet.url) as client:
        await client.send(raw.get("/health/live"))
        assert (await client.response()).status == 200
        await client.send(raw.get("/ws", *upgrade, key))
        assert (await client.response()).status == 101
    async with raw.connected(quiet.url) as client:
        await client.send(raw.get("/ws", *upgrade, key, b"X-A: " + b"a" * 9000))
        check_problem(await client.response(), 431, "headers_too_large")
    async with raw.connected(quiet.url) as client:
        await client.send(raw.get("/ws?" + "a" * 9000, *upgrade, key))
        check_problem(await client.response(), 414, "url_too_long")


# HEAD and OPTIONS

READABLE = ["/", "/queue", "/messages", "/threads", "/workers", "/health", "/health/live", "/docs", "/openapi.json"]


@pytest.mark.parametrize("path", READABLE)
async def test_head_is_get_without_the_body(quiet: LiveServer, path: str) -> None:
    read = await wire.request(quiet.url, "GET", path)
    async with raw.connected(quiet.url) as client:
        await client.send(raw.get(path).replace(b"GET", b"HEAD", 1) + raw.get("/health/live"))
        response = await client.response(head_only=True)
        assert (await client.response()).status == 200  # nothing came between
    assert response.status == read.status
    for headers in (read.headers, response.headers):
        for name in ("date", "connection", "x-request-id"):
            headers.pop(name, None)
    assert response.headers == read.headers


async def test_head_of_a_stream_does_not_wait(quiet: LiveServer) -> None:
    message_id = (await quiet.submit())["message_id"]
    async with raw.connected(quiet.url) as client:
        for path, status in ((f"/messages/{message_id}/stream", 200), ("/messages/x/stream", 404)):
            await client.send(raw.get(path).replace(b"GET", b"HEAD", 1))
            response = await client.response(head_only=True)
            assert response.status == status
        await client.send(raw.get("/health/live"))
        assert (await client.response()).json() == {"status": "alive"}
    assert response.headers["content-type"] == "application/problem+json"
    assert not quiet.runtime.streams._logs


ALLOWED = {
    "/messages": "GET, HEAD, OPTIONS, POST",
    "/messages/x": "DELETE, GET, HEAD, OPTIONS, PATCH",
    "/messages/x/stream": "GET, HEAD, OPTIONS",
    "/messages/x/cancel": "OPTIONS, POST",
    "/threads/a%2Fb": "DELETE, GET, HEAD, OPTIONS, PATCH",
    "/queue/pause": "OPTIONS, POST",
    "/health/live": "GET, HEAD, OPTIONS",
    "/docs": "GET, HEAD, OPTIONS",
}


@pytest.mark.parametrize("path", ALLOWED)
async def test_options_and_405_tell_the_methods_of_a_path(quiet: LiveServer, path: str) -> None:
    response = await wire.request(quiet.url, "OPTIONS", path)
    assert (response.status, response.body) == (204, b"")
    assert response.headers["allow"] == ALLOWED[path]
    assert "content-length" not in response.headers
    response = await wire.request(quiet.url, "PUT", path)
    check_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == ALLOWED[path]


async def test_options_elsewhere(quiet: LiveServer) -> None:
    check_problem(await wire.request(quiet.url, "OPTIONS", "/nowhere"), 404, "not_found")
    response = await wire.request(quiet.url, "OPTIONS", "*")
    assert response.status == 204
    assert {"GET", "POST", "OPTIONS"} <= set(response.headers["allow"].split(", "))
    check_problem(await wire.request(quiet.url, "GET", "*"), 404, "not_found")


async def test_head_where_nothing_can_be_read(quiet: LiveServer) -> None:
    async with raw.connected(quiet.url) as client:
        await client.send(raw.get("/queue/pause").replace(b"GET", b"HEAD", 1))
        response = await client.response(head_only=True)
    assert (response.status, response.headers["allow"]) == (405, "OPTIONS, POST")
    assert not (await quiet.client.get("/queue")).json()["paused"]


# Targets


@pytest.mark.parametrize("end", ["%0A", "%0a", "%0D%0A", "%0D", "%00", "%7F", "%E2%80%A8", "%C2%85"])
async def test_a_path_with_a_line_break_is_not_found(quiet: LiveServer, end: str) -> None:
    message_id = (await quiet.submit())["message_id"]
    paths = ["/queue", "/messages", f"/messages/{message_id}", f"/messages/{message_id}/status", "/health/live"]
    paths += [f"/messages/{message_id}/stream", "/docs", "/ws", "/threads"]
    for path in paths:
        assert (await wire.request(quiet.url, "GET", path + end)).status == 404, path
    for path in ("/messages", f"/messages/{message_id}/cancel", "/queue/pause"):
        headers = {"Content-Type": "application/json"}
        response = await wire.request(quiet.url, "POST", path + end, headers=headers, body=b'{"message": "x"}')
        assert response.status == 404, path
    assert (await quiet.client.get("/queue")).json()["total_queued"] == 1


async def test_a_line_break_in_a_thread_id_stays_in_it(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents="steps=tests.graphs:steps")
    for thread_id in ("a\r\nSet-Cookie: b", "a\n"):
        for text in ("one", "two"):
            await server.ended((await server.submit(text, thread_id=thread_id))["message_id"])
        path = "/threads/" + thread_id.replace("\r", "%0D").replace("\n", "%0A").replace(" ", "%20")
        response = await wire.request(server.url, "GET", f"{path}/messages?limit=1")
        assert response.status == 200
        assert "set-cookie" not in response.headers
        assert "\n" not in response.headers["link"]
        assert (await wire.request(server.url, "GET", path)).json()["thread_id"] == thread_id


async def test_a_line_break_in_a_thread_id_stays_in_it_below_a_root_path(serve: Serve) -> None:
    """`uvicorn --root-path /agents` calls the application like this."""
    server = await serve(worker_concurrency=0)
    app = cast(Application, server.app)
    app.entry = below("/agents", app.entry)
    await server.submit("one", thread_id="a\n")
    answer = await wire.request(server.url, "GET", "/threads/a%0A")
    assert (answer.status, answer.json()["thread_id"]) == (200, "a\n")
    assert (await wire.request(server.url, "GET", "/threads%0A")).status == 404


def below(root_path: str, app: ASGIApp) -> ASGIApp:
    """The application below this path."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        path, raw_path = root_path + scope["path"], root_path.encode() + scope["raw_path"]
        await app({**scope, "root_path": root_path, "path": path, "raw_path": raw_path}, receive, send)

    return call


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("http://localhost/queue", "localhost", 200),
        ("http://localhost:80/queue?limit=1", "localhost", 200),
        ("HTTP://LOCALHOST/queue", "localhost", 200),
        ("https://localhost:8000/health/live", "localhost:8000", 200),
        ("http://localhost", "localhost", 200),
        ("http://evil.example/queue", "localhost", 400),
        ("http://localhost/queue", "evil.example", 400),
        ("http://localhost:81/queue", "localhost", 400),
        ("http://user@localhost/queue", "localhost", 400),
        ("ftp://localhost/queue", "localhost", 400),
        ("//evil.example/queue", "localhost", 404),
    ],
)
async def test_a_target_with_a_host(quiet: LiveServer, target: str, host: str, status: int) -> None:
    response = await wire.request(quiet.url, "GET", target, headers={"Host": host})
    assert response.status == status
    assert "evil" not in response.headers.get("location", "")


INVALID = {
    "another protocol": (b"\x16\x03\x01\x02\x00" + b"a" * 500, 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/2 in words": (b"GET /queue HTTP/2.0\r\n" + raw.HOST + b"\r\n", 505),
    "no method": (b"FETCH /queue HTTP/1.1\r\n" + raw.HOST + b"\r\n", 400),
    "a folded header": (raw.get("/queue", b"X-A: a\r\n b"), 400),
    "a header without a name": (raw.get("/queue", b": a"), 400),
    "a space before the colon": (raw.get("/queue", b"X-A : a"), 400),
    "two lengths": (raw.get("/queue", b"Content-Length: 1", b"Content-Length: 2"), 400),
    "a length and chunks": (raw.get("/queue", b"Content-Length: 1", b"Transfer-Encoding: chunked"), 400),
    "an unknown coding": (raw.post("/messages", {}, b"Transfer-Encoding: gzip"), 400),
    "a bad chunk": (raw.get("/queue", b"Transfer-Encoding: chunked") + b"ZZ\r\n", 400),
    "a proxy's": (b"CONNECT evil.example:443 HTTP/1.1\r\n" + raw.HOST + b"\r\n", 501),
    "no ASCII": (b"GET /\xff HTTP/1.1\r\n" + raw.HOST + b"\r\n", 400),
}


@pytest.mark.parametrize("what", INVALID)
async def test_an_invalid_request_is_a_problem_behind_the_answers_before_it(
    quiet: LiveServer, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    request, status = INVALID[what]
    code = {400: "bad_request", 501: "not_implemented", 505: "http_version_not_supported"}[status]
    for first in (b"", raw.post("/messages", {"message": "x"})):
        async with raw.connected(quiet.url) as client:
            await client.send(first + request)
            if first:
                assert (await client.response()).status == 202
            response = await client.response()
            if "bad chunk" not in what or response.status != 200:  # its head is answered before its body is read
                check_problem(response, status, code)
            client.writer.write_eof()
            assert await client.rest() == b""
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_body_that_turns_bad_ends_in_a_problem(quiet: LiveServer, caplog: pytest.LogCaptureFixture) -> None:
    for line in (b"POST /messages", b"PATCH /messages/x"):
        async with raw.connected(quiet.url) as client:
            await client.send(
                line + b" HTTP/1.1\r\n" + raw.HOST + raw.JSON + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{ "
            )
            await asyncio.sleep(0.02)
            await client.send(b"\r\nZZ\r\n")
            check_problem(await client.response(), 400, "bad_request")
            assert await client.rest() == b""
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


async def test_a_client_that_leaves_within_its_body_leaves_no_trace(
    quiet: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    for line in (b"POST /messages", b"PATCH /messages/x"):
        async with raw.connected(quiet.url) as client:
            await client.send(line + b" HTTP/1.1\r\n" + raw.HOST + raw.JSON + b"Content-Length: 10\r\n\r\n{")
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.05)
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


async def test_trailers_are_no_headers(quiet: LiveServer) -> None:
    chunked = b"Transfer-Encoding: chunked\r\n\r\n10;a=b\r\n" + b'{"message": "x"}' + b"\r\n0\r\n"
    trailers = b"Via: 1.1 proxy\r\nIdempotency-Key: k\r\nPrefer: wait=5\r\n\r\n"
    async with raw.connected(quiet.url) as client:
        for _ in range(2):
            await client.send(b"POST /messages HTTP/1.1\r\n" + raw.HOST + raw.JSON + chunked + trailers)
            response = await client.response()
            assert response.status == 202
            assert "idempotent-replayed" not in response.headers
