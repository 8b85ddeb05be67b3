"""Lists deliveries of webhooks, and makes them again."""

import logging
from typing import Protocol

from .access.principals import Principal
from .access.visible import Readable, VisibleReads, require_all
from .errors import DeliveryNotFound, MessageNotFound
from .models.audit import Actor, AuditAction, record_of
from .models.deliveries import Delivery, DeliveryFilter, DeliveryRecord
from .models.messages import Page
from .store.ports import WebhookStore
from .text import storable

logger = logging.getLogger(__name__)


class ManagedDeliveries(Readable, WebhookStore, Protocol):
    """The ports that the delivery manager needs."""


class DeliveryManager:
    """Lists and replays the deliveries of tenants."""

    def __init__(self, store: ManagedDeliveries) -> None:
        self._store = store
        self._visible = VisibleReads(store)

    async def list_deliveries(self, caller: Principal, message_id: str) -> list[Delivery]:
        """Return the deliveries of a message, oldest first. Raises MessageNotFound."""
        message = await self._visible.get(caller, message_id)
        return await self._store.list_deliveries(caller.tenant, message.id)

    async def find_deliveries(self, caller: Principal, chosen: DeliveryFilter, page: Page) -> list[DeliveryRecord]:
        """Return one page of the deliveries that match the filter, newest first, without their data.

        Raises Forbidden for a filter without a message if the caller may not see all messages.
        """
        if caller.is_narrowed:
            if chosen.message_id is None:
                require_all(caller)
            try:
                await self._visible.get(caller, chosen.message_id or "")
            except MessageNotFound:
                return []
        return await self._store.find_deliveries(caller.tenant, chosen, page)

    async def replay_delivery(self, caller: Principal, delivery_id: str, by: Actor | None = None) -> Delivery:
        """Make a delivery due at once, with 0 tries, and return it. Raises DeliveryNotFound."""
        try:
            if caller.is_narrowed:  # the id begins with that of the message
                await self._visible.get(caller, delivery_id.partition(".")[0])
            audit = record_of(by, AuditAction.REPLAY_DELIVERY, caller.tenant, storable(delivery_id))
            delivery = await self._store.replay_delivery(caller.tenant, storable(delivery_id), audit=audit)
        except (ValueError, MessageNotFound):
            raise DeliveryNotFound(delivery_id) from None
        logger.info("Delivery will be sent again: id=%s", delivery_id)
        return delivery
