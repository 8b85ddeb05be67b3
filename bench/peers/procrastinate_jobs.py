"""Procrastinate on PostgreSQL through psycopg."""

import asyncio
import os

from procrastinate import App, PsycopgConnector

from bench.peers.callers import serve, signalled
from bench.peers.signals import Notifier, send_signal

app = App(connector=PsycopgConnector(conninfo=os.environ["QUEUE_URL"]), import_paths=["bench.peers.procrastinate_jobs"])


async def noop(argument: str) -> None:
    """The no-op job."""
    send_signal(argument)


job = app.task(name="noop")(noop)


async def call_for_rounds() -> None:
    """Answer rounds; see `bench.peers.callers`."""
    async with app.open_async():
        await serve(signalled(lambda argument: job.defer_async(argument=argument), await Notifier.listen()))


if __name__ == "__main__":
    asyncio.run(call_for_rounds())
