"""Appends to the event log and reads it."""

from collections.abc import Sequence
from typing import NamedTuple

from typing_extensions import override

from ...errors import LeaseLost
from ...models.attempts import Lease
from ...models.events import EventPage, NewEvent
from ...models.usage import ModelUsage
from ..ports import EventLog, message_topic
from ..sql.group_commit import GroupCommitThread
from ..sql.rooms import SqlRooms
from ..terminal_states import events_size
from .changes import NewRows, Writes, named_leases
from .session import step
from .usage import NewUsage


class Append(NamedTuple):
    """The events that one caller appends, the usage that they tell of, and the lease that allows it."""

    lease: Lease
    events: Sequence[NewEvent]
    usage: Sequence[ModelUsage] = ()


class EventWrites(Writes):
    """Appends to logs, in transactions of its own."""

    def append(self, given: Sequence[Append]) -> list[int | BaseException]:
        """Append all events in one transaction. Return the last event id or a LeaseLost for each caller, in order."""
        leases = list({(lease.message_id, lease.fence) for lease, *_ in given})
        held = named_leases(leases)
        with self.transaction(step("share_leased", **held), step("find_logs", ids=held["ids"])) as (now, (rows, logs)):
            last = {number: last_id for number, last_id, _ in logs}
            numbers = {(message_id, fence): number for number, message_id, fence in rows}
            added, used = NewRows(), NewUsage()
            results: list[int | BaseException] = []
            for lease, events, usage in given:
                number = numbers.get((lease.message_id, lease.fence))
                if number is None:
                    results.append(LeaseLost(lease.message_id, lease.fence))
                    continue
                last[number] = added.append(number, last[number], events)
                results.append(last[number])
                for each in usage:
                    used.add(lease.message_id, each)
                self.touched.add(message_topic(lease.message_id))
            if added.empty:
                self.session.discard()
            else:
                self.session.end_with(added.step(now), *used.steps(now))
        return results


class PostgresEvents(SqlRooms, EventLog):
    """Appends the events of many callers together, on a thread of its own."""

    _log_thread: GroupCommitThread

    @override
    async def append(self, lease: Lease, events: Sequence[NewEvent], usage: Sequence[ModelUsage] = ()) -> int:
        last: int = await self._log_thread.submit(Append(lease, events, usage), size=events_size(events))
        return last

    @override
    async def read(self, tenant: str, message_id: str, *, after: int, limit: int) -> EventPage:
        return await self._read_thread.run(lambda: self._reads.read_log(tenant, message_id, after, limit))
