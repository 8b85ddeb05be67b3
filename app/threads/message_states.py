"""Reads and takes back what single messages have made of the agents' memory."""

import logging
from collections.abc import Callable

from ..access.principals import Principal
from ..agents.base import Conversation, ConversationStates, StateAccess
from ..agents.conversations import Conversations
from ..errors import LeaseLost
from ..errors.threads import ThreadRunning
from ..models.audit import Actor, AuditAction, record_of
from ..models.memory import AgentMemory
from ..models.thread_states import StateText
from ..store.ports import ThreadStore
from .conversations import ThreadConversations

logger = logging.getLogger(__name__)


class MessageStates:
    """Reads and takes back what messages have made. `memory` returns the agents' memory."""

    def __init__(
        self,
        store: ThreadStore,
        found: ThreadConversations,
        conversations: Conversations,
        memory: Callable[[], AgentMemory],
    ) -> None:
        self._store = store
        self._found = found
        self._conversations = conversations
        self._memory = memory

    async def read_after(self, caller: Principal, message_id: str) -> StateText:
        """Return the newest state that a message made, or that its thread has if the message made none.

        A message without a thread has its state until its events are deleted; later the state is empty. Raises
        MessageNotFound, and what `Conversations.call` raises.
        """
        message = await self._found.visible.get(caller, message_id)
        place = message.thread_id or message.id
        conversation = Conversation(message.tenant, message.agent, message.memory_key, place)

        async def read(states: ConversationStates) -> StateText | None:
            turn = await states.newest_turn(of=message.id)
            if turn is None and message.thread_id is not None:
                return None
            return await states.read(None if turn is None else turn.checkpoint_id, subgraphs=False)

        made = await self._conversations.call(conversation, StateAccess.READ, read)
        if made is not None:
            return made
        conversation = await self._found.find(caller, place, None)  # checks that the caller may see the newest state
        return await self._conversations.call(
            conversation, StateAccess.READ, lambda states: states.read(None, subgraphs=False)
        )

    async def roll_back(self, caller: Principal, message_id: str, by: Actor | None = None) -> None:
        """Have the agent forget the steps of a message that has ended. The thread goes on from the rest.

        Does nothing for a message without a thread, which no other message continues. Raises MessageNotFound, and
        ThreadRunning if a message of the thread is processing, or begins meanwhile.
        """
        message = await self._found.visible.get(caller, message_id)
        if message.thread_id is None:
            return
        audit = record_of(by, AuditAction.CHANGE_STATE, caller.tenant, message.thread_id)
        right = await self._store.take_memory_right(caller.tenant, message.thread_id, audit=audit)
        try:
            await self._memory().forget_messages(message.memory_key, right.fence, [message.id])
        except LeaseLost:
            raise ThreadRunning(message.thread_id) from None
        logger.info("Message rolled back: id=%s", message.id)
