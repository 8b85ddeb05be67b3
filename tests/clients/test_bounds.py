"""Bounds of the Python client: of a line, of a reply's size and time, and of a silent stream."""

import asyncio
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from agentq_client import AgentQ, AsyncAgentQ, async_reading, errors, reading, transport
from agentq_client.core import sse
from agentq_client.core.deadline import Deadline
from agentq_client.core.following import Following
from agentq_client.core.reconnecting import BrokenStream
from agentq_client.events import Done

from tests.clients.scripted_server import MESSAGE_ID, answering, scripted_server, transcript
from tests.servers import DEADLINE_SECONDS, until


def test_a_line_without_an_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1_000)
    state = Following("m")
    state.opened(200, {"content-type": "text/event-stream"})
    with pytest.raises(BrokenStream, match="1000 bytes"):
        list(map(state.receive, 11 * [100 * b"x"]))


@pytest.mark.parametrize("line", [b"data: " + 100 * b"x" + b"\n", b"data\n"], ids=["long", "empty"])
def test_an_event_without_an_end_is_not_kept(monkeypatch: pytest.MonkeyPatch, line: bytes) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1_000)
    state = Following("m")
    state.opened(200, {"content-type": "text/event-stream"})
    with pytest.raises(BrokenStream, match="1000 bytes"):
        list(map(state.receive, 1_001 * [line]))


def client_of(*pieces: bytes, endless: bool = False) -> AgentQ:
    def body() -> Iterator[bytes]:
        yield from itertools.cycle(pieces) if endless else pieces

    answer = httpx.MockTransport(lambda _: httpx.Response(200, content=body()))
    return AgentQ("http://queue.test", http_client=httpx.Client(transport=answer), timeout=0.2, max_retries=0)


def test_a_reply_without_an_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_REPLY_BYTES", 1_000)
    with pytest.raises(errors.UnexpectedReply, match="1000 bytes"):
        client_of(*(11 * [100 * b"x"])).server.health()


def test_a_reply_that_trickles_ends_with_the_time_of_a_try() -> None:
    with pytest.raises(errors.ServerUnreachable, match=r"0\.2 seconds"):
        client_of(b" ", endless=True).server.health()


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_silent_connection_is_given_up(monkeypatch: pytest.MonkeyPatch, *, is_async: bool) -> None:
    for module in (reading, async_reading):
        monkeypatch.setattr(module, "SILENCE_SECONDS", 0.05)
    played = transcript("cut_between_events")
    played["connections"][0]["end"] = "hold"
    pauses: list[float] = []

    def read(url: str) -> list[int | None]:
        with AgentQ(url) as client, client.follow(MESSAGE_ID) as stream:
            stream.on_pause = pauses.append
            return [event.id for event in stream]

    async with asyncio.timeout(DEADLINE_SECONDS), scripted_server(played) as server:
        if is_async:
            async with AsyncAgentQ(server.url) as client, client.follow(MESSAGE_ID) as stream:
                stream.on_pause = pauses.append
                shown = [event.id async for event in stream]
        else:
            shown = await asyncio.to_thread(read, server.url)
    assert shown == [1, 2, 3, 4]
    assert len(pauses) == 1, "the caller is told of the connection that ended"
    assert pauses[0] > 0


async def waits(url: str, *, is_async: bool) -> None:
    if is_async:
        async with AsyncAgentQ(url) as client:
            await client.follow(MESSAGE_ID, wait_seconds=0.1).until_done()
    with AgentQ(url) as other:
        await asyncio.to_thread(other.follow(MESSAGE_ID, wait_seconds=0.1).until_done)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_wait_ends_although_the_connection_is_read(monkeypatch: pytest.MonkeyPatch, *, is_async: bool) -> None:
    """The time-out of a read begins again with each keep-alive, and therefore cannot end the wait."""
    monkeypatch.setattr(Deadline, "limit", lambda _, seconds: seconds)
    played = transcript("cut_between_events")
    played["connections"][0]["end"] = "hold"
    async with asyncio.timeout(DEADLINE_SECONDS), scripted_server(played) as server:
        with pytest.raises(errors.WaitTimeout):
            await waits(server.url, is_async=is_async)
    assert len(server.last_event_ids) == 1


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_closing_a_stream_ends_a_reader_who_waits(*, is_async: bool) -> None:
    played = transcript("cut_between_events")
    played["connections"][0]["end"] = "hold"
    async with asyncio.timeout(DEADLINE_SECONDS), scripted_server(played) as server:
        seen: list[int | None] = []
        if is_async:
            async with AsyncAgentQ(server.url) as client:
                stream = client.follow(MESSAGE_ID)

                async def read() -> None:
                    seen.extend([event.id async for event in stream])

                reading = asyncio.create_task(read())
                await until(lambda: stream.last_event_id is not None, "an event")
                await stream.close()
                await reading
        else:
            with AgentQ(server.url) as other:
                held = other.follow(MESSAGE_ID)
                reader = asyncio.create_task(asyncio.to_thread(lambda: seen.extend(event.id for event in held)))
                await until(lambda: held.last_event_id is not None, "an event")
                held.close()
                await reader
    assert seen[:1] == [1]
    assert len(server.last_event_ids) == 1, "it opens no further connection"


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_head_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch, *, is_async: bool) -> None:
    monkeypatch.setattr(transport, "HEAD_MARGIN_SECONDS", 0.0)

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0)

    async def health(url: str) -> None:
        if is_async:
            async with AsyncAgentQ(url, timeout=0.1, max_retries=0) as client:
                await client.server.health()
        with AgentQ(url, timeout=0.1, max_retries=0) as other:
            await asyncio.to_thread(other.server.health)

    async with asyncio.timeout(DEADLINE_SECONDS), answering(answer) as url:
        with pytest.raises(errors.ServerUnreachable):
            await health(url)


STREAMS = 120
"""More than the connections that httpx allows by itself."""


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_many_streams_are_read_at_once(*, is_async: bool) -> None:
    opened = asyncio.Barrier(STREAMS)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await opened.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        writer.write(b'id: 1\nevent: done\ndata: {"state": "completed", "result": "x"}\n\n')

    async with asyncio.timeout(DEADLINE_SECONDS), answering(answer) as url:
        if is_async:
            async with AsyncAgentQ(url) as client:
                streams = [client.follow("m") for _ in range(STREAMS)]
                found = await asyncio.gather(*(anext(aiter(stream)) for stream in streams))
                await asyncio.gather(*(stream.close() for stream in streams))
        else:
            with AgentQ(url) as other, ThreadPoolExecutor(STREAMS) as threads:
                loop = asyncio.get_running_loop()
                read = (loop.run_in_executor(threads, list, other.follow("m")) for _ in range(STREAMS))
                found = [event for (event,) in await asyncio.gather(*read)]
        assert {type(event) for event in found} == {Done}


def test_a_forked_process_has_connections_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    given = httpx.Client()
    with AgentQ("http://queue.test") as client, given, AgentQ("http://queue.test", http_client=given) as other:
        before = client._transport._http
        assert client._transport._http is before
        monkeypatch.setattr("os.getpid", lambda: 7)
        after = client._transport._http
        assert after is not before
        assert client._transport._http is after
        assert other._transport._http is given, "it is the caller's own"
        before.close()


def test_a_submit_and_its_tries_have_the_time_of_the_wait() -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        raise httpx.ReadTimeout("slow")

    http = httpx.Client(transport=httpx.MockTransport(answer))
    client = AgentQ("http://queue.test", http_client=http, timeout=30)
    with pytest.raises(errors.ServerUnreachable):
        client.run("Hello", wait_seconds=0.2)
    assert len(requests) == 1, "the next try would begin too late"
    assert requests[0].extensions["timeout"]["read"] <= 0.2


def test_a_reply_that_is_no_stream_is_told_by_its_type() -> None:
    with pytest.raises(BrokenStream, match="text/html"):
        Following("m").opened(200, {"content-type": "text/html"})


@pytest.mark.parametrize("piece", [b"id: 1\revent: usage\rdata: {}\r\r", b"id: 1\r\nevent: usage\r\ndata: {}\r\n\r\n"])
def test_lines_end_in_three_ways_wherever_they_are_cut(piece: bytes) -> None:
    for cut in range(1, len(piece)):
        reader = sse.FrameReader()
        frames = reader.feed(piece[:cut]) + reader.feed(b"") + reader.feed(piece[cut:])
        assert frames == [sse.Frame("usage", "1", b"{}")], "an event at the end of a stream is shown too"
        assert reader.feed(b"\ndata: {}\n\n") == [sse.Frame("message", "1", b"{}")]


@pytest.mark.parametrize(
    ("event_id", "data"),
    [
        (b"9" * 5_000, b'{"attempt": 1}'),
        (b"1", b'{"attempt": 1e999}'),
        (b"1", b"[" * 100_000),
    ],
    ids=["id", "number", "depth"],
)
def test_values_without_bounds_break_the_stream(event_id: bytes, data: bytes) -> None:
    state = Following("m")
    state.opened(200, {"content-type": "Text/Event-Stream"})
    with pytest.raises(BrokenStream):
        state.receive(b"id: " + event_id + b"\nevent: processing\ndata: " + data + b"\n\n")


def test_a_failure_without_a_text_breaks_the_stream() -> None:
    with pytest.raises(BrokenStream):
        Following("m").receive(b'id: 1\nevent: error\ndata: {"error": null, "code": null}\n\n')
