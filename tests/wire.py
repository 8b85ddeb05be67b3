"""HTTP/1.1 by hand: requests that no client library would send, and event streams byte by byte."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

DEADLINE_SECONDS = 15.0
TERMINAL = frozenset({"done", "error", "cancelled"})


class RawResponse(NamedTuple):
    """A response read to its end; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Frame(NamedTuple):
    """One server-sent event. `raw` has its fields as they came, without comments, `retry` and the empty line behind.

    `cursor` is the id as text; `id` is that of an event of a message, a number.
    """

    id: int | None
    event: str
    data: Any
    raw: bytes
    cursor: str | None = None


@dataclass
class RawStream:
    """An open response of server-sent events, read only as far as the test asks."""

    status: int
    headers: dict[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    comments: list[bytes] = field(default_factory=list)
    retries: list[int] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    ended_cleanly: bool = False
    _buffer: bytes = b""
    _lines: list[bytes] = field(default_factory=list)

    async def next(self, deadline: float = DEADLINE_SECONDS) -> Frame | None:
        """The next event; comments and `retry` on the way are kept. None behind the end of the stream."""
        async with asyncio.timeout(deadline):
            while (line := await self._line()) is not None:
                if line.startswith(b":"):
                    continue
                if line:
                    self._lines.append(line)
                    continue
                self.frames.append(self._taken())
                return self.frames[-1]
            assert not self._lines, f"the stream ended inside an event: {self._lines}"
        return None

    async def next_comment(self, deadline: float = DEADLINE_SECONDS) -> bytes:
        """The next comment; fails if an event comes first."""
        async with asyncio.timeout(deadline):
            line = await self._line()
            assert line is not None, "the stream has ended"
            assert line.startswith(b":"), f"an event came first: {line!r}"
        return line

    async def until(self, event: str) -> Frame:
        """Read up to the next event of this type."""
        while (frame := await self.next()) is not None:
            if frame.event == event:
                return frame
        raise AssertionError(f"the stream ended without {event}: {self.frames}")

    async def rest(self) -> list[Frame]:
        """All that is left, to the end of the stream."""
        frames = []
        while (frame := await self.next()) is not None:
            frames.append(frame)
        return frames

    def drop(self) -> None:
        """Leave at once, as a client that is killed."""
        self.writer.transport.abort()

    async def _line(self) -> bytes | None:
        """The next line of a field, or the empty one behind an event; comments and `retry` on the way are kept."""
        while True:
            while b"\n" not in self._buffer:
                chunk = await self._chunk()
                if not chunk:
                    assert not self._buffer, f"the stream ended inside a line: {self._buffer!r}"
                    return None
                self._buffer += chunk
            line, _, self._buffer = self._buffer.partition(b"\n")
            if line.startswith(b":"):
                self.comments.append(line)
                return line
            if not line.startswith(b"retry: "):
                return line
            assert not self._lines, "`retry` is the first field"
            self.retries.append(int(line.removeprefix(b"retry: ")))

    def _taken(self) -> Frame:
        """The event whose lines have come. A block without data is none."""
        pairs = [line.decode().partition(": ") for line in self._lines]
        fields = {name: value for name, _, value in pairs}
        assert len(fields) == len(pairs), f"a field twice: {self._lines}"
        assert {"event", "data"} <= fields.keys(), f"a block that is no event: {self._lines}"
        cursor = fields.get("id")
        number = int(cursor) if cursor is not None and cursor.isdigit() else None
        frame = Frame(number, fields["event"], json.loads(fields["data"]), b"\n".join(self._lines), cursor)
        self._lines = []
        return frame

    async def _chunk(self) -> bytes:
        """One chunk of the transfer; empty at its end, however it came."""
        try:
            size = int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16)
            data = (await self.reader.readexactly(size + 2))[:-2]
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        self.ended_cleanly = size == 0
        return data


async def request(
    url: str,
    method: str,
    target: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | Sequence[bytes] = b"",
) -> RawResponse:
    """Send exactly this target and these headers; a sequence of bodies is sent with `Transfer-Encoding: chunked`."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        reader, writer = await _connect(url)
        try:
            writer.write(_head(url, method, target, {"Connection": "close", **_framing(body), **(headers or {})}))
            writer.write(body if isinstance(body, bytes) else b"".join(_chunked(body)))
            status, answered = await _read_head(reader)
            if method == "HEAD":
                content = b""
            elif "content-length" in answered:
                content = await reader.readexactly(int(answered["content-length"]))
            elif answered.get("transfer-encoding") == "chunked":
                stream = RawStream(status, answered, reader, writer)
                content = b""
                while chunk := await stream._chunk():
                    content += chunk
            else:
                content = b""
            return RawResponse(status, answered, content)
        finally:
            await _close(writer)


@contextlib.asynccontextmanager
async def stream(
    url: str,
    message_id: str,
    *,
    after: object = None,
    last_event_id: object = None,
    key: object = None,
    cookie: object = None,
) -> AsyncIterator[RawStream]:
    """GET /messages/{id}/stream with this API key or cookie, open until the block is left. Its status has arrived."""
    target = f"/messages/{message_id}/stream" + ("" if after is None else f"?after={after}")
    async with stream_of(url, target, last_event_id=last_event_id, key=key, cookie=cookie) as opened:
        yield opened


@contextlib.asynccontextmanager
async def stream_of(
    url: str, target: str, *, last_event_id: object = None, key: object = None, cookie: object = None
) -> AsyncIterator[RawStream]:
    """GET a stream at any path, as `stream` does."""
    given = {"Last-Event-ID": last_event_id, "X-API-Key": key, "Cookie": cookie}
    headers = {name: str(value) for name, value in given.items() if value is not None}
    reader, writer = await _connect(url)
    try:
        writer.write(_head(url, "GET", target, headers))
        async with asyncio.timeout(DEADLINE_SECONDS):
            status, answered = await _read_head(reader)
        yield RawStream(status, answered, reader, writer)
    finally:
        await _close(writer)


async def frames_of(url: str, message_id: str, **resume: object) -> list[Frame]:
    """The whole stream, which has to end by itself and properly."""
    async with stream(url, message_id, **resume) as opened:
        assert opened.status == 200
        frames = await opened.rest()
        assert opened.ended_cleanly
        return frames


def stored(frames: Sequence[Frame]) -> list[bytes]:
    """The events of the log among them, as they came."""
    return [frame.raw for frame in frames if frame.id is not None]


def check_log(frames: Sequence[Frame], *, first_id: int = 1) -> None:
    """Ids are dense, exactly one event is terminal and it is the last, chunk indexes count from 0 in each attempt."""
    assert [f.id for f in frames if f.id is not None] == list(range(first_id, first_id + len(stored(frames))))
    assert [f.event for f in frames if f.event in TERMINAL] == [frames[-1].event]
    index = 0
    for frame in frames:
        if frame.event == "processing":
            index = 0
        elif frame.event == "chunk":
            assert frame.data["index"] == index
            index += 1


def text_of(frames: Sequence[Frame]) -> str:
    """The text of the content chunks that were not taken back, joined."""
    kept: list[Frame] = []
    for frame in frames:
        if frame.event in ("retry", "resumed"):
            kept = [each for each in kept if each.id is not None and each.id < frame.data["discard_from"]]
        elif frame.event == "chunk" and frame.data["type"] == "discard":
            kept = [each for each in kept if each.data.get("message") != frame.data["message"]]
        elif frame.event == "chunk" and frame.data["type"] == "content":
            kept.append(frame)
    return "".join(each.data["chunk"] for each in kept)


def shown_in(frames: Sequence[Frame]) -> str:
    """All text that was shown as content, whether it was taken back or not."""
    return "".join(f.data["chunk"] for f in frames if f.event == "chunk" and f.data["type"] == "content")


async def _connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    return await asyncio.open_connection(parts.hostname, parts.port, limit=2**26)


def _head(url: str, method: str, target: str, headers: Mapping[str, str]) -> bytes:
    fields = {"Host": urlsplit(url).netloc, **headers}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _framing(body: bytes | Sequence[bytes]) -> dict[str, str]:
    return {"Content-Length": str(len(body))} if isinstance(body, bytes) else {"Transfer-Encoding": "chunked"}


def _chunked(pieces: Sequence[bytes]) -> list[bytes]:
    return [f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in (*pieces, b"")]


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    status_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    pairs = [line.partition(": ") for line in lines]
    return int(status_line.split()[1]), {name.lower(): value for name, _, value in pairs}


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
