"""Streams in which nothing happens for a while, as clients of every kind read them."""

from langgraph_sdk.schema import StreamPart
from langgraph_sdk.sse import SSEDecoder as LangGraphDecoder
from openai._streaming import SSEDecoder as OpenAIDecoder

from tests import wire
from tests.integration.conftest import Serve
from tests.integration.test_streaming import ANSWER
from tests.openai_stub import Gate, StubServer


async def test_silence_is_filled_with_comments(serve: Serve, model: StubServer) -> None:
    server = await serve(keepalive_interval=0.05)
    gate = Gate("at last")
    model.replies.append(gate)
    running = (await server.submit())["message_id"]
    await model.received()
    queued = (await server.submit())["message_id"]
    for message_id, before in ((running, "processing"), (queued, "waiting")):
        async with wire.stream(server.url, message_id) as stream:
            await stream.until(before)
            assert [await stream.next_comment() for _ in range(3)] == [b": keep-alive"] * 3
    async with wire.stream(server.url, running) as stream:
        await stream.until("processing")
        await stream.next_comment()
        gate.release_all()
        assert (await stream.rest())[-1].event == "done"
    await server.ended(queued)


async def test_every_block_is_an_event_also_for_clients_that_count_empty_lines(serve: Serve, model: StubServer) -> None:
    """Clients made after `httpx-sse` take an empty line for an event as soon as there was an id or a `retry`."""
    server = await serve(keepalive_interval=0.02)
    gate = Gate(ANSWER)
    model.replies.append(gate)
    message_id = (await server.submit())["message_id"]
    body = b""
    async with server.client.stream("GET", f"/messages/{message_id}/stream") as response:
        async for piece in response.aiter_raw():
            body += piece
            if body.count(b": keep-alive") > 2:
                gate.release()
            if body.count(b": keep-alive") > 9:
                gate.release_all()
    assert body.startswith(b"retry: ")
    assert b"\n: keep-alive\n" in body
    blocks = body.split(b"\n\n")
    assert blocks.pop() == b""
    assert all(b"\ndata: " in block for block in blocks)
    shown = [(frame.event, frame.data) for frame in await wire.frames_of(server.url, message_id)]
    for events in (OpenAIDecoder().iter_bytes(iter([body])), decoded_by_langgraph(body)):
        found = [(event.event, event.json() if hasattr(event, "json") else event.data) for event in events]  # type: ignore[union-attr]  # `hasattr` told
        assert [each for each in found if each[0] != "waiting"] == shown


def decoded_by_langgraph(body: bytes) -> list[StreamPart]:
    decoder = LangGraphDecoder()
    parts = [decoder.decode(line) for line in body.split(b"\n")]
    return [part for part in parts if part is not None]


async def test_no_setting_makes_a_stream_silent_for_longer_than_15_seconds(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, keepalive_interval=3600)
    assert server.runtime.settings.keepalive_seconds == 15
