"""Lists workers and renews their leases."""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
from typing_extensions import override

from ...models.attempts import Beat, Lease
from ...models.workers import Worker
from ..ports import LeaseRenewer
from ..rows import agents_text
from ..sql.workers import SqlWorkers
from .changes import Changes, Writing
from .connection import Heartbeats, connect, mapped_errors, retry_often


class WorkerWrites(Changes):
    """Stores heartbeats, inside a transaction."""

    def beat(self, worker: Worker, leases: Collection[Lease], lease_seconds: float) -> Beat:
        """Implement `LeaseRenewer.beat`."""
        now = self._now()
        self.execute(
            "beat_worker", id=worker.id, host=worker.host, pid=worker.pid, slots=worker.slots,
            agents=agents_text(worker), now=now,
        )  # fmt: skip
        until = now + int(lease_seconds * 1000)
        named = json.dumps({lease.message_id: lease.fence for lease in leases})
        held = self.rows("extend_leases", worker_id=worker.id, leases=named, lease_until=until, now=now)
        cancelled = frozenset(message_id for message_id, _, cancel_requested in held if cancel_requested)
        return Beat({message_id: fence for message_id, fence, _ in held}, cancelled)

    def remove_worker(self, worker_id: str) -> None:
        """Implement `LeaseRenewer.stop`."""
        self.execute("remove_worker", id=worker_id)


class SqliteLeaseRenewer(LeaseRenewer):
    """A lease renewer with its own connection. It writes before the next batch of the writing thread."""

    def __init__(self, connection: apsw.Connection, workers: WorkerWrites, heartbeats: Heartbeats) -> None:
        self._connection = connection
        self._workers = workers
        self._heartbeats = heartbeats

    @override
    def beat(self, worker: Worker, leases: Collection[Lease], *, lease_seconds: float) -> Beat:
        with self._heartbeats.transaction(self._connection):
            return self._workers.beat(worker, leases, lease_seconds)

    @override
    def stop(self, worker_id: str) -> None:
        with self._heartbeats.transaction(self._connection):
            self._workers.remove_worker(worker_id)


class SqliteWorkers(SqlWorkers):
    """Implements `WorkerStore` on one SQLite file."""

    _path: Path
    _writing: Writing
    _heartbeats: Heartbeats

    @override
    @contextmanager
    def open_lease_renewer(self) -> Iterator[LeaseRenewer]:
        with mapped_errors():
            connection = connect(self._path)
        retry_often(connection)
        writing = Writing(lambda: connection, self._writing.queries, self._writing.ranks, self._writing.clock)
        try:
            yield SqliteLeaseRenewer(connection, WorkerWrites(writing), self._heartbeats)
        finally:
            connection.close()
