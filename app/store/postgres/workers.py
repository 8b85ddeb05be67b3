"""Lists workers and renews their leases."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from typing_extensions import override

from ...clock import Clock
from ...models.attempts import Beat, Lease
from ...models.workers import Worker
from ..ports import LeaseRenewer
from ..rows import agents_text, load_text
from ..sql.workers import SqlWorkers
from .session import Session


class PostgresLeaseRenewer(LeaseRenewer):
    """A lease renewer with its own session."""

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    @override
    def beat(self, worker: Worker, leases: Collection[Lease], *, lease_seconds: float) -> Beat:
        with self._session.statement():
            rows = self._session.rows(
                "beat",
                id=worker.id,
                host=worker.host,
                pid=worker.pid,
                slots=worker.slots,
                agents=agents_text(worker),
                load=load_text(worker),
                clock_ahead_ms=worker.clock_ahead_ms,
                state=worker.state.value,
                now=self._clock.now(),
                ids=[lease.message_id for lease in leases],
                fences=[lease.fence for lease in leases],
                lease_milliseconds=int(lease_seconds * 1000),
            )
        held = {message_id: (fence, cancel_requested) for message_id, fence, cancel_requested in rows}
        _, draining = held.pop(None)
        cancelled = frozenset(message_id for message_id, (_, cancel_requested) in held.items() if cancel_requested)
        return Beat({message_id: fence for message_id, (fence, _) in held.items()}, cancelled, draining)

    @override
    def stop(self, worker_id: str) -> None:
        with self._session.statement():
            self._session.rows("remove_worker", id=worker_id, now=self._clock.now())


class PostgresWorkers(SqlWorkers):
    """Implements `WorkerStore` on PostgreSQL."""

    _make_session: Callable[[], Session]

    @override
    @contextmanager
    def open_lease_renewer(self) -> Iterator[LeaseRenewer]:
        session = self._make_session()
        try:
            session.open()
            yield PostgresLeaseRenewer(session, self._clock)
        finally:
            session.close()
