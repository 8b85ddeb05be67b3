"""Lists deliveries of webhooks, makes them again, and changes who gets them."""

import logging
from typing import Protocol

from .access.principals import Principal
from .access.visible import Readable, VisibleReads, check_names_webhook, require_all
from .errors import DeliveryNotFound, InvalidRequest, MessageNotFound
from .models.audit import Actor, AuditAction, record_of
from .models.deliveries import Delivery, DeliveryFilter, DeliveryRecord, Receiver
from .models.messages import Page
from .store.ports import WebhookStore
from .text import storable

logger = logging.getLogger(__name__)

MAX_RECEIVERS = 10
"""Maximum number of receivers of a message."""


class ManagedDeliveries(Readable, WebhookStore, Protocol):
    """The ports that the delivery manager needs."""


class DeliveryManager:
    """Lists and replays the deliveries of tenants, and changes the receivers of messages."""

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

    async def put_receiver(
        self, caller: Principal, message_id: str, receiver: Receiver, by: Actor | None = None
    ) -> Receiver:
        """Add a receiver to a message, in place of the one with its name. Return it as it is stored.

        The secret of the caller's API key signs what it gets. Raises Forbidden for callers who act for an end user,
        MessageNotFound, and InvalidRequest if the message has MAX_RECEIVERS others. The URL must have been checked.
        """
        check_names_webhook(caller)
        message = await self._visible.get(caller, message_id)
        signing_key = None if caller.webhook is None else caller.webhook.signing_key
        signed = receiver.model_copy(update={"signing_key": signing_key})
        audit = record_of(by, AuditAction.CHANGE_MESSAGE, caller.tenant, message.id, receiver=receiver.name)
        if not await self._store.put_receiver(caller.tenant, message.id, signed, limit=MAX_RECEIVERS, audit=audit):
            raise InvalidRequest(f"the message has {MAX_RECEIVERS} receivers already. Remove one first")
        logger.info("Receiver added: id=%s", message.id)
        return signed

    async def remove_receiver(self, caller: Principal, message_id: str, name: str, by: Actor | None = None) -> bool:
        """Remove a receiver of a message. Return False if there is none with this name.

        Raises MessageNotFound, and Forbidden for callers who act for an end user.
        """
        check_names_webhook(caller)
        message = await self._visible.get(caller, message_id)
        audit = record_of(by, AuditAction.CHANGE_MESSAGE, caller.tenant, message.id, removed_receiver=name)
        removed = await self._store.remove_receiver(caller.tenant, message.id, name, audit=audit)
        if removed:
            logger.info("Receiver removed: id=%s", message.id)
        return removed
