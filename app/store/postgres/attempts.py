"""Claims messages and ends their attempts."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from typing_extensions import override

from ...errors import LeaseLost, StoreError
from ...models.attempts import (
    Cancelled,
    Claim,
    Completed,
    Failed,
    Interrupted,
    Lease,
    Outcome,
    Released,
    Retry,
)
from ...models.events import NewEvent
from ...models.messages import Message
from ...policy.rank import LEVEL
from ...policy.running import Admitted, Candidate, admitted
from ..limits import HELD_AT_ONCE
from ..ports import MOVED, READY, AttemptStore, message_topic
from ..ports.attempts import NO_VERSIONS
from ..rows import to_message
from ..sql.group_commit import GroupCommitThread
from ..sql.rooms import SqlRooms
from ..terminal_states import ending, outcome_size
from ..versions import claimed_lists
from .changes import Changes, Ended, FailedNow, Locked, Logs, NewInterrupt, PutBack, Writes, named_leases, next_events
from .running import find_room, release_room
from .session import Rows, Step, step

ENDINGS = (Completed, Failed, Cancelled)
"""Outcomes that end a message. They do not need the first event of its present attempt."""


class Finish(NamedTuple):
    """The outcome of one attempt."""

    lease: Lease
    outcome: Outcome


class ClaimWrites(Writes):
    """Claims messages, in transactions of its own."""

    def claim(
        self,
        worker_id: str,
        agents: Sequence[str],
        limit: int,
        lease_seconds: float,
        versions: Mapping[str, str] = NO_VERSIONS,
    ) -> list[Claim]:
        """Implement `AttemptStore.claim`."""
        lists, running = claimed_lists(agents, versions), self.session.running
        listed = {
            "agents": [each.agent for each in lists], "wanted": [each.wanted for each in lists],
            "own": [each.own for each in lists], "running": running,
        }  # fmt: skip
        lease = {
            "worker_id": worker_id, "lease_milliseconds": int(lease_seconds * 1000), "now": self.clock.now(),
        }  # fmt: skip
        first = step("claim", limit=limit, **listed, **lease), step("has_limits")
        holding: list[str] = []
        with self.transaction(*first) as (now, [found, [(has_limits,)]]):
            rows = list(found)
            if len(rows) < limit and (running or has_limits):
                taken, holding = self._admit(listed, limit - len(rows))
                numbers, own = [each.number for each in taken], [each.own for each in taken]
                rows += self.rows("claim_candidates", numbers=numbers, own=own, **lease) if taken else []
            if not rows and not holding:
                self.session.discard()
                return []
            messages = self._begin(rows, now)
        if holding:
            self._release_room(holding)
        return [Claim(Lease(each.id, each.fence, each.attempt, worker_id), each) for each in messages]

    def _begin(self, rows: Rows, now: int) -> list[Message]:
        """Append the first events of claimed messages. Return the messages in the order of claims."""
        messages = [to_message(row) for row in sorted(rows, key=lambda row: (row[-2], row[0]))]
        if messages:
            self.clock.witness(max(row[-1] for row in rows))  # so that no later change is dated before the claim
            self.touched |= {MOVED, *(message_topic(each.id) for each in messages)}
            highest = {rank // LEVEL: rank for rank in sorted(row[-2] for row in rows)}
            self.session.end_with(
                next_events({each.number: NewEvent.processing(each.attempt) for each in messages}, now),
                step("raise_claimed_ranks", ranks=list(highest.values())),
            )
        return messages

    def _admit(self, listed: Mapping[str, Any], limit: int) -> tuple[Sequence[Candidate], list[str]]:
        """Return up to `limit` ready messages to claim, whatever their tenants, and the tenants of held messages.

        Messages of tenants that run as many as they may are held back.
        """
        room: dict[str, int] = {}
        found = self._look(listed, limit, limit, room, waiting=True)
        if not found.over:
            return found.taken, []
        found = self._look(listed, limit, limit + HELD_AT_ONCE, room, waiting=False)
        self.rows("hold_back", numbers=[each.number for each in found.over])
        self.touched |= {MOVED, READY} if len(found.taken) < limit and len(found.over) >= HELD_AT_ONCE else {MOVED}
        return found.taken, list({each.tenant for each in found.over})

    def _look(
        self, listed: Mapping[str, Any], limit: int, depth: int, room: dict[str, int], *, waiting: bool
    ) -> Admitted:
        """Return what may be claimed of the first `depth` ready messages, and lock their tenants.

        `room` has the room of the tenants that are locked already. Without `waiting`, messages of tenants that another
        claim has locked are left out.
        """
        rows = self.rows("find_candidates", limit=depth, **listed)
        limited = {tenant for _, _, tenant, _, most in rows if most > 0}
        if unlocked := limited - room.keys():
            room |= find_room(self.session, list(unlocked), waiting=waiting)
        candidates = [Candidate(*row) for *row, most in sorted(rows) if row[2] in room or not most]
        return admitted(candidates, dict(room), limit)

    def _release_room(self, tenants: Sequence[str]) -> None:
        """Look once more for room of tenants, since messages may have ended while theirs were held back."""
        with suppress(StoreError), self.session.statement():  # `promote` does it if this fails
            release_room(self.session, tenants)


class Outcomes:
    """Messages whose attempts end, grouped by what happens to them."""

    def __init__(self, now: int) -> None:
        self._now = now
        self.ended: list[Ended] = []
        self.back: list[PutBack] = []
        self.new_interrupts: list[NewInterrupt] = []
        self.failed: list[FailedNow] = []

    def add(self, locked: Locked, attempt: int, outcome: Outcome) -> None:
        """Add the end of a message's attempt. A cancelled message ends as cancelled, whatever its outcome."""
        match Cancelled() if locked.cancel_requested else outcome:
            case Failed() as failed:
                self.failed.append(FailedNow(locked.number, failed))
                self.ended.append(Ended(locked, ending(failed, self._now)))
            case Completed() | Cancelled() as done:
                self.ended.append(Ended(locked, ending(done, self._now)))
            case Retry(error=error, delay=delay) as retry:
                self.failed.append(FailedNow(locked.number, retry))
                self.back.append(PutBack(locked, attempt, error, self._later(delay)))
            case Released(reason, delay):
                self.back.append(PutBack(locked, attempt, reason, self._later(delay), refunded=1))
            case Interrupted() as interrupted:
                self.new_interrupts.append(NewInterrupt(locked, attempt, interrupted))

    def _later(self, seconds: float) -> int:
        return self._now + int(seconds * 1000)


class FinishWrites(Changes):
    """Ends attempts, in transactions of its own."""

    def finish(self, given: Sequence[Finish]) -> list[BaseException | None]:
        """End all attempts in one transaction. Return an error for each lost lease, else None, in order."""
        results: list[BaseException | None] = [None] * len(given)
        named = named_leases([(lease.message_id, lease.fence) for lease, _ in given])
        first = [step("lock_threads", ids=named["ids"]), step("lock_leased", **named)]
        if not all(isinstance(outcome, ENDINGS) for _, outcome in given):
            first.append(step("find_logs", ids=named["ids"]))
        with self.transaction(*first) as (now, (_, rows, *logs)):
            leased = {(locked.id, locked.fence): locked for locked in map(Locked._make, rows)}
            outcomes = Outcomes(now)
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

    def _steps(self, outcomes: Outcomes, logs: Logs, now: int) -> list[Step]:
        return [
            *self.note_attempts(outcomes.failed, now),
            *self.end(outcomes.ended, now),
            *self.put_back(outcomes.back, logs, now),
            *self.interrupt(outcomes.new_interrupts, logs, now),
        ]


class PostgresAttempts(SqlRooms, AttemptStore):
    """Runs claims one by one, and ends the attempts of many callers together. Each kind of work has its own thread."""

    _claim_thread: GroupCommitThread
    _claims: ClaimWrites
    _finish_thread: GroupCommitThread
    _connect_all: Callable[[], Awaitable[None]]

    @override
    async def claim(
        self,
        worker_id: str,
        agents: Sequence[str],
        limit: int,
        *,
        lease_seconds: float,
        versions: Mapping[str, str] = NO_VERSIONS,
    ) -> list[Claim]:
        await self._connect_all()  # else connections may be lacking to store the end
        return await self._claim_thread.run(
            lambda: self._claims.claim(worker_id, agents, limit, lease_seconds, versions)
        )

    @override
    async def finish(self, lease: Lease, outcome: Outcome) -> None:
        await self._finish_thread.submit(Finish(lease, outcome), size=outcome_size(outcome))
