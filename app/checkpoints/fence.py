"""The fence of the agents' memory. An attempt proves its right to write by a mark that it stores there."""

from typing import NamedTuple
from uuid import UUID, uuid5

from langchain_core.runnables import RunnableConfig

from ..errors import LeaseLost
from ..models.memory import MEMORY_BEGUN_KEY, MEMORY_FENCE_KEY


class Mark(NamedTuple):
    """A row of the memory that gives one attempt the right to write to a conversation. See docs/adr/0008."""

    memory_key: str
    queue: str
    message: int
    fence: int


def mark_of(config: RunnableConfig, queue: str) -> Mark | None:
    """Return the mark of the attempt that this config belongs to; None outside attempts."""
    configurable = config["configurable"]
    if MEMORY_FENCE_KEY not in configurable:
        return None
    return Mark(configurable["thread_id"], queue, *configurable[MEMORY_FENCE_KEY])


def has_begun(config: RunnableConfig) -> bool:
    """Return whether the attempt has stored its mark before. It then never stores the mark again."""
    configurable = config["configurable"]
    return bool(configurable.get(MEMORY_BEGUN_KEY) == configurable["thread_id"])


def lease_lost(config: RunnableConfig, mark: Mark) -> LeaseLost:
    """Return the error for an attempt that may no longer write: a later one may, or the conversation was deleted."""
    return LeaseLost(config["configurable"].get("run_id", mark.memory_key), mark.fence)


def config_of(memory_key: str, memory_fence: tuple[int, int]) -> RunnableConfig:
    """Return the config for calls of the attempt with this fence."""
    return {"configurable": {"thread_id": memory_key, MEMORY_FENCE_KEY: memory_fence}}


def place_of(thread_id: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    """Return the config that names one checkpoint."""
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": namespace, "checkpoint_id": checkpoint_id}}


def input_task_of(checkpoint_id: str) -> str:
    """Return the id of the task that writes the next run's input at this checkpoint.

    LangGraph stores a DeltaChannel's input under this id, and keeps the first of two inputs.
    """
    return str(uuid5(UUID(checkpoint_id), "__input__"))
