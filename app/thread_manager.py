"""Lists, makes, changes and deletes threads, and reads and changes the states that agents keep of them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from .access.principals import Principal
from .agents.base import ConversationStates, StateAccess
from .agents.conversations import Conversations
from .agents.registry import AgentRegistry
from .errors import AgentQueueError, LeaseLost
from .errors.threads import ThreadRunning
from .models.audit import Actor, AuditAction, record_of
from .models.memory import AgentMemory, DroppedMemory
from .models.messages import Accepted, CreatedThread, Message, NewMessage, Page, Thread
from .models.requests import Fork, Key, Regeneration, ThreadCreation
from .models.thread_states import Checkpoint, StateChange, StateText
from .models.threads import EVERY_THREAD, LATEST_FIRST, ThreadChange, ThreadFilter, ThreadOrder, Turn
from .store.limits import PAGE_TEXT_LENGTH
from .threads.conversations import ThreadConversations
from .threads.forks import ManagedThreads, ThreadForks
from .threads.message_states import MessageStates
from .threads.regenerations import MessageQueue, Regenerations

logger = logging.getLogger(__name__)


class ThreadManager:
    """Reads, makes and changes threads, and the states that agents keep of them. A message makes the thread it names.

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
        self._conversations = conversations
        self._memory = memory
        self._found = ThreadConversations(store, registry)
        self._visible = self._found.visible
        self._forks = ThreadForks(store, self._found, conversations, memory)
        self._queue = queue
        self._regenerations = Regenerations(store, conversations, queue)
        self._message_states = MessageStates(store, self._found, conversations, memory)

    async def list_threads(
        self,
        caller: Principal,
        page: Page,
        subject: str | None = None,
        *,
        chosen: ThreadFilter = EVERY_THREAD,
        order: ThreadOrder = LATEST_FIRST,
    ) -> list[Thread]:
        """Return a page of the threads that match the filter. `subject` None means any."""
        return await self._visible.list_threads(caller, page, chosen, order, subject)

    async def count_threads(self, caller: Principal, subject: str | None, chosen: ThreadFilter) -> int:
        """Return how many threads match the filter. `subject` None means any."""
        return await self._visible.count_threads(caller, chosen, subject)

    async def get_thread(self, caller: Principal, thread_id: str) -> Thread:
        """Return a thread. Raises ThreadNotFound."""
        return await self._visible.thread(caller, thread_id)

    async def list_messages(self, caller: Principal, thread_id: str, *, after: int, limit: int) -> list[Message]:
        """Return up to `limit` messages with thread numbers above `after`, in thread order. Raises ThreadNotFound."""
        await self._found.check(caller, thread_id)
        return await self._store.list_thread_messages(
            caller.tenant, thread_id, after=after, limit=limit, agents=caller.agents
        )

    async def change(self, caller: Principal, thread_id: str, change: ThreadChange, by: Actor | None = None) -> Thread:
        """Change the name and the metadata of a thread. Raises ThreadNotFound, MetadataTooLarge."""
        await self._found.check(caller, thread_id)
        audit = record_of(by, AuditAction.CHANGE_THREAD, caller.tenant, thread_id)
        return await self._store.change_thread(caller.tenant, thread_id, change, audit=audit)

    async def delete(
        self, caller: Principal, thread_id: str, by: Actor | None = None, *, last_number: int | None = None
    ) -> None:
        """Delete a thread, its messages, and what agents remember of it.

        Raises ThreadNotFound, ThreadRunning, and ThreadMoved if `last_number` is not that of the thread. The memory is
        deleted at once, or by maintenance if that fails. Until then, no message can have the thread's id.
        """
        if caller.agents is None:
            await self._found.check(caller, thread_id)
        else:
            await self._found.find(caller, thread_id, None)
        audit = record_of(by, AuditAction.DELETE_THREAD, caller.tenant, thread_id)
        await self._store.delete_thread(caller.tenant, thread_id, last_number=last_number, audit=audit)
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

        `agent` names the agent whose memory is read; None means the one that ran last. With `subgraphs`, the
        tasks include the states of their subgraphs. Raises ThreadNotFound, CheckpointNotFound, InvalidRequest, and what
        `Conversations.call` raises.
        """
        conversation = await self._found.find(caller, thread_id, agent)
        return await self._conversations.call(
            conversation, StateAccess.READ, lambda states: states.read(checkpoint_id, subgraphs=subgraphs)
        )

    async def read_state_after(self, caller: Principal, message_id: str) -> StateText:
        """Return the newest state that a message made, as `MessageStates.read_after` does."""
        return await self._message_states.read_after(caller, message_id)

    async def roll_back(self, caller: Principal, message_id: str, by: Actor | None = None) -> None:
        """Have the agent forget the steps of a message that has ended, as `MessageStates.roll_back` does."""
        await self._message_states.roll_back(caller, message_id, by)

    async def list_states(
        self, caller: Principal, thread_id: str, *, agent: str | None, before: str | None, limit: int
    ) -> list[StateText]:
        """Return up to `limit` states of a thread, newest first; if `before` names a checkpoint, only older states.

        Returns fewer than `limit` when their texts reach PAGE_TEXT_LENGTH. `agent` works as in `read_state`. Raises
        what `read_state` raises.
        """
        conversation = await self._found.find(caller, thread_id, agent)
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
        conversation = await self._found.find(caller, thread_id, agent)
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

    async def check_places(self, caller: Principal, wanted: Sequence[NewMessage], key: Key | None) -> None:
        """Check that the checkpoints at which new messages begin are kept, unless the request is a repeated one.

        Raises CheckpointNotFound, KeyReused, and what `read_state` raises.
        """
        if await self._queue.replay(caller, wanted, key):
            return
        for each in wanted:
            place = each.checkpoint_id
            if place is not None and each.thread_id is not None:
                conversation = await self._found.find(caller, each.thread_id, each.agent or None)
                await self._conversations.call(conversation, StateAccess.READ, _read_of(place))

    # New threads and messages

    async def create(self, caller: Principal, wanted: ThreadCreation, key: Key | None = None) -> CreatedThread:
        """Make a thread without messages, as `ThreadForks.create` describes."""
        return await self._forks.create(caller, wanted, key)

    async def fork(self, caller: Principal, thread_id: str, wanted: Fork, by: Actor | None = None) -> Thread:
        """Make a new thread that begins with a state of this one, as `ThreadForks.fork` describes."""
        return await self._forks.fork(caller, thread_id, wanted, by)

    async def regenerate(
        self,
        caller: Principal,
        message_id: str,
        wanted: Regeneration,
        *,
        key: Key | None = None,
        by: Actor | None = None,
    ) -> tuple[Accepted, Message]:
        """Store a message that answers an earlier one anew, as `Regenerations.regenerate` describes."""
        return await self._regenerations.regenerate(caller, message_id, wanted, key=key, by=by)


def _read_of(checkpoint_id: str) -> Callable[[ConversationStates], Awaitable[Turn]]:
    return lambda states: states.turn_at(checkpoint_id)
