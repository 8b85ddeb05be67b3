"""What the savers share: whose write it is, and which classes they read."""

from typing import NamedTuple
from uuid import UUID, uuid5

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from app.errors import LeaseLost
from app.models import MEMORY_FENCE_KEY


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


def input_task_of(checkpoint_id: str) -> str:
    """The task that stands at a checkpoint for the input of the run that follows it.

    LangGraph writes there what a DeltaChannel gets, and of two inputs the first would stay.
    """
    return str(uuid5(UUID(checkpoint_id), "__input__"))


def lease_lost(config: RunnableConfig, mark: Mark) -> LeaseLost:
    """The error for an attempt that a later one has followed."""
    return LeaseLost(config["configurable"].get("run_id", mark.memory_key), mark.fence)


def strict_serializer() -> JsonPlusSerializer:
    """Refuses to build any class that LangGraph does not know as safe: a forged row must not run code."""
    return JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None)
