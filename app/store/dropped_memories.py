"""Delete what agents remember of messages that the store has deleted."""

from ..models.memory import AgentMemory
from .ports import UpkeepStore

FORGOTTEN_AT_ONCE = 500


async def forget_dropped(store: UpkeepStore, memory: AgentMemory) -> None:
    """Delete all memories that the store lists as dropped. If an error interrupts this, the rest stays listed."""
    while dropped := await store.list_dropped_memories(FORGOTTEN_AT_ONCE):
        await memory.forget([each.memory_key for each in dropped])
        await store.settle_dropped_memories(dropped)
