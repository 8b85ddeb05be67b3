"""The audit log of a running server: what is recorded, who is named, and how it is read."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from app.access.scopes import AccessScope
from app.models.attempts import Failed
from app.models.audit import AuditAction, AuditFilter
from app.models.tenants import TenantSettings
from tests import wire
from tests.contract.builders import claim, worker
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.states import SECRET
from tests.integration.test_key_api import ask
from tests.integration.test_keys import JSON, bearer, database, issue
from tests.integration.test_stages import READS_BY_POST, operations
from tests.servers import LiveServer, ServerProcess, finished_process, until

__all__ = ["database"]

MINTS = {"POST /tokens", "POST /tickets"}
"""They store nothing but a used ticket."""

RECORDED_SUBMITS = {"POST /tokens/revoke"}
"""Operations with the scope `submit` that are recorded all the same."""

UNSUPPORTED = {
    "POST /threads/{thread_id:path}/state",
    "POST /threads/{thread_id:path}/fork",
    "POST /dead-letters/purge",
    "POST /messages/{message_id}/resume",
}
"""Need what an agent keeps or asks: the next test."""


SURFACE_PATHS = ("/langgraph/", "/api/", "/v1/", "/agui/", "/a2a/")


async def audit(server: LiveServer, key: Any, query: str = "") -> list[dict[str, Any]]:
    response = await ask(server, "GET", f"/audit{query}", key)
    assert response.status == 200, response.body
    return list(response.json()["records"])


async def submit(server: LiveServer, key: Any, **fields: Any) -> str:
    response = await ask(server, "POST", "/messages", key, {"message": "Hello", **fields})
    assert response.status == 202, response.body
    return str(response.json()["message_id"])


async def fail(server: LiveServer, message_id: str) -> None:
    """Claim what waits, and fail this message."""
    store = server.runtime.services.store
    for claimed in await claim(store, 30):
        if claimed.lease.message_id == message_id:
            await store.finish(claimed.lease, Failed("It broke.", "agent_error"))


async def test_each_operation_that_changes_something_is_recorded(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, webhook_secret=SECRET, webhook_allow_private=True)
    admin = await issue(server)
    other = await issue(server)
    actor = f"key:{admin.key.id}"
    bodies: dict[str, Any] = {
        "PATCH /messages/{message_id}": {"priority": "high"},
        "POST /messages/cancel": {"filter": {"thread_id": "{thread}"}},
        "POST /messages/priority": {"message_ids": ["{message_id}"], "priority": "high"},
        "POST /dead-letters/requeue": {"message_ids": ["{failed}"]},
        "POST /keys": {"name": "x"},
        "POST /tokens/revoke": {"subject": "alice"},
        "POST /keys/{key_id}/rotate": {},
        "PATCH /threads/{thread_id:path}": {"name": "x"},
        "PATCH /keys/{key_id}": {"limits": {"submits_per_minute": 1}},
        "PATCH /tenants/{tenant:path}": {"weight": 2},
        "PUT /store/items": {"namespace": ["a"], "key": "k", "value": {}},
        "DELETE /store/items": {"namespace": ["a"], "key": "k"},
    }
    await submit(server, admin, subject="gone")
    await server.runtime.services.store.put_tenant("gone", TenantSettings(), revision=None)
    walked = 0
    for method, path, _, needed in operations(server, "x"):
        operation = f"{method} {path}"
        if method == "GET" or needed is None or (needed is AccessScope.SUBMIT and operation not in RECORDED_SUBMITS):
            continue
        if operation in READS_BY_POST | MINTS | UNSUPPORTED or path.startswith(SURFACE_PATHS):
            continue  # surfaces use the same services
        thread = f"t{walked}"
        message_id = await submit(server, admin, thread_id=thread, webhook_url="http://127.0.0.1:1/")
        failed = await submit(server, admin)
        if operation in ("POST /dead-letters/requeue", "POST /messages/{message_id}/retry"):
            await fail(server, failed)
        if operation == "POST /deliveries/{delivery_id}/replay":
            await ask(server, "DELETE", f"/messages/{message_id}", other)
        store = server.runtime.services.store
        if path.startswith("/workers/"):  # the walk drains it before it resumes it
            with store.open_lease_renewer() as renewer:
                renewer.beat(worker("w"), (), lease_seconds=30)
        (delivery,) = await store.list_deliveries("default", message_id) or (None,)
        target = failed if path.endswith("retry") else message_id
        asked = path.replace("{message_id}", target).replace("{thread_id:path}", thread)
        asked = asked.replace("{key_id}", other.key.id).replace("{delivery_id}", delivery.id if delivery else "")
        asked = asked.replace("{subject:path}", "gone").replace(
            "{tenant:path}", "gone" if method == "DELETE" else "acme"
        )
        asked = asked.replace("{worker_id}", "w")
        body = bodies.get(operation)
        text = json.dumps(body).replace("{message_id}", message_id).replace("{failed}", failed)
        sent = json.loads(text.replace("{thread}", thread))
        before = await audit(server, admin, f"?actor={actor}")
        response = await ask(server, method, asked, admin, sent)
        assert response.status < 300, (operation, response.status, response.body)
        after = await audit(server, admin, f"?actor={actor}")
        assert len(after) == len(before) + 1, operation
        assert after[0]["address"] == "127.0.0.1"
        assert after[0]["key_id"] == admin.key.id
        walked += 1
    assert walked >= 14


async def test_what_needs_an_agent_is_recorded_too(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents="approving=tests.graphs:approving,failing=tests.graphs:failing", max_attempts=1)
    admin = await issue(server)
    asking = await submit(server, admin, agent="approving", thread_id="a")

    async def question() -> Any:
        return (await ask(server, "GET", f"/messages/{asking}/status", admin)).json()["interrupts"]

    (interrupt,) = await until(question, "the agent asks")
    answered = await ask(
        server, "POST", f"/messages/{asking}/resume", admin, {"values": {interrupt["id"]: {"ok": True}}}
    )
    assert answered.status == 202, answered.body

    async def is_over() -> Any:
        return (await ask(server, "GET", f"/messages/{asking}/status", admin)).json()["state"] == "completed"

    await until(is_over, "the message ends")
    forked = await ask(server, "POST", "/threads/a/fork", admin, {"thread_id": "b"})
    assert forked.status == 201, forked.body
    changed = await ask(server, "POST", "/threads/b/state", admin, {"values": {"messages": []}})
    assert changed.status == 200, changed.body
    shown = [(each["action"], *each["targets"]) for each in await audit(server, admin)]
    assert shown[:3] == [("thread.state", "b"), ("thread.fork", "b"), ("message.answer", asking)]
    assert (await audit(server, admin))[1]["details"] == {"source": "a"}
    dead = await submit(server, admin, agent="failing")

    async def is_dead() -> Any:
        return (await ask(server, "GET", f"/messages/{dead}/status", admin)).json()["state"] == "failed"

    await until(is_dead, "the message fails")
    purged = await ask(server, "POST", "/dead-letters/purge", admin, {"message_ids": [dead]})
    assert purged.status == 200, purged.body
    newest = (await audit(server, admin))[0]
    assert (newest["action"], newest["targets"]) == ("message.purge", [dead])


async def test_who_changed_what_is_shown_newest_first(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    first = await server.client.post("/messages", json={"message": "Hello"})
    assert (await server.client.delete(f"/messages/{first.json()['message_id']}")).status_code == 200
    admin = await issue(server)
    await ask(server, "POST", "/queue/pause", admin)
    message_id = await submit(server, admin)
    async with connect(server.url.replace("http", "ws") + "/ws", additional_headers=bearer(admin)) as socket:
        await socket.send(json.dumps({"type": "cancel", "message_id": message_id, "request_id": "1"}))
        assert json.loads(await socket.recv())["type"] == "cancelled"
    shown = await audit(server, admin)
    assert [(each["actor"], each["action"], each["targets"], each["tenant"]) for each in shown] == [
        (f"key:{admin.key.id}", "message.cancel", [message_id], "default"),
        (f"key:{admin.key.id}", "queue.pause", [], None),
        ("local", "key.create", [admin.key.id], "default"),
        ("local", "message.cancel", [first.json()["message_id"]], "default"),
    ]
    assert [each["address"] for each in shown] == ["127.0.0.1", "127.0.0.1", None, "127.0.0.1"]
    assert [each["affected"] for each in shown] == [1, 0, 1, 1]
    page = await ask(server, "GET", "/audit?limit=3", admin)
    rest = await ask(server, "GET", page.headers["link"].partition(">")[0].removeprefix("<"), admin)
    assert page.json()["records"] + rest.json()["records"] == shown
    paused = shown[1]["at"]
    assert [each["action"] for each in await audit(server, admin, f"?until={paused}")] == [
        each["action"] for each in shown[2:]
    ]
    assert await audit(server, admin, f"?target={message_id}&action=message.cancel&tenant=default") == shown[:1]
    assert await audit(server, admin, "?tenant=other") == []


async def test_an_end_user_is_named_with_the_key_that_made_their_token(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    admin = await issue(server)
    minted = await ask(server, "POST", "/tokens", admin, {"subject": "alice", "scopes": ["submit", "control"]})
    assert minted.status < 300, minted.body
    token = minted.json()["token"]
    message_id = await submit(server, token)
    assert (await ask(server, "DELETE", f"/messages/{message_id}", token)).status == 200
    newest = (await audit(server, admin))[0]
    assert (newest["actor"], newest["key_id"]) == ("subject:alice", admin.key.id)


async def test_a_submit_that_cancels_is_recorded_unless_an_end_user_goes_on(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents="chat=tests.graphs:steps,another=tests.graphs:steps")
    admin = await issue(server)
    tokens = [
        (await ask(server, "POST", "/tokens", admin, {"scopes": ["submit"], **narrowed})).json()["token"]
        for narrowed in ({"subject": "alice"}, {"agents": ["chat"]}, {"agents": ["another"]})
    ]
    alice, of_agent, of_another = tokens
    for caller, thread, recorded in ((alice, "hers", 0), (admin, "ours", 1), (of_agent, "ours", 1)):
        first = await submit(server, caller, thread_id=thread)
        before = await audit(server, admin)
        second = await submit(server, caller, thread_id=thread, if_busy="interrupt")
        added = (await audit(server, admin))[: -len(before) or None]
        assert [each["details"] for each in added] == [{"submitted": [second]}] * recorded
        assert (first in added[0]["targets"]) if recorded else added == []
        status = await ask(server, "GET", f"/messages/{first}/status", admin)
        assert status.json()["state"] == "cancelled"
    body = {"message": "Hello", "thread_id": "ours", "if_busy": "interrupt", "agent": "another"}
    refused = await ask(server, "POST", "/messages", of_another, body)
    assert (refused.status, refused.json()["code"]) == (409, "thread_busy"), refused.body


@pytest.mark.parametrize(
    "query", ["actor=", "action=nothing", "since=17", "since=2020", "cursor=x", "limit=0", "from=x"]
)
async def test_a_wrong_filter_is_refused(serve: Serve, query: str) -> None:
    server = await serve(worker_concurrency=0)
    assert (await server.client.get(f"/audit?{query}")).status_code == 422


def agentq(folder: Path, *arguments: str, database: str) -> Any:
    return finished_process(folder, "app.cli", *arguments, DATABASE_URL=database, ALLOW_VOLATILE="true")


async def test_the_command_line_exports_json_lines(serve: Serve, database: str, tmp_path: Path) -> None:
    server = await serve(worker_concurrency=0, database_url=database, allow_volatile=True)
    admin = await issue(server)
    for name in ("pause", "resume"):
        await ask(server, "POST", f"/queue/{name}", admin)

    async def export(*arguments: str) -> list[dict[str, Any]]:
        ended = await asyncio.to_thread(agentq, tmp_path, "audit", *arguments, database=database)
        assert ended.returncode == 0, ended.stderr
        return [json.loads(line) for line in ended.stdout.splitlines()]

    everything = await export()
    assert everything[::-1] == await audit(server, admin)
    assert await export("--after", str(everything[0]["number"])) == everything[1:]
    assert await export("--action", "queue.pause", "--actor", f"key:{admin.key.id}") == everything[1:2]
    since = everything[-1]["at"]  # the one before may have the same time
    assert await export("--since", since) == [each for each in everything if each["at"] >= since]
    wrong = await asyncio.to_thread(agentq, tmp_path, "audit", "--since", "yesterday", database=database)
    assert (wrong.returncode, wrong.stdout) == (2, "")


async def test_a_killed_server_leaves_neither_a_change_nor_a_record_alone(
    serve: Serve, database: str, tmp_path: Path
) -> None:
    process = ServerProcess(
        tmp_path,
        DATABASE_URL=database,
        ALLOW_VOLATILE="true",
        ALLOW_ANONYMOUS="true",
        WORKER_CONCURRENCY="0",
        LEASE_SECONDS="3",
    )
    await process.ready()
    made = 0

    async def work() -> None:
        nonlocal made
        while True:
            body = b'{"message": "Hello"}'
            submitted = await wire.request(process.url, "POST", "/messages", headers=JSON, body=body)
            await wire.request(process.url, "DELETE", f"/messages/{submitted.json()['message_id']}", headers=JSON)
            await wire.request(process.url, "PUT", "/store/items", headers=JSON, body=json.dumps(
                {"namespace": ["a"], "key": submitted.json()["message_id"], "value": {}}
            ).encode())  # fmt: skip
            made += 1

    workers = [asyncio.create_task(work()) for _ in range(4)]
    await until(lambda: made >= 20 or any(each.done() for each in workers), "changes were made")
    assert [each.exception() for each in workers if each.done()] == [], process.output
    process.kill()
    await asyncio.gather(*workers, return_exceptions=True)
    server = await serve(worker_concurrency=0, database_url=database, allow_volatile=True, allow_anonymous=True)
    store = server.runtime.services.store
    cancelled = {each["id"] for each in await all_messages(server) if each["state"] == "cancelled"}
    items = {each["key"] for each in await all_items(server)}
    for action, changed in ((AuditAction.CANCEL_MESSAGE, cancelled), (AuditAction.PUT_ITEM, items)):
        found = await store.list_audit(AuditFilter(action=action), after=None, limit=100_000, newest_first=False)
        recorded = [each.targets[0] for each in found]
        assert len(recorded) == len(set(recorded)) >= 20
        assert set(recorded) == changed


async def all_messages(server: LiveServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    path = "/messages?limit=1000"
    while path:
        response = await server.client.get(path)
        found += [{"id": each["message_id"], "state": each["state"]} for each in response.json()["messages"]]
        path = response.headers.get("link", "").partition(">")[0].removeprefix("<")
    return found


async def all_items(server: LiveServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        body = {"namespace_prefix": ["a"], "limit": 1000, "offset": len(found)}
        page = (await server.client.post("/store/items/search", json=body)).json()["items"]
        if not page:
            return found
        found += page
