"""The API of tenants' settings: what it shows, changes and refuses."""

import asyncio
from typing import Any

import pytest

from app.access.principals import Principal
from app.access.scopes import AccessScope
from app.access.tenants import TenantManager
from app.errors.access import RightsExceeded
from tests.integration.conftest import Serve
from tests.integration.test_key_api import ask
from tests.integration.test_keys import issue

NO_LIMITS: dict[str, Any] = dict.fromkeys(
    ("submits_per_minute", "subject_submits_per_minute", "streams", "queued", "running")
)
NO_QUOTAS: dict[str, Any] = dict.fromkeys(
    ("messages_per_day", "messages_per_month", "tokens_per_day", "tokens_per_month")
)


async def test_settings_are_changed_one_by_one(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    missing = await server.client.get("/tenants/acme")
    assert (missing.status_code, missing.json()["code"]) == (404, "tenant_not_found")
    made = await server.client.patch("/tenants/acme", json={"limits": {"streams": 5}})
    assert made.status_code == 200, made.text
    record = made.json()
    assert record["limits"] == {**NO_LIMITS, "streams": 5}
    assert (record["tenant"], record["weight"], record["quotas"]) == ("acme", 1.0, NO_QUOTAS)
    changes = {"weight": 2.5, "limits": {"queued": 7}, "subject_quotas": {"tokens_per_day": 9}, "retention_days": 3}
    changed = (await server.client.patch("/tenants/acme", json=changes)).json()
    assert changed["limits"] == {**NO_LIMITS, "streams": 5, "queued": 7}
    assert changed["subject_quotas"] == {**NO_QUOTAS, "tokens_per_day": 9}
    assert (changed["weight"], changed["retention_days"]) == (2.5, 3.0)
    assert (await server.client.get("/tenants/acme")).json() == changed
    changes = {"weight": None, "limits": {"queued": None}, "subject_quotas": None, "retention_days": None}
    back = (await server.client.patch("/tenants/acme", json=changes)).json()
    assert {**back, "changed_at": 0} == {**record, "changed_at": 0}


async def test_a_change_that_changes_nothing_is_not_recorded(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    for _ in range(2):
        await server.client.patch("/tenants/acme", json={"weight": 2})
    (record,) = (await server.client.get("/audit")).json()["records"]
    assert (record["action"], record["tenant"], record["targets"]) == ("tenant.change", "acme", ["acme"])
    assert record["details"] == {"weight": 2.0}


async def test_changes_at_the_same_time_are_all_kept(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    fields = list(NO_LIMITS)
    replies = await asyncio.gather(
        *(server.client.patch("/tenants/acme", json={"limits": {name: 5}}) for name in fields)
    )
    assert [each.status_code for each in replies] == [200] * len(fields)
    limits = (await server.client.get("/tenants/acme")).json()["limits"]
    assert limits == {**NO_LIMITS, **dict.fromkeys(fields, 5)}


async def test_tenants_are_listed_in_pages(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    names = ["B", "a b", "ü", "z"]
    for name in reversed(names):
        assert (await server.client.patch(f"/tenants/{name}", json={})).status_code == 200
    seen, path = [], "/tenants?limit=3"
    while path:
        page = await server.client.get(path)
        seen += [each["tenant"] for each in page.json()["tenants"]]
        path = page.headers.get("link", "").partition(">")[0].removeprefix("<")
    assert seen == ["B", "a b", "z", "ü"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"weight": 0}, "weight"),
        ({"weight": 101}, "weight"),
        ({"weight": "2"}, "weight"),
        ({"limits": {"queued": -1}}, "limits.queued"),
        ({"limits": {"queued": 1.5}}, "limits.queued"),
        ({"limits": {"running": -1}}, "limits.running"),
        ({"limits": {"walking": 1}}, "limits.walking"),
        ({"quotas": {"tokens_per_day": 0}}, "quotas.tokens_per_day"),
        ({"retention_days": 0}, "retention_days"),
        ({"retention_days": 1e300}, "retention_days"),
        ({"limits": {"submits_per_minute": 5, "subject_submits_per_minute": 6}}, "limits.subject_submits_per_minute"),
        ({"limits": {"queued": 1001}}, "limits.queued"),
        ({"quotas": {"messages_per_day": 11, "messages_per_month": 10}}, "quotas.messages_per_day"),
        ({"quotas": {"tokens_per_day": 1}, "subject_quotas": {"tokens_per_day": 2}}, "subject_quotas.tokens_per_day"),
    ],
)
async def test_what_cannot_be_or_contradicts_is_named(serve: Serve, changes: Any, field: str) -> None:
    server = await serve(worker_concurrency=0, max_queue_size=1000)
    response = await server.client.patch("/tenants/acme", json=changes)
    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["field"] == field
    assert (await server.client.get("/tenants")).json() == {"tenants": []}


async def test_a_contradiction_with_what_is_stored_is_refused(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    await server.client.patch("/tenants/acme", json={"quotas": {"messages_per_month": 10}})
    refused = await server.client.patch("/tenants/acme", json={"quotas": {"messages_per_day": 11}})
    assert refused.status_code == 422
    assert "which is 10: no day can have more than its month" in refused.text


async def test_only_admins_who_are_not_narrowed_manage_tenants(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    admin, reader = await issue(server), await issue(server, AccessScope.READ, AccessScope.CONTROL)
    assert (await ask(server, "PATCH", "/tenants/acme", admin, {"weight": 2})).status == 200
    for method, path in (("GET", "/tenants"), ("GET", "/tenants/acme"), ("PATCH", "/tenants/acme")):
        assert (await ask(server, method, path, reader, {})).status == 403
    narrowed = Principal("default", frozenset(AccessScope), subject="ann")
    tenants = TenantManager(server.runtime.services.store, narrowed, max_queue_size=10)
    for call in (tenants.get("acme"), tenants.list(), tenants.change("acme", {})):
        with pytest.raises(RightsExceeded):
            await call
