"""What is done inside a transaction, on the lane's thread. Every method is one operation; none commits.

Errors of ours are raised before anything was written.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import apsw

from app.clock import to_datetime
from app.errors import LeaseLost, NotCancellable, QueueFull
from app.models import (
    Claim,
    Completed,
    Failed,
    Lease,
    Message,
    MessageState,
    NewEvent,
    NewMessage,
    Outcome,
    Released,
    Worker,
)
from app.store.base import MOVED, READY, RankPolicy, message_topic
from app.store.endings import Ending, cancelled, ending, worker_lost
from app.store.reads import Reads
from app.store.rows import accepted, preview, to_message

RESCUE_BATCH = 100


class SqliteReads(Reads):
    """The queries on one connection."""

    def __init__(self, connection: Callable[[], apsw.Connection], queries: Mapping[str, str]) -> None:
        self._connection = connection
        self._queries = queries

    def execute(self, query: str, /, **values: Any) -> apsw.Cursor:
        """Run a named query."""
        return self._connection().execute(self._queries[query], values)

    def each(self, query: str, /, **values: Any) -> apsw.Cursor:
        """See `Reads.each`."""
        return self.execute(query, **values)


class Writes(SqliteReads):
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
        return accepted(new, number, thread_number, now, self.count_before(number, rank))

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
        self._end(number, cancelled(now), now, fence_step=1)
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
            case Completed() | Failed():
                self._promote_next(*self._end(number, ending(outcome, now), now), now=now)
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
                ended = self._end(number, worker_lost(crashes + 1, now), now, fence_step=1, crashed=1)
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
        self, number: int, end: Ending, now: int, *, fence_step: int = 0, crashed: int = 0
    ) -> tuple[str, str | None]:
        """A terminal state and its event; returns tenant and thread."""
        tenant, thread_id = self.rows(
            "end_message", number=number, state=end.state, result=end.result, error=end.error,
            error_code=end.error_code, fence_step=fence_step, crashed=crashed, now=now,
        )[0]  # fmt: skip
        self._append(number, [end.event], now)
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
