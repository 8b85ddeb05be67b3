"""Signals to a caller that its job has run, in the same way for every queue: one datagram from the job itself.

A datagram is the cheapest signal. It favours queues that record the end of a job after the job has run.
"""

import asyncio
import socket


def send_signal(text: str) -> None:
    """Signal, in the job with this argument, `PORT NUMBER`, that it has run."""
    port, number = text.split()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(number.encode(), ("127.0.0.1", int(port)))


class Notifier(asyncio.DatagramProtocol):
    """The caller's end: waits for the signals of its jobs."""

    def __init__(self) -> None:
        self.port = 0
        self._number = 0
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._transport: asyncio.DatagramTransport | None = None

    @classmethod
    async def listen(cls) -> "Notifier":
        """Listen for signals on a free port."""
        transport, signals = await asyncio.get_running_loop().create_datagram_endpoint(cls, local_addr=("127.0.0.1", 0))
        signals.port = transport.get_extra_info("sockname")[1]
        signals._transport = transport
        return signals

    def close(self) -> None:
        """Stop listening."""
        if self._transport is not None:
            self._transport.close()

    def expect(self) -> tuple[str, asyncio.Future[None]]:
        """Return the argument for a job, and a future that is done when the job has run."""
        self._number += 1
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[self._number] = done
        return f"{self.port} {self._number}", done

    def datagram_received(self, data: bytes, _: tuple[str | int, int]) -> None:
        """Complete the future of a job. Ignore a second signal of the same job."""
        done = self._waiting.pop(int(data), None)
        if done is not None and not done.done():
            done.set_result(None)
