"""Changes of state, inside the transaction of a batch. No change commits.

If a change raises after it has written, the batch is rolled back and run again. Changes must therefore have no effect
outside the database.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import apsw

from ...clock import Clock, to_datetime
from ...errors import MessageNotFound, NotCancellable
from ...models.attempts import Cancelled, Completed, Failed, Retry
from ...models.events import NewEvent
from ...models.memory import DroppedMemory
from ...models.messages import Message, MessageState, Readiness
from ...policy.rank import TURN_LENGTH, Flow, RankPolicy, Turn, Turns
from ..parts import SETTLED_AT_ONCE, Unsettled
from ..ports import CANCELS, MOVED, READY, message_topic
from ..receivers import told_of
from ..rows import stored_details, to_message
from ..sql.limit_rows import LimitRows
from ..sql.positions import NewPlaces
from ..terminal_states import Ending, ending
from .audit import Recording

UNKNOWN = -1
"""A number of changes that no connection has."""


@dataclass(slots=True)
class KnownQueue:
    """Facts of the queue that hold while a transaction only adds messages. The next message needs no query for them."""

    changes: int = UNKNOWN
    """Number of changes of the connection at which all of this holds."""
    state: tuple[int, bool] | None = None
    """The answer of the query `accept_state`."""
    turns: dict[Flow, Turn] = field(default_factory=dict)
    """The next turns of flows, if messages take turns."""
    places: NewPlaces = field(default_factory=NewPlaces)
    """The places of the messages that were added one by one."""

    def at(self, changes: int) -> None:
        """Forget everything unless it holds at this number of changes."""
        if changes != self.changes:
            self.forget()
            self.changes = changes

    def forget(self) -> None:
        """Forget everything, since the queue was changed otherwise."""
        self.state = None
        self.turns.clear()
        self.places.clear()


@dataclass(frozen=True, slots=True)
class Writing:
    """State that all writers over one connection share."""

    connection: Callable[[], apsw.Connection]
    queries: Mapping[str, str]
    ranks: RankPolicy
    clock: Clock
    touched: set[str] = field(default_factory=set)
    """Topics of the hints to send after the commit."""
    limit_rows: LimitRows = field(default_factory=LimitRows)
    known: KnownQueue = field(default_factory=KnownQueue)
    running: int = 0
    """How many messages a tenant may run that has no limit in its record; 0 for any number."""
    freed: Counter[str] = field(default_factory=Counter)
    """By tenant, how many messages the transaction has ended, put back or moved."""


class Changes(Recording):
    """The base class of all writers."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing.connection, writing.queries)
        self._ranks = writing.ranks
        self._now = writing.clock.now
        self._clock = writing.clock
        self.touched = writing.touched
        self._limit_rows = writing.limit_rows
        self._known = writing.known
        self._running = writing.running
        self._freed = writing.freed
        self.unsettled: deque[Unsettled] = deque()
        """Long threads that `settle` has to settle further. A batch that runs again adds them twice."""

    def _turns(self, now: int, known: dict[Flow, Turn] | None = None) -> Turns:
        """Return what gives messages their ranks, for one transaction at `now`.

        `known` has turns that the transaction knows already, and gets those that follow. It is not used for ranks by
        time.
        """
        return Turns(partial(self._find_turn, now), known if known is not None and self._ranks.shares else {})

    def _find_turn(self, now: int, flow: Flow) -> Turn:
        first = self._ranks.rank(flow.level, 0)
        if self._ranks.shares:
            values = {"tenant": flow.tenant, "flow": flow.name, "first": first, "length": TURN_LENGTH}
            return Turn(*self.rows("next_rank", **values)[0])
        rank = self._ranks.rank(flow.level, now)
        # Messages that took turns, before the setting was changed, may have later ranks than those by time.
        return Turn(max(rank, self.value("last_rank", first=first)) if self._ranks.strict else rank, 0)

    def _drop_memories(self, memories: Sequence[DroppedMemory]) -> list[str]:
        """List memories as dropped, since nothing needs them any more. Return their keys."""
        self.execute_each("drop_memory", [each._asdict() for each in memories])
        return [each.memory_key for each in memories]

    def _by_number(self, number: int) -> Message:
        return to_message(self.rows("get_by_number", number=number)[0])

    def _owned(self, tenant: str, message_id: str) -> Message:
        """Return a tenant's message without its position. Raises MessageNotFound."""
        row = self.row("get_message", id=message_id, tenant=tenant)
        if row is None:
            raise MessageNotFound(message_id)
        return to_message(row)

    def _append(self, number: int, events: Sequence[NewEvent], now: int) -> int:
        last: int = self.execute("last_event", message=number).get
        self._add_events([(number, event_id, event) for event_id, event in enumerate(events, last + 1)], now)
        return last + len(events)

    def _add_events(self, events: Sequence[tuple[int, int, NewEvent]], now: int) -> None:
        """Add events, each given as (message number, event id, event)."""
        self.execute_each(
            "add_event",
            [
                {"message": message, "id": event_id, "type": event.type, "data": event.data, "now": now}
                for message, event_id, event in events
            ],
        )

    def _end(
        self,
        number: int,
        outcome: Completed | Failed | Cancelled,
        now: int,
        *,
        fence_step: int = 0,
        crashed: int = 0,
        was_head: bool = True,
    ) -> None:
        """End a message: set its terminal state, add event and delivery, and promote the next message of its thread.

        `fence_step` is added to the fence: 1 for a message that ends without its lease. `crashed` is added to the
        crashes. Without `was_head`, no message is promoted.
        """
        end = ending(outcome, now)
        (ended,) = self.rows(
            "end_message", number=number, state=end.state, result=end.result, output=end.output,
            error=end.error, error_code=end.error_code, fingerprint=end.fingerprint, fence_step=fence_step,
            crashed=crashed, now=now,
        )  # fmt: skip
        if isinstance(outcome, Cancelled):
            self.execute("leave_flow", number=number)
        self._ended(ended, end, now, was_head=was_head)

    def _ended(self, ended: tuple[Any, ...], end: Ending, now: int, *, was_head: bool = True) -> None:
        """Add event and delivery of an ended message. With `was_head`, promote the next message of its thread.

        `ended` is the row of `end_message`.
        """
        number, message_id, tenant, thread_id, *_ = ended
        self._freed[tenant] += 1
        self._add_state_event(ended, end.state, end.event, f"{message_id}.{number}", now)
        if was_head and thread_id is not None:
            self.execute("promote_next", tenant=tenant, thread_id=thread_id, now=now)
            self.touched.add(READY)
        self.touched |= {MOVED, message_topic(message_id)}

    def _add_state_event(
        self, row: tuple[Any, ...], state: MessageState, event: NewEvent, delivery_id: str, now: int
    ) -> None:
        """Append the event of a new state, and add the deliveries that tell of it. `row` has `event_columns`."""
        number, message_id, tenant, thread_id, url, events, receivers, last = row
        self.execute("add_event", message=number, id=last + 1, type=event.type, data=event.data, now=now)
        for told in told_of(url, events, receivers, state, delivery_id):
            self.execute(
                "add_delivery", id=told.delivery_id, tenant=tenant, message_id=message_id, thread_id=thread_id,
                url=told.url, event=state, receiver=told.receiver, data=event.data, now=now,
            )  # fmt: skip

    def _put_back(
        self, number: int, now: int, run_at: int, *, attempt: int, error: str, refunded: int = 0, crashed: int = 0
    ) -> None:
        """Put a message back as the head of its thread. A `retry` event tells readers which events to discard.

        `run_at` is the store's time in ms of the next attempt at the earliest. `refunded` is taken from the attempt
        count, and `crashed` is added to the crashes.
        """
        discard_from = self.execute("attempt_start", message=number).get
        values = {"now": now, "run_at": run_at, "refunded": refunded, "crashed": crashed}
        self._freed[self.value("put_back", number=number, **values)] += 1
        retry = NewEvent.retry(attempt=attempt, error=error, next_at=to_datetime(run_at), discard_from=discard_from)
        self._append(number, [retry], now)
        self.touched |= {READY, MOVED}

    def _note_attempt(self, number: int, failed: Failed | Retry, now: int) -> None:
        """List the attempt as failed. Call this before the change of state erases the start of the attempt."""
        self.execute(
            "note_attempt", number=number, error=failed.error, error_code=failed.code,
            details=stored_details(failed.details), now=now,
        )  # fmt: skip

    def _cancel(self, message: Message, now: int, *, running: bool, settles: bool = True) -> None:
        """Implement `ControlStore.cancel`. Without `settles`, messages ahead keep the ranks that they inherited."""
        match message.state:
            case MessageState.QUEUED:
                self._cancel_queued(message, now, settles=settles)
            case MessageState.INTERRUPTED if running:
                self._end(message.number, Cancelled(), now, fence_step=1)
            case MessageState.PROCESSING if running:
                if not message.cancel_requested:
                    self.execute("request_cancel", number=message.number)
                    self.touched |= {CANCELS, message_topic(message.id)}
                else:
                    self._changes_nothing = True
            case _:
                raise NotCancellable(message.id, message.state, running=running)

    def _cancel_queued(self, message: Message, now: int, *, settles: bool) -> None:
        behind = message.readiness is Readiness.BLOCKED
        thread: dict[str, Any] = {"tenant": message.tenant, "thread_id": message.thread_id}
        inherited = behind and self.execute("inherited_ahead", **thread, thread_number=message.thread_number).get
        self._end(message.number, Cancelled(), now, fence_step=1, was_head=not behind)
        if settles and inherited:
            self._settle(message, message.thread_number)

    def _lift(self, tenant: str, thread_id: str, thread_number: int, rank: int) -> None:
        """Let messages ahead of `thread_number` in the thread inherit `rank`."""
        thread: dict[str, Any] = {"tenant": tenant, "thread_id": thread_id}
        if not self.execute("needs_lift", **thread, thread_number=thread_number, rank=rank).get:
            return
        self.execute("lift_thread", **thread, rank=rank, thread_number=thread_number, limit=SETTLED_AT_ONCE)
        if self._connection().changes() == SETTLED_AT_ONCE:
            below: int = self.execute("nth_before", **thread, below=thread_number, limit=SETTLED_AT_ONCE).get
            self.unsettled.append(Unsettled(tenant, thread_id, below))

    def _settle(self, message: Message, below: int) -> None:
        """Settle the ranks of messages with thread numbers below `below` in the thread of `message`."""
        assert message.thread_id is not None, "only threads inherit"
        left = self.settle(Unsettled(message.tenant, message.thread_id, below))
        if left is not None:
            self.unsettled.append(left)

    def settle(self, place: Unsettled) -> Unsettled | None:
        """Settle up to SETTLED_AT_ONCE messages of the thread in `place`.

        Return the place at which to continue, None if the remaining ranks are right.
        """
        thread: dict[str, Any] = {"tenant": place.tenant, "thread_id": place.thread_id}
        inherited = self.value("inherited_from", **thread, below=place.below)
        last: int | None = self.value("nth_before", **thread, below=place.below, limit=SETTLED_AT_ONCE)
        settled = self.rows(
            "settle_thread", **thread, below=place.below, limit=SETTLED_AT_ONCE,
            inherited=2**62 if inherited is None else inherited,
        )  # fmt: skip
        if settled:
            self.touched |= {MOVED}
        return None if last is None or (last,) not in settled else place._replace(below=last)
