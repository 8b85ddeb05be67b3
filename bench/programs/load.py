"""Sends one request repeatedly over many kept-alive connections.

`python -m bench.programs.load PORT CONNECTIONS SECONDS [KEY]` prints one line of JSON. It is a separate process, so
that it does not share a core with the server.
"""

import asyncio
import json
import statistics
import sys
import time

BODY = json.dumps({"message": "What is the capital of France?", "priority": "normal"}).encode()


def request(port: int, key: str = "") -> bytes:
    """Return the bytes of one submit, with this API key unless it is empty."""
    head = f"POST /messages HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    if key:
        head += f"Authorization: Bearer {key}\r\n"
    return f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY


class Caller(asyncio.Protocol):
    """Sends the next request when the reply to the last one is complete."""

    def __init__(self, payload: bytes, latencies: list[float], failures: list[bytes]) -> None:
        self._payload = payload
        self._latencies = latencies
        self._failures = failures
        self._received = b""
        self._sent_at = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def _send(self) -> None:
        assert self._transport is not None
        self._sent_at = time.perf_counter()
        self._transport.write(self._payload)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        if not head.startswith(b"HTTP/1.1 202"):
            self._failures.append(head)
        self._latencies.append(time.perf_counter() - self._sent_at)
        self._received = b""
        self._send()

    def close(self) -> None:
        assert self._transport is not None
        self._transport.abort()


async def run(port: int, connections: int, seconds: float, key: str = "") -> dict[str, float]:
    """Send requests for `seconds`. Return requests per second, and latencies in milliseconds."""
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    failures: list[bytes] = []
    payload = request(port, key)
    opened = [
        await loop.create_connection(lambda: Caller(payload, latencies, failures), "127.0.0.1", port)
        for _ in range(connections)
    ]
    latencies.clear()
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    elapsed = time.perf_counter() - began
    measured = sorted(latencies)
    for _, caller in opened:
        caller.close()
    assert not failures, failures[0].decode()
    return {
        "per_second": len(measured) / elapsed,
        "p50_ms": statistics.median(measured) * 1000,
        "p99_ms": measured[int(len(measured) * 0.99)] * 1000,
    }


if __name__ == "__main__":
    sys.stdout.write(
        json.dumps(asyncio.run(run(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:])))
    )
