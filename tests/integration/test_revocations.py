"""Open requests end, or go on, when the keys of a running server change."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from websockets.asyncio.client import connect

from app.access import watch
from app.access.scopes import AccessScope
from app.errors import StoreUnavailable
from tests import wire
from tests.integration.conftest import Serve
from tests.integration.test_keys import HELLO, JSON, bearer, closed_code, issue, manager, open_reads, refused
from tests.servers import LiveServer, until


async def submitted(server: LiveServer, key: Any) -> str:
    response = await wire.request(server.url, "POST", "/messages", headers={**JSON, **bearer(key)}, body=HELLO)
    return str(response.json()["message_id"])


def held(server: LiveServer) -> int:
    return len(server.runtime.services.access._held)


async def test_a_held_reply_ends_with_the_key(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key, _ = await issue(server), await issue(server)
    headers = {**JSON, **bearer(key), "Prefer": "wait=60"}
    reply = asyncio.create_task(wire.request(server.url, "POST", "/messages", headers=headers, body=HELLO))
    await until(lambda: held(server), "the reply is held")
    await manager(server).revoke(None, key.key.id)
    response = await asyncio.wait_for(reply, 5)  # the promise
    assert (response.status, response.json()["state"]) == (202, "queued")
    assert held(server) == 0


async def test_a_key_without_read_keeps_its_held_requests_when_keys_change(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key, reading = await issue(server, AccessScope.SUBMIT), await issue(server)
    message_id = await submitted(server, key)
    headers = {**JSON, **bearer(key), "Prefer": "wait=60"}
    reply = asyncio.create_task(wire.request(server.url, "POST", "/messages", headers=headers, body=HELLO))
    await until(lambda: held(server), "the reply is held, and is checked first")
    async with wire.stream(server.url, message_id, key=reading.text) as last:
        await last.until("waiting")
        await manager(server).revoke(None, reading.key.id)
        await last.rest()
    assert held(server) == 1
    assert (await refused(server, bearer(reading)))[0] == 401
    assert not reply.done()
    await manager(server).revoke(None, key.key.id)
    assert (await asyncio.wait_for(reply, 5)).status == 202


async def test_streams_with_the_earlier_secret_end_with_its_grace(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server)
    async with open_reads(server, key) as (stream, socket):
        rotated = await manager(server).rotate(None, key.key.id, timedelta(seconds=2))
        async with open_reads(server, rotated) as (_, kept_socket):
            await stream.rest()
            assert stream.ended_cleanly
            assert await closed_code(socket) == 4401
            assert await refused(server, bearer(key)) == (401, "expired_api_key")
            await kept_socket.send('{"type": "ping", "request_id": "alive"}')
            while json.loads(await kept_socket.recv())["type"] != "pong":
                pass


async def test_a_rotation_without_grace_ends_streams_with_the_earlier_secret(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server)
    second = await manager(server).rotate(None, key.key.id)
    async with open_reads(server, second) as (stream, socket), open_reads(server, key) as (older, older_socket):
        third = await manager(server).rotate(None, key.key.id, timedelta(0))
        for each, each_socket in ((older, older_socket), (stream, socket)):
            await each.rest()
            assert each.ended_cleanly
            assert await closed_code(each_socket) == 4401
    assert (await refused(server, bearer(third)))[0] == 200


async def test_a_stream_that_opens_while_its_key_is_revoked_ends(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller was authorized before the change was known, and the stream is held after it."""
    server = await serve(worker_concurrency=0)
    key, _ = await issue(server), await issue(server)
    message_id = await submitted(server, key)
    store, keys = server.runtime.services.store, server.runtime.services.access._keys
    asked, go_on = asyncio.Event(), asyncio.Event()
    get = store.get

    async def slow(*arguments: Any) -> Any:
        asked.set()
        await go_on.wait()
        return await get(*arguments)

    monkeypatch.setattr(store, "get", slow)
    opening = asyncio.create_task(
        wire.request(server.url, "GET", f"/messages/{message_id}/stream", headers=bearer(key))
    )
    await asked.wait()
    generation = keys._generation
    await manager(server).revoke(None, key.key.id)
    await until(lambda: keys._generation > generation and not server.runtime.services.access.has_unchecked, "known")
    go_on.set()
    response = await asyncio.wait_for(opening, 5)  # the promise
    assert response.status == 200, "it was authorized, and has ended"


async def test_a_socket_that_opens_while_the_first_key_is_made_ends(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(worker_concurrency=0)
    access = server.runtime.services.access
    authorize = access.authorize

    def first_key_comes_after_the_authorization(*arguments: Any) -> Any:
        principal = authorize(*arguments)
        access._keys.has_keys = True
        return principal

    monkeypatch.setattr(access, "authorize", first_key_comes_after_the_authorization)
    async with connect(server.url.replace("http", "ws") + "/ws") as socket:
        assert await closed_code(socket) == 4401


async def test_a_revocation_takes_effect_while_its_state_cannot_be_read(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(worker_concurrency=0)
    key, _ = await issue(server), await issue(server)
    assert (await refused(server, bearer(key)))[0] == 200

    async def away() -> Any:
        raise StoreUnavailable("The store is away.")

    monkeypatch.setattr(server.runtime.services.store, "access_state", away)
    await manager(server).revoke(None, key.key.id)

    async def is_refused() -> bool:
        return await refused(server, bearer(key)) == (401, "revoked_api_key")

    await until(is_refused, "the key is looked up again", deadline=5)  # the promise
    assert watch.STALE_SECONDS + watch.POLL_SECONDS < 5
