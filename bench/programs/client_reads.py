"""Reads a prepared stream with the Python client and prints the seconds, as JSON.

Arguments: the address of a server that sends the stream to everybody, and its number of events. PYTHONPATH has to
name the client.
"""

import asyncio
import json
import sys
import time
import urllib.request

from agentq_client import AgentQ, AsyncAgentQ
from agentq_client.core.following import Following

PIECE_BYTES = 64 * 1024


def read_by_core(url: str) -> tuple[int, float]:
    """Return the events and the seconds of the part without input and output."""
    with urllib.request.urlopen(f"{url}/messages/m/stream") as reply:
        body = reply.read()
    state = Following("m")
    state.opened(200, {"content-type": "text/event-stream"})
    events, began = 0, time.perf_counter()
    for at in range(0, len(body), PIECE_BYTES):
        for event in state.receive(body[at : at + PIECE_BYTES]):
            events += state.accept(event)
    return events, time.perf_counter() - began


def read_by_threads(url: str) -> tuple[int, float]:
    """Return the events and the seconds with `AgentQ`, the connection included."""
    with AgentQ(url) as client:
        began = time.perf_counter()
        with client.follow("m") as stream:
            events = sum(1 for _ in stream)
        return events, time.perf_counter() - began


async def read_by_asyncio(url: str) -> tuple[int, float]:
    """Return the events and the seconds with `AsyncAgentQ`, the connection included."""
    async with AsyncAgentQ(url) as client:
        began, events = time.perf_counter(), 0
        async with client.follow("m") as stream:
            async for _ in stream:
                events += 1
        return events, time.perf_counter() - began


def main() -> None:
    url, expected = sys.argv[1], int(sys.argv[2])
    found = {
        "core": read_by_core(url),
        "AgentQ": read_by_threads(url),
        "AsyncAgentQ": asyncio.run(read_by_asyncio(url)),
    }
    assert {events for events, _ in found.values()} == {expected}
    print(json.dumps({name: seconds for name, (_, seconds) in found.items()}))


if __name__ == "__main__":
    main()
