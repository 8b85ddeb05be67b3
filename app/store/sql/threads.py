"""Changes threads as a whole: the part that both SQL stores share."""

from typing import Protocol

from typing_extensions import override

from ...models.audit import NewAudit
from ...models.messages import CreatedThread, RequestKey, Thread
from ...models.threads import MemoryRight, NewThread, ThreadChange
from ..ports import ThreadStore
from .audit import RecordedChanges
from .group_commit import GroupCommitThread
from .rooms import SqlRooms


class ThreadChanges(RecordedChanges, Protocol):
    """Implements `ThreadStore` inside a transaction."""

    def take_memory_right(self, tenant: str, thread_id: str) -> MemoryRight:
        """Implement `ThreadStore.take_memory_right`."""

    def change_thread(self, tenant: str, thread_id: str, change: ThreadChange) -> Thread:
        """Implement `ThreadStore.change_thread`."""

    def delete_thread(self, tenant: str, thread_id: str) -> None:
        """Implement `ThreadStore.delete_thread`."""

    def create_thread(
        self, tenant: str, thread_id: str, new: NewThread, keeps_existing: bool, key: RequestKey | None
    ) -> CreatedThread:
        """Implement `ThreadStore.create_thread`."""

    def draft_thread(self, tenant: str, thread_id: str) -> None:
        """Implement `ThreadStore.draft_thread`."""

    def publish_thread(self, tenant: str, thread_id: str, new: NewThread) -> Thread:
        """Implement `ThreadStore.publish_thread`."""

    def abandon_thread(self, tenant: str, thread_id: str) -> None:
        """Implement `ThreadStore.abandon_thread`."""


class SqlThreads(SqlRooms, ThreadStore):
    """Implements `ThreadStore` for both SQL stores, on the thread of dead letters, since a deletion takes long."""

    _dead_letter_thread: GroupCommitThread
    _thread_changes: ThreadChanges

    @override
    async def take_memory_right(self, tenant: str, thread_id: str, *, audit: NewAudit | None = None) -> MemoryRight:
        changes = self._thread_changes
        return await self._dead_letter_thread.run(
            lambda: changes.recorded(audit, lambda: changes.take_memory_right(tenant, thread_id))
        )

    @override
    async def change_thread(
        self, tenant: str, thread_id: str, change: ThreadChange, *, audit: NewAudit | None = None
    ) -> Thread:
        changes = self._thread_changes
        return await self._dead_letter_thread.run(
            lambda: changes.recorded(audit, lambda: changes.change_thread(tenant, thread_id, change))
        )

    @override
    async def delete_thread(self, tenant: str, thread_id: str, *, audit: NewAudit | None = None) -> None:
        changes = self._thread_changes
        await self._dead_letter_thread.run(
            lambda: changes.recorded(audit, lambda: changes.delete_thread(tenant, thread_id))
        )
        await self._try_to_delete_dropped_logs()

    @override
    async def create_thread(
        self,
        tenant: str,
        thread_id: str,
        new: NewThread,
        *,
        keeps_existing: bool = False,
        key: RequestKey | None = None,
    ) -> CreatedThread:
        return await self._dead_letter_thread.run(
            lambda: self._thread_changes.create_thread(tenant, thread_id, new, keeps_existing, key)
        )

    @override
    async def draft_thread(self, tenant: str, thread_id: str) -> None:
        await self._dead_letter_thread.run(lambda: self._thread_changes.draft_thread(tenant, thread_id))

    @override
    async def publish_thread(
        self, tenant: str, thread_id: str, new: NewThread, *, audit: NewAudit | None = None
    ) -> Thread:
        changes = self._thread_changes
        return await self._dead_letter_thread.run(
            lambda: changes.recorded(audit, lambda: changes.publish_thread(tenant, thread_id, new))
        )

    @override
    async def abandon_thread(self, tenant: str, thread_id: str) -> None:
        await self._dead_letter_thread.run(lambda: self._thread_changes.abandon_thread(tenant, thread_id))
