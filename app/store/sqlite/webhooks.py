"""Changes deliveries of webhooks."""

from typing_extensions import override

from ...errors import DeliveryNotFound, MessageNotFound
from ...models.deliveries import Delivery, DeliveryAttempt, Receiver
from ..receivers import receivers_of, receivers_text
from ..rows import to_delivery
from ..sql.webhooks import WebhookChanges, other_receivers, settlement
from .changes import Changes


class WebhookWrites(Changes, WebhookChanges):
    """Changes deliveries, inside a transaction."""

    @override
    def put_receiver(self, tenant: str, message_id: str, receiver: Receiver, limit: int) -> bool:
        kept = other_receivers(self._receivers(tenant, message_id), receiver.name)
        if len(kept) >= limit:
            self._changes_nothing = True
            return False
        self.execute("set_receivers", id=message_id, receivers=receivers_text([*kept, receiver]))
        return True

    @override
    def remove_receiver(self, tenant: str, message_id: str, name: str) -> bool:
        stored = self._receivers(tenant, message_id)
        kept = other_receivers(stored, name)
        if len(kept) == len(stored):
            self._changes_nothing = True
            return False
        self.execute("set_receivers", id=message_id, receivers=receivers_text(kept))
        return True

    def _receivers(self, tenant: str, message_id: str) -> tuple[Receiver, ...]:
        row = self.row("receivers_of", id=message_id, tenant=tenant)
        if row is None:
            raise MessageNotFound(message_id)
        return receivers_of(row[0])

    @override
    def claim_deliveries(self, limit: int, lease_ms: int) -> list[Delivery]:
        now = self._now()
        due = self.rows("find_due_deliveries", now=now, limit=limit)
        return [
            to_delivery(self.rows("claim_delivery", id=delivery_id, until=now + lease_ms)[0]) for (delivery_id,) in due
        ]

    @override
    def settle_delivery(self, claimed: Delivery, attempt: DeliveryAttempt, next_in_ms: int | None) -> bool:
        return self.row("settle_delivery", **settlement(claimed, attempt, next_in_ms, self._now())) is not None

    @override
    def replay_delivery(self, tenant: str, delivery_id: str) -> Delivery:
        row = self.row("replay_delivery", id=delivery_id, tenant=tenant, now=self._now())
        if row is None:
            raise DeliveryNotFound(delivery_id)
        return to_delivery(row)
