"""Calls of the agents' memory with a fence, and turns of the event loop."""

import asyncio
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint, empty_checkpoint

from app.models.memory import MEMORY_FENCE_KEY

Saver = Any
"""A saver with `forget`."""

KEY = "default/thread/t"
QUEUE = "this queue"
TURNS = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610)
"""How far a call comes before it is cancelled."""


def config(fence: tuple[int, int], key: str = KEY) -> RunnableConfig:
    """Return the config that a run of this attempt carries."""
    return {"configurable": {"thread_id": key, "checkpoint_ns": "", "run_id": "m", MEMORY_FENCE_KEY: fence}}


def without_fence(key: str = KEY) -> RunnableConfig:
    """A call outside of attempts: it reads without taking the right to write."""
    return {"configurable": {"thread_id": key, "checkpoint_ns": ""}}


def reading(fence: tuple[int, int], key: str, read: list[Any]) -> RunnableConfig:
    """Return the config that a read before a run carries, or the first read in a run."""
    return {"configurable": {**config(fence)["configurable"], key: read}}


async def put(saver: Saver, fence: tuple[int, int], key: str = KEY, **values: Any) -> Checkpoint:
    """Save a checkpoint as this attempt."""
    versions = dict.fromkeys(values, saver.get_next_version(None, None))
    checkpoint = {**empty_checkpoint(), "channel_values": values, "channel_versions": versions}
    await saver.aput(config(fence, key), checkpoint, {}, versions)
    return checkpoint  # type: ignore[return-value]  # a checkpoint as a plain dict


async def latest(saver: Saver, key: str = KEY) -> str | None:
    """The id of the newest checkpoint."""
    found = await saver.aget_tuple(without_fence(key))
    return found.checkpoint["id"] if found else None


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)
