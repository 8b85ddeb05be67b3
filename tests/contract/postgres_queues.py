"""Empty queues on PostgreSQL for one test after the other, with the connections of the tests before."""

import atexit
import functools
import itertools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg.pq import TransactionStatus
from typing_extensions import override

from app.clock import Clock
from app.policy.rank import RankPolicy
from app.store.postgres.connection import connection_parameters
from app.store.postgres.migrations import prepare_database
from app.store.postgres.session import Session
from app.store.postgres.store import PostgresStore
from tests import postgres_server

KEPT_QUEUES = 3
"""More are made only while all are in use."""

KEEP_FIRST_ROWS = """
CREATE SCHEMA first_rows;
DO $$
DECLARE filled RECORD;
BEGIN
    FOR filled IN SELECT relname FROM pg_class
        WHERE relnamespace = 'agent_queue'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 0
    LOOP
        EXECUTE format('CREATE TABLE first_rows.%1$I AS TABLE agent_queue.%1$I', filled.relname);
    END LOOP;
END $$;
"""
"""The first rows that the migrations write, copied aside."""

RESTORE_FIRST_ROWS = """
DROP SCHEMA IF EXISTS agent_queue_memory CASCADE;
SET session_replication_role = replica;
DO $$
DECLARE each RECORD;
BEGIN
    FOR each IN SELECT relname, pg_relation_size(oid) > 65536 AS is_large FROM pg_class
        WHERE relnamespace = 'agent_queue'::regnamespace AND relkind = 'r'
    LOOP
        EXECUTE format(CASE WHEN each.is_large THEN 'TRUNCATE agent_queue.%I' ELSE 'DELETE FROM agent_queue.%I' END,
            each.relname);
    END LOOP;
    FOR each IN SELECT relname FROM pg_class WHERE relnamespace = 'first_rows'::regnamespace LOOP
        EXECUTE format('INSERT INTO agent_queue.%1$I TABLE first_rows.%1$I', each.relname);
    END LOOP;
    PERFORM setval(seqrelid, seqstart, FALSE) FROM pg_sequence JOIN pg_class ON pg_class.oid = seqrelid
        WHERE relnamespace = 'agent_queue'::regnamespace;
END $$;
UPDATE agent_queue.queue SET id = replace(gen_random_uuid()::text, '-', '');
"""
"""Without triggers. A small table is emptied row by row, for a tenth of what a new file for each index costs."""

Connection = psycopg.Connection[tuple[Any, ...]]


class Kept(NamedTuple):
    """A connection with our settings, and what its session knows of the server's process."""

    connection: Connection
    backend: tuple[Any, ...]


class Queue:
    """A database with a queue. Stores on it leave their connections to the next ones: new ones cost 80 ms a store."""

    def __init__(self, name: str) -> None:
        server = postgres_server.shared_server()
        server.execute(f"CREATE DATABASE {name}")
        self.url = server.url_of(name)
        prepare_database(connection_parameters(self.url), allow_volatile=True)
        self._admin: Connection = psycopg.connect(self.url, autocommit=True, prepare_threshold=None)
        self._admin.execute(KEEP_FIRST_ROWS)
        self.kept: defaultdict[int, list[Kept]] = defaultdict(list)
        """By the session's number in its store: a connection goes on with the statements that it has prepared."""
        self.stores: set[PostgresStore] = set()
        """The open ones."""

    def empty(self) -> None:
        """Bring it back to what it was after its migration, with another id."""
        self._admin.execute(RESTORE_FIRST_ROWS)

    def close(self) -> None:
        """Close the connections."""
        for each in itertools.chain.from_iterable(self.kept.values()):
            each.connection.close()
        self._admin.close()


class KeptSession(Session):
    """A session that takes a kept connection, and leaves its own."""

    def __init__(self, kept: list[Kept], *arguments: Any) -> None:
        super().__init__(*arguments)
        self._kept = kept
        self._listens = False

    @override
    def open(self) -> None:
        if not self.connected and self._kept:
            kept = self._kept.pop()
            self._connection, self._backend = kept.connection, kept.backend
            self._watched = self._watchdog.watch(self._connection.fileno())
        super().open()

    @override
    def close(self) -> None:
        if self._connection is not None and self._connection.info.transaction_status is TransactionStatus.IDLE:
            self._leave(self._connection)
        super().close()

    def _leave(self, connection: Connection) -> None:
        """Leave the connection to a later session, without the channel and the hints of this one."""
        if self._listens:
            connection.execute("UNLISTEN *", prepare=False)
            for _ in connection.notifies(timeout=0):
                pass
        self._kept.append(Kept(connection, self._backend))
        self._connection = None

    @override
    def notifications(self, timeout: float) -> Iterator[str]:
        self._listens = True
        return super().notifications(timeout)


class KeptPostgresStore(PostgresStore):
    """A store whose connections are kept."""

    def __init__(self, queue: Queue, ranks: RankPolicy | None, clock: Clock, running: int) -> None:
        self._queue = queue
        super().__init__(queue.url, ranks=ranks, clock=clock, allow_volatile=True, running=running)

    @override
    def _make_session(self) -> Session:
        return KeptSession(
            self._queue.kept[len(self._sessions)], self._parameters, self._queries, self._watchdog, self._running
        )

    @override
    def _prepare(self) -> bool:
        return False  # whoever made the queue has migrated it, on a server that does not flush

    @override
    async def open(self) -> None:
        self._queue.stores.add(self)
        await super().open()

    @override
    async def close(self) -> None:
        await super().close()
        self._queue.stores.discard(self)


class Queues:
    """The queues of one test process. Each folder has its own until another one needs it."""

    def __init__(self) -> None:
        self._queues: dict[Path, Queue] = {}

    def of(self, folder: Path) -> Queue:
        """Return the queue of a folder, empty when first asked for."""
        if folder not in self._queues:
            self._queues[folder] = self._unused() or Queue(f"queue_{len(self._queues)}")
        return self._queues[folder]

    def _unused(self) -> Queue | None:
        """Take out the oldest queue without an open store and empty it; None while there are only a few."""
        if len(self._queues) < KEPT_QUEUES:
            return None
        folder = next((folder for folder, queue in self._queues.items() if not queue.stores), None)
        if folder is None:
            return None
        queue = self._queues.pop(folder)
        queue.empty()
        return queue

    def close(self) -> None:
        """Close all connections."""
        for queue in self._queues.values():
            queue.close()


@functools.cache
def shared_queues() -> Queues:
    """Return the queues that all tests of a process use."""
    postgres_server.shared_server()  # ends after the queues
    queues = Queues()
    atexit.register(queues.close)
    return queues
