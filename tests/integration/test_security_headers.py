"""Every answer tells browsers to take it for what it says, to show it to own pages only, and not to store it.

Every answer also has the id of its request.
"""

import re

import pytest
from websockets.asyncio.client import connect

from tests import raw, wire
from tests.integration.conftest import Serve
from tests.integration.test_stages import asked, ended_message, operations
from tests.servers import LiveServer

PAGES = ("/docs", "/docs/oauth2-redirect", "/redoc", "/dashboard/")
CACHED = dict.fromkeys((*PAGES, "/static-offline-docs"), "no-cache")
CACHED["/dashboard/assets/{digest}/{path:path}"] = "public, max-age=31536000, immutable"
APP = "https://app.example"
NEW_ID = re.compile("[0-9a-f]{32}")


def check_headers(response: wire.RawResponse, cache: str = "no-store") -> None:
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cross-origin-resource-policy"] == "same-origin"
    assert response.headers["cache-control"] == cache
    assert NEW_ID.fullmatch(response.headers["x-request-id"])


async def test_every_route_answers_with_them(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, cors_origins=[APP])
    message_id = await ended_message(server)
    for method, declared, path, _ in operations(server, message_id):
        check_headers(await asked(server, method, path), CACHED.get(declared, "no-store"))
    for method, path in (("GET", "/nowhere"), ("PUT", "/messages"), ("OPTIONS", "/queue"), ("HEAD", "/queue")):
        check_headers(await asked(server, method, path))


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/queue", {"Via": "1.1 proxy"}, 401),
        ("POST", "/messages", {"Origin": "https://evil.example"}, 403),
        ("GET", "/queue", {"Host": "a b"}, 400),
        ("GET", "/ws", {"Connection": "upgrade", "Upgrade": "websocket", "Via": "1.1 proxy"}, 401),
        ("OPTIONS", "/queue", {"Origin": APP, "Access-Control-Request-Method": "GET"}, 204),
        ("POST", "/messages", {"Content-Length": "99999999"}, 413),
    ],
)
async def test_so_do_the_stages_before_them(
    serve: Serve, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    server = await serve(worker_concurrency=0, cors_origins=[APP])
    if "Upgrade" in headers:
        headers = {**headers, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
    response = await wire.request(server.url, method, path, headers=headers)
    assert response.status == status
    check_headers(response)


async def test_so_does_the_protocol_before_the_stages(quiet: LiveServer) -> None:
    for request, status in ((b"nonsense\r\n\r\n", 400), (raw.get("/queue", *[b"A: b"] * 200), 431)):
        async with raw.connected(quiet.url) as client:
            await client.send(request)
            response = await client.response()
            assert response.status == status
            check_headers(response)


async def test_no_page_is_shown_in_a_frame_or_tells_where_it_is(quiet: LiveServer) -> None:
    for path in PAGES:
        response = await wire.request(quiet.url, "GET", path, headers={"Accept": "text/html"})
        assert response.headers["content-type"].startswith("text/html")
        assert {"frame-ancestors 'none'", "base-uri 'none'"} <= {
            part.strip() for part in response.headers["content-security-policy"].split(";")
        }
        assert response.headers["x-frame-options"] == "DENY"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert response.headers["cross-origin-opener-policy"] == "same-origin"


async def test_a_browser_may_keep_the_files_of_the_documentation(quiet: LiveServer) -> None:
    path = "/static-offline-docs/favicon.png"
    tag = (await wire.request(quiet.url, "GET", path)).headers["etag"]
    response = await wire.request(quiet.url, "GET", path, headers={"If-None-Match": tag})
    assert response.status == 304
    check_headers(response, "no-cache")


@pytest.mark.parametrize("path", ["/queue", "/messages/x/stream", "/v1/models", "/nowhere"])
async def test_an_answer_has_the_id_that_the_caller_gives(quiet: LiveServer, path: str) -> None:
    for given in ("7f9c/Root=1-67891233-abcdef012345678912345678", "x" * 128):
        response = await wire.request(quiet.url, "GET", path, headers={"X-Request-Id": given})
        assert response.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", 'a"b', "ü".encode().decode("latin-1")])
async def test_an_id_that_no_log_should_show_is_replaced(quiet: LiveServer, given: str) -> None:
    response = await wire.request(quiet.url, "GET", "/queue", headers={"X-Request-Id": given})
    assert NEW_ID.fullmatch(response.headers["x-request-id"])


async def test_of_two_ids_none_is_taken(quiet: LiveServer) -> None:
    async with raw.connected(quiet.url) as client:
        await client.send(raw.get("/queue", b"X-Request-Id: a", b"X-Request-Id: b"))
        assert NEW_ID.fullmatch((await client.response()).headers["x-request-id"])


async def test_a_refused_head_and_a_handshake_are_named_too(quiet: LiveServer) -> None:
    async with raw.connected(quiet.url) as client:
        await client.send(raw.get("/queue", b"X-Request-Id: mine", *[b"A: b"] * 200))
        assert (await client.response()).headers["x-request-id"] == "mine"
    headers = {"X-Request-Id": "mine"}
    async with connect(f"{quiet.url.replace('http', 'ws')}/ws", additional_headers=headers) as socket:
        assert socket.response is not None
        assert socket.response.headers.get_all("X-Request-Id") == ["mine"]
