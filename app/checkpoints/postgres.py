"""LangGraph's PostgreSQL saver with a fence: only the newest attempt at a conversation may write to it.

The rule is that of `app.checkpoints.sqlite`. Here many processes write at once, so the attempt's mark is held with a
row lock while its checkpoint is written, by one statement: a later attempt that takes the memory waits for the
writes that found the mark, and a write waits for a taking that is under way, and then finds its mark gone.

LangGraph's saver lets one statement of a process through at a time, so each call here has one of its own, on a
connection of its own from the pool. It writes by several statements in a pipeline, which in asyncio cost more than all
the rest of a write. So what it would write is gathered, and written by one statement of ours.
"""

import asyncio
import select
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

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
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from psycopg import AsyncConnection, errors
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from ..errors import StoreError, StoreUnavailable, TooFewConnections
from ..store.postgres.connection import COMMON_SETTINGS, CROWDED, connection_parameters
from ..store.postgres.migrations import check_access
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

Connection = AsyncConnection[DictRow]

MIGRATIONS = [script.replace(" CONCURRENTLY", "") for script in AsyncPostgresSaver.MIGRATIONS]
"""LangGraph's, all in one transaction: an index that is made beside it and cut off would stay behind, invalid."""

LOCK_SETUP = "SELECT pg_advisory_xact_lock(hashtext('agent_queue checkpoints'))"
SCHEMA_IS_MISSING = "SELECT 1 WHERE to_regnamespace('agent_queue_memory') IS NULL"
CREATE_SCHEMA = "CREATE SCHEMA agent_queue_memory"
MEMORY_SETTINGS = """
SET search_path TO agent_queue_memory;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = '30s';
"""
"""Beside those of the store's connections. The time-out of statements ends the wait for a lock too."""

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
SELECT 1 FROM checkpoint_fences
WHERE thread_id = %(thread)s AND queue = %(queue)s AND message = %(message)s AND fence = %(fence)s FOR SHARE
"""
ANYBODY = "SELECT 1"

SAVE_CHECKPOINT = """
WITH held AS MATERIALIZED ({held}), filled AS (
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    SELECT %(thread)s, %(namespace)s, given.* FROM held, unnest(
        %(channels)s::text[], %(versions)s::text[], %(types)s::text[], %(blobs)s::bytea[]
    ) AS given
    ON CONFLICT (thread_id, checkpoint_ns, channel, version) DO NOTHING
), saved AS (
    INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
    SELECT %(thread)s, %(namespace)s, %(id)s, %(parent)s::text, %(checkpoint)s::jsonb, %(metadata)s::jsonb FROM held
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id)
    DO UPDATE SET checkpoint = excluded.checkpoint, metadata = excluded.metadata
)
SELECT 1 FROM held
"""
SAVE_WRITES = """
WITH held AS MATERIALIZED ({held}), saved AS (
    INSERT INTO checkpoint_writes (
        thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob
    )
    SELECT %(thread)s, %(namespace)s, %(id)s, %(task)s, %(path)s, given.* FROM held, unnest(
        %(numbers)s::int[], %(channels)s::text[], %(types)s::text[], %(blobs)s::bytea[]
    ) AS given
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) {known}
)
SELECT 1 FROM held
"""
KNOWN_STAYS = "DO NOTHING"
KNOWN_IS_REPLACED = "DO UPDATE SET channel = excluded.channel, type = excluded.type, blob = excluded.blob"

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
DROP_UNFINISHED = """
DELETE FROM checkpoint_writes WHERE thread_id = %(thread)s AND channel <> %(kept)s
AND (checkpoint_ns, checkpoint_id) IN (
    SELECT checkpoint_ns, max(checkpoint_id) FROM checkpoints WHERE thread_id = %(thread)s GROUP BY checkpoint_ns
)
"""
DROP_UNUSED_VALUES = """
DELETE FROM checkpoint_blobs AS b WHERE thread_id = %s AND NOT EXISTS (
    SELECT 1 FROM checkpoints AS c WHERE c.thread_id = b.thread_id AND c.checkpoint_ns = b.checkpoint_ns
    AND c.checkpoint -> 'channel_versions' ->> b.channel = b.version
)
"""

INT_BITS = 64
"""A larger integer is no JSON number to every reader."""

MAX_CONNECTIONS = 8
WAIT_SECONDS = 3
"""For a connection: as long as all are in use, or the server is away."""
RECONNECT_SECONDS = 2
"""How long the pool itself tries again; after that whoever needs a connection makes it try at once."""
STATEMENT_SECONDS = 10
"""Beyond this the server gives up a statement that waits for a lock; the message comes again."""
ANSWER_SECONDS = 15
"""Beyond this the server is taken for one that is away."""


class _Gathered(AsyncPostgresSaver):
    """The statement of one call of LangGraph's saver, whose rows ours takes."""

    def __init__(self, serializer: SerializerProtocol) -> None:
        super().__init__(cast(Connection, None), serde=serializer)
        self.query: object = None
        self.rows: list[tuple[Any, ...]] = []

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[Any]:  # noqa: ARG002  LangGraph's
        yield self

    async def executemany(self, query: object, rows: Iterable[tuple[Any, ...]]) -> None:
        """As a cursor has it."""
        self.query, self.rows = query, list(rows)


class FencedPostgresSaver(AsyncPostgresSaver):
    """A saver whose writes carry the attempt's fence in `configurable`. Meets `app.agents.base.AgentMemory`."""

    serde: Serializer

    def __init__(self, pool: AsyncConnectionPool[Connection], queue_id: str, state_types: Collection[str]) -> None:
        super().__init__(pool, serde=Serializer(state_types))
        self._pool = pool
        self._queue_id = queue_id
        self._is_set_up = False

    async def setup(self) -> None:
        """Make the schema and the tables, as the first connection does anyway."""
        async with self._connection():
            pass

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Read a checkpoint; the attempt that reads takes the right to write. Raises LeaseLost."""
        if kept := kept_read(config):
            return kept.pop()
        async with self._connection() as connection:
            if mark := mark_of(config, self._queue_id):
                await _take(connection, config, mark)
            found = await AsyncPostgresSaver(connection, serde=self.serde).aget_tuple(config)
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
        thread, namespace = config["configurable"]["thread_id"], config["configurable"]["checkpoint_ns"]
        given = checkpoint["channel_values"]
        apart = {channel: value for channel, value in given.items() if not _is_exact_in_json(value)}
        # LangGraph looks for a snapshot by a mark among the values in the row
        marks = {channel: True for channel, value in apart.items() if isinstance(value, _DeltaSnapshot)}
        inside = {channel: value for channel, value in given.items() if channel not in apart} | marks
        changed = {channel: version for channel, version in new_versions.items() if channel in apart}
        with self.serde.naming(apart.items()):
            rows = await asyncio.to_thread(self._dump_blobs, thread, namespace, apart, changed) if changed else []
        _, _, channels, versions, types, blobs = _columns(rows, 6)
        values = {
            "thread": thread, "namespace": namespace, "id": checkpoint["id"],
            "parent": config["configurable"].get("checkpoint_id"),
            "checkpoint": Jsonb({**checkpoint, "channel_values": inside}),
            "metadata": Jsonb(metadata_of(config, metadata)),
            "channels": channels, "versions": versions, "types": types, "blobs": blobs,
        }  # fmt: skip
        await self._save(config, SAVE_CHECKPOINT, values)
        return _place_of(thread, namespace, checkpoint["id"])

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Save the writes of a task. Raises LeaseLost when a later attempt has begun."""
        gathered = _Gathered(self.serde)
        writes = settled(config, writes, task_id)
        with self.serde.naming(writes):
            await gathered.aput_writes(config, writes, task_id, task_path)
        replaced = gathered.query == self.UPSERT_CHECKPOINT_WRITES_SQL
        # of two with one number the last one stays, as where they are written one by one
        rows = list({row[5]: row for row in gathered.rows}.values()) if replaced else gathered.rows
        *places, numbers, channels, types, blobs = _columns(rows, 9)
        if not rows:
            return
        thread, namespace, checkpoint_id, task, path = (column[0] for column in places)
        values = {
            "thread": thread, "namespace": namespace, "id": checkpoint_id, "task": task, "path": path,
            "numbers": numbers, "channels": channels, "types": types, "blobs": blobs,
        }  # fmt: skip
        known = KNOWN_IS_REPLACED if replaced else KNOWN_STAYS
        await self._save(config, SAVE_WRITES.replace("{known}", known), values)

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
        async with self._held_transaction(memory_key, memory_fence) as connection:
            await _forget_runs(connection, memory_key, message_ids)

    async def forget_unfinished(self, memory_key: str, memory_fence: tuple[int, int]) -> None:
        """See `AgentMemory.forget_unfinished`."""
        async with self._held_transaction(memory_key, memory_fence) as connection:
            await connection.execute(DROP_UNFINISHED, {"thread": memory_key, "kept": KEPT_CHANNEL})

    @asynccontextmanager
    async def _held_transaction(self, memory_key: str, memory_fence: tuple[int, int]) -> AsyncIterator[Connection]:
        """A transaction that holds the attempt's mark. Raises LeaseLost."""
        config = config_of(memory_key, memory_fence)
        mark = Mark(memory_key, self._queue_id, *memory_fence)
        while True:
            async with self._transaction() as connection:
                if await _first_row(connection, HOLD_FENCE, _named(mark)):
                    yield connection
                    return
            await self._take_late(config, mark)

    async def ping(self) -> None:
        """Ask whether the server answers. Raises StoreError."""
        try:
            async with self._connection() as connection:
                await _first_row(connection, ANYBODY, ())
        except StoreUnavailable:  # the pool does not tell why it got no connection
            await asyncio.to_thread(check_access, str(self._pool.conninfo))

    async def _save(self, config: RunnableConfig, statement: str, values: dict[str, Any]) -> None:
        """Write by one statement, which holds the attempt's mark until it is committed."""
        mark = mark_of(config, self._queue_id)
        query = statement.replace("{held}", HOLD_FENCE if mark else ANYBODY)
        if mark:
            values |= _named(mark)
        while True:
            async with self._connection() as connection:
                if await _first_row(connection, query, values):
                    return
            assert mark is not None
            await self._take_late(config, mark)

    async def _take_late(self, config: RunnableConfig, mark: Mark) -> None:
        """For an attempt that writes before it has read.

        In a transaction of its own: two that hold the row would wait for each other.
        """
        async with self._connection() as connection:
            await _take(connection, config, mark)

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


async def _take(connection: Connection, config: RunnableConfig, mark: Mark) -> None:
    if not await _first_row(connection, TAKE_FENCE, mark):
        raise lease_lost(config, mark)


def _is_exact_in_json(value: Any) -> bool:
    """Return whether a JSON column gives back the same value, of the same type."""
    if value is None or type(value) is bool:
        return True
    if type(value) is int:
        return value.bit_length() < INT_BITS
    return type(value) is str and value.isprintable()  # else it may have a NUL or half a character


def _place_of(thread_id: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": namespace, "checkpoint_id": checkpoint_id}}


def _columns(rows: Sequence[tuple[Any, ...]], count: int) -> list[list[Any]]:
    return [[row[index] for row in rows] for index in range(count)]


def _named(mark: Mark) -> dict[str, Any]:
    return {"thread": mark.memory_key, "queue": mark.queue, "message": mark.message, "fence": mark.fence}


async def _first_row(connection: Connection, query: str, values: Sequence[Any] | Mapping[str, Any]) -> DictRow | None:
    return await (await connection.execute(query.encode(), values)).fetchone()


@contextmanager
def mapped_errors() -> Iterator[None]:
    """Turns what psycopg raises into errors of ours."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError, errors.ReadOnlySqlTransaction) as error:
        kind = TooFewConnections if CROWDED.search(str(error)) else StoreUnavailable
        raise kind(f"The agents' memory cannot be used: {error}") from error
    except TimeoutError as error:
        raise StoreUnavailable("The agents' memory cannot be used: the server does not answer") from error
    except psycopg.Error as error:
        raise StoreError(f"The agents' memory: {error}") from error


@asynccontextmanager
async def open_saver(url: str, queue_id: str, state_types: Collection[str] = ()) -> AsyncIterator[FencedPostgresSaver]:
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
        yield FencedPostgresSaver(pool, queue_id, state_types)


async def _configure(connection: Connection) -> None:
    await connection.execute(f"SET statement_timeout TO '{STATEMENT_SECONDS}s'".encode())
    await connection.execute(f"{COMMON_SETTINGS}{MEMORY_SETTINGS}".encode())


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
