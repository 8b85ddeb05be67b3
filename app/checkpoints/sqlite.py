"""LangGraph's SQLite saver with a fence: only the newest attempt at a conversation may write to it.

The checkpoints have a file of their own, opened with Python's SQLite. Only APSW may open the queue's file, so a write
cannot check the fence in the queue's row. Instead, each attempt first stores its mark here, which ends the right of all
earlier attempts. Each later write checks the mark in its own transaction. The mark includes the queue's id, since a new
or restored queue begins with lower fences again.

Each call runs on the file's thread once, since a change of threads costs more than a statement.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

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

from ..config import CHECKPOINT_HISTORY
from . import sqlite_lists
from .answers import KEPT_CHANNEL
from .fence import Mark, config_of, has_begun, lease_lost
from .known_lists import Conversation, SplitValues
from .pruning import StoredCheckpoint, rows_until
from .saver import FencedSaver
from .sqlite_file import MemoryFile, Statements
from .sqlite_lists import QUERIES
from .task_writes import TaskWrites

SOON = "PRAGMA synchronous = NORMAL"
AT_ONCE = "PRAGMA synchronous = FULL"
"""SOON lets a commit reach the disk later. AT_ONCE is the default: a power loss undoes no finished step."""

as_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""`json.dumps` with options makes an encoder at each call."""


class FencedSqliteSaver(FencedSaver):
    """The agents' memory in a file; in this process's memory if `path` is None."""

    def __init__(
        self, path: Path | None, thread: ThreadPoolExecutor, queue_id: str, state_types: Collection[str], history: int
    ) -> None:
        super().__init__(queue_id, state_types, history)
        self._thread = thread
        self._file = MemoryFile(path, thread, self.serde)

    @property
    def conn(self) -> sqlite3.Connection:
        """Return the connection. Use it only on the saver's thread."""
        return self._file.statements.conn

    @property
    def statements(self) -> Statements:
        """Return LangGraph's statements for the connection."""
        return self._file.statements

    @override
    def get_next_version(self, current: str | None, channel: None) -> str:
        return SqliteSaver.get_next_version(cast(SqliteSaver, self), current, channel)

    async def setup(self) -> None:
        """Create the tables, as the first call would."""
        await self._file.call(lambda: None)

    async def close(self) -> None:
        """Close the file."""
        await self._file.close()

    @override
    async def ping(self) -> None:
        await self._file.call(lambda: self._first_row(QUERIES["find_fence"], ("", "", 0, 0)))

    @override
    async def _read(self, config: RunnableConfig) -> CheckpointTuple | None:
        def get() -> CheckpointTuple | None:
            mark = self._mark_of(config)
            if mark and not self._has_mark(config, mark):
                self._take(config, mark)
            found = self.statements.get_tuple(config)
            if found is not None:
                self._fill(found, self._conversation(config))
                self._known.shrink(config["configurable"]["thread_id"])
            return found

        return await self._file.call(get)

    def _fill(self, found: CheckpointTuple, conversation: Conversation) -> None:
        """Add the lists that are stored apart to a checkpoint's values."""
        place = found.config["configurable"]
        namespace = place["checkpoint_ns"]
        stored = sqlite_lists.lists_of(self.conn, place["thread_id"], namespace, place["checkpoint_id"])
        if stored is not None:
            reading = conversation.begin_read(namespace, stored)
            read = sqlite_lists.read_messages(self.conn, stored.numbering, reading.missing)
            found.checkpoint["channel_values"] |= reading.end(read, self.serde.loads_typed)

    @override
    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        def listed() -> list[CheckpointTuple]:
            matches = list(self.statements.list(config, filter=filter, before=before, limit=limit))
            conversations: defaultdict[str, Conversation] = defaultdict(Conversation)
            for found in matches:
                self._fill(found, conversations[found.config["configurable"]["thread_id"]])
            return matches

        for found in await self._file.call(listed):
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

        def save() -> Callable[[], None]:
            conversation = self._conversation(config)
            for written in finished:
                sqlite_lists.save_writes(self.conn, config["configurable"], written)
                conversation.note_writes(namespace, written.values)
            values, dump = checkpoint["channel_values"], self.serde.dumps_typed
            split = sqlite_lists.save_lists(self.conn, thread_id, namespace, conversation, values, dump)
            self._insert(config, {**checkpoint, "channel_values": split.values}, metadata, split)  # type: ignore[typeddict-item]  # a mapping as the dict of values
            if begins := self._begins_turn(config, metadata):
                self._prune(config, metadata)

            def keep() -> None:
                conversation.keep(namespace, split)
                if begins:
                    conversation.begin_turn()
                self._known.shrink(thread_id)

            return keep

        await self._write(config, save)

    def _insert(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, split: SplitValues
    ) -> None:
        place = [config["configurable"].get(key) for key in ("thread_id", "checkpoint_ns")]
        lists = None if split.stored is None else as_json(split.stored.as_json())
        about = as_json(metadata).encode("utf-8", "ignore")
        parent_id = config["configurable"].get("checkpoint_id")
        row = (*place, checkpoint["id"], parent_id, *self.serde.dumps_typed(checkpoint), about, lists)
        self.conn.execute(QUERIES["save_checkpoint"], row)

    def _prune(self, config: RunnableConfig, metadata: CheckpointMetadata) -> None:
        thread_id = config["configurable"]["thread_id"]
        if sqlite_lists.count_checkpoints(self.conn, thread_id) <= self._most_checkpoints:
            return
        pruning = self._pruning(config, metadata, sqlite_lists.stored_checkpoints(self.conn, thread_id))
        sqlite_lists.apply_pruning(self.conn, thread_id, pruning)

    @override
    async def _save_writes(self, config: RunnableConfig, written: TaskWrites) -> None:
        def save() -> Callable[[], None]:
            sqlite_lists.save_writes(self.conn, config["configurable"], written)
            conversation, namespace = self._conversation(config), config["configurable"].get("checkpoint_ns", "")
            return lambda: conversation.note_writes(namespace, written.values)

        await self._write(config, save)

    @override
    async def adelete_thread(self, thread_id: str) -> None:
        await self._write({"configurable": {}}, lambda: self._delete([thread_id]))

    @override
    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        def get() -> Mapping[str, DeltaChannelHistory] | None:
            place = config["configurable"]
            if sqlite_lists.had_lists(self.conn, place["thread_id"], place.get("checkpoint_ns", ""), channels):
                return None
            return self.statements.get_delta_channel_history(config=config, channels=channels)

        found = await self._file.call(get)
        # a channel that was a plain list before: LangGraph's statements do not see lists that are stored apart
        return (
            found if found is not None else await super().aget_delta_channel_history(config=config, channels=channels)
        )

    @override
    async def forget(self, memory_keys: list[str]) -> None:

        def forget() -> Callable[[], None]:
            for key in memory_keys:
                self.conn.execute(QUERIES["forget_fence"], (key,))
            return self._delete(memory_keys)

        await self._write({"configurable": {}}, forget)

    def _delete(self, thread_ids: Sequence[str]) -> Callable[[], None]:
        for thread_id in thread_ids:
            self.statements.delete_thread(thread_id)
            sqlite_lists.forget_lists(self.conn, thread_id)
        return lambda: self._known.drop(thread_ids)

    @override
    async def forget_messages(self, memory_key: str, memory_fence: tuple[int, int], message_ids: Sequence[str]) -> None:

        def forget() -> Callable[[], None]:
            sqlite_lists.forget_runs(self.conn, memory_key, message_ids)
            return lambda: self._known.drop([memory_key])

        await self._write(config_of(memory_key, memory_fence), forget)

    @override
    async def forget_unfinished(self, memory_key: str, memory_fence: tuple[int, int]) -> None:
        values = (memory_key, KEPT_CHANNEL, memory_key)

        def forget() -> Callable[[], None]:
            self.conn.execute(QUERIES["drop_unfinished"], values)
            return lambda: self._known.drop([memory_key])

        await self._write(config_of(memory_key, memory_fence), forget)

    @override
    async def copy_until(self, source_key: str, checkpoint_id: str, target_key: str) -> bool:
        rows: list[StoredCheckpoint] = []

        def copy() -> Callable[[], None]:
            rows.extend(rows_until(sqlite_lists.stored_checkpoints(self.conn, source_key), checkpoint_id))
            if not rows:
                return lambda: None
            dropped = self._delete([target_key])
            sqlite_lists.copy_checkpoints(self.conn, source_key, rows, target_key, checkpoint_id)
            return dropped

        await self._write({"configurable": {}}, copy)
        return bool(rows)

    @override
    async def measure(self, memory_keys: Sequence[str]) -> list[int]:
        return await self._file.call(lambda: [sqlite_lists.measured(self.conn, key) for key in memory_keys])

    @override
    def drop_cached(self, memory_key: str) -> None:
        with suppress(RuntimeError):  # the saver is closed
            self._thread.submit(self._known.drop, [memory_key])

    async def _write(self, config: RunnableConfig, write: Callable[[], Callable[[], None]]) -> None:
        """Check the fence and write, in one transaction. Then call what `write` has returned. Raises LeaseLost."""

        def written() -> None:
            mark = self._mark_of(config)
            self._file.begin()
            if mark:
                self._hold(config, mark)
            then = write()
            self.conn.commit()
            then()

        await self._file.call(written)

    def _take(self, config: RunnableConfig, mark: Mark) -> None:
        """Take the right to write, without waiting for the disk. Raises LeaseLost.

        All attempts on this file run on this machine. A power loss that undoes the mark also ends all earlier attempts.
        """
        self.conn.execute(SOON)
        try:
            self._file.begin()
            if not self._first_row(QUERIES["take_fence"], mark):
                raise lease_lost(config, mark)
            self.conn.commit()
        finally:
            self.conn.rollback()
            self.conn.execute(AT_ONCE)

    def _hold(self, config: RunnableConfig, mark: Mark) -> None:
        """In this transaction, take the right to write if the attempt lacks it. Raises LeaseLost."""
        if not self._has_mark(config, mark) and not self._first_row(QUERIES["take_fence"], mark):
            raise lease_lost(config, mark)

    def _has_mark(self, config: RunnableConfig, mark: Mark) -> bool:
        """Return whether the mark is stored. Raises LeaseLost if it is not there any more."""
        is_stored = self._first_row(QUERIES["find_fence"], mark) is not None
        if not is_stored and has_begun(config):
            raise lease_lost(config, mark)
        return is_stored

    def _first_row(self, query: str, values: tuple[Any, ...]) -> Any:
        return self.conn.execute(query, values).fetchone()


@asynccontextmanager
async def open_saver(
    path: Path | None, queue_id: str, state_types: Collection[str] = (), history: int = CHECKPOINT_HISTORY
) -> AsyncIterator[FencedSqliteSaver]:
    """Open the saver on this file, or in memory if `path` is None, for the queue with this id."""
    with ThreadPoolExecutor(1, thread_name_prefix="sqlite-memory") as thread:
        saver = FencedSqliteSaver(path, thread, queue_id, state_types, history)
        try:
            await saver.setup()
            yield saver
        finally:
            await saver.close()
