"""Changing and deleting threads over HTTP."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.errors import StoreUnavailable
from tests import wire
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_thread_states import asking, completed, state_of, texts
from tests.servers import LiveServer, live_server, server_process, until

AGENTS = "steps=tests.graphs:steps,approving=tests.graphs:approving"

pytestmark = pytest.mark.usefixtures("control")


async def patch(server: LiveServer, thread: str, status: int = 200, **body: Any) -> dict[str, Any]:
    response = await server.client.patch(f"/threads/{thread}", json=body)
    assert response.status_code == status, response.text
    return dict(response.json())


async def test_a_thread_is_renamed_and_its_metadata_are_merged(quiet: LiveServer) -> None:
    await quiet.submit(thread_id="a/b", name="First", metadata={"a": 1, "b": 2})
    changed = await patch(quiet, "a%2Fb", name="Second", metadata={"b": None, "c": "x"})
    assert (changed["name"], changed["metadata"]) == ("Second", {"a": 1, "c": "x"})
    assert changed == (await quiet.client.get("/threads/a%2Fb")).json()
    assert (await patch(quiet, "a%2Fb", metadata={"a": True}))["name"] == "Second"
    assert (await patch(quiet, "a%2Fb", name=None))["name"] is None


async def test_a_ttl_is_given_and_changed(quiet: LiveServer) -> None:
    made = await quiet.client.post("/threads", json={"thread_id": "brief", "ttl": 0.5})
    assert (made.status_code, made.json()["ttl"]) == (201, 0.5)
    assert (await patch(quiet, "brief", name="Brief"))["ttl"] == 0.5
    assert (await patch(quiet, "brief", ttl=60))["ttl"] == 60
    assert (await quiet.client.get("/threads")).json()[0]["ttl"] == 60
    assert (await patch(quiet, "brief", ttl=None))["ttl"] is None
    refused = await quiet.client.post("/threads", json={"ttl": -1})
    assert refused.status_code == 422


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"metadata": {"a": [1]}}, "metadata.a"),
        ({"metadata": 5}, "metadata"),
        ({"thread_id": "other"}, "thread_id"),
        ({"ttl": 0}, "ttl"),
        ({"ttl": "5"}, "ttl"),
        ({"ttl": 1e9}, "ttl"),
    ],
)
async def test_bad_changes_are_refused(quiet: LiveServer, body: dict[str, Any], field: str) -> None:
    await quiet.submit(thread_id="t", name="Name")
    refused = await patch(quiet, "t", 422, **body)
    assert [error["field"] for error in refused["errors"]] == [field]
    assert (await quiet.client.get("/threads/t")).json()["name"] == "Name"


async def test_metadata_that_would_be_too_long_are_refused(quiet: LiveServer) -> None:
    await quiet.submit(thread_id="t")
    for number in range(4):
        await patch(quiet, "t", metadata={f"k{number}": "x" * 16_000})
    refused = await patch(quiet, "t", 422, metadata={"more": "x" * 16_000})
    assert refused["code"] == "metadata_too_large"


async def test_a_thread_is_not_made_by_a_change(quiet: LiveServer) -> None:
    assert (await patch(quiet, "t", 404, name="Name"))["code"] == "thread_not_found"
    assert (await quiet.client.get("/threads")).json() == []


# Deleting


async def test_a_deleted_thread_is_gone_with_its_memory(serve: Serve, memory_url: str) -> None:
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    message_id = await completed(server, "One", thread_id="t", metadata={"a": 1})
    await server.submit("Later", thread_id="t", delay_seconds=1000)
    deleted = await server.client.delete("/threads/t")
    assert (deleted.status_code, deleted.content) == (204, b"")
    for path in ("/threads/t", "/threads/t/messages", "/threads/t/state", f"/messages/{message_id}"):
        assert (await server.client.get(path)).status_code == 404
    assert (await server.client.delete("/threads/t")).status_code == 404
    again = await completed(server, "Two", thread_id="t")
    state = await state_of(server, "t")
    assert texts(state) == ["Two", "Step one. ", "Heard: Two"]
    assert state["message_id"] == again
    assert state["metadata"]["step"] == 2


async def test_a_process_without_a_worker_deletes_the_memory_too(
    tmp_path: Path, settings: Any, memory_url: str
) -> None:
    async with live_server(settings(agents=AGENTS, checkpoint_url=memory_url)) as worker:
        await completed(worker, "One", thread_id="t")
        async with live_server(settings(agents=AGENTS, checkpoint_url=memory_url, worker_concurrency=0)) as api:
            assert (await api.client.delete("/threads/t")).status_code == 204
            assert not list(api.runtime.services.registry.available)
        await completed(worker, "Two", thread_id="t")
        assert texts(await state_of(worker, "t"))[-1] == "Heard: Two"


async def test_a_thread_with_a_running_message_is_kept(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    control.hold("first")
    message_id = (await server.submit("One", thread_id="t"))["message_id"]
    await until(lambda: control.waits("first"), "the run waits")
    refused = await server.client.delete("/threads/t")
    assert (refused.status_code, refused.json()["code"]) == (409, "thread_running")
    assert (await server.client.post(f"/messages/{message_id}/cancel")).status_code == 202
    await server.ended(message_id)
    assert (await server.client.delete("/threads/t")).status_code == 204


async def test_readers_of_a_deleted_message_come_to_an_end(serve: Serve) -> None:
    server = await serve(agents=AGENTS)
    asks = await asking(server, "Delete it", agent="approving", thread_id="t")
    behind = (await server.submit("Behind", thread_id="t"))["message_id"]
    async with wire.stream(server.url, asks) as first, wire.stream(server.url, behind) as second:
        await first.until("interrupted")
        await second.until("waiting")
        assert (await server.client.delete("/threads/t")).status_code == 204
        for stream in (first, second):
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                await stream.rest()
    for message_id in (asks, behind):
        assert (await server.client.get(f"/messages/{message_id}/stream")).status_code == 404


async def test_a_memory_that_cannot_be_deleted_now_is_deleted_later(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, memory_url: str
) -> None:
    """Until then the id takes no messages, so that none begins with what was deleted."""
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    await completed(server, "One", thread_id="t")
    manager = server.runtime.services.threads

    class Away:
        async def forget(self, memory_keys: list[str]) -> None:
            raise StoreUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(manager, "_memory", Away)
        assert (await server.client.delete("/threads/t")).status_code == 204
    assert (await server.client.get("/threads/t")).status_code == 404
    refused = await server.client.post("/messages", json={"message": "Two", "thread_id": "t"})
    assert (refused.status_code, refused.json()["code"]) == (409, "thread_not_ready")
    await server.runtime._maintenance.forget()
    await completed(server, "Two", thread_id="t")
    assert texts(await state_of(server, "t")) == ["Two", "Step one. ", "Heard: Two"]


async def test_a_repeated_request_for_a_deleted_message_is_gone(quiet: LiveServer) -> None:
    request: dict[str, Any] = {
        "json": {"message": "One", "thread_id": "t"},
        "headers": {"Idempotency-Key": "key"},
    }
    assert (await quiet.client.post("/messages", **request)).status_code == 202
    assert (await quiet.client.delete("/threads/t")).status_code == 204
    gone = await quiet.client.post("/messages", **request)
    assert (gone.status_code, gone.json()["code"]) == (410, "message_deleted")
    assert (await quiet.client.get("/threads")).json() == []


async def test_a_deletion_cut_off_halfway_is_finished_by_others(
    database: dict[str, str], tmp_path: Path, control: GraphControl
) -> None:
    """The process dies between the commit of the queue and the deletion of the memory."""
    environment = {**database, **control.environment, "AGENTS": AGENTS}
    with (
        server_process(tmp_path, "tests.dies_while_deleting", WORKER_CONCURRENCY="0", **environment) as dying,
        server_process(tmp_path, **environment) as other,
    ):
        await dying.ready()
        await other.ready()
        async with httpx2.AsyncClient(timeout=30, trust_env=False, verify=False) as client:
            one = {"message": "One", "thread_id": "t"}
            wait = {"Prefer": "wait=30"}
            assert (await client.post(f"{other.url}/messages", json=one, headers=wait)).status_code == 200
            with pytest.raises(httpx2.TransportError):
                await client.delete(f"{dying.url}/threads/t")
            assert (await client.get(f"{other.url}/threads/t")).status_code == 404
            refused = await client.post(f"{other.url}/messages", json=one)
            assert refused.json()["code"] == "thread_not_ready"
        other.terminate()
        with server_process(tmp_path, **environment) as later:
            await later.ready()
            async with httpx2.AsyncClient(base_url=later.url, timeout=30, trust_env=False, verify=False) as client:
                two = {"message": "Two", "thread_id": "t"}

                async def accepted() -> str | None:
                    reply = await client.post("/messages", json=two, headers=wait)
                    return reply.json()["result"] if reply.status_code == 200 else None

                assert await until(accepted, "the id is free", 30) == "Heard: Two"
