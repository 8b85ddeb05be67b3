"""Celery on Redis, without a result backend. Its calls are synchronous. Each takes less than a change of threads."""

import asyncio
import os

from celery import Celery

from bench.peers.callers import serve, signalled
from bench.peers.signals import Notifier, send_signal

app = Celery("bench", broker=os.environ["QUEUE_URL"])


def noop(argument: str) -> None:
    """The no-op job."""
    send_signal(argument)


job = app.task(name="noop")(noop)


async def call_for_rounds() -> None:
    """Answer rounds; see `bench.peers.callers`."""

    async def enqueue(argument: str) -> None:
        job.delay(argument)

    await serve(signalled(enqueue, await Notifier.listen()))


if __name__ == "__main__":
    asyncio.run(call_for_rounds())
