"""Appends to the event log and reads it."""

from collections.abc import Sequence

from typing_extensions import override

from ...errors import LeaseLost
from ...models.attempts import Lease
from ...models.events import EventPage, NewEvent
from ...models.usage import ModelUsage
from ..ports import EventLog, message_topic
from ..sql.group_commit import GroupCommitThread
from ..sql.rooms import SqlRooms
from ..terminal_states import events_size
from .changes import Changes
from .usage import UsageWrites


class EventWrites(Changes, UsageWrites):
    """Appends to logs, inside a transaction."""

    def append(self, lease: Lease, events: Sequence[NewEvent], usage: Sequence[ModelUsage] = ()) -> int:
        """Implement `EventLog.append`."""
        found = self.row("find_leased", id=lease.message_id, fence=lease.fence)
        if found is None:
            raise LeaseLost(lease.message_id, lease.fence)
        number, _, last = found
        self.touched.add(message_topic(lease.message_id))
        now = self._now()
        self._add_events([(number, event_id, event) for event_id, event in enumerate(events, last + 1)], now)
        if usage:
            self.add_usage(lease.message_id, usage, now)
        return int(last) + len(events)


class SqliteEvents(SqlRooms, EventLog):
    """Appends on the writing thread and reads on the reading thread."""

    _write_thread: GroupCommitThread
    _events: EventWrites

    @override
    async def append(self, lease: Lease, events: Sequence[NewEvent], usage: Sequence[ModelUsage] = ()) -> int:
        # Does not wait for the disk: the finish makes these events durable.
        return await self._write_thread.run(
            lambda: self._events.append(lease, events, usage), durable=False, size=events_size(events)
        )

    @override
    async def read(self, tenant: str, message_id: str, *, after: int, limit: int) -> EventPage:
        return await self._read_thread.run(lambda: self._reads.read_log(tenant, message_id, after, limit))
