"""Measures what is stored. It reads only."""

from collections.abc import Sequence
from typing import Protocol

from ...models.storage import MeasuredItems, MeasuredMessages, MeasuredThreads, StorageArea


class StorageStore(Protocol):
    """Measures what tenants store, part by part (tests/contract/test_storage.py).

    Each call reads about `limit` rows. The first call for a tenant has the place FIRST_PLACE, and each further call has
    the place that the last one returned. What is not changed meanwhile is counted exactly once.
    """

    async def list_stored_tenants(self, *, after: str, limit: int) -> list[str]:
        """Return the next tenants behind the name `after` that have threads, messages or items, by their names."""

    async def measure_threads(self, tenant: str, place: str, *, limit: int) -> MeasuredThreads:
        """Measure the next threads of a tenant, also those without messages. Hidden threads are left out.

        A thread may be measured in several parts, which then follow each other.
        """

    async def measure_thread(self, tenant: str, thread_id: str, place: str, *, limit: int) -> MeasuredThreads:
        """Measure the next part of one thread. The part has no thread if there are no messages."""

    async def measure_messages(self, tenant: str, place: str, *, limit: int) -> MeasuredMessages:
        """Measure the next messages without a thread. Messages of threads are passed, and count for the limit."""

    async def measure_items(self, tenant: str, place: str, *, limit: int) -> MeasuredItems:
        """Measure the next items that agents keep, also expired ones that were not deleted yet."""

    async def measure_engine(self) -> Sequence[StorageArea]:
        """Return what the database uses up. The first area is named `total`. Others are parts of it, or lie beside it.

        `total` is all that belongs to this queue, as far as the engine can tell it apart.
        """
