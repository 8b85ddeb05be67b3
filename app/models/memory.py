"""The interface of the agents' memory, and the config keys that pass an attempt's data to the memory."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from .messages import Message

MEMORY_FENCE_KEY = "__attempt_fence"
"""Key in a run's `configurable`: the attempt's fence for the agent's memory. LangGraph does not store `__` keys."""

MEMORY_BEGUN_KEY = "__begun"
"""Key in a run's `configurable` after the attempt's first read: the memory key of its conversation.

The attempt's mark is missing after that only if the conversation was deleted.
"""

MEMORY_KEEP_KEY = "__keep_read"
"""Key in the `configurable` of a read before the run: a list to which the read adds the newest checkpoint."""

MEMORY_KEPT_KEY = "__kept_read"
"""Key in a run's `configurable`: the list of MEMORY_KEEP_KEY. The run's first read takes the checkpoint from it."""

MEMORY_ANSWERS_KEY = "__answers"
"""Key in a run's `configurable`: a dictionary where the memory records which humans' answers each task has taken."""

MEMORY_CHANGE_KEY = "__change"
"""Key in the `configurable` of a change of a state: a list. What its tasks write waits there for the new checkpoint."""


class DroppedMemory(NamedTuple):
    """An agent's memory that nothing needs any more: of a thread, or of a message without a thread.

    `message_id` is empty for a thread. `thread_id` is empty for a message without a thread.
    """

    tenant: str
    thread_id: str
    message_id: str

    @property
    def memory_key(self) -> str:
        """Return the key under which the memory is stored."""
        return Message.memory_key_of(self.tenant, self.thread_id or None, self.message_id)


class AgentMemory(Protocol):
    """Deletes from the agents' memory, copies it and measures it. A memory key names a conversation."""

    async def forget(self, memory_keys: list[str]) -> None:
        """Delete everything stored under these keys."""

    async def forget_messages(self, memory_key: str, memory_fence: tuple[int, int], message_ids: Sequence[str]) -> None:
        """Delete the steps that the runs of these messages stored in a conversation.

        The newest remaining step becomes the end of the conversation. `memory_fence` proves the attempt's right to
        write and is stored first. Earlier attempts can then no longer write. Raises LeaseLost if a later attempt has
        the right.
        """

    async def forget_unfinished(self, memory_key: str, memory_fence: tuple[int, int]) -> None:
        """Delete what tasks wrote after the newest checkpoint of each graph, so that the unfinished step runs again.

        Keeps the humans' answers that a task has taken. `memory_fence` and LeaseLost have the meaning that they have in
        `forget_messages`.
        """

    async def copy_until(self, source_key: str, checkpoint_id: str, target_key: str) -> bool:
        """Copy a conversation up to a checkpoint into another conversation, whose old content is deleted.

        Leave out what tasks wrote after that checkpoint. Return False, and change nothing, if there is no such
        checkpoint.
        """

    async def measure(self, memory_keys: Sequence[str]) -> list[int]:
        """Return how many bytes are stored under each of these keys, as the engine stores them: 0 for an unknown key.

        Counts checkpoints, values, messages and what tasks wrote, without keys and indexes.
        """


class CachingMemory(AgentMemory, Protocol):
    """The agents' memory in a process that runs agents."""

    def drop_cached(self, memory_key: str) -> None:
        """Forget the messages of a conversation in this process. The next attempt reads them from the memory again.

        A failed attempt may have changed them in place.
        """
