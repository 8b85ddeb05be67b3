"""Changes deliveries of webhooks."""

from typing_extensions import override

from ...errors import DeliveryNotFound, MessageNotFound
from ...models.deliveries import Delivery, DeliveryAttempt, Receiver
from ..receivers import receivers_of, receivers_text
from ..rows import to_delivery
from ..sql.webhooks import WebhookChanges, other_receivers, settlement
from .changes import Writes
from .session import Rows, step


class WebhookWrites(Writes, WebhookChanges):
    """Changes deliveries, each in a transaction of its own."""

    @override
    def put_receiver(self, tenant: str, message_id: str, receiver: Receiver, limit: int) -> bool:
        with self.transaction(step("lock_receivers", id=message_id, tenant=tenant)) as (_, (rows,)):
            kept = other_receivers(_receivers(rows, message_id), receiver.name)
            if len(kept) >= limit:
                self.session.discard()
                return False
            self.rows("set_receivers", id=message_id, receivers=receivers_text([*kept, receiver]))
        return True

    @override
    def remove_receiver(self, tenant: str, message_id: str, name: str) -> bool:
        with self.transaction(step("lock_receivers", id=message_id, tenant=tenant)) as (_, (rows,)):
            stored = _receivers(rows, message_id)
            kept = other_receivers(stored, name)
            if len(kept) == len(stored):
                self.session.discard()
                return False
            self.rows("set_receivers", id=message_id, receivers=receivers_text(kept))
        return True

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


def _receivers(rows: Rows, message_id: str) -> tuple[Receiver, ...]:
    """Return the receivers of the only message in these rows. Raises MessageNotFound."""
    if not rows:
        raise MessageNotFound(message_id)
    return receivers_of(rows[0][0])
