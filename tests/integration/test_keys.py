"""API keys at a running server: who is admitted, how fast a change takes effect, and what a check costs."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.access.keys import new_id, new_secret, text_of
from app.access.management import IssuedKey, KeyManager
from app.access.scopes import AccessScope
from tests import wire
from tests.integration.conftest import Serve
from tests.postgres_server import database_of
from tests.servers import LiveServer, finished_process, until

EVERYTHING = tuple(AccessScope)
HELLO = b'{"message": "Hello"}'
JSON = {"Content-Type": "application/json"}


@pytest.fixture(params=["sqlite", "postgres", "valkey"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database that several processes can have open."""
    return database_on(request.param, request, tmp_path)


def database_on(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database on this engine."""
    match engine:
        case "sqlite":
            return f"sqlite:///{tmp_path}/queue.db"
        case "postgres":
            return database_of(tmp_path)
        case _:
            return str(request.getfixturevalue("valkey").url)


async def issue(server: LiveServer, *scopes: AccessScope, tenant: str = "default", **more: Any) -> IssuedKey:
    """A new key that this server knows of."""
    issued = await manager(server).create(tenant, "test", scopes or EVERYTHING, more.pop("expires_at", None), **more)
    await until(lambda: server.runtime.services.access._keys.has_keys, "the key is known")
    return issued


def manager(server: LiveServer) -> KeyManager:
    return KeyManager(server.runtime.services.store)


def bearer(key: IssuedKey | str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key if isinstance(key, str) else key.text}"}


async def refused(server: LiveServer, headers: dict[str, str]) -> tuple[int, str]:
    """Status and code of the problem for a request with these headers."""
    response = await wire.request(server.url, "GET", "/queue", headers=headers)
    return response.status, response.json().get("code", "")


async def test_a_key_admits_its_caller_in_either_header(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server)
    for headers in (bearer(key), {"authorization": f"bearer   {key.text}"}, {"X-API-Key": key.text}):
        response = await wire.request(server.url, "POST", "/messages", headers={**JSON, **headers}, body=HELLO)
        assert response.status == 202, response.body


async def test_a_key_admits_callers_of_other_hosts_and_behind_proxies(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server)
    forwarded = {"X-Forwarded-For": "203.0.113.1", "Host": "queue.example"}
    assert (await refused(server, forwarded))[0] == 401
    assert (await refused(server, {**forwarded, **bearer(key)}))[0] == 200


async def test_callers_without_a_key_are_refused_while_there_is_one(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    assert (await refused(server, {}))[0] == 200
    assert (await refused(server, {"Authorization": "Bearer of-another-service"}))[0] == 200
    key = await issue(server)
    response = await wire.request(server.url, "GET", "/queue")
    assert (response.status, response.json()["code"]) == (401, "authentication_required")
    assert response.headers["www-authenticate"] == "Bearer"
    assert "X-API-Key" in response.json()["detail"]
    await manager(server).revoke(None, key.key.id)
    await until(lambda: not server.runtime.services.access._keys.has_keys, "the revocation is known")
    assert (await refused(server, {}))[0] == 200


async def test_allow_anonymous_admits_callers_without_a_key_but_no_wrong_key(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, allow_anonymous=True)
    await issue(server)
    assert (await refused(server, {}))[0] == 200
    assert await refused(server, bearer("nothing")) == (401, "invalid_api_key")


async def test_each_wrong_credential_is_refused_with_its_reason(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    now = server.runtime.services.store.now()
    key = await issue(server)
    expired = await issue(server, expires_at=now - timedelta(seconds=1))
    revoked = await issue(server)
    await manager(server).revoke(None, revoked.key.id)
    stranger = text_of(new_id(), new_secret())
    wrong_secret = text_of(key.key.id, new_secret())

    texts: dict[str, set[str]] = {}
    for text in ("", "x", "Bearer", key.text[:-1], key.text + "0", "' OR 1=1 --", "\x80\xff", stranger, wrong_secret):
        response = await wire.request(server.url, "GET", "/queue", headers={"Authorization": f"Bearer {text}"})
        assert (response.status, response.json()["code"]) == (401, "invalid_api_key"), text
        texts.setdefault(response.json()["detail"], set()).add(text)
    assert {stranger, wrong_secret} in texts.values()
    for presented, code in ((expired, "expired_api_key"), (revoked, "revoked_api_key")):
        assert await refused(server, bearer(presented)) == (401, code)
        assert await refused(server, bearer(text_of(presented.key.id, new_secret()))) == (401, "invalid_api_key")
    two = {**bearer(key), "X-API-Key": stranger}
    assert await refused(server, two) == (401, "invalid_api_key")
    assert await refused(server, {"Authorization": f"Basic {key.text}"}) == (401, "invalid_api_key")


async def test_a_key_gives_its_scopes_and_its_tenant(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    ours = await issue(server, AccessScope.SUBMIT, AccessScope.READ)
    theirs = await issue(server, tenant="other")
    response = await wire.request(server.url, "POST", "/messages", headers={**JSON, **bearer(ours)}, body=HELLO)
    path = f"/messages/{response.json()['message_id']}"
    for key, method, status in (
        (ours, "GET", 200),
        (ours, "DELETE", 403),
        (theirs, "GET", 404),
        (theirs, "DELETE", 404),
    ):
        assert (await wire.request(server.url, method, path, headers=bearer(key))).status == status, (key.key, method)


async def test_a_verified_key_needs_no_query_until_a_key_changes(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server)
    store = server.runtime.services.store
    queries = []
    get_key = store.get_key

    async def counted(*arguments: Any) -> Any:
        queries.append(arguments)
        return await get_key(*arguments)

    monkeypatch.setattr(store, "get_key", counted)
    for _ in range(20):
        assert (await refused(server, bearer(key)))[0] == 200
    assert len(queries) == 1
    assert (await refused(server, bearer(key.text[:-1])))[0] == 401
    assert len(queries) == 1, "a wrong check needs no query"
    generation = server.runtime.services.access._keys._generation
    await issue(server)
    await until(lambda: server.runtime.services.access._keys._generation > generation, "the change is known")
    for _ in range(20):
        assert (await refused(server, bearer(key)))[0] == 200
    assert len(queries) == 2


async def test_a_lookup_that_a_revocation_overtakes_is_not_remembered(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server)
    store = server.runtime.services.store
    keys = server.runtime.services.access._keys
    read, go_on = asyncio.Event(), asyncio.Event()
    get_key = store.get_key

    async def slow(*arguments: Any) -> Any:
        found = await get_key(*arguments)
        read.set()
        await go_on.wait()
        return found

    monkeypatch.setattr(store, "get_key", slow)
    asking = asyncio.create_task(refused(server, bearer(key)))
    await read.wait()
    generation = keys._generation
    await store.revoke_key(None, key.key.id)
    await until(lambda: keys._generation > generation, "the revocation is known")
    go_on.set()
    await asking
    assert await refused(server, bearer(key)) == (401, "revoked_api_key") or not keys.has_keys
    assert keys.find(key.text) is None


@asynccontextmanager
async def open_reads(server: LiveServer, key: IssuedKey) -> AsyncIterator[tuple[wire.RawStream, Any]]:
    """A stream and a socket of a message that nobody runs."""
    response = await wire.request(server.url, "POST", "/messages", headers={**JSON, **bearer(key)}, body=HELLO)
    message_id = response.json()["message_id"]
    async with (
        wire.stream(server.url, message_id, key=key.text) as stream,
        connect(server.url.replace("http", "ws") + "/ws", additional_headers=bearer(key)) as socket,
    ):
        await stream.until("waiting")
        await socket.send(json.dumps({"type": "subscribe", "message_id": message_id, "request_id": "1"}))
        assert json.loads(await socket.recv())["type"] == "subscribed"
        yield stream, socket


async def closed_code(socket: Any) -> int | None:
    try:
        async with asyncio.timeout(5):  # the promise
            while True:
                await socket.recv()
    except ConnectionClosed:
        code: int | None = socket.close_code
        return code


async def test_revoking_in_another_process_ends_streams_and_sockets(serve: Serve, database: str) -> None:
    server = await serve(worker_concurrency=0, database_url=database, allow_volatile=True)
    other = await serve(worker_concurrency=0, database_url=database, allow_volatile=True)
    key, kept = await issue(server), await issue(server)
    async with open_reads(server, kept) as (_, kept_socket), open_reads(server, key) as (stream, socket):
        await manager(other).revoke(None, key.key.id)
        async with asyncio.timeout(5):  # the promise
            await stream.rest()
            assert stream.ended_cleanly
            assert await closed_code(socket) == 4401
            assert await refused(server, bearer(key)) == (401, "revoked_api_key")
        await kept_socket.send('{"type": "ping", "request_id": "alive"}')
        while json.loads(await kept_socket.recv())["type"] != "pong":
            pass
    with pytest.raises(InvalidStatus):
        await connect(server.url.replace("http", "ws") + "/ws", additional_headers=bearer(key))


async def test_the_first_key_ends_streams_and_sockets_without_a_key(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    async with connect(server.url.replace("http", "ws") + "/ws") as socket:
        await issue(server)
        assert await closed_code(socket) == 4401


async def test_the_end_of_a_key_ends_streams_and_sockets(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server, expires_at=server.runtime.services.store.now() + timedelta(seconds=1.5))
    async with open_reads(server, key) as (stream, socket):
        await stream.rest()
        assert stream.ended_cleanly
        assert await closed_code(socket) == 4401
    assert await refused(server, bearer(key)) == (401, "expired_api_key")


async def test_both_secrets_of_a_rotated_key_are_good_for_its_grace(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server)
    rotated = await manager(server).rotate(None, key.key.id)
    for each in (key, rotated):
        assert (await refused(server, bearer(each)))[0] == 200
    at_once = await manager(server).rotate(None, key.key.id, timedelta(0))
    keys = server.runtime.services.access._keys
    await until(lambda: keys.find(rotated.text) is None, "the rotation is known")
    assert await refused(server, bearer(key)) == (401, "invalid_api_key")
    assert await refused(server, bearer(rotated)) == (401, "expired_api_key")
    assert (await refused(server, bearer(at_once)))[0] == 200


async def test_the_last_use_is_stored(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server)
    assert (await refused(server, bearer(key)))[0] == 200
    await server.runtime._access_watch._store_uses()
    (stored,) = await manager(server).list(None)
    assert stored.last_used_at is not None
    assert stored.last_used_at >= stored.created_at


def agentq(folder: Path, *arguments: str, database: str, **settings: str) -> Any:
    settings = {"DATABASE_URL": database, "ALLOW_VOLATILE": "true", **settings}
    return finished_process(folder, "app.cli", "keys", *arguments, **settings)


async def test_the_command_line_makes_rotates_lists_and_revokes_keys(
    serve: Serve, database: str, tmp_path: Path
) -> None:
    async def run(*arguments: str) -> Any:
        return await asyncio.to_thread(agentq, tmp_path, *arguments, database=database)

    server = await serve(worker_concurrency=0, database_url=database, allow_volatile=True)
    made = await run("create", "--name", "ü", "--scope", "read")
    assert made.returncode == 0, made.stderr
    text = made.stdout.strip()
    assert (await refused(server, bearer(text)))[0] == 200
    response = await wire.request(server.url, "POST", "/messages", headers={**JSON, **bearer(text)}, body=HELLO)
    assert response.status == 403
    everything = [json.loads(line) for line in (await run("list", "--json")).stdout.splitlines()]
    (listed,) = (key for key in everything if key["id"] in text)
    assert (listed["name"], listed["scopes"], listed["tenant"]) == ("ü", ["read"], "default")
    assert "key" not in listed
    rotated = json.loads((await run("rotate", listed["id"], "--json")).stdout)
    for each in (text, rotated["key"]):
        assert (await refused(server, bearer(each)))[0] == 200
    assert (await run("revoke", listed["id"])).stdout == f"Revoked {listed['id']}\n"
    await until(lambda: server.runtime.services.access._keys.find(text) is None, "the revocation is known")
    assert await refused(server, bearer(text)) == (401, "revoked_api_key")
    assert text not in (await run("list")).stdout
    again = await run("rotate", listed["id"])
    told = f"The API key '{listed['id']}' was revoked. Create a new key. Try: agentq keys create\n"
    assert (again.returncode, again.stderr) == (1, told)


@pytest.mark.parametrize(
    "arguments",
    [["create", "--scope", "all"], ["create", "--days", "nan"], ["create", "--name", "x" * 256], ["rotate"]],
)
def test_the_command_line_refuses_bad_input(tmp_path: Path, arguments: list[str]) -> None:
    ended = agentq(tmp_path, *arguments, database=f"sqlite:///{tmp_path}/queue.db")
    assert (ended.returncode, ended.stdout) == (2, "")
