"""Readers of streams: `python -m bench.programs.streamload`. It reads the arguments of `run` as a line of JSON.

It prints a line of JSON when all readers are open, and the number of events when all streams have ended. It also ends
when its input is closed.
"""

import asyncio
import functools
import itertools
import json
import sys
import time
from collections.abc import Sequence
from typing import cast

import uvloop

AT_ONCE = 100
"""Number of connections that are opened together."""


class Reader(asyncio.Protocol):
    """Counts the events of a stream by a text that each event has once."""

    def __init__(self, payload: bytes, mark: bytes) -> None:
        self._payload = payload
        self._mark = mark
        self._tail = b""
        self.events = 0
        self.opened = asyncio.get_running_loop().create_future()
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._payload)  # uvloop's transport has another class

    def data_received(self, data: bytes) -> None:
        data = self._tail + data
        self.events += data.count(self._mark)
        self._tail = data[1 - len(self._mark) :]  # shorter than the counted text, so that nothing is counted twice
        if not self.opened.done():
            self.opened.set_result(None)
        if data.endswith(b"0\r\n\r\n") and not self.ended.done():
            self.ended.set_result(None)

    def connection_lost(self, _: Exception | None) -> None:
        for future in (self.opened, self.ended):
            if not future.done():
                future.set_result(None)


def say(**fields: float) -> None:
    print(json.dumps(fields), flush=True)


def request(port: int, path: str, body: str) -> bytes:
    """Return a request to read a stream: a GET, or a POST with a body."""
    if not body:
        return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    about = f"Host: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {len(body.encode())}"
    return f"POST {path} HTTP/1.1\r\n{about}\r\n\r\n{body}".encode()


async def run(port: int, readers: int, paths: Sequence[str], mark: str = "\ndata: ", body: str = "") -> None:
    """Open `readers` connections, which get the paths in turn, and count their events. With `body`, they post it."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    payloads = itertools.cycle(request(port, path, body) for path in paths)
    opened: list[Reader] = []
    while len(opened) < readers:
        some = [
            await loop.create_connection(functools.partial(Reader, next(payloads), mark.encode()), "127.0.0.1", port)
            for _ in range(min(AT_ONCE, readers - len(opened)))
        ]
        opened += [reader for _, reader in some]
        await asyncio.gather(*(reader.opened for _, reader in some))
    say(open=len(opened))
    ended = asyncio.gather(*(each.ended for each in opened))
    closed = loop.run_in_executor(None, sys.stdin.read)
    await asyncio.wait([ended, closed], return_when=asyncio.FIRST_COMPLETED)
    say(events=sum(each.events for each in opened), seconds=time.perf_counter() - began)


if __name__ == "__main__":
    uvloop.run(run(**json.loads(sys.stdin.readline())))
