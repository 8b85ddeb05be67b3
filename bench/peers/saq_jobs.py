"""SAQ, on Redis or PostgreSQL by its URL."""

import asyncio
import os
from typing import Any

from saq import Queue

from bench.peers.callers import serve, signalled
from bench.peers.signals import Notifier, send_signal

queue = Queue.from_url(os.environ["QUEUE_URL"])


async def noop(_: Any, *, argument: str) -> None:
    """The no-op job."""
    send_signal(argument)


settings = {"queue": queue, "functions": [noop]}


async def call_for_rounds() -> None:
    """Answer rounds; see `bench.peers.callers`."""
    await queue.connect()
    await serve(signalled(lambda argument: queue.enqueue("noop", argument=argument), await Notifier.listen()))


if __name__ == "__main__":
    asyncio.run(call_for_rounds())
