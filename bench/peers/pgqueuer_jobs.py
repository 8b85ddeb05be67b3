"""PgQueuer on PostgreSQL through asyncpg."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from bench.peers.callers import serve, signalled
from bench.peers.signals import Signals, tell


async def noop(job: Job) -> None:
    """The no-op job."""
    tell((job.payload or b"").decode())


@asynccontextmanager
async def worker() -> AsyncGenerator[PgQueuer]:
    """What `pgq run` runs."""
    connection = await asyncpg.connect(os.environ["QUEUE_URL"])
    queue = PgQueuer(AsyncpgDriver(connection))
    queue.entrypoint("noop")(noop)
    yield queue
    await connection.close()


async def call_for_rounds() -> None:
    """Answer rounds; see `bench.peers.callers`."""
    async with asyncpg.create_pool(os.environ["QUEUE_URL"]) as pool:
        queries = Queries(AsyncpgPoolDriver(pool))

        async def enqueue(argument: str) -> None:
            await queries.enqueue("noop", argument.encode())

        await serve(signalled(enqueue, await Signals.listen()))


if __name__ == "__main__":
    asyncio.run(call_for_rounds())
