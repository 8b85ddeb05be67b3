"""Attempts at messages: claiming, logging, ending, and taking back what was lost."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from app.clock import to_datetime
from app.errors import LeaseLost, MessageNotFound, NotCancellable
from app.models import Claim, Lease, Message, NewEvent, Outcome, Released
from app.store.base import MOVED, READY, message_topic
from app.store.endings import Ending, cancelled, ending, worker_lost
from app.store.postgres.connection import Step, step
from app.store.postgres.operations import NewRows, Writes
from app.store.rows import to_message

RESCUE_BATCH = 100
PROMOTE_BATCH = 1_000


class Append(NamedTuple):
    """A caller's events."""

    lease: Lease
    events: Sequence[NewEvent]


class Finish(NamedTuple):
    """A caller's outcome."""

    lease: Lease
    outcome: Outcome


class Logging(Writes):
    """See `EventLog.append`."""

    def append(self, given: Sequence[Append]) -> list[int | BaseException]:
        """All in one transaction; in the place of a lost lease is the error."""
        leases = list({(lease.message_id, lease.fence) for lease, _ in given})
        held = _named(leases)
        with self.transaction(step("share_leased", **held), step("find_logs", ids=held["ids"])) as (now, (rows, logs)):
            last = {number: last_id for number, last_id, _ in logs}
            numbers = {(message_id, fence): number for number, message_id, fence in rows}
            added = NewRows()
            results: list[int | BaseException] = []
            for lease, events in given:
                number = numbers.get((lease.message_id, lease.fence))
                if number is None:
                    results.append(LeaseLost(lease.message_id, lease.fence))
                    continue
                last[number] = added.append(number, last[number], events)
                results.append(last[number])
                self.touched.add(message_topic(lease.message_id))
            if added.empty:
                self.session.discard()
            else:
                self.session.run_all(added.step(now))
        return results


class ThreadPlace(NamedTuple):
    """A message's place in its thread."""

    tenant: str
    thread_id: str
    number: int


class Ended(NamedTuple):
    """A message that ends, and how; `head` is its place if that makes the next one of a thread the head."""

    number: int
    head: ThreadPlace | None
    end: Ending


class PutBack(NamedTuple):
    """A message that goes back to the queue."""

    number: int
    attempt: int
    error: str
    run_at: int


class Changes(Writes):
    """What ends attempts or puts messages back, under the locks of their threads and then of themselves."""

    def end(
        self, ended: Sequence[Ended], logs: Mapping[int, int], now: int, *, taken: bool = False, crashed: int = 0
    ) -> list[Step]:
        """Terminal states, their events, and the next of each thread."""
        if not ended:
            return []
        events = NewRows()
        for number, _, end in ended:
            events.append(number, logs[number], [end.event])
        heads = [head for _, head, _ in ended if head is not None]
        steps = [
            step(
                "end_messages",
                numbers=[each.number for each in ended],
                states=[each.end.state.value for each in ended],
                results=[each.end.result for each in ended],
                errors=[each.end.error for each in ended],
                error_codes=[each.end.error_code for each in ended],
                taken=taken,
                crashed=crashed,
                now=now,
            ),
            events.step(now),
        ]
        if heads:
            self.touched.add(READY)
            tenants, threads, numbers = zip(*heads, strict=True)
            steps.append(
                step("promote_next", tenants=list(tenants), threads=list(threads), ended=list(numbers), now=now)
            )
        return steps

    def put_back(
        self,
        back: Sequence[PutBack],
        logs: Mapping[int, int],
        starts: Mapping[int, int],
        now: int,
        *,
        refunded: int = 0,
        crashed: int = 0,
    ) -> list[Step]:
        """To the queue as heads of their threads; readers are told what to drop."""
        if not back:
            return []
        self.touched.add(READY)
        events = NewRows()
        for number, attempt, error, run_at in back:
            retry = NewEvent.retry(
                attempt=attempt, error=error, next_at=to_datetime(run_at), discard_from=starts[number]
            )
            events.append(number, logs[number], [retry])
        return [
            step(
                "requeue_messages",
                numbers=[each.number for each in back],
                run_ats=[each.run_at for each in back],
                refunded=refunded,
                crashed=crashed,
                now=now,
            ),
            events.step(now),
        ]


class Finishing(Changes):
    """See `MessageStore.finish`."""

    def finish(self, given: Sequence[Finish]) -> list[BaseException | None]:
        """All in one transaction; in the place of a lost lease is the error."""
        results: list[BaseException | None] = [None] * len(given)
        named = _named([(lease.message_id, lease.fence) for lease, _ in given])
        locks = step("lock_threads", ids=named["ids"]), step("lock_leased", **named)
        with self.transaction(*locks, step("find_logs", ids=named["ids"])) as (now, (_, rows, found)):
            leased = {(message_id, fence): (number, _head(*place)) for number, message_id, *place, fence in rows}
            logs = {number: last for number, last, _ in found}
            starts = {number: start for number, _, start in found}
            ended: list[Ended] = []
            back: list[PutBack] = []
            missing: list[int] = []
            for index, (lease, outcome) in enumerate(given):
                held = leased.pop((lease.message_id, lease.fence), None)
                if held is None:
                    missing.append(index)
                    continue
                number, head = held
                if isinstance(outcome, Released):
                    back.append(PutBack(number, lease.attempt, outcome.reason, now + int(outcome.delay * 1000)))
                else:
                    ended.append(Ended(number, head, ending(outcome, now)))
                self.touched |= {MOVED, message_topic(lease.message_id)}
            steps = self.end(ended, logs, now) + self.put_back(back, logs, starts, now, refunded=1)
            if steps:
                self.session.run_all(*steps)
            else:
                self.session.discard()
            if missing:
                repeated = set(self.rows("find_ended", **named))
                for index in missing:
                    lease = given[index].lease
                    if (lease.message_id, lease.fence) not in repeated:
                        results[index] = LeaseLost(lease.message_id, lease.fence)
        return results


class Controlling(Changes):
    """Claims and cancels, one at a time."""

    def claim(self, worker_id: str, agents: Sequence[str], limit: int, lease_seconds: float) -> list[Claim]:
        """See `MessageStore.claim`."""
        with self.transaction() as (now, _):
            rows = self.rows(
                "claim", agents=sorted(set(agents)), limit=limit, worker_id=worker_id, now=now,
                lease_until=now + int(lease_seconds * 1000),
            )  # fmt: skip
            if not rows:
                self.session.discard()
                return []
            messages = [to_message(row) for row in sorted(rows, key=lambda row: (row[-1], row[0]))]
            logs = {number: last for number, last, _ in self.rows("find_logs", ids=[each.id for each in messages])}
            events = NewRows()
            for message in messages:
                events.append(message.number, logs[message.number], [NewEvent.processing(message.attempt)])
                self.touched |= {MOVED, message_topic(message.id)}
            self.session.run_all(events.step(now))
        return [Claim(Lease(each.id, each.fence, each.attempt, worker_id), each) for each in messages]

    def cancel(self, tenant: str, message_id: str) -> Message:
        """See `MessageStore.cancel`."""
        ids = [message_id]
        with self.transaction(step("lock_threads", ids=ids), step("lock_queued", id=message_id, tenant=tenant)) as (
            now,
            (_, locked),
        ):
            row = self.row("get_message", id=message_id, tenant=tenant)
            if row is None:
                raise MessageNotFound(message_id)
            message = to_message(row)
            if not locked:
                raise NotCancellable(message_id, message.state)
            [(number, place)] = locked
            thread: dict[str, Any] = {"tenant": tenant, "thread_id": message.thread_id}
            inherited = place == "behind" and self.value(
                "inherited_ahead", **thread, thread_number=message.thread_number
            )
            [(_, last, _)] = self.rows("find_logs", ids=ids)
            head = None if place == "behind" else _head(tenant, message.thread_id, message.thread_number)
            steps = self.end([Ended(number, head, cancelled(now))], {number: last}, now, taken=True)
            if inherited:
                steps.append(step("settle_thread", **thread))
            *_, [after] = self.session.run_all(*steps, step("get_message", id=message_id, tenant=tenant))
            self.touched |= {MOVED, message_topic(message_id)}
        return to_message(after)


class Upkeep(Changes):
    """The duties that every process does from time to time."""

    def rescue(self, max_crashes: int) -> int:
        """See `MessageStore.rescue`."""
        with self.transaction() as (now, _):
            ids = [found for (found,) in self.rows("find_expired", now=now, limit=RESCUE_BATCH)]
            if not ids:
                self.session.discard()
                return 0
            _, expired, found = self.session.run_all(
                step("lock_threads", ids=ids), step("lock_expired", ids=ids, now=now), step("find_logs", ids=ids)
            )
            logs = {number: last for number, last, _ in found}
            starts = {number: start for number, _, start in found}
            ended: list[Ended] = []
            back: list[PutBack] = []
            for number, message_id, *place, attempt, crashes in expired:
                if crashes + 1 >= max_crashes:
                    ended.append(Ended(number, _head(*place), worker_lost(crashes + 1, now)))
                else:
                    back.append(PutBack(number, attempt, "The worker was lost.", now))
                self.touched |= {MOVED, message_topic(message_id)}
            steps = self.put_back(back, logs, starts, now, crashed=1)
            steps += self.end(ended, logs, now, taken=True, crashed=1)
            if steps:
                self.session.run_all(*steps)
        return len(expired)

    def promote(self) -> int:
        """See `MessageStore.promote`. Called again while it returns PROMOTE_BATCH."""
        with self.transaction() as (now, _):
            ids = [found for (found,) in self.rows("find_due", now=now, limit=PROMOTE_BATCH)]
            if not ids:
                self.session.discard()
                return 0
            _, due = self.session.run_all(step("lock_threads", ids=ids), step("lock_due", ids=ids, now=now))
            self.rows("promote_due", numbers=[number for (number,) in due])
            self.touched |= {READY, MOVED}
        return len(due)

    def prune_logs(self, older_than_ms: int, limit: int) -> tuple[int, list[str]]:
        """See `MessageStore.prune_logs`."""
        with self.transaction() as (now, _):
            found = self.rows("find_prunable_logs", before=now - older_than_ms, limit=limit)
            if not found:
                self.session.discard()
                return 0, []
            numbers = [number for number, *_ in found]
            self.session.run_all(step("prune_logs", numbers=numbers), step("mark_pruned", numbers=numbers))
        alone = [(tenant, message_id) for _, message_id, tenant, thread_id in found if thread_id is None]
        return len(found), [Message.memory_key_of(tenant, None, message_id) for tenant, message_id in alone]

    def prune_messages(self, older_than_ms: int, limit: int) -> tuple[int, list[str]]:
        """See `MessageStore.prune_messages`."""
        with self.transaction() as (now, _):
            before = now - older_than_ms
            ids = [found for (found,) in self.rows("find_prunable_messages", before=before, limit=limit)]
            _, deleted, threads = self.session.run_all(
                step("lock_threads", ids=ids), step("prune_messages", ids=ids), step("prune_threads", before=before)
            )
            if not deleted and not threads:
                self.session.discard()
        keys = [
            Message.memory_key_of(tenant, None, message_id)
            for message_id, tenant, thread_id, log_pruned in deleted
            if thread_id is None and not log_pruned
        ]
        return len(deleted), keys + [Message.memory_key_of(tenant, thread_id, "") for tenant, thread_id in threads]

    def prune_workers(self, silent_for_ms: int) -> None:
        """See `WorkerStore.prune_workers`. What connections that are gone have counted is added up, too."""
        with self.transaction() as (now, _):
            self.rows("prune_workers", before=now - silent_for_ms)
            if self.value("lock_folding"):
                self.session.run_all(step("fold_tallies"), step("fold_levels"), step("fold_commits"))


def _head(tenant: str, thread_id: str | None, thread_number: int) -> ThreadPlace | None:
    return None if thread_id is None else ThreadPlace(tenant, thread_id, thread_number)


def _named(leases: Iterable[tuple[str, int]]) -> dict[str, list[Any]]:
    ids: list[Any] = []
    fences: list[Any] = []
    for message_id, fence in leases:
        ids.append(message_id)
        fences.append(fence)
    return {"ids": ids, "fences": fences}
