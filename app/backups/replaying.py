"""Gives a message its history again, through the ports of a store whose clock shows the time of each step.

Every step appends as many events as it stands for. The number of stored events therefore tells how far an import that
was cut off had come, and the next one goes on there.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from ..clock import to_datetime, to_milliseconds
from ..errors import MessageNotFound
from ..errors.backups import TargetNotEmpty
from ..models.attempts import Cancelled, Completed, Failed, FailedAttempt, Interrupted, Lease, Outcome, Released, Retry
from ..models.deliveries import Delivery, DeliveryAttempt, DeliveryState
from ..models.events import Event, EventType, NewEvent
from ..models.failures import FailureDetails
from ..models.messages import Message, MessageState, NewMessage
from ..store.ports import Store
from ..store.terminal_states import NOT_ANSWERED, WORKER_LOST_CODE
from .records import MessageRecord

ALL = 2**31
LEASE_SECONDS = 10 * 365 * 24 * 3600.0
LOST_LEASE_SECONDS = 0.001
"""The lease of an attempt whose worker was lost. No other lease ends while such attempts are put back."""

WORKER = "import"
ADDED_LATER = "The receiver was added after the event."
MOVED = "The message was exported while it ran."
APPENDED = frozenset(EventType) - {
    EventType.PROCESSING, EventType.VERSION, EventType.RETRY, EventType.INTERRUPTED, EventType.RESUMED,
    EventType.DONE, EventType.ERROR, EventType.CANCELLED,
}  # fmt: skip
"""Types of events that a worker appends while it has a lease."""


class ReplayClock:
    """A clock that shows the time at which something happened. Meets `app.clock.Clock`."""

    def __init__(self) -> None:
        self.milliseconds = 0

    def now(self) -> int:
        """Return the time of the present step."""
        return self.milliseconds

    def at(self, date: int) -> int:
        """Return the same time: the clock is never stepped."""
        return date

    def witness(self, moment: int) -> None:
        """Do nothing: what the target's other processes have dated does not change what has happened."""


class _Step(NamedTuple):
    """Events of one append, or a change of state that appends one event."""

    type: EventType
    at: int
    events: Sequence[Event]


class Replay:
    """Replays messages into a store."""

    def __init__(self, store: Store, clock: ReplayClock) -> None:
        self._store = store
        self._clock = clock

    async def replay(self, record: MessageRecord) -> bool:
        """Bring a message to the state of its record. Return False if it was there already."""
        given = record.stored()
        is_new = False
        try:
            present = await self._store.get(given.tenant, given.id)
        except MessageNotFound:
            present, is_new = await self._add(given, record), True
        steps = list(_steps(given, record))
        done = 0 if is_new else (await self._store.read(given.tenant, given.id, after=0, limit=1)).last
        left = list(_left(steps, done))
        count = len(left) - record.is_held
        if count <= 0:
            await self._settle_deliveries(record)
            return is_new
        if present.state in (MessageState.COMPLETED, MessageState.FAILED, MessageState.CANCELLED):
            return False  # its log was shortened since
        await _Course(self._store, self._clock, given, record, present).follow(left, count)
        await self._settle_deliveries(record)
        return True

    async def _add(self, given: Message, record: MessageRecord) -> Message:
        self._clock.milliseconds = to_milliseconds(given.created_at)
        new = NewMessage(
            content=given.content, priority=given.priority, thread_id=given.thread_id, agent=given.agent,
            options=given.options, run_at=_first_run_at(given, record), webhook_url=given.webhook_url,
            webhook_events=given.webhook_events, metadata=given.metadata or None, rollback=given.rollback,
            aliases=tuple(alias for alias, first in record.aliases.items() if not first),
            webhook_key=given.webhook_key, subject=given.subject, key_id=given.key_id, trace=given.trace,
            receivers=given.receivers,
            id=given.id, tenant=given.tenant,
        )  # fmt: skip
        return (await self._store.add([new], max_queued=ALL)).messages[0]

    async def _settle_deliveries(self, record: MessageRecord) -> None:
        """End the deliveries that had ended, so that no webhook is called twice.

        Receivers that were added after an event have no delivery of it in the record. Theirs are ended too.
        """
        known = {(each.event, each.created_at, each.receiver): each for each in record.deliveries}
        last = max((each.at for each in record.events), default=0)

        def ended(delivery: Delivery) -> DeliveryAttempt | None:
            """Return the last attempt of a delivery that had ended, else None."""
            before = known.get((delivery.event, delivery.created_at, delivery.receiver))
            if before is None:
                is_old = delivery.receiver is not None and to_milliseconds(delivery.created_at) <= last
                return DeliveryAttempt(at=delivery.created_at, status=None, error=ADDED_LATER) if is_old else None
            if before.state is DeliveryState.PENDING:
                return None
            error = "It had failed." if before.state is DeliveryState.FAILED else None
            none_kept = DeliveryAttempt(at=before.created_at, status=None, error=error)
            return before.attempts[-1] if before.attempts else none_kept

        tenant, message_id = record.message["tenant"], record.message["id"]
        is_told = record.deliveries or record.stored().receivers
        present = await self._store.list_deliveries(tenant, message_id) if is_told else ()
        if not any(each.state is DeliveryState.PENDING and ended(each) for each in present):
            return
        self._clock.milliseconds = max(to_milliseconds(each.created_at) for each in present)
        for claimed in await self._store.claim_deliveries(ALL, lease_seconds=LOST_LEASE_SECONDS):
            if claimed.message_id == message_id and (attempt := ended(claimed)):
                await self._store.settle_delivery(claimed, attempt, next_in=None)


class _Course:
    """The steps of one message, and the lease that it has meanwhile."""

    def __init__(
        self, store: Store, clock: ReplayClock, given: Message, record: MessageRecord, present: Message
    ) -> None:
        self._store = store
        self._clock = clock
        self._given = given
        self._record = record
        self._lease: Lease | None = None
        self._failed: FailedAttempt | None = None
        self._position = present.queue_position
        if present.state is MessageState.PROCESSING:
            self._lease = Lease(present.id, present.fence, present.attempt, WORKER)
        usage = [each for each in record.events if each.type is EventType.USAGE]
        self._last_usage = usage[-1].id if usage else None

    async def follow(self, steps: Sequence[_Step], count: int) -> None:
        """Take the first `count` of these steps."""
        if self._lease is not None:
            self._failed = self._failure(steps, None)
        for place, step in enumerate(steps[:count]):
            self._clock.milliseconds = step.at
            data = json.loads(step.events[0].data)
            match step.type:
                case EventType.PROCESSING:
                    await self._claim(step, steps[place + 1 :])
                case EventType.RETRY:
                    await self._end(self._retried(step.at, data))
                case EventType.INTERRUPTED:
                    ttl = _seconds(step.at, data["expires_at"])
                    await self._end(Interrupted(json.dumps(data["interrupts"]), ttl))
                case EventType.RESUMED:
                    await self._resume(step, data)
                case EventType.DONE:
                    output = None if "output" not in data else self._given.output or json.dumps(data["output"])
                    await self._end(Completed(data["result"], output))
                case EventType.ERROR:
                    await self._fail(data)
                case EventType.CANCELLED:
                    await self._cancel()
                case _:
                    await self._append(step)

    async def _claim(self, step: _Step, later: Sequence[_Step]) -> None:
        given = self._given
        self._failed = self._failure(later, step.at)
        worker = WORKER if self._failed is None else self._failed.worker_id
        lost = self._failed is not None and self._failed.error_code == WORKER_LOST_CODE
        versions = {given.agent: given.agent_version} if given.agent_version else {}
        if self._position is None:  # it was delayed until the time of this step
            await self._store.promote()
            self._position = (await self._store.get(given.tenant, given.id)).queue_position
        if self._position != 0:
            raise TargetNotEmpty("The queue of the target has messages that wait before imported ones, or is paused")
        claims = await self._store.claim(
            worker, [given.agent], 1, lease_seconds=LOST_LEASE_SECONDS if lost else LEASE_SECONDS, versions=versions
        )
        if not claims or claims[0].message.id != given.id:
            raise TargetNotEmpty("The queue of the target is paused, or other processes work on it. Nothing was lost")
        self._lease, self._position = claims[0].lease, None

    async def _append(self, step: _Step) -> None:
        assert self._lease is not None, "logs have a worker's events between its claim and its end only"
        usage = self._record.usage if any(each.id == self._last_usage for each in step.events) else ()
        await self._store.append(self._lease, [NewEvent(each.type, each.data) for each in step.events], usage)

    async def _end(self, outcome: Outcome | None) -> None:
        """End the attempt. None stands for the loss of its worker."""
        if outcome is None:
            await self._store.rescue()
        elif self._lease is not None:
            await self._store.finish(self._lease, outcome)
        self._lease = None

    def _retried(self, at: int, data: dict[str, object]) -> Outcome | None:
        delay = _seconds(at, str(data["next_at"]))
        if (failed := self._failed) is None:
            return Released(str(data["error"]), delay)
        if failed.error_code == WORKER_LOST_CODE:
            return None
        return Retry(failed.error, failed.error_code, delay, _details(failed))

    async def _fail(self, data: dict[str, str]) -> None:
        failed = self._failed
        if self._lease is None and data["code"] == NOT_ANSWERED.code:
            await self._store.expire_interrupts()
        elif failed is not None and failed.error_code == WORKER_LOST_CODE:
            await self._end(None)
        else:
            details = None if failed is None else _details(failed)
            await self._end(Failed(data["error"], data["code"], self._given.fingerprint or "", details))

    async def _resume(self, step: _Step, data: dict[str, object]) -> None:
        given = self._given
        present = await self._store.get(given.tenant, given.id)
        value = json.dumps(data["answers"])
        if given.resume_value is not None and json.loads(given.resume_value) == data["answers"]:
            value = given.resume_value
        alias = next((each for each, first in self._record.aliases.items() if first == step.events[0].id), None)
        await self._store.resume(given.tenant, given.id, present.fence, value, alias=alias)

    async def _cancel(self) -> None:
        await self._store.cancel(self._given.tenant, self._given.id, running=True)
        if self._lease is not None:
            await self._end(Cancelled())

    def _failure(self, later: Sequence[_Step], began: int | None) -> FailedAttempt | None:
        """Return the failure of the attempt that ends in these steps, None if it did not fail.

        `began` is the time of its claim, None if it is not known.
        """
        ending = next((each for each in later if each.type not in APPENDED), None)
        for each in self._record.attempts:
            is_end = ending is not None and ending.at == to_milliseconds(each.ended_at)
            if is_end and began in (None, to_milliseconds(each.started_at)):
                return each
        return None


def _steps(given: Message, record: MessageRecord) -> Iterator[_Step]:
    """Return the steps of a log. A log whose beginning is no longer kept gets the steps that the message implies."""
    events = record.events
    if not events or (events[0].type is not EventType.PROCESSING and events[0].type in APPENDED):
        yield from _implied(given)
        return
    together: list[Event] = []
    has_lease = False
    for event in events:
        if together and (event.type not in APPENDED or event.at != together[0].at):
            yield _Step(together[0].type, together[0].at, together)
            together = []
        if event.type in APPENDED:
            together.append(event)
            continue
        if event.type is EventType.VERSION or (event.type is EventType.RETRY and not has_lease):
            continue  # no worker took part: the message got another version, or was queued again by an operator
        has_lease = event.type is EventType.PROCESSING
        yield _Step(event.type, event.at, [event])
    if together:
        yield _Step(together[0].type, together[0].at, together)
    if given.state is MessageState.PROCESSING:
        at = events[-1].at
        moved = NewEvent.retry(attempt=given.attempt, error=MOVED, next_at=to_datetime(at + 1), discard_from=1)
        yield _Step(EventType.RETRY, at, [_made(moved, at)])


def _implied(given: Message) -> Iterator[_Step]:
    """Return the steps of a message whose log is no longer kept."""
    if given.completed_at is None:
        return
    ended = to_milliseconds(given.completed_at)
    if given.started_at is not None:
        began = to_milliseconds(given.started_at)
        yield _Step(EventType.PROCESSING, began, [_made(NewEvent.processing(1), began)])
    match given.state:
        case MessageState.COMPLETED:
            event = NewEvent.done(given.result or "", given.completed_at, given.output)
        case MessageState.FAILED:
            event = NewEvent.failed(given.error or "", given.error_code or "", given.completed_at)
        case _:
            event = NewEvent.cancelled(given.completed_at)
    yield _Step(event.type, ended, [_made(event, ended)])


def _made(new: NewEvent, at: int) -> Event:
    return Event(0, new.type, new.data, at)


def _left(steps: Sequence[_Step], done: int) -> Iterator[_Step]:
    """Return the steps that are left when the log has `done` events."""
    for step in steps:
        if done <= 0:
            yield step
        done -= len(step.events)


def _first_run_at(given: Message, record: MessageRecord) -> datetime | None:
    """Return when a message could start at the earliest, as it was submitted; None if a later step has changed it."""
    changed = any(each.type in (EventType.RETRY, EventType.RESUMED) for each in record.events)
    return None if changed else given.run_at


def _seconds(at: int, moment: str) -> float:
    """Return the seconds from `at` (ms) to a time of RFC 3339; half a millisecond more, since stores round down."""
    return max(0.0, (to_milliseconds(datetime.fromisoformat(moment)) - at + 0.5) / 1000)


def _details(failed: FailedAttempt) -> FailureDetails | None:
    details = FailureDetails(**failed.model_dump(include=set(FailureDetails.model_fields)))
    return None if details == FailureDetails() else details
