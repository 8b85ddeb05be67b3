"""Makes threads: empty ones, and forks, which begin with a state of another thread."""

import logging
from collections.abc import Callable
from typing import Protocol

from uuid_utils import uuid7

from ..access.principals import Principal
from ..access.visible import owned, request_key
from ..agents.base import Conversation, ConversationStates, StateAccess
from ..agents.conversations import Conversations
from ..errors import AgentQueueError, InvalidRequest, ThreadNotFound
from ..errors.threads import StateGone, ThreadExists
from ..models.audit import Actor, AuditAction, record_of
from ..models.memory import AgentMemory
from ..models.messages import CreatedThread, Message, NewMessage, Thread
from ..models.requests import Fork, Key, ThreadCreation
from ..models.threads import ForkSource, NewThread, Turn
from ..policy.lifecycle import TERMINAL
from ..store.dropped_memories import forget_dropped
from ..store.ports import QueryStore, ThreadStore, UpkeepStore
from .conversations import ThreadConversations

logger = logging.getLogger(__name__)

FORK_TRIES = 3
"""How often the newest state of a thread is copied that was deleted meanwhile, as the steps of ended turns are."""


class ManagedThreads(QueryStore, ThreadStore, UpkeepStore, Protocol):
    """The ports that the thread manager needs."""


class ThreadForks:
    """Makes threads. `memory` returns the agents' memory."""

    def __init__(
        self,
        store: ManagedThreads,
        found: ThreadConversations,
        conversations: Conversations,
        memory: Callable[[], AgentMemory],
    ) -> None:
        self._store = store
        self._found = found
        self._conversations = conversations
        self._memory = memory

    async def create(self, caller: Principal, wanted: ThreadCreation, key: Key | None = None) -> CreatedThread:
        """Make a thread without messages and without a state.

        A repeated key returns the thread of its first request as it is now. Raises ThreadExists if the id is in use,
        unless `wanted.keeps_existing`. Raises ThreadNotFound for a thread that the caller may not see, Forbidden for
        another subject than the caller's, ThreadNotReady, KeyReused, MetadataTooLarge, InvalidRequest.
        """
        new_id = _new_thread_id(caller, wanted.thread_id)
        subject = owned(caller, NewMessage("", thread_id=new_id, subject=wanted.subject)).subject
        new = NewThread(None, wanted.name, wanted.metadata, subject, wanted.ttl)
        try:
            made = await self._store.create_thread(
                caller.tenant, new_id, new, keeps_existing=wanted.keeps_existing, key=request_key(caller, key)
            )
        except ThreadExists:
            await self._found.check(caller, new_id)
            raise
        if not caller.visibility.shows_thread(made.thread.subject, made.thread.thread_id):
            raise ThreadNotFound(new_id)
        if made.is_new and not made.replayed:
            logger.info("Thread created: id=%s", made.thread.thread_id)
        return made

    async def fork(self, caller: Principal, thread_id: str, wanted: Fork, by: Actor | None = None) -> Thread:
        """Make a new thread that begins with a state of this one. It has no messages yet.

        A fork after a message that has ended takes place at any time. Others are refused while a message is processing.

        Raises ThreadNotFound, ThreadRunning, ThreadExists, CheckpointNotFound, StateGone, ErasureInProgress,
        InvalidRequest for a message of another thread, and what `read_state` raises.
        """
        tenant = caller.tenant
        conversation = await self._found.find(caller, thread_id, None)
        thread = await self._found.visible.thread(caller, thread_id)
        message = None if wanted.message_id is None else await self._message_of(caller, thread_id, wanted.message_id)
        of = None if message is None else message.id
        is_past = message is not None and message.state in TERMINAL  # what later messages do does not change it
        if not is_past:
            await self._store.take_memory_right(tenant, thread_id)  # raises while a message is processing
        turn = await self._forked_turn(conversation, wanted, of)
        new_id = _new_thread_id(caller, wanted.thread_id)
        await self._draft(caller, new_id)
        try:
            key = Message.memory_key_of(tenant, new_id, "")
            tries = FORK_TRIES
            while not await self._memory().copy_until(conversation.memory_key, turn.checkpoint_id, key):
                tries -= 1
                if not tries or wanted.checkpoint_id is not None:
                    raise StateGone(f"Checkpoint {turn.checkpoint_id} is no longer kept.")
                if not is_past:
                    await self._store.take_memory_right(tenant, thread_id)
                turn = await self._forked_turn(conversation, wanted, of)
            source = ForkSource(
                thread_id=thread_id,
                checkpoint_id=turn.checkpoint_id,
                message_id=turn.message_id,
                agent=conversation.agent,
            )
            new = NewThread(source, wanted.name, wanted.metadata, thread.subject)
            audit = record_of(by, AuditAction.FORK_THREAD, tenant, new_id, source=thread_id)
            made = await self._store.publish_thread(tenant, new_id, new, audit=audit)
        except BaseException:
            await self._abandon(tenant, new_id)
            raise
        logger.info("Thread forked: id=%s, from=%s, checkpoint=%s", new_id, thread_id, turn.checkpoint_id)
        return made

    async def _draft(self, caller: Principal, thread_id: str) -> None:
        """Reserve the id of a fork. Raises ThreadExists; ThreadNotFound if the caller may not see what has it."""
        try:
            await self._store.draft_thread(caller.tenant, thread_id)
        except ThreadExists:
            await self._found.check(caller, thread_id)
            raise

    async def _forked_turn(self, conversation: Conversation, wanted: Fork, of: str | None) -> Turn:
        """Return the state that a fork begins with; `of` is the id of the message that made it. Raises StateGone."""

        async def find(states: ConversationStates) -> Turn | None:
            at = wanted.checkpoint_id
            return await states.newest_turn(of=of) if at is None else await states.turn_at(at)

        turn = await self._conversations.call(conversation, StateAccess.READ, find)
        if turn is None:
            which = f"Thread {conversation.thread_id!r}" if of is None else f"Message {of}"
            raise StateGone(f"{which} has no state that is kept.")
        return turn

    async def _message_of(self, caller: Principal, thread_id: str, message_id: str) -> Message:
        """Return a message of the thread. Raises InvalidRequest if it belongs to another one."""
        message = await self._found.visible.get(caller, message_id)
        if message.thread_id != thread_id:
            raise InvalidRequest(f"message_id: message {message.id} is not of this thread", field="message_id")
        return message

    async def _abandon(self, tenant: str, thread_id: str) -> None:
        """Delete a draft and what was copied for it. If that fails, maintenance does it later."""
        try:
            await self._store.abandon_thread(tenant, thread_id)
            await forget_dropped(self._store, self._memory())
        except AgentQueueError as error:
            logger.warning("The copy of a fork that failed is deleted later: error=%s", error)


def _new_thread_id(caller: Principal, thread_id: str | None) -> str:
    """Return the id of a new thread. Raises ThreadNotFound for an id, and InvalidRequest for none, if it may not be."""
    narrowing = caller.threads
    if thread_id is None:
        if narrowing is None or narrowing.prefix is not None:
            return f"{'' if narrowing is None else narrowing.prefix}{uuid7()}"
        raise InvalidRequest("thread_id: the caller may only use some threads. Name one.", field="thread_id")
    if narrowing is not None and not narrowing.includes(thread_id):
        raise ThreadNotFound(thread_id)
    return thread_id
