"""Stores deliveries of webhooks: the part that both SQL stores share."""

from collections.abc import Sequence
from typing import Any, Protocol

from typing_extensions import override

from ...models.audit import NewAudit
from ...models.deliveries import (
    Delivery,
    DeliveryAttempt,
    DeliveryFilter,
    DeliveryRecord,
    DeliveryState,
    Receiver,
    SenderDetails,
)
from ...models.messages import Page
from ..ports import WebhookStore
from .audit import RecordedChanges
from .group_commit import GroupCommitThread
from .rooms import SqlRooms


class WebhookChanges(RecordedChanges, Protocol):
    """Changes deliveries, inside a transaction."""

    def put_receiver(self, tenant: str, message_id: str, receiver: Receiver, limit: int) -> bool:
        """Implement `WebhookStore.put_receiver`."""

    def remove_receiver(self, tenant: str, message_id: str, name: str) -> bool:
        """Implement `WebhookStore.remove_receiver`."""

    def claim_deliveries(self, limit: int, lease_ms: int) -> list[Delivery]:
        """Implement `WebhookStore.claim_deliveries`."""

    def settle_delivery(self, claimed: Delivery, attempt: DeliveryAttempt, next_in_ms: int | None) -> bool:
        """Implement `WebhookStore.settle_delivery`."""

    def replay_delivery(self, tenant: str, delivery_id: str) -> Delivery:
        """Implement `WebhookStore.replay_delivery`."""


def other_receivers(receivers: Sequence[Receiver], name: str) -> list[Receiver]:
    """Return the receivers with other names."""
    return [each for each in receivers if each.name != name]


def settlement(claimed: Delivery, attempt: DeliveryAttempt, next_in_ms: int | None, now: int) -> dict[str, Any]:
    """Return the parameters of the query `settle_delivery`, which stores the result of one try of a delivery.

    They identify the claim by its tries and its time. A replay resets the tries, so the tries alone may fit another
    claim.
    """
    assert claimed.next_at is not None, "it was claimed"
    ended = DeliveryState.DELIVERED if attempt.error is None else DeliveryState.FAILED
    return {
        "id": claimed.id,
        "tries": claimed.tries,
        "claimed_until": round(claimed.next_at.timestamp() * 1000),
        "state": (ended if next_in_ms is None else DeliveryState.PENDING).value,
        "next_at": None if next_in_ms is None else now + next_in_ms,
        "attempt": attempt.model_dump_json(),
    }


class SqlWebhooks(SqlRooms, WebhookStore):
    """Implements `WebhookStore` for both SQL stores."""

    _webhook_thread: GroupCommitThread
    _webhooks: WebhookChanges

    @override
    async def claim_deliveries(self, limit: int, *, lease_seconds: float) -> list[Delivery]:
        lease_ms = int(lease_seconds * 1000)
        return await self._webhook_thread.run(lambda: self._webhooks.claim_deliveries(limit, lease_ms))

    @override
    async def put_receiver(
        self, tenant: str, message_id: str, receiver: Receiver, *, limit: int, audit: NewAudit | None = None
    ) -> bool:
        def put() -> bool:
            return self._webhooks.put_receiver(tenant, message_id, receiver, limit)

        return await self._webhook_thread.run(lambda: self._webhooks.recorded(audit, put))

    @override
    async def remove_receiver(self, tenant: str, message_id: str, name: str, *, audit: NewAudit | None = None) -> bool:
        def remove() -> bool:
            return self._webhooks.remove_receiver(tenant, message_id, name)

        return await self._webhook_thread.run(lambda: self._webhooks.recorded(audit, remove))

    @override
    async def sender_details(self, message_id: str, receiver: str | None = None) -> SenderDetails:
        def read() -> SenderDetails:
            found = self._reads.rows("sender_details", message_id=message_id, receiver=receiver)
            return SenderDetails(*found[0]) if found else SenderDetails()

        return await self._read_thread.run(read)

    @override
    async def settle_delivery(self, claimed: Delivery, attempt: DeliveryAttempt, *, next_in: float | None) -> bool:
        next_in_ms = None if next_in is None else int(next_in * 1000)
        return await self._webhook_thread.run(lambda: self._webhooks.settle_delivery(claimed, attempt, next_in_ms))

    @override
    async def list_deliveries(self, tenant: str, message_id: str) -> list[Delivery]:
        return await self._list_thread.run(lambda: self._lists.deliveries(tenant, message_id))

    @override
    async def find_deliveries(self, tenant: str, chosen: DeliveryFilter, page: Page) -> list[DeliveryRecord]:
        return await self._list_thread.run(lambda: self._lists.delivery_records(tenant, chosen, page))

    @override
    async def replay_delivery(self, tenant: str, delivery_id: str, *, audit: NewAudit | None = None) -> Delivery:
        return await self._webhook_thread.run(
            lambda: self._webhooks.recorded(audit, lambda: self._webhooks.replay_delivery(tenant, delivery_id))
        )
