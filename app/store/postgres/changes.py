"""Changes the state of messages. Locks their threads first, then the messages."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from ...clock import Clock, to_datetime
from ...errors import MessageNotFound, StoreError
from ...models.attempts import Cancelled, Failed, Interrupted, Retry
from ...models.events import NewEvent
from ...models.messages import Message, MessageState, Readiness
from ..parts import Unsettled
from ..ports import CANCELS, MOVED, READY, message_topic
from ..receivers import interrupt_delivery_id, told_of
from ..rows import stored_details, to_message
from ..terminal_states import Ending, ending
from .audit import Recording
from .running import release
from .session import Rows, Session, Step, step


class Writes(Recording):
    """The base class of all writers. A writer opens its own transactions.

    `touched` has the topics of the hints to send afterwards. Locks are taken in one order: threads before messages,
    each sorted by key.
    """

    def __init__(self, session: Session, clock: Clock) -> None:
        super().__init__(session)
        self.clock = clock
        self.touched = session.touched
        self.unsettled: deque[Unsettled] = deque()
        """Long threads that `ControlWrites.settle` has to settle further."""

    @contextmanager
    def transaction(self, *first: Step) -> Iterator[tuple[int, list[Rows]]]:
        """Run a transaction that begins with the steps `first`. Yields the time after them, and their rows."""
        self.touched.clear()
        self.session.freed.clear()
        try:
            with self.session.transaction(*first) as rows:
                yield self.clock.now(), rows
            self._release_freed()
        except BaseException:
            self.touched.clear()
            raise

    def _release_freed(self) -> None:
        """Release as many held messages of each tenant as the transaction has ended or put back."""
        if self.session.freed:
            with suppress(StoreError), self.session.statement():  # `promote` releases them if this fails
                release(self.session, self.session.freed)


def next_events(events: Mapping[int, NewEvent], now: int) -> Step:
    """Return the step that adds `events`, by message number, to the messages' logs. The messages must be locked."""
    return step(
        "add_next_events",
        messages=list(events),
        types=[event.type.value for event in events.values()],
        data=[event.data for event in events.values()],
        now=now,
    )


class NewRows:
    """Events that one statement adds."""

    def __init__(self) -> None:
        self._messages: list[int] = []
        self._ids: list[int] = []
        self._types: list[str] = []
        self._data: list[str] = []

    @property
    def empty(self) -> bool:
        """Return whether there is nothing to add."""
        return not self._messages

    def append(self, message: int, last: int, events: Sequence[NewEvent]) -> int:
        """Collect events for the message with this number, whose last event id is `last`. Return its new last id."""
        for event in events:
            last += 1
            self._messages.append(message)
            self._ids.append(last)
            self._types.append(event.type.value)
            self._data.append(event.data)
        return last

    def step(self, now: int) -> Step:
        """Return the step that adds all these events."""
        return step("add_events", messages=self._messages, ids=self._ids, types=self._types, data=self._data, now=now)


class Locked(NamedTuple):
    """A message whose row is locked. The query text `locked_columns` selects its fields."""

    number: int
    id: str
    tenant: str
    thread_id: str | None
    thread_number: int
    state: str
    agent: str
    readiness: str | None
    attempt: int
    crashes: int
    fence: int
    cancel_requested: bool
    webhook_url: str | None
    webhook_events: str | None
    receivers: str | None
    limited: bool = False
    """Whether its tenant has a limit of running messages in its record."""


class Ended(NamedTuple):
    """A message that ends. With `was_head`, the next message of its thread becomes the head."""

    locked: Locked
    end: Ending
    was_head: bool = True


class PutBack(NamedTuple):
    """A message that goes back to the queue. Its attempt count falls by `refunded`."""

    locked: Locked
    attempt: int
    error: str
    run_at: int
    refunded: int = 0


class FailedNow(NamedTuple):
    """An attempt that failed."""

    number: int
    failed: Failed | Retry


class NewDelivery(NamedTuple):
    """A delivery to add for a message that enters `state`, if its webhook wants this state."""

    delivery_id: str
    locked: Locked
    state: MessageState
    event: NewEvent


class NewInterrupt(NamedTuple):
    """A message that its agent interrupts, to ask a human."""

    locked: Locked
    attempt: int
    outcome: Interrupted


class Logs:
    """Event ids by message number: the last of the log, and the first of the present attempt."""

    def __init__(self, rows: Sequence[tuple[Any, ...]] = ()) -> None:
        self.last: dict[int, int] = {number: last for number, last, _ in rows}
        self.start: dict[int, int] = {number: start for number, _, start in rows}


class Changes(Writes):
    """Makes the steps of state changes, which the caller runs together."""

    def free(self, locked: Locked) -> None:
        """Note that a message has made room for another one of its tenant, or may no longer be its first."""
        if locked.limited or self.session.running:
            self.session.freed[locked.tenant] += 1

    def end(self, ended: Sequence[Ended], now: int, *, raise_fence: bool = False, crashed: int = 0) -> list[Step]:
        """Return the steps that end messages.

        They set states, add events and deliveries, and promote the next message of each thread. `raise_fence` is for
        messages that end without their lease. `crashed` is added to each message's crashes.
        """
        if not ended:
            return []
        for locked, _, _ in ended:
            self.touched |= {MOVED, message_topic(locked.id)}
            self.free(locked)
        return [
            step(
                "end_messages",
                numbers=[each.locked.number for each in ended],
                states=[each.end.state.value for each in ended],
                results=[each.end.result for each in ended],
                errors=[each.end.error for each in ended],
                error_codes=[each.end.error_code for each in ended],
                fingerprints=[each.end.fingerprint for each in ended],
                outputs=[each.end.output for each in ended],
                raise_fence=raise_fence,
                crashed=crashed,
                now=now,
            ),
            next_events({each.locked.number: each.end.event for each in ended}, now),
            *_add_deliveries(
                [
                    NewDelivery(f"{each.locked.id}.{each.locked.number}", each.locked, each.end.state, each.end.event)
                    for each in ended
                ],
                now,
            ),
            *self._promote_next([each.locked for each in ended if each.was_head], now),
        ]

    def _promote_next(self, heads: Sequence[Locked], now: int) -> list[Step]:
        in_threads = [head for head in heads if head.thread_id is not None]
        if not in_threads:
            return []
        self.touched.add(READY)
        return [
            step(
                "promote_next",
                tenants=[head.tenant for head in in_threads],
                threads=[head.thread_id for head in in_threads],
                ended=[head.thread_number for head in in_threads],
                now=now,
            )
        ]

    def put_back(self, back: Sequence[PutBack], logs: Logs, now: int, *, crashed: int = 0) -> list[Step]:
        """Return the steps that put messages back as heads of their threads.

        A `retry` event tells readers which events to discard. `crashed` is added to each message's crashes.
        """
        if not back:
            return []
        self.touched |= {READY, MOVED}
        events = NewRows()
        for locked, attempt, error, run_at, _ in back:
            self.free(locked)
            number = locked.number
            retry = NewEvent.retry(
                attempt=attempt, error=error, next_at=to_datetime(run_at), discard_from=logs.start[number]
            )
            events.append(number, logs.last[number], [retry])
        return [
            step(
                "put_back_messages",
                numbers=[each.locked.number for each in back],
                run_ats=[each.run_at for each in back],
                refunds=[each.refunded for each in back],
                crashed=crashed,
                now=now,
            ),
            events.step(now),
        ]

    def interrupt(self, new_interrupts: Sequence[NewInterrupt], logs: Logs, now: int) -> list[Step]:
        """Return the steps that interrupt messages until an answer or a timeout. Their threads stay blocked."""
        if not new_interrupts:
            return []
        events = NewRows()
        expire_at: list[int] = []
        deliveries: list[NewDelivery] = []
        for locked, attempt, outcome in new_interrupts:
            self.free(locked)
            expire_at.append(now + int(outcome.ttl_seconds * 1000))
            event = NewEvent.interrupted(
                attempt=attempt, interrupts=outcome.interrupts, expires_at=to_datetime(expire_at[-1])
            )
            event_id = events.append(locked.number, logs.last[locked.number], [event])
            delivery_id = interrupt_delivery_id(locked.id, locked.number, event_id)
            deliveries.append(NewDelivery(delivery_id, locked, MessageState.INTERRUPTED, event))
        return [
            step(
                "interrupt_messages",
                numbers=[each.locked.number for each in new_interrupts],
                interrupts=[each.outcome.interrupts for each in new_interrupts],
                expire_at=expire_at,
                now=now,
            ),
            events.step(now),
            *_add_deliveries(deliveries, now),
        ]

    def note_attempts(self, failed: Sequence[FailedNow], now: int) -> list[Step]:
        """Return the steps that list attempts as failed. Run them before the steps that change the messages."""
        if not failed:
            return []
        return [
            step(
                "note_attempts",
                numbers=[each.number for each in failed],
                errors=[each.failed.error for each in failed],
                error_codes=[each.failed.code for each in failed],
                details=[stored_details(each.failed.details) for each in failed],
                now=now,
            )
        ]

    def cancel_all(self, locked: Sequence[Locked], now: int, *, promote_next: bool = True) -> list[Step]:
        """Return the steps that cancel messages, as `cancel` with `running` does.

        With `promote_next` False, no next message becomes the head of its thread.
        """
        running = [each for each in locked if each.state == MessageState.PROCESSING and not each.cancel_requested]
        waiting = [each for each in locked if each.state != MessageState.PROCESSING]
        steps: list[Step] = []
        if waiting:
            end = ending(Cancelled(), now)
            ended = [
                Ended(each, end, was_head=promote_next and each.readiness != Readiness.BLOCKED) for each in waiting
            ]
            steps += self.end(ended, now, raise_fence=True)
            steps.append(step("leave_flow", numbers=[each.number for each in waiting]))
        if running:
            self.touched |= {CANCELS, *(message_topic(each.id) for each in running)}
            steps.append(step("request_cancels", numbers=[each.number for each in running]))
        return steps

    def owned(self, tenant: str, message_id: str) -> Message:
        """Return a tenant's message without its position. Raises MessageNotFound."""
        row = self.row("get_message", id=message_id, tenant=tenant)
        if row is None:
            raise MessageNotFound(message_id)
        return to_message(row)


def _add_deliveries(deliveries: Sequence[NewDelivery], now: int) -> list[Step]:
    wanted = [
        (each, told)
        for each in deliveries
        for told in told_of(
            each.locked.webhook_url, each.locked.webhook_events, each.locked.receivers, each.state, each.delivery_id
        )
    ]
    if not wanted:
        return []
    return [
        step(
            "add_deliveries",
            ids=[told.delivery_id for _, told in wanted],
            tenants=[each.locked.tenant for each, _ in wanted],
            message_ids=[each.locked.id for each, _ in wanted],
            threads=[each.locked.thread_id for each, _ in wanted],
            urls=[told.url for _, told in wanted],
            events=[each.state.value for each, _ in wanted],
            receivers=[told.receiver for _, told in wanted],
            data=[each.event.data for each, _ in wanted],
            now=now,
        )
    ]


def locked_by_id(rows: Iterable[tuple[Any, ...]]) -> Mapping[str, Locked]:
    """Return locked messages by id, from their rows."""
    return {locked.id: locked for locked in map(Locked._make, rows)}


def named_leases(leases: Iterable[tuple[str, int]]) -> dict[str, list[Any]]:
    """Return (message id, fence) pairs as the values `ids` and `fences` of a query."""
    ids: list[Any] = []
    fences: list[Any] = []
    for message_id, fence in leases:
        ids.append(message_id)
        fences.append(fence)
    return {"ids": ids, "fences": fences}
