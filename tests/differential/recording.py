"""Records what a client and a server say to each other."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from typing_extensions import override

SHOWN_HEADERS = ("content-type", "content-location", "location", "x-pagination-total", "x-pagination-next")
"""Headers of replies that clients read."""

EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True)
class Frame:
    """A server-sent event."""

    event: str
    data: Any
    has_id: bool


@dataclass
class Exchange:
    """A request and its reply. The reply's parts are there once the reply has ended."""

    method: str
    path: str
    sent: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def is_stream(self) -> bool:
        """Return whether the reply has server-sent events."""
        return self.headers.get("content-type", "").startswith(EVENT_STREAM)

    @property
    def reply(self) -> Any:
        """Return the JSON of the reply; None for an empty body, and a text for a body that is no JSON."""
        text = self.body.decode()
        try:
            return json.loads(text) if text.strip() else None
        except ValueError:
            return text

    @property
    def frames(self) -> list[Frame]:
        """Return the server-sent events of the reply, without comments."""
        return [frame for block in _blocks(self.body.decode()) if (frame := _frame(block)) is not None]


def _blocks(text: str) -> list[str]:
    return text.replace("\r\n", "\n").split("\n\n")


def _frame(block: str) -> Frame | None:
    fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
    if "event" not in fields:
        return None
    return Frame(fields["event"], json.loads(fields.get("data", "null")), "id" in fields)


class _Tee(httpx.AsyncByteStream):
    """A reply's body that is kept as it is read."""

    def __init__(self, stream: httpx.AsyncByteStream, exchange: Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            self._exchange.body += part
            yield part

    @override
    async def aclose(self) -> None:
        await self._stream.aclose()


class Recorder(httpx.AsyncBaseTransport):
    """Sends requests and keeps them with their replies, in the order in which they were sent."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self._transport = httpx.AsyncHTTPTransport()

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode().removeprefix("/langgraph")
        exchange = Exchange(request.method, path, request.content.decode())
        self.exchanges.append(exchange)
        response = await self._transport.handle_async_request(request)
        exchange.status = response.status_code
        exchange.headers = {name: response.headers[name] for name in SHOWN_HEADERS if name in response.headers}
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Tee(response.stream, exchange)
        return response

    @override
    async def aclose(self) -> None:
        await self._transport.aclose()
