"""LangGraph's SQLite saver with a fence: only the newest attempt at a conversation may write to it.

The checkpoints are in a file of their own, opened with Python's SQLite; the queue's file is opened with APSW's only.
So the fence cannot be the queue's row. Instead an attempt first leaves its own fence here, which takes the right from
every earlier one, and each later write looks for it in its own transaction. The queue's id is a part of it: the numbers
of a queue that was made anew, or restored from a backup of another day, begin lower.

One thread has the connection. Each call goes there once and does there all that it has to, for a change of threads
costs more than a statement. Whoever is cancelled meanwhile still waits for its end.
"""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from contextvars import copy_context
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

from ..errors import MemoryDamaged, StoreUnavailable
from .answers import KEPT_CHANNEL, note_answers, settled
from .fence import (
    Mark,
    config_of,
    input_task_of,
    keep_read,
    kept_read,
    lease_lost,
    mark_of,
    metadata_of,
)
from .serializer import Serializer
from .threads import CalledFromThreads

T = TypeVar("T")

CREATE_FENCES = """
CREATE TABLE IF NOT EXISTS fences (
    thread_id TEXT PRIMARY KEY, queue TEXT NOT NULL, message INTEGER NOT NULL, fence INTEGER NOT NULL
) WITHOUT ROWID
"""
TAKE_FENCE = """
INSERT INTO fences (thread_id, queue, message, fence) VALUES (?, ?, ?, ?)
ON CONFLICT (thread_id) DO UPDATE SET queue = excluded.queue, message = excluded.message, fence = excluded.fence
WHERE excluded.queue <> queue OR (excluded.message, excluded.fence) >= (message, fence)
RETURNING 1
"""
FIND_FENCE = "SELECT 1 FROM fences WHERE thread_id = ? AND queue = ? AND message = ? AND fence = ?"
FORGET_FENCE = "DELETE FROM fences WHERE thread_id = ?"
CHECKPOINTS_OF_RUNS = """
SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id FROM checkpoints
WHERE thread_id = ? AND json_extract(CAST(metadata AS TEXT), '$.run_id') IN (SELECT value FROM json_each(?))
"""
DROP_CHECKPOINT = "DELETE FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?"
DROP_WRITES = "DELETE FROM writes WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?"
DROP_INPUT = f"{DROP_WRITES} AND task_id = ?"
DROP_UNFINISHED = """
DELETE FROM writes WHERE thread_id = ? AND channel <> ? AND (checkpoint_ns, checkpoint_id) IN (
    SELECT checkpoint_ns, max(checkpoint_id) FROM checkpoints WHERE thread_id = ? GROUP BY checkpoint_ns
)
"""
SOON = "PRAGMA synchronous = NORMAL"
AT_ONCE = "PRAGMA synchronous = FULL"
"""How soon a commit is on the disk. FULL is the default: a finished step stays finished."""

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
IN_USE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
CHECK_SHARE = 10
"""Whether a file is damaged is checked again after so many times as long as the last check took."""

BUSY_TIMEOUT_SECONDS = 5
WAL_RETRY_SECONDS = 0.01


class _Statements(SqliteSaver):
    """LangGraph's statements, in the transaction of whoever calls and on one thread only."""

    @contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[sqlite3.Cursor]:  # noqa: ARG002  LangGraph's
        """A cursor; nothing is committed."""
        with closing(self.conn.cursor()) as cursor:
            yield cursor


class FencedSqliteSaver(CalledFromThreads):
    """A saver whose writes carry the attempt's fence in `configurable`. Meets `app.agents.base.AgentMemory`."""

    def __init__(
        self, path: Path | None, thread: ThreadPoolExecutor, queue_id: str, state_types: Collection[str]
    ) -> None:
        super().__init__(Serializer(state_types))
        self._path = path
        self._thread = thread
        self._queue_id = queue_id
        self._statements: _Statements | None = None
        self._is_set_up = False
        self._damage: MemoryDamaged | None = None
        self._check_at = 0.0

    @property
    def conn(self) -> sqlite3.Connection:
        """The connection, in the thread that has it."""
        return self.statements.conn

    @property
    def statements(self) -> _Statements:
        """LangGraph's statements on the connection."""
        assert self._statements is not None, "used before a call has connected"
        return self._statements

    def get_next_version(self, current: str | None, channel: None) -> str:
        """As LangGraph's saver makes them."""
        return SqliteSaver.get_next_version(cast(SqliteSaver, self), current, channel)

    async def setup(self) -> None:
        """Make the tables, as the first call does anyway."""
        await self._call(lambda: None)

    async def close(self) -> None:
        """Let go of the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)

    async def ping(self) -> None:
        """Ask whether the file can be read. Raises StoreUnavailable."""
        await self._call(lambda: self._first_row(FIND_FENCE, ("", "", 0, 0)))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Read a checkpoint; the attempt that reads takes the right to write. Raises LeaseLost."""

        def get() -> CheckpointTuple | None:
            mark = mark_of(config, self._queue_id)
            if mark and not self._first_row(FIND_FENCE, mark):
                self._take(config, mark)
            return self.statements.get_tuple(config)

        if kept := kept_read(config):
            return kept.pop()
        found = await self._call(get)
        keep_read(config, found)
        note_answers(config, found)
        return found

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """The checkpoints that match, newest first."""
        for found in await self._call(
            lambda: list(self.statements.list(config, filter=filter, before=before, limit=limit))
        ):
            yield found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint. Raises LeaseLost when a later attempt has begun."""
        place = {key: config["configurable"].get(key) for key in ("thread_id", "checkpoint_ns", "checkpoint_id")}
        about = metadata_of(config, metadata)
        with self.serde.naming(checkpoint["channel_values"].items()):
            return await self._write(
                config, lambda: self.statements.put({"configurable": place}, checkpoint, about, new_versions)
            )

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Save the writes of a task. Raises LeaseLost when a later attempt has begun."""
        writes = settled(config, writes, task_id)
        with self.serde.naming(writes):
            await self._write(config, lambda: self.statements.put_writes(config, writes, task_id, task_path))

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete all checkpoints of a conversation."""
        await self._write({"configurable": {}}, lambda: self.statements.delete_thread(thread_id))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """What the ancestors of a checkpoint wrote to these channels."""
        return await self._call(lambda: self.statements.get_delta_channel_history(config=config, channels=channels))

    async def forget(self, memory_keys: list[str]) -> None:
        """See `AgentMemory.forget`."""

        def forget() -> None:
            for key in memory_keys:
                self.statements.delete_thread(key)
                self.conn.execute(FORGET_FENCE, (key,))

        await self._write({"configurable": {}}, forget)

    async def forget_messages(self, memory_key: str, memory_fence: tuple[int, int], message_ids: Sequence[str]) -> None:
        """See `AgentMemory.forget_messages`."""

        def forget() -> None:
            found = self.conn.execute(CHECKPOINTS_OF_RUNS, (memory_key, json.dumps(message_ids))).fetchall()
            for namespace, checkpoint_id, parent_id in found:
                place = (memory_key, namespace, checkpoint_id)
                self.conn.execute(DROP_CHECKPOINT, place)
                self.conn.execute(DROP_WRITES, place)
                if parent_id is not None:
                    self.conn.execute(DROP_INPUT, (memory_key, namespace, parent_id, input_task_of(parent_id)))

        await self._write(config_of(memory_key, memory_fence), forget)

    async def forget_unfinished(self, memory_key: str, memory_fence: tuple[int, int]) -> None:
        """See `AgentMemory.forget_unfinished`."""
        values = (memory_key, KEPT_CHANNEL, memory_key)
        await self._write(config_of(memory_key, memory_fence), lambda: self.conn.execute(DROP_UNFINISHED, values))

    async def _write(self, config: RunnableConfig, write: Callable[[], T]) -> T:
        """Write in one transaction with the look at the fence."""

        def written() -> T:
            mark = mark_of(config, self._queue_id)
            self.conn.execute("BEGIN IMMEDIATE")
            if mark:
                self._hold(config, mark)
            result = write()
            self.conn.commit()
            return result

        return await self._call(written)

    async def _call(self, work: Callable[[], T]) -> T:
        """Have the thread do this; what it leaves uncommitted is undone."""

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
                calling.exception()  # nobody is left to be told
            raise

    def _open(self) -> None:
        """Connect and make the tables; of a file that was damaged, when it has been replaced.

        Raises StoreUnavailable.
        """
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
        """Disconnect where the file itself is the trouble: it is mended by putting another one in its place."""
        self._damage = error if isinstance(error, MemoryDamaged) else self._damage
        if self._path is not None and _code(error.__cause__) not in IN_USE:
            self._disconnect()

    def _disconnect(self) -> None:
        if self._statements is not None:
            self._statements.conn.close()
        self._statements, self._is_set_up = None, False

    def _set_up(self) -> None:
        """SQLite answers a switch to WAL with BUSY at once, whatever the timeout, while others open the file too."""
        deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
        while not self._is_set_up:
            try:
                self.statements.setup()
                self.conn.execute(CREATE_FENCES)
                self._is_set_up = True
            except sqlite3.OperationalError as error:
                if time.monotonic() > deadline or _code(error) not in IN_USE:
                    raise
                time.sleep(WAL_RETRY_SECONDS)

    def _take(self, config: RunnableConfig, mark: Mark) -> None:
        """Take the right to write. The commit need not wait for the disk.

        All attempts with this file are of this machine: a loss of power that takes back the mark has ended the others.
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
        """Make sure, inside a transaction, that no later attempt has the memory."""
        if not self._first_row(FIND_FENCE, mark) and not self._first_row(TAKE_FENCE, mark):
            raise lease_lost(config, mark)

    def _first_row(self, query: str, values: tuple[Any, ...]) -> Any:
        return self.conn.execute(query, values).fetchone()


def _code(error: BaseException | None) -> int:
    """SQLite's primary result code; 0 where SQLite gave none."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


@contextmanager
def mapped_errors() -> Iterator[None]:
    """Turns what SQLite raises into errors of ours."""
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
    """The saver on this file, or in memory for None, for the messages of this queue."""
    with ThreadPoolExecutor(1, thread_name_prefix="sqlite-memory") as thread:
        saver = FencedSqliteSaver(path, thread, queue_id, state_types)
        try:
            await saver.setup()
            yield saver
        finally:
            await saver.close()


def _connect(path: Path | None) -> sqlite3.Connection:
    """The file is readable to its owner only."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(0o600)
    return sqlite3.connect(path or ":memory:", timeout=BUSY_TIMEOUT_SECONDS, check_same_thread=False)
