"""Replies reach the network in as few packets as they need."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from app.api.application import Application
from app.api.reply_writing import ReplyWriting
from app.config import Settings
from tests import raw
from tests.servers import LiveServer, live_server, until

END_OF_HEAD = b"\r\n\r\n"


class Recorded:
    """A transport that notes what is written together."""

    def __init__(self, transport: Any, written: list[bytes]) -> None:
        self._transport = transport
        self._written = written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._written.append(data)
        self._transport.write(data)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All that servers write to connections that are opened from now on."""
    found: list[bytes] = []
    original = ReplyWriting.connection_made
    monkeypatch.setattr(
        ReplyWriting, "connection_made", lambda self, transport: original(self, Recorded(transport, found))
    )
    return found


async def test_a_reply_is_written_at_once(quiet: LiveServer, written: list[bytes]) -> None:
    async with raw.connected(quiet.url) as client:
        for number in (1, 2):
            await client.send(raw.post("/messages", {"message": "x"}))
            assert (await client.response()).status == 202
            assert len(written) == number
        await client.send(raw.get("/nothing") + raw.get("/health/live"))
        assert [(await client.response()).status for _ in range(2)] == [404, 200]
        assert len(written) == 4


async def test_the_head_of_a_stream_does_not_wait(quiet: LiveServer, written: list[bytes]) -> None:
    message_id = (await quiet.submit())["message_id"]
    async with raw.connected(quiet.url) as client:
        written.clear()
        await client.send(raw.get(f"/messages/{message_id}/stream"))
        assert (await client.response(head_only=True)).status == 200
        assert written[0].endswith(END_OF_HEAD)


async def test_a_head_without_a_body_is_written(quiet: LiveServer) -> None:
    async with raw.connected(quiet.url) as client:
        for _ in range(2):
            await client.send(raw.get("/health/live").replace(b"GET", b"HEAD"))
            assert (await client.response(head_only=True)).status == 200


async def test_a_head_whose_body_never_comes_is_written(quiet: LiveServer) -> None:
    async def broken(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})

    cast(Application, quiet.app).entry = broken
    async with raw.connected(quiet.url) as client:
        await client.send(raw.get("/"))
        assert (await client.response(head_only=True)).status == 200
        assert await client.rest() == b""


def test_a_client_that_leaves_between_a_head_and_its_body_leaves_no_trace(settings: Callable[..., Settings]) -> None:
    """A write to a connection that is closed is an error under uvloop alone."""
    errors: list[dict[str, Any]] = []

    async def leave() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))

        async def broken(_: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
            while (await receive())["type"] != "http.disconnect":
                pass
            raise ValueError("The client has gone.")

        async with live_server(settings(worker_concurrency=0)) as server:
            cast(Application, server.app).entry = broken
            async with raw.connected(server.url) as client:
                await client.send(raw.get("/"))
                await until(lambda: server.uvicorn.server_state.tasks, "the request is served")
            await until(lambda: not server.uvicorn.server_state.tasks, "the request has ended")

    uvloop.run(leave())
    assert not errors


async def test_a_reader_that_leaves_is_noticed_though_it_had_asked_for_more(quiet: LiveServer) -> None:
    message_id = (await quiet.submit())["message_id"]
    async with raw.connected(quiet.url) as client:
        await client.send(raw.get(f"/messages/{message_id}/stream") + raw.get("/health/live"))
        assert (await client.response(head_only=True)).status == 200
    await until(lambda: not quiet.uvicorn.server_state.tasks, "the stream has ended")
