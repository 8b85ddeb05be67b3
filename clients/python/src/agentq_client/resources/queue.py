"""The queue, its workers, failed messages and webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import models
from ..calls import queue as calls
from ..options import OneOrMore, texts
from ..pages import Pages

if TYPE_CHECKING:
    from ..client import AgentQ


class Queue:
    """The queue as a whole."""

    def __init__(self, client: AgentQ) -> None:
        self._client = client

    def get(self, *, limit: int | None = None) -> models.QueueState:
        """Return the queue in numbers, its waiting messages in order, and the running ones."""
        return self._client.call(calls.queue(limit))

    def pause(self) -> models.QueuePaused:
        """Start no more messages."""
        return self._client.call(calls.pause(paused=True))

    def resume(self) -> models.QueuePaused:
        """Start messages again."""
        return self._client.call(calls.pause(paused=False))


class Workers:
    """Processes that run messages."""

    def __init__(self, client: AgentQ) -> None:
        self._client = client

    def list(self) -> Sequence[models.Worker]:
        """Return the live workers on all hosts, oldest first."""
        return self._client.call(calls.workers())

    def drain(self, worker_id: str) -> models.Worker:
        """Have a worker claim no more messages and end its runs, while its process goes on."""
        return self._client.call(calls.drain_worker(worker_id, draining=True))

    def resume(self, worker_id: str) -> models.Worker:
        """Let a drained worker claim messages again."""
        return self._client.call(calls.drain_worker(worker_id, draining=False))


class DeadLetters:
    """Messages that have failed."""

    def __init__(self, client: AgentQ) -> None:
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
    ) -> Pages[models.DeadLetter]:
        """Return the failed messages, newest first."""
        query = {"thread_id": thread_id, "agent": agent, "priority": priority, "error_code": error_code}
        query |= {"fingerprint": fingerprint, "subject": subject, "q": q}
        return self._client.pages(calls.dead_letters({**query, "limit": limit}))

    def groups(self, *, limit: int | None = None) -> Sequence[models.DeadLetterGroup]:
        """Return the failed messages by kind of failure."""
        return self._client.call(calls.dead_letter_groups(limit))

    def requeue(
        self,
        message_ids: Sequence[str] | None = None,
        *,
        filter: Mapping[str, Any] | None = None,
        expected_count: int | None = None,
    ) -> models.Requeued:
        """Queue failed messages again: those with these ids, or `expected_count` by a filter."""
        return self._client.call(calls.requeue(message_ids, filter, expected_count))

    def purge(
        self,
        message_ids: Sequence[str] | None = None,
        *,
        filter: Mapping[str, Any] | None = None,
        expected_count: int | None = None,
    ) -> models.Purged:
        """Delete failed messages: those with these ids, or `expected_count` by a filter."""
        return self._client.call(calls.purge(message_ids, filter, expected_count))


class Deliveries:
    """Webhooks that were sent."""

    def __init__(self, client: AgentQ) -> None:
        self._client = client

    def list(
        self,
        *,
        state: OneOrMore | None = None,
        event: OneOrMore | None = None,
        message_id: str | None = None,
        limit: int | None = None,
    ) -> Pages[models.Delivery]:
        """Return the deliveries, newest first."""
        query: dict[str, Any] = {"state": texts(state), "event": texts(event), "message_id": message_id, "limit": limit}
        return self._client.pages(calls.deliveries(query))

    def of_message(self, message_id: str) -> Sequence[models.Delivery]:
        """Return the deliveries of a message, oldest first."""
        return self._client.call(calls.message_deliveries(message_id))

    def replay(self, delivery_id: str) -> models.Delivery:
        """Send a delivery again."""
        return self._client.call(calls.replay(delivery_id))
