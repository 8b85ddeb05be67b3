"""A WebSocket client for tests: every frame that comes is held against the JSON Schema in the documents."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Any

import jsonschema_rs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests import wire
from tests.documents import REFERENCE
from tests.servers import LiveServer
from tests.wire import DEADLINE_SECONDS


@lru_cache
def frame_schema(side: str) -> jsonschema_rs.Draft202012Validator:
    """The validator of `ClientFrame` or `ServerFrame`."""
    document = json.loads((REFERENCE / "websocket.schema.json").read_text("utf-8"))
    return jsonschema_rs.Draft202012Validator({**document, "$ref": f"#/$defs/{side}"})


class Talk:
    """A connection and what came over it, in order."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.frames: list[dict[str, Any]] = []
        self.texts: list[str] = []

    async def send(self, type: str, **fields: Any) -> None:
        """Send a frame that the schema allows."""
        frame = {"type": type, **fields}
        frame_schema("ClientFrame").validate(frame)
        await self.connection.send(json.dumps(frame))

    async def next(self, deadline: float = DEADLINE_SECONDS) -> dict[str, Any]:
        """The next frame. Raises ConnectionClosed."""
        async with asyncio.timeout(deadline):
            text = await self.connection.recv()
        assert isinstance(text, str)
        frame: dict[str, Any] = json.loads(text)
        frame_schema("ServerFrame").validate(frame)
        self.texts.append(text)
        self.frames.append(frame)
        return frame

    async def until(self, type: str, **fields: Any) -> dict[str, Any]:
        """Read up to the next frame of this type with these fields."""
        while True:
            frame = await self.next()
            if frame["type"] == type and fields.items() <= frame.items():
                return frame

    async def ask(self, type: str, **fields: Any) -> dict[str, Any]:
        """Send a frame; its answer, which has its `request_id`."""
        number = f"{type} {len(self.frames)}"
        await self.send(type, request_id=number, **fields)
        return await self.until_answered(number)

    async def until_answered(self, request_id: str) -> dict[str, Any]:
        """Read up to the answer to a frame."""
        while True:
            frame = await self.next()
            if frame.get("request_id") == request_id:
                return frame

    async def submit(self, message: str = "Hello", **fields: Any) -> str:
        """The id of a message that is accepted."""
        frame = await self.ask("submit", message=message, **fields)
        assert frame["type"] == "accepted", frame
        return str(frame["message_id"])

    async def closed(self) -> int | None:
        """Read to the end; the code with which the other side closed."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.next()
        return self.connection.close_code

    def stored(self, message_id: str) -> list[bytes]:
        """The stored events of a message that came, as a stream of server-sent events has them, byte by byte."""
        found = []
        for frame, text in zip(self.frames, self.texts, strict=True):
            if frame["type"] == "event" and frame["message_id"] == message_id and frame["id"] is not None:
                data = text.partition('"data":')[2].removesuffix("}")
                found.append(f"id: {frame['id']}\nevent: {frame['event']}\ndata: {data}".encode())
        return found

    def drop(self) -> None:
        """Leave at once, as a client that is killed."""
        self.connection.transport.abort()


@contextlib.asynccontextmanager
async def talk(url: str, **options: Any) -> AsyncIterator[Talk]:
    """A connection to `/ws` of a server, open until the block is left."""
    settings: dict[str, Any] = {"proxy": None, "max_size": None, "close_timeout": 1, **options}
    async with connect(f"{url.replace('http', 'ws', 1)}/ws", **settings) as connection:
        yield Talk(connection)


async def finished(server: LiveServer, text: str = "Hello") -> str:
    """The id of a message that has ended."""
    message_id: str = (await server.submit(text))["message_id"]
    await server.ended(message_id)
    return message_id


async def stream_of(server: LiveServer, message_id: str) -> list[bytes]:
    """Return the server-sent events of a message that has ended."""
    return wire.stored(await wire.frames_of(server.url, message_id))
