"""Answers messages anew, from the states before them."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from ..access.principals import Principal
from ..agents.base import Conversation, ConversationStates, StateAccess
from ..agents.conversations import Conversations
from ..errors import Forbidden, MessageNotFound
from ..errors.threads import AgentWithoutState, NotEnded, StateGone, ThreadMoved
from ..models.audit import Actor
from ..models.messages import Accepted, IfBusy, Message, MessageState, NewMessage, Thread
from ..models.requests import Key, Regeneration
from ..models.threads import Turn
from .conversations import ReadThreads

UNANSWERED = frozenset({MessageState.QUEUED, MessageState.PROCESSING})

MAX_REPLACED = 1_000
"""Maximum number of messages that one message replaces."""

REPLACE_TRIES = 3
"""How often a thread is read again that has got further messages meanwhile."""

OF_OTHER_AGENTS = "Later messages of the thread are of agents that the caller may not use, so they cannot be replaced."


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


class Regenerations:
    """Answers messages anew."""

    def __init__(self, store: ReadThreads, conversations: Conversations, queue: MessageQueue) -> None:
        self._store = store
        self._conversations = conversations
        self._queue = queue

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
        conversation = Conversation(message.tenant, message.agent, message.memory_key, thread.thread_id)
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
