"""A reader that takes nothing costs little, disturbs nobody and is sent away."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator

import pytest

from app.events.fanout import StoredEvents
from app.models.events import EventType
from app.models.messages import DEFAULT_TENANT
from app.observability.recent_streams import StreamEnd
from tests import wire
from tests.graph_control import GraphControl
from tests.graphs import FLOOD_CHUNK, FLOOD_CHUNKS
from tests.integration.conftest import Serve
from tests.servers import LiveServer, until

MIB = 1024 * 1024
ANSWER_BYTES = len(FLOOD_CHUNK) * FLOOD_CHUNKS
SEND_TIMEOUT = 0.7


@pytest.fixture
async def flooding(serve: Serve, control: GraphControl) -> AsyncIterator[tuple[LiveServer, str]]:
    """A server that runs a message whose answer of 4 MB is under way, its end held back."""
    server = await serve(agents="flood=tests.graphs:flood,steps=tests.graphs:steps", worker_concurrency=2)
    control.hold("flood")
    message_id = (await server.submit())["message_id"]
    yield server, message_id
    if control.held("flood"):
        control.release("flood")
    await server.ended(message_id)


@contextlib.asynccontextmanager
async def sleeping_reader(server: LiveServer, message_id: str) -> AsyncIterator[socket.socket]:
    """Asks for the stream and never reads; its kernel takes little on its behalf."""
    loop = asyncio.get_running_loop()
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.settimeout(0)
        await loop.sock_connect(reader, ("127.0.0.1", int(server.url.rpartition(":")[2])))
        host = server.url.removeprefix("http://")
        await loop.sock_sendall(reader, f"GET /messages/{message_id}/stream HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        yield reader


def buffered(server: LiveServer) -> int:
    """Return the unsent bytes that the server holds for the connection with the most of them."""
    return max(c.transport.get_write_buffer_size() for c in server.uvicorn.server_state.connections)


async def test_others_are_not_disturbed(flooding: tuple[LiveServer, str], control: GraphControl) -> None:
    server, message_id = flooding
    async with sleeping_reader(server, message_id), wire.stream(server.url, message_id) as awake:
        received = 0
        while received < ANSWER_BYTES:
            received += len((await awake.until("chunk")).data["chunk"])
        await until(lambda: buffered(server) > 0, "the sleeping reader has the server wait")
        other = await server.submit("Am I disturbed?", agent="steps")
        frames = await wire.frames_of(server.url, other["message_id"])
        assert frames[-1].data["result"] == "Heard: Am I disturbed?"
        control.release("flood")
        assert (await awake.rest())[-1].event == "done"
        wire.check_log(awake.frames)


async def test_a_reader_that_sleeps_costs_little_memory(
    flooding: tuple[LiveServer, str], control: GraphControl
) -> None:
    server, message_id = flooding
    control.release("flood")
    await server.ended(message_id)
    async with sleeping_reader(server, message_id):
        await until(lambda: buffered(server) > 0, "the sleeping reader has the server wait")
        assert buffered(server) < MIB


async def test_what_is_read_for_a_reader_is_bounded(flooding: tuple[LiveServer, str], control: GraphControl) -> None:
    server, message_id = flooding
    control.release("flood")
    await server.ended(message_id)
    read = 0
    async for news in server.runtime.streams.tail(DEFAULT_TENANT, message_id, after=0, idle_seconds=1):
        assert isinstance(news, StoredEvents)
        chunks = sum(len(event.data) for event in news.events if event.type is EventType.CHUNK)
        assert chunks <= 2 * MIB
        read += chunks
    assert read > ANSWER_BYTES


async def test_a_reader_that_sleeps_is_sent_away(
    flooding: tuple[LiveServer, str],
    control: GraphControl,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("app.api.streaming.SEND_TIMEOUT_SECONDS", SEND_TIMEOUT)
    server, message_id = flooding
    control.release("flood")
    await server.ended(message_id)
    before = set(server.uvicorn.server_state.connections)
    async with sleeping_reader(server, message_id):
        await until(lambda: server.uvicorn.server_state.connections - before, "the reader is connected")
        await until(lambda: not server.runtime.streams._logs, "the stream has ended", 10 * SEND_TIMEOUT)
        await until(
            lambda: not (server.uvicorn.server_state.connections - before),
            "the connection is closed and its buffer free, though the reader never reads",
            10 * SEND_TIMEOUT,
        )
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        f"A reader of a stream read nothing for {SEND_TIMEOUT:g} s and was disconnected"
    ]
    assert len(server.runtime.services.recent_streams.seconds_of(StreamEnd.SLOW)) == 1


async def test_a_slow_reader_that_goes_on_reading_gets_everything(
    flooding: tuple[LiveServer, str], control: GraphControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.streaming.SEND_TIMEOUT_SECONDS", SEND_TIMEOUT)
    server, message_id = flooding
    control.release("flood")
    await server.ended(message_id)
    loop = asyncio.get_running_loop()
    async with sleeping_reader(server, message_id) as reader:
        began, received, end = loop.time(), 0, b""
        while piece := await loop.sock_recv(reader, MIB // 4):
            received, end = received + len(piece), (end + piece)[-100:]
            if end.endswith(b"0\r\n\r\n"):
                break
            if loop.time() - began < 3 * SEND_TIMEOUT:
                await asyncio.sleep(SEND_TIMEOUT / 10)  # slow, and never idle for as long as the timeout
    assert received > ANSWER_BYTES
    assert end.endswith(b"0\r\n\r\n"), "the stream was cut off, though the reader went on reading"


async def test_no_event_is_too_large_for_common_clients(
    flooding: tuple[LiveServer, str], control: GraphControl
) -> None:
    server, message_id = flooding
    control.release("flood")
    await server.ended(message_id)
    frames = await wire.frames_of(server.url, message_id)
    assert max(len(frame.raw) for frame in frames if frame.event == "chunk") <= MIB // 4
    wire.check_log(frames)
