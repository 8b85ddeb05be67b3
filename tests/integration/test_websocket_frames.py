"""Frames that no client library sends: each ends the connection with its code and one line in the log."""

import asyncio
import json
import logging
import struct

import pytest

from app.api import uvicorn_protocol as protocol
from tests import raw
from tests.integration.conftest import Serve
from tests.servers import LiveServer, until

HANDSHAKE = raw.get(
    "/ws",
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
MASK = b"\x01\x02\x03\x04"


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, reserved: int = 0, masked: bool = True) -> bytes:
    """A frame of a client."""
    first = bytes([(fin << 7) | reserved << 4 | opcode])
    mask_bit = 0x80 if masked else 0
    if len(data) < 126:
        length = bytes([mask_bit | len(data)])
    elif len(data) < 2**16:
        length = bytes([mask_bit | 126]) + struct.pack("!H", len(data))
    else:
        length = bytes([mask_bit | 127]) + struct.pack("!Q", len(data))
    if not masked:
        return first + length + data
    return first + length + MASK + bytes(byte ^ MASK[at % 4] for at, byte in enumerate(data))


def codes_of(received: bytes) -> list[int]:
    """The codes of the close frames among a server's frames, which are short here."""
    codes = []
    while received:
        opcode, length, at = received[0] & 15, received[1], 2
        if length == 126:
            length, at = struct.unpack("!H", received[2:4])[0], 4
        if opcode == CLOSE:
            codes.append(struct.unpack("!H", received[at : at + 2])[0])
        received = received[at + length :]
    return codes


PING_TEXT = json.dumps({"type": "ping", "request_id": "before"}).encode()
INVALID = {
    "text that is not UTF-8": (frame(TEXT, b"\xff\xfe"), 1007),
    "half a character in fragments": (frame(TEXT, b"\xc3", fin=False) + frame(CONTINUATION, b"("), 1007),
    "a close reason that is not UTF-8": (frame(CLOSE, b"\x03\xe8\xff\xfe"), 1007),
    "reserved bits": (frame(TEXT, b"{}", reserved=4), 1002),
    "a reserved opcode": (frame(3, b"{}"), 1002),
    "a reserved control opcode": (frame(11, b""), 1002),
    "no mask": (frame(TEXT, b"{}", masked=False), 1002),
    "a continuation of nothing": (frame(CONTINUATION, b"{}"), 1002),
    "text within a message": (frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"), 1002),
    "a fragmented ping": (frame(PING, b"", fin=False), 1002),
    "a long ping": (frame(PING, b"a" * 126), 1002),
    "a close code of one byte": (frame(CLOSE, b"\x03"), 1002),
    "a close code that is none": (frame(CLOSE, struct.pack("!H", 1005)), 1002),
    "a close within a message": (frame(TEXT, b"{", fin=False) + frame(CLOSE, b"\x03\xe8"), 1002),
    "a frame that would be too large": (frame(TEXT, b"a" * 3000), 1009),
    "a length of 2**63 - 1": (b"\x81\xff" + struct.pack("!Q", 2**63 - 1) + MASK, 1009),
    "a message that grows too large": (frame(TEXT, b"a" * 1500, fin=False) + frame(CONTINUATION, b"a" * 1500), 1009),
    "fragments without end": (frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) * 3000, 1009),
    "bad text before a close": (frame(TEXT, b"\xff\xfe") + frame(CLOSE, b"\x03\xe8"), 1000),
    "bad text twice": (frame(TEXT, b"\xff\xfe") * 2, 1007),
    "nonsense": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3, 1002),
}


@pytest.fixture
async def small(serve: Serve) -> LiveServer:
    return await serve(worker_concurrency=0, max_body_bytes=2000)


@pytest.mark.parametrize("at_once", [True, False], ids=["with a valid frame", "alone"])
@pytest.mark.parametrize("what", INVALID)
async def test_an_invalid_frame_ends_the_connection(
    small: LiveServer, what: str, at_once: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    frames, code = INVALID[what]
    async with raw.connected(small.url) as client:
        await client.send(HANDSHAKE)
        assert (await client.response()).status == 101
        await client.send(frame(TEXT, PING_TEXT) + frames if at_once else frames)
        received = await client.rest()
        await client.send(b"and more" * 1000)
    assert codes_of(received) == [code]
    await until(lambda: not small.uvicorn.server_state.tasks, "the session ends")
    await until(lambda: not small.uvicorn.server_state.connections, "the connection is closed")
    assert not [record for record in caplog.records if record.exc_info or record.levelno > logging.INFO]
    told = [record for record in caplog.records if record.name == "app.api.uvicorn_protocol"]
    assert len(told) == 1


async def test_the_code_arrives_though_the_client_goes_on_sending(small: LiveServer) -> None:
    async with raw.connected(small.url) as client:
        await client.send(HANDSHAKE)
        assert (await client.response()).status == 101
        await client.send(frame(CONTINUATION), *[frame(TEXT, b"a" * 60_000)] * 20)
        assert codes_of(await client.rest()) == [1002]


async def test_a_client_that_stays_after_its_invalid_frame_is_dropped(
    small: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "CLOSE_SECONDS", 0.1)
    async with raw.connected(small.url) as client:
        await client.send(HANDSHAKE)
        assert (await client.response()).status == 101
        await client.send(frame(CONTINUATION))
        await until(lambda: not small.uvicorn.server_state.connections, "the connection is dropped")


async def test_pings_of_a_client_that_reads_nothing_cost_nothing(small: LiveServer) -> None:
    pings = frame(PING, b"a" * 125) * 500
    async with raw.connected(small.url) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a reading transport
        await client.send(HANDSHAKE)
        (connection,) = await until(lambda: list(small.uvicorn.server_state.connections), "the handshake")
        flooding = asyncio.create_task(client.send(*[pings] * 1000))
        largest = 0

        def watch() -> bool:
            nonlocal largest
            largest = max(largest, connection.transport.get_write_buffer_size())
            return flooding.done()

        await until(watch, "64 MB of pings are taken")
    assert largest < 2**20


async def test_a_refused_handshake_is_no_error_in_the_log(quiet: LiveServer, caplog: pytest.LogCaptureFixture) -> None:
    for header in (b"Via: 1.1 proxy", b"Origin: https://evil.example"):
        async with raw.connected(quiet.url) as client:
            await client.send(HANDSHAKE[:-2] + header + b"\r\n\r\n")
            assert (await client.response()).status in (401, 403)
            assert await client.rest() == b""
    await until(lambda: not quiet.uvicorn.server_state.tasks, "the handshakes are over")
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
