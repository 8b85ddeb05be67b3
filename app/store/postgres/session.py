"""Sessions that survive a restart of the server."""

import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import psycopg
from psycopg.pq import TransactionStatus

from ...errors import CommitUnknown, StoreError, StoreUnavailable
from .connection import PREPARE_THRESHOLD, ReadOnly, configure, connect, mapped_errors
from .watchdog import Watchdog, WatchedSocket

logger = logging.getLogger(__name__)

SETTLE_SECONDS = 10.0
"""Maximum time to find out whether a commit happened after its connection was lost."""

SETTLE_AGAIN_SECONDS = 0.1

Rows = list[tuple[Any, ...]]


class Step(NamedTuple):
    """A named query and its values."""

    query: str
    values: Mapping[str, Any]


def step(query: str, /, **values: Any) -> Step:
    """Return a named query with these values."""
    return Step(query, values)


class Session:
    """A connection for one thread at a time. A lost connection is replaced.

    If anything in a transaction fails, all of it is rolled back. If the answer to a commit is lost, the session finds
    out on a new connection whether the transaction was committed. The watchdog cuts a connection whose answer takes too
    long.
    """

    def __init__(self, parameters: str, queries: Mapping[str, str], watchdog: Watchdog, running: int = 0) -> None:
        self._parameters = parameters
        self._queries = queries
        self._watchdog = watchdog
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._watched: WatchedSocket | None = None
        self._name = uuid.uuid4().hex
        self._commits = 0
        self._discarded = False
        self._snapshot_due = self._has_snapshot = False
        self._last: tuple[Step, ...] = ()
        self._committed_too: tuple[Step, ...] = ()
        self._backend: tuple[Any, ...] = ()
        self._closing = threading.Event()
        self.touched: set[str] = set()
        """Topics of the hints to send after the transaction."""
        self.freed: Counter[str] = Counter()
        """By tenant with a limit, how many messages the transaction has ended, put back or moved."""
        self.running = running
        """How many messages a tenant may run that has no limit in its record; 0 for any number."""

    @property
    def connected(self) -> bool:
        """Return whether there is a connection, as far as the driver knows."""
        return self._connection is not None and not self._connection.closed

    def open(self) -> None:
        """Connect, unless connected. Raises StoreUnavailable."""
        if self.connected:
            return
        with mapped_errors():
            self._connection = connect(self._parameters)
            try:
                self._watched = self._watchdog.watch(self._connection.fileno())
                with self._watched.exchange():
                    configure(self._connection)
                (self._backend,) = self._run(step("identify_backend"))
            except BaseException:
                self._drop()
                raise

    def close(self) -> None:
        """Close the connection."""
        self._closing.set()
        self._drop()

    def stop_settling(self) -> None:
        """Stop finding out whether a commit happened. Callable from any thread."""
        self._closing.set()

    def rows(self, query: str, /, **values: Any) -> Rows:
        """Return all rows of a named query."""
        return self._run(Step(query, values))

    def value(self, query: str, /, **values: Any) -> Any:
        """Return the first column of the first row, None if there is none."""
        rows = self._run(Step(query, values))
        return rows[0][0] if rows else None

    def run_all(self, *steps: Step) -> list[Rows]:
        """Return the rows of each step. All steps are sent before the first answer is awaited."""
        if self._snapshot_due:
            self._snapshot_due = False
            rows = self._begin("begin_read", steps)
            self._has_snapshot = True
            return rows
        connection, watched = self._connected
        with watched.exchange(), connection.pipeline():
            cursors = [connection.execute(self._queries[each.query], each.values) for each in steps]
        return list(map(_rows_of, cursors))

    @contextmanager
    def transaction(self, *first: Step) -> Iterator[list[Rows]]:
        """Run a transaction that begins with the steps `first`, and yield their rows. Raises our own errors."""
        rows = self._begin("begin_write", first)
        self._discarded, self._last = False, ()
        try:
            with mapped_errors():
                yield rows
        except BaseException as error:
            if not self._drop_if_lost(error):
                self._roll_back()
            raise
        self._commit()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Run reads on one snapshot, in a transaction that begins together with the first of them.

        It ends by `end_snapshot`, for which nobody has to wait. Raises our own errors.
        """
        self.end_snapshot()
        self._snapshot_due = True
        try:
            with mapped_errors():
                yield
        except BaseException as error:
            self._drop_if_lost(error)
            raise
        finally:
            self._snapshot_due = False

    def end_snapshot(self) -> None:
        """End the transaction of the reads, if there is one."""
        if self._has_snapshot:
            self._has_snapshot = False
            self._roll_back()

    def end_with(self, *steps: Step) -> None:
        """Send these last steps together with the commit. Their rows are not read."""
        self._last = steps

    @contextmanager
    def committing(self, *steps: Step) -> Iterator[None]:
        """Send these steps together with the commit of each transaction inside, unless it is discarded."""
        self._committed_too = steps
        try:
            yield
        finally:
            self._committed_too = ()

    def discard(self) -> None:
        """Roll the present transaction back at its end, since it has changed nothing."""
        self._discarded = True

    @contextmanager
    def statement(self) -> Iterator[None]:
        """Connect, and run statements without a transaction. Drops a lost connection."""
        self.open()
        try:
            with mapped_errors():
                yield
        except StoreError as error:
            self._drop_if_lost(error)
            raise

    def notifications(self, timeout: float) -> Iterator[str]:
        """Yield the payloads of notifications for `timeout` seconds."""
        connection, _ = self._connected
        for notification in connection.notifies(timeout=timeout):
            yield notification.payload

    @property
    def _connected(self) -> "tuple[psycopg.Connection[tuple[Any, ...]], WatchedSocket]":
        assert self._connection is not None, "used before open"
        assert self._watched is not None
        return self._connection, self._watched

    def _run(self, each: Step) -> Rows:
        if self._snapshot_due:
            return self.run_all(each)[0]
        connection, watched = self._connected
        with watched.exchange():
            cursor = connection.execute(self._queries[each.query], each.values)
        return _rows_of(cursor)

    def _begin(self, how: str, first: tuple[Step, ...]) -> list[Rows]:
        """Begin a transaction with the query `how`, and run the steps `first`. Return their rows.

        If the connection is lost, try once more on a new connection, since nothing has been done yet.
        """
        for again in (True, False):
            self.open()
            try:
                with mapped_errors():
                    return self.run_all(step(how), *first)[1:]
            except BaseException as error:
                lost = self._drop_if_lost(error)
                if not lost:
                    self._roll_back()
                if not (lost and again and isinstance(error, StoreUnavailable)):
                    raise
        raise AssertionError("the second time raises")

    def _roll_back(self) -> None:
        """Roll back. Drop the connection if the rollback fails. Keep the prepared statements if no statement failed.

        The driver forgets them at each rollback that it looks at, in case one names what the transaction had created.
        PostgreSQL would then parse and plan all of them again.
        """
        if self._connection is None:
            return
        connection, watched = self._connected
        if connection.info.transaction_status is TransactionStatus.INTRANS:
            connection.prepare_threshold = None  # what is never prepared is not looked at
        try:
            with watched.exchange():
                connection.execute("ROLLBACK", prepare=False)
        except psycopg.Error:
            self._drop()
        finally:
            connection.prepare_threshold = PREPARE_THRESHOLD

    def _commit(self) -> None:
        """Commit. Raises StoreUnavailable only if nothing was stored, CommitUnknown if that is uncertain."""
        if self._discarded:
            return self._roll_back()
        self._commits += 1
        try:
            with mapped_errors():
                mark = step("mark_commit", session=self._name, number=self._commits)
                self.run_all(*self._last, *self._committed_too, mark, step("commit"))
        except StoreError as error:
            if not self._drop_if_lost(error):
                self._roll_back()
                raise
            if isinstance(error, ReadOnly):
                raise
            if self._was_committed():
                return None
            raise StoreUnavailable("PostgreSQL: the connection was lost; nothing was stored.") from error

    def _was_committed(self) -> bool:
        """Return whether the last transaction was committed. Raises CommitUnknown if that cannot be found out.

        The server process of the lost connection is ended first. Only then is the answer final.
        """
        (pid, started), number = self._backend, self._commits
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline and not self._closing.is_set():
            try:
                self.open()
                with mapped_errors():
                    backends = self.rows("end_backend", pid=pid, started=started, milliseconds=2_000)
                    if all(ended for ended, _ in backends):
                        committed = bool(self.rows("find_commit", session=self._name, number=number))
                        if committed and any(awaited_standby for _, awaited_standby in backends):
                            raise CommitUnknown("Its standby has not confirmed it.")
                        return committed
            except CommitUnknown:
                raise
            except StoreError:
                self._drop()
            self._closing.wait(SETTLE_AGAIN_SECONDS)
        raise CommitUnknown

    def _drop_if_lost(self, error: BaseException) -> bool:
        """Drop the connection if it is closed or read-only. Return whether there is no connection now."""
        if isinstance(error, ReadOnly) or (self._connection is not None and self._connection.closed):
            self._drop()
        return self._connection is None

    def _drop(self) -> None:
        self._has_snapshot = False
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None
        if self._watched is not None:
            self._watchdog.forget(self._watched)
            self._watched = None


def _rows_of(cursor: "psycopg.Cursor[tuple[Any, ...]]") -> Rows:
    """Return the rows of a statement, none if it returns no rows. To ask `description` for that takes 10 us."""
    return [] if cursor.rownumber is None else cursor.fetchall()
