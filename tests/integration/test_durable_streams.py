"""Streams of messages and threads in the Durable Streams protocol."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.access.scopes import AccessScope
from app.api.streaming import KEEP_ALIVE
from app.clock import SteadyClock
from app.errors import MessageNotFound
from app.models.events import NewEvent
from app.models.messages import Message
from app.models.usage import MeteredCall, ModelUsage, Tokens
from app.protocols.durable_streams.replies import NOT_STORED
from app.store.ports import Store
from tests import wire
from tests.contract.backends import StoreFactory
from tests.contract.builders import DONE, FAILED, TENANT, add, chunk, claim_one, interrupt, page, requeue, start
from tests.durable_streams_readers import CuttingProxy, event_source, live_of
from tests.integration.conftest import Serve
from tests.integration.test_durable_streams_conformance import NOT_FOR_READERS
from tests.integration.test_keys import bearer, issue, manager
from tests.node_packages import installed, node
from tests.pages import DOCS, named
from tests.servers import ROOT, LiveServer, until

PAGE = DOCS / "how-to" / "use-durable-streams.md"
FOLDER = ROOT / "tests" / "durable_streams"
CUTS = 100
EVENTS_A_CUT = 10
MOST_BYTES_A_CUT = 1_400
"""Less than EVENTS_A_CUT events have, so that each write leads to a cut."""

NEXT, NEWEST, CLOSED = "stream-next-offset", "stream-up-to-date", "stream-closed"


@pytest.fixture
def store(make_store: StoreFactory, tmp_path: Path) -> Store:
    """An empty store of each kind, which the server opens."""
    return make_store(tmp_path, SteadyClock())


@pytest.fixture
async def server(serve: Serve, store: Store) -> LiveServer:
    """A server without workers on a store of each kind, whose messages the test runs itself."""
    return await serve(store=store, worker_concurrency=0, keepalive_interval=1)


async def ran(store: Store, chunks: int = 3, **fields: Any) -> str:
    """The id of a message that has ended."""
    lease = await start(store, **fields)
    await store.append(lease, [chunk(index) for index in range(chunks)])
    await store.finish(lease, DONE)
    return lease.message_id


async def read(server: LiveServer, path: str, offset: str = "-1", **query: str) -> httpx2.Response:
    return await server.client.get(f"/streams{path}", params={"offset": offset, **query})


async def live(server: LiveServer, path: str, offset: str = "-1") -> Any:
    """The content of server-sent events to their end."""
    return live_of((await read(server, path, offset, live="sse")).text)


def refused(response: httpx2.Response, status: int, code: str) -> str:
    """The detail of a refusal, which is a problem with the protocol's status."""
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status
    return str(response.json()["detail"])


async def test_a_message_is_read_from_any_offset(server: LiveServer, store: Store) -> None:
    message_id = await ran(store)
    path = f"/messages/{message_id}"
    native = (await server.client.get(f"/messages/{message_id}/events")).json()["events"]
    events = [{"message_id": message_id, **each} for each in native]
    whole = await read(server, path)
    assert (whole.json(), whole.headers["content-type"]) == (events, "application/json")
    assert (whole.headers[NEWEST], whole.headers[CLOSED]) == ("true", "true")
    assert (await server.client.get(f"/streams{path}")).content == whole.content
    followed = await live(server, path)
    assert followed.events == events
    assert followed.controls[-1] == {"streamNextOffset": whole.headers[NEXT], "upToDate": True, "streamClosed": True}
    head = await server.client.head(f"/streams{path}")
    assert [head.headers[name] for name in (NEXT, CLOSED, "content-type")] == [
        whole.headers[NEXT],
        "true",
        "application/json",
    ]
    assert (head.content, head.headers["cache-control"]) == (b"", "no-store")
    at_end = await read(server, path, whole.headers[NEXT])
    assert (at_end.content, at_end.headers[CLOSED]) == (b"[]\n", "true")
    assert (await read(server, path, "now")).content == b"[]\n"
    assert (await read(server, path, whole.headers[NEXT], live="long-poll")).status_code == 204


async def test_events_of_each_kind_are_the_native_ones(server: LiveServer, store: Store) -> None:
    lease = await start(store)
    call = {"id": "c1", "name": "add"}
    await store.append(
        lease,
        [
            NewEvent.chunk("reasoning", "Hm.", 0, message="m"),
            NewEvent.chunk("tool_call", {**call, "args": {"a": 1}}, 1, message="m"),
            NewEvent.chunk("tool_result", {**call, "content": "2"}, 2, message="t"),
            NewEvent.chunk("content", "Two.", 3, message="n"),
            NewEvent.usage([MeteredCall({"input_tokens": 10, "total_tokens": 10}, ModelUsage("gpt-4", Tokens(1, 10)))]),
            NewEvent.shown("custom", {"a": 1}),
        ],
    )
    await store.finish(lease, DONE)
    native = (await server.client.get(f"/messages/{lease.message_id}/events")).json()["events"]
    kinds = [(each["type"], each["data"].get("type")) for each in native]
    shown = ("reasoning", "tool_call", "tool_result", "content")
    assert kinds[1:-1] == [*(("chunk", kind) for kind in shown), ("usage", None), ("custom", None)]
    events = [{"message_id": lease.message_id, **each} for each in native]
    path = f"/messages/{lease.message_id}"
    assert (await read(server, path)).json() == events == (await live(server, path)).events


async def test_offsets_sort_and_each_one_resumes_behind_its_event(server: LiveServer, store: Store) -> None:
    thread = f"/threads/{'t'}"
    lease = await start(store, thread="t")
    offsets = [(await read(server, thread, "now")).headers[NEXT]]
    for index in range(12):
        await store.append(lease, [chunk(index)])
        offsets.append((await read(server, thread, offsets[-1])).headers[NEXT])
    await store.finish(lease, DONE)
    offsets.append((await read(server, thread, offsets[-1])).headers[NEXT])
    assert offsets == sorted(set(offsets))
    events = (await read(server, thread)).json()
    for behind, offset in enumerate(offsets, 1):
        assert (await read(server, thread, offset)).json() == events[behind:]
        if behind % 4 == 0:
            followed = await read_live(server, thread, offset, len(events) - behind)
            assert followed == events[behind:]


async def more(opened: wire.RawStream) -> str:
    """The next bytes of a stream that stays open."""
    data = await opened._chunk()
    assert data, "the stream has ended"
    return data.decode()


async def read_live(server: LiveServer, path: str, offset: str, count: int) -> list[dict[str, Any]]:
    """The next events of a stream that stays open."""
    async with wire.stream_of(server.url, f"/streams{path}?offset={offset}&live=sse") as opened:
        text = ""
        async with asyncio.timeout(wire.DEADLINE_SECONDS):
            while len(events := live_of(text).events) < count:
                text += await more(opened)
        return events


async def test_a_thread_is_its_messages_in_order(server: LiveServer, store: Store) -> None:
    """A message that was cancelled while it waited is shown when all before it have ended."""
    first = await ran(store, thread="t")
    lease = await start(store, thread="t")
    cancelled, queued = await add(store, thread="t"), await add(store, thread="t")
    await store.cancel(TENANT, cancelled.id)
    head = await server.client.head("/streams/threads/t")
    assert CLOSED not in head.headers
    before = await read(server, "/threads/t")
    assert before.headers[NEXT] == head.headers[NEXT]
    assert before.headers[NEWEST] == "true"
    assert [each["message_id"] for each in before.json()] == [first] * 5 + [lease.message_id]
    async with wire.stream_of(server.url, f"/streams/threads/t?offset={before.headers[NEXT]}&live=sse") as opened:
        text = await more(opened)
        assert live_of(text).controls[0]["upToDate"] is True
        await store.finish(lease, DONE)
        next_lease = await claim_one(store)
        assert next_lease.message_id == queued.id
        await store.finish(next_lease, DONE)
        new = await ran(store, thread="t")
        wanted = [lease.message_id, cancelled.id, queued.id, queued.id] + [new] * 5
        async with asyncio.timeout(wire.DEADLINE_SECONDS):
            while len(live_of(text).events) < len(wanted) or not text.endswith("\n\n"):
                text += await more(opened)
    followed = live_of(text)
    assert [each["message_id"] for each in followed.events] == wanted
    assert (await read(server, "/threads/t", before.headers[NEXT])).json() == followed.events
    assert followed.ids == sorted(set(followed.ids))


async def test_a_message_that_is_deleted_while_its_thread_is_read_is_passed_over(
    server: LiveServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, kept = await ran(store, thread="t"), await ran(store, thread="t")
    log = server.runtime.services.log
    read_log = log.read

    async def read_others(tenant: str, message_id: str, **named: int) -> Any:
        if message_id == gone:
            raise MessageNotFound(gone)
        return await read_log(tenant, message_id, **named)

    monkeypatch.setattr(log, "read", read_others)
    assert {each["message_id"] for each in (await read(server, "/threads/t")).json()} == {kept}


async def test_readers_of_a_thread_without_news_are_kept_alive(server: LiveServer, store: Store) -> None:
    await ran(store, thread="t")
    async with wire.stream_of(server.url, "/streams/threads/t?offset=-1&live=sse") as opened:
        text = ""
        async with asyncio.timeout(wire.DEADLINE_SECONDS):
            while KEEP_ALIVE.decode() not in text:
                text += await more(opened)
    newest = (await server.client.head("/streams/threads/t")).headers[NEXT]
    last = live_of(text).controls[-1]
    assert (last["upToDate"], last["streamNextOffset"]) == (True, newest)
    refused(await read(server, "/threads/t", ""), 400, "invalid_request")


async def test_a_reader_waits_for_what_comes_next(server: LiveServer, store: Store) -> None:
    message = await add(store, thread="t")
    for path in (f"/messages/{message.id}", "/threads/t"):
        silent = await read(server, path, live="long-poll")
        assert (silent.status_code, silent.headers[NEWEST]) == (204, "true")
        assert silent.headers["stream-cursor"].isdigit()
    polls = [
        asyncio.create_task(read(server, path, offset, live="long-poll"))
        for path in (f"/messages/{message.id}", "/threads/t")
        for offset in ("-1", "now")
    ]
    await until(lambda: server.runtime.streams.readers_of(TENANT, message.id) == 4, "four readers wait")
    lease = await claim_one(store)
    for reply in [await each for each in polls]:
        assert [each["type"] for each in reply.json()] == ["processing"]
        assert reply.headers[NEWEST] == "true"
        assert CLOSED not in reply.headers
    path = f"/messages/{message.id}"
    offset = (await server.client.head(f"/streams{path}")).headers[NEXT]
    last = asyncio.create_task(read(server, path, offset, live="long-poll"))
    await until(lambda: server.runtime.streams.readers_of(TENANT, message.id) == 1, "a reader waits")
    await store.finish(lease, DONE)
    assert (await last).headers[CLOSED] == "true"


async def test_positions_are_comments_behind_the_newest_offset(server: LiveServer, store: Store) -> None:
    message = await add(store, thread="t")
    for path in (f"messages/{message.id}", "threads/t"):
        async with wire.stream_of(server.url, f"/streams/{path}?offset=-1&live=sse") as opened:
            text = ""
            async with asyncio.timeout(wire.DEADLINE_SECONDS):
                while ": queued, position 0\n" not in text:
                    text += await more(opened)
            (control,) = live_of(text).controls
            assert control["upToDate"] is True


async def test_a_known_reply_is_not_sent_again(server: LiveServer, store: Store) -> None:
    lease = await start(store)
    path = f"/streams/messages/{lease.message_id}"
    first = await server.client.get(path)
    tag = first.headers["etag"]
    for known in (tag, f'"x", W/{tag}', "*"):
        again = await server.client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert (again.headers["etag"], again.headers[NEXT]) == (tag, first.headers[NEXT])
    await store.finish(lease, DONE)
    changed = await server.client.get(path, headers={"If-None-Match": tag})
    assert (changed.status_code, changed.headers["cache-control"]) == (200, "private, no-cache")
    assert changed.headers["etag"] != tag


async def test_a_reply_about_now_is_kept_by_no_cache(server: LiveServer, store: Store) -> None:
    message_id = await ran(store, thread="t")
    for path in (f"/messages/{message_id}", "/threads/t"):
        now = await read(server, path, "now")
        assert (now.content, now.headers["cache-control"], "etag" in now.headers) == (b"[]\n", NOT_STORED, False)


async def test_events_that_are_no_longer_kept_are_gone(server: LiveServer, store: Store) -> None:
    message_id = await ran(store, thread="t")
    ends = {}
    for path in (f"/messages/{message_id}", "/threads/t"):
        offsets = (await live(server, f"/messages/{message_id}")).ids if path[1] == "m" else []
        ends[path] = (await read(server, path)).headers[NEXT], offsets
    middle = {
        f"/messages/{message_id}": "2".rjust(19, "0"),
        "/threads/t": ends["/threads/t"][0].replace("5_", "2_"),
    }
    await store.prune_logs(older_than_seconds=-1, limit=10)
    for path, (end, _) in ends.items():
        refused(await read(server, path, middle[path]), 410, "events_gone")
        refused(await read(server, path, middle[path], live="sse"), 410, "events_gone")
        kept = await read(server, path)
        assert [(each["id"], each["type"]) for each in kept.json()] == [(5, "done")]
        assert kept.headers[NEXT] == end
        assert (await read(server, path, end)).content == b"[]\n"


async def test_a_retry_by_an_operator_opens_the_stream_again(server: LiveServer, store: Store) -> None:
    lease = await start(store)
    await store.finish(lease, FAILED)
    path = f"/messages/{lease.message_id}"
    closed = await read(server, path)
    assert closed.headers[CLOSED] == "true"
    await requeue(store, lease.message_id)
    again = await read(server, path, closed.headers[NEXT])
    assert [each["type"] for each in again.json()] == ["retry"]
    assert CLOSED not in again.headers


async def test_offsets_that_a_stream_does_not_have_are_refused(server: LiveServer, store: Store) -> None:
    message_id = await ran(store, thread="t")
    end = (await read(server, "/threads/t")).headers[NEXT]
    wrong = {"x", "5", "-2", "NOW", "0" * 18, "0" * 20, "٣" * 19}
    for path in (f"/messages/{message_id}", "/threads/t"):
        for offset in wrong:
            assert "offset" in refused(await read(server, path, offset), 400, "invalid_request")
    far = "7".rjust(19, "0")
    assert "newest" in refused(await read(server, f"/messages/{message_id}", far), 400, "invalid_request")
    number, event, tag = end.split("_")
    for beyond in (f"{number}_{far}_{tag}", f"{'9'.rjust(12, '0')}_{event}_{tag}"):
        refused(await read(server, "/threads/t", beyond), 400, "invalid_request")
    refused(await read(server, "/threads/t", live="never"), 400, "invalid_request")
    refused(await server.client.get("/streams/threads/t?offset=-1&offset=-1"), 400, "invalid_request")
    refused(await server.client.get("/streams/threads/t?live=sse"), 400, "invalid_request")


async def test_a_thread_with_the_id_of_a_deleted_one_is_another_stream(server: LiveServer, store: Store) -> None:
    await ran(store, thread="t")
    end = (await read(server, "/threads/t")).headers[NEXT]
    async with wire.stream_of(server.url, f"/streams/threads/t?offset={end}&live=sse") as opened:
        assert (await server.client.delete("/threads/t")).status_code == 204
        async with asyncio.timeout(wire.DEADLINE_SECONDS):
            await opened.reader.read()
    refused(await read(server, "/threads/t", end), 404, "thread_not_found")
    await ran(store, thread="t")
    refused(await read(server, "/threads/t", end), 410, "thread_replaced")


async def test_an_event_source_comes_back_behind_what_it_has_seen(server: LiveServer, store: Store) -> None:
    message_id = await ran(store)
    path = f"/streams/messages/{message_id}?offset=-1&live=sse"
    followed = await live(server, f"/messages/{message_id}")
    async with wire.stream_of(server.url, path, last_event_id="2".rjust(19, "0")) as opened:
        text = ""
        while data := await opened._chunk():
            text += data.decode()
    assert live_of(text).events == followed.events[2:]
    async with wire.stream_of(server.url, path, last_event_id=followed.ids[-1]) as opened:
        assert opened.status == 204


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
async def test_a_stream_takes_no_writes(quiet: LiveServer, method: str) -> None:
    message_id = (await quiet.submit())["message_id"]
    reply = await wire.request(quiet.url, method, f"/streams/messages/{message_id}")
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert reply.json()["code"] == "method_not_allowed"


async def test_the_example_of_the_page_prints_the_answer(serve: Serve) -> None:
    await asyncio.to_thread(installed, FOLDER)
    server = await serve()
    code = named(PAGE, "tested: durable streams in node").replace("http://localhost:8000", server.url)
    command = [node(), "--input-type=module", "--eval", code]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=wire.DEADLINE_SECONDS
    )
    (message,) = (await server.client.get("/messages")).json()["messages"]
    assert (done.returncode, done.stdout) == (0, f"{message['result']}\n" * 2), done.stderr


def test_the_page_tells_which_tests_are_left_out_and_why() -> None:
    assert [reason for reason in NOT_FOR_READERS if f"| {reason} |" not in PAGE.read_text()] == []


async def test_a_question_leaves_the_stream_open(server: LiveServer, store: Store) -> None:
    asking: Message = await interrupt(store)
    found = await read(server, f"/messages/{asking.id}")
    assert found.json()[-1]["type"] == "interrupted"
    assert (CLOSED in found.headers, found.headers[NEWEST]) == (False, "true")


async def followed_by(url: str, mode: str) -> dict[str, Any]:
    """All that the protocol's client saw of a stream."""
    command = [node(), "follow.mjs", url, mode]
    process = await asyncio.create_subprocess_exec(*command, cwd=FOLDER, stdout=subprocess.PIPE)
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return dict(json.loads(output))


async def test_readers_that_are_cut_off_at_any_byte_miss_nothing_and_get_nothing_twice(
    server: LiveServer, store: Store
) -> None:
    """A run of 1,000 events. Each cut waits for events, and each write of events waits for the cut before."""
    await asyncio.to_thread(installed, FOLDER)
    lease = await start(store, thread="t")
    port = int(server.url.rpartition(":")[2])
    path = f"/streams/messages/{lease.message_id}"
    async with (
        CuttingProxy(port, CUTS, MOST_BYTES_A_CUT, seed=1) as by_sse,
        CuttingProxy(port, CUTS, MOST_BYTES_A_CUT, seed=2) as by_polls,
        CuttingProxy(port, CUTS, MOST_BYTES_A_CUT, seed=3) as by_page,
    ):
        proxies = [by_sse, by_polls, by_page]
        sse_reader = asyncio.create_task(followed_by(f"http://127.0.0.1:{by_sse.port}{path}", "sse"))
        poll_reader = asyncio.create_task(followed_by(f"http://127.0.0.1:{by_polls.port}{path}", "long-poll"))
        page_url = f"http://127.0.0.1:{by_page.port}"
        page_reader = asyncio.create_task(event_source(page_url, f"{path}?offset=-1&live=sse"))
        for cut in range(CUTS):
            await store.append(lease, [chunk(index) for index in range(EVENTS_A_CUT)])
            await asyncio.gather(*(proxy.until_cut(cut + 1) for proxy in proxies))
        await store.finish(lease, DONE)
        async with asyncio.timeout(wire.DEADLINE_SECONDS):
            sse, polls, events = await asyncio.gather(sse_reader, poll_reader, page_reader)
    last = (await page(store, lease.message_id)).last
    assert last == CUTS * EVENTS_A_CUT + 2
    log = list(range(1, last + 1))
    for saw in (sse, polls):
        assert saw["ids"] == log
        assert saw["offsets"] == sorted(set(saw["offsets"]))
    assert [each["id"] for each in events] == log


async def test_a_reader_without_access_is_told_so(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key, _ = await issue(server), await issue(server, AccessScope.SUBMIT)
    submitted = await server.client.post("/messages", json={"message": "Hi"}, headers=bearer(key))
    path = f"/streams/messages/{submitted.json()['message_id']}"
    query = {"offset": "-1", "live": "long-poll"}
    poll = asyncio.create_task(server.client.get(path, params=query, headers=bearer(key)))
    stream = asyncio.create_task(server.client.get(path, params={**query, "live": "sse"}, headers=bearer(key)))
    await until(lambda: len(server.runtime.services.access._held) == 2, "both are held")
    await manager(server).revoke(None, key.key.id)
    refused(await poll, 401, "revoked_api_key")
    assert live_of((await stream).text).controls[-1]["upToDate"] is True
    refused(await server.client.get(path, headers=bearer(key)), 401, "revoked_api_key")


async def test_a_stopping_server_ends_live_reads_without_closing_the_stream(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    message_id = (await server.submit(thread_id="t"))["message_id"]
    paths = (f"/messages/{message_id}", "/threads/t")
    asked = [asyncio.create_task(read(server, each, live=mode)) for each in paths for mode in ("long-poll", "sse")]
    await until(lambda: server.runtime.streams.readers_of("default", message_id) == 4, "all read")
    server.runtime.streams.close()
    server.runtime.services.changes.close()
    for reply in [await each for each in asked]:
        assert reply.status_code in (200, 204)
        assert CLOSED not in reply.headers
        assert "streamClosed" not in reply.text


async def test_live_reads_are_counted(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, max_streams_per_tenant=1)
    message_id = (await server.submit())["message_id"]
    path = f"/messages/{message_id}"
    poll = asyncio.create_task(read(server, path, live="long-poll"))
    await until(lambda: server.runtime.streams.readers_of("default", message_id) == 1, "a reader waits")
    for mode in ("sse", "long-poll"):
        refused(await read(server, path, live=mode), 429, "too_many_streams")
    assert (await read(server, path)).status_code == 200
    await server.client.delete(f"/messages/{message_id}")
    assert (await poll).headers[CLOSED] == "true"
