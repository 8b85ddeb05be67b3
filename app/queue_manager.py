"""The producer's and the operator's side of the queue."""

import logging

from app.agents.registry import AgentRegistry
from app.errors import MessageNotFound
from app.models import Message, NewMessage, Priority, QueueSummary, new_message_id, storable
from app.store.base import MessageStore

logger = logging.getLogger(__name__)


class QueueManager:
    """Takes messages in, tells of them, cancels them."""

    def __init__(self, store: MessageStore, registry: AgentRegistry, *, max_queue_size: int) -> None:
        self._store = store
        self._registry = registry
        self._max_queue_size = max_queue_size

    async def submit(
        self, tenant: str, content: str, *, priority: Priority, thread_id: str | None, agent: str | None
    ) -> Message:
        """Accept a message; it is stored when this returns. Raises InvalidRequest, QueueFull, StoreUnavailable."""
        message = await self._store.add(
            NewMessage(
                id=new_message_id(),
                tenant=tenant,
                thread_id=thread_id,
                agent=self._registry.resolve(agent),
                content=content,
                priority=priority,
            ),
            max_queued=self._max_queue_size,
        )
        logger.info("Message enqueued: id=%s, priority=%s", message.id, message.priority)
        return message

    async def get(self, tenant: str, message_id: str) -> Message:
        """The message as it is now. Raises MessageNotFound."""
        return await self._store.get(tenant, _possible(message_id))

    async def cancel(self, tenant: str, message_id: str) -> Message:
        """Cancel a queued message. Raises MessageNotFound, NotCancellable."""
        message = await self._store.cancel(tenant, _possible(message_id))
        logger.info("Message cancelled: id=%s", message_id)
        return message

    async def summary(self, tenant: str, *, limit: int) -> QueueSummary:
        """The queue at this moment, with at most `limit` messages of each kind."""
        return await self._store.summary(tenant, limit=limit)


def _possible(message_id: str) -> str:
    """The id, unless no store could hold it. Raises MessageNotFound."""
    try:
        return storable(message_id)
    except ValueError:
        raise MessageNotFound(message_id) from None
