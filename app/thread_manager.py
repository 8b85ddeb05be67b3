"""Lists, changes and deletes threads, and reads and changes the states that agents keep of them."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from uuid_utils import uuid7

from .access.principals import Principal
from .access.visible import VisibleReads
from .agents.base import Conversation, ConversationStates, StateAccess
from .agents.conversations import Conversations
from .agents.registry import AgentRegistry
from .errors import AgentQueueError, Forbidden, InvalidRequest, LeaseLost, MessageNotFound, ThreadNotFound
from .errors.threads import AgentWithoutState, NotEnded, StateGone, ThreadExists, ThreadMoved, ThreadRunning
from .models.audit import Actor, AuditAction, record_of
from .models.memory import AgentMemory, DroppedMemory
from .models.messages import Accepted, IfBusy, Message, MessageFilter, MessageState, NewMessage, Page, Thread
from .models.requests import Fork, Key, Regeneration
from .models.thread_states import Checkpoint, StateChange, StateText
from .models.threads import ForkSource, NewThread, ThreadChange, Turn
from .store.dropped_memories import forget_dropped
from .store.limits import PAGE_TEXT_LENGTH
from .store.ports import QueryStore, ThreadStore, UpkeepStore

logger = logging.getLogger(__name__)

NEWEST = Page(1)

UNANSWERED = frozenset({MessageState.QUEUED, MessageState.PROCESSING})

MAX_REPLACED = 1_000
"""Maximum number of messages that one message replaces."""

REPLACE_TRIES = 3
"""How often a thread is read again that has got further messages meanwhile."""

OF_OTHER_AGENTS = "Later messages of the thread are of agents that the caller may not use, so they cannot be replaced."

FORK_TRIES = 3
"""How often the newest state of a thread is copied that was deleted meanwhile, as the steps of ended turns are."""


class MessageQueue(Protocol):
    """The part of the queue manager that makes messages."""

    async def get(self, caller: Principal, message_id: str) -> Message:
        """Return a message. Raises MessageNotFound."""

    async def submit(
        self, caller: Principal, wanted: Sequence[NewMessage], *, key: Key | None = None, by: Actor | None = None
    ) -> Accepted:
        """Store messages. Raises InvalidRequest, KeyReused, ThreadBusy, ThreadMoved, QueueFull, StoreUnavailable."""

    async def replay(self, caller: Principal, wanted: Sequence[NewMessage], key: Key | None) -> Accepted | None:
        """Return the answer to an earlier request with this key; None if there was none. Raises KeyReused."""


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
        queue: MessageQueue,
    ) -> None:
        self._store = store
        self._registry = registry
        self._conversations = conversations
        self._memory = memory
        self._queue = queue
        self._visible = VisibleReads(store)

    async def list_threads(self, caller: Principal, page: Page, subject: str | None = None) -> list[Thread]:
        """Return a page of threads, the latest activity first. `subject` None means any."""
        return await self._visible.list_threads(caller, page, subject)

    async def get_thread(self, caller: Principal, thread_id: str) -> Thread:
        """Return a thread. Raises ThreadNotFound."""
        return await self._visible.thread(caller, thread_id)

    async def list_messages(self, caller: Principal, thread_id: str, *, after: int, limit: int) -> list[Message]:
        """Return up to `limit` messages with thread numbers above `after`, in thread order. Raises ThreadNotFound."""
        await self._check(caller, thread_id)
        return await self._store.list_thread_messages(
            caller.tenant, thread_id, after=after, limit=limit, agents=caller.agents
        )

    async def change(self, caller: Principal, thread_id: str, change: ThreadChange, by: Actor | None = None) -> Thread:
        """Change the name and the metadata of a thread. Raises ThreadNotFound, MetadataTooLarge."""
        await self._check(caller, thread_id)
        audit = record_of(by, AuditAction.CHANGE_THREAD, caller.tenant, thread_id)
        return await self._store.change_thread(caller.tenant, thread_id, change, audit=audit)

    async def _check(self, caller: Principal, thread_id: str) -> None:
        """Raise ThreadNotFound for a thread that the caller may not see."""
        if caller.is_narrowed:
            await self._visible.thread(caller, thread_id)

    async def delete(self, caller: Principal, thread_id: str, by: Actor | None = None) -> None:
        """Delete a thread, its messages, and what agents remember of it. Raises ThreadNotFound, ThreadRunning.

        The memory is deleted at once, or by maintenance if that fails. Until then, no message can have the thread's id.
        """
        if caller.agents is None:
            await self._check(caller, thread_id)
        else:
            await self._conversation(caller, thread_id, None)
        audit = record_of(by, AuditAction.DELETE_THREAD, caller.tenant, thread_id)
        await self._store.delete_thread(caller.tenant, thread_id, audit=audit)
        logger.info("Thread deleted: id=%s", thread_id)
        await self._forget(DroppedMemory(caller.tenant, thread_id, ""))

    async def _forget(self, dropped: DroppedMemory) -> None:
        """Delete a dropped memory. If that fails, log it: maintenance does it later."""
        try:
            await self._memory().forget([dropped.memory_key])
            await self._store.settle_dropped_memories([dropped])
        except AgentQueueError as error:
            logger.warning("The memory of a deleted thread is deleted later: error=%s", error)

    # States

    async def read_state(
        self, caller: Principal, thread_id: str, *, agent: str | None, checkpoint_id: str | None, subgraphs: bool
    ) -> StateText:
        """Return the state of a thread at a checkpoint; with `checkpoint_id` None, the newest state.

        `agent` names the agent whose memory is read; None means the agent that `_agent_of` finds. With `subgraphs`, the
        tasks include the states of their subgraphs. Raises ThreadNotFound, CheckpointNotFound, InvalidRequest, and what
        `Conversations.call` raises.
        """
        conversation = await self._conversation(caller, thread_id, agent)
        return await self._conversations.call(
            conversation, StateAccess.READ, lambda states: states.read(checkpoint_id, subgraphs=subgraphs)
        )

    async def list_states(
        self, caller: Principal, thread_id: str, *, agent: str | None, before: str | None, limit: int
    ) -> list[StateText]:
        """Return up to `limit` states of a thread, newest first; if `before` names a checkpoint, only older states.

        Returns fewer than `limit` when their texts reach PAGE_TEXT_LENGTH. `agent` works as in `read_state`. Raises
        what `read_state` raises.
        """
        conversation = await self._conversation(caller, thread_id, agent)
        return await self._conversations.call(
            conversation, StateAccess.READ, lambda states: states.history(before, limit, PAGE_TEXT_LENGTH)
        )

    async def update_state(
        self, caller: Principal, thread_id: str, change: StateChange, *, agent: str | None, by: Actor | None = None
    ) -> Checkpoint:
        """Change the state of a thread and return the new checkpoint.

        The audit log has the change before it is made, also if the graph then does not take it.

        Raises ThreadRunning if a message is processing or begins meanwhile, ThreadNotFound if the thread is deleted
        meanwhile, InvalidInput for what the graph does not take, and what `read_state` raises.
        """
        conversation = await self._conversation(caller, thread_id, agent)
        audit = record_of(by, AuditAction.CHANGE_STATE, caller.tenant, thread_id)
        right = await self._store.take_memory_right(caller.tenant, thread_id, audit=audit)
        loop = asyncio.get_running_loop()

        async def confirm() -> Thread:
            """Check on the store's event loop that the thread still exists."""
            reading = self._store.get_thread(caller.tenant, thread_id)
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(reading, loop))

        try:
            made = await self._conversations.call(
                conversation, StateAccess.UPDATE, lambda states: states.update(change, right, confirm)
            )
        except LeaseLost:
            await self._store.get_thread(caller.tenant, thread_id)  # raises if the thread was deleted
            raise ThreadRunning(thread_id) from None
        logger.info("State updated: thread=%s, checkpoint=%s", thread_id, made.checkpoint_id)
        return made

    # Replacing messages

    async def regenerate(
        self,
        caller: Principal,
        message_id: str,
        wanted: Regeneration,
        *,
        key: Key | None = None,
        by: Actor | None = None,
    ) -> tuple[Accepted, Message]:
        """Store a message with the input of an earlier one, to run from the state before the earlier one.

        Returns it with the earlier message. Its `rollback` has the messages whose steps the agent will forget. Raises
        MessageNotFound, NotEnded, StateGone, what `QueueManager.submit` raises, and what `read_state` raises.
        """
        for last_try in (False,) * (REPLACE_TRIES - 1) + (True,):
            message = await self._queue.get(caller, message_id)
            if replayed := await self._queue.replay(caller, [wanted.again(message)], key):
                return replayed, message  # the thread may have moved on since the first request
            if wanted.if_busy is IfBusy.REJECT and message.state in UNANSWERED:
                raise NotEnded(message.id, message.state)
            new = wanted.again(message)
            if message.thread_id is not None:
                thread = await self._store.get_thread(caller.tenant, message.thread_id)
                replaced = await self._replaced_by(caller, message, thread)
                new = new._replace(rollback=tuple(replaced), last_number=thread.last_number, if_busy=wanted.if_busy)
            try:
                return await self._queue.submit(caller, [new], key=key, by=by), message
            except ThreadMoved:
                if last_try:
                    raise
        raise AssertionError("the last try returns or raises")

    async def _replaced_by(self, caller: Principal, message: Message, thread: Thread) -> list[str]:
        """Return the ids of a message and of all later turns of its thread. Raises StateGone, Forbidden.

        The memory may have turns of messages that were purged. Such a turn is later if its time is.
        """
        found = await self._from(message, thread.thread_id)
        if not all(caller.visibility.shows_agent(each.agent) for each in found):
            raise Forbidden(OF_OTHER_AGENTS)
        replaced = [each.id for each in found]
        conversation = Conversation(message.agent, message.memory_key, thread.thread_id)
        begins_empty = message.thread_number == 1 and thread.forked_from is None

        async def find(states: ConversationStates) -> tuple[Turn | None, bool]:
            newest = await states.newest_turn(replaced)
            oldest = await states.oldest_turn() if newest is None else None
            return newest, oldest is None or oldest.begins

        try:
            while True:
                turn, is_whole = await self._conversations.call(conversation, StateAccess.READ, find)
                is_gone = turn is None and not is_whole and not begins_empty
                if is_gone or await self._is_forgotten_before(message, found[1:]):
                    raise StateGone(f"The state before message {message.id} is no longer kept.")
                if turn is None or turn.message_id is None or await self._is_earlier(turn, turn.message_id, message):
                    return replaced
                replaced.append(turn.message_id)
        except AgentWithoutState:
            return replaced

    async def _from(self, message: Message, thread_id: str) -> list[Message]:
        """Return a message and all later ones of its thread. Raises StateGone if there are too many."""
        found: list[Message] = [message]
        while page := await self._store.list_thread_messages(
            message.tenant, thread_id, after=found[-1].thread_number, limit=MAX_REPLACED
        ):
            found += page
            if len(found) > MAX_REPLACED:
                raise StateGone(f"More than {MAX_REPLACED} messages follow message {message.id}.")
        return found

    async def _is_forgotten_before(self, message: Message, later: Sequence[Message]) -> bool:
        """Return whether one of the later messages has made the agent forget a message before this one.

        A deleted message does not count. Of the messages that a message replaces, the first is the earliest.
        """
        ids = {each.id for each in later} | {message.id}
        for replaced in {each.rollback[0] for each in later if each.rollback and each.started_at is not None} - ids:
            with suppress(MessageNotFound):
                if (await self._store.get(message.tenant, replaced)).thread_number < message.thread_number:
                    return True
        return False

    async def _is_earlier(self, turn: Turn, turn_message_id: str, message: Message) -> bool:
        """Return whether a turn comes before a message of its thread. The turn's message may have been deleted."""
        try:
            other = await self._store.get(message.tenant, turn_message_id)
        except MessageNotFound:
            return turn.created_at <= message.created_at
        return other.thread_id != message.thread_id or other.thread_number < message.thread_number

    # Forks

    async def fork(self, caller: Principal, thread_id: str, wanted: Fork, by: Actor | None = None) -> Thread:
        """Make a new thread that begins with a state of this one. It has no messages yet.

        Raises ThreadNotFound, ThreadRunning, ThreadExists, CheckpointNotFound, StateGone, InvalidRequest for a message
        of another thread, and what `read_state` raises.
        """
        tenant = caller.tenant
        conversation = await self._conversation(caller, thread_id, None)
        thread = await self._visible.thread(caller, thread_id)
        await self._store.take_memory_right(tenant, thread_id)  # raises while a message is processing
        of = None if wanted.message_id is None else await self._message_of(caller, thread_id, wanted.message_id)

        turn = await self._forked_turn(conversation, wanted, of)
        new_id = _new_thread_id(caller, wanted)
        await self._draft(caller, new_id)
        try:
            key = Message.memory_key_of(tenant, new_id, "")
            tries = FORK_TRIES
            while not await self._memory().copy_until(conversation.memory_key, turn.checkpoint_id, key):
                tries -= 1
                if not tries or wanted.checkpoint_id is not None:
                    raise StateGone(f"Checkpoint {turn.checkpoint_id} is no longer kept.")
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
            await self._check(caller, thread_id)
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

    async def _message_of(self, caller: Principal, thread_id: str, message_id: str) -> str:
        """Return the id of a message of the thread. Raises InvalidRequest if it belongs to another one."""
        message = await self._queue.get(caller, message_id)
        if message.thread_id != thread_id:
            raise InvalidRequest(f"message_id: message {message.id} is not of this thread", field="message_id")
        return message.id

    async def _abandon(self, tenant: str, thread_id: str) -> None:
        """Delete a draft and what was copied for it. If that fails, maintenance does it later."""
        try:
            await self._store.abandon_thread(tenant, thread_id)
            await forget_dropped(self._store, self._memory())
        except AgentQueueError as error:
            logger.warning("The copy of a fork that failed is deleted later: error=%s", error)

    async def _conversation(self, caller: Principal, thread_id: str, agent: str | None) -> Conversation:
        """Return a thread with the agent whose memory of it is used, and the key of that memory.

        Raises ThreadNotFound. Raises InvalidRequest if there is no agent with the name `agent`.
        """
        thread = await self._visible.thread(caller, thread_id)
        if agent is not None:
            agent = self._registry.resolve(agent, caller.agents)
        if agent is None or caller.agents is not None:  # the agents of a thread share its memory
            own = await self._agent_of(caller.tenant, thread)
            if not caller.visibility.shows_agent(own):
                raise ThreadNotFound(thread_id)
            agent = agent or own
        return Conversation(agent, Message.memory_key_of(caller.tenant, thread_id, ""), thread_id)

    async def _agent_of(self, tenant: str, thread: Thread) -> str:
        """Return the agent of the newest message of a thread, else that of its fork, else the default agent."""
        newest = await self._store.list_messages(tenant, MessageFilter(thread_id=thread.thread_id), NEWEST)
        if newest:
            return newest[0].agent
        return self._registry.default if thread.forked_from is None else thread.forked_from.agent


def _new_thread_id(caller: Principal, wanted: Fork) -> str:
    """Return the id of a new thread. Raises ThreadNotFound for an id, and InvalidRequest for none, if it may not be."""
    narrowing = caller.threads
    if wanted.thread_id is None:
        if narrowing is None or narrowing.prefix is not None:
            return f"{'' if narrowing is None else narrowing.prefix}{uuid7()}"
        raise InvalidRequest("thread_id: the caller may only use some threads. Name one.", field="thread_id")
    if narrowing is not None and not narrowing.includes(wanted.thread_id):
        raise ThreadNotFound(wanted.thread_id)
    return wanted.thread_id
