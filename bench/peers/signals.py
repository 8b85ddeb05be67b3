"""How a caller learns that its job has run, the same way for every queue: one datagram from the job itself.

That is the cheapest way there is, and it favours those who record the end of a job after it.
"""

import asyncio
import socket


def tell(text: str) -> None:
    """Called by the job with its argument, `PORT NUMBER`."""
    port, number = text.split()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(number.encode(), ("127.0.0.1", int(port)))


class Notifier(asyncio.DatagramProtocol):
    """The caller's side."""

    def __init__(self) -> None:
        self.port = 0
        self._number = 0
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._transport: asyncio.DatagramTransport | None = None

    @classmethod
    async def listen(cls) -> "Notifier":
        """Signals on a free port."""
        transport, signals = await asyncio.get_running_loop().create_datagram_endpoint(cls, local_addr=("127.0.0.1", 0))
        signals.port = transport.get_extra_info("sockname")[1]
        signals._transport = transport
        return signals

    def close(self) -> None:
        """Hear no more."""
        if self._transport is not None:
            self._transport.close()

    def expect(self) -> tuple[str, asyncio.Future[None]]:
        """The argument for a job, and what is done when it has run."""
        self._number += 1
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[self._number] = told
        return f"{self.port} {self._number}", told

    def datagram_received(self, data: bytes, _: tuple[str | int, int]) -> None:
        """See asyncio. A job that runs twice tells twice."""
        told = self._waiting.pop(int(data), None)
        if told is not None and not told.done():
            told.set_result(None)
