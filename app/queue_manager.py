"""The operations of the queue for producers, readers and operators."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from typing import Protocol

from .access.actors import interruption_record
from .access.principals import Principal
from .access.visible import Readable, VisibleReads, own_name, owned, request_key, require_all, shown_alias
from .agents.descriptions import AgentDescriptions
from .agents.registry import AgentRegistry
from .errors import (
    AgentQueueError,
    AliasTaken,
    InvalidRequest,
    MemoryClosed,
    MessageNotFound,
    NotCancellable,
    NotInterrupted,
    QueueFull,
    SelectionMoved,
)
from .events.wait_estimates import WaitEstimates
from .models.attempts import FailedAttempt
from .models.audit import Actor, AuditAction, record_of
from .models.keys import KeyWebhook
from .models.memory import AgentMemory
from .models.messages import (
    Accepted,
    Alias,
    DeadLetterGroup,
    IfBusy,
    Message,
    MessageFilter,
    MessageState,
    NewMessage,
    Page,
    Priority,
    QueueSummary,
    new_message_id,
)
from .models.requests import CancelledMessages, Key, ResumeAnswer, Selection
from .models.workers import Throughput
from .observability.tracing import Tracing
from .policy.lifecycle import TERMINAL
from .policy.resume_values import resume_value
from .policy.wait_estimate import WaitEstimate, wait_estimate
from .store.dropped_memories import forget_dropped
from .store.ports import MOVED, AcceptStore, ControlStore, Notifier, QueryStore, TraceStore, UpkeepStore, WebhookStore
from .submission_checks import SubmissionChecks, placed

logger = logging.getLogger(__name__)

MAX_SELECTED = 1_000
"""Maximum number of messages that one request may select."""

CANCELLED_AT_ONCE = 16
"""Maximum number of cancellations at a time, so that the store also serves other callers."""

UNFINISHED = frozenset(MessageState) - TERMINAL
FAILED = frozenset({MessageState.FAILED})
NO_FENCE = -1
"""A fence that no message has. A call with it can only return the answer of an earlier call."""

NO_CONVERSATION = ""
"""A memory key that no conversation has."""


class ManagedStore(
    Readable, AcceptStore, ControlStore, QueryStore, UpkeepStore, WebhookStore, TraceStore, Notifier, Protocol
):
    """The ports that the queue manager needs."""


class QueueManager:
    """Accepts, returns and changes messages."""

    def __init__(
        self,
        store: ManagedStore,
        registry: AgentRegistry,
        *,
        max_queue_size: int,
        max_queue_size_per_tenant: int | None = None,
        sends_webhooks: bool = False,
        allow_private_webhooks: bool = False,
        memory: Callable[[], AgentMemory | None] = lambda: None,
        descriptions: AgentDescriptions | None = None,
        configurable_keys: Collection[str] = (),
        tracing: Tracing | None = None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._max_queue_size = max_queue_size
        self._max_queue_size_per_tenant = max_queue_size_per_tenant
        self._visible = VisibleReads(store)
        self._memory = memory
        self._tracing = tracing or Tracing()
        self._checks = SubmissionChecks(
            descriptions or AgentDescriptions(registry),
            configurable_keys=configurable_keys,
            sends_webhooks=sends_webhooks,
            allow_private_webhooks=allow_private_webhooks,
        )
        self._wait_estimates = WaitEstimates(store, store.subscribe(MOVED))

    # Producers

    async def submit(
        self,
        caller: Principal,
        wanted: Sequence[NewMessage],
        *,
        key: Key | None = None,
        batch: bool = False,
        webhook: KeyWebhook | None = None,
        by: Actor | None = None,
    ) -> Accepted:
        """Store all messages, or none. They are stored when this returns.

        A repeated key returns the answer to its first request. With `batch`, errors name the message's index and the
        field. `webhook` is what the caller's API key adds. What `if_busy` cancels is recorded as done by `by`, unless
        an end user goes on in their own conversation. Raises InvalidRequest, KeyReused, AliasTaken, MessageDeleted,
        ThreadBusy, ThreadMoved, ThreadNotReady, ThreadNotFound, QueueFull, Forbidden, StoreUnavailable.
        """
        request = request_key(caller, key)
        with self._tracing.receive("submit") as request_span:
            new = [self._named(caller, each, at, batch, request_span.trace) for at, each in enumerate(wanted)]
            request_span.describe(new)
            try:
                await self._checks.check(new, batch)
                if webhook is not None:
                    new = self._checks.with_webhook(new, webhook)
            except InvalidRequest:
                # A repeated request may have become invalid, such as its time. It still gets its first answer.
                if replayed := await self.replay(caller, wanted, key):
                    return replayed
                raise
            try:
                accepted = await self._visible.own_replay(caller, await self._store.add(
                    new, max_queued=self._max_queue_size, key=request, agents=caller.agents,
                    max_queued_of_tenant=self._max_queue_size_per_tenant, audit=interruption_record(caller, new, by),
                ))  # fmt: skip
            except AliasTaken as error:
                raise AliasTaken(shown_alias(error.alias, caller.subject)) from None
            if not accepted.replayed:
                for message in accepted.messages:
                    logger.info("Message enqueued: id=%s, priority=%s", message.id, message.priority)
        return accepted._replace(traceparent=request_span.traceparent)

    def _named(self, caller: Principal, new: NewMessage, at: int, batch: bool, trace: str | None = None) -> NewMessage:
        try:
            agent = self._registry.resolve(new.agent or None, caller.agents)
            return owned(caller, new, id=new_message_id(), agent=agent, trace=trace)
        except InvalidRequest as error:
            raise placed(error, batch, at) from None

    async def replay(self, caller: Principal, wanted: Sequence[NewMessage], key: Key | None) -> Accepted | None:
        """Return the answer to an earlier request with this key; None if there was none. Raises KeyReused."""
        if (request := request_key(caller, key)) is None:
            return None
        new = [self._named(caller, each._replace(if_busy=IfBusy.ENQUEUE), at=0, batch=False) for each in wanted]
        try:
            return await self._visible.own_replay(caller, await self._store.add(new, max_queued=0, key=request))
        except QueueFull:  # with a limit of 0, only a replay succeeds
            return None

    # Readers

    async def get(self, caller: Principal, message_id: str) -> Message:
        """Return the present state of a message. Raises MessageNotFound."""
        return await self._visible.get(caller, message_id)

    async def find(self, caller: Principal, name: str) -> Alias:
        """Return the message with this id or else alias, and the alias's first event. Raises MessageNotFound."""
        return await self._visible.find(caller, name)

    async def list_aliases(self, message: Message) -> dict[str, int]:
        """Return the aliases of a message and their first events, in the order of these events."""
        found = await self._store.list_aliases(message.tenant, message.id)
        return {shown_alias(alias, message.subject): first_event for alias, first_event in found.items()}

    async def list_messages(
        self, caller: Principal, chosen: MessageFilter, page: Page, subject: str | None = None
    ) -> list[Message]:
        """Return one page of the messages that match the filter, newest first. `subject` None means any."""
        return await self._visible.list_messages(caller, chosen, page, subject)

    async def list_attempts(self, messages: Sequence[Message]) -> dict[str, list[FailedAttempt]]:
        """Return the failed attempts of each message of a tenant by the message's id, oldest first."""
        if not messages:
            return {}
        found = await self._store.list_attempts(messages[0].tenant, [message.id for message in messages])
        return {message.id: found.get(message.id, []) for message in messages}

    async def wait_estimate(self, message: Message) -> WaitEstimate:
        """Return when a queued message is likely to begin, and why it waits."""
        return await self._wait_estimates.of(message)

    async def wait_estimates(self, messages: Sequence[Message], *, keyed: bool = False) -> list[WaitEstimate]:
        """Return estimates for messages that were just accepted.

        With `keyed`, use only the messages themselves, so that a replay can repeat the answer.
        """
        if keyed:
            now = self._store.now()
            return [wait_estimate(message, None, None, now) for message in messages]
        return await self._wait_estimates.of_each(messages)

    async def summary(self, caller: Principal, *, limit: int) -> QueueSummary:
        """Return a snapshot of the queue, with at most `limit` messages of each kind. Raises Forbidden."""
        require_all(caller)
        return await self._store.summary(caller.tenant, limit=limit)

    # Operators

    async def cancel(
        self, caller: Principal, message_id: str, *, running: bool = False, asks: bool = False, by: Actor | None = None
    ) -> Message:
        """Cancel a queued message, or as `ControlStore.cancel` says. Raises MessageNotFound, NotCancellable."""

        def cancel(found: str) -> Awaitable[Message]:
            audit = record_of(by, AuditAction.CANCEL_MESSAGE, caller.tenant, found)
            return self._store.cancel(caller.tenant, found, running=running, asks=asks, audit=audit)

        message = await self._visible.call(caller, message_id, cancel)
        logger.info("Message cancelled: id=%s", message.id)
        return message

    async def cancel_many(self, caller: Principal, selection: Selection, by: Actor | None = None) -> CancelledMessages:
        """Cancel the selected messages in any unfinished state. The result leaves out messages that end meanwhile.

        Raises InvalidRequest, SelectionMoved.
        """
        states = selection.chosen.states or UNFINISHED
        found = await self._select(caller, replace(selection, chosen=replace(selection.chosen, states=states)))
        tried: list[Message | BaseException] = []
        for first in range(0, len(found), CANCELLED_AT_ONCE):
            part = found[first : first + CANCELLED_AT_ONCE]
            tried += await asyncio.gather(
                *(self.cancel(caller, message_id, running=True, by=by) for message_id in part), return_exceptions=True
            )
        cancelled = CancelledMessages([], [])
        for message_id, message in zip(found, tried, strict=True):
            match message:
                case Message():
                    ended = message.state is MessageState.CANCELLED
                    (cancelled.ended if ended else cancelled.stopping).append(message_id)
                case MessageNotFound() | NotCancellable():
                    pass
                case BaseException():
                    raise message
        return cancelled

    async def reprioritize(
        self, caller: Principal, message_id: str, priority: Priority, by: Actor | None = None
    ) -> Message:
        """Change the priority of a queued message. Raises MessageNotFound, NotQueued."""

        def reprioritize(found: str) -> Awaitable[Message]:
            audit = record_of(by, AuditAction.CHANGE_MESSAGE, caller.tenant, found, priority=priority)
            return self._store.reprioritize(caller.tenant, found, priority, audit=audit)

        message = await self._visible.call(caller, message_id, reprioritize)
        logger.info("Message reprioritized: id=%s, priority=%s", message.id, priority)
        return message

    async def resume(
        self,
        caller: Principal,
        message_id: str,
        answer: ResumeAnswer,
        *,
        key: Key | None = None,
        by: Actor | None = None,
    ) -> Accepted:
        """Answer the questions of an interrupted message, which is then queued again.

        Raises MessageNotFound, NotInterrupted, InvalidRequest, KeyReused, AliasTaken.
        """
        request, tenant = request_key(caller, key), caller.tenant
        message = await self.get(caller, message_id)
        try:
            value = resume_value(message, answer)
        except (InvalidRequest, NotInterrupted):
            # In a replay, the message may have taken the answer already.
            if request is None:
                raise
            try:
                return await self._store.resume(tenant, message.id, NO_FENCE, "{}", key=request)
            except NotInterrupted:
                pass
            raise
        alias = answer.alias if answer.alias is None or answer.for_all else own_name(caller, answer.alias)
        audit = record_of(by, AuditAction.ANSWER_MESSAGE, tenant, message.id)
        with self._tracing.receive("resume", trace=message.trace) as request_span:
            if (trace := request_span.answered(message.trace)) is not None:
                await self._store.keep_trace(message.id, message.fence, trace)
            try:
                accepted = await self._store.resume(
                    tenant, message.id, message.fence, value, key=request, alias=alias, audit=audit
                )
            except AliasTaken:
                raise AliasTaken(answer.alias or "") from None
            logger.info("Message resumed: id=%s", message.id)
        return accepted._replace(traceparent=request_span.traceparent)

    async def retry(self, caller: Principal, message_id: str, by: Actor | None = None) -> Message:
        """Queue a dead letter again, like `requeue`. Raises MessageNotFound, NotFailed."""
        (message,) = await self._visible.call(
            caller, message_id, lambda each: self.requeue(caller, Selection((each,)), by)
        )
        return message

    async def requeue(self, caller: Principal, selection: Selection, by: Actor | None = None) -> list[Message]:
        """Queue all selected dead letters again, or none. Each goes to the end of its thread, oldest first.

        Raises InvalidRequest, SelectionMoved, MessageNotFound, NotFailed.
        """
        ids = await self._select(caller, replace(selection, chosen=replace(selection.chosen, states=FAILED)))
        if selection.message_ids is None:
            ids.reverse()  # a filter returns the newest first
        audit = record_of(by, AuditAction.REQUEUE_MESSAGES, caller.tenant, *ids)
        for message in (messages := await self._store.requeue(caller.tenant, ids, audit=audit) if ids else []):
            logger.info("Message requeued: id=%s", message.id)
        return messages

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
        while page := await self.list_messages(
            caller, selection.chosen, Page(MAX_SELECTED + 1 - len(found), (found[-1].number, "") if found else None)
        ):
            found += page
            if len(found) > MAX_SELECTED:
                text = f"filter: it selects more than {MAX_SELECTED} messages, too many for one request. Narrow it."
                raise InvalidRequest(text, field="filter")
        if selection.expected_count is not None and selection.expected_count != len(found):
            raise SelectionMoved(selection.expected_count, len(found))
        return [message.id for message in found]

    async def group_dead_letters(self, caller: Principal, *, limit: int) -> list[DeadLetterGroup]:
        """Return the dead letters by fingerprint, the group with the latest failure first. Raises Forbidden."""
        require_all(caller)
        return await self._store.group_dead_letters(caller.tenant, limit=limit)

    async def pause(self, by: Actor | None = None) -> None:
        """Stop the claims of all tenants' messages."""
        await self._store.pause(paused=True, audit=record_of(by, AuditAction.PAUSE_QUEUE, None))
        self._wait_estimates.forget()
        logger.info("Queue paused")

    async def unpause(self, by: Actor | None = None) -> None:
        """Let workers claim messages again."""
        await self._store.pause(paused=False, audit=record_of(by, AuditAction.RESUME_QUEUE, None))
        self._wait_estimates.forget()
        logger.info("Queue resumed")

    async def throughput(self) -> Throughput:
        """Return the slots, the running messages and the mean run time of the queue at present."""
        return await self._store.throughput()

    # Webhooks

    async def check_webhook(self, url: str) -> None:
        """Raise InvalidRequest, with the field `webhook_url`, unless this server may and does call this URL."""
        await self._checks.check_webhook(url)
