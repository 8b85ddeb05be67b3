"""Deliveries of webhooks."""

from ...errors import DeliveryNotFound
from ...models.deliveries import Delivery, DeliveryAttempt, DeliveryState
from ..rows import to_delivery
from .operations import Writes


class Delivering(Writes):
    """See `WebhookStore`."""

    def claim_deliveries(self, limit: int, lease_ms: int) -> list[Delivery]:
        """See `WebhookStore.claim_deliveries`."""
        with self.transaction() as (now, _):
            rows = self.rows("claim_deliveries", now=now, until=now + lease_ms, limit=limit)
            if not rows:
                self.session.discard()
        return [to_delivery(row) for row in sorted(rows, key=lambda row: (row[-1], row[0]))]

    def settle_delivery(self, taken: Delivery, attempt: DeliveryAttempt, next_in_ms: int | None) -> bool:
        """See `WebhookStore.settle_delivery`. A claim is known by its tries, and by its time should they be reset."""
        ended = DeliveryState.DELIVERED if attempt.error is None else DeliveryState.FAILED
        assert taken.next_at is not None, "it was claimed"
        with self.transaction() as (now, _):
            settled = self.rows(
                "settle_delivery",
                id=taken.id,
                tries=taken.tries,
                taken_until=round(taken.next_at.timestamp() * 1000),
                state=(ended if next_in_ms is None else DeliveryState.PENDING).value,
                next_at=None if next_in_ms is None else now + next_in_ms,
                attempt=attempt.model_dump_json(),
            )
            if not settled:
                self.session.discard()
        return bool(settled)

    def replay_delivery(self, tenant: str, delivery_id: str) -> Delivery:
        """See `WebhookStore.replay_delivery`."""
        with self.transaction() as (now, _):
            row = self.row("replay_delivery", id=delivery_id, tenant=tenant, now=now)
            if row is None:
                raise DeliveryNotFound(delivery_id)
        return to_delivery(row)
