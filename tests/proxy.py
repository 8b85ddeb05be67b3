"""A TCP proxy that cuts connections at chosen moments."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from enum import Enum


class Moment(Enum):
    """The moment at which the next connection that carries the marker is cut."""

    BEFORE_THE_COMMAND = "before the command"
    BEFORE_THE_ANSWER = "before the answer"
    IN_THE_ANSWER = "in the answer"
    NEVER_ANSWERED = "never answered"


class Proxy:
    """Stands between a client and the server on `target`.

    A connection is cut when the marker is sent on it: once after `cut` was set, then as `plan` says for each time.
    """

    def __init__(self, target: int, marker: bytes) -> None:
        self._target = target
        self._marker = marker
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.cut: Moment | None = None
        self.plan: Iterator[Moment | None] = iter(())
        self.cuts = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
        armed: list[Moment] = []
        ways = [
            asyncio.create_task(self._up(reader, server_writer, armed)),
            asyncio.create_task(self._down(server_reader, writer, armed)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (writer, server_writer):
                end.transport.abort()
            self._tasks.discard(task)

    async def _up(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter, armed: list[Moment]) -> None:
        while data := await reader.read(65_536):
            moment = (self.cut or next(self.plan, None)) if self._marker in data else None
            if moment:
                armed.append(moment)
                self.cut = None
                self.cuts += 1
                if moment is Moment.BEFORE_THE_COMMAND:
                    return
            server.write(data)

    async def _down(self, server: asyncio.StreamReader, writer: asyncio.StreamWriter, armed: list[Moment]) -> None:
        while data := await server.read(65_536):
            match armed:
                case []:
                    writer.write(data)
                case [Moment.IN_THE_ANSWER]:
                    writer.write(data[: len(data) // 2])
                    await writer.drain()
                    return
                case [Moment.NEVER_ANSWERED]:
                    continue
                case _:
                    return

    async def stop(self) -> None:
        """Cut all connections."""
        for task in list(self._tasks):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def proxy_to(target: int, marker: bytes) -> AsyncIterator[Proxy]:
    """A proxy to this port of this host."""
    proxy = Proxy(target, marker)
    listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = listener.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listener.close()
        await proxy.stop()
