"""LangGraph's SQLite saver with a fence: only the newest attempt at a conversation may write to it.

The checkpoints have a file of their own, opened with Python's SQLite. Only APSW may open the queue's file, so a write
cannot check the fence in the queue's row. Instead, each attempt first stores its mark here, which ends the right of all
earlier attempts. Each later write checks the mark in its own transaction. The mark includes the queue's id, since a new
or restored queue begins with lower fences again.

One thread has the connection. Each call runs on that thread once, since a change of threads costs more than a
statement. A cancelled caller still waits for the end of its call.
"""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from contextvars import copy_context
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from langgraph.checkpoint.sqlite import SqliteSaver
from typing_extensions import override

from ..errors import MemoryDamaged, StoreUnavailable
from ..store.sql.named_sql import load_queries
from .answers import KEPT_CHANNEL, Writes
from .fence import Mark, config_of, input_task_of, lease_lost
from .saver import FencedSaver

T = TypeVar("T")

QUERIES = load_queries("sqlite", files(__name__.rpartition(".")[0]) / "sql")

SOON = "PRAGMA synchronous = NORMAL"
AT_ONCE = "PRAGMA synchronous = FULL"
"""SOON lets a commit reach the disk later. AT_ONCE is the default: a power loss undoes no finished step."""

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
IN_USE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
CHECK_SHARE = 10
"""The wait before a damaged file is checked again, as a multiple of the last check's duration."""

BUSY_TIMEOUT_SECONDS = 5
WAL_RETRY_SECONDS = 0.01


class _Statements(SqliteSaver):
    """LangGraph's statements, run in the caller's transaction and on one thread."""

    @contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[sqlite3.Cursor]:  # noqa: ARG002  LangGraph's
        """Yield a cursor, and do not commit."""
        with closing(self.conn.cursor()) as cursor:
            yield cursor


class FencedSqliteSaver(FencedSaver):
    """The agents' memory in a file; in this process's memory if `path` is None."""

    def __init__(
        self, path: Path | None, thread: ThreadPoolExecutor, queue_id: str, state_types: Collection[str]
    ) -> None:
        super().__init__(queue_id, state_types)
        self._path = path
        self._thread = thread
        self._statements: _Statements | None = None
        self._is_set_up = False
        self._damage: MemoryDamaged | None = None
        self._check_at = 0.0

    @property
    def conn(self) -> sqlite3.Connection:
        """Return the connection. Use it only on the saver's thread."""
        return self.statements.conn

    @property
    def statements(self) -> _Statements:
        """Return LangGraph's statements for the connection."""
        assert self._statements is not None, "used before a call has connected"
        return self._statements

    @override
    def get_next_version(self, current: str | None, channel: None) -> str:
        return SqliteSaver.get_next_version(cast(SqliteSaver, self), current, channel)

    async def setup(self) -> None:
        """Create the tables, as the first call would."""
        await self._call(lambda: None)

    async def close(self) -> None:
        """Close the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)

    @override
    async def ping(self) -> None:
        await self._call(lambda: self._first_row(QUERIES["find_fence"], ("", "", 0, 0)))

    @override
    async def _read(self, config: RunnableConfig) -> CheckpointTuple | None:
        def get() -> CheckpointTuple | None:
            mark = self._mark_of(config)
            if mark and not self._first_row(QUERIES["find_fence"], mark):
                self._take(config, mark)
            return self.statements.get_tuple(config)

        return await self._call(get)

    @override
    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        for found in await self._call(
            lambda: list(self.statements.list(config, filter=filter, before=before, limit=limit))
        ):
            yield found

    @override
    async def _save(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> None:
        place = {key: config["configurable"].get(key) for key in ("thread_id", "checkpoint_ns", "checkpoint_id")}
        await self._write(
            config, lambda: self.statements.put({"configurable": place}, checkpoint, metadata, new_versions)
        )

    @override
    async def _save_writes(self, config: RunnableConfig, writes: Writes, task_id: str, task_path: str) -> None:
        await self._write(config, lambda: self.statements.put_writes(config, writes, task_id, task_path))

    @override
    async def adelete_thread(self, thread_id: str) -> None:
        await self._write({"configurable": {}}, lambda: self.statements.delete_thread(thread_id))

    @override
    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        return await self._call(lambda: self.statements.get_delta_channel_history(config=config, channels=channels))

    @override
    async def forget(self, memory_keys: list[str]) -> None:

        def forget() -> None:
            for key in memory_keys:
                self.statements.delete_thread(key)
                self.conn.execute(QUERIES["forget_fence"], (key,))

        await self._write({"configurable": {}}, forget)

    @override
    async def forget_messages(self, memory_key: str, memory_fence: tuple[int, int], message_ids: Sequence[str]) -> None:

        def forget() -> None:
            found = self.conn.execute(QUERIES["checkpoints_of_runs"], (memory_key, json.dumps(message_ids))).fetchall()
            for namespace, checkpoint_id, parent_id in found:
                place = (memory_key, namespace, checkpoint_id)
                self.conn.execute(QUERIES["drop_checkpoint"], place)
                self.conn.execute(QUERIES["drop_writes"], place)
                if parent_id is not None:
                    self.conn.execute(
                        QUERIES["drop_input"], (memory_key, namespace, parent_id, input_task_of(parent_id))
                    )

        await self._write(config_of(memory_key, memory_fence), forget)

    @override
    async def forget_unfinished(self, memory_key: str, memory_fence: tuple[int, int]) -> None:
        values = (memory_key, KEPT_CHANNEL, memory_key)
        await self._write(
            config_of(memory_key, memory_fence), lambda: self.conn.execute(QUERIES["drop_unfinished"], values)
        )

    async def _write(self, config: RunnableConfig, write: Callable[[], T]) -> T:
        """Check the fence and write, in one transaction. Raises LeaseLost."""

        def written() -> T:
            mark = self._mark_of(config)
            self.conn.execute("BEGIN IMMEDIATE")
            if mark:
                self._hold(config, mark)
            result = write()
            self.conn.commit()
            return result

        return await self._call(written)

    async def _call(self, work: Callable[[], T]) -> T:
        """Run `work` on the saver's thread and return its result. Roll back whatever it leaves uncommitted."""

        def called() -> T:
            if not self._is_set_up:
                self._open()
            try:
                with mapped_errors():
                    try:
                        return work()
                    finally:
                        self.conn.rollback()
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
                    self._statements = _Statements(_connect(self._path), serde=self.serde)
                if (
                    self._damage is not None
                    and (found := self.conn.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok"
                ):
                    raise MemoryDamaged(f"The agents' memory is damaged: {found}")
                self._set_up()
            self._damage = None
        except StoreUnavailable as error:
            self._let_go(error)
            self._check_at = time.monotonic() + CHECK_SHARE * (time.monotonic() - began)
            raise

    def _let_go(self, error: StoreUnavailable) -> None:
        """Note damage to the file. Close the connection so that the file can be replaced, unless the file is locked."""
        self._damage = error if isinstance(error, MemoryDamaged) else self._damage
        if self._path is not None and _code(error.__cause__) not in IN_USE:
            self._disconnect()

    def _disconnect(self) -> None:
        if self._statements is not None:
            self._statements.conn.close()
        self._statements, self._is_set_up = None, False

    def _set_up(self) -> None:
        """Create the tables. Retry if other processes open the file too: a switch to WAL fails at once with BUSY."""
        deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
        while not self._is_set_up:
            try:
                self.statements.setup()
                self.conn.execute(QUERIES["create_fences"])
                self._is_set_up = True
            except sqlite3.OperationalError as error:
                if time.monotonic() > deadline or _code(error) not in IN_USE:
                    raise
                time.sleep(WAL_RETRY_SECONDS)

    def _take(self, config: RunnableConfig, mark: Mark) -> None:
        """Take the right to write, without waiting for the disk. Raises LeaseLost.

        All attempts on this file run on this machine. A power loss that undoes the mark also ends all earlier attempts.
        """
        self.conn.execute(SOON)
        try:
            self.conn.execute("BEGIN IMMEDIATE")
            self._hold(config, mark)
            self.conn.commit()
        finally:
            self.conn.rollback()
            self.conn.execute(AT_ONCE)

    def _hold(self, config: RunnableConfig, mark: Mark) -> None:
        """Take the right to write in this transaction, unless the attempt has it. Raises LeaseLost."""
        if not self._first_row(QUERIES["find_fence"], mark) and not self._first_row(QUERIES["take_fence"], mark):
            raise lease_lost(config, mark)

    def _first_row(self, query: str, values: tuple[Any, ...]) -> Any:
        return self.conn.execute(query, values).fetchone()


def _code(error: BaseException | None) -> int:
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
        if _code(error) not in DAMAGED:
            raise
        raise MemoryDamaged(f"The agents' memory is damaged: {error}") from error
    except OSError as error:
        raise StoreUnavailable(f"The agents' memory cannot be used: {error}") from error


@asynccontextmanager
async def open_saver(
    path: Path | None, queue_id: str, state_types: Collection[str] = ()
) -> AsyncIterator[FencedSqliteSaver]:
    """Open the saver on this file, or in memory if `path` is None, for the queue with this id."""
    with ThreadPoolExecutor(1, thread_name_prefix="sqlite-memory") as thread:
        saver = FencedSqliteSaver(path, thread, queue_id, state_types)
        try:
            await saver.setup()
            yield saver
        finally:
            await saver.close()


def _connect(path: Path | None) -> sqlite3.Connection:
    """Open the file so that only its owner can read it."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(0o600)
    return sqlite3.connect(path or ":memory:", timeout=BUSY_TIMEOUT_SECONDS, check_same_thread=False)
