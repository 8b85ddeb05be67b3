"""Claims messages and ends their attempts."""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from typing_extensions import override

from ...clock import to_datetime
from ...errors import LeaseLost
from ...models.attempts import Cancelled, Claim, Completed, Failed, Interrupted, Lease, Outcome, Released, Retry
from ...models.events import NewEvent
from ...models.messages import Message, MessageState
from ...policy.rank import LEVEL
from ...policy.running import Admitted, Candidate, admitted
from ..limits import HELD_AT_ONCE
from ..ports import MOVED, READY, AttemptStore, message_topic
from ..ports.attempts import NO_VERSIONS
from ..receivers import interrupt_delivery_id
from ..rows import to_message
from ..sql.group_commit import GroupCommitThread
from ..sql.rooms import SqlRooms
from ..terminal_states import ending, outcome_size
from ..versions import ClaimedList, claimed_lists
from .changes import Changes


class AttemptWrites(Changes):
    """Claims messages and ends attempts, inside a transaction."""

    def claim(
        self,
        worker_id: str,
        agents: Sequence[str],
        limit: int,
        lease_seconds: float,
        versions: Mapping[str, str] = NO_VERSIONS,
    ) -> list[Claim]:
        """Implement `AttemptStore.claim`."""
        paused, limited = self.rows("claim_state")[0]
        if paused:
            return []
        lists = claimed_lists(agents, versions)
        found = self._admit(lists, limit) if limited or self._running else self._find(lists, limit)
        if not found:
            return []
        now = self._now()
        claimed = self._take(found, worker_id, now, now + int(lease_seconds * 1000))
        highest = {rank // LEVEL: rank for rank, *_ in found}
        self.execute_each("raise_claimed_rank", [{"rank": rank} for rank in highest.values()])
        messages: list[Message] = []
        began: list[tuple[int, int, NewEvent]] = []
        events: dict[int, NewEvent] = {}  # most attempts are the first and share one event
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

    def _find(self, lists: Sequence[ClaimedList], limit: int) -> list[tuple[int, int, str | None]]:
        """Return the first ready messages as (rank, number, version that it gets or None), in order."""
        found: list[tuple[int, int, str | None]] = []
        for agent, wanted, own in lists:
            ready = self.rows("find_ready", agent=agent, version=wanted, limit=limit)
            found += [(rank, number, None if own == wanted else own) for rank, number in ready]
        return sorted(found)[:limit]

    def _admit(self, lists: Sequence[ClaimedList], limit: int) -> list[tuple[int, int, str | None]]:
        """Return what `_find` returns, without messages of tenants that run as many as they may. Hold those back.

        If more than HELD_AT_ONCE have to be held back, wake claims again.
        """
        taken, over = self._look(lists, limit, limit)
        if over:
            taken, over = self._look(lists, limit, limit + HELD_AT_ONCE)
            self.execute("hold_back", numbers=json.dumps([each.number for each in over]))
            self.touched |= {MOVED, READY} if len(taken) < limit and len(over) >= HELD_AT_ONCE else {MOVED}
        return [(each.rank, each.number, each.own) for each in taken]

    def _look(self, lists: Sequence[ClaimedList], limit: int, depth: int) -> Admitted:
        """Return what may be claimed of the first `depth` ready messages."""
        found: list[Candidate] = []
        for agent, wanted, own in lists:
            ready = self.rows("find_ready_of_tenants", agent=agent, version=wanted, limit=depth)
            found += [Candidate(rank, number, tenant, None if own == wanted else own) for rank, number, tenant in ready]
        if not found:
            return Admitted([], [])
        first = sorted(found)[:depth]
        tenants = json.dumps(list({each.tenant for each in first}))
        room: dict[str, int] = dict(self.rows("find_room", tenants=tenants, most=self._running))
        return admitted(first, room, limit)

    def _take(
        self, found: Sequence[tuple[int, int, str | None]], worker_id: str, now: int, until: int
    ) -> list[tuple[Any, ...]]:
        """Claim messages, each given as (rank, number, version that it gets or None). Return their rows in order."""
        values: dict[str, Any] = {"worker_id": worker_id, "lease_until": until, "now": now}
        taken: list[tuple[Any, ...]] = []
        for version, group in groupby(found, key=itemgetter(2)):
            given = [{**values, "number": number, "version": version} for _, number, _ in group]
            taken += self.execute_each("claim" if version is None else "claim_first", given).fetchall()
        return taken

    def finish(self, lease: Lease, outcome: Outcome) -> None:
        """Implement `AttemptStore.finish`."""
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
        """Complete the message in few statements. Return False if it was cancelled or the lease is lost."""
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
        self._freed[asking[2]] += 1
        self._add_state_event(asking, MessageState.INTERRUPTED, event, delivery_id, now)


class SqliteAttempts(SqlRooms, AttemptStore):
    """Claims messages and ends attempts on the writing thread."""

    _write_thread: GroupCommitThread
    _attempts: AttemptWrites

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
        return await self._write_thread.run(
            lambda: self._attempts.claim(worker_id, agents, limit, lease_seconds, versions)
        )

    @override
    async def finish(self, lease: Lease, outcome: Outcome) -> None:
        await self._write_thread.run(lambda: self._attempts.finish(lease, outcome), size=outcome_size(outcome))
