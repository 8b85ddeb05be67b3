"""Every answer tells browsers to take it for what it says, to show it to own pages only, and not to store it."""

import pytest

from tests import raw, wire
from tests.integration.conftest import Serve
from tests.integration.test_stages import asked, ended_message, operations
from tests.servers import LiveServer

PAGES = ("/", "/docs", "/docs/oauth2-redirect", "/redoc")
APP = "https://app.example"


def check_headers(response: wire.RawResponse, cache: str = "no-store") -> None:
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cross-origin-resource-policy"] == "same-origin"
    assert response.headers["cache-control"] == cache


async def test_every_route_answers_with_them(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, cors_origins=[APP])
    message_id = await ended_message(server)
    for method, _, path, _ in operations(server, message_id):
        static = path.startswith(("/docs", "/redoc", "/static-offline-docs"))
        check_headers(await asked(server, method, path), "no-cache" if static else "no-store")
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
