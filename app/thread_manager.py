"""Lists, changes and deletes threads, and reads and changes the states that agents keep of them."""

import logging
from collections.abc import Callable
from typing import Protocol

from .agents.base import Conversation, StateAccess
from .agents.conversations import Conversations
from .agents.registry import AgentRegistry
from .errors import AgentQueueError, LeaseLost
from .errors.threads import ThreadRunning
from .models.memory import AgentMemory, DroppedMemory
from .models.messages import Message, MessageFilter, Page, Thread
from .models.thread_states import Checkpoint, StateChange, StateText
from .models.threads import ThreadChange
from .store.limits import PAGE_TEXT_LENGTH
from .store.ports import QueryStore, ThreadStore, UpkeepStore

logger = logging.getLogger(__name__)

NEWEST = Page(1)


class ManagedThreads(QueryStore, ThreadStore, UpkeepStore, Protocol):
    """The ports that the thread manager needs."""


class ThreadManager:
    """Reads and changes threads, and the states that agents keep of them. Threads exist because messages name them.

    `memory` returns the agents' memory, which is opened by the first call that needs it.
    """

    def __init__(
        self,
        store: ManagedThreads,
        registry: AgentRegistry,
        conversations: Conversations,
        memory: Callable[[], AgentMemory],
    ) -> None:
        self._store = store
        self._registry = registry
        self._conversations = conversations
        self._memory = memory

    async def list_threads(self, tenant: str, page: Page) -> list[Thread]:
        """Return a page of threads, the latest activity first."""
        return await self._store.list_threads(tenant, page)

    async def get_thread(self, tenant: str, thread_id: str) -> Thread:
        """Return a thread. Raises ThreadNotFound."""
        return await self._store.get_thread(tenant, thread_id)

    async def list_messages(self, tenant: str, thread_id: str, *, after: int, limit: int) -> list[Message]:
        """Return messages with numbers above `after`, in thread order. Raises ThreadNotFound."""
        return await self._store.list_thread_messages(tenant, thread_id, after=after, limit=limit)

    async def change(self, tenant: str, thread_id: str, change: ThreadChange) -> Thread:
        """Change the name and the metadata of a thread. Raises ThreadNotFound, MetadataTooLarge."""
        return await self._store.change_thread(tenant, thread_id, change)

    async def delete(self, tenant: str, thread_id: str) -> None:
        """Delete a thread, its messages, and what agents remember of it. Raises ThreadNotFound, ThreadRunning.

        The memory is deleted at once, or by maintenance if that fails. Until then, no message can have the thread's id.
        """
        await self._store.delete_thread(tenant, thread_id)
        logger.info("Thread deleted: id=%s", thread_id)
        await self._forget(DroppedMemory(tenant, thread_id, ""))

    async def _forget(self, dropped: DroppedMemory) -> None:
        """Delete a dropped memory. If that fails, log it: maintenance does it later."""
        try:
            await self._memory().forget([dropped.memory_key])
            await self._store.settle_dropped_memories([dropped])
        except AgentQueueError as error:
            logger.warning("The memory of a deleted thread is deleted later: error=%s", error)

    # States

    async def read_state(
        self, tenant: str, thread_id: str, *, agent: str | None, checkpoint_id: str | None, subgraphs: bool
    ) -> StateText:
        """Return the state of a thread at a checkpoint, or the newest one. `agent` None means `_agent_of`.

        Raises ThreadNotFound, CheckpointNotFound, InvalidRequest, and what `Conversations.call` raises.
        """
        conversation = await self._conversation(tenant, thread_id, agent)
        return await self._conversations.call(
            conversation, StateAccess.READ, lambda states: states.read(checkpoint_id, subgraphs=subgraphs)
        )

    async def list_states(
        self, tenant: str, thread_id: str, *, agent: str | None, before: str | None, limit: int
    ) -> list[StateText]:
        """Return states of a thread, newest first, or those made before the checkpoint `before`.

        Returns fewer than `limit` when their texts reach PAGE_TEXT_LENGTH. Raises what `read_state` raises.
        """
        conversation = await self._conversation(tenant, thread_id, agent)
        return await self._conversations.call(
            conversation, StateAccess.READ, lambda states: states.history(before, limit, PAGE_TEXT_LENGTH)
        )

    async def update_state(self, tenant: str, thread_id: str, change: StateChange, *, agent: str | None) -> Checkpoint:
        """Change the state of a thread and return the new checkpoint.

        Raises ThreadRunning if a message is processing or begins meanwhile, InvalidInput for what the graph does not
        take, and what `read_state` raises.
        """
        conversation = await self._conversation(tenant, thread_id, agent)
        right = await self._store.take_memory_right(tenant, thread_id)
        try:
            made = await self._conversations.call(
                conversation, StateAccess.UPDATE, lambda states: states.update(change, right)
            )
        except LeaseLost:
            raise ThreadRunning(thread_id) from None
        logger.info("State updated: thread=%s, checkpoint=%s", thread_id, made.checkpoint_id)
        return made

    async def _conversation(self, tenant: str, thread_id: str, agent: str | None) -> Conversation:
        """Return a thread as its agent knows it. Raises ThreadNotFound, InvalidRequest."""
        thread = await self._store.get_thread(tenant, thread_id)
        name = await self._agent_of(tenant, thread) if agent is None else self._registry.resolve(agent)
        return Conversation(name, Message.memory_key_of(tenant, thread_id, ""), thread_id)

    async def _agent_of(self, tenant: str, thread: Thread) -> str:
        """Return the agent of the newest message of a thread, else that of its fork, else the default agent."""
        newest = await self._store.list_messages(tenant, MessageFilter(thread_id=thread.thread_id), NEWEST)
        if newest:
            return newest[0].agent
        return self._registry.default if thread.forked_from is None else thread.forked_from.agent
