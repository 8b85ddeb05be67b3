"""Claims, settles, lists and replays deliveries."""

from typing_extensions import override

from ...errors import DeliveryNotFound, MessageNotFound
from ...models.audit import NewAudit
from ...models.deliveries import (
    Delivery,
    DeliveryAttempt,
    DeliveryFilter,
    DeliveryRecord,
    DeliveryState,
    Receiver,
    SenderDetails,
    WebhookEvent,
)
from ...models.messages import Page
from ..ports import WebhookStore
from . import replies
from .rooms import RedisRooms


class RedisWebhooks(RedisRooms, WebhookStore):
    """Implements `WebhookStore` on Redis."""

    @override
    async def claim_deliveries(self, limit: int, *, lease_seconds: float) -> list[Delivery]:
        reply = await self._writes.run("claim_deliveries", self._now(), limit, int(lease_seconds * 1000))
        return list(map(replies.delivery, reply))

    @override
    async def put_receiver(
        self, tenant: str, message_id: str, receiver: Receiver, *, limit: int, audit: NewAudit | None = None
    ) -> bool:
        given = receiver.model_dump_json(exclude_none=True)
        audit_text = self._record(audit)
        return _changed(
            message_id, await self._writes.run("put_receiver", tenant, message_id, given, limit, audit=audit_text)
        )

    @override
    async def remove_receiver(self, tenant: str, message_id: str, name: str, *, audit: NewAudit | None = None) -> bool:
        audit_text = self._record(audit)
        return _changed(
            message_id, await self._writes.run("remove_receiver", tenant, message_id, name, audit=audit_text)
        )

    @override
    async def sender_details(self, message_id: str, receiver: str | None = None) -> SenderDetails:
        return SenderDetails(*await self._reads.run("sender_details", message_id, receiver or ""))

    @override
    async def settle_delivery(self, claimed: Delivery, attempt: DeliveryAttempt, *, next_in: float | None) -> bool:
        assert claimed.next_at is not None, "it was claimed"
        ended = DeliveryState.DELIVERED if attempt.error is None else DeliveryState.FAILED
        reply = await self._writes.run(
            "settle_delivery", self._now(), claimed.id, claimed.tries, round(claimed.next_at.timestamp() * 1000),
            ended.value if next_in is None else DeliveryState.PENDING.value,
            "" if next_in is None else int(next_in * 1000), attempt.model_dump_json(),
        )  # fmt: skip
        return bool(reply)

    @override
    async def list_deliveries(self, tenant: str, message_id: str) -> list[Delivery]:
        return list(map(replies.delivery, await self._reads.run("list_deliveries", tenant, message_id)))

    @override
    async def find_deliveries(self, tenant: str, chosen: DeliveryFilter, page: Page) -> list[DeliveryRecord]:
        states = DeliveryState if chosen.states is None else chosen.states
        events = WebhookEvent if chosen.events is None else chosen.events
        reply = await self._reads.run(
            "find_deliveries", tenant, page.limit, *(page.cursor or ("", "")),
            "" if chosen.message_id is None else f"={chosen.message_id}",
            f" {' '.join(sorted(states))} ", f" {' '.join(sorted(events))} ",
        )  # fmt: skip
        return list(map(replies.delivery_record, reply))

    @override
    async def replay_delivery(self, tenant: str, delivery_id: str, *, audit: NewAudit | None = None) -> Delivery:
        reply = await self._writes.run("replay_delivery", self._now(), tenant, delivery_id, audit=self._record(audit))
        if reply is None:
            raise DeliveryNotFound(delivery_id)
        return replies.delivery(reply)


def _changed(message_id: str, reply: int | None) -> bool:
    if reply is None:
        raise MessageNotFound(message_id)
    return bool(reply)
