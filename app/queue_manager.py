"""The operations of the queue for producers, readers and operators."""

import logging
from collections.abc import Awaitable, Collection, Sequence
from typing import Protocol

from .access.actors import interruption_record
from .access.limits import LimitRules, SubmitLimits
from .access.principals import Principal
from .access.quotas import QuotaChecks
from .access.visible import Readable, VisibleReads, own_name, owned, request_key, require_all, shown_alias
from .agents.descriptions import AgentDescriptions
from .agents.registry import AgentRegistry
from .errors import AliasTaken, InvalidRequest, NotInterrupted, QueueFull
from .errors.limits import QuotaExceeded
from .errors.workers import WorkerNotFound
from .events.wait_estimates import WaitEstimates
from .models.attempts import FailedAttempt
from .models.audit import Actor, AuditAction, record_of
from .models.keys import KeyWebhook
from .models.messages import (
    Accepted,
    Alias,
    DeadLetterGroup,
    IfBusy,
    Message,
    MessageFilter,
    NewMessage,
    Page,
    Priority,
    QueueSummary,
    new_message_id,
)
from .models.requests import Key, ResumeAnswer
from .models.workers import Throughput, Worker
from .observability.tracing import Tracing
from .policy.resume_values import resume_value
from .policy.wait_estimate import WaitEstimate, wait_estimate
from .store.ports import (
    MOVED,
    AcceptStore,
    ControlStore,
    LimitStore,
    Notifier,
    QueryStore,
    ShareStore,
    TenantStore,
    TraceStore,
    UpkeepStore,
    UsageStore,
    WebhookStore,
    WorkerStore,
)
from .submission_checks import SubmissionChecks, placed
from .text import amount_of

logger = logging.getLogger(__name__)

NO_FENCE = -1
"""A fence that no message has. A call with it can only return the answer of an earlier call."""


class ManagedStore(
    Readable,
    AcceptStore,
    ControlStore,
    QueryStore,
    ShareStore,
    UpkeepStore,
    WebhookStore,
    TraceStore,
    TenantStore,
    LimitStore,
    UsageStore,
    WorkerStore,
    Notifier,
    Protocol,
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
        limits: SubmitLimits | None = None,
        quotas: QuotaChecks | None = None,
        sends_webhooks: bool = False,
        allow_private_webhooks: bool = False,
        descriptions: AgentDescriptions | None = None,
        configurable_keys: Collection[str] = (),
        tracing: Tracing | None = None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._max_queue_size = max_queue_size
        self._limits = limits or SubmitLimits(store, LimitRules())
        self._quotas = quotas or QuotaChecks(store, self._limits)
        self._visible = VisibleReads(store)
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
                counting = await self._limits.with_subjects(caller, new)
                await self._quotas.check(caller, [each.subject for each in counting])
                rules = await self._limits.of(caller, counting, None if by is None else by.address)
                self._check_length(len(new), rules.queued)
            except (InvalidRequest, QuotaExceeded):
                # A repeated request may have become invalid, such as its time. It still gets its first answer.
                if replayed := await self.replay(caller, wanted, key):
                    return replayed
                raise
            if key is None:
                await self._wait_estimates.look()
            try:
                accepted = await self._visible.own_replay(caller, await self._store.add(
                    new, max_queued=self._max_queue_size, key=request, agents=caller.agents, limits=rules.limits,
                    max_queued_of_tenant=rules.queued, audit=interruption_record(caller, new, by),
                ))  # fmt: skip
            except AliasTaken as error:
                raise AliasTaken(shown_alias(error.alias, caller.subject)) from None
            if not accepted.replayed:
                for message in accepted.messages:
                    logger.info("Message enqueued: id=%s, priority=%s", message.id, message.priority)
        if request_span.traceparent is None:
            return accepted  # a copy costs microseconds
        return accepted._replace(traceparent=request_span.traceparent)

    def _check_length(self, count: int, of_tenant: int | None) -> None:
        """Raise InvalidRequest for a batch that would not fit into an empty queue, so would be refused for ever."""
        for most, whose in ((self._max_queue_size, "server"), (of_tenant, "tenant")):
            if count > 1 and most is not None and count > most:
                raise InvalidRequest(
                    f"messages: expected at most {amount_of(most, 'messages')}, the maximum of queued messages "
                    f"of this {whose}. Nothing was stored",
                    field="messages",
                )

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
        return await self._wait_estimates.of_accepted(messages)

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

        Each answer has an alias, by which surfaces find the run that it begins. Without one, it gets a new id.

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
        if answer.alias is None:
            answer = answer._replace(alias=new_message_id(), for_all=True)
        alias = answer.alias if answer.for_all else own_name(caller, answer.alias or "")
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

    async def drain_worker(self, worker_id: str, *, draining: bool, by: Actor | None = None) -> Worker:
        """Ask a worker to drain, or to claim messages again. Return the worker. Raises WorkerNotFound."""
        action = AuditAction.DRAIN_WORKER if draining else AuditAction.RESUME_WORKER
        await self._store.drain_worker(worker_id, draining=draining, audit=record_of(by, action, None, worker_id))
        self._wait_estimates.forget()
        logger.info("Worker asked to %s: id=%s", "drain" if draining else "claim messages again", worker_id)
        for worker in await self._store.list_workers():
            if worker.id == worker_id:
                return worker
        raise WorkerNotFound(worker_id)

    async def throughput(self) -> Throughput:
        """Return the slots, the running messages and the mean run time of the queue at present."""
        return await self._store.throughput()

    # Webhooks

    async def check_webhook(self, url: str) -> None:
        """Raise InvalidRequest, with the field `webhook_url`, unless this server may and does call this URL."""
        await self._checks.check_webhook(url)
