"""Errors below the path of a surface have the form of its product, whichever part of the server refuses."""

import contextlib

import pytest

from tests import raw, wire
from tests.integration.conftest import Serve
from tests.servers import LiveServer
from tests.surfaces import FORMS, check_refused

PAGE = "https://app.example"
surfaces = pytest.mark.parametrize("prefix", FORMS)


def check(response: wire.RawResponse, prefix: str, status: int, told: str) -> None:
    """The reply is an error in the surface's form, and says this."""
    assert told in check_refused(response, f"{prefix}/", status, "")


@surfaces
async def test_unknown_paths_and_methods(quiet: LiveServer, prefix: str) -> None:
    check(await wire.request(quiet.url, "GET", f"{prefix}/nowhere/at/all"), prefix, 404, "nothing at this path")
    refused = await wire.request(quiet.url, "DELETE", f"{prefix}{FORMS[prefix].get}")
    check(refused, prefix, 405, "supports")
    assert "GET" in refused.headers["allow"]


@surfaces
async def test_an_error_for_head_has_the_status_and_no_body(quiet: LiveServer, prefix: str) -> None:
    async with raw.connected(quiet.url) as client:
        await client.send(raw.get(f"{prefix}/nowhere/at/all").replace(b"GET", b"HEAD", 1))
        response = await client.response(head_only=True)
        assert (response.status, response.headers["content-type"]) == (404, FORMS[prefix].media_type)
        await client.send(raw.get("/health/live"))
        assert (await client.response()).status == 200, "nothing came between"


@surfaces
async def test_paths_that_only_begin_alike_are_native(quiet: LiveServer, prefix: str) -> None:
    response = await wire.request(quiet.url, "GET", f"{prefix}s")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "not_found"


@surfaces
async def test_refusals_by_stages(serve: Serve, prefix: str) -> None:
    server = await serve(cors_origins=[PAGE], worker_concurrency=0)
    origin = {"Origin": PAGE}
    large = await wire.request(
        server.url, "POST", f"{prefix}{FORMS[prefix].get}", headers={**origin, "Content-Length": "99999999"}, body=b"{"
    )
    check(large, prefix, 413, "larger than")
    assert large.headers["access-control-allow-origin"] == PAGE
    unknown = await wire.request(server.url, "GET", f"{prefix}{FORMS[prefix].get}?colour=red", headers=origin)
    if not FORMS[prefix].takes_any_query:
        check(unknown, prefix, 422, "colour")
    assert unknown.headers["access-control-allow-origin"] == PAGE
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    check(
        await wire.request(server.url, "OPTIONS", f"{prefix}{FORMS[prefix].get}", headers=asked),
        prefix,
        403,
        "CORS_ORIGINS",
    )


@surfaces
async def test_refusals_before_the_application(quiet: LiveServer, prefix: str) -> None:
    async with raw.connected(quiet.url) as client:
        await client.send(raw.get(f"{prefix}{FORMS[prefix].get}")[:-2] + b"X-A: a\r\n" * 200 + b"\r\n")
        check(await client.response(), prefix, 431, "headers")
    async with raw.connected(quiet.url) as client:
        await client.send(b"GET " + prefix.encode() + b"/" + b"a" * 40_000)
        check(await client.response(), prefix, 414, "bytes")


@surfaces
async def test_a_full_server(serve: Serve, prefix: str) -> None:
    full = await serve(worker_concurrency=0, max_connections=8)
    message_id = (await full.submit())["message_id"]
    async with contextlib.AsyncExitStack() as opened:
        for _ in range(8):
            await opened.enter_async_context(wire.stream(full.url, message_id))
        refused = await wire.request(full.url, "GET", f"{prefix}{FORMS[prefix].get}")
    check(refused, prefix, 503, "connections")
    assert refused.headers["retry-after"]
