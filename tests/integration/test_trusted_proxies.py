"""A proxy's headers about its client count if TRUSTED_PROXIES names the proxy, and never else."""

import logging

import pytest
from websockets.exceptions import InvalidStatus

from app.access.management import KeyManager
from app.access.scopes import AccessScope
from tests import wire
from tests.integration.conftest import Serve
from tests.integration.test_api import check_problem
from tests.servers import LiveServer
from tests.talk import talk

JSON = {"Content-Type": "application/json"}
FORWARDED = {
    "Host": "upstream:8000",
    "X-Forwarded-For": "192.0.2.1, 203.0.113.9",
    "X-Forwarded-Host": "queue.example",
    "X-Forwarded-Proto": "https",
}
OWN_PAGE = {"Origin": "https://queue.example", "Sec-Fetch-Site": "same-origin"}
FOREIGN_PAGE = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}


async def submit(server: LiveServer, **headers: str) -> wire.RawResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await wire.request(server.url, "POST", "/messages", headers={**JSON, **named}, body=b'{"message": "Hi"}')


async def key_of(server: LiveServer) -> str:
    manager = KeyManager(server.runtime.services.store)
    return (await manager.create("default", "", tuple(AccessScope), None)).text


async def test_keys_work_behind_a_named_proxy(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, trusted_proxies="127.0.0.1")
    key = {"Authorization": f"Bearer {await key_of(server)}"}
    assert (await submit(server, **FORWARDED, **key)).status == 202
    assert (await submit(server, **FORWARDED, **OWN_PAGE, **key)).status == 202
    check_problem(await submit(server, **FORWARDED, **FOREIGN_PAGE, **key), 403, "foreign_origin")
    check_problem(await submit(server, **FORWARDED, **key | {"Authorization": "Bearer x"}), 401, "invalid_api_key")


async def test_pages_are_compared_with_the_forwarded_host_of_named_proxies_only(serve: Serve) -> None:
    for proxies, status in (("127.0.0.1", 202), ("192.0.2.1", 403), ("", 403)):
        server = await serve(worker_concurrency=0, trusted_proxies=proxies, allow_anonymous=True)
        assert (await submit(server, **FORWARDED, **OWN_PAGE)).status == status
        upstream = {"Origin": "http://upstream:8000"}
        assert (await submit(server, **FORWARDED, **upstream)).status == (403 if status == 202 else 202)
        headers = {**FORWARDED, "Origin": "https://queue.example"}
        headers.pop("Host")
        if status == 202:
            async with talk(server.url, additional_headers=headers) as client:
                assert (await client.ask("ping"))["type"] == "pong"
        else:
            with pytest.raises(InvalidStatus, match="403"):
                async with talk(server.url, additional_headers=headers):
                    pass


async def test_a_forwarded_host_is_checked_like_any_other(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, trusted_proxies="127.0.0.1", allow_anonymous=True)
    for host in ("queue.example/evil", "queue example", ":80"):
        check_problem(await submit(server, **FORWARDED | {"X-Forwarded-Host": host}), 400, "invalid_host")
    for forwarded in ("for=203.0.113.8", "for=203.0.113.9;host=evil.example", "nonsense"):
        check_problem(await submit(server, **FORWARDED, Forwarded=forwarded), 400, "invalid_forwarding")


async def test_nobody_comes_in_without_a_key_through_a_named_proxy(serve: Serve) -> None:
    """Even if it says nothing of its client, which may be anywhere."""
    server = await serve(worker_concurrency=0, trusted_proxies="127.0.0.1")
    for headers in ({}, {"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1;host=localhost"}):
        problem = check_problem(await submit(server, **headers), 401, "authentication_required")
        assert "TRUSTED_PROXIES" in problem["detail"]
    assert (await wire.request(server.url, "GET", "/health", headers=FORWARDED)).status == 200


async def test_the_log_of_requests_has_the_client(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="uvicorn.access")
    for proxies, client in (("127.0.0.1", "203.0.113.9:0 - "), ("192.0.2.1", "127.0.0.1:")):
        server = await serve(worker_concurrency=0, trusted_proxies=proxies, allow_anonymous=True)
        caplog.clear()
        assert (await submit(server, **FORWARDED)).status == 202
        (line,) = [record.getMessage() for record in caplog.records if record.name == "uvicorn.access"]
        assert line.startswith(client)
