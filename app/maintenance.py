"""Runs maintenance duties on timers. Processes may run them simultaneously: the store prevents conflicts."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Protocol

from .config import Settings
from .errors import AgentQueueError
from .models.memory import AgentMemory
from .observability.outages import Outage
from .store.dropped_memories import forget_dropped
from .store.ports import CountStore, ItemStore, LimitStore, StatisticsStore, ThreadStore, UpkeepStore, UsageStore

logger = logging.getLogger(__name__)

PROMOTE_SECONDS = 1.0
VERSIONS_SECONDS = 2.0
FORGET_SECONDS = 2.0
ERASE_SECONDS = 1.0
FOLD_SECONDS = 2.0
RECORDS_SECONDS = 900.0
"""How long the records of changes of state are kept."""
PRUNE_SECONDS = 60.0
COUNTS_SECONDS = 3600.0
FIRST_COUNTS_SECONDS = (60.0, 3600.0)
"""Range of the random time of the first check of counters: processes that start together do not count together."""
PRUNE_BATCH = 500
LEAST_DESCRIBED_SECONDS = 86_400.0
"""How long descriptions of agents are kept at least. Workers renew them each hour."""
NO_CONVERSATION = ""
"""A memory key that no conversation has."""


class DutyStore(UpkeepStore, ThreadStore, LimitStore, ItemStore, StatisticsStore, UsageStore, CountStore, Protocol):
    """The ports of the duties."""


class Maintenance:
    """Runs the duties, each in its own loop. No error ends a loop. `erase` does a part of running erasures."""

    def __init__(
        self,
        store: DutyStore,
        memory: Callable[[], AgentMemory | None],
        settings: Settings,
        *,
        erase: Callable[[], Awaitable[None]] | None = None,
        outage: Outage,
    ) -> None:
        self._outage = outage
        self._erase = erase
        self._store = store
        self._memory = memory
        self._settings = settings
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start all duties. Each runs for the first time at once, except the check of counters."""
        duties: list[tuple[str, float, Callable[[], Awaitable[None]]]] = [
            ("rescue", self._settings.rescue_seconds, self.rescue),
            ("promote", PROMOTE_SECONDS, self.promote),
            ("versions", VERSIONS_SECONDS, self.move_versions),
            ("forget", FORGET_SECONDS, self.forget),
            ("fold", FOLD_SECONDS, self.fold),
            ("prune", PRUNE_SECONDS, self.prune),
        ]
        if self._erase is not None:
            duties.append(("erase", ERASE_SECONDS, self._erase))
        self._tasks = [asyncio.create_task(self._repeat(*duty), name=duty[0]) for duty in duties]
        self._tasks.append(asyncio.create_task(self._check_counts_repeatedly(), name="counts"))

    async def stop(self) -> None:
        """Stop all duties. Do nothing at a second call."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def rescue(self) -> None:
        """Put back messages whose leases have expired, or fail them after too many crashes.

        Delete workers that sent no heartbeat for the length of a lease.
        """
        if rescued := await self._store.rescue():
            logger.warning("Messages put back from lost workers: count=%d", rescued)
        await self._store.prune_workers(silent_for_seconds=self._settings.lease_seconds)

    async def promote(self) -> None:
        """Make delayed messages ready when they are due. Fail messages whose question was not answered in time."""
        await self._store.promote()
        if expired := await self._store.expire_interrupts():
            logger.warning("Messages failed because no answer came in time: count=%d", expired)

    async def move_versions(self) -> None:
        """Let messages whose agent's version no worker has any more go on with the newest version."""
        if moved := await self._store.move_versions(wait_seconds=self._settings.version_wait_seconds):
            logger.warning("Messages go on with another version of their agent: count=%d", moved)

    async def forget(self) -> None:
        """Delete what agents remember of deleted threads, where the deletion itself was cut off."""
        if (memory := self._memory()) is not None:
            await forget_dropped(self._store, memory)

    async def fold(self) -> None:
        """Add recorded changes of state to the figures of minutes, hours and days."""
        await self._store.fold_figures(records_seconds=RECORDS_SECONDS)

    async def prune(self) -> None:
        """Delete old keys, limits, items, figures, usage, idle threads, logs, messages, and the memory they needed.

        Only a process with the agents' memory open deletes logs and messages, since it also deletes their memory. While
        the memory is unavailable, no process deletes any.
        """
        await self._store.prune_keys()
        await self._store.prune_limits()
        kept = max(LEAST_DESCRIBED_SECONDS, self._settings.retention_days * 86400)
        await self._store.prune_agents(older_than_seconds=kept)
        await self._store.prune_figures(older_than_seconds=self._settings.stats_retention_days * 86400)
        while await self._store.prune_items(limit=PRUNE_BATCH) == PRUNE_BATCH:
            pass
        while await self._store.prune_usage(
            older_than_seconds=self._settings.usage_retention_days * 86400, limit=PRUNE_BATCH
        ):
            pass
        memory = self._memory()
        ttl = self._settings.thread_ttl_minutes * 60 or None
        while memory is not None:
            await memory.forget([NO_CONVERSATION])  # raises StoreUnavailable while the memory is unavailable
            idle = await self._store.expire_threads(default_ttl_seconds=ttl, limit=PRUNE_BATCH)
            logs, _ = await self._store.prune_logs(
                older_than_seconds=self._settings.event_retention_hours * 3600, limit=PRUNE_BATCH
            )
            deleted, _ = await self._store.prune_messages(
                older_than_seconds=self._settings.retention_days * 86400, limit=PRUNE_BATCH
            )
            await forget_dropped(self._store, memory)
            if max(idle, logs, deleted) < PRUNE_BATCH:
                return

    async def check_counts(self) -> None:
        """Compare counters with a listing, and log what was repaired."""
        if found := await self._store.check_counts():
            counter, told, counted = found[0]
            logger.error(
                "Counters were wrong and are repaired: count=%d, first=%s, told=%s, counted=%s",
                len(found),
                counter,
                told,
                counted,
            )

    async def _check_counts_repeatedly(self) -> None:
        await asyncio.sleep(random.uniform(*FIRST_COUNTS_SECONDS))  # noqa: S311  no secret
        await self._repeat("counts", COUNTS_SECONDS, self.check_counts)

    async def _repeat(self, name: str, seconds: float, duty: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await duty()
                self._outage.works(name)
            except AgentQueueError as error:
                record = ("Duty failed, trying again: duty=%s, error=%s", name, error)
                if seconds > PROMOTE_SECONDS:  # its success would log the end of the outage too late
                    self._outage.log(*record)
                else:
                    self._outage.fails(name, *record)
            except Exception:
                logger.exception("Duty failed, trying again: duty=%s", name)
            await asyncio.sleep(seconds)
