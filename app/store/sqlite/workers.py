"""Lists workers and renews their leases."""

import json
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import apsw
from typing_extensions import override

from ...models.attempts import Beat, Lease
from ...models.workers import Worker, WorkerState
from ..ports import LeaseRenewer
from ..rows import agents_text, load_text
from ..sql.workers import SqlWorkers
from .changes import Changes, Writing
from .connection import connect, mapped_errors, transaction
from .write_turns import WriteTurns

BEAT_RETRY_SECONDS = 0.0002
"""Pause between two tries of a heartbeat for its turn: shorter than that of writers, so that it mostly comes first."""


class WorkerWrites(Changes):
    """Stores heartbeats, inside a transaction."""

    def beat(self, worker: Worker, leases: Collection[Lease], lease_seconds: float) -> Beat:
        """Implement `LeaseRenewer.beat`."""
        now = self._now()
        state: str = self.execute(
            "beat_worker", id=worker.id, host=worker.host, pid=worker.pid, slots=worker.slots,
            agents=agents_text(worker), load=load_text(worker), clock_ahead_ms=worker.clock_ahead_ms,
            state=worker.state, now=now,
        ).get  # fmt: skip
        until = now + int(lease_seconds * 1000)
        named = json.dumps({lease.message_id: lease.fence for lease in leases})
        held = self.rows("extend_leases", worker_id=worker.id, leases=named, lease_until=until, now=now)
        cancelled = frozenset(message_id for message_id, _, cancel_requested in held if cancel_requested)
        fences = {message_id: fence for message_id, fence, _ in held}
        return Beat(fences, cancelled, draining=state != WorkerState.ACTIVE)

    def remove_worker(self, worker_id: str) -> None:
        """Implement `LeaseRenewer.stop`."""
        self.execute("record_leaving", id=worker_id, now=self._now())
        self.execute("remove_worker", id=worker_id)


class SqliteLeaseRenewer(LeaseRenewer):
    """A lease renewer with its own connection, which takes its turn among the writers of the file.

    A heartbeat does not wait for the disk, which long transactions of others keep busy. A loss of power ends the worker
    as well as its leases.
    """

    def __init__(self, connection: apsw.Connection, workers: WorkerWrites, turns: WriteTurns) -> None:
        self._connection = connection
        self._workers = workers
        self._turns = turns

    @override
    def beat(self, worker: Worker, leases: Collection[Lease], *, lease_seconds: float) -> Beat:
        with mapped_errors(), transaction(self._connection, self._turns):
            return self._workers.beat(worker, leases, lease_seconds)

    @override
    def stop(self, worker_id: str) -> None:
        with mapped_errors(), transaction(self._connection, self._turns):
            self._workers.remove_worker(worker_id)


class SqliteWorkers(SqlWorkers):
    """Implements `WorkerStore` on one SQLite file."""

    _path: Path
    _writing: Writing

    @override
    @contextmanager
    def open_lease_renewer(self) -> Iterator[LeaseRenewer]:
        turns = WriteTurns(self._path, patience_milliseconds=0, retry_seconds=BEAT_RETRY_SECONDS)
        with mapped_errors(), ExitStack() as opening:
            connection = connect(self._path)
            opening.callback(connection.close)
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA wal_autocheckpoint = 0")  # the writers do this
            turns.open()
            opening.callback(turns.close)
            opened = opening.pop_all()
        writing = Writing(lambda: connection, self._writing.queries, self._writing.ranks, self._writing.clock)
        with opened:
            yield SqliteLeaseRenewer(connection, WorkerWrites(writing), turns)
