"""A TCP proxy before a database server, which can treat its connections badly."""

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Self

SLICE = 64 * 1024


class Proxy:
    """Passes bytes on, in both directions, until told otherwise."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._passing = asyncio.Event()
        self._passing.set()
        self._budget: int | None = None
        self.held = 0
        """How many have something that waits for `release`."""
        self._pairs: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.release()
        self.cut()
        await asyncio.gather(*self._pairs, return_exceptions=True)

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        assert self._server is not None, "not entered"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def cut(self) -> None:
        """Reset all connections; new ones are welcome."""
        self._budget = None
        for writers in self._pairs.values():
            for writer in writers:
                _reset(writer)

    def cut_after(self, size: int) -> None:
        """Let so many bytes pass, all connections together, then cut."""
        self._budget = size

    def hold(self) -> None:
        """Take bytes and connections, and pass nothing on."""
        self._passing.clear()

    def release(self) -> None:
        """Pass on what was held."""
        self._passing.set()

    async def _until_passing(self) -> None:
        self.held += 1
        try:
            await self._passing.wait()
        finally:
            self.held -= 1

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pairs[task] = (writer,)
        try:
            await self._until_passing()
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection(*self._target)
                self._pairs[task] = (writer, far_writer)
                async with asyncio.TaskGroup() as directions:
                    directions.create_task(self._pass(reader, far_writer))
                    directions.create_task(self._pass(far_reader, writer))
        finally:
            for side in self._pairs.pop(task):
                side.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction, to its end; then both are closed, as databases leave nothing half open."""
        with contextlib.suppress(OSError):
            while data := await reader.read(SLICE):
                await self._until_passing()
                writer.write(data if self._budget is None else data[: self._budget])
                await writer.drain()
                self.passed(data)
        writer.close()

    def passed(self, data: bytes) -> None:
        """Count what was passed on. Cut behind the last byte that may pass."""
        if self._budget is not None:
            self._budget -= len(data)
            if self._budget <= 0:
                self.cut()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST, as a connection that broke, not with FIN."""
    with contextlib.suppress(OSError):  # closed already
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
