"""Changes many messages at once: those with given ids, or those that match a filter."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol

from .access.principals import Principal
from .access.quotas import QuotaChecks
from .access.scopes import AccessScope
from .access.visible import Readable, VisibleReads
from .errors import (
    AgentQueueError,
    InvalidRequest,
    MemoryClosed,
    MessageNotFound,
    NotCancellable,
    NotQueued,
    SelectionMoved,
)
from .models.audit import Actor, AuditAction, record_of
from .models.memory import AgentMemory
from .models.messages import Message, MessageState, Page, Priority
from .models.requests import CancelledMessages, Selection
from .policy.lifecycle import TERMINAL
from .store.dropped_memories import forget_dropped
from .store.ports import ControlStore, UpkeepStore

logger = logging.getLogger(__name__)

MAX_SELECTED = 1_000
"""Maximum number of messages that one request may select."""

CHANGED_AT_ONCE = 16
"""Maximum number of changes at a time, so that the store also serves other callers."""

UNFINISHED = frozenset(MessageState) - TERMINAL
FAILED = frozenset({MessageState.FAILED})
QUEUED = frozenset({MessageState.QUEUED})

NO_CONVERSATION = ""
"""A memory key that no conversation has."""

Change = Callable[[str], Awaitable[Message]]


class SingleChanges(Protocol):
    """Changes of one message, as `QueueManager` makes them."""

    async def cancel(
        self, caller: Principal, message_id: str, *, running: bool = False, asks: bool = False, by: Actor | None = None
    ) -> Message:
        """Cancel a message."""

    async def reprioritize(
        self, caller: Principal, message_id: str, priority: Priority, by: Actor | None = None
    ) -> Message:
        """Change the priority of a queued message."""


class BulkStore(Readable, ControlStore, UpkeepStore, Protocol):
    """The ports that the bulk manager needs."""


class BulkManager:
    """Cancels, reprioritizes, requeues and purges the messages of a selection."""

    def __init__(
        self,
        store: BulkStore,
        single: SingleChanges,
        memory: Callable[[], AgentMemory | None],
        quotas: QuotaChecks,
    ) -> None:
        self._store = store
        self._quotas = quotas
        self._single = single
        self._memory = memory
        self._visible = VisibleReads(store)

    async def cancel(self, caller: Principal, selection: Selection, by: Actor | None = None) -> CancelledMessages:
        """Cancel the selected messages in any unfinished state. The result leaves out messages that end meanwhile.

        Raises InvalidRequest, SelectionMoved.
        """
        states = selection.chosen.states or UNFINISHED
        ids = await self._select(caller, replace(selection, chosen=replace(selection.chosen, states=states)))
        cancelled = CancelledMessages([], [])
        for message in await _each(ids, lambda each: self._single.cancel(caller, each, running=True, by=by)):
            ended = message.state is MessageState.CANCELLED
            (cancelled.ended if ended else cancelled.stopping).append(message.id)
        return cancelled

    async def reprioritize(
        self, caller: Principal, selection: Selection, priority: Priority, by: Actor | None = None
    ) -> list[str]:
        """Give the selected messages another priority. Return the ids of those that were still queued.

        Raises InvalidRequest, SelectionMoved.
        """
        ids = await self._select(caller, replace(selection, chosen=replace(selection.chosen, states=QUEUED)))
        changed = await _each(ids, lambda each: self._single.reprioritize(caller, each, priority, by))
        return [message.id for message in changed]

    async def retry(self, caller: Principal, message_id: str, by: Actor | None = None) -> Message:
        """Queue a dead letter again, like `requeue`. Raises MessageNotFound, NotFailed, QuotaExceeded."""
        (message,) = await self._visible.call(
            caller, message_id, lambda each: self.requeue(caller, Selection((each,)), by)
        )
        return message

    async def requeue(self, caller: Principal, selection: Selection, by: Actor | None = None) -> list[Message]:
        """Queue all selected dead letters again, or none. Each goes to the end of its thread, oldest first.

        Raises QuotaExceeded if a quota of tokens that they would use is used up. Callers with the scope `admin` are
        exempt. Raises InvalidRequest, SelectionMoved, MessageNotFound, NotFailed.
        """
        ids = await self._select(caller, replace(selection, chosen=replace(selection.chosen, states=FAILED)))
        if AccessScope.ADMIN not in caller.scopes:
            await self._check_quotas(caller, ids)
        if selection.message_ids is None:
            ids.reverse()  # a filter returns the newest first
        audit = record_of(by, AuditAction.REQUEUE_MESSAGES, caller.tenant, *ids)
        for message in (messages := await self._store.requeue(caller.tenant, ids, audit=audit) if ids else []):
            logger.info("Message requeued: id=%s", message.id)
        return messages

    async def _check_quotas(self, caller: Principal, ids: Sequence[str]) -> None:
        """Raise QuotaExceeded if a quota of tokens is used up: the tenant's, the key's, or an end user's."""
        subjects: list[str | None] = []
        if await self._quotas.concern_subjects(caller.tenant):
            subjects = [(await self._visible.get(caller, each)).subject for each in ids]
        await self._quotas.check(caller, subjects)

    async def purge(self, caller: Principal, selection: Selection, by: Actor | None = None) -> list[str]:
        """Delete all selected dead letters, or none, with the agents' memory that only they needed. Return their ids.

        The memory is deleted at once, or by maintenance if that fails.

        Raises InvalidRequest, SelectionMoved, MessageNotFound, NotFailed, MemoryClosed.
        """
        memory = self._memory()
        if memory is None:
            raise MemoryClosed
        ids = await self._select(caller, replace(selection, chosen=replace(selection.chosen, states=FAILED)))
        if ids:
            await memory.forget([NO_CONVERSATION])  # raises StoreUnavailable while the memory is unavailable
            audit = record_of(by, AuditAction.PURGE_MESSAGES, caller.tenant, *ids)
            await self._store.purge(caller.tenant, ids, audit=audit)
            for message_id in ids:
                logger.info("Message purged: id=%s", message_id)
            await self._forget_dropped(memory)
        return ids

    async def _forget_dropped(self, memory: AgentMemory) -> None:
        """Delete the memories of purged messages now. If that fails, log it: maintenance does it later."""
        try:
            await forget_dropped(self._store, memory)
        except AgentQueueError as error:
            logger.warning("The memory of purged messages is deleted later: error=%s", error)
        except Exception:
            logger.exception("The memory of purged messages is deleted later")

    async def _select(self, caller: Principal, selection: Selection) -> list[str]:
        """Return the ids of the selected messages, each once. Raises InvalidRequest, SelectionMoved."""
        if selection.message_ids is not None:
            return await self._visible.ids(caller, selection.message_ids)
        found: list[Message] = []
        while page := await self._visible.list_messages(
            caller,
            selection.chosen,
            Page(MAX_SELECTED + 1 - len(found), (found[-1].number, "") if found else None),
            None,
            positions=False,
        ):
            found += page
            if len(found) > MAX_SELECTED:
                text = f"filter: it selects more than {MAX_SELECTED} messages, too many for one request. Narrow it."
                raise InvalidRequest(text, field="filter")
        if selection.expected_count is not None and selection.expected_count != len(found):
            raise SelectionMoved(selection.expected_count, len(found))
        return [message.id for message in found]


async def _each(ids: Sequence[str], change: Change) -> list[Message]:
    """Change each message, and return the changed ones. Leave out those that moved on meanwhile."""
    tried: list[Message | BaseException] = []
    for first in range(0, len(ids), CHANGED_AT_ONCE):
        part = ids[first : first + CHANGED_AT_ONCE]
        tried += await asyncio.gather(*map(change, part), return_exceptions=True)
    changed = []
    for message in tried:
        match message:
            case Message():
                changed.append(message)
            case MessageNotFound() | NotCancellable() | NotQueued():
                pass
            case BaseException():
                raise message
    return changed
