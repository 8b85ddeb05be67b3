"""Callers of our own queue: `python -m bench.programs.caller WAY`, with our settings in the environment.

- `signal` submits through `QueueManager` in this process, as callers of other queues do. The job signals its run.
- `end` submits in the same way, and waits until the end of the message is stored and read.
- `http` calls a server with `Prefer: wait`.
"""

import asyncio
import sys

from app.access.principals import ANONYMOUS
from app.bootstrap import Runtime
from app.config import Settings
from app.models.messages import NewMessage
from bench.peers.callers import serve, signalled
from bench.peers.signals import Notifier

WAIT_SECONDS = 30.0


async def in_process(settings: Settings, way: str) -> None:
    runtime = Runtime(settings)
    services = runtime.services

    async def enqueue(text: str) -> None:
        await services.queue.submit(ANONYMOUS, [NewMessage(text)])

    async def until_end() -> None:
        accepted = await services.queue.submit(ANONYMOUS, [NewMessage("")])
        await services.streams.await_end(ANONYMOUS.tenant, accepted.messages[0].id, WAIT_SECONDS)

    async with runtime.running():
        await serve(until_end if way == "end" else signalled(enqueue, await Notifier.listen()))


BODY = b'{"message": "nothing"}'


async def over_http(settings: Settings) -> None:
    head = f"POST /messages HTTP/1.1\r\nHost: 127.0.0.1:{settings.port}\r\nContent-Type: application/json\r\n"
    request = f"{head}Prefer: wait=30\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def call() -> None:
        while idle and idle[-1][0].at_eof():  # the server closes connections that are idle between rounds
            idle.pop()[1].close()
        reader, writer = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", settings.port)
        writer.write(request)
        reply = await reader.readuntil(b"\r\n\r\n")
        assert reply.startswith(b"HTTP/1.1 200"), reply
        length = int(reply.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        idle.append((reader, writer))

    await serve(call)


if __name__ == "__main__":
    way = sys.argv[1]
    asyncio.run(over_http(Settings(_env_file=None)) if way == "http" else in_process(Settings(_env_file=None), way))
