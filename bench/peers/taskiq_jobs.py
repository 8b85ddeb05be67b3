"""taskiq on a Redis stream, the broker that its documents recommend because it acknowledges."""

import asyncio
import os

from taskiq_redis import RedisStreamBroker

from bench.peers.callers import serve, signalled
from bench.peers.signals import Notifier, tell

broker = RedisStreamBroker(os.environ["QUEUE_URL"])


async def noop(argument: str) -> None:
    """The no-op job."""
    tell(argument)


job = broker.register_task(noop, task_name="noop")


async def call_for_rounds() -> None:
    """Answer rounds; see `bench.peers.callers`."""
    await broker.startup()
    await serve(signalled(job.kiq, await Notifier.listen()))


if __name__ == "__main__":
    asyncio.run(call_for_rounds())
