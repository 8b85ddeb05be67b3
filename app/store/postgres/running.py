"""Attempts at messages: logging and ending them."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ...errors import LeaseLost
from ...models.attempts import Cancelled, Completed, Failed, Interrupted, Lease, Outcome, Released, Retry
from ...models.events import NewEvent
from ..ports import MOVED, message_topic
from ..terminal_states import ending
from .changes import Asking, Changes, Ended, FailedNow, Locked, Logs, PutBack
from .connection import Step, step
from .operations import NewRows, Writes

ENDINGS = (Completed, Failed, Cancelled)
"""Outcomes that end a message, for which nobody has to know where its present attempt begins."""


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
                self.session.end_with(added.step(now))
        return results


class Sorted:
    """What is to be done with the messages whose attempts end."""

    def __init__(self, now: int) -> None:
        self._now = now
        self.ended: list[Ended] = []
        self.back: list[PutBack] = []
        self.asking: list[Asking] = []
        self.failed: list[FailedNow] = []

    def add(self, locked: Locked, attempt: int, outcome: Outcome) -> None:
        """A message that was cancelled ends as cancelled by any outcome."""
        match Cancelled() if locked.cancel_requested else outcome:
            case Failed() as failed:
                self.failed.append(FailedNow(locked.number, failed))
                self.ended.append(Ended(locked, ending(failed, self._now)))
            case Completed() | Cancelled() as done:
                self.ended.append(Ended(locked, ending(done, self._now)))
            case Retry(error=error, delay=delay) as retry:
                self.failed.append(FailedNow(locked.number, retry))
                self.back.append(PutBack(locked.number, attempt, error, self._later(delay)))
            case Released(reason, delay):
                self.back.append(PutBack(locked.number, attempt, reason, self._later(delay), refunded=1))
            case Interrupted() as interrupted:
                self.asking.append(Asking(locked, attempt, interrupted))

    def _later(self, seconds: float) -> int:
        return self._now + int(seconds * 1000)


class Finishing(Changes):
    """See `AttemptStore.finish`."""

    def finish(self, given: Sequence[Finish]) -> list[BaseException | None]:
        """All in one transaction; in the place of a lost lease is the error."""
        results: list[BaseException | None] = [None] * len(given)
        named = _named([(lease.message_id, lease.fence) for lease, _ in given])
        first = [step("lock_threads", ids=named["ids"]), step("lock_leased", **named)]
        if not all(isinstance(outcome, ENDINGS) for _, outcome in given):
            first.append(step("find_logs", ids=named["ids"]))
        with self.transaction(*first) as (now, (_, rows, *logs)):
            leased = {(locked.id, locked.fence): locked for locked in map(Locked._make, rows)}
            outcomes = Sorted(now)
            missing: list[int] = []
            for index, (lease, outcome) in enumerate(given):
                locked = leased.pop((lease.message_id, lease.fence), None)
                if locked is None:
                    missing.append(index)
                    continue
                outcomes.add(locked, lease.attempt, outcome)
                self.touched |= {MOVED, message_topic(lease.message_id)}
            steps = self._steps(outcomes, Logs(*logs), now)
            if not missing:
                self.session.end_with(*steps)
            else:
                if steps:
                    self.session.run_all(*steps)
                else:
                    self.session.discard()
                repeated = set(self.rows("find_ended", **named))
                for index in missing:
                    lease = given[index].lease
                    if (lease.message_id, lease.fence) not in repeated:
                        results[index] = LeaseLost(lease.message_id, lease.fence)
        return results

    def _steps(self, outcomes: Sorted, logs: Logs, now: int) -> list[Step]:
        return [
            *self.note_attempts(outcomes.failed, now),
            *self.end(outcomes.ended, now),
            *self.put_back(outcomes.back, logs, now),
            *self.interrupt(outcomes.asking, logs, now),
        ]


def _named(leases: Iterable[tuple[str, int]]) -> dict[str, list[Any]]:
    ids: list[Any] = []
    fences: list[Any] = []
    for message_id, fence in leases:
        ids.append(message_id)
        fences.append(fence)
    return {"ids": ids, "fences": fences}
