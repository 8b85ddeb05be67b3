"""Storage, and how long it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import models
from ..calls import storage as calls
from ..pages import AsyncPages

if TYPE_CHECKING:
    from ..async_client import AsyncAgentQ


class AsyncStorage:
    """Rows and bytes of what tenants and threads store.

    `max_age` is how many seconds ago a measurement may have begun; 0 measures anew. A long measurement goes on after
    its call: ask again until it is `complete`.
    """

    def __init__(self, client: AsyncAgentQ) -> None:
        self._client = client

    async def report(self, *, tenant: str | None = None, max_age: float | None = None) -> models.StorageReport:
        """Return what tenants and the engine store, and the settings that decide how long. Has up to 100 tenants."""
        return await self._client.call(calls.report({"tenant": tenant, "max_age": max_age}))

    def tenants(self, *, max_age: float | None = None, limit: int | None = None) -> AsyncPages[models.TenantStorage]:
        """Return what each tenant stores, by their names. Without the scope `admin`, there is only the caller's own."""
        return self._client.pages(calls.tenants({"max_age": max_age, "limit": limit}))

    def threads(
        self, *, tenant: str | None = None, max_age: float | None = None, limit: int | None = None
    ) -> AsyncPages[models.ThreadSizes]:
        """Return the largest threads of a tenant, the largest first."""
        return self._client.pages(calls.threads({"tenant": tenant, "max_age": max_age, "limit": limit}))

    async def thread(self, thread_id: str, *, max_age: float | None = None) -> models.ThreadStorage:
        """Return what one thread stores."""
        return await self._client.call(calls.thread(thread_id, {"max_age": max_age}))
