"""Connects to the SQLite file: settings, migrations, error mapping, and batches.

APSW brings its own, current SQLite. Python's SQLite may be older than 3.51.3, which can corrupt a WAL when two
connections write at once. Never open the same file with both.
"""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import apsw
from typing_extensions import override

from ...errors import AgentQueueError, StoreError, StoreIncompatible, StoreRefused, StoreUnavailable
from ..schema_version import check_version
from ..sql.group_commit import BatchRunner, Operation, Result
from ..sql.named_sql import load_migrations
from .write_turns import BUSY_TIMEOUT_MILLISECONDS, WriteTurns

APPLICATION_ID = 0x41475451
"""`AGTQ` in the file's header, which identifies our databases."""

PATIENCE_MILLISECONDS = 100
"""How long a writer waits for the write lock before it asks for its turn. Meanwhile its next batch grows."""

RETRY_SECONDS = 0.0005
"""Pause between two tries of a writer for its turn, and in its turn for the write lock."""

WAL_RETRY_SECONDS = 0.01
WAL_SIZE_LIMIT_BYTES = 64 * 1024 * 1024


@contextmanager
def mapped_errors() -> Iterator[None]:
    """Turn SQLite's errors into our own."""
    try:
        yield
    except (apsw.BusyError, apsw.LockedError) as error:
        raise StoreUnavailable("The database is locked by another process; nothing was stored.") from error
    except apsw.FullError as error:
        raise StoreUnavailable("The disk or the database is full; nothing was stored.") from error
    except apsw.IOError as error:
        raise StoreUnavailable(f"The database file cannot be used: {error}") from error
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError, OSError) as error:
        raise StoreRefused(f"The database file cannot be used: {error}") from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise StoreIncompatible(f"The file is damaged or is no SQLite database: {error}") from error
    except apsw.Error as error:
        raise StoreError(f"SQLite: {error}") from error


def connect(path: Path) -> apsw.Connection:
    """Connect with our settings. A new file is readable by its owner only.

    Only a new file is opened here: closing a file ends all locks that other connections of this process have on it.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(FileExistsError):
        os.close(os.open(path.resolve(), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    if not stat.S_ISREG(path.stat().st_mode):
        raise StoreRefused("The database file cannot be used: it is a device or a pipe, not a file")
    connection = apsw.Connection(str(path))
    try:
        connection.set_busy_timeout(BUSY_TIMEOUT_MILLISECONDS)
        _refuse_foreign(connection)
        _switch_to_wal(connection)
        connection.execute(f"PRAGMA journal_size_limit = {WAL_SIZE_LIMIT_BYTES}")
        connection.execute("PRAGMA temp_store = MEMORY")
        # Else SQLite plans a statement again for each new value, if it might use a partial index.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    except BaseException:
        connection.close()
        raise
    return connection


def _switch_to_wal(connection: apsw.Connection) -> None:
    """Switch to WAL. Retries while another process opens the file: SQLite then answers BUSY, whatever the timeout."""
    deadline = time.monotonic() + BUSY_TIMEOUT_MILLISECONDS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(WAL_RETRY_SECONDS)


def migrate(connection: apsw.Connection, how: str | WriteTurns = "IMMEDIATE") -> None:
    """Bring the schema up to date under the write lock. Of processes that start together, only one migrates.

    Raises StoreIncompatible for a schema that this program does not know.
    """
    migrations = load_migrations("sqlite")
    with transaction(connection, how):
        version = connection.execute("PRAGMA user_version").get
        if connection.execute("SELECT count(*) FROM sqlite_schema").get:
            check_version(version)
        for number, script in migrations:
            if number > version:
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(script)
                connection.execute(f"PRAGMA user_version = {number}")


def _refuse_foreign(connection: apsw.Connection) -> None:
    """Raise StoreIncompatible for a database of another program, before anything is changed.

    One transaction reads both tables and application id, since another process may be creating them.
    """
    with transaction(connection, "DEFERRED"):
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
        application = connection.execute("PRAGMA application_id").get
    if tables and application != APPLICATION_ID:
        raise StoreIncompatible("The file is an SQLite database of another program; name another file.")


@contextmanager
def transaction(connection: apsw.Connection, how: str | WriteTurns) -> Iterator[None]:
    """Begin a transaction in the mode `how`, or as a writer that takes turns. At the end, commit or roll back."""
    if isinstance(how, WriteTurns):
        if not how.begin(partial(_begin_within, connection)):
            raise apsw.BusyError("another process writes for too long")
    else:
        connection.execute(f"BEGIN {how}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _begin_within(connection: apsw.Connection, milliseconds: int) -> bool:
    """Begin a transaction that writes. Return False if another one is still under way after `milliseconds`."""
    connection.set_busy_timeout(milliseconds)
    try:
        connection.execute("BEGIN IMMEDIATE")
    except apsw.BusyError:
        return False
    finally:
        connection.set_busy_timeout(BUSY_TIMEOUT_MILLISECONDS)
    return True


class Connected(BatchRunner):
    """A batch runner over one connection. Operations use the connection through `connection`."""

    mode: str | WriteTurns = "DEFERRED"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: apsw.Connection | None = None

    @property
    def connection(self) -> apsw.Connection:
        """Return the open connection. Only for the thread that runs the batches."""
        assert self._connection is not None, "used before open"
        return self._connection

    @override
    def open(self) -> None:
        with mapped_errors():
            self._connection = connect(self._path)

    @override
    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @override
    def run(self, batch: list[Operation]) -> list[Result]:
        """Run one transaction for the batch. An operation that raises rolls back only its own writes."""
        try:
            with mapped_errors():
                results = self.commit(batch)
        except AgentQueueError as error:
            return [Result(operation.future, None, error) for operation in batch]
        self.after_commit()
        return results

    @override
    def end(self) -> None:
        """Do nothing: the transaction of the batch has ended."""

    def commit(self, batch: list[Operation]) -> list[Result]:
        """Run the transaction of a batch. Return its results."""
        with transaction(self.connection, self.mode):
            self.after_begin()
            results = [self._run_one(operation) for operation in batch]
            self.before_commit()
        return results

    def after_begin(self) -> None:
        """Forget what a subclass knows of the transaction before."""

    def before_commit(self) -> None:
        """Write the rows that a subclass adds to the transaction."""

    def after_commit(self) -> None:
        """Publish the hints of the transaction."""

    def work(self, operation: Operation) -> Any:
        """Run one operation of a batch and return its result."""
        return operation.work()

    def _run_one(self, operation: Operation) -> Result:
        """Run one operation. Its own errors go to its caller; errors of SQLite end the batch."""
        try:
            return Result(operation.future, self.work(operation), None)
        except apsw.ConstraintError as error:
            return Result(operation.future, None, StoreError(f"SQLite: {error}"))
        except apsw.Error:
            raise
        except Exception as error:  # noqa: BLE001  the caller gets it
            return Result(operation.future, None, error)


class Reader(Connected):
    """Runs batches of reads, each on one snapshot. The connection cannot write."""

    @override
    def open(self) -> None:
        super().open()
        self.connection.execute("PRAGMA query_only = ON")


class _FailedAfterWriting(BaseException):
    """An operation raised after it had written. `except Exception` does not catch this, so it ends the batch."""


class Writer(Connected):
    """Runs batches of writes. State changes are on the disk before they are answered; streamed tokens may not be.

    The WAL is one log, so a durable commit also makes all earlier commits durable.
    """

    def __init__(self, path: Path, *, durable: bool) -> None:
        super().__init__(path)
        self.mode = self._turns = WriteTurns(
            path, patience_milliseconds=PATIENCE_MILLISECONDS, retry_seconds=RETRY_SECONDS
        )
        self._durable = durable
        self._synchronous: str | None = None
        self._with_savepoints = False

    @override
    def open(self) -> None:
        super().open()
        with mapped_errors():
            self._turns.open()
            migrate(self.connection, self._turns)

    @override
    def close(self) -> None:
        super().close()
        self._turns.close()

    @override
    def run(self, batch: list[Operation]) -> list[Result]:
        try:
            with mapped_errors():
                self._set_synchronous(any(operation.durable for operation in batch))
        except AgentQueueError as error:
            return [Result(operation.future, None, error) for operation in batch]
        return super().run(batch)

    def _set_synchronous(self, wanted: bool) -> None:
        level = "OFF" if not self._durable else "FULL" if wanted else "NORMAL"
        if level != self._synchronous:
            self.connection.execute(f"PRAGMA synchronous = {level}")
            self._synchronous = level

    @override
    def commit(self, batch: list[Operation]) -> list[Result]:
        # Few operations raise after they have written. Only a batch with such an operation runs again, with savepoints.
        self._with_savepoints = False
        try:
            return super().commit(batch)
        except _FailedAfterWriting:
            self._with_savepoints = True
            return super().commit(batch)

    @override
    def work(self, operation: Operation) -> Any:
        if self._with_savepoints:
            return self._work_in_savepoint(operation)
        before = self.connection.total_changes()
        try:
            return super().work(operation)
        except Exception as error:
            if self.connection.in_transaction and self.connection.total_changes() != before:
                raise _FailedAfterWriting from error
            raise

    def _work_in_savepoint(self, operation: Operation) -> Any:
        self.connection.execute("SAVEPOINT one")
        try:
            value = super().work(operation)
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK TO one")
            raise
        self.connection.execute("RELEASE one")
        return value
