"""Users whom a named proxy has signed in: by its headers, in their roles, and never by the headers of others."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app.config import load_settings
from app.errors import ConfigurationError
from tests import wire
from tests.integration.conftest import Serve
from tests.integration.test_keys import JSON, bearer, issue
from tests.pages import DOCS, named
from tests.servers import SETTING_NAMES, LiveServer, until

PAGE = DOCS / "how-to" / "sign-in-by-a-proxy.md"
PROXY = "127.0.0.1"
SETTINGS: dict[str, Any] = {
    "worker_concurrency": 0,
    "trusted_proxies": (PROXY,),
    "proxy_user_header": "x-user",
    "proxy_groups_header": "x-groups",
    "proxy_roles": {"admins": "admin", "operators": "operator", "customers": "end_user", "staff": "viewer"},
}


def user(name: str, groups: str = "staff", **headers: str) -> dict[str, str]:
    """The headers of a request that the proxy sends for its user."""
    return {"X-User": name, "X-Groups": groups, **headers}


async def seen(
    server: LiveServer, headers: Mapping[str, str], method: str = "GET", path: str = "/session", body: bytes = b""
) -> tuple[int, Any]:
    """The status of an answer, and its code or the caller's name and scopes."""
    given = {**JSON, **headers} if body else dict(headers)
    response = await wire.request(server.url, method, path, headers=given, body=body)
    reply = response.json()
    return response.status, (reply["actor"], reply["scopes"]) if "actor" in reply else reply.get("code")


ALL = ["submit", "read", "control", "admin", "metrics"]


@pytest.mark.parametrize(
    ("groups", "actor", "scopes"),
    [
        ("staff", "user:ada", ["read"]),
        ("others, staff", "user:ada", ["read"]),
        ("operators", "user:ada", ["submit", "read", "control"]),
        ("admins", "user:ada", ALL),
        ("customers", "subject:ada", ["submit", "read"]),
        ("customers,staff", "user:ada", ["submit", "read"]),
    ],
)
async def test_a_user_has_the_roles_of_their_groups(serve: Serve, groups: str, actor: str, scopes: list[str]) -> None:
    server = await serve(**SETTINGS)
    assert await seen(server, user("ada", groups)) == (200, (actor, scopes))


async def test_a_user_without_a_role_is_refused(serve: Serve) -> None:
    server = await serve(**SETTINGS)
    for groups in ("", "others", "Staff", "staff2", "*"):
        assert await seen(server, user("ada", groups)) == (403, "no_role"), groups


async def test_without_roles_all_users_are_viewers(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, trusted_proxies=(PROXY,), proxy_user_header="x-user")
    assert await seen(server, {"X-User": "ada", "X-Groups": "admins"}) == (200, ("user:ada", ["read"]))


async def test_the_headers_of_strangers_change_nothing(serve: Serve) -> None:
    """The peer is no named proxy, whatever it says of itself."""
    server = await serve(**{**SETTINGS, "trusted_proxies": ("192.0.2.1",)})
    for headers in (
        user("ada", "admins"),
        user("ada", "admins", **{"X-Forwarded-For": "192.0.2.1"}),
        user("ada", "admins", Forwarded="for=192.0.2.1"),
        user("ada", "admins", **{"X-Real-IP": "192.0.2.1"}),
    ):
        assert await seen(server, headers) == (401, "authentication_required"), headers
        assert (await seen(server, {**headers, "Origin": server.url}, "POST", "/queue/pause", b"{}"))[0] == 401
    key = await issue(server)
    assert (await seen(server, {**user("ada", "staff"), **bearer(key)}))[1][0] == f"key:{key.key.id}"


async def test_a_proxy_that_names_nobody_admits_nobody(serve: Serve) -> None:
    server = await serve(**SETTINGS)
    for headers in ({}, {"X-User": ""}, {"X-Groups": "admins"}):
        assert await seen(server, headers) == (401, "authentication_required"), headers


async def test_a_header_that_came_twice_or_cannot_be_read_is_refused(serve: Serve) -> None:
    server = await serve(**SETTINGS, proxy_tenant_header="x-tenant")
    begin = b"GET /session HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    for lines in (
        b"X-User: ada\r\nX-User: eve\r\nX-Tenant: t\r\n",
        b"X-User: ada\r\nX-Tenant: t\r\nX-Tenant: u\r\n",
        b"X-User: " + b"x" * 256 + b"\r\nX-Tenant: t\r\n",
        b"X-User: \xff\r\nX-Tenant: t\r\n",
        b"X-User: ada\r\n",
        b"X-User: ada\r\nX-Tenant:\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        writer.write(begin + b"X-Groups: staff\r\n" + lines + b"\r\n")
        reply = await reader.read()
        writer.close()
        assert b" 400 " in reply.partition(b"\r\n")[0], lines
        assert b"invalid_forwarding" in reply, lines


async def test_the_tenant_is_that_of_the_header(serve: Serve) -> None:
    server = await serve(**SETTINGS, proxy_tenant_header="x-tenant")
    for tenant in ("red", "blue"):
        headers = user("ada", "operators", **{"X-Tenant": tenant, "Origin": server.url})
        response = await wire.request(
            server.url, "POST", "/messages", headers={**JSON, **headers}, body=b'{"message": "x", "thread_id": "t"}'
        )
        assert response.status == 202, response.body
    listed = await wire.request(server.url, "GET", "/messages", headers=user("eve", "staff", **{"X-Tenant": "red"}))
    assert len(listed.json()["messages"]) == 1


async def test_an_end_user_sees_their_own_only(serve: Serve) -> None:
    server = await serve(**SETTINGS)
    for name in ("ada", "eve"):
        headers = {**JSON, **user(name, "customers"), "Origin": server.url}
        response = await wire.request(server.url, "POST", "/messages", headers=headers, body=b'{"message": "x"}')
        assert response.status == 202, response.body
    own = (await wire.request(server.url, "GET", "/messages", headers=user("ada", "customers"))).json()["messages"]
    assert [each["subject"] for each in own] == ["ada"]
    assert len((await wire.request(server.url, "GET", "/messages", headers=user("bob"))).json()["messages"]) == 2


async def test_pages_of_other_origins_change_nothing(serve: Serve) -> None:
    server = await serve(**SETTINGS)
    admin = user("ada", "admins")

    async def pause(**headers: str) -> tuple[int, Any]:
        return await seen(server, {**admin, **headers}, "POST", "/queue/pause", b"{}")

    for refused in (
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": server.url},
        {"Sec-Fetch-Site": "none"},
    ):
        assert (await pause(**refused))[0] == 403, refused
    assert (await pause(Origin="https://evil.example"))[0] == 403
    assert (await seen(server, {**admin, "Sec-Fetch-Site": "cross-site"}))[0] == 403
    assert (await pause(**{"Sec-Fetch-Site": "same-origin"}))[0] == 200
    assert (await pause(Origin=server.url))[0] == 200


async def test_a_viewer_acts_on_nothing(serve: Serve) -> None:
    server = await serve(**SETTINGS)
    headers = user("ada", "staff", Origin=server.url)
    for path in ("/messages", "/queue/pause", "/messages/cancel", "/keys"):
        assert await seen(server, headers, "POST", path, b'{"message": "x"}') == (403, "insufficient_scope"), path


async def test_the_audit_log_names_the_user(serve: Serve) -> None:
    server = await serve(**SETTINGS)
    headers = user("ada", "admins", Origin=server.url)
    assert (await seen(server, headers, "POST", "/queue/pause", b"{}"))[0] == 200
    response = await wire.request(server.url, "GET", "/audit", headers=headers)
    (record,) = response.json()["records"]
    assert (record["actor"], record["key_id"], record["action"]) == ("user:ada", None, "queue.pause")


async def test_other_credentials_come_first(serve: Serve) -> None:
    server = await serve(**SETTINGS)
    key = await issue(server)
    assert (await seen(server, {**user("ada"), **bearer(key)}))[1][0] == f"key:{key.key.id}"
    assert (await seen(server, {**user("ada"), "Authorization": "Bearer aq_wrong"}))[0] == 401
    assert (await seen(server, user("ada")))[1][0] == "user:ada", "a key changes nothing for users of the proxy"


async def test_users_open_streams_and_tickets_and_make_no_tokens(serve: Serve) -> None:
    server = await serve(**SETTINGS)
    headers = user("ada", "admins", Origin=server.url)
    assert await seen(server, headers, "POST", "/tokens", b'{"subject": "x"}') == (403, "rights_exceeded")
    assert (await seen(server, headers, "POST", "/tokens/revoke", b'{"all": true}'))[0] == 403
    response = await wire.request(server.url, "POST", "/tickets", headers={**JSON, **headers}, body=b"{}")
    ticket = response.json()["ticket"]
    async with connect(f"{server.url.replace('http', 'ws')}/ws?ticket={ticket}"):
        pass
    async with connect(f"{server.url.replace('http', 'ws')}/ws", additional_headers=headers):
        pass
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"{server.url.replace('http', 'ws')}/ws", additional_headers=user("ada", "admins"))
    assert refused.value.response.status_code == 403


async def test_a_stream_ends_with_the_idle_time(serve: Serve) -> None:
    server = await serve(**SETTINGS, session_idle_minutes=1)
    services = server.runtime.services
    async with server.client.stream("GET", "/events", headers=user("ada")) as stream:
        lines = stream.aiter_lines()
        assert await anext(lines)
        await until(lambda: services.access._held, "the stream is held")
        (held,) = services.access._held.values()
        end = held.principal.ends_at
        assert end is not None
        await services.access.check_held()  # a change of keys does not move the end
        assert next(iter(services.access._held.values())).principal.ends_at == end
        services.access.end_expired(end)
        async for _ in lines:
            pass


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"PROXY_USER_HEADER": "X-User"}, "PROXY_USER_HEADER: expected TRUSTED_PROXIES"),
        ({"TRUSTED_PROXIES": PROXY, "PROXY_GROUPS_HEADER": "X-G"}, "PROXY_GROUPS_HEADER: expected PROXY_USER_HEADER"),
        ({"TRUSTED_PROXIES": PROXY, "PROXY_TENANT_HEADER": "X-T"}, "PROXY_TENANT_HEADER: expected PROXY_USER_HEADER"),
        ({"PROXY_ROLES": "*=admin"}, "PROXY_ROLES: expected PROXY_USER_HEADER"),
        (
            {"TRUSTED_PROXIES": PROXY, "PROXY_USER_HEADER": "X-User", "PROXY_ROLES": "a=admin"},
            "PROXY_ROLES: expected PROXY_GROUPS_HEADER",
        ),
        ({"TRUSTED_PROXIES": PROXY, "PROXY_USER_HEADER": "X-User", "PROXY_ROLES": "*=root"}, "PROXY_ROLES: expected"),
        ({"TRUSTED_PROXIES": PROXY, "PROXY_USER_HEADER": "X-User", "PROXY_ROLES": ","}, "PROXY_ROLES: expected"),
        ({"TRUSTED_PROXIES": PROXY, "PROXY_USER_HEADER": "two words"}, "PROXY_USER_HEADER: expected the name"),
        ({"TRUSTED_PROXIES": PROXY, "PROXY_USER_HEADER": "Authorization"}, "PROXY_USER_HEADER: expected a header"),
        ({"TRUSTED_PROXIES": PROXY, "PROXY_USER_HEADER": "X-Forwarded-For"}, "PROXY_USER_HEADER: expected a header"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_the_start(
    given: dict[str, str], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SETTING_NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=re.escape(what)):
        load_settings(None)


def test_the_settings_of_the_page_are_those_of_its_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTING_NAMES:
        monkeypatch.delenv(name, raising=False)
    for line in named(PAGE, "sample: settings of a proxy").splitlines():
        name, _, value = line.partition("=")
        monkeypatch.setenv(name, value)
    settings = load_settings(None)
    assert settings.proxy_roles == {"queue-admins": "admin", "queue-operators": "operator", "*": "viewer"}
    set_by_nginx = re.findall(r"proxy_set_header (\S+)", named(PAGE, "sample: nginx of a proxy").lower())
    assert {settings.proxy_user_header, settings.proxy_groups_header, "forwarded", "authorization"} <= set(set_by_nginx)


async def test_keys_of_admins_are_theirs(serve: Serve) -> None:
    server = await serve(**SETTINGS)
    headers = user("ada", "admins", Origin=server.url)
    body = b'{"name": "x", "scopes": ["read"]}'
    made = await wire.request(server.url, "POST", "/keys", headers={**JSON, **headers}, body=body)
    assert made.status == 201, made.body
    assert made.json()["key"].startswith("aq_")
