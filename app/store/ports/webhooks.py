"""Deliveries of webhooks."""

from typing import Protocol

from ...models.audit import NewAudit
from ...models.deliveries import Delivery, DeliveryAttempt, DeliveryFilter, DeliveryRecord, Receiver, SenderDetails
from ...models.messages import Page


class WebhookStore(Protocol):
    """Stores deliveries. A delivery brings an event of a message to its webhook, or to one of its receivers.

    When a message enters a state in its `webhook_events`, the same transaction adds a delivery. Its id is `{message
    id}.{number}` for a terminal state, and `{message id}.{number}.{event id}` for an interrupt. For each state of
    `WebhookEvent`, it also adds a delivery to each receiver, with `.{key}` behind the id. Deliveries are deleted with
    their message (tests/contract/test_deliveries.py, tests/contract/test_receivers.py).
    """

    async def put_receiver(
        self, tenant: str, message_id: str, receiver: Receiver, *, limit: int, audit: NewAudit | None = None
    ) -> bool:
        """Add a receiver to a message, last, in place of the one with its name. It is told of later events.

        Return False, and change nothing, if the message has `limit` others. Raises MessageNotFound.
        """

    async def remove_receiver(self, tenant: str, message_id: str, name: str, *, audit: NewAudit | None = None) -> bool:
        """Remove a receiver of a message. Return False if there is none with this name. Raises MessageNotFound."""

    async def claim_deliveries(self, limit: int, *, lease_seconds: float) -> list[Delivery]:
        """Claim pending deliveries that are due, the most overdue first, and add 1 to their `tries`.

        A claimed delivery is due again when its lease ends, even if the process that claimed it has died.
        """

    async def sender_details(self, message_id: str, receiver: str | None = None) -> SenderDetails:
        """Return what only the sender of a delivery reads. `receiver` is as in `DeliveryRecord`.

        The secret is that of the receiver's `signing_key`, or of the `webhook_key` of the message.
        """

    async def settle_delivery(self, claimed: Delivery, attempt: DeliveryAttempt, *, next_in: float | None) -> bool:
        """Record a try of a claimed delivery. Return False, and write nothing, if `claimed` is not the newest claim.

        If `next_in` is None, the delivery ends: as failed if `attempt` has an error, else as delivered. Otherwise the
        delivery is due again in `next_in` seconds.
        """

    async def list_deliveries(self, tenant: str, message_id: str) -> list[Delivery]:
        """Return the deliveries of a message, oldest first. The list is empty for another tenant's message."""

    async def find_deliveries(self, tenant: str, chosen: DeliveryFilter, page: Page) -> list[DeliveryRecord]:
        """Return deliveries of a tenant without their data, newest first.

        The cursor is (created at in ms, id) of the last delivery seen. The work grows only with `limit` and, if
        `chosen` names a message, with the number of its deliveries.
        """

    async def replay_delivery(self, tenant: str, delivery_id: str, *, audit: NewAudit | None = None) -> Delivery:
        """Make a delivery due at once, with 0 tries. Raises DeliveryNotFound, also for another tenant's delivery."""
