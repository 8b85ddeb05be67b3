"""The processes of a run around one database."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tests.chaos.backends import BACKENDS, Database
from tests.chaos.processes import ChaosProcess, Tampering, untouched

LEASE_SECONDS = 1.0


class Cluster:
    """A database, and what has been started on it."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.processes: list[ChaosProcess] = []
        self._folder = folder

    def add(self, kind: str, name: str, *, slots: int, tamper: Tampering = untouched, **settings: str) -> ChaosProcess:
        """Start an `api` or a `worker` with this number of slots and these settings. It may not be ready yet."""
        process = ChaosProcess(
            kind,
            name,
            self._folder,
            tamper=tamper,
            DATABASE_URL=self.database.url,
            WORKER_CONCURRENCY=str(slots),
            LEASE_SECONDS=str(LEASE_SECONDS),
            SHUTDOWN_GRACE_SECONDS="1",
            **settings,
        )
        process.start()
        self.processes.append(process)
        return process


@contextlib.asynccontextmanager
async def cluster(backend: str, folder: Path) -> AsyncIterator[Cluster]:
    """An empty cluster on this backend; all of it ends with the block."""
    async with BACKENDS[backend](folder) as database:
        running = Cluster(database, folder)
        try:
            yield running
        finally:
            for process in running.processes:
                process.close()
