"""Shared by the savers: whose write it is, what is kept of a read, and what is stored beside a checkpoint."""

from typing import NamedTuple, cast
from uuid import UUID, uuid5

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    CheckpointMetadata,
    CheckpointTuple,
    copy_checkpoint,
    get_checkpoint_id,
    get_serializable_checkpoint_metadata,
)

from ..errors import LeaseLost
from ..models.memory import MEMORY_FENCE_KEY, MEMORY_KEEP_KEY, MEMORY_KEPT_KEY
from ..text import storable_json


class Mark(NamedTuple):
    """What an attempt leaves in the memory to prove its right to write there. See docs/adr/0008."""

    memory_key: str
    queue: str
    message: int
    fence: int


def mark_of(config: RunnableConfig, queue: str) -> Mark | None:
    """The mark of the attempt that this call belongs to; None outside of attempts."""
    configurable = config["configurable"]
    if MEMORY_FENCE_KEY not in configurable:
        return None
    return Mark(configurable["thread_id"], queue, *configurable[MEMORY_FENCE_KEY])


def config_of(memory_key: str, memory_fence: tuple[int, int]) -> RunnableConfig:
    """What a call of this attempt carries."""
    return {"configurable": {"thread_id": memory_key, MEMORY_FENCE_KEY: memory_fence}}


def kept_read(config: RunnableConfig) -> list[CheckpointTuple | None]:
    """What the attempt of this run has read already, to be taken from here by the run's first read. See docs/adr/0025.

    Empty unless it is the end of the conversation that is read.
    """
    kept: list[CheckpointTuple | None] = config["configurable"].get(MEMORY_KEPT_KEY, [])
    return kept if _is_end(config) else []


def keep_read(config: RunnableConfig, found: CheckpointTuple | None) -> None:
    """Keep what an attempt found at the end of the conversation, if its run asked for that.

    Nothing with pending writes: LangGraph applies these to the values in place when it tells of the state.
    """
    if MEMORY_KEEP_KEY in config["configurable"] and _is_end(config) and not (found and found.pending_writes):
        copied = found and found._replace(checkpoint=copy_checkpoint(found.checkpoint))
        config["configurable"][MEMORY_KEEP_KEY].append(copied)


def _is_end(config: RunnableConfig) -> bool:
    return not config["configurable"].get("checkpoint_ns") and not get_checkpoint_id(config)


def input_task_of(checkpoint_id: str) -> str:
    """The task that stands at a checkpoint for the input of the run that follows it.

    LangGraph writes there what a DeltaChannel gets, and of two inputs the first would stay.
    """
    return str(uuid5(UUID(checkpoint_id), "__input__"))


def lease_lost(config: RunnableConfig, mark: Mark) -> LeaseLost:
    """The error for an attempt that a later one has followed."""
    return LeaseLost(config["configurable"].get("run_id", mark.memory_key), mark.fence)


def metadata_of(config: RunnableConfig, metadata: CheckpointMetadata) -> CheckpointMetadata:
    """Return what is stored beside a checkpoint, as every engine can keep it."""
    return cast(CheckpointMetadata, storable_json(get_serializable_checkpoint_metadata(config, metadata)))
