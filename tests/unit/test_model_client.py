"""The HTTP client of the built-in agent's model, and what it refuses to read."""

import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Iterator

import httpx2
import pytest

from app.agents import model_client as module
from app.agents.model_client import PIECE_BYTES, ResponseTooLarge, model_client

MIB = 2**20


class Body(httpx2.AsyncByteStream):
    """Packets as a server sends them."""

    def __init__(self, packets: Iterator[bytes]) -> None:
        self.packets = packets
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for packet in self.packets:
            yield packet

    async def aclose(self) -> None:
        self.closed = True


def bomb(size: int) -> Iterator[bytes]:
    """A gzip stream of so many MiB of one letter, in packets of a thousandth of that."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    for _ in range(size):
        yield packer.compress(b"a" * MIB) + packer.flush(zlib.Z_SYNC_FLUSH)


async def read(body: Body, **headers: str) -> list[bytes]:
    """The pieces that the client hands over."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with model_client() as client:
        client._transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=named, stream=body))
        async with client.stream("GET", "http://model.example") as response:
            return [piece async for piece in response.aiter_bytes()]


@pytest.mark.parametrize("packed", [True, False])
async def test_an_ordinary_response_is_read_as_it_is(packed: bool) -> None:
    text = b"data: {}\n\n" * 100_000
    sent = gzip.compress(text) if packed else text
    packets = (sent[start : start + 1000] for start in range(0, len(sent), 1000))
    headers = {"content_encoding": "gzip"} if packed else {}
    pieces = await read(Body(packets), content_type="text/event-stream", content_length=str(len(sent)), **headers)
    assert b"".join(pieces) == text


async def test_a_bomb_is_given_up_at_the_bound_and_in_small_pieces() -> None:
    body = Body(bomb(1000))
    tracemalloc.start()
    try:
        with pytest.raises(ResponseTooLarge):
            await read(body, content_encoding="gzip")
        assert tracemalloc.get_traced_memory()[1] < module.MAX_RESPONSE_BYTES + 20 * MIB
    finally:
        tracemalloc.stop()
    assert body.closed
    assert next(body.packets)  # it was not read to its end


async def test_a_packet_is_decoded_in_pieces() -> None:
    sizes = [len(piece) for piece in await read(Body(iter([gzip.compress(bytes(20 * MIB))])), content_encoding="gzip")]
    assert sum(sizes) == 20 * MIB
    assert max(sizes) <= PIECE_BYTES


@pytest.mark.parametrize("packets", [lambda: bomb(100), lambda: (b"a" * MIB for _ in range(100))])
async def test_a_line_of_a_stream_without_end_is_given_up(packets: Callable[[], Iterator[bytes]]) -> None:
    encoding = {"content_encoding": "gzip"} if packets().__next__()[:2] == b"\x1f\x8b" else {}
    with pytest.raises(ResponseTooLarge, match="more than 9 MiB"):
        await read(Body(packets()), content_type="text/event-stream; charset=utf-8", **encoding)


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip"])
async def test_an_unrequested_encoding_is_refused(encoding: str) -> None:
    with pytest.raises(ResponseTooLarge, match="did not request"):
        await read(Body(iter([b"x"])), content_encoding=encoding)


async def test_a_body_that_is_not_what_it_says_breaks_off() -> None:
    with pytest.raises(httpx2.DecodingError):
        await read(Body(iter([b"no gzip"])), content_encoding="gzip")


async def test_it_asks_for_no_other_encoding_and_uses_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with model_client() as client:
        assert client.headers["accept-encoding"] == "gzip"
        assert any(pattern.pattern.startswith("http") and proxy for pattern, proxy in client._mounts.items())
