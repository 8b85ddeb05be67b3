"""Changes deliveries of webhooks."""

from typing_extensions import override

from ...errors import DeliveryNotFound
from ...models.deliveries import Delivery, DeliveryAttempt
from ..rows import to_delivery
from ..sql.webhooks import WebhookChanges, settlement
from .changes import Writes


class WebhookWrites(Writes, WebhookChanges):
    """Changes deliveries, each in a transaction of its own."""

    @override
    def claim_deliveries(self, limit: int, lease_ms: int) -> list[Delivery]:
        with self.transaction() as (now, _):
            rows = self.rows("claim_deliveries", now=now, until=now + lease_ms, limit=limit)
            if not rows:
                self.session.discard()
        return [to_delivery(row) for row in sorted(rows, key=lambda row: (row[-1], row[0]))]

    @override
    def settle_delivery(self, claimed: Delivery, attempt: DeliveryAttempt, next_in_ms: int | None) -> bool:
        with self.transaction() as (now, _):
            settled = self.rows("settle_delivery", **settlement(claimed, attempt, next_in_ms, now))
            if not settled:
                self.session.discard()
        return bool(settled)

    @override
    def replay_delivery(self, tenant: str, delivery_id: str) -> Delivery:
        with self.transaction() as (now, _):
            row = self.row("replay_delivery", id=delivery_id, tenant=tenant, now=now)
            if row is None:
                raise DeliveryNotFound(delivery_id)
        return to_delivery(row)
