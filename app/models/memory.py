"""The agents' memory as the services use it, and the keys under which a run tells it about its attempt."""

from collections.abc import Sequence
from typing import Protocol

MEMORY_FENCE_KEY = "__attempt_fence"
"""In a run's `configurable`: the attempt's right to write to the agent's memory. LangGraph does not store `__` keys."""

MEMORY_KEEP_KEY = "__keep_read"
"""In a read before the run: the list that takes what the read finds at the end of the conversation."""

MEMORY_KEPT_KEY = "__kept_read"
"""In the run: the same list. The first read of the run takes its answer from the list."""

MEMORY_ANSWERS_KEY = "__answers"
"""In the run: a dictionary in which the memory notes the humans' answers that each task has taken."""


class AgentMemory(Protocol):
    """The agents' memory, by memory key."""

    async def forget(self, memory_keys: list[str]) -> None:
        """Delete everything stored under these keys."""

    async def forget_messages(self, memory_key: str, memory_fence: tuple[int, int], message_ids: Sequence[str]) -> None:
        """Delete the steps of these messages. The newest of the other messages becomes the end of the conversation.

        Takes the right to write as any step of the attempt does. Raises LeaseLost.
        """

    async def forget_unfinished(self, memory_key: str, memory_fence: tuple[int, int]) -> None:
        """Delete what tasks wrote after the newest checkpoints, so that the unfinished step is run again.

        Keeps the humans' answers that a task has taken. Takes the right to write. Raises LeaseLost.
        """
