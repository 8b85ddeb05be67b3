"""The interface of the agents' memory, and the config keys that pass an attempt's data to the memory."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from .messages import Message

MEMORY_FENCE_KEY = "__attempt_fence"
"""Key in a run's `configurable`: the attempt's fence for the agent's memory. LangGraph does not store `__` keys."""

MEMORY_KEEP_KEY = "__keep_read"
"""Key in the `configurable` of a read before the run: a list to which the read adds the newest checkpoint."""

MEMORY_KEPT_KEY = "__kept_read"
"""Key in a run's `configurable`: the list of MEMORY_KEEP_KEY. The run's first read takes the checkpoint from it."""

MEMORY_ANSWERS_KEY = "__answers"
"""Key in a run's `configurable`: a dictionary where the memory records which humans' answers each task has taken."""


class DroppedMemory(NamedTuple):
    """Memory that nothing needs any more: of a thread, or of a message without a thread. The other id is empty."""

    tenant: str
    thread_id: str
    message_id: str

    @property
    def memory_key(self) -> str:
        """Return the name under which the memory is kept."""
        return Message.memory_key_of(self.tenant, self.thread_id or None, self.message_id)


class AgentMemory(Protocol):
    """Deletes from the agents' memory, and copies it. A memory key names a conversation."""

    async def forget(self, memory_keys: list[str]) -> None:
        """Delete everything stored under these keys."""

    async def forget_messages(self, memory_key: str, memory_fence: tuple[int, int], message_ids: Sequence[str]) -> None:
        """Delete the steps of these messages. The newest remaining step becomes the end of the conversation.

        Like every step, this first stores the attempt's fence, so that earlier attempts cannot write. Raises LeaseLost.
        """

    async def forget_unfinished(self, memory_key: str, memory_fence: tuple[int, int]) -> None:
        """Delete what tasks wrote after the newest checkpoints, so that the unfinished step runs again.

        Keeps the humans' answers that a task has taken. Stores the attempt's fence first. Raises LeaseLost.
        """

    async def copy_until(self, source_key: str, checkpoint_id: str, target_key: str) -> bool:
        """Copy a conversation up to a checkpoint into another conversation, whose old content is deleted.

        Leave out what tasks wrote after that checkpoint. Return False, and change nothing, if there is no such
        checkpoint.
        """


class CachingMemory(AgentMemory, Protocol):
    """The agents' memory in a process that runs agents."""

    def drop_cached(self, memory_key: str) -> None:
        """Forget the messages of a conversation in this process. The next attempt reads them from the memory again.

        A failed attempt may have changed them in place.
        """
