"""Conversations: listing them and their messages."""

from .models.messages import Message, Page, Thread
from .store.ports import QueryStore


class ThreadManager:
    """Threads as their messages made them."""

    def __init__(self, store: QueryStore) -> None:
        self._store = store

    async def list_threads(self, tenant: str, page: Page) -> list[Thread]:
        """Newest activity first."""
        return await self._store.list_threads(tenant, page)

    async def get_thread(self, tenant: str, thread_id: str) -> Thread:
        """Raises ThreadNotFound."""
        return await self._store.get_thread(tenant, thread_id)

    async def list_messages(self, tenant: str, thread_id: str, *, after: int, limit: int) -> list[Message]:
        """In conversation order, those numbered above `after`. Raises ThreadNotFound."""
        return await self._store.list_thread_messages(tenant, thread_id, after=after, limit=limit)
