"""The API of keys: what it shows, and that nobody gives away rights that they do not have."""

import json
from datetime import timedelta
from typing import Any

import pytest

from app.access.keys import parse
from app.access.management import KeyManager
from app.access.principals import Principal
from app.access.scopes import AccessScope
from app.errors.access import RightsExceeded
from app.models.visibility import ThreadNarrowing
from app.text import rfc3339
from tests import wire
from tests.integration.conftest import Serve
from tests.integration.test_keys import EVERYTHING, bearer, issue, refused
from tests.servers import LiveServer, until


async def ask(server: LiveServer, method: str, path: str, key: Any, body: Any = None, **headers: str) -> Any:
    """The response to a request with a key."""
    named = {"Content-Type": "application/json", **bearer(key), **{k.replace("_", "-"): v for k, v in headers.items()}}
    sent = b"" if body is None else json.dumps(body).encode()
    return await wire.request(server.url, method, path, headers=named, body=sent)


async def test_a_key_is_made_used_rotated_and_revoked(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    admin = await issue(server)
    until_then = rfc3339(server.runtime.services.store.now() + timedelta(days=1))
    wanted = {"name": "ü", "tenant": "other", "scopes": ["read", "submit", "read"], "expires_at": until_then}
    made = await ask(server, "POST", "/keys", admin, wanted)
    assert made.status == 201, made.body
    assert made.headers["cache-control"] == "no-store"
    key = made.json()
    assert made.headers["location"] == f"/keys/{key['id']}"
    assert parse(key.pop("key")) is not None
    text = made.json()["key"]
    assert (key["name"], key["tenant"], key["scopes"]) == ("ü", "other", ["submit", "read"])
    assert (key["expires_at"], key["revoked_at"], key["previous_until"]) == (until_then, None, None)
    assert (await refused(server, bearer(text)))[0] == 200

    shown = await ask(server, "GET", f"/keys/{key['id']}", admin)
    assert shown.json() == key
    rotated = await ask(server, "POST", f"/keys/{key['id']}/rotate", admin, {"grace_seconds": 3600})
    assert rotated.status == 200
    assert rotated.headers["cache-control"] == "no-store"
    assert rotated.json()["previous_until"] is not None
    for each in (text, rotated.json()["key"]):
        assert (await refused(server, bearer(each)))[0] == 200
    revoked = [await ask(server, "POST", f"/keys/{key['id']}/revoke", admin) for _ in range(2)]
    assert [each.status for each in revoked] == [200, 200]
    assert revoked[0].json() == revoked[1].json()
    keys = server.runtime.services.access._keys
    await until(lambda: keys.find(text) is None, "the revocation is known")
    assert await refused(server, bearer(text)) == (401, "revoked_api_key")
    again = await ask(server, "POST", f"/keys/{key['id']}/rotate", admin, {})
    assert (again.status, again.json()["code"]) == (409, "key_revoked")


async def test_a_program_of_this_host_makes_the_first_key(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    made = await server.client.post("/keys", json={})
    assert made.status_code == 201
    assert made.json()["scopes"] == ["submit", "read", "control"]
    await until(lambda: server.runtime.services.access._keys.has_keys, "the key is known")
    assert (await server.client.get("/keys")).status_code == 401


async def test_keys_are_listed_in_pages_without_secrets(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    admin = await issue(server)
    issued = [admin, *[await issue(server, tenant=tenant) for tenant in ("a", "b", "a")]]
    seen, path = [], "/keys?limit=2"
    while path:
        page = await ask(server, "GET", path, admin)
        assert not any(
            each.text[16:] in page.body.decode() or each.key.secret_hash in page.body.decode() for each in issued
        )
        seen += page.json()["keys"]
        path = page.headers.get("link", "").partition(">")[0].removeprefix("<")
    assert [each["id"] for each in seen] == sorted(each.key.id for each in issued)
    of_a = (await ask(server, "GET", "/keys?tenant=a", admin)).json()["keys"]
    assert [each["tenant"] for each in of_a] == ["a", "a"]


@pytest.mark.parametrize("path", ["/keys/nothing", "/keys/%00", "/keys/nothing/rotate", "/keys/nothing/revoke"])
async def test_a_missing_key_is_not_found(serve: Serve, path: str) -> None:
    server = await serve(worker_concurrency=0)
    method = "POST" if path.count("/") == 3 else "GET"
    response = await server.client.request(method, path, json={} if method == "POST" else None)
    assert (response.status_code, response.json()["code"]) == (404, "key_not_found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": ["all"]}, "scopes"),
        ({"tenant": ""}, "tenant"),
        ({"tenant": "\0"}, "tenant"),
        ({"name": "x" * 256}, "name"),
        ({"expires_at": 17}, "expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "0001-01-01T00:00:00+14:00"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-14:00"}, "expires_at"),
        ({"secret": "mine"}, "secret"),
    ],
)
async def test_a_wrong_field_is_named(serve: Serve, body: Any, field: str) -> None:
    server = await serve(worker_concurrency=0)
    response = await server.client.post("/keys", json=body)
    assert response.status_code == 422, response.text
    assert field in response.text
    assert (await server.client.get("/keys")).json() == {"keys": []}


async def test_no_secret_is_stored_for_a_repeated_request(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    for path in ("/keys", "/keys/nothing/rotate"):
        response = await server.client.post(path, json={}, headers={"Idempotency-Key": "1"})
        assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "Idempotency-Key")
    assert (await server.client.get("/keys")).json() == {"keys": []}


async def test_nobody_gives_scopes_that_they_do_not_have(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    everything = await issue(server)
    admin = await issue(server, AccessScope.ADMIN, AccessScope.READ)
    refusals = [
        await ask(server, "POST", "/keys", admin, {"scopes": ["admin", "submit"]}),
        await ask(server, "POST", f"/keys/{everything.key.id}/rotate", admin, {}),
    ]
    for response in refusals:
        assert (response.status, response.json()["code"]) == (403, "rights_exceeded"), response.body
        assert "submit" in response.json()["detail"]
    assert (await ask(server, "POST", "/keys", admin, {"scopes": ["admin", "read"]})).status == 201
    assert (await ask(server, "POST", f"/keys/{admin.key.id}/rotate", admin, {})).status == 200
    assert (await ask(server, "POST", f"/keys/{everything.key.id}/revoke", admin)).status == 200


async def test_nobody_gives_a_key_that_ends_after_their_own(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    now = server.runtime.services.store.now()
    forever = await issue(server)
    admin = await issue(server, expires_at=now + timedelta(hours=1))
    later = rfc3339(now + timedelta(hours=2))
    refusals = [
        await ask(server, "POST", "/keys", admin, {"expires_at": later}),
        await ask(server, "POST", "/keys", admin, {}),
        await ask(server, "POST", f"/keys/{forever.key.id}/rotate", admin, {}),
    ]
    for response in refusals:
        assert (response.status, response.json()["code"]) == (403, "rights_exceeded"), response.body
    soon = rfc3339(now + timedelta(minutes=30))
    assert (await ask(server, "POST", "/keys", admin, {"expires_at": soon})).status == 201


@pytest.mark.parametrize(
    "narrow",
    [{"subject": "user"}, {"threads": ThreadNarrowing(prefix="a")}, {"agents": frozenset({"chat"})}],
    ids=lambda narrow: next(iter(narrow)),
)
async def test_a_narrowed_caller_manages_no_keys(serve: Serve, narrow: dict[str, Any]) -> None:
    server = await serve(worker_concurrency=0)
    issued = await issue(server)
    manager = KeyManager(server.runtime.services.store, Principal("default", frozenset(EVERYTHING), **narrow))
    for call in (
        lambda: manager.create("default", "", (), None),
        lambda: manager.list(None),
        lambda: manager.get(None, issued.key.id),
        lambda: manager.rotate(None, issued.key.id),
        lambda: manager.revoke(None, issued.key.id),
    ):
        with pytest.raises(RightsExceeded):
            await call()
