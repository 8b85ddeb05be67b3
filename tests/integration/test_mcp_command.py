"""`agentq mcp`: a host's way to the tools of a server, by the SDK's own client and by hand."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.api import streaming
from app.cli import mcp_bridge
from app.cli.mcp_bridge import Bridge
from app.client.core.requests import config_of
from app.models.messages import MessageState
from app.protocols import departures
from tests import wire
from tests.contract.builders import DONE, TENANT, start
from tests.durable_streams_readers import CuttingProxy
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_keys import issue
from tests.integration.test_mcp_streams import CUTS, EVENTS_A_CUT, MOST_BYTES_A_CUT, numbered, processing, whole
from tests.mcp_clients import ENVELOPE, KINDS, STATELESS, Progress, call, found, refusal, stdio, text_of
from tests.servers import DEADLINE_SECONDS, ROOT, LiveServer, free_port, live_server, settings_for, until

kinds = pytest.mark.parametrize("kind", KINDS)


class Host:
    """A host of the bridge in this process: what it sends, and what it is told."""

    bridge: Bridge

    def __init__(self) -> None:
        self.lines: asyncio.Queue[str] = asyncio.Queue()
        self.told: list[dict[str, Any]] = []

    def send(self, message: Any) -> None:
        self.lines.put_nowait(message if isinstance(message, str) else json.dumps(message))

    async def sent(self) -> AsyncIterator[str]:
        while line := await self.lines.get():
            yield line

    async def told_often(self, times: int) -> None:
        """Wait until the host was told so many messages."""
        await until(lambda: len(self.told) == times, "all is told")

    async def answer(self, request_id: object) -> dict[str, Any]:
        """The answer to a request."""
        return dict(await until(lambda: next((each for each in self.told if _answers(each, request_id)), None), "told"))


def _answers(message: dict[str, Any], request_id: object) -> bool:
    return "method" not in message and message["id"] == request_id


@asynccontextmanager
async def hosted(url: str, key: str | None = None) -> AsyncIterator[Host]:
    """A host whose bridge leads to a server."""
    host = Host()
    async with Bridge(config_of(url, key, 5.0, 0, None), host.told.append) as bridge:
        host.bridge = bridge
        carrying = asyncio.create_task(bridge.carry(host.sent()))
        yield host
        host.send("")
        await carrying


def of_kind(kind: str, message: dict[str, Any]) -> dict[str, Any]:
    """A message in the form of the revisions of this kind."""
    params = message["params"]
    envelope = ENVELOPE if kind == STATELESS else {}
    return {**message, "params": {**params, "_meta": {**params.get("_meta", {}), **envelope}}}


@kinds
async def test_a_host_has_the_tools_of_the_server(server: LiveServer, kind: str) -> None:
    async with stdio(server.url, kind) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert {"run_chat", "submit_message", "queue_summary"} <= names
        progress = Progress()
        ran = await client.call_tool("run_chat", {"message": "Héllo\u2028"}, progress_callback=progress)
        assert text_of(ran) == "You said: Héllo\u2028"
        assert progress.text in ("", "You said: Héllo\u2028")
        message = await server.status(found(ran)["message_id"])
        assert message["result"] == text_of(ran)
        assert refusal(await client.call_tool("get_message", {"message_id": "x"}))[0] == "message_not_found"


@kinds
async def test_a_host_that_is_cut_off_at_any_byte_misses_nothing_and_is_told_nothing_twice(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A run of 1,000 events. Each cut waits for events, and each write of events waits for the cut before."""
    monkeypatch.setattr(streaming, "RETRY_MILLISECONDS", range(1, 3))
    server = await serve(worker_concurrency=0)
    store = server.runtime.services.store
    lease = await start(store)
    progress = Progress()
    async with (
        CuttingProxy(int(server.url.rpartition(":")[2]), 0, MOST_BYTES_A_CUT, seed=4) as proxy,
        stdio(f"http://127.0.0.1:{proxy.port}", kind) as client,
    ):
        asked = {"message_id": lease.message_id}
        calling = asyncio.create_task(client.call_tool("wait_for_message", asked, progress_callback=progress))
        await until(lambda: progress.told, "it has begun")
        proxy.begin(CUTS)
        for cut in range(CUTS):
            await store.append(lease, numbered(cut * EVENTS_A_CUT, EVENTS_A_CUT))
            await proxy.until_cut(cut + 1)
        await store.finish(lease, DONE)
        async with asyncio.timeout(wire.DEADLINE_SECONDS):
            assert found(await calling)["state"] == "completed"
    assert progress.text == whole(CUTS * EVENTS_A_CUT)
    progress.check_growing()


@kinds
async def test_a_host_cancels_a_run(
    serve: Serve, control: GraphControl, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(departures, "GRACE_SECONDS", 3600.0)  # a notification cancels, not the departure
    server = await serve(agents="steps=tests.graphs:steps")
    control.hold("first")
    async with stdio(server.url, kind) as client:
        calling = asyncio.create_task(client.call_tool("run_steps", {"message": "Hello"}))
        message_id = await processing(server)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        assert (await server.ended(message_id))["state"] == MessageState.CANCELLED


async def test_a_cancel_waits_until_the_call_has_begun(quiet: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancel that overtakes its call would find nothing to cancel."""
    queue = quiet.runtime.services.queue
    submit = queue.submit

    async with hosted(quiet.url) as host:

        async def submit_late(*arguments: Any, **options: Any) -> Any:
            await until(lambda: host.bridge._cancels, "the host cancels")
            await asyncio.wait(host.bridge._cancels, timeout=0.5)
            return await submit(*arguments, **options)

        monkeypatch.setattr(queue, "submit", submit_late)
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        host.send({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
        await host.answer(0)
        host.send(call("run_chat", {"message": "Hello"}, 5))
        host.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}})
        assert (await host.answer(5))["result"]["structuredContent"]["state"] == "cancelled"


@kinds
async def test_a_call_goes_on_at_a_server_that_was_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(streaming, "RETRY_MILLISECONDS", range(10, 20))
    monkeypatch.setattr(mcp_bridge, "PAUSE_SECONDS", 0.01)
    settings = settings_for(tmp_path, worker_concurrency=0)
    async with live_server(settings) as first:
        store = first.runtime.services.store
        lease = await start(store)
        port = int(first.url.rpartition(":")[2])
        async with CuttingProxy(port, 0, 1, seed=1) as proxy, hosted(f"http://127.0.0.1:{proxy.port}") as host:
            host.send(of_kind(kind, call("wait_for_message", {"message_id": lease.message_id}, 1)))
            await until(lambda: host.told, "it waits")
            async with live_server(settings) as second:
                first.runtime.streams.close()
                proxy._target = ("127.0.0.1", int(second.url.rpartition(":")[2]))
                proxy.cut()
                streams = second.runtime.streams
                await until(lambda: streams.readers_of(TENANT, lease.message_id) == 1, "it waits there")
                await second.runtime.services.store.cancel(TENANT, lease.message_id, running=True)
                await store.finish(lease, DONE)
                result = (await host.answer(1))["result"]
                assert result["structuredContent"]["state"] == "cancelled"
                assert result.get("resultType") == ("complete" if kind == STATELESS else None)


async def test_errors_say_what_to_do(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    await issue(server)
    nobody = f"http://127.0.0.1:{free_port()}"
    for url, key, told in (
        (nobody, None, "AGENTQ_URL"),
        (server.url, None, "X-API-Key"),
        (server.url, "aq_wrong", "API key"),
        (f"{server.url}/nowhere", "aq_wrong", ""),
    ):
        async with hosted(url, key) as host:
            host.send(call("queue_summary"))
            error = (await host.answer(1))["error"]
            assert told in error["message"], (url, key)
            host.send("{")
            host.send("[]")
            host.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
            host.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}})
            await host.told_often(3)
            assert [each["error"]["code"] for each in host.told[1:]] == [-32700, -32700]


@kinds
async def test_a_run_that_is_cut_off_goes_on_and_is_stored_once(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The message is stored once, whatever the revision, and its answer comes."""
    monkeypatch.setattr(mcp_bridge, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(streaming, "RETRY_MILLISECONDS", range(1, 3))
    monkeypatch.setattr(departures, "GRACE_SECONDS", 0.0)
    server = await serve(worker_concurrency=0)
    store = server.runtime.services.store
    port = int(server.url.rpartition(":")[2])
    async with CuttingProxy(port, 0, 1, seed=1) as proxy, hosted(f"http://127.0.0.1:{proxy.port}") as host:
        host.send(of_kind(kind, call("run_chat", {"message": "Hi"}, 1)))
        await until(lambda: host.told, "it waits")
        proxy._target = ("127.0.0.1", free_port())
        proxy.cut()
        await until(lambda: server.runtime.streams.open_by_kind()["stream"] == 0, "it is cut off")
        proxy._target = ("127.0.0.1", port)
        (listed,) = (await server.client.get("/messages")).json()["messages"]
        assert listed["state"] == "queued"
        await store.cancel(TENANT, listed["message_id"])
        answer = (await host.answer(1))["result"]
    assert answer["structuredContent"]["message_id"] == listed["message_id"]
    assert len((await server.client.get("/messages")).json()["messages"]) == 1


async def test_a_call_that_may_have_been_carried_out_says_so(
    quiet: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = quiet.runtime.services.queue
    submit, port = queue.submit, int(quiet.url.rpartition(":")[2])
    async with CuttingProxy(port, 0, 1, seed=1) as proxy, hosted(f"http://127.0.0.1:{proxy.port}") as host:

        async def submit_and_cut(*arguments: Any, **options: Any) -> Any:
            accepted = await submit(*arguments, **options)
            proxy.cut()
            return accepted

        monkeypatch.setattr(queue, "submit", submit_and_cut)
        host.send(call("submit_message", {"message": "Hi"}, 1))
        assert "list_messages before you call again" in (await host.answer(1))["error"]["message"]


async def test_a_call_that_begins_and_is_lost_says_where_to_find_it(
    quiet: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp_bridge, "GIVE_UP_SECONDS", 0.0)
    monkeypatch.setattr(streaming, "RETRY_MILLISECONDS", range(1, 3))
    message_id = (await quiet.submit())["message_id"]
    port = int(quiet.url.rpartition(":")[2])
    async with CuttingProxy(port, 0, 1, seed=1) as proxy, hosted(f"http://127.0.0.1:{proxy.port}") as host:
        host.send(call("wait_for_message", {"message_id": message_id}))
        await until(lambda: host.told, "it waits")
        proxy._target = ("127.0.0.1", free_port())
        proxy.cut()
        assert "wait_for_message" in (await host.answer(1))["error"]["message"]


async def test_the_command_ends_with_its_input(quiet: LiveServer, tmp_path: Path) -> None:
    """It answers what it was asked, and writes nothing else."""
    key = await issue(quiet)
    file = tmp_path / "key"
    file.write_text(key.text)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", "mcp", "--url", quiet.url, "--api-key-file", str(file)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    asked = f"{json.dumps(call('queue_summary'))}\n\n"
    async with asyncio.timeout(DEADLINE_SECONDS):
        output, errors = await process.communicate(asked.encode())
    (answer,) = output.decode().splitlines()
    assert json.loads(answer)["result"]["structuredContent"] == {"total_queued": 0, "total_processing": 0}
    assert (process.returncode, errors) == (0, b"")
