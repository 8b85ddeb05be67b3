"""A page of another site, open in a browser on this host, changes nothing here."""

import json
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Mount, Route

from tests import wire
from tests.integration.conftest import Serve
from tests.integration.test_api import check_problem
from tests.servers import LiveServer
from tests.surfaces import check_refused

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
EVIL = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain;charset=UTF-8"}
FOREIGN: list[dict[str, str]] = [
    EVIL,
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "file://"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://localhost@evil.example"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "same-origin, cross-site"},
    {"Sec-Fetch-Site": ""},
    {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "cross-site"},
]
OWN: list[dict[str, str]] = [
    {},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://localhost:3000"},
    {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"},
    {"Origin": "http://127.0.0.1:5173"},
]


def paths_of(routes: list[BaseRoute]) -> list[str]:
    """An example of each path that the application has, below mounts too."""
    found = []
    for route in routes:
        match route:
            case APIRoute() | Route():
                found.append(route.path)
            case Mount():
                found += [route.path + path for path in ("/", *paths_of(list(route.routes)))]
    return found


@pytest.mark.parametrize("open_to_all", [False, True])
async def test_no_route_takes_anything_from_a_foreign_page(serve: Serve, open_to_all: bool) -> None:
    server = await serve(worker_concurrency=0, allow_anonymous=open_to_all)
    paths = paths_of(server.app.router.routes)
    assert {"/messages", "/queue/pause", "/messages/{message_id}/cancel", "/docs"} <= set(paths)
    for path in (*paths, "/nowhere"):
        for method in UNSAFE:
            filled = path.replace("{message_id}", "x").replace("{thread_id}", "t").replace("{thread_id:path}", "t")
            response = await wire.request(server.url, method, filled, headers=EVIL, body=b"{}")
            assert "page of another site" in check_refused(response, filled, 403, "foreign_origin")
    queue = (await server.client.get("/queue")).json()
    assert (queue["total_queued"], queue["paused"]) == (0, False)


async def submit(server: LiveServer, headers: dict[str, str], **fields: Any) -> wire.RawResponse:
    body = json.dumps({"message": "x", **fields}).encode()
    return await wire.request(
        server.url, "POST", "/messages", headers={"Content-Type": "application/json", **headers}, body=body
    )


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_foreign_is_what_either_header_says(quiet: LiveServer, headers: dict[str, str]) -> None:
    check_problem(await submit(quiet, headers), 403, "foreign_origin")
    check_problem(await wire.request(quiet.url, "POST", "/queue/pause", headers=headers), 403, "foreign_origin")


@pytest.mark.parametrize("headers", OWN, ids=str)
async def test_programs_and_pages_of_this_host_are_served(quiet: LiveServer, headers: dict[str, str]) -> None:
    assert (await submit(quiet, headers)).status == 202
    assert (await wire.request(quiet.url, "POST", "/queue/pause", headers=headers)).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://queue.example"}, 202),
        ({"Origin": "https://queue.example", "Sec-Fetch-Site": "same-origin"}, 202),
        ({"Origin": "https://other.example", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://queue.example:9999", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://localhost"}, 403),
    ],
    ids=str,
)
async def test_a_server_for_all_has_pages_of_its_own(serve: Serve, headers: dict[str, str], status: int) -> None:
    server = await serve(worker_concurrency=0, allow_anonymous=True)
    assert (await submit(server, {"Host": "queue.example", **headers})).status == status


async def test_reading_is_left_to_the_browser(quiet: LiveServer) -> None:
    """Without CORS headers it does not show the answer to the page. Links from elsewhere to /docs work."""
    for method in ("GET", "HEAD", "OPTIONS"):
        response = await wire.request(quiet.url, method, "/queue", headers=EVIL)
        assert response.status in (200, 204)
        assert not [name for name in response.headers if name.startswith("access-control-")]
