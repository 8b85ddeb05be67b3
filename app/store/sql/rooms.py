"""The base class of an SQL store's rooms: the OS threads of the queries, and code that several rooms share."""

import logging
from collections.abc import Sequence
from typing import Protocol

from ...clock import Clock, SteadyClock
from ...errors import AgentQueueError
from ...models.agents import AgentDescription
from .group_commit import GroupCommitThread
from .reads import Reads

logger = logging.getLogger(__name__)

EVENTS_AT_ONCE = 2_000
"""Maximum number of events of dropped logs that are deleted in one transaction."""


class SharedDuties(Protocol):
    """Duties of `SqlUpkeep` that other rooms also call."""

    def read_clock(self, clock: SteadyClock) -> None:
        """Compare the clock with the reference that all processes share, and store the clock's new state, if any."""

    def delete_dropped_events(self, limit: int) -> bool:
        """Delete up to `limit` events of dropped logs, on SQLite for PART_SECONDS. Return whether more may be left."""

    def describe_agents(self, descriptions: Sequence[AgentDescription]) -> None:
        """Implement `WorkerStore.describe_agents`."""


class SqlRooms:
    """The base class of the rooms, one for each port. Several rooms may use one GroupCommitThread."""

    _clock: Clock
    _read_thread: GroupCommitThread
    _reads: Reads
    _list_thread: GroupCommitThread
    _lists: Reads
    _upkeep_thread: GroupCommitThread
    _upkeep: SharedDuties

    async def _read_clock(self) -> None:
        """Check whether the clock was stepped. Called before a duty that compares times."""
        if isinstance(clock := self._clock, SteadyClock):
            await self._upkeep_thread.run(lambda: self._upkeep.read_clock(clock), durable=False)

    async def _try_to_delete_dropped_logs(self) -> None:
        """Delete the dropped logs now. If that fails, `prune_messages` does it later."""
        try:
            await self._delete_dropped_logs()
        except AgentQueueError as error:
            logger.warning("Dropped logs are deleted later: error=%s", error)

    async def _delete_dropped_logs(self) -> None:
        """Delete the events of requeued and deleted messages, part by part."""
        work = self._upkeep.delete_dropped_events
        while await self._upkeep_thread.run(lambda: work(EVENTS_AT_ONCE), durable=False):
            pass
