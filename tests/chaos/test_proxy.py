"""The proxy treats connections as badly as it was told to, and no worse."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.chaos.proxy import Proxy
from tests.servers import until


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """Before a server that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1024):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, Proxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


async def connect(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def test_it_passes_bytes_in_both_directions_and_the_end(proxy: Proxy) -> None:
    reader, writer = await connect(proxy)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()


async def test_a_cut_resets_what_is_connected_and_nothing_later(proxy: Proxy) -> None:
    reader, writer = await connect(proxy)
    writer.write(b"hello")
    await reader.readexactly(5)
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    writer.close()
    reader, writer = await connect(proxy)
    writer.write(b"again")
    assert await reader.readexactly(5) == b"again"
    writer.close()


async def test_it_cuts_after_so_many_bytes(proxy: Proxy) -> None:
    reader, writer = await connect(proxy)
    proxy.cut_after(8)
    writer.write(b"hello")
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(5)  # 5 went there, 3 came back
    writer.close()
    reader, writer = await connect(proxy)
    writer.write(b"again")
    assert await reader.readexactly(5) == b"again"
    writer.close()


async def test_what_it_holds_it_passes_on_later(proxy: Proxy) -> None:
    reader, writer = await connect(proxy)
    proxy.hold()
    writer.write(b"hello")
    other_reader, other_writer = await connect(proxy)
    other_writer.write(b"other")
    await until(lambda: proxy.held >= 2, "both are held")
    proxy.release()
    assert await reader.readexactly(5) == b"hello"
    assert await other_reader.readexactly(5) == b"other"
    writer.close()
    other_writer.close()
