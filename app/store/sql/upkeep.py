"""Runs regular duties in short transactions, until nothing is left."""

from collections.abc import Awaitable, Sequence
from typing import Protocol

from typing_extensions import override

from ...models.memory import DroppedMemory
from ...policy.versions import SeenVersion, VersionMove
from ..limits import MAX_CRASHES
from ..parts import prune, repeat
from ..ports import UpkeepStore
from ..versions import VERSIONS_AT_ONCE, VersionSteps, move_all
from .rooms import SharedDuties, SqlRooms

RESCUED_AT_ONCE = 100
PROMOTED_AT_ONCE = 500
EXPIRED_AT_ONCE = 100
PRUNED_AT_ONCE = 50
"""Maximum number of messages in one transaction. A log may have thousands of events."""


class UpkeepChanges(SharedDuties, Protocol):
    """Runs regular duties inside a transaction, most for a limited number of rows."""

    def rescue(self, max_crashes: int) -> int:
        """Rescue up to RESCUED_AT_ONCE messages. Return how many."""

    def promote(self) -> int:
        """Make up to PROMOTED_AT_ONCE delayed messages ready whose `run_at` has come. Return how many."""

    def release_held(self) -> bool:
        """Release held messages of each tenant that may run more, up to RELEASED_AT_ONCE of each agent.

        Return whether messages are left of a tenant without a limit.
        """

    def expire_interrupts(self) -> int:
        """Fail up to EXPIRED_AT_ONCE messages that were not answered in time. Return how many."""

    def see_versions(self, seen: Sequence[SeenVersion]) -> None:
        """Remember versions that were seen now, and forget those that were not seen for VERSION_KEPT_MS."""

    def move_version(self, move: VersionMove, limit: int) -> int:
        """Move up to `limit` ready messages to another version. Return how many."""

    def prune_keys(self) -> None:
        """Implement `UpkeepStore.prune_keys`."""

    def prune_logs(self, older_than_ms: int, limit: int) -> tuple[int, list[str], bool]:
        """Implement `UpkeepStore.prune_logs`. Return the number of messages, the memory keys, and False.

        False says that no threads are left, since this prunes no threads.
        """

    def prune_messages(self, older_than_ms: int, limit: int) -> tuple[int, list[str], bool]:
        """Delete up to `limit` messages and up to `limit` threads, as `UpkeepStore.prune_messages` does.

        Return the number of messages, the memory keys, and whether threads may be left.
        """

    def list_dropped_memories(self, limit: int) -> list[DroppedMemory]:
        """Implement `UpkeepStore.list_dropped_memories`."""

    def settle_dropped_memories(self, memories: Sequence[DroppedMemory]) -> None:
        """Implement `UpkeepStore.settle_dropped_memories`."""

    def prune_workers(self, silent_for_ms: int) -> None:
        """Implement `UpkeepStore.prune_workers`."""

    def prune_agents(self, age_ms: int) -> None:
        """Implement `UpkeepStore.prune_agents`."""


class SqlUpkeep(SqlRooms, UpkeepStore):
    """Implements `UpkeepStore` for both SQL stores. Pruning does not wait for the disk."""

    _upkeep: UpkeepChanges

    @override
    async def rescue(self, *, max_crashes: int = MAX_CRASHES) -> int:
        await self._read_clock()
        return await repeat(lambda: self._upkeep_thread.run(lambda: self._upkeep.rescue(max_crashes)), RESCUED_AT_ONCE)

    @override
    async def promote(self) -> int:
        await self._read_clock()
        promoted = await repeat(lambda: self._upkeep_thread.run(self._upkeep.promote), PROMOTED_AT_ONCE)
        while await self._upkeep_thread.run(self._upkeep.release_held):
            pass
        return promoted

    @override
    async def move_versions(self, *, wait_seconds: float) -> int:
        steps = VersionSteps(
            known=lambda: self._read_thread.run(self._reads.known_versions),
            see=lambda seen: self._upkeep_thread.run(lambda: self._upkeep.see_versions(seen), durable=False),
            move=lambda move: self._upkeep_thread.run(lambda: self._upkeep.move_version(move, VERSIONS_AT_ONCE)),
        )
        workers = await self._read_thread.run(self._reads.workers)
        return await move_all(workers, steps, now=self._clock.now(), wait_seconds=wait_seconds)

    @override
    async def expire_interrupts(self) -> int:
        return await repeat(lambda: self._upkeep_thread.run(self._upkeep.expire_interrupts), EXPIRED_AT_ONCE)

    @override
    async def prune_logs(self, *, older_than_seconds: float, limit: int) -> tuple[int, list[str]]:
        age = int(older_than_seconds * 1000)

        def prune_part(size: int) -> Awaitable[tuple[int, list[str], bool]]:
            return self._upkeep_thread.run(lambda: self._upkeep.prune_logs(age, size), durable=False)

        return await prune(prune_part, limit, PRUNED_AT_ONCE)

    @override
    async def prune_messages(self, *, older_than_seconds: float, limit: int) -> tuple[int, list[str]]:
        age = int(older_than_seconds * 1000)

        def prune_part(size: int) -> Awaitable[tuple[int, list[str], bool]]:
            return self._upkeep_thread.run(lambda: self._upkeep.prune_messages(age, size), durable=False)

        pruned = await prune(prune_part, limit, PRUNED_AT_ONCE)
        await self._delete_dropped_logs()
        return pruned

    @override
    async def list_dropped_memories(self, limit: int) -> list[DroppedMemory]:
        return await self._upkeep_thread.run(lambda: self._upkeep.list_dropped_memories(limit), durable=False)

    @override
    async def settle_dropped_memories(self, memories: Sequence[DroppedMemory]) -> None:
        await self._upkeep_thread.run(lambda: self._upkeep.settle_dropped_memories(memories), durable=False)

    @override
    async def prune_keys(self) -> None:
        await self._upkeep_thread.run(self._upkeep.prune_keys, durable=False)

    @override
    async def prune_workers(self, *, silent_for_seconds: float) -> None:
        age = int(silent_for_seconds * 1000)
        await self._upkeep_thread.run(lambda: self._upkeep.prune_workers(age), durable=False)

    @override
    async def prune_agents(self, *, older_than_seconds: float) -> None:
        age = int(older_than_seconds * 1000)
        await self._upkeep_thread.run(lambda: self._upkeep.prune_agents(age), durable=False)
