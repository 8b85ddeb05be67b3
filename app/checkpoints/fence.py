"""What the savers share: whose write it is, what they read, and writes that do not stop half-way."""

import asyncio
from collections.abc import Coroutine
from typing import Any, NamedTuple, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from app.errors import LeaseLost
from app.models import MEMORY_FENCE_KEY

T = TypeVar("T")


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


def lease_lost(config: RunnableConfig, mark: Mark) -> LeaseLost:
    """The error for an attempt that a later one has followed."""
    return LeaseLost(config["configurable"].get("run_id", mark.memory_key), mark.fence)


def strict_serializer() -> JsonPlusSerializer:
    """Refuses to build any class that LangGraph does not know as safe: a forged row must not run code."""
    return JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None)


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Await work that must not stop half-way: a cancelled statement runs all the same, and its transaction stays."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
