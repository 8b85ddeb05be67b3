"""arq on Redis."""

import asyncio
import os
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings

from bench.peers.callers import serve, signalled
from bench.peers.signals import Notifier, send_signal


async def noop(_: Any, argument: str) -> None:
    """The no-op job."""
    send_signal(argument)


class WorkerSettings:
    """The settings of the worker, which the command `arq` runs."""

    functions = (noop,)
    redis_settings = RedisSettings.from_dsn(os.environ["QUEUE_URL"])


async def call_for_rounds() -> None:
    """Answer rounds; see `bench.peers.callers`."""
    pool = await create_pool(WorkerSettings.redis_settings)
    await serve(signalled(lambda argument: pool.enqueue_job("noop", argument), await Notifier.listen()))


if __name__ == "__main__":
    asyncio.run(call_for_rounds())
