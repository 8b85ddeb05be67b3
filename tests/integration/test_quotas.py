"""Quotas of messages and tokens are counted, told and refused with their end."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.access import quotas
from app.access.scopes import AccessScope
from app.models.events import EventType, NewEvent
from app.models.keys import KeyCounts, KeyLimits
from app.models.tenants import Quotas
from app.models.usage import ModelUsage, Tokens
from tests.contract.builders import FAILED, claim_one
from tests.integration.conftest import Serve
from tests.integration.limited_callers import HELLO, limit_tenant, submit
from tests.integration.test_key_api import ask
from tests.integration.test_keys import issue
from tests.servers import LiveServer, finished_process


async def use(server: LiveServer, tokens: int) -> None:
    """Let a message use tokens."""
    store = server.runtime.services.store
    lease = await claim_one(store)
    usage = ModelUsage("m", Tokens(1, tokens - 1, 1, 0, 0, 0, 0))
    await store.append(lease, [NewEvent.of(EventType.USAGE, models={"m": {"calls": 1}})], [usage])


async def test_a_quota_of_messages_is_told_and_refused_with_its_end(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server, counts=KeyCounts(KeyLimits(), Quotas(messages_per_month=3)))
    await limit_tenant(server, key, quotas={"messages_per_day": 2})
    assert [(await submit(server, key)).status for _ in range(3)] == [202, 202, 429]
    refused = await submit(server, key)
    report = (await ask(server, "GET", "/usage", key)).json()
    day, month = report["quotas"]
    assert (day["of"], day["unit"], day["period"]) == ("tenant", "messages", "day")
    assert (day["limit"], day["used"], day["left"]) == (2, 2, 0)
    assert (month["of"], month["period"], month["used"], month["left"]) == ("key", "month", 2, 1)
    assert refused.json()["code"] == "quota_exceeded"
    assert day["resets_at"] in refused.json()["detail"]
    assert refused.headers["ratelimit-policy"] == '"tenant-messages-day";q=2;w=86400'


async def test_a_quota_of_tokens_counts_what_ran(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "FRESH_SECONDS", -1.0)  # read each sum again
    server = await serve(worker_concurrency=0)
    key = await issue(server, counts=KeyCounts(KeyLimits(), Quotas(tokens_per_day=10)))
    await limit_tenant(server, key, subject_quotas={"tokens_per_day": 20}, quotas={"tokens_per_month": 1000})
    first = await submit(server, key, idempotency_key="a")
    await use(server, 12)
    refused = await submit(server, key)
    assert (refused.status, refused.json()["code"]) == (429, "quota_exceeded")
    assert "10 tokens in a day for this API key" in refused.json()["detail"]
    again = await submit(server, key, idempotency_key="a")
    assert (again.status, again.json()) == (202, first.json())
    other = await issue(server)
    assert (await submit(server, other)).status == 202
    told = (await ask(server, "GET", "/usage?subject=ann", key)).json()["quotas"]
    assert [(each["of"], each["used"], each["left"]) for each in told] == [
        ("tenant", 12, 988), ("key", 12, 0), ("subject", 0, 20),
    ]  # fmt: skip


async def test_the_report_of_usage_agrees_with_itself(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum that a submit has read is not shown again."""
    monkeypatch.setattr(quotas, "FRESH_SECONDS", 1e9)
    server = await serve(worker_concurrency=0)
    key = await issue(server, counts=KeyCounts(KeyLimits(), Quotas(tokens_per_day=1000)))
    for used in (7, 14):
        assert (await submit(server, key)).status == 202
        await use(server, 7)
        report = (await ask(server, "GET", "/usage", key)).json()
        assert [each["used"] for each in report["quotas"]] == [used]
        assert [each["total_tokens"] for each in report["rows"]] == [used]


async def test_the_quotas_of_a_named_key_are_shown(serve: Serve, tmp_path: Path) -> None:
    server = await serve(worker_concurrency=0, database_url=f"sqlite:///{tmp_path}/queue.db")
    admin = await issue(server)
    beta = await issue(server, AccessScope.READ, tenant="beta", counts=KeyCounts(KeyLimits(), Quotas(tokens_per_day=7)))
    path = f"/usage?key={beta.key.id}"
    for asked in (path, f"{path}&tenant=beta"):
        (told,) = (await ask(server, "GET", asked, admin)).json()["quotas"]
        assert (told["of"], told["limit"]) == ("key", 7)
    other = await issue(server, AccessScope.READ)
    assert (await ask(server, "GET", path, other)).json()["quotas"] == []
    made = await ask(server, "POST", "/tokens", admin, {"subject": "ann", "scopes": ["read"]})
    assert (await ask(server, "GET", path, made.json()["token"])).json()["quotas"] == []

    async def printed(*arguments: str) -> tuple[int, str, str]:
        environment = {"DATABASE_URL": f"sqlite:///{tmp_path}/queue.db"}
        given = ("usage", "--quotas", *arguments)
        done = await asyncio.to_thread(finished_process, tmp_path, "app.cli", *given, **environment)
        return done.returncode, done.stdout, done.stderr

    for tenant in ((), ("--tenant", "beta")):
        code, table, errors = await printed("--key", beta.key.id, *tenant)
        assert (code, table.split()[:4]) == (0, ["key", "tokens", "day", "7"]), errors
    assert (await printed("--key", beta.key.id, "--tenant", "default"))[0] == 3
    for ignored in (("--since", "2030-01-01"), ("--group-by", "hour")):
        code, _, errors = await printed(*ignored)
        assert (code, "--quotas" in errors) == (2, True), errors


@pytest.mark.parametrize("of", ["tenant", "key", "subject"])
async def test_failed_messages_wait_for_a_quota_of_tokens(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    """Each retry would use as many tokens as a new message. Whoever has the scope `admin` may retry."""
    monkeypatch.setattr(quotas, "FRESH_SECONDS", -1.0)  # read each sum again
    server = await serve(worker_concurrency=0)
    admin = await issue(server)
    own = Quotas(tokens_per_day=10) if of == "key" else Quotas(messages_per_day=1)
    scopes = (AccessScope.SUBMIT, AccessScope.READ, AccessScope.CONTROL)
    key = await issue(server, *scopes, counts=KeyCounts(KeyLimits(), own))
    if of != "key":
        name = "quotas" if of == "tenant" else "subject_quotas"
        await limit_tenant(server, admin, **{name: {"tokens_per_day": 10}})
    message_id = (await ask(server, "POST", "/messages", key, {**HELLO, "subject": "ann"})).json()["message_id"]
    store = server.runtime.services.store
    lease = await claim_one(store)
    usage = ModelUsage("m", Tokens(1, 9, 1, 0, 0, 0, 0))
    await store.append(lease, [NewEvent.of(EventType.USAGE, models={"m": {"calls": 1}})], [usage])
    await store.finish(lease, FAILED)
    selections: list[Any] = [{"message_ids": [message_id]}, {"filter": {}, "expected_count": 1}]
    calls = [(f"/messages/{message_id}/retry", None), *(("/dead-letters/requeue", each) for each in selections)]
    for path, body in calls:
        refused = await ask(server, "POST", path, key, body)
        assert (refused.status, refused.json()["code"]) == (429, "quota_exceeded"), refused.body
        assert f'"{of}-tokens-day"' in refused.headers["ratelimit-policy"]
    assert (await ask(server, "GET", f"/messages/{message_id}/status", key)).json()["state"] == "failed"
    assert (await ask(server, "POST", f"/messages/{message_id}/retry", admin)).status == 202
