"""A server on a socket that plays a transcript of `clients/transcripts`, whatever it is asked."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tests.servers import ROOT

FOLDER = ROOT / "clients" / "transcripts"
MESSAGE_ID = "01a227c4-ab5b-70f4-9af4-a15dc29ebbc5"
STATUS = {
    "message_id": MESSAGE_ID, "user_message": "Hello", "priority": "normal", "agent": "chat", "result": None,
    "created_at": "2026-11-29T10:00:00.000Z",
}  # fmt: skip
TRANSCRIPTS = sorted(path.stem for path in FOLDER.glob("*.json"))

Transcript = dict[str, Any]


def transcript(name: str) -> Transcript:
    """Return a transcript by its name."""
    return dict(json.loads((FOLDER / f"{name}.json").read_text("utf-8")))


def piece_of(piece: str | dict[str, str]) -> bytes:
    """Return the bytes of a piece of a body."""
    return piece.encode() if isinstance(piece, str) else base64.b64decode(piece["base64"])


class ScriptedServer:
    """Plays the connections in their order, and keeps the heads of what it was asked."""

    def __init__(self, played: Transcript) -> None:
        text = played["expected"]["text"]
        self._connections = iter(played["connections"])
        self._statuses = list(played.get("status", [{"state": "completed", "result": text}]))
        self._writers: list[asyncio.StreamWriter] = []
        self.last_event_ids: list[int | None] = []
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, and close the connection unless the transcript holds it."""
        self._writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            if head.partition("\r\n")[0].split()[1].endswith("/stream"):
                await self._play(head, reader, writer)
            else:
                state = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
                body = json.dumps({**STATUS, **state}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
                await writer.drain()
        writer.close()

    async def _play(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        seen = lines.get("last-event-id")
        self.last_event_ids.append(None if seen is None else int(seen))
        played = next(self._connections)
        if played.get("hang_up"):
            return
        headers = {**played["headers"], "Connection": "close"}
        if played["status"] == 200:
            headers["Transfer-Encoding"] = "chunked"
        told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {played['status']} Told\r\n{told}\r\n".encode())
        for piece in map(piece_of, played["body"]):
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if played["status"] == 200 else piece)
            await writer.drain()
        if played["end"] == "hold":
            await reader.read()  # until the client leaves
        elif played["end"] == "close" and played["status"] == 200:
            writer.write(b"0\r\n\r\n")
            await writer.drain()


@contextlib.asynccontextmanager
async def scripted_server(played: Transcript) -> AsyncIterator[ScriptedServer]:
    """Serve a transcript on a free port."""
    script = ScriptedServer(played)
    server = await asyncio.start_server(script.answer, "127.0.0.1", 0)
    script.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield script
        server.close()
        for writer in script._writers:
            writer.close()


@contextlib.asynccontextmanager
async def answering(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """Answer each connection with a function, on a free port. Yield the address."""
    tasks: set[asyncio.Task[None]] = set()

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await answer(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(answered, "127.0.0.1", 0, backlog=256)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
