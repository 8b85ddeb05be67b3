"""The HTTP client of the built-in agent's model. It limits the size of responses."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import cast

import httpx2
import openai

MAX_RESPONSE_BYTES = 64 * 1024 * 1024
"""Limit of one decoded response. It exceeds a model's longest answer, including the overhead of its stream."""

MAX_EVENT_LINE_BYTES = 8 * 1024 * 1024
"""Limit of one line of an event stream. The client keeps a whole line in memory."""

PIECE_BYTES = 1024 * 1024


class ResponseTooLarge(ConnectionError):
    """A model's server sent more than any answer needs, or an unrequested encoding. The connection is closed."""


def model_client() -> httpx2.AsyncClient:
    """Return a client that reads at most MAX_RESPONSE_BYTES of a response. It takes proxies from the environment.

    The caller closes the client.
    """
    return openai.DefaultAsyncHttpxClient(
        headers={"Accept-Encoding": "gzip"}, event_hooks={"request": [], "response": [_bound]}
    )


async def _bound(response: httpx2.Response) -> None:
    """Make the response decode its body in pieces of limited size; the client's own decoding has no limit."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise ResponseTooLarge(
            f"The model's server encoded its answer as {encoding[:40]!r}, which the client did not request."
        )
    is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
    response.headers.pop("content-encoding", None)
    response.headers.pop("content-length", None)
    body = cast(httpx2.AsyncByteStream, response.stream)
    response.stream = _BoundedBody(body, gzipped=encoding != "identity", line_by_line=is_stream)


class _BoundedBody(httpx2.AsyncByteStream):
    """A decoded response body with a limited size."""

    def __init__(self, body: httpx2.AsyncByteStream, *, gzipped: bool, line_by_line: bool) -> None:
        self._body = body
        self._gzipped = gzipped
        self._line_by_line = line_by_line

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = line = 0
        async for piece in self._decoded():
            size += len(piece)
            line = len(piece) - piece.rfind(b"\n") - 1 if b"\n" in piece else line + len(piece)
            if size > MAX_RESPONSE_BYTES or (self._line_by_line and line > MAX_EVENT_LINE_BYTES):
                raise ResponseTooLarge(f"The model's server sent more than {size // 2**20} MiB for one answer.")
            yield piece

    async def _decoded(self) -> AsyncIterator[bytes]:
        decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16) if self._gzipped else None
        async for raw in self._body:
            if decoder is None:
                yield raw
                continue
            waiting = raw
            while waiting and not decoder.eof:
                try:
                    piece = decoder.decompress(waiting, PIECE_BYTES)
                except zlib.error as error:
                    raise httpx2.DecodingError(str(error)) from error
                waiting = decoder.unconsumed_tail
                yield piece
                if waiting:
                    await asyncio.sleep(0)  # a small packet may decode to many pieces

    async def aclose(self) -> None:
        """Close the body of the response."""
        await self._body.aclose()
