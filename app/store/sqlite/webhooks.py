"""Changes deliveries of webhooks."""

from typing_extensions import override

from ...errors import DeliveryNotFound
from ...models.deliveries import Delivery, DeliveryAttempt
from ..rows import to_delivery
from ..sql.webhooks import WebhookChanges, settlement
from .changes import Changes


class WebhookWrites(Changes, WebhookChanges):
    """Changes deliveries, inside a transaction."""

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
