"""The fence of the agents' memory: the mark by which an attempt proves its right to write."""

from typing import NamedTuple
from uuid import UUID, uuid5

from langchain_core.runnables import RunnableConfig

from ..errors import LeaseLost
from ..models.memory import MEMORY_FENCE_KEY


class Mark(NamedTuple):
    """A mark in the memory that proves an attempt's right to write there. See docs/adr/0008."""

    memory_key: str
    queue: str
    message: int
    fence: int


def mark_of(config: RunnableConfig, queue: str) -> Mark | None:
    """Return the mark of the attempt that this call belongs to; None outside attempts."""
    configurable = config["configurable"]
    if MEMORY_FENCE_KEY not in configurable:
        return None
    return Mark(configurable["thread_id"], queue, *configurable[MEMORY_FENCE_KEY])


def lease_lost(config: RunnableConfig, mark: Mark) -> LeaseLost:
    """Return the error for an attempt that a later attempt has followed."""
    return LeaseLost(config["configurable"].get("run_id", mark.memory_key), mark.fence)


def config_of(memory_key: str, memory_fence: tuple[int, int]) -> RunnableConfig:
    """Return the config of a call by this attempt."""
    return {"configurable": {"thread_id": memory_key, MEMORY_FENCE_KEY: memory_fence}}


def place_of(thread_id: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    """Return the config that names one checkpoint."""
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": namespace, "checkpoint_id": checkpoint_id}}


def input_task_of(checkpoint_id: str) -> str:
    """Return the id of the task that writes the next run's input at a checkpoint.

    LangGraph writes a DeltaChannel's input there, and keeps the first of two inputs.
    """
    return str(uuid5(UUID(checkpoint_id), "__input__"))
