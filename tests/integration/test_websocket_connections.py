"""A WebSocket is opened by admitted callers, and its connection ends in known ways."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app.config import Settings
from app.main import create_app, server_config
from tests import wire
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.openai_stub import Gate, StubServer
from tests.servers import LiveServer, server_process, until
from tests.talk import Talk, finished, stream_of, talk

# Who may connect


async def refusal(server: LiveServer, **headers: str) -> tuple[int, Any]:
    """Status and body of a handshake that is refused."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with pytest.raises(InvalidStatus) as refused:
        async with talk(server.url, additional_headers=named):
            pass
    response = refused.value.response
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.body is not None
    return response.status_code, json.loads(response.body)


async def test_what_a_proxy_passes_on_is_refused(quiet: LiveServer) -> None:
    status, problem = await refusal(quiet, X_Forwarded_For="203.0.113.9")
    assert (status, problem["code"]) == (401, "authentication_required")
    response = await quiet.client.get("/queue", headers={"X-Forwarded-For": "203.0.113.9"})
    assert problem == response.json()


FOREIGN = [
    "https://evil.example",
    "http://localhost.evil.example",
    "http://127.0.0.1.evil.example:8000",
    "http://evil.example/localhost",
    "http://localhost@evil.example",
    "null",
    "file://",
    "",
    "localhost",
    "http://[::1",
    "chrome-extension://abcdefgh",
]


@pytest.mark.parametrize("origin", FOREIGN)
async def test_pages_of_other_sites_are_refused(quiet: LiveServer, origin: str) -> None:
    status, problem = await refusal(quiet, Origin=origin)
    assert (status, problem["code"]) == (403, "foreign_origin")


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:5173", "http://LOCALHOST."]
)
async def test_pages_of_this_host_may_connect(quiet: LiveServer, origin: str) -> None:
    async with talk(quiet.url, origin=origin) as client:
        assert (await client.ask("ping"))["type"] == "pong"


async def test_for_all_is_not_for_pages_of_other_sites(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, allow_anonymous=True)
    host = server.url.replace("http://127.0.0.1", "queue.example")
    for origin, allowed in (("https://queue.example", True), ("http://localhost", False), ("https://a.example", False)):
        status = await handshake(server, f"Host: {host}", f"Origin: {origin}")
        assert status == (101 if allowed else 403)


async def handshake(server: LiveServer, *lines: str) -> int:
    """The status of a handshake with these headers and no `Host` but theirs."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.write(head(*lines))
    status = int((await reader.readline()).split()[1])
    writer.transport.abort()
    return status


def head(*lines: str) -> bytes:
    fixed = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    return "\r\n".join(("GET /ws HTTP/1.1", *lines, *fixed, key, "", "")).encode()


async def test_other_paths_and_plain_requests_are_refused(quiet: LiveServer) -> None:
    plain = (await quiet.client.get("/nothing")).json()
    for path in ("/threads/x", "/nothing", "/queue", "/messages", "/ws/", "/ws%0A"):
        with pytest.raises(InvalidStatus) as refused:
            async with connect(f"{quiet.url.replace('http', 'ws')}{path}"):
                pass
        response = refused.value.response
        assert (response.status_code, response.headers["Content-Type"]) == (404, "application/problem+json"), path
        assert response.body is not None
        assert json.loads(response.body) == plain
    assert (await quiet.client.get("/ws")).status_code == 404


# The end of a connection


async def test_binary_frames_close_it(quiet: LiveServer) -> None:
    async with talk(quiet.url) as client:
        await client.send("submit", request_id="before", message="x", subscribe=False)
        await client.connection.send(b'{"type": "ping"}')
        assert await client.closed() == 1003
        assert [frame["type"] for frame in client.frames] == ["accepted"]


async def test_a_frame_may_be_as_large_as_a_body(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, max_body_bytes=2000)
    fits = json.dumps({"type": "submit", "subscribe": False, "message": "é" * 700}, ensure_ascii=False)
    fits += " " * (2000 - len(fits.encode()))
    async with talk(server.url) as client:
        await client.connection.send(fits)
        assert (await client.next())["type"] == "accepted"
        await client.connection.send(fits + " ")
        assert await client.closed() == 1009
    async with talk(server.url) as client:
        await client.connection.send([fits[:1000], fits[1000:], " "])
        assert await client.closed() == 1009


async def test_what_is_no_text_closes_it(quiet: LiveServer) -> None:
    async with talk(quiet.url) as client:
        await client.connection.send(b"\xff\xfe", text=True)
        assert await client.closed() == 1007


@pytest.fixture
async def flooded(serve: Serve, control: GraphControl) -> tuple[LiveServer, str]:
    """A server with a message whose answer has 4 MB."""
    server = await serve(agents="flood=tests.graphs:flood")
    return server, await finished(server)


def small_window() -> socket.socket:
    """A socket whose kernel takes little on a sleeping reader's behalf."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.settimeout(0)
    return reader


@pytest.fixture
async def sleeper(flooded: tuple[LiveServer, str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Talk]:
    """A client that has asked for more than it reads."""
    monkeypatch.setattr("app.api.streaming.SEND_TIMEOUT_SECONDS", 0.5)
    server, message_id = flooded
    with small_window() as reader:
        await asyncio.get_running_loop().sock_connect(reader, ("127.0.0.1", int(server.url.rpartition(":")[2])))
        async with talk(server.url, sock=reader, max_queue=1, ping_interval=None, close_timeout=0.1) as client:
            await client.send("subscribe", message_id=message_id)
            await until(lambda: buffered(server) > 0, "the sleeping reader has the server wait")
            yield client


def buffered(server: LiveServer) -> int:
    """Return the unsent bytes that the server holds for the connection with the most of them."""
    return max(c.transport.get_write_buffer_size() for c in server.uvicorn.server_state.connections)


async def test_a_client_that_sleeps_costs_little_and_is_sent_away(
    flooded: tuple[LiveServer, str], sleeper: Talk
) -> None:
    server, message_id = flooded
    assert buffered(server) < 2**20
    await until(lambda: not server.runtime.streams._logs, "the subscription has ended")
    assert await sleeper.closed() == 1013  # it reads on after all
    seen = sleeper.stored(message_id)
    async with talk(server.url) as client:
        await client.ask("subscribe", message_id=message_id, after=len(seen))
        await client.until("ended")
        assert seen + client.stored(message_id) == await stream_of(server, message_id)


async def test_a_client_that_never_reads_again_is_dropped(
    flooded: tuple[LiveServer, str], sleeper: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.uvicorn_protocol.CLOSE_SECONDS", 0.2)
    server, _ = flooded
    connections = server.uvicorn.server_state.connections
    await until(
        lambda: all(c.transport.get_write_buffer_size() == 0 for c in connections),
        "the connection is closed and its buffer free, though the client never reads",
    )


async def test_a_client_that_sleeps_disturbs_nobody(flooded: tuple[LiveServer, str], sleeper: Talk) -> None:
    server, message_id = flooded
    async with talk(server.url) as client:
        await client.ask("subscribe", message_id=message_id)
        await client.until("ended")
        assert client.stored(message_id) == await stream_of(server, message_id)


@pytest.mark.parametrize("sent", [b"", b"\x81\xfe\x00"], ids=["silence", "half a frame"])
async def test_a_client_that_answers_no_ping_is_closed(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr("app.main.PING_SECONDS", 0.1)
    server = await serve(worker_concurrency=0)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.write(head("Host: localhost"))
    await reader.readuntil(b"\r\n\r\n")
    writer.write(sent)
    async with asyncio.timeout(wire.DEADLINE_SECONDS):
        received = await reader.read()
    assert received.startswith(b"\x89\x04")  # a ping
    assert b"\x03\xf3keepalive" in received  # 1011
    await until(lambda: len(server.uvicorn.server_state.tasks) == 0, "the server's task for the client ends")
    writer.close()


def test_the_server_pings_and_does_not_compress(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, database_url=f"sqlite:///{tmp_path / 'queue.db'}")
    config = server_config(create_app(settings))
    assert (config.ws_ping_interval, config.ws_ping_timeout) == (20, 20)
    assert not config.ws_per_message_deflate
    assert config.ws_max_size == settings.max_body_bytes


async def test_a_server_that_stops_sends_its_readers_elsewhere(server: LiveServer, model: StubServer) -> None:
    gate = Gate("one two three")
    model.replies.append(gate)
    async with talk(server.url) as client:
        await client.submit()
        await client.until("event", event="processing")
        server.runtime.begin_stop()
        assert await client.closed() == 1012
        assert not any(frame["type"] == "ended" for frame in client.frames)
    gate.release_all()


async def test_what_was_taken_is_answered_before_the_server_stops(quiet: LiveServer, tmp_path: Path) -> None:
    async with talk(quiet.url) as client:
        database = apsw.Connection(str(tmp_path / "queue.db"))
        database.set_busy_timeout(5_000)  # the server's own duties write as well
        database.execute("BEGIN IMMEDIATE")  # the store waits
        for number in ("1", "2"):
            await client.send("submit", request_id=number, message="x")
        await client.ask("ping")
        quiet.runtime.begin_stop()
        for connection in quiet.uvicorn.server_state.connections:
            connection.shutdown()
        database.execute("ROLLBACK")
        database.close()
        assert await client.closed() == 1012
        answers = [frame["request_id"] for frame in client.frames if frame["type"] == "accepted"]
        assert answers == ["1", "2"]


API_ONLY = {"WORKER_CONCURRENCY": "0", "LANGGRAPH_CONFIG": "", "MAX_BODY_BYTES": "2000"}


@pytest.mark.parametrize("module", ["app.main", "uvicorn"])
async def test_a_process_that_is_terminated_closes_its_connections(tmp_path: Path, module: str) -> None:
    arguments = ("app.main:app", "--port", "{port}") if module == "uvicorn" else ()
    with server_process(tmp_path, module, arguments=arguments, **API_ONLY) as process:
        await process.ready()
        async with talk(process.url) as idle, talk(process.url) as reading, talk(process.url) as loud:
            await idle.ask("ping")
            await reading.submit()
            await loud.connection.send(json.dumps({"type": "ping"}) + " " * 2000)
            assert await loud.closed() == 1009
            stopping = asyncio.create_task(asyncio.to_thread(process.terminate))
            assert await idle.closed() == 1012
            assert await reading.closed() == 1012
        await stopping
        assert "Traceback" not in process.output
