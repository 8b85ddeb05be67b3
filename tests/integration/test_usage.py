"""Usage and cost over HTTP and on the command line: what is counted, who sees it, and in which forms."""

import asyncio
import base64
import csv
import io
import json
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest

from app import usage_manager
from app.access.principals import Principal
from app.access.scopes import AccessScope
from app.models.usage import GroupUsage, ModelUsage, Tokens, UsageFilter, UsageGroup, UsageKey
from app.policy.usage_table import csv_lines
from tests import wire
from tests.callers import admit
from tests.contract.builders import DONE, claim_one, new
from tests.contract.test_usage import use
from tests.integration.conftest import Serve
from tests.integration.test_key_api import ask
from tests.openai_stub import Answer, Status, StubServer
from tests.servers import LiveServer, finished_process

READ = frozenset({AccessScope.READ})
NO_GROUP: dict[str, Any] = dict.fromkeys(UsageGroup)
CALLS = ModelUsage("m", Tokens(2, 10, 5, 4, 3, 1_500_000_000)), ModelUsage("n", Tokens(1, 1, 1, unpriced_calls=1))


async def usage(server: LiveServer, query: str = "", key: Any = None, **headers: str) -> Any:
    return await ask(server, "GET", f"/usage{query}", key or await admit(server, Principal("a", READ)), **headers)


def cursor_of(names: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([1, names]).encode()).decode().rstrip("=")


async def spend(server: LiveServer, **fields: Any) -> str:
    """Run a message that makes CALLS."""
    store = server.runtime.services.store
    message = new(**fields)
    await store.add([message], max_queued=100)
    lease = await claim_one(store)
    await use(store, lease, *CALLS)
    await store.finish(lease, DONE)
    return message.id


async def test_the_status_tells_what_all_attempts_used_and_cost(serve: Serve, model: StubServer) -> None:
    server = await serve(retry_base_seconds=0.01, metrics=True)
    model.replies.extend([Status(500), Answer("one two three")])
    message_id = (await server.submit("What is it?"))["message_id"]
    status = await server.ended(message_id)
    (counts,) = [frame.data for frame in await wire.frames_of(server.url, message_id) if frame.event == "usage"]
    used = status["usage"]
    (by_model,) = used.pop("models")
    assert by_model == {"model": "gpt-4", **used}
    told = counts["models"]["gpt-4"]
    assert {name: told[name] for name in ("calls", "input_tokens", "output_tokens", "total_tokens", "cost")} == {
        name: used[name] for name in ("calls", "input_tokens", "output_tokens", "total_tokens", "cost")
    }
    nanos = 30_000 * used["input_tokens"] + 60_000 * used["output_tokens"]
    assert (float(used["cost"]), used["cost_complete"]) == (nanos / 10**9, True)
    response = await server.client.get(f"/messages/{message_id}")
    assert response.json()["usage"]["total_tokens"] == used["total_tokens"]
    (listed,) = (await server.client.get("/messages")).json()["messages"]
    assert listed["usage"] == {**used, "models": [by_model]}
    metrics = (await server.client.get("/metrics")).text
    assert f'agentq_cost_dollars_total{{model="gpt-4"}} {nanos / 10**9}' in metrics
    (row,) = (await server.client.get("/usage?group_by=agent,model")).json()["rows"]
    assert row == {**NO_GROUP, "agent": "chat", "model": "gpt-4", **used}


async def test_usage_is_listed_by_groups_in_pages_and_as_csv(quiet: LiveServer) -> None:
    for subject in ("ann", "bob", "=1+1"):
        await spend(quiet, tenant="a", subject=subject, key_id="k")
    whole = (await usage(quiet, "?group_by=")).json()
    assert (whole["currency"], whole["group_by"]) == ("USD", [])
    assert whole["rows"] == [
        {
            **NO_GROUP,
            "calls": 9, "input_tokens": 33, "cached_tokens": 12, "output_tokens": 18, "reasoning_tokens": 9,
            "total_tokens": 51, "cost": "4.5", "cost_complete": False,
        }
    ]  # fmt: skip
    rows = (await usage(quiet, "?group_by=model,key,subject")).json()["rows"]
    assert [(row["key"], row["subject"], row["model"], row["cost"]) for row in rows] == [
        ("k", subject, model, cost) for subject in ("=1+1", "ann", "bob") for model, cost in (("m", "1.5"), ("n", None))
    ]
    paged, query = [], "?group_by=model,key,subject&limit=4"
    while query:
        response = await usage(quiet, query)
        paged += response.json()["rows"]
        link = response.headers.get("link", "")
        query = link.partition("?")[2].partition(">")[0] and f"?{link.partition('?')[2].partition('>')[0]}"
    assert paged == rows
    for given in ({"Accept": "text/csv"}, {}):
        response = await usage(quiet, "?group_by=subject,model" + ("" if given else "&format=csv"), **given)
        assert (response.status, response.headers["content-type"]) == (200, "text/csv; charset=utf-8")
        head, first, *_, last = csv.reader(io.StringIO(response.body.decode()))
        assert head == [
            *("subject", "model", "calls", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"),
            *("total_tokens", "cost", "cost_complete"),
        ]
        assert first == ["'=1+1", "m", "2", "10", "4", "5", "3", "15", "1.5", "true"]
        assert last == ["bob", "n", "1", "1", "0", "1", "0", "2", "", "false"]
    (day,) = (await usage(quiet)).json()["rows"]
    since, until = whole["since"], whole["until"]
    assert since[:10] < day["day"] <= until[:10]
    assert (await usage(quiet, f"?until={since}")).json()["rows"] == []
    assert (await usage(quiet, f"?since={day['day']}&group_by=hour")).json()["rows"][0]["hour"].endswith(":00:00.000Z")


def test_no_cell_of_csv_is_a_formula_or_a_control_of_a_terminal() -> None:
    def line(model: str) -> str:
        group = GroupUsage(UsageKey(1, "a", model=model), Tokens(1, 2, 3))
        return csv_lines(frozenset({UsageGroup.MODEL}), [group])

    for beginning in "=+-@":
        assert line(f"{beginning}1").startswith(f"'{beginning}1,1,2,")
    assert line("x;=1+1").startswith('"x;=1+1","1",'), "a semicolon begins a cell in many languages"
    assert line("a\t=1\n\x1b[31m").startswith(r"a\t=1\n\x1b[31m,1,")


async def test_callers_see_the_usage_of_their_tenant_or_their_end_user(quiet: LiveServer) -> None:
    for tenant, subject in (("a", "ann"), ("a", None), ("b", "ann")):
        await spend(quiet, tenant=tenant, subject=subject)
    everything = READ | {AccessScope.ADMIN}
    backend, ann, admin = Principal("a", READ), Principal("a", READ, subject="ann"), Principal("a", everything)
    ann_with_all = Principal("a", everything, subject="ann")
    for who, query, calls in (
        (backend, "", [6]),
        (backend, "&tenant=a", [6]),
        (backend, "&subject=ann", [3]),
        (backend, "&tenant=b", 403),
        (ann, "", [3]),
        (ann, "&subject=ann", [3]),
        (ann, "&subject=bob", []),
        (ann_with_all, "&subject=bob", []),
        (ann, "&tenant=b", 403),
        (ann_with_all, "", [3]),
        (ann_with_all, "&tenant=b", 403),
        (admin, "", [9]),
        (admin, "&tenant=b", [3]),
        (admin, "&tenant=c", []),
        (Principal("a", READ, agents=frozenset({"chat"})), "", 403),
        (Principal("a", frozenset({AccessScope.SUBMIT})), "", 403),
    ):
        for form in ("", "&format=csv"):
            response = await usage(quiet, f"?group_by={query}{form}", await admit(quiet, who))
            if isinstance(calls, int):
                assert (response.status, response.json()["code"]) == (calls, "insufficient_scope"), query
            elif not form:
                assert [row["calls"] for row in response.json()["rows"]] == calls, (who, query)
    submits = await admit(quiet, Principal("a", frozenset({AccessScope.SUBMIT})))
    accepted = (await ask(quiet, "POST", "/messages", submits, {"message": "Hello"})).json()
    stored = await quiet.runtime.services.store.get("a", accepted["message_id"])
    assert stored.key_id == submits, "usage is counted for the key of the submit"
    both = await usage(quiet, "?group_by=tenant,key", await admit(quiet, admin))
    assert [(row["tenant"], row["key"]) for row in both.json()["rows"]] == [("a", None), ("b", None)]


async def test_a_whole_report_is_read_in_parts_and_written_in_smaller_ones(
    quiet: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for subject in ("ann", "bob", "cy", "dan", "eve"):
        await spend(quiet, tenant="a", subject=subject)
    monkeypatch.setattr(usage_manager, "READ_AT_ONCE", 4)
    monkeypatch.setattr(usage_manager, "YIELDED_AT_ONCE", 3)
    store = quiet.runtime.services.store
    reads = AsyncMock(side_effect=store.list_usage)
    monkeypatch.setattr(store, "list_usage", reads)
    manager = usage_manager.UsageManager(store, quiet.runtime.services.usage._quotas)
    chosen = UsageFilter(*manager.window(None, None))
    by_subject = frozenset({UsageGroup.SUBJECT})
    parts = [part async for part in manager.pages(Principal("a", READ), chosen, by_subject)]
    assert [[each.key.subject for each in part] for part in parts] == [["ann", "bob", "cy"], ["dan"], ["eve"]]
    assert reads.await_count == 2


async def test_a_csv_without_usage_is_its_head(quiet: LiveServer) -> None:
    response = await quiet.client.get("/usage?format=csv")
    assert (response.status_code, len(response.text.splitlines())) == (200, 1)


async def test_what_cannot_be_listed_is_refused_with_its_field(quiet: LiveServer) -> None:
    for query, field, told in (
        ("group_by=day,weekday", "group_by", "expected some of hour, day, tenant, key, subject, agent, model"),
        ("group_by=hour,day", "group_by", "not both"),
        ("since=2026-01-01T00:30:00Z", "since", "expected a whole hour"),
        ("since=2026-01-01T00:00:00%2B05:30", "since", "expected a whole hour"),
        ("since=yesterday", "since", "expected a time of RFC 3339"),
        ("since=2026-02-30", "since", ""),
        ("since=0001-01-01T00:00:00%2B14:00", "since", "from 1970 to 9998"),
        ("until=9999-12-31T23:00:00-14:00", "until", "from 1970 to 9998"),
        ("since=2026-02-02&until=2026-02-02", "since", "expected a time before `until`"),
        ("since=2020-01-01&until=2026-01-01", "since", "expected at most 400 days"),
        ("limit=0", "limit", ""),
        ("cursor=nonsense", "cursor", "expected a cursor"),
        *((f"cursor={cursor_of(names)}", "cursor", "expected a cursor") for names in ("[1]", '["\\u0000"]', "{}", "[")),
        ("format=csv&limit=5", "limit", "expected none with CSV"),
        ("format=xml", "format", ""),
        ("group=day", "group", "Unknown query parameter"),
        ("model=", "model", ""),
    ):
        response = await usage(quiet, f"?{query}")
        assert response.status == 422, query
        (error,) = response.json()["errors"]
        assert error["field"] == field, query
        assert told in error["detail"] or told in response.json()["detail"], response.body


async def test_the_command_prints_usage_as_csv(serve: Serve, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/queue.db"
    server = await serve(worker_concurrency=0, database_url=database)
    await spend(server, tenant="a")
    await spend(server, tenant="b")
    run = asyncio.to_thread
    command = ("app.cli", "usage", "--group-by", "tenant,model", "--model", "m")
    printed = await run(finished_process, tmp_path, *command, DATABASE_URL=database)
    assert (printed.returncode, printed.stderr) == (0, "")
    assert printed.stdout.replace("\r\n", "\n").splitlines() == [
        "tenant,model,calls,input_tokens,cached_tokens,output_tokens,reasoning_tokens,total_tokens,cost,cost_complete",
        "a,m,2,10,4,5,3,15,1.5,true",
        "b,m,2,10,4,5,3,15,1.5,true",
    ]
    lines = await run(finished_process, tmp_path, *command, "--json", DATABASE_URL=database)
    first, _ = [json.loads(line) for line in lines.stdout.splitlines()]
    assert (first["tenant"], first["calls"], first["cost"], first["cost_complete"]) == ("a", 2, "1.5", True)
    for given, told in (("--group-by=week", "expected some of hour"), ("--since=2026-01-01T00:30", "a whole hour")):
        refused = await run(finished_process, tmp_path, "app.cli", "usage", given, DATABASE_URL=database)
        assert refused.returncode == 2
        assert told in refused.stderr
