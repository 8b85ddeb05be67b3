"""The agents' memory of a process whose own agents remember nothing."""

from collections.abc import Awaitable, Callable, Sequence

from app.agents.base import AgentMemory


class LateMemory:
    """Opened when there is something to forget: graphs that were served earlier may have left it.

    Meets `app.agents.base.AgentMemory`.
    """

    def __init__(self, open_memory: Callable[[], Awaitable[AgentMemory]]) -> None:
        self._open_memory = open_memory

    async def forget(self, memory_keys: list[str]) -> None:
        """See `AgentMemory.forget`. The key of nobody, by which callers look whether it is there, opens nothing."""
        if any(memory_keys):
            await (await self._open_memory()).forget(memory_keys)

    async def forget_messages(self, memory_key: str, memory_fence: tuple[int, int], message_ids: Sequence[str]) -> None:
        """See `AgentMemory.forget_messages`."""
        await (await self._open_memory()).forget_messages(memory_key, memory_fence, message_ids)
