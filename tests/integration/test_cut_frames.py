"""Readers whose access ends in the middle of a frame are told so in a frame of its own."""

import asyncio
import json
import socket
from typing import Any

import pytest

from tests.agui_requests import run
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_a2a_requests import message
from tests.integration.test_ai_sdk_requests import chat
from tests.integration.test_keys import bearer, issue, manager
from tests.integration.test_openai_errors import ASKED, CHAT, RESPONSES
from tests.mcp_clients import JSON_OR_EVENTS, NEWEST_HANDSHAKE, call
from tests.servers import LiveServer, until

STREAMED = {"model": "flood", "stream": True}
SENT = {"jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage", "params": {"message": message()["message"]}}
ASKS: dict[str, tuple[str, Any]] = {
    "A2A": ("/a2a/flood", SENT),
    "AG-UI": ("/agui/flood", run()),
    "AI SDK": ("/api/chat", chat(agent="flood")),
    "Chat Completions": (CHAT, {**ASKED[CHAT], **STREAMED}),
    "Responses": (RESPONSES, {**ASKED[RESPONSES], **STREAMED}),
    "MCP": ("/mcp", call("run_flood", {"message": "Hi"})),
}
"""By surface, the path and the body of a request whose answer is a stream."""

SMALL_SLICE = 64
"""Bytes that are written at a time. A frame of the answer has more than 4,096, so nearly each slice ends inside one."""

HIGH_WATER = 64 * 1024
"""Unsent bytes of a connection above which the server writes no more until the reader takes some."""

END = b"\r\n0\r\n\r\n"


def is_paused(server: LiveServer) -> bool:
    """Return whether the server waits for a reader before it writes the next slice."""
    sizes = (each.transport.get_write_buffer_size() for each in server.uvicorn.server_state.connections)
    return any(size > HIGH_WATER for size in sizes)


async def rest_of(reader: socket.socket) -> bytes:
    """Read the reply to its end. Return it without the framing of its chunks."""
    loop, got = asyncio.get_running_loop(), bytearray()
    while not got.endswith(END):
        piece = await loop.sock_recv(reader, 1 << 20)
        assert piece, "the connection was closed before the end"
        got += piece
    chunks, body = bytes(got).partition(b"\r\n\r\n")[2], bytearray()
    while size := int(chunks[: (at := chunks.index(b"\r\n"))], 16):
        body += chunks[at + 2 : at + 2 + size]
        chunks = chunks[at + 2 + size + 2 :]
    return bytes(body)


@pytest.mark.parametrize("surface", ASKS)
async def test_a_reader_is_told_in_the_middle_of_a_frame_that_access_has_ended(
    serve: Serve, control: GraphControl, monkeypatch: pytest.MonkeyPatch, surface: str
) -> None:
    monkeypatch.setattr("app.api.streaming.SLICE_BYTES", SMALL_SLICE)
    server = await serve(agents="flood=tests.graphs:flood")
    await until(server.runtime.services.registry.loaded.is_set, "the agent is loaded")
    key, _ = await issue(server), await issue(server)
    control.hold("flood")
    path, asked = ASKS[surface]
    body = json.dumps(asked).encode()
    given = {**JSON_OR_EVENTS, **bearer(key), "MCP-Protocol-Version": NEWEST_HANDSHAKE}
    lines = [f"POST {path} HTTP/1.1", f"Host: {server.url.removeprefix('http://')}", f"Content-Length: {len(body)}"]
    head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in given.items()), "", ""])
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.settimeout(0)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(reader, ("127.0.0.1", int(server.url.rpartition(":")[2])))
        await loop.sock_sendall(reader, head.encode() + body)
        await until(lambda: control.waits("flood"), "the agent has said all")
        await until(lambda: is_paused(server), "the reader takes nothing more")
        await manager(server).revoke(None, key.key.id)
        await until(lambda: not server.runtime.services.access._held, "the access has ended")
        body = await asyncio.wait_for(rest_of(reader), 30)
    frames = body.decode().removesuffix("data: [DONE]\n\n").rstrip("\n").split("\n\n")
    (data,) = (line for line in frames[-1].split("\n") if line.startswith("data: "))
    told = json.dumps(json.loads(data.removeprefix("data: "))).lower()
    assert "access" in told or "credential" in told, told
    control.release("flood")
