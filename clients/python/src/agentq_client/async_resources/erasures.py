"""Erasures: the removal of all of a thread, an end user or a tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import models
from ..calls import erasures as calls

if TYPE_CHECKING:
    from ..async_client import AsyncAgentQ


class AsyncErasures:
    """Erasures and their receipts. An erasure goes on after its call: read the receipt again until it is completed."""

    def __init__(self, client: AsyncAgentQ) -> None:
        self._client = client

    async def erase_thread(self, thread_id: str) -> models.Erasure:
        """Begin to erase a thread. A message that runs is cancelled and awaited."""
        return await self._client.call(calls.erase_thread(thread_id))

    async def erase_subject(self, subject: str) -> models.Erasure:
        """Begin to erase all that the tenant has of an end user, and end their tokens."""
        return await self._client.call(calls.erase_subject(subject))

    async def erase_tenant(self, tenant: str) -> models.Erasure:
        """Begin to erase a tenant, and revoke its keys. Needs the scope `admin`."""
        return await self._client.call(calls.erase_tenant(tenant))

    async def list(self, *, limit: int | None = None) -> list[models.Erasure]:
        """Return the newest erasures."""
        return await self._client.call(calls.erasures(limit))

    async def get(self, erasure_id: str) -> models.Erasure:
        """Return an erasure with what it has removed so far."""
        return await self._client.call(calls.erasure(erasure_id))
