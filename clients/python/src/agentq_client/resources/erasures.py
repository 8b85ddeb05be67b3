"""Erasures: the removal of all of a thread, an end user or a tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import models
from ..calls import erasures as calls

if TYPE_CHECKING:
    from ..client import AgentQ


class Erasures:
    """Erasures and their receipts. An erasure goes on after its call: read the receipt again until it is completed."""

    def __init__(self, client: AgentQ) -> None:
        self._client = client

    def erase_thread(self, thread_id: str) -> models.Erasure:
        """Begin to erase a thread. A message that runs is cancelled and awaited."""
        return self._client.call(calls.erase_thread(thread_id))

    def erase_subject(self, subject: str) -> models.Erasure:
        """Begin to erase all that the tenant has of an end user, and end their tokens."""
        return self._client.call(calls.erase_subject(subject))

    def erase_tenant(self, tenant: str) -> models.Erasure:
        """Begin to erase a tenant, and revoke its keys. Needs the scope `admin`."""
        return self._client.call(calls.erase_tenant(tenant))

    def list(self, *, limit: int | None = None) -> list[models.Erasure]:
        """Return the newest erasures."""
        return self._client.call(calls.erasures(limit))

    def get(self, erasure_id: str) -> models.Erasure:
        """Return an erasure with what it has removed so far."""
        return self._client.call(calls.erasure(erasure_id))
