"""Gives other parts of the process access to the agents' memory."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from typing_extensions import override

from ..errors import StoreUnavailable
from ..models.memory import AgentMemory
from .loop import AgentLoop

T = TypeVar("T")

ANSWER_SECONDS = 30.0
"""How long a call on the agents' event loop may take. Agent code that blocks the loop makes the memory unavailable."""


class LazyMemory(AgentMemory):
    """Opens the agents' memory for deletions, copies and sizes only: graphs served earlier may have left data there."""

    def __init__(self, open_memory: Callable[[], Awaitable[AgentMemory]]) -> None:
        self._open_memory = open_memory

    @override
    async def forget(self, memory_keys: list[str]) -> None:
        if any(memory_keys):  # callers use an empty key to check that the memory is available
            await (await self._open_memory()).forget(memory_keys)

    @override
    async def forget_messages(self, memory_key: str, memory_fence: tuple[int, int], message_ids: Sequence[str]) -> None:
        await (await self._open_memory()).forget_messages(memory_key, memory_fence, message_ids)

    @override
    async def forget_unfinished(self, memory_key: str, memory_fence: tuple[int, int]) -> None:
        await (await self._open_memory()).forget_unfinished(memory_key, memory_fence)

    @override
    async def copy_until(self, source_key: str, checkpoint_id: str, target_key: str) -> bool:
        return await (await self._open_memory()).copy_until(source_key, checkpoint_id, target_key)

    @override
    async def measure(self, memory_keys: Sequence[str]) -> list[int]:
        return await (await self._open_memory()).measure(memory_keys)


class MemoryOnLoop(AgentMemory):
    """Runs calls of the agents' memory on the agents' loop. Raises StoreUnavailable if the loop does not answer."""

    def __init__(self, loop: AgentLoop, memory: AgentMemory) -> None:
        self._loop = loop
        self._memory = memory

    @override
    async def forget(self, memory_keys: list[str]) -> None:
        await self._call(lambda: self._memory.forget(memory_keys))

    @override
    async def forget_messages(self, memory_key: str, memory_fence: tuple[int, int], message_ids: Sequence[str]) -> None:
        await self._call(lambda: self._memory.forget_messages(memory_key, memory_fence, message_ids))

    @override
    async def forget_unfinished(self, memory_key: str, memory_fence: tuple[int, int]) -> None:
        await self._call(lambda: self._memory.forget_unfinished(memory_key, memory_fence))

    @override
    async def copy_until(self, source_key: str, checkpoint_id: str, target_key: str) -> bool:
        return await self._call(lambda: self._memory.copy_until(source_key, checkpoint_id, target_key))

    @override
    async def measure(self, memory_keys: Sequence[str]) -> list[int]:
        return await self._call(lambda: self._memory.measure(memory_keys))

    async def _call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._loop.call(work)
        except TimeoutError as error:
            raise StoreUnavailable(f"The agents' memory does not answer: {self._loop.trouble}") from error
