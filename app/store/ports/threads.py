"""Reads threads, and changes them as a whole."""

from typing import Protocol

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


class ThreadStore(Protocol):
    """Reads, makes, changes, deletes and forks threads. A thread of another tenant is as if missing.

    A read is of one moment. A filtered list or count may be made of several moments.
    """

    async def list_threads(
        self, tenant: str, page: Page, chosen: ThreadFilter = EVERY_THREAD, order: ThreadOrder = LATEST_FIRST
    ) -> list[Thread]:
        """Return the threads that match the filter, by default the latest activity first.

        The cursor is the time by which the list is ordered, in ms, and the id of the last thread seen
        (tests/contract/test_threads.py, test_thread_search.py).
        """

    async def count_threads(self, tenant: str, chosen: ThreadFilter = EVERY_THREAD) -> int:
        """Return how many threads match the filter."""

    async def get_thread(self, tenant: str, thread_id: str) -> Thread:
        """Return a thread. Raises ThreadNotFound, also for another tenant's thread."""

    async def list_thread_messages(
        self, tenant: str, thread_id: str, *, after: int, limit: int, agents: frozenset[str] | None = None
    ) -> list[Message]:
        """Return the messages of a thread with thread numbers above `after`, in thread order. Raises ThreadNotFound.

        Returns at most `limit` messages. Returns fewer when their texts reach PAGE_TEXT_LENGTH, but at least one if any
        is left. `agents` leaves out the messages of other agents, None keeps all.
        """

    async def take_memory_right(self, tenant: str, thread_id: str, *, audit: NewAudit | None = None) -> MemoryRight:
        """Return the right to change what agents remember of a thread. Raises ThreadNotFound, ThreadRunning.

        The fence is at least as high as those of all attempts that have begun, and below those of all attempts that
        begin later. Of a change and an attempt that begins meanwhile, only the attempt can then write. The
        memory may be in another database, so `audit` is added now, before the change.
        """

    async def change_thread(
        self, tenant: str, thread_id: str, change: ThreadChange, *, audit: NewAudit | None = None
    ) -> Thread:
        """Change a thread and return it. Raises ThreadNotFound, MetadataTooLarge.

        Metadata are merged like those of a message, but too long ones are refused.
        """

    async def delete_thread(
        self, tenant: str, thread_id: str, *, last_number: int | None = None, audit: NewAudit | None = None
    ) -> None:
        """Delete a thread and its messages, with their logs, attempts, deliveries and aliases, in one transaction.

        Unfinished messages are cancelled first. The thread is listed as a dropped memory. Until that is settled, `add`
        refuses messages for its id. Raises ThreadNotFound, ThreadMoved if `last_number` is not that of the thread, and
        ThreadRunning while a message is processing (tests/contract/test_thread_deletes.py).
        """

    async def create_thread(
        self,
        tenant: str,
        thread_id: str,
        new: NewThread,
        *,
        keeps_existing: bool = False,
        key: RequestKey | None = None,
    ) -> CreatedThread:
        """Make a thread without messages.

        With `keeps_existing`, return a thread that has the id already, unchanged. Otherwise raise ThreadExists. Raise
        ThreadNotReady for a hidden thread in either case. A repeated key returns the thread of its first request, as it
        is now: ThreadNotFound if it was deleted. Raises KeyReused, MetadataTooLarge, and ErasureInProgress for a new
        thread that a running erasure would remove (tests/contract/test_thread_drafts.py, test_erasures.py).
        """

    async def draft_thread(self, tenant: str, thread_id: str) -> None:
        """Reserve an id for a thread whose memory is being copied. Raises ThreadExists.

        No reader sees the draft, and `add` refuses messages for it. A draft older than DRAFT_SECONDS is abandoned by
        `list_dropped_memories` (tests/contract/test_thread_drafts.py).
        """

    async def publish_thread(
        self, tenant: str, thread_id: str, new: NewThread, *, audit: NewAudit | None = None
    ) -> Thread:
        """Make a draft a thread without messages.

        Raises MetadataTooLarge, ThreadNotFound unless the draft still exists, and ErasureInProgress if its subject or
        the thread that it was forked from is being erased.
        """

    async def abandon_thread(self, tenant: str, thread_id: str) -> None:
        """List the memory of a draft as dropped. The id is free once that is settled. Other ids change nothing."""

    async def expire_threads(self, *, default_ttl_seconds: float | None, limit: int) -> int:
        """Delete up to `limit` threads that had no activity for their TTL, as `delete_thread` does. Return how many.

        `default_ttl_seconds` counts for threads without a TTL of their own, None for none. Threads with queued,
        processing or interrupted messages stay. Memories are listed as dropped (tests/contract/test_thread_ttl.py).
        """
