"""What is done inside a transaction, on the lane's thread. Every method is one operation; none commits.

Errors of ours are raised before anything was written.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import apsw

from app.clock import to_datetime
from app.errors import LeaseLost, MessageNotFound, NotCancellable, QueueFull, ThreadNotFound
from app.models import (
    Claim,
    Completed,
    Event,
    EventPage,
    EventType,
    Failed,
    Lease,
    Message,
    MessageState,
    NewEvent,
    NewMessage,
    Outcome,
    Page,
    QueueSummary,
    Released,
    Thread,
    Worker,
)
from app.store.base import (
    EXACT_POSITION_LIMIT,
    MOVED,
    PAGE_LOG_LENGTH,
    PAGE_TEXT_LENGTH,
    READY,
    RankPolicy,
    message_topic,
)
from app.store.rows import preview, to_message, to_thread

RESCUE_BATCH = 100
NEAR_END = 200
"""So far from the end of its level a position is counted from there; new messages are."""


class Reads:
    """Operations that change nothing."""

    def __init__(self, connection: Callable[[], apsw.Connection], queries: Mapping[str, str]) -> None:
        self._connection = connection
        self._queries = queries

    def execute(self, query: str, /, **values: Any) -> apsw.Cursor:
        """Run a named query."""
        return self._connection().execute(self._queries[query], values)

    def rows(self, query: str, /, **values: Any) -> list[tuple[Any, ...]]:
        """All rows of a named query; the columns have the types that the schema gives them."""
        return self.execute(query, **values).fetchall()

    def queue_id(self) -> str:
        """See `Store.queue_id`."""
        return str(self.execute("queue_id").get)

    def message(self, tenant: str, message_id: str) -> Message:
        """See `MessageStore.get`."""
        row = self.execute("get_message", id=message_id, tenant=tenant).fetchone()
        if row is None:
            raise MessageNotFound(message_id)
        return self._with_position(to_message(row))

    def _with_position(self, message: Message) -> Message:
        if message.state is not MessageState.QUEUED:
            return message
        return message.model_copy(update={"queue_position": self.position(message.tenant, message.id)})

    def position(self, tenant: str, message_id: str) -> int | None:
        """How many would be claimed first; None while delayed or not queued."""
        found = self.execute("place_in_queue", id=message_id, tenant=tenant).fetchone()
        if found is None:
            return None
        number, rank, _ = found
        return None if rank is None else self.count_before(number, rank)

    def count_before(self, number: int, rank: int) -> int:
        """How many waiting messages come before this place.

        Levels are counted already; within its own level it is counted from the nearer end, and estimated in the
        middle of a very long one.
        """
        before, level = self.rows("count_levels", rank=rank)[0]
        near: int = self.execute("count_after", rank=rank, number=number, most=NEAR_END).get
        if near < NEAR_END:
            return int(before + level - 1 - near)
        most = EXACT_POSITION_LIMIT + 1
        ahead: int = self.execute("count_ahead", rank=rank, number=number, most=most).get
        if ahead < most:
            return int(before + ahead)
        after: int = self.execute("count_after", rank=rank, number=number, most=most).get
        return int(before + (level - 1 - after if after < most else level // 2))

    def summary(self, tenant: str, limit: int) -> QueueSummary:
        """See `MessageStore.summary`."""
        totals = dict.fromkeys(MessageState, 0)
        for state, count in self.execute("tallies", tenant=tenant):
            totals[MessageState(state)] = count
        queued = self._page("list_queued", tenant=tenant, limit=limit)
        if len(queued) < limit and _text_length(queued) < PAGE_TEXT_LENGTH:
            queued += self._page("list_delayed", tenant=tenant, limit=limit - len(queued))
        return QueueSummary.model_construct(
            totals=totals,
            queued=tuple(queued),
            processing=tuple(self._page("list_processing", tenant=tenant, limit=limit)),
        )

    def _page(self, query: str, /, **values: Any) -> list[Message]:
        """Messages of a query, until their texts reach the length of a page."""
        messages: list[Message] = []
        length = 0
        for row in self.execute(query, **values):
            messages.append(to_message(row))
            length += _text_length(messages[-1:])
            if length >= PAGE_TEXT_LENGTH:
                break
        return messages

    def threads(self, tenant: str, page: Page) -> list[Thread]:
        """See `ThreadStore.list_threads`."""
        last_activity, thread_id = page.cursor or (2**62, "")
        rows = self.execute(
            "list_threads", tenant=tenant, last_activity=last_activity, thread_id=thread_id, limit=page.limit
        )
        return [to_thread(row) for row in rows]

    def thread(self, tenant: str, thread_id: str) -> Thread:
        """See `ThreadStore.get_thread`."""
        row = self.execute("get_thread", tenant=tenant, thread_id=thread_id).fetchone()
        if row is None:
            raise ThreadNotFound(thread_id)
        return to_thread(row)

    def thread_messages(self, tenant: str, thread_id: str, after: int, limit: int) -> list[Message]:
        """See `ThreadStore.list_thread_messages`."""
        self.thread(tenant, thread_id)
        found = self._page("list_thread_messages", tenant=tenant, thread_id=thread_id, after=after, limit=limit)
        return [self._with_position(message) for message in found]

    def read_log(self, message_id: str, after: int, limit: int) -> EventPage:
        """See `EventLog.read`."""
        found = self.execute("find_log", id=message_id).fetchone()
        if found is None:
            raise MessageNotFound(message_id)
        message, state = found
        first, last = self.rows("log_bounds", message=message)[0]
        events: list[Event] = []
        length = 0
        for number, kind, data in self.execute("read_events", message=message, after=after, limit=limit):
            events.append(Event(int(number), EventType(kind), str(data)))
            length += len(str(data))
            if length >= PAGE_LOG_LENGTH:
                break
        return EventPage(events, first, last, MessageState(state))

    def workers(self) -> list[Worker]:
        """See `WorkerStore.list_workers`."""
        return [
            Worker(id=name, host=host, pid=pid, slots=slots, started_at=to_datetime(start), last_beat=to_datetime(beat))
            for name, host, pid, slots, start, beat in self.rows("list_workers")
        ]


def _text_length(messages: Sequence[Message]) -> int:
    return sum(len(message.content) + len(message.result or "") for message in messages)


class Writes(Reads):
    """Operations that change something; `touched` collects the topics to hint at after the commit."""

    def __init__(
        self,
        connection: Callable[[], apsw.Connection],
        queries: Mapping[str, str],
        *,
        ranks: RankPolicy,
        now: Callable[[], int],
    ) -> None:
        super().__init__(connection, queries)
        self._ranks = ranks
        self._now = now
        self.touched: set[str] = set()

    def add(self, new: NewMessage, max_queued: int) -> Message:
        """See `MessageStore.add`."""
        if self.execute("count_queued").get >= max_queued:
            raise QueueFull(max_queued)
        now = self._now()
        rank = self._ranks.rank(new.priority.level, now)
        thread_number, busy = 0, False
        if new.thread_id is not None:
            thread_number, busy = self.rows(
                "next_thread_number",
                tenant=new.tenant,
                thread_id=new.thread_id,
                now=now,
                preview=preview(new.content),
            )[0]
        number: int = self.execute(
            "add_message",
            id=new.id,
            tenant=new.tenant,
            thread_id=new.thread_id,
            agent=new.agent,
            content=new.content,
            priority=new.priority,
            thread_number=thread_number,
            rank=rank,
            place="behind" if busy else "ready",
            now=now,
        ).get
        if busy:
            self.execute(
                "lift_thread", tenant=new.tenant, thread_id=new.thread_id, rank=rank, thread_number=thread_number
            )
        self.touched |= {MOVED} if busy else {MOVED, READY}
        return Message.model_construct(
            **new.__dict__,
            number=number,
            thread_number=thread_number,
            state=MessageState.QUEUED,
            created_at=to_datetime(now),
            started_at=None,
            completed_at=None,
            result=None,
            error=None,
            error_code=None,
            attempt=0,
            fence=0,
            queue_position=self.count_before(number, rank),
        )

    def cancel(self, tenant: str, message_id: str) -> Message:
        """See `MessageStore.cancel`."""
        message = self.message(tenant, message_id)
        if message.state is not MessageState.QUEUED:
            raise NotCancellable(message_id, message.state)
        number, _, place = self.rows("place_in_queue", id=message_id, tenant=tenant)[0]
        thread: dict[str, Any] = {"tenant": tenant, "thread_id": message.thread_id}
        inherited = (
            place == "behind" and self.execute("inherited_ahead", **thread, thread_number=message.thread_number).get
        )
        now = self._now()
        self._end(number, MessageState.CANCELLED, now, NewEvent.cancelled(to_datetime(now)), fence_step=1)
        if place != "behind":
            self._promote_next(**thread, now=now)
        elif inherited:
            self.execute("settle_thread", **thread)
        self.touched |= {MOVED, message_topic(message_id)}
        return to_message(self.rows("get_by_number", number=number)[0])

    def claim(self, worker_id: str, agents: Sequence[str], limit: int, lease_seconds: float) -> list[Claim]:
        """See `MessageStore.claim`."""
        found: list[tuple[int, int]] = []
        for agent in set(agents):
            found += self.rows("find_ready", agent=agent, limit=limit)
        now = self._now()
        claims = []
        for _, number in sorted(found)[:limit]:
            self.execute(
                "claim", number=number, worker_id=worker_id, lease_until=now + int(lease_seconds * 1000), now=now
            )
            message = to_message(self.rows("get_by_number", number=number)[0])
            self._append(number, [NewEvent.processing(message.attempt)], now)
            claims.append(Claim(Lease(message.id, message.fence, message.attempt, worker_id), message))
            self.touched |= {MOVED, message_topic(message.id)}
        return claims

    def append(self, lease: Lease, events: Sequence[NewEvent]) -> int:
        """See `EventLog.append`."""
        number = self._leased(lease)
        if number is None:
            raise LeaseLost(lease.message_id, lease.fence)
        self.touched.add(message_topic(lease.message_id))
        return self._append(number, events, self._now())

    def finish(self, lease: Lease, outcome: Outcome) -> None:
        """See `MessageStore.finish`."""
        number = self._leased(lease)
        if number is None:
            if self.execute("find_ended", id=lease.message_id, fence=lease.fence).get:
                return
            raise LeaseLost(lease.message_id, lease.fence)
        now = self._now()
        match outcome:
            case Completed(result):
                event = NewEvent.done(result, to_datetime(now))
                ended = self._end(number, MessageState.COMPLETED, now, event, result=result)
                self._promote_next(*ended, now=now)
            case Failed(error, code):
                event = NewEvent.failed(error, code, to_datetime(now))
                ended = self._end(number, MessageState.FAILED, now, event, error=error, error_code=code)
                self._promote_next(*ended, now=now)
            case Released(reason, delay):
                run_at = now + int(delay * 1000)
                self._requeue(number, now, run_at, attempt=lease.attempt, error=reason, refunded=1)
        self.touched |= {MOVED, message_topic(lease.message_id)}

    def rescue(self, max_crashes: int) -> int:
        """See `MessageStore.rescue`."""
        now = self._now()
        expired = self.rows("find_expired", now=now, limit=RESCUE_BATCH)
        for number, message_id, attempt, crashes in expired:
            if crashes + 1 >= max_crashes:
                error = f"The worker was lost {crashes + 1} times while it processed this message."
                event = NewEvent.failed(error, "worker_lost", to_datetime(now))
                ended = self._end(
                    number, MessageState.FAILED, now, event, error=error, error_code="worker_lost",
                    fence_step=1, crashed=1,
                )  # fmt: skip
                self._promote_next(*ended, now=now)
            else:
                self._requeue(number, now, now, attempt=attempt, error="The worker was lost.", crashed=1)
            self.touched |= {MOVED, message_topic(message_id)}
        return len(expired)

    def promote(self) -> int:
        """See `MessageStore.promote`."""
        self.execute("promote_due", now=self._now())
        promoted = self._connection().changes()
        if promoted:
            self.touched |= {READY, MOVED}
        return promoted

    def prune_logs(self, older_than_ms: int, limit: int) -> tuple[int, list[str]]:
        """See `MessageStore.prune_logs`."""
        keys = []
        found = self.rows("find_prunable_logs", before=self._now() - older_than_ms, limit=limit)
        for number, message_id, tenant, thread_id in found:
            self.execute("prune_log", message=number)
            self.execute("mark_pruned", number=number)
            if thread_id is None:
                keys.append(Message.memory_key_of(tenant, None, message_id))
        return len(found), keys

    def prune_messages(self, older_than_ms: int, limit: int) -> tuple[int, list[str]]:
        """See `MessageStore.prune_messages`."""
        before = self._now() - older_than_ms
        deleted = self.rows("prune_messages", before=before, limit=limit)
        keys = [
            Message.memory_key_of(tenant, None, message_id)
            for message_id, tenant, thread_id, log_pruned in deleted
            if thread_id is None and not log_pruned
        ]
        threads = self.rows("prune_threads", before=before)
        return len(deleted), keys + [Message.memory_key_of(tenant, thread_id, "") for tenant, thread_id in threads]

    def beat(self, worker: Worker, leases: Collection[Lease], lease_seconds: float) -> dict[str, int]:
        """See `Heart.beat`."""
        now = self._now()
        self.execute("beat_worker", id=worker.id, host=worker.host, pid=worker.pid, slots=worker.slots, now=now)
        until = now + int(lease_seconds * 1000)
        named = json.dumps({lease.message_id: lease.fence for lease in leases})
        held = self.rows("extend_leases", worker_id=worker.id, leases=named, lease_until=until, now=now)
        return dict(held)

    def remove_worker(self, worker_id: str) -> None:
        """See `Heart.stop`."""
        self.execute("remove_worker", id=worker_id)

    def prune_workers(self, silent_for_ms: int) -> None:
        """See `WorkerStore.prune_workers`."""
        self.execute("prune_workers", before=self._now() - silent_for_ms)

    def leave_hints(self, process: str) -> None:
        """Tell other processes what this transaction touched; the ring keeps some thousand entries."""
        self.execute("add_hint", process=process, topics=json.dumps(sorted(self.touched)))
        number = self._connection().last_insert_rowid()
        if number % 1_000 == 0:
            self.execute("prune_hints", before=number - 5_000)

    def _leased(self, lease: Lease) -> int | None:
        number: int | None = self.execute("find_leased", id=lease.message_id, fence=lease.fence).get
        return number

    def _append(self, number: int, events: Sequence[NewEvent], now: int) -> int:
        last: int = self.execute("last_event", message=number).get
        for event in events:
            last += 1
            self.execute("add_event", message=number, id=last, type=event.type, data=event.data, now=now)
        return last

    def _end(
        self,
        number: int,
        state: MessageState,
        now: int,
        event: NewEvent,
        *,
        result: str | None = None,
        error: str | None = None,
        error_code: str | None = None,
        fence_step: int = 0,
        crashed: int = 0,
    ) -> tuple[str, str | None]:
        """A terminal state and its event; returns tenant and thread."""
        tenant, thread_id = self.rows(
            "end_message", number=number, state=state, result=result, error=error, error_code=error_code,
            fence_step=fence_step, crashed=crashed, now=now,
        )[0]  # fmt: skip
        self._append(number, [event], now)
        return tenant, thread_id

    def _promote_next(self, tenant: str, thread_id: str | None, now: int) -> None:
        if thread_id is not None:
            self.execute("promote_next", tenant=tenant, thread_id=thread_id, now=now)
            self.touched.add(READY)

    def _requeue(
        self, number: int, now: int, run_at: int, *, attempt: int, error: str, refunded: int = 0, crashed: int = 0
    ) -> None:
        discard_from = self.execute("attempt_start", message=number).get
        self.execute("requeue", number=number, now=now, run_at=run_at, refunded=refunded, crashed=crashed)
        retry = NewEvent.retry(attempt=attempt, error=error, next_at=to_datetime(run_at), discard_from=discard_from)
        self._append(number, [retry], now)
        self.touched.add(READY)
