"""Finds the agent whose memory of a thread is used."""

from typing import Protocol

from ..access.principals import Principal
from ..access.visible import VisibleReads
from ..agents.base import Conversation
from ..agents.registry import AgentRegistry
from ..errors import ThreadNotFound
from ..models.messages import Message, MessageFilter, MessageState, Page, Thread
from ..store.ports import QueryStore, ThreadStore

NEWEST = Page(1)
LOOKED_AT = Page(20)
"""Read if the newest message was cancelled before it began, which is rare."""

MAY_HAVE_BEGUN = frozenset(MessageState) - {MessageState.QUEUED}


class ReadThreads(QueryStore, ThreadStore, Protocol):
    """The ports that reads of threads need."""


class ThreadConversations:
    """Finds conversations, as far as callers may see them."""

    def __init__(self, store: ReadThreads, registry: AgentRegistry) -> None:
        self._store = store
        self._registry = registry
        self.visible = VisibleReads(store)

    async def check(self, caller: Principal, thread_id: str) -> None:
        """Raise ThreadNotFound for a thread that the caller may not see."""
        if caller.is_narrowed:
            await self.visible.thread(caller, thread_id)

    async def find(self, caller: Principal, thread_id: str, agent: str | None) -> Conversation:
        """Return a thread with the agent whose memory of it is used, and the key of that memory.

        Raises ThreadNotFound. Raises InvalidRequest if there is no agent with the name `agent`.
        """
        thread = await self.visible.thread(caller, thread_id)
        if agent is not None:
            agent = self._registry.resolve(agent, caller.agents)
        if agent is None or caller.agents is not None:  # the agents of a thread share its memory
            own = await self._agent_of(caller.tenant, thread)
            if not caller.visibility.shows_agent(own):
                raise ThreadNotFound(thread_id)
            agent = agent or own
        return Conversation(caller.tenant, agent, Message.memory_key_of(caller.tenant, thread_id, ""), thread_id)

    async def _agent_of(self, tenant: str, thread: Thread) -> str:
        """Return the agent whose state a thread has.

        This is the agent of the newest message that has begun, else of the newest one, else that of the thread's fork,
        else the default agent. A message of another agent that waits, or was cancelled while it waited, has not written
        the state. Only some of the newest messages are looked at.
        """
        for states, page in ((MAY_HAVE_BEGUN, NEWEST), (MAY_HAVE_BEGUN, LOOKED_AT), (None, NEWEST)):
            chosen = MessageFilter(thread_id=thread.thread_id, states=states)
            newest = await self._store.list_messages(tenant, chosen, page)
            for message in newest:
                if message.started_at is not None or states is None:
                    return message.agent
        return self._registry.default if thread.forked_from is None else thread.forked_from.agent
