"""The stream of all changes: what a screen is sent, from where it goes on, and who may see it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from app.access.scopes import AccessScope
from app.api.schemas.changes import ChangeType
from app.models.attempts import Completed
from tests import wire
from tests.contract.builders import OTHER_TENANT, beat, claim
from tests.integration.conftest import Serve
from tests.integration.test_keys import bearer, issue, manager
from tests.integration.test_processes import API_ONLY, agentq, submit
from tests.integration.test_samples import like
from tests.pages import DOCS, named
from tests.servers import LiveServer

JSON = {"Accept": "application/json"}
PAGE = DOCS / "how-to" / "watch-changes.md"


def test_the_page_names_all_types() -> None:
    text = PAGE.read_text("utf-8")
    assert [each for each in ChangeType if f"`{each}`" not in text] == []


async def next_change(stream: wire.RawStream) -> wire.Frame:
    """The next event that is no `cursor`."""
    while True:
        frame = await stream.next()
        assert frame is not None, "the stream has ended"
        if frame.event != "cursor":
            return frame


async def types(stream: wire.RawStream, count: int) -> list[str]:
    return [(await next_change(stream)).data["type"] for _ in range(count)]


@contextlib.asynccontextmanager
async def screen(server: LiveServer, query: str = "", **options: object) -> AsyncIterator[wire.RawStream]:
    """A stream whose reader has been asked to load its lists."""
    async with wire.stream_of(server.url, f"/events{query}", **options) as stream:
        assert stream.status == 200
        first = await stream.next()
        assert first is not None
        assert (first.event, first.data) == ("reset", {"reason": "start"})
        yield stream


async def complete_next(server: LiveServer) -> None:
    (claimed,) = await claim(server.runtime.services.store)
    await server.runtime.services.store.finish(claimed.lease, Completed("Paris."))


async def page(server: LiveServer, query: str = "", **headers: str) -> Any:
    reply = await server.client.get(f"/events{query}", headers={**JSON, **headers})
    assert reply.status_code == 200, reply.text
    return reply.json()


async def test_a_screen_sees_what_changes_and_goes_on_in_another_process(
    serve: Serve, database: dict[str, str]
) -> None:
    server, other = [
        await serve(worker_concurrency=0, database_url=database["DATABASE_URL"], allow_volatile=True) for _ in range(2)
    ]
    async with screen(server) as stream:
        message = await other.submit(thread_id="travel", priority="high")
        accepted = await next_change(stream)
        await complete_next(other)
        assert await types(stream, 2) == ["message.processing", "message.completed"]
        assert like(json.loads(named(PAGE, "sample: change")), stream.frames[-1].data)
    at = accepted.data.pop("at")
    assert at == message["created_at"]
    assert accepted.data == {
        "type": "message.accepted",
        "message_id": message["message_id"],
        "thread_id": "travel",
        "agent": "chat",
        "priority": "high",
        "state_before": None,
        "state": "queued",
        "error_code": None,
        "worker_id": None,
    }
    async with wire.stream_of(other.url, "/events", last_event_id=accepted.cursor) as again:
        assert await types(again, 2) == ["message.processing", "message.completed"]
        await server.client.post("/queue/pause")
        paused = await next_change(again)
    assert (paused.data["type"], paused.data["message_id"]) == ("queue.paused", None)
    listed = await page(server, f"?after={accepted.cursor}&limit=2")
    assert [each["type"] for each in listed["events"]] == ["message.processing", "message.completed"]
    assert (listed["last_event_id"], listed["more"], listed["reset"]) == (listed["events"][1]["id"], True, False)
    rest = await page(server, f"?after={listed['last_event_id']}")
    assert [each["type"] for each in rest["events"]] == ["queue.paused"]
    assert (rest["more"], rest["last_event_id"]) == (False, paused.cursor)


async def test_a_screen_sees_what_it_asks_for(quiet: LiveServer) -> None:
    async with (
        screen(quiet, "?thread_id=t&state=completed") as of_thread,
        screen(quiet, "?type=message.accepted&type=queue.paused") as of_types,
        screen(quiet, "?agent=nobody") as of_nobody,
    ):
        for thread in ("other", "t"):
            await quiet.submit(thread_id=thread)
            await complete_next(quiet)
        await quiet.client.post("/queue/pause")
        assert (await next_change(of_thread)).data["thread_id"] == "t"
        assert await types(of_types, 3) == ["message.accepted", "message.accepted", "queue.paused"]
        assert [frame.event for frame in of_nobody.frames] == ["reset"]
    wrong = await quiet.client.get("/events?type=message.eaten")
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "type")
    assert (await quiet.client.get(f"/events?after={'x' * 201}")).status_code == 422


async def test_a_screen_whose_changes_are_gone_loads_its_lists(quiet: LiveServer) -> None:
    async with wire.stream_of(quiet.url, "/events?after=deadbeef-7") as stream:
        gone = await stream.next()
        assert gone is not None
        assert (gone.event, gone.data) == ("reset", {"reason": "expired"})
        await quiet.submit()
        assert await types(stream, 1) == ["message.accepted"]
    async with wire.stream_of(quiet.url, "/events", last_event_id=gone.cursor) as again:
        assert await types(again, 1) == ["message.accepted"]
    listed = await page(quiet, "?after=deadbeef-7")
    assert (listed["reset"], len(listed["events"])) == (True, 1)


async def test_a_screen_that_nothing_concerns_gets_newer_ids(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, keepalive_interval=0.1)
    async with screen(server, "?agent=nobody") as stream:
        await server.submit()
        frame = await stream.next()
    assert frame is not None
    assert (frame.event, frame.data) == ("cursor", {})
    assert (await page(server, f"?after={frame.cursor}"))["events"] == []


async def test_screens_see_their_tenant_and_only_admins_see_workers(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    admin = await issue(server)
    reader = await issue(server, AccessScope.READ)
    other = await issue(server, AccessScope.SUBMIT, AccessScope.READ, tenant=OTHER_TENANT)
    store = server.runtime.services.store
    async with screen(server, key=admin.text) as of_admin, screen(server, key=reader.text) as of_reader:

        await beat(store)
        await server.client.post("/messages", json={"message": "Hello"}, headers=bearer(other))
        await store.pause(True)  # noqa: FBT003  as the port has it
        assert await types(of_admin, 2) == ["worker.started", "queue.paused"]
        assert await types(of_reader, 1) == ["queue.paused"]
        await manager(server).revoke(None, reader.key.id)
        async with asyncio.timeout(5):  # the promise
            assert await of_reader.rest() == []
        assert of_reader.ended_cleanly
    listed = await page(server, **bearer(other))
    assert [each["type"] for each in listed["events"]] == ["message.accepted", "queue.paused"]


async def test_narrowed_callers_and_those_without_read_are_refused(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key, submitting = await issue(server), await issue(server, AccessScope.SUBMIT)
    made = await server.client.post("/tokens", json={"subject": "alice"}, headers=bearer(key))
    token = {"Authorization": f"Bearer {made.json()['token']}"}
    for headers in (token, bearer(submitting)):
        for accept in ({}, JSON):
            reply = await server.client.get("/events", headers={**headers, **accept})
            assert reply.status_code == 403


async def test_a_screen_over_api_and_worker_processes_goes_on_after_a_restart(tmp_path: Path) -> None:
    database = {"DATABASE_URL": f"sqlite:///{tmp_path}/queue.db"}
    with agentq(tmp_path, database, "worker") as worker:
        with agentq(tmp_path, database, "serve", **API_ONLY) as first:
            await first.ready()
            async with wire.stream_of(first.url, "/events") as stream:
                message_id = await submit(first, "Hello")
                while (last := await next_change(stream)).data.get("type") != "message.processing":
                    pass
                first.terminate()
                await stream.rest()
                assert stream.ended_cleanly
        with agentq(tmp_path, database, "serve", **API_ONLY) as second:
            await second.ready()
            async with wire.stream_of(second.url, "/events", last_event_id=last.cursor) as stream:
                while (frame := await next_change(stream)).data["type"] != "message.completed":
                    pass
                assert frame.data["message_id"] == message_id
                worker.terminate()
                while (frame := await next_change(stream)).data["type"] != "worker.left":
                    pass
                assert frame.data["worker_id"]
