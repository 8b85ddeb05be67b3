"""Bytes over a socket: requests that are broken, endless or slow, and what a server sends until it closes."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

from tests.wire import DEADLINE_SECONDS, RawResponse

HOST = b"Host: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"


class Socket:
    """A connection to a server. What it sends is read to the end or by the response."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes) -> None:
        """Send pieces one by one, each when the one before is taken; stop quietly when the server has closed."""
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                self.writer.write(piece)
                await self.writer.drain()

    async def flood(self, piece: bytes, limit: int) -> int:
        """Send a piece again and again until the server answers or closes, or `limit` bytes are sent; how many were."""
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < limit and not self.reader._buffer and not self.reader.at_eof():  # type: ignore[attr-defined]  # private
                self.writer.write(piece)
                await self.writer.drain()
                await asyncio.sleep(0)
                sent += len(piece)
        return sent

    async def response(self, *, head_only: bool = False) -> RawResponse:
        """Read one response with a Content-Length, or with none and no body."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            status_line, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            length = 0 if head_only else int(headers.get("content-length", 0))
            return RawResponse(int(status_line.split()[1]), headers, await self.reader.readexactly(length))

    async def rest(self) -> bytes:
        """Read all that comes until the server closes; a reset fails."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self.reader.read()

    async def closed(self) -> bool:
        """Return whether the server closes without sending anything, by a reset or properly."""
        try:
            return await self.rest() == b""
        except ConnectionError:
            return True


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Socket]:
    """A connection that is dropped at the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    try:
        yield Socket(reader, writer)
    finally:
        writer.transport.abort()


def get(path: str, *headers: bytes) -> bytes:
    """A GET request."""
    return b"GET " + path.encode() + b" HTTP/1.1\r\n" + HOST + _lines(headers) + b"\r\n"


def post(path: str, body: Any, *headers: bytes) -> bytes:
    """A POST request with a JSON body."""
    content = json.dumps(body).encode()
    length = b"Content-Length: %d\r\n" % len(content)
    return b"POST " + path.encode() + b" HTTP/1.1\r\n" + HOST + JSON + length + _lines(headers) + b"\r\n" + content


def _lines(headers: Iterable[bytes]) -> bytes:
    return b"".join(header + b"\r\n" for header in headers)
