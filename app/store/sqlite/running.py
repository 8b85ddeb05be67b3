"""Attempts at messages: claiming, logging, ending, and taking back what was lost."""

import json
from collections.abc import Collection, Sequence
from typing import Any

from ...clock import to_datetime
from ...errors import LeaseLost
from ...models.attempts import Beat, Cancelled, Claim, Completed, Failed, Interrupted, Lease, Outcome, Released, Retry
from ...models.events import NewEvent
from ...models.messages import Message, MessageState
from ...models.workers import Worker
from ..ports import MOVED, READY, message_topic
from ..rows import agents_text, interrupt_delivery_id, stored_details, to_message
from ..terminal_states import NOT_ANSWERED, WORKER_LOST, WORKER_LOST_CODE, ending, worker_lost
from .changes import Changes

BATCH = 100
"""So many messages are taken back or failed in one transaction."""

PROMOTE_BATCH = 500


class Running(Changes):
    """See `AttemptStore`, `EventLog` and `LeaseRenewer`."""

    def claim(self, worker_id: str, agents: Sequence[str], limit: int, lease_seconds: float) -> list[Claim]:
        """See `AttemptStore.claim`."""
        if self.execute("is_paused").get:
            return []
        found: list[tuple[int, int]] = []
        for agent in set(agents):
            found += self.rows("find_ready", agent=agent, limit=limit)
        if not found:
            return []
        now = self._now()
        until = now + int(lease_seconds * 1000)
        claimed: list[tuple[Any, ...]] = self.execute_each(
            "claim",
            [
                {"number": number, "worker_id": worker_id, "lease_until": until, "now": now}
                for _, number in sorted(found)[:limit]
            ],
        ).fetchall()
        messages: list[Message] = []
        began: list[tuple[int, int, NewEvent]] = []
        events: dict[int, NewEvent] = {}  # few attempts are not the first
        for row in claimed:
            message = to_message(row)
            messages.append(message)
            if message.attempt not in events:
                events[message.attempt] = NewEvent.processing(message.attempt)
            began.append((message.number, row[-1] + 1, events[message.attempt]))
        self._add_events(began, now)
        self.touched.add(MOVED)
        self.touched.update(message_topic(each.id) for each in messages)
        return [Claim(Lease(each.id, each.fence, each.attempt, worker_id), each) for each in messages]

    def append(self, lease: Lease, events: Sequence[NewEvent]) -> int:
        """See `EventLog.append`."""
        found = self.row("find_leased", id=lease.message_id, fence=lease.fence)
        if found is None:
            raise LeaseLost(lease.message_id, lease.fence)
        number, _, last = found
        self.touched.add(message_topic(lease.message_id))
        self._add_events([(number, event_id, event) for event_id, event in enumerate(events, last + 1)], self._now())
        return int(last) + len(events)

    def finish(self, lease: Lease, outcome: Outcome) -> None:
        """See `AttemptStore.finish`."""
        if isinstance(outcome, Completed) and self._complete(lease, outcome):
            return
        found = self.row("find_leased", id=lease.message_id, fence=lease.fence)
        if found is None:
            if self.execute("find_ended", id=lease.message_id, fence=lease.fence).get:
                return
            raise LeaseLost(lease.message_id, lease.fence)
        number, cancel_requested, _ = found
        now = self._now()
        self.touched |= {MOVED, message_topic(lease.message_id)}
        match Cancelled() if cancel_requested else outcome:
            case Failed() as failed:
                self._note_attempt(number, failed, now)
                self._end(number, failed, now)
            case Completed() | Cancelled() as ended:
                self._end(number, ended, now)
            case Retry(error=error, delay=delay) as retry:
                self._note_attempt(number, retry, now)
                self._put_back(number, now, now + int(delay * 1000), attempt=lease.attempt, error=error)
            case Released(reason, delay):
                run_at = now + int(delay * 1000)
                self._put_back(number, now, run_at, attempt=lease.attempt, error=reason, refunded=1)
            case Interrupted() as interrupted:
                self._interrupt(number, lease.attempt, interrupted, now)

    def _complete(self, lease: Lease, outcome: Completed) -> bool:
        """The usual end, in fewer statements; False where there is more to it."""
        now = self._now()
        end = ending(outcome, now)
        ended = self.rows(
            "end_leased", id=lease.message_id, fence=lease.fence, state=end.state, result=end.result, output=end.output,
            error=None, error_code=None, fingerprint=None, fence_step=0, crashed=0, now=now,
        )  # fmt: skip
        for each in ended:
            self._ended(each, end, now)
        return bool(ended)

    def _interrupt(self, number: int, attempt: int, outcome: Interrupted, now: int) -> None:
        expires_at = now + int(outcome.ttl_seconds * 1000)
        (asking,) = self.rows(
            "interrupt_message", number=number, interrupts=outcome.interrupts, expires_at=expires_at, now=now
        )
        event = NewEvent.interrupted(attempt=attempt, interrupts=outcome.interrupts, expires_at=to_datetime(expires_at))
        delivery_id = interrupt_delivery_id(asking[1], number, asking[-1] + 1)
        self._tell(asking, MessageState.INTERRUPTED, event, delivery_id, now)

    def _note_attempt(self, number: int, failed: Failed | Retry, now: int) -> None:
        """Lists the attempt as failed; before the change of state, from which on it is not known when it began."""
        self.execute(
            "note_attempt", number=number, error=failed.error, error_code=failed.code,
            details=stored_details(failed.details), now=now,
        )  # fmt: skip

    def rescue(self, max_crashes: int) -> int:
        """A part of `UpkeepStore.rescue`: up to BATCH."""
        now = self._now()
        expired = self.rows("find_expired", now=now, limit=BATCH)
        for number, message_id, attempt, crashes, cancel_requested in expired:
            self.touched |= {MOVED, message_topic(message_id)}
            if cancel_requested:
                self._end(number, Cancelled(), now, fence_step=1, crashed=1)
                continue
            self._note_attempt(number, Failed(WORKER_LOST, WORKER_LOST_CODE), now)
            if crashes + 1 >= max_crashes:
                self._end(number, worker_lost(crashes + 1), now, fence_step=1, crashed=1)
            else:
                self._put_back(number, now, now, attempt=attempt, error=WORKER_LOST, crashed=1)
        return len(expired)

    def promote(self) -> int:
        """A part of `UpkeepStore.promote`: up to PROMOTE_BATCH."""
        self.execute("promote_due", now=self._now(), limit=PROMOTE_BATCH)
        promoted = self._connection().changes()
        if promoted:
            self.touched |= {READY, MOVED}
        return promoted

    def expire_interrupts(self) -> int:
        """A part of `UpkeepStore.expire_interrupts`: up to BATCH."""
        now = self._now()
        expired = self.rows("find_expired_interrupts", now=now, limit=BATCH)
        for (number,) in expired:
            self._end(number, NOT_ANSWERED, now, fence_step=1)
        return len(expired)

    def beat(self, worker: Worker, leases: Collection[Lease], lease_seconds: float) -> Beat:
        """See `LeaseRenewer.beat`."""
        now = self._now()
        self.execute(
            "beat_worker", id=worker.id, host=worker.host, pid=worker.pid, slots=worker.slots,
            agents=agents_text(worker), now=now,
        )  # fmt: skip
        until = now + int(lease_seconds * 1000)
        named = json.dumps({lease.message_id: lease.fence for lease in leases})
        held = self.rows("extend_leases", worker_id=worker.id, leases=named, lease_until=until, now=now)
        cancelled = frozenset(message_id for message_id, _, cancel_requested in held if cancel_requested)
        return Beat({message_id: fence for message_id, fence, _ in held}, cancelled)

    def remove_worker(self, worker_id: str) -> None:
        """See `LeaseRenewer.stop`."""
        self.execute("remove_worker", id=worker_id)

    def prune_workers(self, silent_for_ms: int) -> None:
        """See `UpkeepStore.prune_workers`."""
        self.execute("prune_workers", before=self._now() - silent_for_ms)
