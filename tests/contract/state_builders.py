"""Saves values in an agents' memory and reads them back."""

from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint

QUEUE = "this queue"
KEY = "default/thread/t"
CONFIG: RunnableConfig = {"configurable": {"thread_id": KEY, "checkpoint_ns": "", "run_id": "m"}}
Saver = Any


async def save(saver: Saver, key: str = KEY, **values: Any) -> RunnableConfig:
    """Save a checkpoint with these values and with a write of each of them."""
    config: RunnableConfig = {"configurable": {**CONFIG["configurable"], "thread_id": key}}
    versions = dict.fromkeys(values, saver.get_next_version(None, None))
    checkpoint: Any = {**empty_checkpoint(), "channel_values": values, "channel_versions": versions}
    saved: RunnableConfig = await saver.aput(config, checkpoint, {"source": "loop", "step": 1}, versions)
    await saver.aput_writes(saved, list(values.items()), "task")
    return saved


async def stored(saver: Saver, key: str = KEY, **values: Any) -> Any:
    """Return the value that comes back, the same from the state and from a write of an unfinished step."""
    await save(saver, key, **values)
    found = await saver.aget_tuple({"configurable": {"thread_id": key, "checkpoint_ns": ""}})
    written = {channel: value for _, channel, value in found.pending_writes}
    state = found.checkpoint["channel_values"]
    assert written.keys() == state.keys() == values.keys()
    assert written == state or repr(written) == repr(state)  # NaN is not equal to itself
    return state
