"""Callers whose threads grow: `python -m bench.programs.growing_threads PORT THREADS`.

Each caller submits a message to its own thread, waits for its end, and repeats, during a round. Each line of the input
begins a round and has its seconds. For each line it prints the messages per second in that time.
"""

import asyncio
import json
import sys
import time

TEXT = "A question as people write it. " * 4


class Callers:
    """All callers, and how many of their messages have ended."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._running = asyncio.Event()
        self.ended = 0

    async def call(self, thread: str) -> None:
        """Submit one message after the other to a thread. Raises AssertionError if one does not complete."""
        body = json.dumps({"message": TEXT, "thread_id": thread}).encode()
        head = f"POST /messages HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nContent-Type: application/json\r\n"
        request = f"{head}Prefer: wait=30\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        while True:
            await self._running.wait()
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            assert b'"completed"' in body, body
            self.ended += 1

    async def round(self, seconds: float) -> float:
        """Return the messages per second in this time."""
        before, began = self.ended, time.perf_counter()
        self._running.set()
        await asyncio.sleep(seconds)
        self._running.clear()
        return (self.ended - before) / (time.perf_counter() - began)


async def main(port: int, threads: int) -> None:
    loop = asyncio.get_running_loop()
    callers = Callers(port)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(callers.call(f"thread {number}")) for number in range(threads)]
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            print(await callers.round(float(line)), flush=True)
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
