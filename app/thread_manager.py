"""Lists threads and their messages."""

from .models.messages import Message, Page, Thread
from .store.ports import QueryStore


class ThreadManager:
    """Reads threads. Threads exist because messages name them."""

    def __init__(self, store: QueryStore) -> None:
        self._store = store

    async def list_threads(self, tenant: str, page: Page) -> list[Thread]:
        """Return a page of threads, the latest activity first."""
        return await self._store.list_threads(tenant, page)

    async def get_thread(self, tenant: str, thread_id: str) -> Thread:
        """Return a thread. Raises ThreadNotFound."""
        return await self._store.get_thread(tenant, thread_id)

    async def list_messages(self, tenant: str, thread_id: str, *, after: int, limit: int) -> list[Message]:
        """Return messages with numbers above `after`, in thread order. Raises ThreadNotFound."""
        return await self._store.list_thread_messages(tenant, thread_id, after=after, limit=limit)
