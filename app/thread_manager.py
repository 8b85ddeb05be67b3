"""Lists threads and their messages, and reads the states of their agents."""

from .agents.base import Conversation, StateAccess
from .agents.conversations import Conversations
from .agents.registry import AgentRegistry
from .models.messages import Message, MessageFilter, Page, Thread
from .models.thread_states import StateText
from .store.limits import PAGE_TEXT_LENGTH
from .store.ports import QueryStore

NEWEST = Page(1)


class ThreadManager:
    """Reads threads, and the states that agents keep of them. Threads exist because messages name them."""

    def __init__(self, store: QueryStore, registry: AgentRegistry, conversations: Conversations) -> None:
        self._store = store
        self._registry = registry
        self._conversations = conversations

    async def list_threads(self, tenant: str, page: Page) -> list[Thread]:
        """Return a page of threads, the latest activity first."""
        return await self._store.list_threads(tenant, page)

    async def get_thread(self, tenant: str, thread_id: str) -> Thread:
        """Return a thread. Raises ThreadNotFound."""
        return await self._store.get_thread(tenant, thread_id)

    async def list_messages(self, tenant: str, thread_id: str, *, after: int, limit: int) -> list[Message]:
        """Return messages with numbers above `after`, in thread order. Raises ThreadNotFound."""
        return await self._store.list_thread_messages(tenant, thread_id, after=after, limit=limit)

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

    async def _conversation(self, tenant: str, thread_id: str, agent: str | None) -> Conversation:
        """Return a thread as its agent knows it. Raises ThreadNotFound, InvalidRequest."""
        await self._store.get_thread(tenant, thread_id)
        name = await self._agent_of(tenant, thread_id) if agent is None else self._registry.resolve(agent)
        return Conversation(name, Message.memory_key_of(tenant, thread_id, ""), thread_id)

    async def _agent_of(self, tenant: str, thread_id: str) -> str:
        """Return the agent of the newest message of a thread, or the default agent if the thread has no message."""
        newest = await self._store.list_messages(tenant, MessageFilter(thread_id=thread_id), NEWEST)
        return newest[0].agent if newest else self._registry.default
