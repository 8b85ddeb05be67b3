"""LangGraph's PostgreSQL saver with a fence: only the newest attempt at a conversation may write to it.

The rule is the same as in `app.checkpoints.sqlite`, but here many processes write at the same time. One statement
writes the checkpoint while it holds a row lock on the attempt's mark. A later attempt can take the right to write only
after such a write. A write that waited for a later attempt finds its mark gone.

LangGraph's saver runs one statement of a process at a time. Here each call has its own saver and pooled connection.
LangGraph's saver also writes with several statements in a pipeline, which in asyncio costs more than the rest of the
write. Here one statement writes all rows.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.postgres.base import BasePostgresSaver
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool
from typing_extensions import override

from ..config import CHECKPOINT_HISTORY
from ..errors import StoreUnavailable
from ..store.postgres.migrations import check_access
from . import postgres_lists
from .answers import KEPT_CHANNEL
from .fence import Mark, config_of, has_begun, lease_lost
from .known_lists import Conversation, SplitValues, new_numbering
from .postgres_lists import QUERIES, Connection, first_row, is_exact_in_json
from .postgres_pool import make_pool, mapped_errors
from .postgres_vacuum import Vacuum
from .saver import FencedSaver
from .task_writes import TaskWrites

MIGRATIONS = [script.replace(" CONCURRENTLY", "") for script in AsyncPostgresSaver.MIGRATIONS]
"""LangGraph's migrations without CONCURRENTLY: an interrupted transaction leaves no invalid index."""

ANSWER_SECONDS = 15
"""How long a call may take before the server counts as unavailable."""


class FencedPostgresSaver(FencedSaver):
    """The agents' memory in a PostgreSQL database."""

    def __init__(
        self, pool: AsyncConnectionPool[Connection], queue_id: str, state_types: Collection[str], history: int
    ) -> None:
        super().__init__(queue_id, state_types, history)
        self.pool = pool
        self._rows = BasePostgresSaver(serde=self.serde)
        """Makes LangGraph's rows of values and writes."""
        self._vacuum = Vacuum(self._connection)
        self._is_set_up = False

    @override
    def get_next_version(self, current: str | None, channel: None) -> str:
        return self._rows.get_next_version(current, channel)

    async def close(self) -> None:
        """End what runs in the background."""
        await self._vacuum.close()

    async def setup(self) -> None:
        """Create the schema and the tables, as the first connection would."""
        async with self._connection():
            pass

    @override
    async def _read(self, config: RunnableConfig) -> CheckpointTuple | None:
        async with self._connection() as connection:
            if mark := self._mark_of(config):
                await _take(connection, config, mark)
                return await self._found(connection, config)
            async with self._snapshot(connection):
                return await self._found(connection, config)

    async def _found(self, connection: Connection, config: RunnableConfig) -> CheckpointTuple | None:
        found = await AsyncPostgresSaver(connection, serde=self.serde).aget_tuple(config)
        if found is not None:
            await postgres_lists.fill(connection, found, self._conversation(config), self.serde.loads_typed)
            self._known.shrink(config["configurable"]["thread_id"])
        return found

    @override
    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        conversations: defaultdict[str, Conversation] = defaultdict(Conversation)
        async with self._connection() as connection, self._snapshot(connection):
            saver = AsyncPostgresSaver(connection, serde=self.serde)
            matches = [found async for found in saver.alist(config, filter=filter, before=before, limit=limit)]
            for found in matches:
                conversation = conversations[found.config["configurable"]["thread_id"]]
                await postgres_lists.fill(connection, found, conversation, self.serde.loads_typed)
        for found in matches:
            yield found

    @override
    async def _save(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
        finished: Sequence[TaskWrites],
    ) -> None:
        thread_id, namespace = config["configurable"]["thread_id"], config["configurable"]["checkpoint_ns"]
        conversation = self._conversation(config)
        begins = self._begins_turn(config, metadata)
        for written in finished:
            conversation.note_writes(namespace, written.values)
            if written.replaces or begins:
                await self._save_writes(config, written)
        added = [] if begins else [written for written in finished if not written.replaces]
        async with conversation.saving:
            while True:
                numbering = conversation.numbering or new_numbering()
                split = conversation.split(namespace, checkpoint["channel_values"], numbering, self.serde.dumps_typed)
                values = self._columns_of(config, checkpoint, metadata, new_versions, split)
                statement = "save_checkpoint_and_values" if values["channels"] else "save_checkpoint"
                if begins:
                    statement, values = "begin_turn", values | {"most": self._most_checkpoints}
                elif added:
                    statement, values = "end_step", values | _columns_of_writes(config["configurable"], added)
                row = await self._write(config, statement, values)
                if row["is_saved"]:
                    break
                async with self._connection() as connection:  # another process has added messages
                    conversation.use(await postgres_lists.numbering_of(connection, thread_id))
            conversation.keep(namespace, split)
        if begins:
            conversation.begin_turn()
        if begins and row["earlier"] is not None:
            earlier = postgres_lists.stored_of_rows(row["earlier"])
            pruning = self._pruning(config, metadata, [*earlier, self._stored_of(config, checkpoint, metadata, split)])
            async with self._connection() as connection:
                await postgres_lists.apply_pruning(connection, thread_id, pruning, self._mark_of(config))
            self._vacuum.note_pruned(len(pruning.gone))
        self._known.shrink(thread_id)

    def _columns_of(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
        split: SplitValues,
    ) -> dict[str, Any]:
        """Return the values of the statement that saves a checkpoint."""
        thread_id, namespace = config["configurable"]["thread_id"], config["configurable"]["checkpoint_ns"]
        apart = {channel: value for channel, value in split.values.items() if not is_exact_in_json(value)}
        # LangGraph finds a snapshot by a mark among the values in the row
        marks = {channel: True for channel, value in apart.items() if isinstance(value, _DeltaSnapshot)}
        inside = {channel: value for channel, value in split.values.items() if channel not in apart} | marks
        changed = {channel: version for channel, version in new_versions.items() if channel in apart}
        rows = self._rows._dump_blobs(thread_id, namespace, apart, changed) if changed else []
        _, _, channels, versions, types, blobs = _columns(rows, 6)
        in_row: dict[str, Any] = {**checkpoint, "channel_values": inside}
        if split.stored is not None:
            in_row[postgres_lists.LISTS] = split.stored.as_json()
        return {
            "thread": thread_id, "namespace": namespace, "id": checkpoint["id"],
            "parent": config["configurable"].get("checkpoint_id"),
            "checkpoint": Jsonb(in_row), "metadata": Jsonb(metadata),
            "channels": channels, "versions": versions, "types": types, "blobs": blobs,
            **postgres_lists.columns_of(split),
        }  # fmt: skip

    @override
    async def _save_writes(self, config: RunnableConfig, written: TaskWrites) -> None:
        values = _columns_of_writes(config["configurable"], [written])
        await self._write(config, "replace_writes" if written.replaces else "add_writes", values)
        self._conversation(config).note_writes(config["configurable"].get("checkpoint_ns", ""), written.values)

    @override
    async def adelete_thread(self, thread_id: str) -> None:
        async with self._transaction() as connection:
            await postgres_lists.forget(connection, [thread_id])
        self._known.drop([thread_id])

    @override
    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        async with self._connection() as connection:
            await AsyncPostgresSaver(connection, serde=self.serde).aprune(thread_ids, strategy=strategy)
            for thread_id in thread_ids:
                await postgres_lists.drop_unused_messages(connection, thread_id)
        self._known.drop(thread_ids)

    @override
    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        async with self._connection() as connection:
            if not await postgres_lists.had_lists(connection, config["configurable"], channels):
                saver = AsyncPostgresSaver(connection, serde=self.serde)
                return await saver.aget_delta_channel_history(config=config, channels=channels)
        # a channel that was a plain list before: LangGraph's statements do not see lists that are stored apart
        return await super().aget_delta_channel_history(config=config, channels=channels)

    @override
    async def forget(self, memory_keys: list[str]) -> None:
        async with self._transaction() as connection:
            await connection.execute(QUERIES["forget_fences"].encode(), (memory_keys,))
            await postgres_lists.forget(connection, memory_keys)
        self._known.drop(memory_keys)

    @override
    async def forget_messages(self, memory_key: str, memory_fence: tuple[int, int], message_ids: Sequence[str]) -> None:
        async with self._held_transaction(memory_key, memory_fence) as connection:
            await postgres_lists.forget_runs(connection, memory_key, message_ids)
        self._known.drop([memory_key])

    @override
    async def forget_unfinished(self, memory_key: str, memory_fence: tuple[int, int]) -> None:
        async with self._held_transaction(memory_key, memory_fence) as connection:
            await connection.execute(QUERIES["drop_unfinished"].encode(), {"thread": memory_key, "kept": KEPT_CHANNEL})
        self._known.drop([memory_key])

    @override
    async def copy_until(self, source_key: str, checkpoint_id: str, target_key: str) -> bool:
        async with self._connection() as connection, self._snapshot(connection):
            is_copied = await postgres_lists.copy_until(connection, source_key, checkpoint_id, target_key)
        self._known.drop([target_key])
        return is_copied

    @override
    async def measure(self, memory_keys: Sequence[str]) -> list[int]:
        async with self._connection() as connection:
            found = await connection.execute(QUERIES["measure"].encode(), {"keys": list(memory_keys)})
            return [row["bytes"] for row in await found.fetchall()]

    @asynccontextmanager
    async def _held_transaction(self, memory_key: str, memory_fence: tuple[int, int]) -> AsyncIterator[Connection]:
        """Yield a connection in a transaction that holds a lock on the attempt's mark. Raises LeaseLost."""
        config = config_of(memory_key, memory_fence)
        mark = Mark(memory_key, self._queue_id, *memory_fence)
        while True:
            async with self._transaction() as connection:
                if await first_row(connection, QUERIES["hold_fence"], mark._asdict()):
                    yield connection
                    return
            await self._take_late(config, mark)

    @override
    async def ping(self) -> None:
        try:
            async with self._connection() as connection:
                await first_row(connection, QUERIES["anybody"], ())
        except StoreUnavailable:  # the pool does not report why it got no connection
            await asyncio.to_thread(check_access, str(self.pool.conninfo))

    async def _write(self, config: RunnableConfig, statement: str, values: dict[str, Any]) -> DictRow:
        """Write with one statement, which locks the attempt's mark until the commit. Return its row.

        Raises LeaseLost.
        """
        mark = self._mark_of(config)
        query = QUERIES[statement if mark else f"{statement}_unfenced"]
        if mark:
            values |= mark._asdict()
        while True:
            async with self._connection() as connection:
                if (row := await first_row(connection, query, values)) is not None:
                    return row
            assert mark is not None
            await self._take_late(config, mark)

    async def _take_late(self, config: RunnableConfig, mark: Mark) -> None:
        """Take the right to write for an attempt that writes before it reads. Raises LeaseLost.

        This has a transaction of its own, which ends before the write begins: two that hold the row would deadlock.
        """
        async with self._connection() as connection:
            await _take(connection, config, mark)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        async with self._connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def _snapshot(self, connection: Connection) -> AsyncIterator[None]:
        """Read checkpoints and messages as of one moment: a run may delete old ones at any time."""
        async with connection.transaction():
            await connection.execute(QUERIES["snapshot"].encode())
            yield

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """Yield a connection. The first call creates the tables."""
        with mapped_errors():
            async with asyncio.timeout(ANSWER_SECONDS), self.pool.connection() as connection:
                if not self._is_set_up:
                    async with connection.transaction():
                        await self._set_up(connection)
                    self._is_set_up = True
                yield connection

    async def _set_up(self, connection: Connection) -> None:
        """Create schema and tables in the caller's transaction. Processes that start together wait for each other."""
        await connection.execute(QUERIES["lock_setup"].encode())
        if await first_row(connection, QUERIES["schema_is_missing"], ()):
            await connection.execute(QUERIES["create_schema"].encode())
        saver = AsyncPostgresSaver(connection)
        saver.MIGRATIONS = MIGRATIONS
        await saver.setup()
        for statement in ("create_fences", "create_numberings", "create_messages"):
            await connection.execute(QUERIES[statement].encode())


async def _take(connection: Connection, config: RunnableConfig, mark: Mark) -> None:
    """Take the right to write, unless the attempt has it. Raises LeaseLost."""
    query = QUERIES["find_fence" if has_begun(config) else "take_fence"]
    if not await first_row(connection, query, mark._asdict()):
        raise lease_lost(config, mark)


def _columns_of_writes(place: Mapping[str, Any], finished: Sequence[TaskWrites]) -> dict[str, Any]:
    """Return the values of a statement that saves what tasks have written after the checkpoint of `place`."""
    rows = [(each.task_id, each.task_path, *row) for each in finished for row in each.rows]
    tasks, paths, numbers, channels, encoded = _columns(rows, 5)
    return {
        "thread": place["thread_id"], "namespace": place.get("checkpoint_ns", ""), "parent": place["checkpoint_id"],
        "tasks": tasks, "paths": paths, "write_numbers": numbers, "write_channels": channels,
        "write_types": [kind for kind, _ in encoded], "writes": [content for _, content in encoded],
    }  # fmt: skip


def _columns(rows: Sequence[tuple[Any, ...]], count: int) -> list[list[Any]]:
    return [[row[index] for row in rows] for index in range(count)]


@asynccontextmanager
async def open_saver(
    url: str, queue_id: str, state_types: Collection[str] = (), history: int = CHECKPOINT_HISTORY
) -> AsyncIterator[FencedPostgresSaver]:
    """Open the saver in this database for the queue with this id. Connect at the first call."""
    async with make_pool(url) as pool:
        saver = FencedPostgresSaver(pool, queue_id, state_types, history)
        try:
            yield saver
        finally:
            await saver.close()
