"""Readers of streams: `python -m bench.programs.streamload PORT READERS SECONDS PATH…`, each PATH in turn for a reader.

Opens all readers and prints lines of JSON: one when each has its first bytes, and one with the events that came within
the seconds, or until all streams had ended with SECONDS 0.
"""

import asyncio
import functools
import json
import sys
import time


class Reader(asyncio.Protocol):
    """Counts events by their empty lines, and bytes."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self.events = 0
        self.opened = asyncio.get_running_loop().create_future()
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._payload)

    def data_received(self, data: bytes) -> None:
        self.events += data.count(b"\ndata: ")
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


async def run(port: int, readers: int, seconds: float, paths: list[str]) -> None:
    loop = asyncio.get_running_loop()
    opened: list[Reader] = []
    for number in range(readers):
        head = f"GET {paths[number % len(paths)]} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        _, reader = await loop.create_connection(functools.partial(Reader, head), "127.0.0.1", port)
        opened.append(reader)
        if number % 100 == 99:
            await asyncio.gather(*(each.opened for each in opened[-100:]))
    began = time.perf_counter()
    await asyncio.gather(*(each.opened for each in opened))
    say(open=len(opened))
    if seconds:
        await asyncio.sleep(seconds)
    else:
        await asyncio.gather(*(each.ended for each in opened))
    elapsed = time.perf_counter() - began
    say(events=sum(each.events for each in opened), seconds=elapsed)


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]))
