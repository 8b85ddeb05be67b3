"""Erasures over HTTP and on the command line, down to the bytes of the files."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from app.access.management import IssuedKey
from app.access.principals import Principal
from app.access.scopes import AccessScope
from app.errors import Forbidden
from app.errors.erasures import ErasureInProgress
from app.models.erasures import ErasureKind, ErasureTarget, NewErasure
from tests import wire
from tests.integration.conftest import Serve
from tests.integration.states import SECRET
from tests.integration.test_keys import JSON, bearer, issue, manager
from tests.integration.test_tokens import mint
from tests.openai_stub import Gate, StubServer
from tests.postgres_server import PostgresServer
from tests.receiver import receiver
from tests.servers import LiveServer, ServerProcess, finished_process, server_process, until
from tests.valkey_server import ValkeyServer

AGENTS = {"AGENTS": "canary=tests.canary_agents:graph"}


async def ask(url: str, method: str, path: str, body: Any = None, **headers: str) -> wire.RawResponse:
    given = {**headers, **(JSON if body is not None else {})}
    return await wire.request(url, method, path, headers=given, body=b"" if body is None else json.dumps(body).encode())


async def submitted(server: LiveServer, message: str, key: IssuedKey, **fields: Any) -> wire.RawResponse:
    return await ask(server.url, "POST", "/messages", {"message": message, **fields}, **bearer(key))


async def completed(url: str, erasure_id: str, **headers: str) -> dict[str, Any]:
    """The receipt of an erasure at its end."""
    found: list[dict[str, Any]] = []

    async def has_ended() -> bool:
        response = await ask(url, "GET", f"/erasures/{erasure_id}", **headers)
        assert response.status == 200, response.body
        found.append(response.json())
        return bool(found[-1]["state"] == "completed")

    await until(has_ended, "the erasure is completed")
    return found[-1]


async def test_a_subject_is_erased_with_a_receipt(serve: Serve) -> None:
    server = await serve()
    key = await issue(server, AccessScope.SUBMIT, AccessScope.READ, AccessScope.CONTROL)
    token = await mint(server, key, subject="ann/b")
    assert (await submitted(server, "Hello", key, thread_id="t", subject="ann/b")).status == 202
    path = f"/subjects/{quote('ann/b', safe='')}"
    begun = await ask(server.url, "DELETE", path, **bearer(key))
    assert begun.status == 202, begun.body
    receipt = begun.json()
    assert begun.headers["location"] == f"/erasures/{receipt['id']}"
    assert (receipt["kind"], receipt["name"], receipt["state"]) == ("subject", "ann/b", "running")
    assert receipt["requested_by"] == f"key:{key.key.id}"
    refused = await ask(server.url, "GET", "/messages", **bearer(token))
    assert (refused.status, refused.json()["code"]) == (401, "revoked_token")
    ended = await completed(server.url, receipt["id"], **bearer(key))
    assert (ended["name"], ended["counts"]["messages"], ended["counts"]["threads"]) == (None, 1, 1)
    assert (await ask(server.url, "GET", "/threads/t", **bearer(key))).status == 404
    again = await ask(server.url, "DELETE", path, **bearer(key))
    assert (again.status, again.json()["code"]) == (404, "subject_not_found")
    listed = (await ask(server.url, "GET", "/erasures", **bearer(key))).json()["erasures"]
    assert [each["id"] for each in listed] == [receipt["id"]]


async def test_names_in_paths_are_decoded_once(serve: Serve) -> None:
    """Decoded twice, `a%41` would erase the end user `aA`."""
    server = await serve(worker_concurrency=0)
    key = await issue(server)
    for subject in ("a%41", "aA", "b/c"):
        assert (await submitted(server, "Hello", key, subject=subject)).status == 202
    for subject in ("a%41", "b/c"):
        begun = await ask(server.url, "DELETE", f"/subjects/{quote(subject, safe='')}", **bearer(key))
        assert (begun.status, begun.json()["name"]) == (202, subject), begun.body
    for tenant in ("a%41", "x/../y", "ü &"):
        path = f"/tenants/{quote(tenant, safe='')}"
        for method, body in (("PATCH", {"weight": 2}), ("GET", None)):
            shown = await ask(server.url, method, path, body, **bearer(key))
            assert (shown.status, shown.json()["tenant"]) == (200, tenant), shown.body
        assert (await ask(server.url, "DELETE", path, **bearer(key))).status == 202
    for wrong in ("a%00", "a%0Ab", "a%80", "x" * 256):
        for method, body in (("PATCH", {"weight": 2}), ("GET", None), ("DELETE", None)):
            refused = await ask(server.url, method, f"/tenants/{wrong}", body, **bearer(key))
            assert (refused.status, refused.json()["errors"][0]["field"]) == (422, "tenant"), refused.body


async def test_a_running_thread_is_erased_when_its_message_has_ended(serve: Serve, model: StubServer) -> None:
    server = await serve()
    gate = Gate("Held")
    model.replies.append(gate)
    running = await server.submit("Hello", thread_id="t")
    await model.received()
    refused = await ask(server.url, "DELETE", "/threads/t")
    assert (refused.status, refused.json()["code"]) == (409, "thread_running")
    reading = asyncio.create_task(ask(server.url, "GET", f"/messages/{running['message_id']}/stream"))
    begun = await ask(server.url, "DELETE", "/threads/t", Prefer="respond-async")
    assert begun.status == 202, begun.body
    assert begun.headers["preference-applied"] == "respond-async"
    submitted = await ask(server.url, "POST", "/messages", {"message": "Hello", "thread_id": "t"})
    assert (submitted.status, submitted.json()["code"]) == (409, "erasure_in_progress")
    receipt = await completed(server.url, begun.json()["id"])
    assert receipt["counts"]["messages"] == 1
    assert b"event: cancelled" in (await reading).body
    assert (await ask(server.url, "GET", f"/messages/{running['message_id']}")).status == 404
    gate.release()


async def test_a_tenant_is_erased_and_its_keys_end(serve: Serve) -> None:
    server = await serve()
    operator = await issue(server, *AccessScope)
    other = await manager(server).create("other", "", tuple(AccessScope), None)
    token = await mint(server, other, subject="ann")
    assert (await submitted(server, "Hello", other)).status == 202
    for scopes, status in (((AccessScope.CONTROL, AccessScope.READ), 403), (tuple(AccessScope), 202)):
        caller = await issue(server, *scopes)
        begun = await ask(server.url, "DELETE", "/tenants/other", **bearer(caller))
        assert begun.status == status, begun.body
    for credential in (other, token):
        assert (await ask(server.url, "GET", "/messages", **bearer(credential))).status == 401
    receipt = await completed(server.url, begun.json()["id"], **bearer(operator))
    assert receipt["counts"].items() >= {"messages": 1, "api_keys": 1}.items()
    unknown = await ask(server.url, "DELETE", "/tenants/other", **bearer(operator))
    assert (unknown.status, unknown.json()["code"]) == (404, "tenant_not_found")


async def test_an_end_user_reads_the_receipt_of_their_own_request(serve: Serve, tmp_path: Path) -> None:
    server = await serve()
    key = await issue(server, AccessScope.SUBMIT, AccessScope.READ, AccessScope.CONTROL)
    token = await mint(server, key, subject="ann", scopes=["submit", "read", "control"])
    for thread in ("a", "b"):
        assert (await submitted(server, "Hello", key, subject="ann", thread_id=thread)).status == 202
    begun = await ask(server.url, "DELETE", "/threads/a", Prefer="respond-async", **bearer(token))
    assert begun.status == 202, begun.body
    location = begun.headers["location"]
    receipt = await completed(server.url, location.removeprefix("/erasures/"), **bearer(token))
    assert (receipt["kind"], receipt["requested_by"], receipt["counts"]["messages"]) == ("thread", "subject", 1)
    assert receipt["name"] is None
    done = await asyncio.to_thread(
        finished_process,
        tmp_path,
        "app.cli",
        "erase",
        "thread",
        "b",
        "--yes",
        AGENTQ_URL=server.url,
        AGENTQ_API_KEY=token,
    )
    assert (done.returncode, "completed" in done.stdout) == (0, True), done.stderr
    foreign = await manager(server).create("other", "", tuple(AccessScope), None)
    of_others = await mint(server, foreign, subject="ann", scopes=["read"])
    assert (await ask(server.url, "GET", location, **bearer(of_others))).status == 404
    assert (await submitted(server, "Hello", key, subject="bob")).status == 202
    of_subject = (await ask(server.url, "DELETE", "/subjects/bob", **bearer(key))).json()
    hidden = await ask(server.url, "GET", f"/erasures/{of_subject['id']}", **bearer(token))
    assert (hidden.status, hidden.json()["code"]) == (404, "erasure_not_found")


async def test_nothing_is_made_for_a_tenant_that_is_erased(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    operator = await issue(server, *AccessScope)
    assert (await ask(server.url, "PATCH", "/tenants/kap", {"weight": 2}, **bearer(operator))).status == 200
    target = ErasureTarget("kap", ErasureKind.TENANT)
    store = server.runtime.services.store
    await store.begin_erasure(NewErasure("e", target, "local"))
    assert await store.claim_erasure(lease_seconds=600) is not None  # it does not go on meanwhile
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/keys", {"name": "late", "tenant": "kap"}), ("PATCH", "/tenants/kap", {"weight": 7})
    ]  # fmt: skip
    for method, path, body in calls:
        refused = await ask(server.url, method, path, body, **bearer(operator))
        assert (refused.status, refused.json()["code"]) == (409, "erasure_in_progress"), refused.body
        assert "tenant" in refused.json()["detail"]
    with pytest.raises(ErasureInProgress):
        await manager(server).create("kap", "", (AccessScope.READ,), None)
    assert (await ask(server.url, "GET", "/keys", **bearer(operator))).json()["keys"][1:] == []


async def test_callers_see_only_erasures_of_their_tenant(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key = await issue(server, AccessScope.SUBMIT, AccessScope.READ, AccessScope.CONTROL)
    foreign = await manager(server).create("other", "", (AccessScope.READ, AccessScope.CONTROL), None)
    narrowed = await mint(server, key, subject="ann", scopes=["read", "control"])
    assert (await submitted(server, "Hello", key, subject="ann")).status == 202
    begun = (await ask(server.url, "DELETE", "/subjects/ann", **bearer(key))).json()
    assert (await ask(server.url, "GET", f"/erasures/{begun['id']}", **bearer(foreign))).status == 404
    assert (await ask(server.url, "GET", "/erasures", **bearer(foreign))).json()["erasures"] == []
    assert (await ask(server.url, "DELETE", "/subjects/ann", **bearer(foreign))).status == 404
    assert (await submitted(server, "Hello", key, thread_id="t")).status == 202
    of_one_agent = Principal("default", frozenset(AccessScope), agents=frozenset({"chat"}))
    with pytest.raises(Forbidden):
        await server.runtime.services.erasures.erase_thread(of_one_agent, "t")
    for method, path in (("GET", "/erasures"), ("DELETE", "/subjects/bob")):
        assert (await ask(server.url, method, path, **bearer(narrowed))).status in (401, 403)


# The bytes of the files


class Files:
    """A database in files that the test can read."""

    def __init__(self, environment: Mapping[str, str], *folders: Path) -> None:
        self.environment = environment
        self._folders = folders

    def forget(self) -> None:
        """Do what the documents say beside `agentq compact`."""

    def holding(self, text: bytes) -> list[str]:
        """The files with these bytes."""
        files = (each for folder in self._folders for each in folder.rglob("*") if each.is_file())
        return [str(each) for each in files if text in each.read_bytes()]


class PostgresFiles(Files):
    """Those of a PostgreSQL server of its own."""

    def __init__(self, server: PostgresServer) -> None:
        super().__init__({"DATABASE_URL": server.url, "ALLOW_VOLATILE": "true"}, server._folder / "data")
        self._server = server

    def forget(self) -> None:
        for _ in range(2):
            self._server.execute("SELECT pg_switch_wal()")
            self._server.execute("CHECKPOINT")


@pytest.fixture(params=["sqlite", "postgres", "valkey"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Files]:
    """A database of each engine, with what is in its files."""
    match request.param:
        case "sqlite":
            yield Files({"DATABASE_URL": f"sqlite:///{tmp_path / 'data' / 'queue.db'}"}, tmp_path / "data")
        case "postgres":
            with PostgresServer("-F", "-c", "wal_recycle=off") as server:
                yield PostgresFiles(server)
        case _:
            with ValkeyServer() as server:
                yield Files({"DATABASE_URL": server.url}, Path(server._folder.name))


@asynccontextmanager
async def serving(folder: Path, files: Files, **more: str) -> AsyncIterator[ServerProcess]:
    """A server on these files."""
    given = {
        **files.environment,
        **AGENTS,
        "LOG_LEVEL": "DEBUG",
        "WEBHOOK_ALLOW_PRIVATE": "true",
        "WEBHOOK_SECRET": SECRET,
        **more,
    }
    with server_process(folder, "app.cli", arguments=["serve"], **given) as server:
        await server.ready()
        yield server


CANARIES = {
    "text": ["cannot work with {} fail"],  # an error of the agent
    "metadata": [],
    "webhook": [],
    "key": [],
    "thread": [" - uvicorn.access - "],  # a path
    "item": [],
}
"""The kinds of texts that are erased, and the lines of the log that have them. The documents tell of these."""


async def leave_canaries(server: ServerProcess, canary: str, hook: str) -> None:
    """Store a text of each kind wherever a caller or an agent can put one."""

    async def submitted(text: str, **fields: Any) -> str:
        body = {
            "message": f"{canary}text {text}", "agent": "canary", "subject": "ann",
            "webhook_url": f"{hook}?{canary}webhook", "metadata": {"note": f"{canary}metadata"}, "max_attempts": 1,
            **fields,
        }  # fmt: skip
        key = {"Idempotency-Key": f"{canary}key-{text}"}
        response = await ask(server.url, "POST", "/messages", body, **key)
        assert response.status == 202, response.body
        return str(response.json()["message_id"])

    thread = f"a {canary}thread"
    ids = [await submitted("say", thread_id=thread), await submitted("fail"), await submitted("ask")]
    ids.append(await submitted("later", thread_id=thread, delay_seconds=3600))

    async def have_come_to_rest() -> bool:
        states = [(await ask(server.url, "GET", f"/messages/{each}")).json()["state"] for each in ids]
        return states == ["completed", "failed", "interrupted", "queued"]

    await until(have_come_to_rest, "all messages have ended or wait")
    change = await ask(server.url, "PATCH", f"/threads/{quote(thread)}", {"name": f"{canary}thread name"})
    assert change.status == 200, change.body
    item = {"namespace": ["subjects", "ann"], "key": f"{canary}item", "value": {f"{canary}item": 1}}
    await ask(server.url, "PUT", "/store/items", item)


@pytest.mark.parametrize("kind", ["subject", "tenant"])
async def test_no_byte_of_an_erased_text_is_left(files: Files, tmp_path: Path, kind: str) -> None:
    """In database files, write-ahead logs, the agents' memory, append-only files and logs."""
    canary = f"canary{secrets.token_hex(12)}"
    async with receiver() as hook, serving(tmp_path, files) as server:
        await leave_canaries(server, canary, hook.url())
        await until(lambda: len(hook.requests) >= 2, "webhooks are sent")
        assert [each for each in CANARIES if not files.holding(f"{canary}{each}".encode())] == [], "nothing to find"
        target = {"subject": "/subjects/ann", "tenant": "/tenants/default"}[kind]
        begun = await ask(server.url, "DELETE", target)
        assert begun.status == 202, begun.body
        receipt = await completed(server.url, begun.json()["id"])
        assert receipt["counts"]["messages"] == 4, receipt
        done = await asyncio.to_thread(finished_process, tmp_path, "app.cli", "compact", **files.environment)
        assert done.returncode == 0, done.stderr
        files.forget()
        assert files.holding(canary.encode()) == []
        for each, known in CANARIES.items():
            told = [line for line in server.output.splitlines() if f"{canary}{each}" in line]
            assert bool(told) is bool(known), f"{each}: {told}"
            shown = [part.format(f"{canary}{each}") for part in known]
            assert all(any(part in line for part in shown) for line in told), told


async def test_an_erasure_goes_on_after_kill_9(database: dict[str, str], tmp_path: Path) -> None:
    """The next process finishes it by itself, and the counts are those of all parts."""
    environment = {**database, **AGENTS}
    with server_process(tmp_path, "app.cli", arguments=["serve"], WORKER_CONCURRENCY="0", **environment) as server:
        await server.ready()
        for _ in range(2):
            batch = [{"message": "Hello", "agent": "canary"} for _ in range(100)]
            assert (await ask(server.url, "POST", "/messages/batch", {"messages": batch})).status == 202
        begun = (await ask(server.url, "DELETE", "/tenants/default")).json()

        async def is_under_way() -> bool:
            receipt = (await ask(server.url, "GET", f"/erasures/{begun['id']}")).json()
            return bool(receipt["counts"].get("messages", 0))

        await until(is_under_way, "a part is erased")
        server.kill()
    with server_process(tmp_path, "app.cli", arguments=["serve"], **environment) as server:
        await server.ready()
        receipt = await completed(server.url, begun["id"])
        assert receipt["counts"]["messages"] == 200
        assert (await ask(server.url, "GET", "/messages")).json()["messages"] == []


async def test_the_command_line_erases_and_shows_the_receipt(serve: Serve, tmp_path: Path) -> None:
    server = await serve()
    await server.submit("Hello", thread_id="t", subject="ann")

    async def agentq(*arguments: str) -> str:
        done = await asyncio.to_thread(finished_process, tmp_path, "app.cli", *arguments, AGENTQ_URL=server.url)
        assert done.returncode == 0, done.stderr
        return done.stdout

    shown = await agentq("erase", "subject", "ann", "--yes")
    assert "completed" in shown
    assert "messages 1, " in shown
    await server.submit("Hello")
    begun = json.loads(await agentq("erase", "tenant", "default", "--yes", "--no-wait", "--json"))
    assert begun["kind"] == "tenant"
    assert begun["id"] in await agentq("erase", "list")
    assert "tenant" in await agentq("erase", "show", begun["id"])
