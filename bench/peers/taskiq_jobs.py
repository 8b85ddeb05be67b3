"""taskiq on a Redis stream. Its documentation recommends this broker, because it acknowledges messages."""

import asyncio
import os

from taskiq_redis import RedisStreamBroker

from bench.peers.callers import serve, signalled
from bench.peers.signals import Notifier, send_signal

broker = RedisStreamBroker(os.environ["QUEUE_URL"])


async def noop(argument: str) -> None:
    """The no-op job."""
    send_signal(argument)


job = broker.register_task(noop, task_name="noop")


async def call_for_rounds() -> None:
    """Answer rounds; see `bench.peers.callers`."""
    await broker.startup()
    await serve(signalled(job.kiq, await Notifier.listen()))


if __name__ == "__main__":
    asyncio.run(call_for_rounds())
