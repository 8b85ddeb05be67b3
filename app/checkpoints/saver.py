"""The common base of the savers: the order of steps in each call, and calls from nodes that run on threads."""

import asyncio
from abc import abstractmethod
from collections.abc import Collection, Coroutine, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    copy_checkpoint,
    get_checkpoint_id,
    get_serializable_checkpoint_metadata,
)
from typing_extensions import override

from ..models.memory import MEMORY_CHANGE_KEY, MEMORY_KEEP_KEY, MEMORY_KEPT_KEY, CachingMemory
from ..text import storable_json
from .answers import Writes, note_answers, settled
from .fence import Mark, mark_of, place_of
from .known_lists import Conversation, KnownConversations, SplitValues
from .pruning import Pruning, StoredCheckpoint, begins_turn, most_checkpoints, prune
from .serializer import Serializer
from .task_writes import Place, TaskWrites, WaitingWrites

T = TypeVar("T")


class FencedSaver(BaseCheckpointSaver[str], CachingMemory):
    """A LangGraph saver that accepts writes only from the newest attempt at a conversation.

    Each message of a conversation is stored once (`message_lists`). When a turn begins, the steps of earlier turns are
    deleted; `history` is the setting CHECKPOINT_HISTORY.

    Each call has its attempt in `configurable`. Nodes that run on threads call LangGraph's synchronous methods. The
    event loop then does the work of the call.
    """

    serde: Serializer

    def __init__(self, queue_id: str, state_types: Collection[str], history: int) -> None:
        super().__init__(serde=Serializer(state_types))
        self._queue_id = queue_id
        self._history = history
        self._most_checkpoints = most_checkpoints(history)
        self._known = KnownConversations()
        self._waiting = WaitingWrites()
        self._loop = asyncio.get_running_loop()

    @override
    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        if kept := _kept_read(config):
            return kept.pop()
        found = await self._read(config)
        _keep_read(config, found)
        note_answers(config, found)
        return found

    @override
    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        # every engine must be able to store the metadata
        about = cast(CheckpointMetadata, storable_json(get_serializable_checkpoint_metadata(config, metadata)))
        naming = self.serde.naming(checkpoint["channel_values"].items())
        with self._waiting.taken(self._place(config)) as finished, naming:
            change: list[TaskWrites] = config["configurable"].get(MEMORY_CHANGE_KEY, [])
            await self._save(config, checkpoint, about, new_versions, [*change, *finished])
        return place_of(config["configurable"]["thread_id"], config["configurable"]["checkpoint_ns"], checkpoint["id"])

    @override
    async def aput_writes(self, config: RunnableConfig, writes: Writes, task_id: str, task_path: str = "") -> None:
        if not writes:
            return
        values = settled(config, writes, task_id)
        with self.serde.naming(values):
            written = TaskWrites.of(task_id, task_path, values, self.serde.dumps_typed)
        change: list[TaskWrites] | None = config["configurable"].get(MEMORY_CHANGE_KEY)
        if change is not None:
            change.append(written)
        elif not await self._waiting.wait(self._place(config), written):
            await self._save_writes(config, written)

    @override
    def drop_cached(self, memory_key: str) -> None:
        self._known.drop([memory_key])

    # Each engine's part

    @abstractmethod
    async def ping(self) -> None:
        """Check that the memory can be used. Raises StoreError."""

    @abstractmethod
    async def _read(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint, and take the right to write for the attempt that reads it.

        Raises LeaseLost if a later attempt has begun.
        """

    @abstractmethod
    async def _save(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
        finished: Sequence[TaskWrites],
    ) -> None:
        """Save a checkpoint, and with it what tasks have written after its parent.

        Raises LeaseLost if a later attempt has begun.
        """

    @abstractmethod
    async def _save_writes(self, config: RunnableConfig, written: TaskWrites) -> None:
        """Save the writes of a task. Raises LeaseLost if a later attempt has begun."""

    def _place(self, config: RunnableConfig) -> Place:
        """Return the checkpoint that a save follows, and the mark of its attempt."""
        place = config["configurable"]
        namespace, checkpoint_id = place.get("checkpoint_ns", ""), place.get("checkpoint_id")
        return Place(place["thread_id"], namespace, checkpoint_id, self._mark_of(config))

    def _conversation(self, config: RunnableConfig) -> Conversation:
        """Return what is known of the conversation."""
        mark = self._mark_of(config)
        return self._known.of(config["configurable"]["thread_id"], mark and (mark.message, mark.fence))

    def _begins_turn(self, config: RunnableConfig, metadata: CheckpointMetadata) -> bool:
        """Return whether this checkpoint begins a turn, when earlier turns may be pruned. Only attempts prune."""
        configurable = config["configurable"]
        begins = begins_turn(configurable["checkpoint_ns"], metadata, configurable.get("checkpoint_id"))
        return begins and self._mark_of(config) is not None

    def _pruning(
        self, config: RunnableConfig, metadata: CheckpointMetadata, rows: Sequence[StoredCheckpoint]
    ) -> Pruning:
        """Return what of these checkpoints is pruned when a turn begins."""
        run_id, parent_id = cast(Any, metadata).get("run_id"), config["configurable"].get("checkpoint_id")
        return prune(rows, run_id=run_id, parent_id=parent_id, turns=self._history)

    @staticmethod
    def _stored_of(
        config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, split: SplitValues
    ) -> StoredCheckpoint:
        """Return what pruning reads of a checkpoint that is being saved."""
        place, about = config["configurable"], cast(dict[str, Any], metadata)
        return StoredCheckpoint(
            place["checkpoint_ns"],
            checkpoint["id"],
            place.get("checkpoint_id"),
            about.get("run_id"),
            "counters_since_delta_snapshot" in about,
            split.stored,
        )

    def _mark_of(self, config: RunnableConfig) -> Mark | None:
        """Return the mark of the attempt that this config belongs to; None outside attempts."""
        return mark_of(config, self._queue_id)

    # Calls from threads

    @override
    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return self._wait_for(self.aget_tuple(config))

    @override
    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        async def everything() -> tuple[CheckpointTuple, ...]:
            return tuple([found async for found in self.alist(config, filter=filter, before=before, limit=limit)])

        yield from self._wait_for(everything())

    @override
    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return self._wait_for(self.aput(config, checkpoint, metadata, new_versions))

    @override
    def put_writes(self, config: RunnableConfig, writes: Writes, task_id: str, task_path: str = "") -> None:
        self._wait_for(self.aput_writes(config, writes, task_id, task_path))

    @override
    def delete_thread(self, thread_id: str) -> None:
        self._wait_for(self.adelete_thread(thread_id))

    @override
    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        return self._wait_for(self.aget_delta_channel_history(config=config, channels=channels))

    def _wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _kept_read(config: RunnableConfig) -> list[CheckpointTuple | None]:
    """Return the list with the checkpoint that this attempt read before its run. See docs/adr/0025.

    The list is empty for reads of any but the newest checkpoint.
    """
    kept: list[CheckpointTuple | None] = config["configurable"].get(MEMORY_KEPT_KEY, [])
    return kept if _is_end(config) else []


def _keep_read(config: RunnableConfig, found: CheckpointTuple | None) -> None:
    """Store a copy of the newest checkpoint for the run, if `config` has a list for it.

    Skip a checkpoint with pending writes: LangGraph changes its values in place when returning the state.
    """
    if MEMORY_KEEP_KEY in config["configurable"] and _is_end(config) and not (found and found.pending_writes):
        copied = found and found._replace(checkpoint=copy_checkpoint(found.checkpoint))
        config["configurable"][MEMORY_KEEP_KEY].append(copied)


def _is_end(config: RunnableConfig) -> bool:
    return not config["configurable"].get("checkpoint_ns") and not get_checkpoint_id(config)
