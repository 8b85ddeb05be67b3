"""DBOS on PostgreSQL or SQLite, by its URL: a workflow on a queue."""

import asyncio
import os
import sys
import threading

from dbos import DBOS, DBOSClient

from bench.peers.callers import serve, signalled
from bench.peers.signals import Notifier, send_signal


async def noop(argument: str) -> None:
    """The no-op job."""
    send_signal(argument)


def launch() -> None:
    """Start the worker. Create the tables if they are missing."""
    DBOS(config={"name": "bench", "system_database_url": os.environ["QUEUE_URL"], "application_version": "1"})
    DBOS.workflow(name="noop")(noop)
    DBOS.launch()
    DBOS.register_queue("jobs")


async def call_for_rounds() -> None:
    """Answer rounds; see `bench.peers.callers`."""
    client = DBOSClient(system_database_url=os.environ["QUEUE_URL"])

    async def enqueue(argument: str) -> None:
        await client.enqueue_async({"queue_name": "jobs", "workflow_name": "noop"}, argument)

    await serve(signalled(enqueue, await Notifier.listen()))


if __name__ == "__main__":
    if sys.argv[1] == "caller":
        asyncio.run(call_for_rounds())
    else:
        launch()
        if sys.argv[1] == "prepare":
            DBOS.destroy()
        else:
            threading.Event().wait()
