"""The queue, its workers, failed messages and webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import models
from ..calls import queue as calls
from ..options import OneOrMore, texts
from ..pages import AsyncPages

if TYPE_CHECKING:
    from ..async_client import AsyncAgentQ


class AsyncQueue:
    """The queue as a whole."""

    def __init__(self, client: AsyncAgentQ) -> None:
        self._client = client

    async def get(self, *, limit: int | None = None) -> models.QueueState:
        """Return the queue in numbers, its waiting messages in order, and the running ones."""
        return await self._client.call(calls.queue(limit))

    async def pause(self) -> models.QueuePaused:
        """Start no more messages."""
        return await self._client.call(calls.pause(paused=True))

    async def resume(self) -> models.QueuePaused:
        """Start messages again."""
        return await self._client.call(calls.pause(paused=False))


class AsyncWorkers:
    """Processes that run messages."""

    def __init__(self, client: AsyncAgentQ) -> None:
        self._client = client

    async def list(self) -> Sequence[models.Worker]:
        """Return the live workers on all hosts, oldest first."""
        return await self._client.call(calls.workers())

    async def drain(self, worker_id: str) -> models.Worker:
        """Have a worker claim no more messages and end its runs, while its process goes on."""
        return await self._client.call(calls.drain_worker(worker_id, draining=True))

    async def resume(self, worker_id: str) -> models.Worker:
        """Let a drained worker claim messages again."""
        return await self._client.call(calls.drain_worker(worker_id, draining=False))


class AsyncDeadLetters:
    """Messages that have failed."""

    def __init__(self, client: AsyncAgentQ) -> None:
        self._client = client

    def list(
        self,
        *,
        thread_id: str | None = None,
        agent: str | None = None,
        priority: str | None = None,
        error_code: str | None = None,
        fingerprint: str | None = None,
        subject: str | None = None,
        q: str | None = None,
        limit: int | None = None,
    ) -> AsyncPages[models.DeadLetter]:
        """Return the failed messages, newest first."""
        query = {"thread_id": thread_id, "agent": agent, "priority": priority, "error_code": error_code}
        query |= {"fingerprint": fingerprint, "subject": subject, "q": q}
        return self._client.pages(calls.dead_letters({**query, "limit": limit}))

    async def groups(self, *, limit: int | None = None) -> Sequence[models.DeadLetterGroup]:
        """Return the failed messages by kind of failure."""
        return await self._client.call(calls.dead_letter_groups(limit))

    async def requeue(
        self,
        message_ids: Sequence[str] | None = None,
        *,
        filter: Mapping[str, Any] | None = None,
        expected_count: int | None = None,
    ) -> models.Requeued:
        """Queue failed messages again: those with these ids, or `expected_count` by a filter."""
        return await self._client.call(calls.requeue(message_ids, filter, expected_count))

    async def purge(
        self,
        message_ids: Sequence[str] | None = None,
        *,
        filter: Mapping[str, Any] | None = None,
        expected_count: int | None = None,
    ) -> models.Purged:
        """Delete failed messages: those with these ids, or `expected_count` by a filter."""
        return await self._client.call(calls.purge(message_ids, filter, expected_count))


class AsyncDeliveries:
    """Webhooks that were sent."""

    def __init__(self, client: AsyncAgentQ) -> None:
        self._client = client

    def list(
        self,
        *,
        state: OneOrMore | None = None,
        event: OneOrMore | None = None,
        message_id: str | None = None,
        limit: int | None = None,
    ) -> AsyncPages[models.Delivery]:
        """Return the deliveries, newest first."""
        query: dict[str, Any] = {"state": texts(state), "event": texts(event), "message_id": message_id, "limit": limit}
        return self._client.pages(calls.deliveries(query))

    async def of_message(self, message_id: str) -> Sequence[models.Delivery]:
        """Return the deliveries of a message, oldest first."""
        return await self._client.call(calls.message_deliveries(message_id))

    async def replay(self, delivery_id: str) -> models.Delivery:
        """Send a delivery again."""
        return await self._client.call(calls.replay(delivery_id))
