"""Nothing that a stranger sends, or does not send, costs more than a bounded amount of memory, time or connections."""

import asyncio
import contextlib
import json
import resource
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.api import connections, request_heads
from app.api import uvicorn_http_protocol as http_protocol
from app.api.connections import Wait, connection_limit
from tests import raw, wire
from tests.integration.conftest import Serve
from tests.integration.test_api import check_problem
from tests.servers import LiveServer, server_process, until

MIB = 1024 * 1024
SUBMIT = b"POST /messages HTTP/1.1\r\n" + raw.HOST + raw.JSON
CHUNKED = SUBMIT + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SWEEP_SECONDS", 0.02)


def hurry(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    """Give less time for what is waited for. Only servers that start afterwards do."""
    for name, value in seconds.items():
        monkeypatch.setitem(connections.SECONDS, Wait[name], value)


def open_connections(server: LiveServer) -> int:
    return len(server.uvicorn.server_state.connections)


# Sizes

ENDLESS = {
    "one header": (raw.get("/queue")[:-2] + b"X-A: ", b"a" * 65536, 431),
    "headers": (raw.get("/queue")[:-2], b"X-A: a\r\n" * 8000, 431),
    "small headers": (raw.get("/queue")[:-2], b"X-A: a\r\n", 431),
    "a header's name": (raw.get("/queue")[:-2], b"X" * 65536, 431),
    "the path": (b"GET /", b"a" * 65536, 414),
    "the query": (b"GET /queue?", b"a" * 65536, 414),
    "a chunk's extension": (CHUNKED + b"1;", b"a" * 65536, 431),
    "trailers": (CHUNKED + b"0\r\n", b"X-A: a\r\n" * 8000, 431),
    "one trailer": (CHUNKED + b"0\r\nX-A: ", b"a" * 65536, 431),
}


@pytest.mark.parametrize("what", ENDLESS)
async def test_what_has_no_end_is_refused_and_the_answer_arrives(quiet: LiveServer, what: str) -> None:
    first, piece, status = ENDLESS[what]
    async with raw.connected(quiet.url) as stranger:
        await stranger.send(first)
        sent = await stranger.flood(piece, 64 * MIB)
        assert sent < 4 * MIB
        code = {431: "headers_too_large", 414: "url_too_long"}[status]
        response = await stranger.response()
        check_problem(response, status, code)
        assert response.headers["connection"] == "close"
        stranger.writer.write_eof()
        assert await stranger.rest() == b""
    await until(lambda: open_connections(quiet) == 0, "the connection is closed")


async def test_what_fits_is_taken(quiet: LiveServer) -> None:
    many = [b"X-%d: a" % number for number in range(request_heads.MAX_HEADERS - 1)]
    one = b"X-A: " + b"a" * (request_heads.MAX_HEAD_BYTES - 100)
    path = "/queue?" + "a" * (request_heads.MAX_TARGET_BYTES - len("/queue?"))
    for request, status in ((raw.get("/queue", *many), 200), (raw.get("/queue", one), 200), (raw.get(path), 422)):
        async with raw.connected(quiet.url) as client:
            await client.send(request[:50], request[50:])
            response = await client.response()
            assert response.status == status
            assert len(response.body) < 1_000, "of a name that nobody knows the beginning is told"
    for request in (raw.get("/queue", *many, b"X: a"), raw.get("/queue", one + b"a" * 100), raw.get(path + "a")):
        async with raw.connected(quiet.url) as client:
            await client.send(request)
            assert (await client.response()).status in (431, 414)


async def test_many_requests_at_once_are_answered_up_to_a_number(quiet: LiveServer) -> None:
    number = http_protocol.MAX_PIPELINED + 1
    async with raw.connected(quiet.url) as client:
        await client.send(raw.get("/health/live") * number)
        assert [(await client.response()).status for _ in range(number)] == [200] * number
        await client.send(raw.get("/health/live") * (number + 50))
        statuses = [(await client.response()).status for _ in range(number + 1)]
        assert statuses == [200] * number + [429]
        assert await client.rest() == b""


async def test_a_body_that_nobody_takes_is_not_held(quiet: LiveServer) -> None:
    """A refused request may go on sending for a while, so that its client reads the answer."""
    async with raw.connected(quiet.url) as stranger:
        await stranger.send(SUBMIT + b"Via: 1.1 proxy\r\nTransfer-Encoding: chunked\r\n\r\n3B9ACA00\r\n")
        assert (await stranger.response()).status == 401
        await stranger.send(*[b"a" * 65536] * 40)
        assert await stranger.rest() == b""  # our half is closed, the client's bytes are still taken
        await stranger.send(b"a")


async def test_what_comes_after_the_answer_is_bounded(quiet: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "MAX_LINGERED_BYTES", 4 * MIB)
    async with raw.connected(quiet.url) as stranger:
        await stranger.send(b"nonsense\r\n\r\n", *[b"a" * 65536] * 1000)
        await until(lambda: open_connections(quiet) == 0, "the connection is dropped")


async def test_a_client_that_sends_first_reads_its_answer(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, max_body_bytes=2000)
    for request in (
        SUBMIT + b"Content-Length: 3000000\r\n\r\n" + b"a" * 3_000_000,
        CHUNKED + b"".join(b"10000\r\n" + b"a" * 0x10000 + b"\r\n" for _ in range(40)) + b"0\r\n\r\n",
    ):
        async with raw.connected(server.url) as client:
            await client.send(request)
            check_problem(await client.response(), 413, "body_too_large")


# Times


async def test_who_says_nothing_is_sent_away(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch, FIRST_BYTE=0.2)
    server = await serve(worker_concurrency=0)
    async with raw.connected(server.url) as silent, raw.connected(server.url) as blank:
        await blank.send(b"\r\n" * 10)
        assert await silent.closed()
        assert await blank.closed()


async def test_half_a_head_is_closed_however_slowly_it_comes(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch, HEAD=0.3)
    server = await serve(worker_concurrency=0)
    async with raw.connected(server.url) as half, raw.connected(server.url) as slow:
        await half.send(b"POST /messages HTTP/1.1\r\nX-A")
        await slow.send(b"GET /queue HTTP/1.1\r\n")

        async def trickle() -> None:
            while True:
                await slow.send(b"X-A: a\r\n")
                await asyncio.sleep(0.01)

        trickling = asyncio.create_task(trickle())
        assert await half.closed()
        assert await slow.closed()
        trickling.cancel()


async def test_a_body_that_trickles_is_answered_408(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch, BODY=0.3)
    server = await serve(worker_concurrency=0)
    for target in (b"POST /messages", b"PATCH /messages/x"):
        async with raw.connected(server.url) as slow:
            await slow.send(target + b" HTTP/1.1\r\n" + raw.HOST + raw.JSON + b"Content-Length: 1000\r\n\r\n")
            trickling = asyncio.create_task(trickle(slow, b" ", 0.01))
            response = await slow.response()
            check_problem(response, 408, "request_timeout")
            assert response.headers["connection"] == "close"
            trickling.cancel()
    await until(lambda: not server.uvicorn.server_state.tasks, "nothing waits for the body any more")


async def trickle(client: raw.Socket, piece: bytes, pause: float) -> None:
    while True:
        await client.send(piece)
        await asyncio.sleep(pause)


async def test_a_body_that_is_slow_but_moves_is_taken(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch, BODY=0.2)
    monkeypatch.setattr(http_protocol, "MIN_BODY_BYTES_PER_SECOND", 10_000)
    server = await serve(worker_concurrency=0)
    body = json.dumps({"message": "a" * 40_000}).encode()
    async with raw.connected(server.url) as slow:
        await slow.send(SUBMIT + b"Content-Length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 1000):
            await slow.send(body[at : at + 1000])
            await asyncio.sleep(0.02)
        assert (await slow.response()).status == 202


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch, FIRST_BYTE=0.2, HEAD=0.2, BODY=0.2)
    server = await serve(worker_concurrency=0)
    server.uvicorn.config.timeout_keep_alive = 0.2  # type: ignore[assignment]  # uvicorn counts in whole seconds
    async with raw.connected(server.url) as client:
        await client.send(raw.post("/messages", {"message": "x"}, b"Prefer: wait=1"))
        await client.send(raw.get("/health/live")[:20])  # the next one, which is not late while the first is answered
        assert (await client.response()).status == 202
        await client.send(raw.get("/health/live")[20:])
        assert (await client.response()).status == 200
        assert await client.closed()


async def test_a_reply_that_nobody_reads_is_not_kept(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch, READER=0.3)
    server = await serve(worker_concurrency=0)
    for _ in range(8):
        await server.submit("a" * 900_000, thread_id="t")
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.settimeout(0)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(reader, ("127.0.0.1", int(server.url.rpartition(":")[2])))
        await loop.sock_sendall(reader, raw.get("/threads/t/messages") * 2)
        largest = 0

        def watch() -> bool:
            nonlocal largest
            sizes = [c.transport.get_write_buffer_size() for c in server.uvicorn.server_state.connections]
            largest = max([largest, *sizes])
            return largest > MIB and len(sizes) <= 1

        await until(watch, "the reader has the server wait, then its connection is gone")
        assert largest < 16 * MIB


# How many


@pytest.fixture
async def few(serve: Serve) -> LiveServer:
    """A server that takes eight connections. Its own client is not connected."""
    return await serve(worker_concurrency=0, max_connections=8)


@contextlib.asynccontextmanager
async def streams(server: LiveServer, number: int) -> AsyncIterator[None]:
    """Hold this number of connections in use."""
    message_id = (
        await wire.request(
            server.url, "POST", "/messages", headers={"Content-Type": "application/json"}, body=b'{"message": "x"}'
        )
    ).json()["message_id"]
    async with contextlib.AsyncExitStack() as opened:
        for _ in range(number):
            stream = await opened.enter_async_context(wire.stream(server.url, message_id))
            assert stream.status == 200
        yield


async def test_the_newest_is_refused_when_all_connections_are_in_use(
    few: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with streams(few, 8):
        for _ in range(20):
            async with raw.connected(few.url) as late:
                await late.send(raw.post("/messages", {"message": "x"}))
                response = await late.response()
                check_problem(response, 503, "too_many_connections")
                assert response.headers["retry-after"] == "1"
                assert response.headers["connection"] == "close"
        assert (await wire.request(few.url, "GET", "/health/live")).status == 200  # full is not broken
        async with raw.connected(few.url) as late:
            await late.send(b"GET /ws HTTP/1.1\r\n" + raw.HOST + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n")
            check_problem(await late.response(), 503, "too_many_connections")
    await until(lambda: open_connections(few) == 0, "the connections are closed")
    assert (await wire.request(few.url, "GET", "/queue")).status == 200
    (warning,) = [record for record in caplog.records if "connections are in use" in record.getMessage()]
    assert "refused=" in warning.getMessage()


async def test_silent_connections_give_way(few: LiveServer) -> None:
    async with contextlib.AsyncExitStack() as opened:
        silent = [await opened.enter_async_context(raw.connected(few.url)) for _ in range(50)]
        for _ in range(20):
            async with raw.connected(few.url) as client:
                await client.send(raw.get("/queue"))
                assert (await client.response()).status == 200
        assert await silent[0].closed()
        await until(lambda: open_connections(few) <= 8, "no more are open than may be")


async def test_half_requests_give_way_after_a_moment(few: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_AGE_SECONDS", 0.1)
    async with contextlib.AsyncExitStack() as opened:
        for number in range(8):
            client = await opened.enter_async_context(raw.connected(few.url))
            await client.send(raw.get("/health/live") + (b"" if number % 2 else b"GET / HTTP/1.1\r\nX"))

        async def served() -> bool:
            async with raw.connected(few.url) as client:
                await client.send(raw.get("/queue"))
                return (await client.response()).status == 200

        await until(served, "a new connection is served")


async def test_those_that_are_refused_are_bounded_too(few: LiveServer) -> None:
    async with streams(few, 8), contextlib.AsyncExitStack() as opened:
        silent = [await opened.enter_async_context(raw.connected(few.url)) for _ in range(50)]
        assert await silent[0].closed()
        await until(
            lambda: open_connections(few) <= 8 + connections.SURPLUS_CONNECTIONS, "the oldest of them are dropped"
        )


def test_the_limit_follows_the_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft, wanted, limit in (
        (64, 20_000, 24),
        (256, 20_000, 216),
        (1024, 20_000, 896),
        (1024, 100, 100),
        (10, 20_000, 8),
        (10, 5, 5),
        (10**6, 20_000, 20_000),
        (resource.RLIM_INFINITY, 20_000, 20_000),
    ):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert connection_limit(wanted) == limit


async def test_strangers_do_not_use_up_the_descriptors(tmp_path: Path) -> None:
    """A host with `ulimit -n 64` has silent sockets, half requests, and one honest client."""
    with server_process(tmp_path, "tests.limited_descriptors", WORKER_CONCURRENCY="0") as process:
        await process.ready("/health/live")
        async with contextlib.AsyncExitStack() as opened:
            for number in range(80):
                stranger = await opened.enter_async_context(raw.connected(process.url))
                await stranger.send(b"" if number % 2 else b"GET / HTTP/1.1\r\nX")

            async def alive() -> bool:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    return (await wire.request(process.url, "GET", "/health/live")).status == 200
                return False

            await until(alive, "this host is served")
        before = len(process.output)
        body = {"headers": {"Content-Type": "application/json"}, "body": b'{"message": "x"}'}

        async def stored() -> bool:
            return (await wire.request(process.url, "POST", "/messages", **body)).status == 202  # type: ignore[arg-type]  # mixed values

        await until(stored, "messages are taken again")
        assert len(process.output) - before < 2000
        assert "Traceback" not in process.output
