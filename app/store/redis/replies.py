"""Replies of scripts to models. Numbers in hashes come as text."""

from collections.abc import Sequence
from typing import Any

from ...clock import to_datetime
from ...models.attempts import FailedAttempt
from ...models.deliveries import Delivery, DeliveryRecord
from ...models.events import Event, EventPage, EventType
from ...models.messages import DeadLetterGroup, Message, MessageState, QueueSummary, Thread
from ...models.workers import Throughput, Worker
from ..rows import (
    THREAD_STATES,
    agents_of,
    to_delivery,
    to_delivery_record,
    to_failed_attempt,
    to_groups,
    to_message,
    to_thread,
)

MESSAGE_NUMBERS = (0, 4, 9, 10, 11, 15, 16, 19, 20, 21, 24)
THREAD_NUMBERS = (1, 2, 3, 5, 6, 7, 8, 9, 10)
DELIVERY_NUMBERS = (7, 8, 9)


def message(columns: Sequence[Any], position: int | None = None) -> Message:
    """From the reply of the Lua function `row`."""
    return to_message(_with_numbers(columns, MESSAGE_NUMBERS), position)


def thread(columns: Sequence[Any]) -> Thread:
    """From the reply of the Lua function `thread_row`."""
    return to_thread(_with_numbers(columns, THREAD_NUMBERS))


def delivery(columns: Sequence[Any]) -> Delivery:
    """From the reply of the Lua function `delivery_row`."""
    return to_delivery(_with_numbers(columns, DELIVERY_NUMBERS))


def delivery_record(columns: Sequence[Any]) -> DeliveryRecord:
    """From the reply of the Lua function `delivery_record`."""
    return to_delivery_record(_with_numbers(columns, DELIVERY_NUMBERS))


def failed_attempt(columns: Sequence[Any]) -> FailedAttempt:
    """From an item of the reply of the script `list_attempts`, which has no details where none are known."""
    return to_failed_attempt(columns)


def dead_letter_group(columns: Sequence[Any]) -> DeadLetterGroup:
    """From an item of the reply of the script `group_dead_letters`."""
    fingerprint, count, error, error_code, first, last = columns
    return DeadLetterGroup(
        fingerprint=fingerprint,
        count=count,
        error=error,
        error_code=error_code,
        first_failed_at=to_datetime(first),
        last_failed_at=to_datetime(last),
    )


def throughput(reply: Sequence[Any]) -> Throughput:
    """From the reply of the script `throughput`."""
    paused, told, running, took, in_groups = reply
    by_agents = {agents: count for (_, agents), count in zip(told, in_groups, strict=True)}
    return Throughput(
        bool(paused),
        sum(slots for slots, _ in told),
        running,
        sum(map(int, took)) / len(took) / 1000 if took else None,
        to_groups(told, running, by_agents),
    )


def event_page(reply: Sequence[Any]) -> EventPage:
    """From the reply of the script `read`."""
    state, first, last, begin, stored = reply
    events = []
    for number, text in enumerate(stored, begin):
        kind, _, data = text.partition(" ")
        events.append(Event(number, EventType(kind), data))
    return EventPage(events, first, last, MessageState(state))


def summary(reply: Sequence[Any]) -> QueueSummary:
    """From the reply of the script `summary`, whose totals are in the order of a thread's states."""
    totals, queued, processing = reply
    return QueueSummary(
        totals=dict(zip(THREAD_STATES, totals, strict=True)),
        queued=tuple(map(message, queued)),
        processing=tuple(map(message, processing)),
    )


def workers(reply: Sequence[Any]) -> list[Worker]:
    """From the reply of the script `list_workers`, oldest first."""
    found = [
        Worker(
            id=name,
            host=host,
            pid=int(pid),
            slots=int(slots),
            started_at=to_datetime(int(start)),
            last_beat=to_datetime(int(beat)),
            agents=agents_of(agents),
        )
        for name, host, pid, slots, start, beat, agents in reply
    ]
    return sorted(found, key=lambda worker: (worker.started_at, worker.id))


def _with_numbers(columns: Sequence[Any], places: Sequence[int]) -> tuple[Any, ...]:
    row = list(columns)
    for place in places:
        if row[place] is not None:
            row[place] = int(row[place])
    return tuple(row)
