"""Converts rows to models, and fields to the form in which they are stored."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from ..clock import Clock, to_datetime
from ..models.attempts import FailedAttempt
from ..models.audit import AuditAction, AuditRecord, NewAudit
from ..models.deliveries import Delivery, DeliveryAttempt, DeliveryRecord, DeliveryState, WebhookEvent
from ..models.failures import FailureDetails
from ..models.items import Item, labels_of
from ..models.messages import (
    NO_METADATA,
    Message,
    MessageOptions,
    MessageState,
    NewMessage,
    Priority,
    Readiness,
    Thread,
)
from ..models.statistics import QueueFigures
from ..models.threads import MINUTE_MS, ForkSource
from ..models.tokens import SigningSecret
from ..models.transitions import TransitionType
from ..models.workers import ServedAgent, Worker, WorkerGroup, WorkerLoad, WorkerState
from .metadata import thread_metadata
from .receivers import receivers_of

PREVIEW_LENGTH = 160


def preview(text: str) -> str:
    """Return the beginning of a text on one line, at most PREVIEW_LENGTH characters."""
    line = " ".join(text[: 2 * PREVIEW_LENGTH].split())
    return line if len(line) <= PREVIEW_LENGTH else line[: PREVIEW_LENGTH - 1] + "…"


def to_failed_attempt(row: Sequence[Any]) -> FailedAttempt:
    """Return a failed attempt from a row of `list_attempts` without the message id. The row may lack the details."""
    attempt, worker_id, started_at, ended_at, error, error_code, *details = row
    return FailedAttempt(
        attempt=attempt,
        worker_id=worker_id,
        started_at=to_datetime(started_at),
        ended_at=to_datetime(ended_at),
        error=error,
        error_code=error_code,
        **(json.loads(details[0]) if details and details[0] else {}),
    )


def stored_details(details: FailureDetails | None) -> str | None:
    """Return the details of a failure as JSON, or None if there are none."""
    return None if details is None else details.model_dump_json(exclude_none=True)


MESSAGE_COLUMNS = Message._fields[:-1]
"""The columns of a message in every store: its fields in their order, without the position."""


def to_item(row: Sequence[Any]) -> Item:
    """Return an item from namespace, key, value, created_at, updated_at and ttl_ms. Numbers may be texts."""
    namespace, key, value, created_at, updated_at, ttl_ms = row
    return Item(
        labels_of(namespace),
        key,
        value,
        to_datetime(int(created_at)),
        to_datetime(int(updated_at)),
        int(ttl_ms) if ttl_ms else None,
    )


_events = TypeAdapter(tuple[WebhookEvent, ...])
_attempts = TypeAdapter(tuple[DeliveryAttempt, ...])
_NO_OPTIONS = MessageOptions()

_MESSAGE_VALUES: Mapping[str, Callable[[Any], Any]] = {
    "priority": Priority,
    "state": MessageState,
    "created_at": to_datetime,
    "started_at": to_datetime,
    "completed_at": to_datetime,
    "options": MessageOptions.model_validate_json,
    "readiness": Readiness,
    "run_at": lambda moment: to_datetime(moment) if moment else None,
    "cancel_requested": bool,
    "interrupt_expires_at": to_datetime,
    "rollback": lambda text: tuple(json.loads(text)),
    "webhook_events": _events.validate_json,
    "receivers": receivers_of,
    "metadata": json.loads,
    "agent_version": lambda text: text or None,
}
"""Functions that convert columns to fields, where they differ. NULL becomes None."""

_MESSAGE_PLACES = tuple((MESSAGE_COLUMNS.index(name), value) for name, value in _MESSAGE_VALUES.items())
_OPTIONS, _ROLLBACK, _METADATA, _RECEIVERS = map(
    MESSAGE_COLUMNS.index, ("options", "rollback", "metadata", "receivers")
)


def to_message(row: Sequence[Any], queue_position: int | None = None) -> Message:
    """Return the message of a row that begins with MESSAGE_COLUMNS."""
    values = list(row[: len(MESSAGE_COLUMNS)])
    for place, convert in _MESSAGE_PLACES:
        value = values[place]
        if value is not None:
            values[place] = convert(value)
    if values[_OPTIONS] is None:
        values[_OPTIONS] = _NO_OPTIONS
    if values[_ROLLBACK] is None:
        values[_ROLLBACK] = ()
    if values[_METADATA] is None:
        values[_METADATA] = NO_METADATA
    if values[_RECEIVERS] is None:
        values[_RECEIVERS] = ()
    values.append(queue_position)
    return Message._make(values)


def requeued(message: Message, number: int, thread_number: int, readiness: str, fence: int) -> Message:
    """Return a failed message as it is after a requeue. Its `queue_position` stays None."""
    return message._replace(
        number=number,
        thread_number=thread_number,
        readiness=Readiness(readiness),
        fence=fence,
        state=MessageState.QUEUED,
        attempt=0,
        crashes=0,
        run_at=None,
        started_at=None,
        completed_at=None,
        error=None,
        error_code=None,
        fingerprint=None,
        agent_version=None,
    )


def events_text(new: NewMessage) -> str | None:
    """Return the webhook events of a message as JSON, None for the default."""
    return None if new.webhook_events is None else json.dumps(new.webhook_events)


DELIVERY_COLUMNS = tuple(DeliveryRecord.model_fields)
"""The columns of a delivery. Its data may follow as one more column."""

_DELIVERY_VALUES: Mapping[str, Callable[[Any], Any]] = {
    "event": WebhookEvent,
    "state": DeliveryState,
    "created_at": to_datetime,
    "next_at": to_datetime,
    "attempts": _attempts.validate_json,
}


def to_delivery(row: Sequence[Any]) -> Delivery:
    """Return the delivery of a row with DELIVERY_COLUMNS and the data."""
    return Delivery(**_delivery_fields(row), data=row[len(DELIVERY_COLUMNS)])


def to_delivery_record(row: Sequence[Any]) -> DeliveryRecord:
    """Return the delivery, without its data, of a row with DELIVERY_COLUMNS."""
    return DeliveryRecord(**_delivery_fields(row))


def _delivery_fields(row: Sequence[Any]) -> dict[str, Any]:
    fields = dict(zip(DELIVERY_COLUMNS, row, strict=False))
    for name, convert in _DELIVERY_VALUES.items():
        if fields[name] is not None:
            fields[name] = convert(fields[name])
    return fields


def run_at_of(new: NewMessage, clock: Clock, now: int) -> int:
    """Return the store's time in ms before which the message must not run. 0 means at once."""
    if new.run_at is not None:
        return clock.at(int(new.run_at.timestamp() * 1000))
    return now + int(new.delay_seconds * 1000) if new.delay_seconds > 0 else 0


def options_of(new: NewMessage) -> str | None:
    """Return the options of a message as JSON, None if there are none."""
    return None if new.options is None else new.options.model_dump_json(exclude_defaults=True)


class Receipt(NamedTuple):
    """The values that the store chose for a message when it accepted it. A request key keeps them for replays."""

    id: str
    number: int
    thread_number: int
    created_at: int
    readiness: str
    run_at: int
    position: int | None
    rollback: Sequence[str] = ()
    subject: str | None = None


def accepted(new: NewMessage, receipt: Receipt) -> Message:
    """Return a message as it is right after it was stored."""
    return Message(
        number=receipt.number,
        id=receipt.id,
        tenant=new.tenant,
        thread_id=new.thread_id,
        thread_number=receipt.thread_number,
        agent=new.agent,
        content=new.content,
        priority=new.priority,
        state=MessageState.QUEUED,
        created_at=to_datetime(receipt.created_at),
        started_at=None,
        completed_at=None,
        result=None,
        error=None,
        error_code=None,
        attempt=0,
        fence=0,
        options=new.options or _NO_OPTIONS,
        readiness=Readiness(receipt.readiness),
        run_at=to_datetime(receipt.run_at) if receipt.run_at else None,
        rollback=tuple(receipt.rollback),
        webhook_url=new.webhook_url,
        webhook_events=new.webhook_events,
        webhook_key=new.webhook_key,
        receivers=new.receivers,
        metadata=dict(new.metadata) if new.metadata else NO_METADATA,
        subject=receipt.subject,
        key_id=new.key_id,
        trace=new.trace,
        queue_position=receipt.position,
    )


_agents = TypeAdapter(tuple[ServedAgent, ...])


def agents_text(worker: Worker) -> str:
    """Return the agents of a worker as JSON, empty if the worker does not name them."""
    return "" if worker.agents is None else _agents.dump_json(worker.agents, exclude_none=True).decode()


def load_text(worker: Worker) -> str:
    """Return the load of a worker as it is stored, empty if the worker does not report it."""
    return "" if worker.load is None else worker.load.model_dump_json()


def load_of(text: str) -> WorkerLoad | None:
    """Return the load from its stored text."""
    return WorkerLoad.model_validate_json(text) if text else None


def agents_of(text: str) -> tuple[ServedAgent, ...] | None:
    """Return the agents of a worker from their JSON, None if it is empty."""
    return _agents.validate_json(text) if text else None


DRAIN_STATES = {True: WorkerState.DRAINING, False: WorkerState.ACTIVE}
"""The state of a worker after it was asked to drain, and after it was asked to claim messages again."""

DRAIN_CHANGES = {True: TransitionType.WORKER_DRAINING, False: TransitionType.WORKER_RESUMED}
"""The kinds of these changes."""


def to_groups(rows: Iterable[tuple[int, str]], running: int, by_agents: Mapping[str, int]) -> tuple[WorkerGroup, ...]:
    """Return workers grouped by their agents, from (slots, JSON of the agents) of each worker.

    `running` counts all processing messages. `by_agents` counts them by group, if there are several groups.
    """
    slots_of: dict[str, int] = {}
    for slots, text in rows:
        slots_of[text] = slots_of.get(text, 0) + int(slots)
    return tuple(
        WorkerGroup(slots, running if len(slots_of) == 1 else by_agents.get(text, 0), agents_of(text))
        for text, slots in slots_of.items()
    )


def to_queue_figures(
    now: int,
    *,
    waiting: Mapping[int, int],
    firsts: Mapping[int, Sequence[Any]],
    delayed: int,
    processing: int,
    interrupted: int,
    failed: int,
) -> QueueFigures:
    """Return the figures of the queue.

    `firsts` has, by level of the claim order, when its first message was accepted, and its `run_at`. Times are in
    milliseconds; `now` is the store's time.
    """
    oldest = {
        level: max(0.0, now - max(int(accepted_at), int(run_at))) / 1000
        for level, (accepted_at, run_at) in firsts.items()
    }
    return QueueFigures(waiting, oldest, delayed, processing, interrupted, failed)


THREAD_STATES = (
    MessageState.QUEUED,
    MessageState.PROCESSING,
    MessageState.COMPLETED,
    MessageState.FAILED,
    MessageState.CANCELLED,
    MessageState.INTERRUPTED,
)


def to_thread(row: Sequence[Any]) -> Thread:
    """Return a thread from a row of `list_threads` or `get_thread`."""
    thread_id, last_number, created_at, last_activity, last_preview, name, metadata, forked_from, subject, *more = row
    ttl_ms, last_ended, *counts = more
    return Thread(
        thread_id=thread_id,
        last_number=last_number,
        message_count=sum(counts),
        created_at=to_datetime(created_at),
        last_activity=to_datetime(last_activity),
        last_message_preview=last_preview,
        states=dict(zip(THREAD_STATES, counts, strict=True)),
        name=name,
        metadata=thread_metadata(metadata),
        forked_from=None if forked_from is None else ForkSource.model_validate_json(forked_from),
        subject=subject,
        ttl=None if ttl_ms is None else ttl_ms / MINUTE_MS,
        last_ended=None if last_ended is None else MessageState(last_ended),
    )


def to_signing_secret(row: Sequence[Any]) -> SigningSecret:
    """Return a signing secret from its id, its text and its time."""
    secret_id, secret, created_at = row
    return SigningSecret(secret_id, secret, to_datetime(created_at))


AUDIT_COLUMNS = AuditRecord._fields
"""The columns of a record of the audit log in every store."""


def audit_values(audit: NewAudit) -> dict[str, Any]:
    """Return a record of the audit log as SQL stores it, by column: targets and details are JSON."""
    return {**audit._asdict(), "targets": json.dumps(audit.targets), "details": json.dumps(dict(audit.details))}


def to_audit(row: Sequence[Any]) -> AuditRecord:
    """Return a record of the audit log from a row of AUDIT_COLUMNS."""
    return audit_of(*row[:-2], *map(json.loads, row[-2:]))


def audit_of(
    number: int,
    at: int,
    actor: str,
    key_id: str | None,
    address: str | None,
    action: str,
    tenant: str | None,
    targets: Sequence[str],
    details: Mapping[str, Any],
) -> AuditRecord:
    """Return a record of the audit log from its stored fields."""
    known = AuditAction(action)
    return AuditRecord(number, to_datetime(at), actor, key_id, address, known, tenant, tuple(targets), details)
