"""LangGraph's SQLite saver with a fence: only the newest attempt at a conversation may write to it.

The checkpoints are in a file of their own, opened with Python's SQLite; the queue's file is opened with APSW's only.
So the fence cannot be the queue's row. Instead an attempt first leaves its own fence here, which takes the right from
every earlier one, and each later write looks for it in its own transaction. The queue's id is a part of it: the numbers
of a queue that was made anew, or restored from a backup of another day, begin lower.
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from app.checkpoints.fence import Mark, config_of, input_task_of, lease_lost, mark_of, strict_serializer
from app.errors import StoreUnavailable

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
CHECKPOINTS_OF_RUNS = """
SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id FROM checkpoints
WHERE thread_id = ? AND json_extract(CAST(metadata AS TEXT), '$.run_id') IN (SELECT value FROM json_each(?))
"""
DROP_CHECKPOINT = "DELETE FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?"
DROP_WRITES = "DELETE FROM writes WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?"
DROP_INPUT = f"{DROP_WRITES} AND task_id = ?"
BUSY_TIMEOUT_SECONDS = 5
WAL_RETRY_SECONDS = 0.01


class FencedSqliteSaver(AsyncSqliteSaver):
    """A saver whose writes carry the attempt's fence in `configurable`. Meets `app.agents.base.AgentMemory`."""

    def __init__(self, connection: aiosqlite.Connection, queue_id: str) -> None:
        super().__init__(connection, serde=strict_serializer())
        self._queue_id = queue_id
        self._writing = asyncio.Lock()

    async def setup(self) -> None:
        """Make the tables. `synchronous` is FULL, the default: a finished step stays finished."""
        if not self.is_setup:
            await self._make_tables()
            await self.conn.execute(CREATE_FENCES)
            await self.conn.commit()

    async def _make_tables(self) -> None:
        """SQLite answers a switch to WAL with BUSY at once, whatever the timeout, while others open the file too."""
        time = asyncio.get_running_loop().time
        deadline = time() + BUSY_TIMEOUT_SECONDS
        while True:
            try:
                return await super().setup()
            except sqlite3.OperationalError:
                if time() > deadline:
                    raise
                await asyncio.sleep(WAL_RETRY_SECONDS)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Read a checkpoint; the attempt that reads takes the right to write. Raises LeaseLost."""
        if mark_of(config, self._queue_id):
            await _to_the_end(self._take(config))
        with mapped_errors():
            return await super().aget_tuple(config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """The checkpoints that match, newest first."""
        with mapped_errors():
            async for found in super().alist(config, filter=filter, before=before, limit=limit):
                yield found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint. Raises LeaseLost when a later attempt has begun."""

        async def put() -> RunnableConfig:
            async with self._fenced(config):
                return await AsyncSqliteSaver.aput(self, config, checkpoint, metadata, new_versions)

        return await _to_the_end(put())

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Save the writes of a task. Raises LeaseLost when a later attempt has begun."""

        async def put() -> None:
            async with self._fenced(config):
                await AsyncSqliteSaver.aput_writes(self, config, writes, task_id, task_path)

        await _to_the_end(put())

    async def forget(self, memory_keys: list[str]) -> None:
        """See `AgentMemory.forget`."""
        for key in memory_keys:
            await _to_the_end(self._forget(key))

    async def forget_messages(self, memory_key: str, memory_fence: tuple[int, int], message_ids: Sequence[str]) -> None:
        """See `AgentMemory.forget_messages`."""

        async def forget() -> None:
            async with self._fenced(config_of(memory_key, memory_fence)):
                query = self.conn.execute(CHECKPOINTS_OF_RUNS, (memory_key, json.dumps(message_ids)))
                async with query as rows:
                    for namespace, checkpoint_id, parent_id in await rows.fetchall():
                        place = (memory_key, namespace, checkpoint_id)
                        await self.conn.execute(DROP_CHECKPOINT, place)
                        await self.conn.execute(DROP_WRITES, place)
                        if parent_id is not None:
                            await self.conn.execute(
                                DROP_INPUT, (memory_key, namespace, parent_id, input_task_of(parent_id))
                            )
                await self.conn.commit()

        await _to_the_end(forget())

    async def _forget(self, key: str) -> None:
        async with self._writing:
            try:
                with mapped_errors():
                    await self.adelete_thread(key)
                    await self.conn.execute("DELETE FROM fences WHERE thread_id = ?", (key,))
                    await self.conn.commit()
            finally:
                await self.conn.rollback()

    async def _take(self, config: RunnableConfig) -> None:
        async with self._fenced(config):
            await self.conn.commit()

    @asynccontextmanager
    async def _fenced(self, config: RunnableConfig) -> AsyncIterator[None]:
        """One transaction around the saver's own statements and the look at the fence; the saver commits it."""
        async with self._writing:
            try:
                with mapped_errors():
                    await self.setup()
                    if mark := mark_of(config, self._queue_id):
                        await self.conn.execute("BEGIN IMMEDIATE")
                        await self._hold(config, mark)
                    yield
            finally:
                await self.conn.rollback()

    async def _hold(self, config: RunnableConfig, mark: Mark) -> None:
        """Make sure, inside a transaction, that no later attempt has the memory."""
        if not await self._first_row(FIND_FENCE, mark) and not await self._first_row(TAKE_FENCE, mark):
            raise lease_lost(config, mark)

    async def _first_row(self, query: str, values: tuple[Any, ...]) -> sqlite3.Row | None:
        async with self.conn.execute(query, values) as rows:
            return await rows.fetchone()


async def _to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Await work that must not stop half-way: a cancelled statement runs all the same, and its transaction stays."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # nobody is left to be told
        raise


@contextmanager
def mapped_errors() -> Iterator[None]:
    """Turns what SQLite raises into errors of ours."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(f"The agents' memory cannot be used: {error}") from error


@asynccontextmanager
async def open_saver(path: Path | None, queue_id: str) -> AsyncIterator[FencedSqliteSaver]:
    """The saver on this file, or in memory for None, for the messages of this queue."""
    if path is not None:
        await asyncio.to_thread(_create, path)
    async with aiosqlite.connect(path or ":memory:", timeout=BUSY_TIMEOUT_SECONDS) as connection:
        saver = FencedSqliteSaver(connection, queue_id)
        with mapped_errors():
            await saver.setup()
        yield saver


def _create(path: Path) -> None:
    """The file, readable to its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(0o600)
