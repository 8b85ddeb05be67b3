"""Reads threads, and changes them as a whole: the part that both SQL stores share."""

from collections.abc import Awaitable
from typing import Protocol

from typing_extensions import override

from ...models.audit import NewAudit
from ...models.messages import CreatedThread, Message, Page, RequestKey, Thread
from ...models.threads import (
    EVERY_THREAD,
    LATEST_FIRST,
    MemoryRight,
    NewThread,
    ThreadChange,
    ThreadFilter,
    ThreadOrder,
)
from ..parts import repeat_up_to
from ..ports import ThreadStore
from .audit import RecordedChanges
from .group_commit import GroupCommitThread
from .rooms import SqlRooms
from .thread_reads import CountPart, ThreadPart

EXPIRED_AT_ONCE = 10
"""Maximum number of threads that one transaction deletes because of their TTL."""


class ThreadChanges(RecordedChanges, Protocol):
    """Implements `ThreadStore` inside a transaction."""

    def take_memory_right(self, tenant: str, thread_id: str) -> MemoryRight:
        """Implement `ThreadStore.take_memory_right`."""

    def change_thread(self, tenant: str, thread_id: str, change: ThreadChange) -> Thread:
        """Implement `ThreadStore.change_thread`."""

    def delete_thread(self, tenant: str, thread_id: str, last_number: int | None) -> None:
        """Implement `ThreadStore.delete_thread`."""

    def create_thread(
        self, tenant: str, thread_id: str, new: NewThread, keeps_existing: bool, key: RequestKey | None
    ) -> CreatedThread:
        """Implement `ThreadStore.create_thread`."""

    def expire_threads(self, default_ms: int | None, limit: int) -> int:
        """Implement `ThreadStore.expire_threads`, for up to `limit` threads."""

    def draft_thread(self, tenant: str, thread_id: str) -> None:
        """Implement `ThreadStore.draft_thread`."""

    def publish_thread(self, tenant: str, thread_id: str, new: NewThread) -> Thread:
        """Implement `ThreadStore.publish_thread`."""

    def abandon_thread(self, tenant: str, thread_id: str) -> None:
        """Implement `ThreadStore.abandon_thread`."""


class SqlThreads(SqlRooms, ThreadStore):
    """Implements `ThreadStore` for both SQL stores.

    Changes are made on the thread of dead letters, since a deletion takes long. Lists and counts are made in parts: a
    filter may match few of many threads, and one long query would delay others.
    """

    _dead_letter_thread: GroupCommitThread
    _thread_changes: ThreadChanges

    @override
    async def list_threads(
        self, tenant: str, page: Page, chosen: ThreadFilter = EVERY_THREAD, order: ThreadOrder = LATEST_FIRST
    ) -> list[Thread]:
        found: list[Thread] = []

        def part() -> ThreadPart:
            return self._lists.thread_part(tenant, chosen, order, page._replace(limit=page.limit - len(found)))

        while True:
            threads, cursor = await self._list_thread.run(part)
            found += threads
            if cursor is None or len(found) >= page.limit:
                return found
            page = page._replace(cursor=cursor)

    @override
    async def count_threads(self, tenant: str, chosen: ThreadFilter = EVERY_THREAD) -> int:
        total, after = 0, ""

        def part() -> CountPart:
            return self._lists.count_part(tenant, chosen, after)

        while True:
            count, last = await self._list_thread.run(part)
            total += count
            if last is None:
                return total
            after = last

    @override
    async def get_thread(self, tenant: str, thread_id: str) -> Thread:
        return await self._read_thread.run(lambda: self._reads.thread(tenant, thread_id))

    @override
    async def list_thread_messages(
        self, tenant: str, thread_id: str, *, after: int, limit: int, agents: frozenset[str] | None = None
    ) -> list[Message]:
        return await self._list_thread.run(lambda: self._lists.thread_messages(tenant, thread_id, after, limit, agents))

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
    async def delete_thread(
        self, tenant: str, thread_id: str, *, last_number: int | None = None, audit: NewAudit | None = None
    ) -> None:
        changes = self._thread_changes
        await self._dead_letter_thread.run(
            lambda: changes.recorded(audit, lambda: changes.delete_thread(tenant, thread_id, last_number))
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
    async def expire_threads(self, *, default_ttl_seconds: float | None, limit: int) -> int:
        default = None if default_ttl_seconds is None else int(default_ttl_seconds * 1000)

        def expire_part(size: int) -> Awaitable[int]:
            return self._dead_letter_thread.run(lambda: self._thread_changes.expire_threads(default, size))

        expired = await repeat_up_to(expire_part, limit, EXPIRED_AT_ONCE)
        if expired:
            await self._try_to_delete_dropped_logs()
        return expired

    @override
    async def abandon_thread(self, tenant: str, thread_id: str) -> None:
        await self._dead_letter_thread.run(lambda: self._thread_changes.abandon_thread(tenant, thread_id))
