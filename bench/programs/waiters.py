"""Callers that submit a message, wait for its end, and repeat: `python -m bench.programs.waiters PORT MESSAGES`.

Half of the messages are in threads of ten. It prints the messages per second of each tenth as soon as the tenth is
over. One extra tenth comes first, in which the queue reaches its steady length.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator

CALLERS = 32
THREAD_LENGTH = 10


def request(port: int, number: int, caller: int) -> bytes:
    """Return the bytes of a submit that waits."""
    thread = {"thread_id": f"{caller}-{number // (2 * THREAD_LENGTH * CALLERS)}"} if number % 2 else {}
    body = json.dumps({"message": "nothing", **thread}).encode()
    head = f"POST /messages HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nPrefer: wait=30\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def call(port: int, caller: int, numbers: Iterator[int]) -> None:
    """Submit one message for each number, one after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in numbers:
        writer.write(request(port, number, caller))
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]))
        assert head.startswith(b"HTTP/1.1 200"), head
        assert b'"completed"' in body, body
    writer.close()


async def run(port: int, messages: int) -> None:
    """Run eleven tenths, and print the rate of each."""
    for tenth in range(11):
        numbers = iter(range(tenth * messages // 10, (tenth + 1) * messages // 10))
        began = time.perf_counter()
        await asyncio.gather(*(call(port, caller, numbers) for caller in range(CALLERS)))
        print(messages / 10 / (time.perf_counter() - began), flush=True)


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]), int(sys.argv[2])))
