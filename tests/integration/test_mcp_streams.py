"""Calls of MCP that are cut off, cancelled, left, and waiting when their process stops."""

import asyncio
import base64
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.api import streaming
from app.clock import SteadyClock
from app.models.events import NewEvent
from app.models.messages import MessageState
from app.models.parts import ChunkType
from app.observability.recent_streams import StreamEnd
from app.protocols import departures
from app.protocols.mcp.exchanges import MAX_CLIENT_IDS
from app.store.ports import Store
from tests import wire
from tests.chaos.proxy import Proxy
from tests.contract.backends import StoreFactory
from tests.contract.builders import DONE, FAILED, TENANT, chunk, requeue, start
from tests.durable_streams_readers import CuttingProxy
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.mcp_clients import (
    HANDSHAKE,
    JSON_OR_EVENTS,
    KINDS,
    NEWEST_HANDSHAKE,
    OLDEST,
    STATELESS,
    Event,
    Progress,
    call,
    events_of,
    found,
    post,
    refusal,
    sdk,
)
from tests.servers import LiveServer, until

CUTS = 100
EVENTS_A_CUT = 10
MOST_BYTES_A_CUT = 2_000
"""Less than a request, the head of its reply and the frame of EVENTS_A_CUT events have. Each write leads to a cut."""

READERS = 20

kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def store(make_store: StoreFactory, tmp_path: Path) -> Store:
    """An empty store of each kind, which the server opens."""
    return make_store(tmp_path, SteadyClock())


@pytest.fixture
def comes_back_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has clients come back after a millisecond."""
    monkeypatch.setattr(streaming, "RETRY_MILLISECONDS", range(1, 3))


def numbered(first: int, count: int) -> list[Any]:
    """Pieces of text that are all different."""
    return [chunk(index, f"{index:-<120} ") for index in range(first, first + count)]


def whole(count: int) -> str:
    return "".join(f"{index:-<120} " for index in range(count))


def headers_of(version: str, event_id: str | None = None) -> dict[str, str]:
    seen = {} if event_id is None else {"Last-Event-ID": event_id}
    return {**JSON_OR_EVENTS, "MCP-Protocol-Version": version, **seen}


async def read_by_the_rules(url: str, message: dict[str, Any], version: str) -> list[Any]:
    """The messages that a client is given that comes back with the last id that it has seen, until the response."""
    given: list[Any] = []
    seen: str | None = None
    async with httpx2.AsyncClient(timeout=wire.DEADLINE_SECONDS, trust_env=False, verify=False) as client:
        while True:
            try:
                async for event in _events(client, url, message, version, seen):
                    seen = event.id or seen
                    if event.message is not None:
                        given.append(event.message)
                        if "result" in event.message or "error" in event.message:
                            return given
            except httpx2.TransportError:
                continue


async def _events(
    client: httpx2.AsyncClient, url: str, message: dict[str, Any], version: str, seen: str | None
) -> AsyncIterator[Event]:
    method, body = ("POST", json.dumps(message)) if seen is None else ("GET", "")
    headers = headers_of(version, seen)
    async with client.stream(method, f"{url}/mcp", headers=headers, content=body) as response:
        assert response.status_code == 200, (await response.aread()).decode()
        buffer = ""
        async for text in response.aiter_text():
            complete, _, buffer = f"{buffer}{text}".rpartition("\n\n")
            for event in events_of(f"{complete}\n\n" if complete else ""):
                yield event


def progress_of(messages: list[Any]) -> Progress:
    """The progress in notifications."""
    progress = Progress()
    progress.told = [
        (float(each["params"]["progress"]), each["params"]["message"]) for each in messages if "params" in each
    ]
    return progress


@pytest.mark.parametrize("version", [OLDEST, NEWEST_HANDSHAKE])
async def test_a_call_that_is_cut_off_at_any_byte_misses_nothing_and_is_told_nothing_twice(
    serve: Serve, store: Store, version: str
) -> None:
    """A run of 1,000 events. Each cut waits for events, and each write of events waits for the cut before."""
    server = await serve(store=store, worker_concurrency=0)
    lease = await start(store)
    async with CuttingProxy(int(server.url.rpartition(":")[2]), CUTS, MOST_BYTES_A_CUT, seed=1) as proxy:
        message = call("wait_for_message", {"message_id": lease.message_id})
        reading = asyncio.create_task(read_by_the_rules(f"http://127.0.0.1:{proxy.port}", message, version))
        for cut in range(CUTS):
            await store.append(lease, numbered(cut * EVENTS_A_CUT, EVENTS_A_CUT))
            await proxy.until_cut(cut + 1)
        await store.finish(lease, DONE)
        async with asyncio.timeout(wire.DEADLINE_SECONDS):
            messages = await reading
    progress = progress_of(messages)
    assert progress.text == whole(CUTS * EVENTS_A_CUT)
    progress.check_growing()
    assert {each["params"]["progressToken"] for each in messages[:-1]} == {"t1"}
    assert messages[-1]["id"] == 1
    assert messages[-1]["result"]["structuredContent"]["state"] == "completed"


class Reader(Progress):
    """A client of the SDK that is cut off once, at a random byte behind the first text."""

    def __init__(self, port: int, cut: int) -> None:
        super().__init__()
        self._proxy = Proxy("127.0.0.1", port)
        self._cut = cut
        self.armed = asyncio.Event()

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        await super().__call__(progress, total, message)
        if self.text and not self.armed.is_set():
            self._proxy.cut_after(self._cut)
            self.armed.set()

    async def read(self, message_id: str) -> dict[str, Any]:
        """Wait for a message. The message as it is then."""
        async with self._proxy, sdk(f"http://127.0.0.1:{self._proxy.port}", HANDSHAKE) as client:
            result = await client.call_tool("wait_for_message", {"message_id": message_id}, progress_callback=self)
            assert self._proxy._budget is None, "it was not cut off"
            return found(result)


@pytest.mark.parametrize("seed", range(CUTS // READERS))
async def test_the_sdks_client_comes_back_by_itself(serve: Serve, comes_back_soon: None, seed: int) -> None:
    """100 clients in all are cut off. Each is cut off once, since a client gives up when it is cut off again."""
    server = await serve(worker_concurrency=0, max_streams_per_tenant=0)
    store = server.runtime.services.store
    lease = await start(store)
    randomly = random.Random(seed)
    port = int(server.url.rpartition(":")[2])
    readers = [Reader(port, randomly.randint(1, 5_000)) for _ in range(READERS)]
    reading = [asyncio.create_task(reader.read(lease.message_id)) for reader in readers]
    await until(lambda: server.runtime.streams.readers_of(TENANT, lease.message_id) == READERS, "all read")
    await store.append(lease, numbered(0, 1))
    for reader in readers:
        await reader.armed.wait()
    for index in range(1, 1000, 27):
        await store.append(lease, numbered(index, 27))
    await store.finish(lease, DONE)
    async with asyncio.timeout(2 * wire.DEADLINE_SECONDS):
        ended = await asyncio.gather(*reading)
    assert {each["state"] for each in ended} == {"completed"}
    for reader in readers:
        assert reader.text == whole(1000)
        reader.check_growing()


async def test_ids_of_events_that_no_call_has_are_refused(quiet: LiveServer) -> None:
    store = quiet.runtime.services.store
    lease = await start(store)
    await store.append(lease, numbered(0, 3))
    await store.finish(lease, DONE)
    message = call("submit_message", {"message": "Hi", "wait_seconds": 0.01})
    reply = await post(quiet, message, NEWEST_HANDSHAKE)
    known = next(event.id for event in events_of(reply.body.decode()) if event.id)
    far = _with(known, 2, [10**6, 0])
    other = _with(known, 1, "0199f2f4-5c1e-7d11-a3c5-9d0f6a8c1b22")
    cases: list[tuple[str, int]] = [
        ("x", 400),
        ("é", 400),
        (known[:-3], 400),
        (_with(known, 2, [-1, 0]), 400),
        (_with(known, 2, [10**30, 0]), 400),
        (_with(known, 2, "0"), 400),
        (_with(known, 3, "1"), 400),
        (_with(known, 4, None), 400),
        (_with(known, 4, 1.5), 400),
        (_with(known, 0, "a\x00"), 400),
        (far, 400),
        (other, 404),
        ("1", 400),
    ]
    for event_id, status in cases:
        headers = headers_of(NEWEST_HANDSHAKE, event_id)
        refused = await wire.request(quiet.url, "GET", "/mcp", headers=headers)
        assert (refused.status, refused.json()["jsonrpc"]) == (status, "2.0"), event_id
    unknown_tool = await wire.request(
        quiet.url, "GET", "/mcp", headers=headers_of(NEWEST_HANDSHAKE, _with(known, 0, "nothing"))
    )
    assert "There is no tool 'nothing'" in events_of(unknown_tool.body.decode())[-1].message["error"]["message"]
    again = await wire.request(quiet.url, "GET", "/mcp", headers=headers_of(NEWEST_HANDSHAKE, known))
    assert events_of(again.body.decode())[-1].message["result"]["structuredContent"]["state"] == "queued"


def _with(event_id: str, place: int, value: Any) -> str:
    """An id with another value at one place."""
    fields = json.loads(base64.urlsafe_b64decode(event_id + "=="))
    fields[place] = value
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).rstrip(b"=").decode()


async def test_a_call_with_long_ids_of_its_own_has_no_ids_of_events(quiet: LiveServer) -> None:
    message = call("submit_message", {"message": "Hi", "wait_seconds": 0.01})
    message["id"] = "i" * (MAX_CLIENT_IDS + 1)
    reply = await post(quiet, message, NEWEST_HANDSHAKE)
    events = events_of(reply.body.decode())
    assert (events[-1].message["id"], {event.id for event in events}) == (message["id"], {""})


async def test_another_process_goes_on_with_a_call(serve: Serve) -> None:
    first, second = await serve(worker_concurrency=0), await serve(worker_concurrency=0)
    store = first.runtime.services.store
    lease = await start(store)
    await store.append(lease, numbered(0, 5))
    message = call("wait_for_message", {"message_id": lease.message_id})
    async with httpx2.AsyncClient(timeout=wire.DEADLINE_SECONDS, trust_env=False, verify=False) as client:
        given: list[Any] = []
        async for event in _events(client, first.url, message, NEWEST_HANDSHAKE, None):
            given.append(event.message)
            if event.message is not None and event.message["params"]["message"] == whole(5):
                seen = event.id
                break
        await store.append(lease, numbered(5, 5))
        await store.finish(lease, DONE)
        rest = [each.message async for each in _events(client, second.url, message, NEWEST_HANDSHAKE, seen)]
    assert progress_of([each for each in [*given, *rest] if each is not None]).text == whole(10)
    assert rest[-1]["result"]["structuredContent"]["state"] == "completed"


async def test_a_stopping_server_tells_a_client_without_ids_to_call_again(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    message_id = (await server.submit())["message_id"]
    progress = Progress()
    async with sdk(server, STATELESS) as client:
        asked = {"message_id": message_id}
        waiting = asyncio.create_task(client.call_tool("wait_for_message", asked, progress_callback=progress))
        await until(lambda: progress.told, "it waits")
        server.runtime.streams.close()
        code, told = refusal(await waiting)
    assert (code, "wait_for_message" in told, message_id in told) == ("server_stopping", True, True)


async def test_a_stream_that_a_stopping_server_ends_has_no_response(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    message_id = (await server.submit())["message_id"]
    reading = asyncio.create_task(post(server, call("wait_for_message", {"message_id": message_id}), NEWEST_HANDSHAKE))
    await until(lambda: server.runtime.streams.readers_of(TENANT, message_id) == 1, "it waits")
    server.runtime.streams.close()
    events = events_of((await reading).body.decode())
    assert events[0] == Event(events[0].id, None)
    assert all(event.message is None or "result" not in event.message for event in events)


async def test_a_call_that_begins_again_after_a_retry_tells_it(serve: Serve, store: Store) -> None:
    server = await serve(store=store, worker_concurrency=0)
    lease = await start(store)
    await store.append(lease, numbered(0, 2))
    await store.finish(lease, FAILED)
    await requeue(store, lease.message_id)
    progress = Progress()
    async with sdk(server, STATELESS) as client:
        asked = {"message_id": lease.message_id, "timeout_seconds": 0.5}
        waited = found(await client.call_tool("wait_for_message", asked, progress_callback=progress))
    assert waited["state"] == "queued"
    assert any("its text does not count" in note for note in progress.notes)
    progress.check_growing()


# Cancels


async def processing(server: LiveServer) -> str:
    """The id of the only message, once it runs."""

    async def running() -> str | None:
        listed = (await server.client.get("/messages?state=processing")).json()["messages"]
        return listed[0]["message_id"] if listed else None

    return str(await until(running, "a message runs"))


@kinds
async def test_a_cancelled_run_of_an_agent_is_cancelled(
    serve: Serve, control: GraphControl, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """After a handshake by a notification, which any process takes. Without one by closing the connection."""
    monkeypatch.setattr(departures, "GRACE_SECONDS", 0.01)
    server = await serve(agents="steps=tests.graphs:steps")
    control.hold("first")
    async with sdk(server, kind) as client:
        calling = asyncio.create_task(client.call_tool("run_steps", {"message": "Hello"}))
        message_id = await processing(server)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        ended = await server.ended(message_id)
    assert ended["state"] == MessageState.CANCELLED


@kinds
async def test_a_cancelled_wait_leaves_its_message_alone(
    quiet: LiveServer, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(departures, "GRACE_SECONDS", 0.0)
    streams = quiet.runtime.streams
    async with sdk(quiet, kind) as client:
        asked = {"message": "Hello", "wait_seconds": 60}
        calling = asyncio.create_task(client.call_tool("submit_message", asked))
        await until(lambda: streams.open_by_kind()["stream"] == 1, "it waits")
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        if kind == STATELESS:
            await until(lambda: streams.open_by_kind()["stream"] == 0, "nobody waits")
        else:
            await client.list_tools()  # the cancel came before
    (message,) = (await quiet.client.get("/messages")).json()["messages"]
    assert message["state"] == MessageState.QUEUED


async def test_only_the_session_of_a_call_cancels_its_run(serve: Serve, control: GraphControl) -> None:
    server, other = await serve(agents="steps=tests.graphs:steps"), await serve(worker_concurrency=0)
    control.hold("first")
    message = call("run_steps", {"message": "Hello"}, 7)
    calling = asyncio.create_task(post(server, message, NEWEST_HANDSHAKE, Mcp_Session_Id="mine"))
    message_id = await processing(server)

    async def cancel(session: str, request_id: Any) -> None:
        cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": request_id}}
        assert (await post(other, cancelled, NEWEST_HANDSHAKE, Mcp_Session_Id=session)).status == 202

    for session, request_id in (("another", 7), ("mine", 8), ("mine", "7"), ("", 7)):
        await cancel(session, request_id)
    assert (await server.status(message_id))["cancel_requested"] is False
    await cancel("mine", 7)
    response = events_of((await calling).body.decode())[-1].message
    assert (response["result"]["isError"], response["result"]["structuredContent"]["state"]) == (True, "cancelled")
    refused = await post(server, message, NEWEST_HANDSHAKE, Mcp_Session_Id="mine")
    result = events_of(refused.body.decode())[-1].message["result"]
    assert (result["isError"], result["_meta"]["agentq/code"]) == (True, "alias_taken")


async def test_a_call_that_waits_is_kept_alive(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, keepalive_interval=1)
    reply = await post(server, call("submit_message", {"message": "Hi", "wait_seconds": 1.5}), OLDEST)
    assert streaming.KEEP_ALIVE in reply.body
    assert events_of(reply.body.decode())[-1].message["result"]["structuredContent"]["state"] == "queued"


async def test_calls_without_a_session_share_nothing(quiet: LiveServer) -> None:
    """Else the second call would be refused, and each client without a session could cancel what others run."""
    calling = [asyncio.create_task(post(quiet, call("run_chat", {"message": "Hi"}, 7), OLDEST)) for _ in range(2)]
    await until(lambda: quiet.runtime.streams.open_by_kind()["stream"] == 2, "both wait")
    cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
    assert (await post(quiet, cancel, OLDEST)).status == 202
    messages = (await quiet.client.get("/messages")).json()["messages"]
    assert [each["state"] for each in messages] == ["queued", "queued"]
    for each in calling:
        each.cancel()


async def test_only_clients_that_take_an_id_without_a_message_are_sent_one(quiet: LiveServer) -> None:
    asked = call("submit_message", {"message": "Hi", "wait_seconds": 0.01})
    without = {}
    for version in ("2025-06-18", NEWEST_HANDSHAKE):
        events = events_of((await post(quiet, asked, version)).body.decode())
        without[version] = [event.id for event in events if event.message is None]
    assert without["2025-06-18"] == []
    assert len(without[NEWEST_HANDSHAKE]) == 1


async def test_a_session_is_named_by_the_first_reply(quiet: LiveServer) -> None:
    params = {"protocolVersion": OLDEST, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    replies = [
        await post(quiet, {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}) for _ in range(2)
    ]
    assert [reply.json()["result"]["protocolVersion"] for reply in replies] == [OLDEST, OLDEST]
    assert len({reply.headers["mcp-session-id"] for reply in replies}) == 2
    async with sdk(quiet, HANDSHAKE) as client:
        assert client.server_info is not None
        assert client.server_info.name == "agent-queue-system"


@kinds
async def test_notes_tell_what_is_no_text_of_the_answer(quiet: LiveServer, kind: str) -> None:
    store = quiet.runtime.services.store
    lease = await start(store)
    pieces: list[tuple[ChunkType, object, dict[str, Any]]] = [
        ("reasoning", "Let me see.", {}),
        ("content", "I look ", {}),
        ("content", "it up.", {}),
        ("tool_call", {"id": "c", "name": "search", "args": {}}, {}),
        ("tool_result", {"id": "c", "name": "search", "content": "7", "status": "success"}, {}),
        ("discard", "I look it up.", {"kept": True, "discard_from": 3}),
        ("content", "Seven.", {}),
    ]
    await store.append(lease, [NewEvent.chunk(*piece[:2], index, **piece[2]) for index, piece in enumerate(pieces)])
    progress = Progress()
    async with sdk(quiet, kind) as client:
        asked = {"message_id": lease.message_id}
        waiting = asyncio.create_task(client.call_tool("wait_for_message", asked, progress_callback=progress))
        await until(lambda: progress.text.endswith("Seven."), "all is told")
        await store.finish(lease, DONE)
        assert found(await waiting)["state"] == "completed"
    assert progress.told == [
        (0.5, "Attempt 1 has begun."),
        (1.5, "Let me see."),
        (4.0, "I look it up."),
        (4.5, "The agent calls search."),
        (6.5, "The last text is not part of the answer."),
        (8.0, "Seven."),
    ]


@kinds
async def test_calls_that_wait_are_counted_as_streams(quiet: LiveServer, kind: str) -> None:
    recent = quiet.runtime.services.recent_streams
    async with sdk(quiet, kind) as client:
        submitted = found(await client.call_tool("submit_message", {"message": "Hello"}))
        assert list(recent.seconds_of(StreamEnd.WHOLE)) == []
        waited = {"message_id": submitted["message_id"], "timeout_seconds": 0.05}
        await client.call_tool("wait_for_message", waited)
        await until(lambda: len(recent.seconds_of(StreamEnd.WHOLE)) == 1, "it is counted")
        leaving = asyncio.create_task(
            client.call_tool("wait_for_message", {"message_id": submitted["message_id"]}, progress_callback=Progress())
        )
        await until(lambda: quiet.runtime.streams.open_by_kind()["stream"] == 1, "it waits")
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
    await until(lambda: len(recent.seconds_of(StreamEnd.LEFT)) == 1, "it is counted")
