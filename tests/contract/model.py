"""The queue as a few lines of Python: what every store has to do, said the slow and obvious way.

No indexes, no stored ranks, no places: who is ready, who inherits and who is next is worked out anew each time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.models.attempts import Cancelled, Completed, Failed, Interrupted, Lease, Outcome, Released, Retry
from app.models.events import EventType
from app.models.messages import IfBusy, MessageState, Priority
from app.policy.rank import LEVEL, TURN_LENGTH
from app.store.limits import MAX_CRASHES

QUEUED, PROCESSING, INTERRUPTED = MessageState.QUEUED, MessageState.PROCESSING, MessageState.INTERRUPTED
COMPLETED, FAILED, CANCELLED = MessageState.COMPLETED, MessageState.FAILED, MessageState.CANCELLED

LAST_EVENTS = {COMPLETED: EventType.DONE, FAILED: EventType.ERROR, CANCELLED: EventType.CANCELLED}


@dataclass
class ModelMessage:
    """The model's knowledge of a message."""

    id: str
    number: int
    thread: str | None
    thread_number: int
    agent: str
    subject: str | None
    priority: Priority
    accepted_at: int
    base_rank: int | None
    """None before its first turn: it is delayed from the start, and waits for its `run_at`."""
    charged: bool = True
    """Whether it counts in the turns of its subject: no longer if it was cancelled before its first attempt."""
    run_at: int | None = None
    rollback: tuple[str, ...] = ()
    state: MessageState = QUEUED
    attempt: int = 0
    fence: int = -1  # the stored one is not below
    crashes: int = 0
    was_head: bool = False
    delayed_until: int | None = None
    lease_until: int = 0
    holder: Lease | None = None
    ended_by: Lease | None = None
    cancel_requested: bool = False
    interrupt: str | None = None
    expires_at: int = 0
    resume_value: str | None = None
    result: str | None = None
    error_code: str | None = None
    events: list[EventType] = field(default_factory=list)
    dropped: int = 0
    discards: list[int] = field(default_factory=list)
    failures: list[int] | None = field(default_factory=list)
    """The attempts that are listed as failed; None where the law leaves it open."""

    @property
    def unfinished(self) -> bool:
        return self.state in (QUEUED, PROCESSING, INTERRUPTED)

    def discard(self, event: EventType) -> None:
        """Readers drop what came since the last `processing`."""
        start = max(number for number, kind in enumerate(self.events, 1) if kind is EventType.PROCESSING)
        self.discards.append(start)
        self.events.append(event)

    def put_back(self, until: int | None) -> None:
        """Back to the queue, as the head of its thread."""
        self.discard(EventType.RETRY)
        self.state, self.holder, self.delayed_until = QUEUED, None, until
        self.fence += 1  # at least

    def fail_attempt(self) -> None:
        if self.failures is not None:
            self.failures.append(self.attempt)

    def ask(self, interrupts: str, expires_at: int) -> None:
        self.events.append(EventType.INTERRUPTED)
        self.state, self.holder = INTERRUPTED, None
        self.interrupt, self.expires_at, self.resume_value = interrupts, expires_at, None
        self.fence += 1  # at least

    def end(self, state: MessageState) -> None:
        self.state, self.holder, self.delayed_until = state, None, None
        self.interrupt, self.resume_value = None, None
        self.events.append(LAST_EVENTS[state])


class LeaseIsLost(Exception):
    """The model's LeaseLost."""


class IsBusy(Exception):
    """The model's ThreadBusy."""


class QueueModel:
    """All messages."""

    def __init__(self) -> None:
        self.messages: dict[str, ModelMessage] = {}
        self.last_number = 0
        self.last_in_thread: dict[str | None, int] = {}
        self.paused = False
        self.most_running: int | None = None
        self.claimed: dict[int, int] = {}
        """The highest claimed rank of each level of priority."""

    def add(
        self,
        message_id: str,
        thread: str | None,
        agent: str,
        priority: Priority,
        now: int,
        *,
        subject: str | None = None,
        delay: float = 0,
        if_busy: IfBusy = IfBusy.ENQUEUE,
    ) -> ModelMessage:
        ahead = [m for m in self.of_thread(thread) if m.unfinished] if thread is not None else []
        ahead.sort(key=lambda message: message.number)
        if if_busy is IfBusy.REJECT and [m.state for m in ahead] not in ([], [MessageState.INTERRUPTED]):
            raise IsBusy
        if if_busy is not IfBusy.ENQUEUE:
            for message in ahead:
                self.cancel(message.id, now, running=True)
        message = ModelMessage(
            message_id,
            self._next_number(),
            thread,
            self._next_in_thread(thread),
            agent,
            subject,
            priority,
            now,
            None,
            run_at=now + round(delay * 1000) if delay else None,
            rollback=tuple(m.id for m in ahead) if if_busy is IfBusy.ROLLBACK else (),
        )
        self.messages[message_id] = message
        self._look_for_heads(now)
        if message.delayed_until is None:
            self._take_turn(message)
        return message

    def _take_turn(self, message: ModelMessage) -> None:
        message.base_rank = self._next_rank(message.subject, message.priority)

    def _next_rank(self, subject: str | None, priority: Priority) -> int:
        """One turn after the subject's last message in this level, but not before what was already claimed of it."""
        first = LEVEL * priority.level
        own = [
            m.base_rank
            for m in self.messages.values()
            if m.subject == subject and m.base_rank is not None and m.charged
        ]
        last = max((rank for rank in own if rank // LEVEL == priority.level), default=first - TURN_LENGTH)
        return max(self.claimed.get(priority.level, first), last + TURN_LENGTH)

    def _next_number(self) -> int:
        self.last_number += 1
        return self.last_number

    def _next_in_thread(self, thread: str | None) -> int:
        if thread is None:
            return 0
        self.last_in_thread[thread] = self.last_in_thread.get(thread, 0) + 1
        return self.last_in_thread[thread]

    def of_thread(self, thread: str) -> list[ModelMessage]:
        return [message for message in self.messages.values() if message.thread == thread]

    def in_state(self, state: MessageState) -> list[ModelMessage]:
        return [message for message in self.messages.values() if message.state is state]

    # The order

    def rank(self, message: ModelMessage, among: Sequence[ModelMessage]) -> tuple[int, int]:
        """The best rank of the message and those behind it in its thread, then the order of accepting."""
        behind = [m for m in among if m.thread == message.thread is not None and m.number > message.number]
        return min(m.base_rank for m in [message, *behind] if m.base_rank is not None), message.number

    def heads(self, among: Sequence[ModelMessage]) -> list[ModelMessage]:
        """The first of each thread, and all without one."""
        return [m for m in among if not any(m.thread == o.thread is not None and o.number < m.number for o in among)]

    def _look_for_heads(self, now: int) -> None:
        """Whoever is the first of its thread from now on is delayed if its time has not come."""
        for message in self.heads([message for message in self.messages.values() if message.unfinished]):
            if not message.was_head:
                message.was_head = True
                message.delayed_until = message.run_at if message.run_at is not None and message.run_at > now else None

    def claimable(self, agents: Sequence[str]) -> list[ModelMessage]:
        """Return the ready messages, best first."""
        queued = self.in_state(QUEUED)
        heads = self.heads([message for message in self.messages.values() if message.unfinished])
        ready = [m for m in heads if m.state is QUEUED and m.delayed_until is None and m.agent in agents]
        return sorted(ready, key=lambda message: self.rank(message, queued))

    def claim_order(self) -> list[ModelMessage]:
        """All queued messages as one worker would take them, were each run to its end before the next is claimed.

        Messages that wait for their time, and those behind them, are not in it.
        """
        left = self.in_state(QUEUED)
        order = []
        while ready := [message for message in self.heads(left) if message.delayed_until is None]:
            best = min(ready, key=lambda message: self.rank(message, left))
            order.append(best)
            left.remove(best)
        return order

    # The verbs of workers

    def claim(self, agents: Sequence[str], limit: int, until: int) -> list[ModelMessage]:
        room = limit if self.most_running is None else min(limit, self.most_running - len(self.in_state(PROCESSING)))
        taken = [] if self.paused or room <= 0 else self.claimable(agents)[:room]
        queued = self.in_state(QUEUED)
        for rank, _ in [self.rank(message, queued) for message in taken]:
            self.claimed[rank // LEVEL] = max(rank, self.claimed.get(rank // LEVEL, 0))
        for message in taken:
            message.state, message.lease_until = PROCESSING, until
            message.attempt += 1
            message.events.append(EventType.PROCESSING)
        return taken

    def held_by(self, worker: str, now: int) -> list[ModelMessage]:
        """Return the messages that a worker holds with leases that have not run out."""
        running = self.in_state(PROCESSING)
        return [m for m in running if m.holder and m.holder.worker_id == worker and m.lease_until > now]

    def held(self, lease: Lease) -> ModelMessage:
        message = self.messages.get(lease.message_id)
        if message is None or message.holder != lease:
            raise LeaseIsLost
        return message

    def append(self, lease: Lease, count: int) -> int:
        message = self.held(lease)
        message.events += [EventType.CHUNK] * count
        return len(message.events)

    def finish(self, lease: Lease, outcome: Outcome, now: int) -> None:
        ended = self.messages.get(lease.message_id)
        if ended is not None and ended.ended_by == lease:
            return
        message = self.held(lease)
        if message.cancel_requested:
            message.end(CANCELLED)
            if isinstance(outcome, Failed | Retry):
                message.failures = None
        else:
            self._carry_out(message, outcome, now)
        if not message.unfinished:
            message.ended_by = lease
        self._look_for_heads(now)

    def _carry_out(self, message: ModelMessage, outcome: Outcome, now: int) -> None:
        match outcome:
            case Completed(result):
                message.end(COMPLETED)
                message.result = result
            case Failed(_, code):
                message.fail_attempt()
                message.end(FAILED)
                message.error_code = code
            case Cancelled():
                message.end(CANCELLED)
            case Interrupted(interrupts, seconds):
                message.ask(interrupts, now + round(seconds * 1000))
            case Retry(_, _, delay):
                message.fail_attempt()
                message.put_back(now + round(delay * 1000) if delay else None)
            case Released(_, delay):
                message.put_back(now + round(delay * 1000) if delay else None)
                message.attempt -= 1

    # The verbs of callers

    def cancel(self, message_id: str, now: int, *, running: bool = False) -> bool:
        message = self.messages[message_id]
        if message.state is QUEUED or (running and message.state is INTERRUPTED):
            message.charged = message.attempt > 0
            message.end(CANCELLED)
            self._look_for_heads(now)
            return True
        if running and message.state is PROCESSING:
            message.cancel_requested = True
            return True
        return False

    def reprioritize(self, message_id: str, priority: Priority) -> bool:
        message = self.messages[message_id]
        if message.state is not QUEUED:
            return False
        if priority is not message.priority:
            if message.base_rank is not None:
                message.base_rank = self._rank_among_own(message, priority)
            message.priority = priority
        return True

    def _rank_among_own(self, message: ModelMessage, priority: Priority) -> int:
        """The rank of the next one that was accepted later and has not had its turn, else a new turn."""
        passed = self.claimed.get(priority.level, 0)
        later = [
            m.base_rank for m in self.in_state(QUEUED) if m.subject == message.subject and m.number > message.number
        ]
        ranks = [rank for rank in later if rank is not None and rank // LEVEL == priority.level and rank >= passed]
        return min(ranks) if ranks else self._next_rank(message.subject, priority)

    def resume(self, message_id: str, fence: int, value: str) -> bool:
        message = self.messages[message_id]
        if message.state is not INTERRUPTED or message.fence != fence:
            return False
        message.discard(EventType.RESUMED)
        message.state, message.resume_value = QUEUED, value
        message.attempt -= 1
        return True

    def requeue(self, message_ids: Sequence[str], now: int) -> bool:
        messages = [self.messages[message_id] for message_id in message_ids]
        if any(message.state is not FAILED for message in messages):
            return False
        for message in sorted(messages, key=lambda each: each.number):
            message.number, message.thread_number = self._next_number(), self._next_in_thread(message.thread)
            message.accepted_at = now
            self._take_turn(message)
            message.state, message.was_head, message.run_at = QUEUED, False, None
            message.attempt, message.crashes, message.error_code, message.ended_by = 0, 0, None, None
            message.dropped, message.discards = len(message.events), [1]
            message.events.append(EventType.RETRY)
        self._look_for_heads(now)
        return True

    def purge(self, message_ids: Sequence[str]) -> bool:
        if any(self.messages[message_id].state is not FAILED for message_id in message_ids):
            return False
        for message_id in message_ids:
            del self.messages[message_id]
        return True

    # What comes with time

    def rescue(self, now: int) -> int:
        expired = [message for message in self.in_state(PROCESSING) if message.lease_until <= now]
        for message in expired:
            if message.cancel_requested:
                message.end(CANCELLED)
                continue
            message.crashes += 1
            message.fail_attempt()
            if message.crashes >= MAX_CRASHES:
                message.end(FAILED)
                message.error_code = "worker_lost"
            else:
                message.put_back(None)
        self._look_for_heads(now)
        return len(expired)

    def promote(self, now: int) -> int:
        due = [m for m in self.in_state(QUEUED) if m.delayed_until is not None and m.delayed_until <= now]
        for message in sorted(due, key=lambda each: (each.delayed_until, each.number)):
            message.delayed_until = None
            if message.base_rank is None:
                self._take_turn(message)
        return len(due)

    def expire_interrupts(self, now: int) -> int:
        expired = [message for message in self.in_state(INTERRUPTED) if message.expires_at <= now]
        for message in expired:
            message.end(FAILED)
            message.error_code = "interrupt_expired"
        self._look_for_heads(now)
        return len(expired)
