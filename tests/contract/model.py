"""The queue as a few lines of Python: what every store has to do, said the slow and obvious way.

No indexes, no stored ranks, no places: who is ready, who inherits and who is next is worked out anew each time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.models import Completed, EventType, Failed, Lease, MessageState, Outcome, Released
from app.store.base import MAX_CRASHES, RankPolicy

QUEUED, PROCESSING, COMPLETED = MessageState.QUEUED, MessageState.PROCESSING, MessageState.COMPLETED
FAILED, CANCELLED = MessageState.FAILED, MessageState.CANCELLED


@dataclass
class ModelMessage:
    """What is known of a message."""

    id: str
    number: int
    thread: str | None
    thread_number: int
    agent: str
    base_rank: int
    state: MessageState = QUEUED
    attempt: int = 0
    fence: int = -1  # the stored one is not below
    crashes: int = 0
    delayed_until: int | None = None
    lease_until: int = 0
    holder: Lease | None = None
    ended_by: Lease | None = None
    result: str | None = None
    error_code: str | None = None
    events: list[EventType] = field(default_factory=list)
    discards: list[int] = field(default_factory=list)

    @property
    def unfinished(self) -> bool:
        return self.state in (QUEUED, PROCESSING)

    def retry(self, until: int | None) -> None:
        """Back to the queue; readers drop what came since the last `processing`."""
        start = max(number for number, kind in enumerate(self.events, 1) if kind is EventType.PROCESSING)
        self.discards.append(start)
        self.events.append(EventType.RETRY)
        self.state, self.holder, self.delayed_until = QUEUED, None, until
        self.fence += 1  # at least

    def end(self, state: MessageState, event: EventType) -> None:
        self.state, self.holder, self.delayed_until = state, None, None
        self.events.append(event)


class LeaseIsLost(Exception):
    """The model's LeaseLost."""


class QueueModel:
    """All messages in the order of accepting."""

    def __init__(self) -> None:
        self.messages: dict[str, ModelMessage] = {}
        self.ranks = RankPolicy()

    def add(self, message_id: str, thread: str | None, agent: str, level: int, now: int) -> ModelMessage:
        thread_number = 1 + len(self.of_thread(thread)) if thread is not None else 0
        message = ModelMessage(
            message_id, len(self.messages), thread, thread_number, agent, self.ranks.rank(level, now)
        )
        self.messages[message_id] = message
        return message

    def of_thread(self, thread: str) -> list[ModelMessage]:
        return [message for message in self.messages.values() if message.thread == thread]

    def in_state(self, state: MessageState) -> list[ModelMessage]:
        return [message for message in self.messages.values() if message.state is state]

    # The order

    def rank(self, message: ModelMessage, among: Sequence[ModelMessage]) -> tuple[int, int]:
        """The best rank of the message and those behind it in its thread, then the order of accepting."""
        behind = [m for m in among if m.thread == message.thread is not None and m.number > message.number]
        return min(m.base_rank for m in [message, *behind]), message.number

    def heads(self, among: Sequence[ModelMessage]) -> list[ModelMessage]:
        """The first of each thread, and all without one."""
        return [m for m in among if not any(m.thread == o.thread is not None and o.number < m.number for o in among)]

    def claimable(self, agents: Sequence[str]) -> list[ModelMessage]:
        """Who is ready, best first."""
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

    # The verbs

    def claim(self, agents: Sequence[str], limit: int, until: int) -> list[ModelMessage]:
        taken = self.claimable(agents)[:limit]
        for message in taken:
            message.state, message.lease_until = PROCESSING, until
            message.attempt += 1
            message.events.append(EventType.PROCESSING)
        return taken

    def held_by(self, worker: str, now: int) -> list[ModelMessage]:
        """What a worker holds with leases that have not run out."""
        running = self.in_state(PROCESSING)
        return [m for m in running if m.holder and m.holder.worker_id == worker and m.lease_until > now]

    def held(self, lease: Lease) -> ModelMessage:
        message = self.messages[lease.message_id]
        if message.holder != lease:
            raise LeaseIsLost
        return message

    def append(self, lease: Lease, count: int) -> int:
        message = self.held(lease)
        message.events += [EventType.CHUNK] * count
        return len(message.events)

    def finish(self, lease: Lease, outcome: Outcome, now: int) -> None:
        if self.messages[lease.message_id].ended_by == lease:
            return
        message = self.held(lease)
        match outcome:
            case Completed(result):
                message.end(COMPLETED, EventType.DONE)
                message.result, message.ended_by = result, lease
            case Failed(_, code):
                message.end(FAILED, EventType.ERROR)
                message.error_code, message.ended_by = code, lease
            case Released(_, delay):
                message.retry(now + round(delay * 1000) if delay else None)
                message.attempt -= 1

    def cancel(self, message_id: str) -> bool:
        message = self.messages[message_id]
        if message.state is not QUEUED:
            return False
        message.end(CANCELLED, EventType.CANCELLED)
        return True

    def rescue(self, now: int) -> int:
        expired = [message for message in self.in_state(PROCESSING) if message.lease_until <= now]
        for message in expired:
            message.crashes += 1
            if message.crashes >= MAX_CRASHES:
                message.end(FAILED, EventType.ERROR)
                message.error_code = "worker_lost"
            else:
                message.retry(None)
        return len(expired)

    def promote(self, now: int) -> int:
        due = [m for m in self.in_state(QUEUED) if m.delayed_until is not None and m.delayed_until <= now]
        for message in due:
            message.delayed_until = None
        return len(due)
