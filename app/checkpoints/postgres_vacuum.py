"""Makes room of deleted checkpoints usable again, sooner than PostgreSQL's autovacuum.

Each turn deletes the steps of the turn before. Autovacuum looks at a table once a minute. Until then, a busy
conversation writes several times the bytes of its messages.
"""

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from contextvars import Context

from psycopg.sql import SQL, Identifier

from ..errors import StoreError
from .postgres_lists import QUERIES, Connection

PRUNED_ROWS = 500
"""After deleting this many checkpoints, a process looks at how many dead rows the tables have."""


class Vacuum:
    """Vacuums the tables of the agents' memory in the background, while they are small and have many dead rows.

    Large tables are left to autovacuum, since a vacuum reads whole indexes.
    """

    def __init__(self, connection: Callable[[], AbstractAsyncContextManager[Connection]]) -> None:
        self._connection = connection
        self._pruned = 0
        self._running: asyncio.Task[None] | None = None

    def note_pruned(self, rows: int) -> None:
        """Count deleted checkpoints, and begin to vacuum when there are enough."""
        self._pruned += rows
        if self._pruned >= PRUNED_ROWS and (self._running is None or self._running.done()):
            self._pruned = 0
            # a context of its own: all tasks of a run's context end with the run
            self._running = asyncio.get_running_loop().create_task(self._vacuum(), context=Context())

    async def close(self) -> None:
        """Stop, and wait for the end."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def _vacuum(self) -> None:
        with contextlib.suppress(StoreError):  # autovacuum remains
            async with self._connection() as connection:
                tables = await (await connection.execute(QUERIES["tables_to_vacuum"].encode())).fetchall()
                for row in tables:
                    await connection.execute(SQL(QUERIES["vacuum"]).format(Identifier(row["name"])))
