"""Sessions of browsers: who may sign in, which requests a cookie is good for, and how fast a session ends."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple
from unittest.mock import AsyncMock

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.access.scopes import AccessScope
from app.access.sessions import SECURE_COOKIE
from app.access.sign_in import MAX_FAILURES, Attempts
from app.errors import StoreUnavailable
from app.errors.access import TooManyAttempts
from tests import wire
from tests.integration.conftest import Serve
from tests.integration.test_audit import audit
from tests.integration.test_key_api import ask
from tests.integration.test_keys import JSON, bearer, database, issue, manager
from tests.servers import LiveServer, until

__all__ = ["database"]

PROXY = "127.0.0.1"
HTTPS = {"Host": "queue.example", "X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}


class Browser(NamedTuple):
    """A browser's part of a session."""

    cookie: str
    csrf_token: str
    origin: str
    base: Mapping[str, str] = {}

    @property
    def reading(self) -> dict[str, str]:
        """The headers of a request that reads."""
        return {**self.base, "Cookie": self.cookie}

    @property
    def writing(self) -> dict[str, str]:
        """The headers of a request that changes something."""
        return {**self.reading, **JSON, "Origin": self.origin, "X-CSRF-Token": self.csrf_token}


async def post(server: LiveServer, body: bytes, **headers: str) -> Any:
    return await wire.request(server.url, "POST", "/session", headers={**JSON, **headers}, body=body)


async def sign_in(server: LiveServer, credential: str, base: Mapping[str, str] = {}) -> Browser:
    response = await post(server, b'{"credential": "%s"}' % credential.encode(), **base)
    assert response.status == 201, response.body
    cookie = response.headers["set-cookie"].partition(";")[0]
    origin = "https://queue.example" if base else server.url
    return Browser(cookie, response.json()["csrf_token"], origin, base)


async def seen(server: LiveServer, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str | None]:
    """Status and code of the answer to a request."""
    response = await wire.request(server.url, method, path, headers=dict(headers), body=b"{}")
    code = response.json().get("code") if response.body.startswith(b"{") else None
    return response.status, code


async def test_a_browser_signs_in_reads_changes_and_signs_out(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server)
    response = await post(server, b'{"credential": "%s"}' % key.text.encode())
    assert response.status == 201, response.body
    name, *attributes = response.headers["set-cookie"].split("; ")
    assert name.startswith("agentq_session=aqs_")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)
    assert "Secure" not in attributes
    assert key.text not in response.body.decode()
    browser = await sign_in(server, key.text)
    who = await wire.request(server.url, "GET", "/session", headers=browser.reading)
    shown = who.json()
    assert (shown["actor"], shown["tenant"], shown["csrf_token"]) == (
        f"key:{key.key.id}",
        "default",
        browser.csrf_token,
    )
    assert shown["scopes"] == list(AccessScope)
    assert shown["expires_at"] < shown["ends_at"]
    assert await seen(server, "GET", "/queue", browser.reading) == (200, None)
    assert await seen(server, "POST", "/queue/pause", browser.writing) == (200, None)
    assert (await audit(server, key))[0]["actor"] == f"key:{key.key.id}"
    assert (await seen(server, "DELETE", "/session", browser.writing))[0] == 204
    gone = await wire.request(server.url, "GET", "/queue", headers=browser.reading)
    assert (gone.status, gone.json()["code"]) == (401, "session_ended")
    assert gone.headers["set-cookie"].startswith("agentq_session=; Max-Age=0")
    assert (await audit(server, key))[0]["action"] == "session.end"


async def test_what_changes_something_needs_the_own_origin_and_the_token(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, cors_origins=["https://app.example"])
    key = await issue(server)
    browser = await sign_in(server, key.text)
    other = await sign_in(server, key.text)
    writing = browser.writing
    without_origin = {name: value for name, value in writing.items() if name != "Origin"}
    without_token = {name: value for name, value in writing.items() if name != "X-CSRF-Token"}
    fetched = {**without_origin, "Sec-Fetch-Site": "same-origin"}
    refused: dict[str, dict[str, str]] = {
        "no token": without_token,
        "wrong token": {**writing, "X-CSRF-Token": "x"},
        "token of another session": {**writing, "X-CSRF-Token": other.csrf_token},
        "no origin": without_origin,
        "another port": {**writing, "Origin": "http://127.0.0.1:1"},
        "another scheme": {**writing, "Origin": server.url.replace("http", "https")},
        "an allowed origin": {**writing, "Origin": "https://app.example"},
        "the same site": {**writing, "Sec-Fetch-Site": "same-site"},
        "the user": {**without_origin, "Sec-Fetch-Site": "none"},
    }
    for what, headers in refused.items():
        assert await seen(server, "POST", "/queue/pause", headers) == (403, "csrf_failed"), what
        with pytest.raises(InvalidStatus) as handshake:
            await connect(server.url.replace("http", "ws") + "/ws", additional_headers=headers)
        assert handshake.value.response.status_code == 403, what
    port_of_https = {**writing, "Host": "127.0.0.1", "Origin": "http://127.0.0.1:443"}
    assert await seen(server, "POST", "/queue/pause", port_of_https) == (403, "csrf_failed")
    assert not (await ask(server, "GET", "/queue", key)).json()["paused"]
    for headers in (writing, fetched):
        assert await seen(server, "POST", "/queue/resume", headers) == (200, None)
    async with connect(server.url.replace("http", "ws") + "/ws", additional_headers=writing):
        pass
    for site in ("same-site", "cross-site"):
        assert await seen(server, "GET", "/queue", {**browser.reading, "Sec-Fetch-Site": site}) == (403, "csrf_failed")
    assert await seen(server, "GET", "/queue", {**browser.reading, "Sec-Fetch-Site": "none"}) == (200, None)


async def test_no_page_of_another_origin_signs_its_user_in(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, cors_origins=["https://app.example"])
    body = b'{"credential": "%s"}' % (await issue(server)).text.encode()
    for page in (
        {"Origin": "https://app.example", "Sec-Fetch-Site": "same-site"},
        {"Origin": "https://app.example"},
        {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "none"},
    ):
        refused = await post(server, body, **page)
        assert (refused.status, refused.json()["code"]) == (403, "csrf_failed"), page
        assert "set-cookie" not in refused.headers
    for page in ({"Origin": server.url, "Sec-Fetch-Site": "same-origin"}, {"Origin": server.url}):
        assert (await post(server, body, **page)).status == 201


async def test_a_session_is_no_bearer_and_a_bearer_comes_first(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key, reader = await issue(server), await issue(server, AccessScope.READ)
    browser = await sign_in(server, reader.text)
    text = browser.cookie.partition("=")[2]
    assert await seen(server, "GET", "/queue", bearer(text)) == (401, "invalid_token")
    assert await seen(server, "GET", "/queue", {"Cookie": f"agentq_session={key.text}"}) == (
        401,
        "authentication_required",
    )
    assert await seen(server, "POST", "/queue/pause", {**browser.reading, **bearer(key)}) == (200, None)
    assert await seen(server, "GET", "/queue", {**browser.reading, **bearer("aq_x")}) == (401, "invalid_api_key")
    assert await seen(server, "POST", "/queue/pause", browser.writing) == (403, "insufficient_scope")
    for wrong in (text[:-1] + ("A" if text[-1] != "A" else "B"), "aqs_x", text.replace("aqs_", "aqs_ ")):
        cookie = {"Cookie": f"agentq_session={wrong}"}
        assert await seen(server, "GET", "/queue", cookie) == (401, "invalid_session"), wrong
    two = {"Cookie": f"{browser.cookie}; agentq_session={text}x"}
    assert await seen(server, "GET", "/queue", two) == (401, "authentication_required")
    assert await seen(server, "GET", "/queue", {"Cookie": f"{SECURE_COOKIE}={text}"}) == (
        401,
        "authentication_required",
    )


async def test_tokens_tickets_and_sessions_sign_nobody_in(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server)
    browser = await sign_in(server, key.text)
    token = (await ask(server, "POST", "/tokens", key, {"subject": "alice"})).json()["token"]
    for credential in (token, browser.cookie.partition("=")[2]):
        response = await post(server, b'{"credential": "%s"}' % credential.encode())
        assert (response.status, response.json()["code"]) == (401, "invalid_token")
    minted = await wire.request(server.url, "POST", "/tokens", headers=browser.writing, body=b'{"subject": "alice"}')
    assert (minted.status, minted.json()["code"]) == (403, "rights_exceeded")


async def test_signing_in_again_gives_another_session_and_ends_the_earlier(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server)
    planted = await sign_in(server, key.text)
    response = await post(server, b'{"credential": "%s"}' % key.text.encode(), Cookie=planted.cookie)
    assert response.status == 201
    assert response.headers["set-cookie"].partition(";")[0] != planted.cookie
    assert response.json()["csrf_token"] != planted.csrf_token
    assert await seen(server, "GET", "/queue", planted.reading) == (401, "session_ended")
    record, *_ = await audit(server, key)
    assert (record["action"], record["actor"], record["address"]) == ("session.end", f"key:{key.key.id}", "127.0.0.1")


async def test_a_caller_who_ends_no_session_has_nobody_verified_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server)
    rechecks: list[None] = []
    monkeypatch.setattr(server.runtime.services.access, "recheck", lambda: rechecks.append(None))
    assert (
        await post(server, b'{"credential": "%s"}' % key.text.encode(), Cookie="agentq_session=aqs_x.y.z")
    ).status == 201
    browser = await sign_in(server, key.text)
    assert (await ask(server, "DELETE", "/session", key)).status == 204
    assert not rechecks
    assert (await seen(server, "DELETE", "/session", browser.writing))[0] == 204
    assert rechecks


async def test_without_https_a_session_is_for_the_servers_own_host(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server)
    browser = await sign_in(server, key.text)
    for elsewhere in ({"Host": "queue.example"}, {"X-Forwarded-For": "203.0.113.7"}):
        response = await post(server, b'{"credential": "%s"}' % key.text.encode(), **elsewhere)
        assert (response.status, response.json()["code"]) == (403, "https_required")
        refused = await seen(server, "GET", "/queue", {**browser.reading, **elsewhere})
        assert refused == (401, "authentication_required")


async def test_over_https_the_cookie_is_bound_to_the_host(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, trusted_proxies=PROXY)
    key = await issue(server)
    browser = await sign_in(server, key.text, HTTPS)
    assert browser.cookie.startswith(SECURE_COOKIE)
    assert await seen(server, "POST", "/queue/pause", browser.writing) == (200, None)
    renamed = {**browser.reading, "Cookie": browser.cookie.removeprefix("__Host-")}
    assert await seen(server, "GET", "/queue", renamed) == (401, "authentication_required")
    plain = {**browser.reading, "X-Forwarded-Proto": "http"}
    assert await seen(server, "GET", "/queue", plain) == (401, "authentication_required")
    response = await post(server, b'{"credential": "%s"}' % key.text.encode(), **HTTPS)
    assert "Secure" in response.headers["set-cookie"].split("; ")


async def test_a_session_ends_everywhere_with_its_streams_and_sockets(serve: Serve, database: str) -> None:
    first, second = [await serve(worker_concurrency=0, database_url=database, allow_volatile=True) for _ in range(2)]
    key, other = await issue(first), await issue(first)
    await until(lambda: second.runtime.services.access._keys.has_keys, "the key is known to the other process")
    message_id = (await ask(first, "POST", "/messages", key, {"message": "Hello"})).json()["message_id"]
    for what in ("signed out", "all ended", "key revoked"):
        browser = await sign_in(first, other.text)
        writing = {**browser.writing, "Origin": second.url}
        ticket = await wire.request(second.url, "POST", "/tickets", headers=writing, body=b"{}")
        assert ticket.status == 201, ticket.body
        url = f"{second.url.replace('http', 'ws')}/ws?ticket={ticket.json()['ticket']}"
        async with wire.stream(second.url, message_id, cookie=browser.cookie) as stream, connect(url) as socket:
            await stream.until("waiting")
            match what:
                case "signed out":
                    assert (await seen(first, "DELETE", "/session", browser.writing))[0] == 204
                case "all ended":
                    await ask(first, "POST", "/tokens/revoke", key, {"all": True})
                case _:
                    await manager(first).revoke(None, other.key.id)
            async with asyncio.timeout(5):  # the promise
                await stream.rest()
                with pytest.raises(ConnectionClosed):
                    await socket.recv()
        for server in (first, second):
            assert await seen(server, "GET", "/queue", browser.reading) == (401, "session_ended"), what
    assert await seen(first, "GET", "/queue", bearer(key)) == (200, None)


async def test_a_session_ends_when_it_is_idle_or_old_and_is_renewed_by_use(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(worker_concurrency=0, session_idle_minutes=30, session_hours=1)
    key = await issue(server)
    browser = await sign_in(server, key.text)
    store, began = server.runtime.services.store, server.runtime.services.store.now()

    def wait(minutes: float) -> None:
        monkeypatch.setattr(store, "now", lambda: began + timedelta(minutes=minutes))

    async def read(cookie: str) -> Any:
        return await wire.request(server.url, "GET", "/queue", headers={"Cookie": cookie})

    wait(14)
    assert "set-cookie" not in (await read(browser.cookie)).headers
    wait(16)
    renewed = (await read(browser.cookie)).headers["set-cookie"].partition(";")[0]
    wait(31)
    assert (await read(browser.cookie)).json()["code"] == "session_ended"
    answer = await read(renewed)
    assert answer.status == 200
    last = (await read(renewed)).headers["set-cookie"]
    assert f"Max-Age={29 * 60}" in last or f"Max-Age={29 * 60 - 1}" in last
    wait(59)
    assert (await read(last.partition(";")[0])).status == 200
    wait(61)
    assert (await read(last.partition(";")[0])).json()["code"] == "session_ended"
    monkeypatch.undo()
    assert (await seen(server, "DELETE", "/session", browser.writing))[0] == 204
    assert (await read(renewed)).json()["code"] == "session_ended"  # the renewed cookie is the same session


async def test_failed_attempts_to_sign_in_are_limited(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server)
    await sign_in(server, key.text)
    for _ in range(MAX_FAILURES):
        response = await post(server, b'{"credential": "wrong"}')
        assert (response.status, response.json()["code"]) == (401, "invalid_api_key")
    for credential in (b"wrong", key.text.encode()):
        response = await post(server, b'{"credential": "%s"}' % credential)
        assert (response.status, response.json()["code"]) == (429, "too_many_attempts")
        assert 0 < int(response.headers["retry-after"]) <= 60


def test_attempts_are_counted_by_address_and_bounded() -> None:
    attempts = Attempts()
    for _ in range(MAX_FAILURES):
        attempts.begin("2001:db8::1")
    with pytest.raises(TooManyAttempts):
        attempts.begin("2001:db8::ffff")
    attempts.begin("2001:db8:0:1::1")
    attempts.begin("192.0.2.1")
    for number in range(11_000):
        attempts.begin(f"{number}")
    assert len(attempts._failures) == 10_000


async def test_without_keys_a_caller_learns_that_they_need_no_session(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    shown = (await server.client.get("/session")).json()
    assert (shown["actor"], shown["tenant"], shown["csrf_token"]) == ("local", "default", None)
    refused = await server.client.post("/session", json={"credential": "aq_x"})
    assert refused.status_code == 401
    assert "no API keys yet" in refused.json()["detail"]
    assert (await server.client.delete("/session")).status_code == 204
    stale = {"Cookie": "agentq_session=aqs_x"}
    assert await seen(server, "POST", "/queue/pause", stale) == (200, None)


async def test_requests_side_by_side_are_admitted_after_a_change_of_keys(serve: Serve) -> None:
    """Each look-up needs the signing secrets, which are read again after such a change."""
    server = await serve(worker_concurrency=0)
    browser = await sign_in(server, (await issue(server)).text)
    for _ in range(5):
        server.runtime.services.access.recheck()
        replies = await asyncio.gather(*(seen(server, "GET", "/queue", browser.reading) for _ in range(8)))
        assert replies == [(200, None)] * 8


async def test_a_store_that_is_away_for_a_moment_ends_no_session(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve(worker_concurrency=0)
    browser = await sign_in(server, (await issue(server)).text)
    store = server.runtime.services.store
    server.runtime.services.access.recheck()
    with monkeypatch.context() as away:
        away.setattr(store, "list_signing_secrets", AsyncMock(side_effect=StoreUnavailable("The database is away.")))
        assert await seen(server, "GET", "/queue", browser.reading) == (503, "store_unavailable")
    assert await seen(server, "GET", "/queue", browser.reading) == (200, None)
