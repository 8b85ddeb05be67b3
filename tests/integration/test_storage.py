"""The storage report over HTTP: what is measured, who sees it, and what a long measurement shows meanwhile."""

import asyncio
import re
from typing import Any
from urllib.parse import quote

import pytest

from app import storage_manager
from app.access.principals import Principal
from app.access.scopes import AccessScope
from app.errors import StoreUnavailable
from app.models.items import ItemWrite
from app.models.tenants import DEFAULT_SETTINGS
from app.models.visibility import ThreadNarrowing
from app.storage import measurement, pace
from tests.callers import admit
from tests.contract.builders import new
from tests.integration.conftest import Serve
from tests.integration.test_command_line import run
from tests.integration.test_key_api import ask
from tests.servers import LiveServer

READ = frozenset({AccessScope.READ})
ALL = frozenset(AccessScope)
A = Principal("a", READ)


async def get(server: LiveServer, path: str, caller: Principal = A) -> Any:
    return await ask(server, "GET", path, await admit(server, caller))


async def fill(server: LiveServer, *sizes: int, tenant: str = "a") -> None:
    """Store a message of so many characters in a thread of its own, for each size."""
    messages = [new("x" * size, thread=f"t{number}", tenant=tenant) for number, size in enumerate(sizes)]
    await server.runtime.services.store.add(messages, max_queued=1000)


async def test_a_report_has_what_messages_logs_and_agents_keep(serve: Serve, database: dict[str, str]) -> None:
    engine: dict[str, Any] = {name.lower(): value for name, value in database.items()}
    server = await serve(**engine)
    ids = []
    for thread in ("a/b", "a/b", None):
        ids.append((await server.submit("How do you do?", thread_id=thread))["message_id"])
        await server.ended(ids[-1])
    await server.runtime.services.store.put_items("default", [ItemWrite(("space",), "key", '{"value":"ä"}')])
    report = (await server.client.get("/storage?max_age=0")).json()
    (tenant,) = report["tenants"]
    assert (tenant["tenant"], tenant["complete"], tenant["measuring"]) == ("default", True, False)
    assert (tenant["threads"], tenant["messages"]) == (1, 3)
    assert (tenant["items"], tenant["item_bytes"]) == (1, len('{"value":"ä"}'.encode()))
    logs = [(await server.client.get(f"/messages/{each}/events?limit=1000")).json()["events"] for each in ids]
    assert tenant["events"] == sum(map(len, logs))
    statuses = [await server.status(each) for each in ids]
    assert tenant["message_bytes"] >= sum(len(each["result"]) for each in statuses) + 3 * len("How do you do?")
    assert tenant["event_bytes"] > tenant["events"] * len('{"":0}')
    assert tenant["memory_bytes"] > 3 * len("How do you do?")
    parts = ("message_bytes", "event_bytes", "memory_bytes", "item_bytes")
    assert tenant["total_bytes"] == sum(tenant[each] for each in parts)
    assert (tenant["retention_days"], tenant["event_retention_hours"]) == (30, 24)
    total, *_ = report["engine"]
    assert total["name"] == "total"
    assert total["bytes"] > 0
    thread = (await server.client.get(f"/threads/{quote('a/b', safe='')}/storage")).json()
    assert (thread["thread_id"], thread["complete"], thread["messages"]) == ("a/b", True, 2)
    assert thread["events"] == sum(map(len, logs[:2]))
    assert 0 < thread["memory_bytes"] < tenant["memory_bytes"]
    (largest,) = (await server.client.get("/storage/threads?max_age=0")).json()["threads"]
    assert largest == {name: thread[name] for name in largest}


async def test_the_report_names_the_settings_that_decide(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, retention_days=7, thread_ttl_minutes=60)
    store = server.runtime.services.store
    await store.put_tenant("a", DEFAULT_SETTINGS._replace(retention_days=90.0), revision=None)
    await fill(server, 1)
    await fill(server, 1, tenant="b")
    report = (await get(server, "/storage", A._replace(scopes=ALL))).json()
    assert {each["tenant"]: each["retention_days"] for each in report["tenants"]} == {"a": 90, "b": 7}
    values = {each["name"]: each["value"] for each in report["settings"]}
    assert values["RETENTION_DAYS"] == 7
    assert values["THREAD_TTL_MINUTES"] == 60
    assert all(each["meaning"] for each in report["settings"])


async def test_the_largest_threads_come_first_in_pages(quiet: LiveServer) -> None:
    await fill(quiet, 30, 10, 50, 10, 40)
    found: list[str] = []
    path = "/storage/threads?limit=2"
    while path:
        reply = await get(quiet, path)
        found += [each["thread_id"] for each in reply.json()["threads"]]
        link = re.match(r"<([^>]*)>", reply.headers.get("link", ""))
        path = "" if link is None else link[1]
    assert found == ["t2", "t4", "t0", "t1", "t3"]


async def test_only_the_largest_threads_are_kept(quiet: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "LARGEST_THREADS", 2)
    monkeypatch.setattr(pace, "FIRST_LIMIT", 1)
    await fill(quiet, *range(1, 9))
    reply = (await get(quiet, "/storage/threads")).json()
    assert [each["thread_id"] for each in reply["threads"]] == ["t7", "t6"]
    assert (await get(quiet, "/storage")).json()["tenants"][0]["threads"] == 8


async def test_a_thread_that_is_measured_in_parts_is_one(quiet: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_LIMIT", "LONGEST_LIMIT"):
        monkeypatch.setattr(pace, name, 1)
    for _ in range(3):
        await fill(quiet, 10, 20)
    (tenant,) = (await get(quiet, "/storage")).json()["tenants"]
    assert (tenant["threads"], tenant["messages"]) == (2, 6)
    threads = (await get(quiet, "/storage/threads")).json()["threads"]
    assert [(each["thread_id"], each["messages"], each["message_bytes"]) for each in threads] == [
        ("t1", 3, 60),
        ("t0", 3, 30),
    ]


async def test_tenants_come_in_pages(quiet: LiveServer) -> None:
    for tenant in ("c", "a", "b"):
        await fill(quiet, 1, tenant=tenant)
    admin = A._replace(scopes=ALL)
    found: list[str] = []
    path = "/storage?limit=2"
    while path:
        reply = await get(quiet, path, admin)
        found += [each["tenant"] for each in reply.json()["tenants"]]
        link = re.match(r"<([^>]*)>", reply.headers.get("link", ""))
        path = "" if link is None else link[1]
    assert found == ["a", "b", "c"]
    (only,) = (await get(quiet, "/storage?tenant=b", admin)).json()["tenants"]
    assert only["tenant"] == "b"


async def test_callers_see_their_own_tenant_only(quiet: LiveServer) -> None:
    await fill(quiet, 5)
    await fill(quiet, 5, 5, tenant="b")
    report = await get(quiet, "/storage?limit=1")
    assert [each["tenant"] for each in report.json()["tenants"]] == ["a"]
    assert report.json()["engine"] is None
    assert "link" not in report.headers
    for path in ("/storage?tenant=b", "/storage/threads?tenant=b"):
        refused = await get(quiet, path)
        assert (refused.status, refused.json()["code"]) == (403, "insufficient_scope")
    assert (await get(quiet, "/threads/t1/storage")).status == 404
    assert (await get(quiet, "/threads/t1/storage", A._replace(tenant="b"))).status == 200


@pytest.mark.parametrize(
    "narrowed",
    [
        A._replace(subject="ann", scopes=ALL),
        A._replace(threads=ThreadNarrowing(frozenset({"t0"}), None), scopes=ALL),
        A._replace(agents=frozenset({"chat"}), scopes=ALL),
    ],
    ids=["subject", "threads", "agents"],
)
async def test_a_report_is_not_for_those_who_see_a_part(quiet: LiveServer, narrowed: Principal) -> None:
    await fill(quiet, 5)
    for path in ("/storage", "/storage?tenant=a", "/storage/threads"):
        assert (await get(quiet, path, narrowed)).status == 403, path
    seen = {"subject": 404, "threads": 200, "agents": 403}
    expected = next(status for name, status in seen.items() if getattr(narrowed, name) is not None)
    assert (await get(quiet, "/threads/t0/storage", narrowed)).status == expected


@pytest.mark.parametrize("query", ["max_age=-1", "max_age=nan", "limit=0", "limit=101", "cursor=x", "tenant="])
async def test_bad_queries_are_refused(quiet: LiveServer, query: str) -> None:
    refused = await get(quiet, f"/storage?{query}")
    assert refused.status == 422, refused.body
    assert refused.json()["code"] == ("invalid_request" if "cursor" in query else "validation_error")


async def test_a_measurement_is_shown_again_until_it_is_too_old(quiet: LiveServer) -> None:
    await fill(quiet, 5)
    first = (await get(quiet, "/storage")).json()["tenants"][0]
    await fill(quiet, 5, 5)
    assert (await get(quiet, "/storage")).json()["tenants"][0] == first
    second = (await get(quiet, "/storage?max_age=0")).json()["tenants"][0]
    assert (first["messages"], second["messages"]) == (1, 3)
    assert second["as_of"] >= first["as_of"]


async def test_what_is_measured_so_far_is_shown(quiet: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request does not wait for a long measurement. The next one shows its end."""
    await fill(quiet, 5, 5)
    manager, store = quiet.runtime.services.storage, quiet.runtime.services.store
    let_go = asyncio.Event()
    measure = store.measure_items

    async def held(*args: Any, **options: Any) -> Any:
        await let_go.wait()
        return await measure(*args, **options)

    monkeypatch.setattr(store, "measure_items", held)
    monkeypatch.setattr(manager, "_wait_seconds", 0.2)
    (partial,) = (await get(quiet, "/storage")).json()["tenants"]
    assert (partial["complete"], partial["measuring"], partial["messages"]) == (False, True, 2)
    let_go.set()
    monkeypatch.setattr(manager, "_wait_seconds", storage_manager.WAIT_SECONDS)
    (whole,) = (await get(quiet, "/storage")).json()["tenants"]
    assert (whole["complete"], whole["measuring"], whole["as_of"]) == (True, False, partial["as_of"])
    let_go.clear()
    monkeypatch.setattr(manager, "_wait_seconds", 0.2)
    (older,) = (await get(quiet, "/storage?max_age=0")).json()["tenants"]
    assert older == {**whole, "measuring": True}, "an older whole measurement is better than a part"


async def test_measurements_of_threads_do_not_pile_up(quiet: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(quiet, 5, 5)
    monkeypatch.setattr(storage_manager, "RUNNING", 1)
    store = quiet.runtime.services.store
    begun = asyncio.Event()
    measure = store.measure_thread

    async def held(tenant: str, thread_id: str, *args: Any, **options: Any) -> Any:
        if thread_id == "t0":
            begun.set()
            await asyncio.Event().wait()
        return await measure(tenant, thread_id, *args, **options)

    monkeypatch.setattr(store, "measure_thread", held)
    first = asyncio.create_task(get(quiet, "/threads/t0/storage"))
    await begun.wait()
    assert (await get(quiet, "/threads/t1/storage")).json()["complete"]
    given_up = (await first).json()
    assert (given_up["complete"], given_up["measuring"], given_up["messages"]) == (False, False, 0)


async def test_requests_share_a_measurement(quiet: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(quiet, 5)
    store = quiet.runtime.services.store
    calls = 0
    measure = store.measure_items

    async def counted(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        return await measure(*args, **options)

    monkeypatch.setattr(store, "measure_items", counted)
    await asyncio.gather(*(get(quiet, "/storage") for _ in range(10)))
    assert calls == 1


async def test_a_store_that_is_away_is_told(quiet: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(quiet, 5)

    async def away(*args: Any, **options: Any) -> Any:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(quiet.runtime.services.store, "measure_items", away)
        reply = await get(quiet, "/storage")
        assert (reply.status, reply.json()["code"]) == (503, "store_unavailable")
    assert (await get(quiet, "/storage")).status == 200


async def test_a_memory_that_is_away_leaves_the_rest(quiet: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(quiet, 5)

    class Away:
        async def measure(self, _: Any) -> Any:
            raise StoreUnavailable("away")

    manager = quiet.runtime.services.storage
    monkeypatch.setattr(manager, "_sources", manager._sources._replace(memory=Away))  # type: ignore[arg-type]  # it measures only
    (tenant,) = (await get(quiet, "/storage")).json()["tenants"]
    assert (tenant["memory_bytes"], tenant["messages"], tenant["complete"]) == (None, 1, True)
    assert tenant["total_bytes"] == tenant["message_bytes"] == 5
    (thread,) = (await get(quiet, "/storage/threads")).json()["threads"]
    assert thread["memory_bytes"] is None


async def test_old_tenants_are_forgotten(quiet: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_manager, "KEPT", 2)
    for tenant in ("a", "b", "c"):
        await get(quiet, "/storage", A._replace(tenant=tenant))
    assert [each.tenant for each in quiet.runtime.services.storage._tenants] == ["b", "c"]


@pytest.mark.parametrize(
    ("limit", "seconds", "following"),
    [(50, 0.001, 100), (2_000, 0.001, 2_000), (50, 0.02, 50), (50, 0.03, 25), (1, 1.0, 1)],
)
def test_parts_follow_how_long_the_last_one_took(limit: int, seconds: float, following: int) -> None:
    assert pace.next_limit(limit, seconds) == following


async def test_the_command_shows_tenants_threads_the_engine_and_the_settings(quiet: LiveServer) -> None:
    await fill(quiet, 1_500, 2_500_000, tenant="default")
    await fill(quiet, 7)
    shown = (await run(quiet, "storage")).output.splitlines()
    assert [line.split("\t")[:4] for line in shown] == [["a", "7 B", "1", "1"], ["default", "2.5 MB", "2", "2"]]
    assert "TENANT" in (await run(quiet, "storage", width=120)).output.splitlines()[0]
    records = (await run(quiet, "storage", "list", "--json", "--max-age", "0")).records
    assert [(each["tenant"], each["total_bytes"], each["complete"]) for each in records] == [
        ("a", 7, True),
        ("default", 2_501_500, True),
    ]
    (record,) = (await run(quiet, "storage", "--tenant", "a", "--json")).records
    assert record == records[0]
    largest = (await run(quiet, "storage", "threads")).output.splitlines()
    assert [line.split("\t")[:2] for line in largest] == [["t1", "2.5 MB"], ["t0", "1.5 kB"]]
    (first,) = (await run(quiet, "storage", "threads", "--limit", "1", "--json")).records
    assert (first["thread_id"], first["message_bytes"]) == ("t1", 2_500_000)
    thread = await run(quiet, "storage", "thread", "t0")
    assert re.search(r"messages +1, 1\.5 kB\n", thread.output)
    (record,) = (await run(quiet, "storage", "thread", "t0", "--json")).records
    assert record["total_bytes"] == 1_500
    assert (await run(quiet, "storage", "thread", "nobody")).code == 3
    assert (await run(quiet, "storage", "engine")).output.startswith("total\t")
    total, *_ = (await run(quiet, "storage", "engine", "--json")).records
    assert total["bytes"] > 2_500_000
    assert "RETENTION_DAYS\t30\tDays after" in (await run(quiet, "storage", "settings")).output
    setting, *_ = (await run(quiet, "storage", "settings", "--json")).records
    assert setting["name"] == "RETENTION_DAYS"


async def test_the_command_waits_until_all_is_measured(quiet: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(quiet, 5, tenant="default")
    manager, store = quiet.runtime.services.storage, quiet.runtime.services.store
    calls = 0
    let_go = asyncio.Event()
    measure, report = store.measure_items, manager.tenants

    async def held(*args: Any, **options: Any) -> Any:
        await let_go.wait()
        return await measure(*args, **options)

    async def counted(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            let_go.set()
        return await report(*args, **options)

    monkeypatch.setattr(manager, "_wait_seconds", 0.2)
    monkeypatch.setattr(store, "measure_items", held)
    monkeypatch.setattr(manager, "tenants", counted)
    (partial,) = (await run(quiet, "storage", "--no-wait", "--json")).records
    assert (partial["complete"], calls) == (False, 1)
    (whole,) = (await run(quiet, "storage", "--json", "--max-age", "0")).records
    assert whole["complete"]
    assert calls > 2
