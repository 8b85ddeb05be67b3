"""LangGraph's PostgreSQL saver with a fence: only the newest attempt at a conversation may write to it.

The rule is that of `app.checkpoints.sqlite`. Here many processes write at once, so the attempt's mark is held with a
row lock while its checkpoint is written, in one transaction: a later attempt that takes the memory waits for the
writes that found the mark, and a write waits for a taking that is under way, and then finds its mark gone.

LangGraph's saver lets one statement of a process through at a time. So each call here has a saver of its own, on a
connection of its own from the pool.
"""

import asyncio
import select
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar, cast

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import AsyncConnection, errors
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from app.checkpoints.fence import config_of, input_task_of, lease_lost, mark_of, strict_serializer
from app.errors import StoreError, StoreUnavailable
from app.store.postgres.connection import connection_parameters

T = TypeVar("T")
Connection = AsyncConnection[DictRow]

MIGRATIONS = [script.replace(" CONCURRENTLY", "") for script in AsyncPostgresSaver.MIGRATIONS]
"""LangGraph's, all in one transaction: an index that is made beside it and cut off would stay behind, invalid."""

LOCK_SETUP = "SELECT pg_advisory_xact_lock(hashtext('agent_queue checkpoints'))"
SCHEMA_IS_MISSING = "SELECT 1 WHERE to_regnamespace('agent_queue_memory') IS NULL"
CREATE_SCHEMA = "CREATE SCHEMA agent_queue_memory"
SET_SCHEMA = "SET search_path TO agent_queue_memory"
SET_ISOLATION = "SET default_transaction_isolation TO 'read committed'"
"""What is read behind a wait for the fence has to be as it is after the wait, whatever this server's default is."""

CREATE_FENCES = """
CREATE TABLE IF NOT EXISTS checkpoint_fences (
    thread_id text PRIMARY KEY, queue text NOT NULL, message bigint NOT NULL, fence bigint NOT NULL
)
"""
TAKE_FENCE = """
WITH mine (thread_id, queue, message, fence) AS (VALUES (%s, %s, %s::bigint, %s::bigint)),
held AS (SELECT 1 FROM checkpoint_fences JOIN mine USING (thread_id, queue, message, fence)),
taken AS (
    INSERT INTO checkpoint_fences AS newest (thread_id, queue, message, fence)
    SELECT thread_id, queue, message, fence FROM mine WHERE NOT EXISTS (SELECT FROM held)
    ON CONFLICT (thread_id) DO UPDATE SET queue = excluded.queue, message = excluded.message, fence = excluded.fence
    WHERE excluded.queue <> newest.queue OR (excluded.message, excluded.fence) >= (newest.message, newest.fence)
    RETURNING 1
)
SELECT 1 FROM held UNION ALL SELECT 1 FROM taken
"""
"""Writes nothing where the mark is there already, so that only the first read of an attempt waits for the disk."""

HOLD_FENCE = """
SELECT 1 FROM checkpoint_fences WHERE thread_id = %s AND queue = %s AND message = %s AND fence = %s FOR SHARE
"""
FORGET = (
    "DELETE FROM checkpoint_fences WHERE thread_id = ANY(%s)",
    "DELETE FROM checkpoints WHERE thread_id = ANY(%s)",
    "DELETE FROM checkpoint_blobs WHERE thread_id = ANY(%s)",
    "DELETE FROM checkpoint_writes WHERE thread_id = ANY(%s)",
)
"""The fences first: who writes holds its own before it touches the other tables, so nobody waits for each other."""

DROP_CHECKPOINTS_OF_RUNS = """
DELETE FROM checkpoints WHERE thread_id = %s AND metadata ->> 'run_id' = ANY(%s)
RETURNING checkpoint_ns, checkpoint_id, parent_checkpoint_id
"""
DROP_WRITES = "DELETE FROM checkpoint_writes WHERE thread_id = %s AND checkpoint_ns = %s AND checkpoint_id = %s"
DROP_INPUT = f"{DROP_WRITES} AND task_id = %s"
DROP_UNUSED_VALUES = """
DELETE FROM checkpoint_blobs AS b WHERE thread_id = %s AND NOT EXISTS (
    SELECT 1 FROM checkpoints AS c WHERE c.thread_id = b.thread_id AND c.checkpoint_ns = b.checkpoint_ns
    AND c.checkpoint -> 'channel_versions' ->> b.channel = b.version
)
"""

MAX_CONNECTIONS = 8
WAIT_SECONDS = 3
"""For a connection: as long as all are in use, or the server is away."""
RECONNECT_SECONDS = 2
"""How long the pool itself tries again; after that whoever needs a connection makes it try at once."""
STATEMENT_SECONDS = 10
"""Beyond this the server gives up a statement that waits for a lock; the message comes again."""
ANSWER_SECONDS = 15
"""Beyond this the server is taken for one that is away."""


class _NotHeld(Exception):
    """The attempt's mark is not there, so that its transaction is given up."""


class FencedPostgresSaver(AsyncPostgresSaver):
    """A saver whose writes carry the attempt's fence in `configurable`. Meets `app.agents.base.AgentMemory`."""

    def __init__(self, pool: AsyncConnectionPool[Connection], queue_id: str) -> None:
        super().__init__(pool, serde=strict_serializer())
        self._pool = pool
        self._queue_id = queue_id
        self._is_set_up = False

    async def setup(self) -> None:
        """Make the schema and the tables, as the first connection does anyway."""
        async with self._connection():
            pass

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Read a checkpoint; the attempt that reads takes the right to write. Raises LeaseLost."""
        mark = mark_of(config, self._queue_id)
        async with self._connection() as connection, connection.pipeline():
            taken = await connection.execute(TAKE_FENCE.encode(), mark) if mark else None
            found = await AsyncPostgresSaver(connection, serde=self.serde).aget_tuple(config)
            if mark and taken and not await taken.fetchone():
                raise lease_lost(config, mark)
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
        async with self._saver() as saver:
            matches = [found async for found in saver.alist(config, filter=filter, before=before, limit=limit)]
        for found in matches:
            yield found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint. Raises LeaseLost when a later attempt has begun."""
        return await self._write(config, lambda saver: saver.aput(config, checkpoint, metadata, new_versions))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Save the writes of a task. Raises LeaseLost when a later attempt has begun."""
        await self._write(config, lambda saver: saver.aput_writes(config, writes, task_id, task_path))

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete all checkpoints of a conversation."""
        async with self._transaction() as connection:
            await AsyncPostgresSaver(connection).adelete_thread(thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Keep the newest checkpoint of each namespace, or none with the strategy `delete`."""
        async with self._saver() as saver:
            await saver.aprune(thread_ids, strategy=strategy)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """What the ancestors of a checkpoint wrote to these channels."""
        async with self._saver() as saver:
            return await saver.aget_delta_channel_history(config=config, channels=channels)

    async def forget(self, memory_keys: list[str]) -> None:
        """See `AgentMemory.forget`."""
        async with self._transaction() as connection:
            for statement in FORGET:
                await connection.execute(statement, (memory_keys,))

    async def forget_messages(self, memory_key: str, memory_fence: tuple[int, int], message_ids: Sequence[str]) -> None:
        """See `AgentMemory.forget_messages`."""
        await self._write(
            config_of(memory_key, memory_fence),
            lambda saver: _forget_runs(cast(Connection, saver.conn), memory_key, message_ids),
        )

    async def _write(self, config: RunnableConfig, write: Callable[[AsyncPostgresSaver], Awaitable[T]]) -> T:
        """Write in the transaction that holds the attempt's mark."""
        mark = mark_of(config, self._queue_id)
        with suppress(_NotHeld):
            async with self._connection() as connection, connection.pipeline(), connection.transaction():
                held = await connection.execute(HOLD_FENCE.encode(), mark) if mark else None
                written = await write(AsyncPostgresSaver(connection, serde=self.serde))
                if held and not await held.fetchone():
                    raise _NotHeld
            return written
        # The attempt writes before it has read. Taken in a transaction of its own: two that hold the row would wait
        # for each other.
        async with self._connection() as connection:
            if mark and not await _first_row(connection, TAKE_FENCE, mark):
                raise lease_lost(config, mark)
        return await self._write(config, write)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        async with self._connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def _saver(self) -> AsyncIterator[AsyncPostgresSaver]:
        async with self._connection() as connection:
            yield AsyncPostgresSaver(connection, serde=self.serde)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """A connection; the first one makes the tables, whenever the server is there."""
        with mapped_errors():
            async with asyncio.timeout(ANSWER_SECONDS), self._pool.connection() as connection:
                if not self._is_set_up:
                    async with connection.transaction():
                        await self._set_up(connection)
                    self._is_set_up = True
                yield connection

    async def _set_up(self, connection: Connection) -> None:
        """In a transaction; processes that start together wait for each other."""
        await connection.execute(LOCK_SETUP)
        if await _first_row(connection, SCHEMA_IS_MISSING, ()):
            await connection.execute(CREATE_SCHEMA)
        saver = AsyncPostgresSaver(connection)
        saver.MIGRATIONS = MIGRATIONS
        await saver.setup()
        await connection.execute(CREATE_FENCES)


async def _forget_runs(connection: Connection, thread_id: str, run_ids: Sequence[str]) -> None:
    dropped = await connection.execute(DROP_CHECKPOINTS_OF_RUNS, (thread_id, list(run_ids)))
    for row in await dropped.fetchall():
        namespace, checkpoint_id, parent_id = row.values()
        await connection.execute(DROP_WRITES, (thread_id, namespace, checkpoint_id))
        if parent_id is not None:
            await connection.execute(DROP_INPUT.encode(), (thread_id, namespace, parent_id, input_task_of(parent_id)))
    await connection.execute(DROP_UNUSED_VALUES, (thread_id,))


async def _first_row(connection: Connection, query: str, values: Sequence[Any]) -> DictRow | None:
    return await (await connection.execute(query.encode(), values)).fetchone()


@contextmanager
def mapped_errors() -> Iterator[None]:
    """Turns what psycopg raises into errors of ours."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError, errors.ReadOnlySqlTransaction) as error:
        raise StoreUnavailable(f"The agents' memory cannot be used: {error}") from error
    except TimeoutError as error:
        raise StoreUnavailable("The agents' memory cannot be used: the server does not answer") from error
    except psycopg.Error as error:
        raise StoreError(f"The agents' memory: {error}") from error


@asynccontextmanager
async def open_saver(url: str, queue_id: str) -> AsyncIterator[FencedPostgresSaver]:
    """The saver in this database, for the messages of this queue. The server is asked when it is needed."""
    pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
        connection_parameters(url),
        kwargs={"autocommit": True, "row_factory": dict_row, "application_name": "agent-queue-memory"},
        configure=_configure,
        reset=_reset,
        check=_check,
        min_size=0,
        max_size=MAX_CONNECTIONS,
        timeout=WAIT_SECONDS,
        reconnect_timeout=RECONNECT_SECONDS,
        name="checkpoints",
        open=False,
    )
    async with pool:
        yield FencedPostgresSaver(pool, queue_id)


async def _configure(connection: Connection) -> None:
    await connection.execute(SET_SCHEMA)
    await connection.execute(f"SET statement_timeout TO '{STATEMENT_SECONDS}s'".encode())
    await connection.execute(SET_ISOLATION)


async def _check(connection: Connection) -> None:
    """Ask the server where it has sent something unasked, be it that it closes; each asking is a way there and back."""
    incoming = select.poll()
    incoming.register(connection.pgconn.socket, select.POLLIN)
    if incoming.poll(0):
        await AsyncConnectionPool.check_connection(connection)


async def _reset(connection: Connection) -> None:
    """Nothing is left to do, the pool has rolled back. With a reset it takes connections back in tasks of its own.

    Without one it does so in the task of the run, and a run that is cancelled there keeps its connection for ever.
    """
