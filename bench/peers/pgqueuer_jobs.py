"""PgQueuer on PostgreSQL through asyncpg."""

import asyncio
import os
import sys

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from bench.peers.callers import serve, signalled
from bench.peers.signals import Notifier, send_signal


async def noop(job: Job) -> None:
    """The no-op job."""
    send_signal((job.payload or b"").decode())


async def work() -> None:
    """Run the worker. The command `pgq run` would do the same, but fails with the typer version in this environment."""
    connection = await asyncpg.connect(os.environ["QUEUE_URL"])
    queue = PgQueuer(AsyncpgDriver(connection))
    queue.entrypoint("noop")(noop)
    await queue.run()


async def call_for_rounds() -> None:
    """Answer rounds; see `bench.peers.callers`."""
    async with asyncpg.create_pool(os.environ["QUEUE_URL"]) as pool:
        queries = Queries(AsyncpgPoolDriver(pool))

        async def enqueue(argument: str) -> None:
            await queries.enqueue("noop", argument.encode())

        await serve(signalled(enqueue, await Notifier.listen()))


if __name__ == "__main__":
    asyncio.run(work() if sys.argv[1] == "worker" else call_for_rounds())
