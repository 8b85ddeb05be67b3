"""Converts replies of scripts to models.

A row is a list of columns. `scripts` puts the names of these columns into the Lua functions. Redis returns numbers in
hashes as text; INTEGERS names the columns that become numbers.
"""

import json
from collections.abc import Sequence
from typing import Any

from ...clock import to_datetime
from ...models.attempts import FailedAttempt
from ...models.deliveries import Delivery, DeliveryRecord
from ...models.events import EVENT_TYPES, Event, EventPage
from ...models.keys import ApiKey
from ...models.messages import DeadLetterGroup, Message, MessageState, Priority, QueueSummary, Thread
from ...models.tenants import Tenant
from ...models.workers import Throughput, Worker, WorkerState
from ...policy.versions import AgentVersion, SeenVersion
from ..keys import KEY_COLUMNS, to_key
from ..rows import (
    DELIVERY_COLUMNS,
    MESSAGE_COLUMNS,
    THREAD_STATES,
    agents_of,
    load_of,
    to_delivery,
    to_delivery_record,
    to_failed_attempt,
    to_groups,
    to_message,
    to_thread,
)
from ..tenants import to_tenant
from ..versions import KnownVersions

THREAD_COLUMNS = (
    *(
        "thread_id",
        "last_number",
        "created_at",
        "last_activity",
        "last_message_preview",
        "name",
        "metadata",
        "forked_from",
        "subject",
        "ttl_ms",
        "last_ended",
    ),
    *THREAD_STATES,
)

INTEGERS = {
    *("number", "thread_number", "created_at", "started_at", "completed_at", "attempt", "fence", "run_at", "crashes"),
    *("cancel_requested", "interrupt_expires_at", "tries", "next_at", "last_number", "last_activity", *THREAD_STATES),
    *("expires_at", "revoked_at", "last_used_at", "previous_until", "signs_webhooks", "ttl_ms"),
}

_MESSAGE_INTEGERS, _DELIVERY_INTEGERS, _THREAD_INTEGERS, _KEY_INTEGERS = (
    [place for place, name in enumerate(columns) if name in INTEGERS]
    for columns in (MESSAGE_COLUMNS, DELIVERY_COLUMNS, THREAD_COLUMNS, KEY_COLUMNS)
)


def message(columns: Sequence[Any], position: int | None = None) -> Message:
    """Return a message from a reply of the Lua function `row`."""
    return to_message(_with_integers(columns, _MESSAGE_INTEGERS), position)


def thread(columns: Sequence[Any]) -> Thread:
    """Return a thread from a reply of the Lua function `thread_row`."""
    return to_thread(_with_integers(columns, _THREAD_INTEGERS))


def delivery(columns: Sequence[Any]) -> Delivery:
    """Return a delivery from a reply of the Lua function `delivery_row`."""
    return to_delivery(_with_integers(columns, _DELIVERY_INTEGERS))


def delivery_record(columns: Sequence[Any]) -> DeliveryRecord:
    """Return a delivery without its data from a reply of the Lua function `delivery_record`."""
    return to_delivery_record(_with_integers(columns, _DELIVERY_INTEGERS))


def api_key(columns: Sequence[Any]) -> ApiKey:
    """Return an API key from a reply of the Lua function `api_key`."""
    return to_key(_with_integers(columns, _KEY_INTEGERS))


def tenant(columns: Sequence[Any]) -> Tenant:
    """Return the record of a tenant from a reply of the Lua function `tenant_row`."""
    return to_tenant(columns)


def failed_attempt(columns: Sequence[Any]) -> FailedAttempt:
    """Convert an item of the reply of `list_attempts` to a failed attempt. The item may have no details."""
    return to_failed_attempt(columns)


def dead_letter_group(columns: Sequence[Any]) -> DeadLetterGroup:
    """Return a group from an item of the script `group_dead_letters`."""
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
    """Return the throughput from the reply of the script `throughput`."""
    paused, groups, running, run_times, running_by_group, draining = reply
    by_agents = {agents: count for (_, agents), count in zip(groups, running_by_group, strict=True)}
    return Throughput(
        bool(paused),
        sum(slots for slots, _ in groups),
        running,
        sum(map(int, run_times)) / len(run_times) / 1000 if run_times else None,
        to_groups(groups, running, by_agents),
        draining,
    )


def event_page(reply: Sequence[Any]) -> EventPage:
    """Return a page of a log from the reply of the script `read`."""
    state, first, last, begin, stored = reply
    events = []
    for number, text in enumerate(stored, begin):
        kind, at, data = text.split(" ", 2)
        events.append(Event(number, EVENT_TYPES[kind], data, int(at)))
    return EventPage(events, first, last, MessageState(state))


def summary(reply: Sequence[Any]) -> QueueSummary:
    """Return the summary from the reply of the script `summary`. Its totals are in the order of THREAD_STATES."""
    totals, by_priority, queued, processing = reply
    counts = dict(zip(by_priority[::2], map(int, by_priority[1::2]), strict=True))
    return QueueSummary(
        totals=dict(zip(THREAD_STATES, totals, strict=True)),
        queued_by_priority={priority: counts.get(priority, 0) for priority in Priority},
        queued=tuple(map(message, queued)),
        processing=tuple(map(message, processing)),
    )


def known_versions(reply: Sequence[Any]) -> KnownVersions:
    """Return the versions of agents from the reply of the script `list_versions`."""
    seen, waiting = reply
    return KnownVersions(
        [SeenVersion(*AgentVersion(*json.loads(name)), int(first), int(last)) for name, first, last in seen],
        [AgentVersion(*json.loads(name)) for name in waiting],
    )


def workers(reply: Sequence[Any]) -> list[Worker]:
    """Return workers from the reply of the script `list_workers`, oldest first."""
    found = [
        Worker(
            id=name,
            host=host,
            pid=int(pid),
            slots=int(slots),
            started_at=to_datetime(int(start)),
            last_beat=to_datetime(int(beat)),
            clock_ahead_ms=int(ahead),
            state=WorkerState(state),
            agents=agents_of(agents),
            load=load_of(load),
        )
        for name, host, pid, slots, start, beat, ahead, state, agents, load in reply
    ]
    return sorted(found, key=lambda worker: (worker.started_at, worker.id))


def _with_integers(columns: Sequence[Any], places: Sequence[int]) -> list[Any]:
    row = list(columns)
    for place in places:
        if row[place] is not None:
            row[place] = int(row[place])
    return row
