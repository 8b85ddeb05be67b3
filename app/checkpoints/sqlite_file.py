"""The SQLite file of the agents' memory: its connection, and SQLite's errors."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import TypeVar

from langgraph.checkpoint.sqlite import SqliteSaver

from ..errors import MemoryDamaged, StoreUnavailable
from ..store.sqlite.write_turns import BUSY_TIMEOUT_MILLISECONDS, WriteTurns
from .serializer import Serializer
from .sqlite_lists import QUERIES, set_up_lists

T = TypeVar("T")

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
IN_USE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
BUSY_TIMEOUT_SECONDS = BUSY_TIMEOUT_MILLISECONDS / 1000
PATIENCE_MILLISECONDS = 20
"""How long a writer waits for the write lock before it asks for its turn. Each run waits for its own transactions."""

RETRY_SECONDS = 0.0005
"""Pause between two tries of a writer for its turn, and in its turn for the write lock."""

CHECK_SHARE = 10
"""The wait before a damaged file is checked again, as a multiple of the last check's duration."""

WAL_RETRY_SECONDS = 0.01


class Statements(SqliteSaver):
    """LangGraph's statements, run in the caller's transaction and on one thread."""

    @contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[sqlite3.Cursor]:  # noqa: ARG002  LangGraph's
        """Yield a cursor, and do not commit."""
        with closing(self.conn.cursor()) as cursor:
            yield cursor


def primary_code(error: BaseException | None) -> int:
    """Return SQLite's primary result code for an error; 0 if there is none."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


@contextmanager
def mapped_errors() -> Iterator[None]:
    """Raise this program's errors in place of SQLite's."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(f"The agents' memory cannot be used: {error}") from error
    except sqlite3.DatabaseError as error:
        if primary_code(error) not in DAMAGED:
            raise
        raise MemoryDamaged(f"The agents' memory is damaged: {error}") from error
    except OSError as error:
        raise StoreUnavailable(f"The agents' memory cannot be used: {error}") from error


def connect(path: Path | None) -> sqlite3.Connection:
    """Open the file so that only its owner can read it."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(0o600)
    return sqlite3.connect(path or ":memory:", timeout=BUSY_TIMEOUT_SECONDS, check_same_thread=False)


class MemoryFile:
    """The connection to a file, or to this process's memory if `path` is None. One thread has the connection."""

    def __init__(self, path: Path | None, thread: ThreadPoolExecutor, serde: Serializer) -> None:
        self._path = path
        self._thread = thread
        self._serde = serde
        self._statements: Statements | None = None
        self._turns: WriteTurns | None = None
        if path is not None:
            self._turns = WriteTurns(path, patience_milliseconds=PATIENCE_MILLISECONDS, retry_seconds=RETRY_SECONDS)
        self._is_set_up = False
        self._damage: MemoryDamaged | None = None
        self._check_at = 0.0

    @property
    def statements(self) -> Statements:
        """Return LangGraph's statements for the connection. Use them only on the thread."""
        assert self._statements is not None, "used before a call has connected"
        return self._statements

    async def close(self) -> None:
        """Close the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)

    def begin(self) -> None:
        """Begin a transaction that writes, in turn with other processes. Use it only on the thread."""
        if self._turns is None:
            self.statements.conn.execute("BEGIN IMMEDIATE")
        elif not self._turns.begin(self._begin_within):
            error = sqlite3.OperationalError("another process writes for too long")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error

    def _begin_within(self, milliseconds: int) -> bool:
        connection = self.statements.conn
        connection.execute(f"PRAGMA busy_timeout = {milliseconds}")
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if primary_code(error) not in IN_USE:
                raise
            return False
        finally:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MILLISECONDS}")
        return True

    async def call(self, work: Callable[[], T]) -> T:
        """Run `work` on the thread and return its result. Roll back whatever it leaves uncommitted.

        A cancelled caller still waits for the end of its call.
        """

        def called() -> T:
            if not self._is_set_up:
                self._open()
            try:
                with mapped_errors():
                    try:
                        return work()
                    finally:
                        self.statements.conn.rollback()
            except StoreUnavailable as error:
                self._let_go(error)
                raise

        calling = asyncio.get_running_loop().run_in_executor(self._thread, copy_context().run, called)
        try:
            return await asyncio.shield(calling)
        except asyncio.CancelledError:
            await asyncio.wait([calling])
            if not calling.cancelled():
                calling.exception()  # retrieve the error so that asyncio does not log it
            raise

    def _open(self) -> None:
        """Connect and create the tables. Raises StoreUnavailable, also while a damaged file has not been replaced."""
        if self._damage is not None and time.monotonic() < self._check_at:
            raise self._damage.with_traceback(None)
        began = time.monotonic()
        try:
            with mapped_errors():
                if self._statements is None:
                    self._statements = Statements(connect(self._path), serde=self._serde)
                if self._turns is not None:
                    self._turns.open()
                if (
                    self._damage is not None
                    and (found := self._statements.conn.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok"
                ):
                    raise MemoryDamaged(f"The agents' memory is damaged: {found}")
                self._set_up(self._statements)
            self._damage = None
        except StoreUnavailable as error:
            self._let_go(error)
            self._check_at = time.monotonic() + CHECK_SHARE * (time.monotonic() - began)
            raise

    def _let_go(self, error: StoreUnavailable) -> None:
        """Note damage to the file. Close the connection so that the file can be replaced, unless the file is locked."""
        self._damage = error if isinstance(error, MemoryDamaged) else self._damage
        if self._path is not None and primary_code(error.__cause__) not in IN_USE:
            self._disconnect()

    def _disconnect(self) -> None:
        if self._statements is not None:
            self._statements.conn.close()
        if self._turns is not None:
            self._turns.close()
        self._statements, self._is_set_up = None, False

    def _set_up(self, statements: Statements) -> None:
        """Create the tables. Retry if other processes open the file too: a switch to WAL fails at once with BUSY."""
        deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
        while not self._is_set_up:
            try:
                statements.setup()
                statements.conn.execute(QUERIES["create_fences"])
                set_up_lists(statements.conn)
                self._is_set_up = True
            except sqlite3.OperationalError as error:
                if time.monotonic() > deadline or primary_code(error) not in IN_USE:
                    raise
                time.sleep(WAL_RETRY_SECONDS)
