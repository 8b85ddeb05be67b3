"""What an operator does: dead letters, the pause; and the deliveries of webhooks."""

from collections.abc import Iterable, Sequence
from typing import Any

from ...errors import DeliveryNotFound, MessageNotFound, NotFailed
from ...models.attempts import FailedAttempt
from ...models.deliveries import Delivery, DeliveryAttempt, DeliveryFilter, DeliveryRecord, DeliveryState, WebhookEvent
from ...models.messages import DeadLetterGroup, Message, MessageState, Page
from ...models.workers import Throughput
from ..ports import MOVED, PAGE_TEXT_LENGTH, READY, THROUGHPUT_MESSAGES, message_topic
from ..rows import preview, requeued
from ..terminal_states import REQUEUED
from . import replies, templates
from .accepting import Accepting

READ_AT_ONCE = 100
"""Maximum number of messages or positions that one script reads for a caller."""


class Operating(Accepting):
    """See `app.store.ports` and `WebhookStore`."""

    async def requeue(self, tenant: str, message_ids: Sequence[str]) -> list[Message]:
        """See `ControlStore.requeue`. One script moves all; what a requeue leaves as it was is read before it."""
        ids = list(dict.fromkeys(message_ids))
        dead = await self._get_each(tenant, ids)
        named = [
            part
            for message_id in ids
            for part in (message_id, preview(dead[message_id].content) if message_id in dead else "")
        ]

        def topics(reply: Any) -> Iterable[str]:
            return (READY, MOVED, *map(message_topic, ids)) if reply[0] else ()

        reply = await self._writes.run(
            "requeue", self._now(), tenant, templates.retry(REQUEUED), *self._rank_of_each(), *named, topics=topics
        )
        _refuse(reply)
        _, receipts, left = reply
        messages = [requeued(dead[message_id], *receipt) for message_id, receipt in zip(ids, receipts, strict=True)]
        await self.settle(left, messages)
        return await self._with_positions(messages)

    async def _get_each(self, tenant: str, ids: Sequence[str]) -> dict[str, Message]:
        """Those of these messages that the tenant has, by id."""
        found: dict[str, Message] = {}
        place = 0
        while place < len(ids):
            rows = await self._reads.run("get_each", tenant, PAGE_TEXT_LENGTH, *ids[place : place + READ_AT_ONCE])
            found |= {row[1]: replies.message(row) for row in rows if row}
            place += len(rows)
        return found

    async def _with_positions(self, messages: Sequence[Message]) -> list[Message]:
        """Messages that were just made to wait, with their positions; 0 for one that was claimed meanwhile."""
        told: list[Message] = []
        for first in range(0, len(messages), READ_AT_ONCE):
            part = messages[first : first + READ_AT_ONCE]
            named = [field for each in part for field in (each.number, each.id)]
            positions = await self._reads.run("positions", *named)
            told += [each._replace(queue_position=place or 0) for each, place in zip(part, positions, strict=True)]
        return told

    async def purge(self, tenant: str, message_ids: Sequence[str]) -> list[str]:
        """See `ControlStore.purge`."""
        each = list(dict.fromkeys(message_ids))

        def topics(reply: Any) -> Iterable[str]:
            return map(message_topic, each) if reply[0] else ()

        reply = await self._writes.run("purge", tenant, *each, topics=topics)
        _refuse(reply)
        return [Message.memory_key_of(tenant, None, message_id) for message_id in reply[1]]

    async def list_attempts(self, tenant: str, message_ids: Sequence[str]) -> dict[str, list[FailedAttempt]]:
        """See `QueryStore.list_attempts`."""
        reply = await self._reads.run("list_attempts", tenant, *message_ids)
        return {
            message_id: list(map(replies.failed_attempt, rows))
            for message_id, rows in zip(message_ids, reply, strict=True)
        }

    async def group_dead_letters(self, tenant: str, *, limit: int) -> list[DeadLetterGroup]:
        """See `QueryStore.group_dead_letters`."""
        return list(map(replies.dead_letter_group, await self._reads.run("group_dead_letters", tenant, limit)))

    async def pause(self, paused: bool) -> None:
        """See `ControlStore.pause`."""
        await self._writes.run("pause", int(paused), topics=lambda _: (READY, MOVED))

    async def throughput(self) -> Throughput:
        """See `QueryStore.throughput`."""
        return replies.throughput(await self._reads.run("throughput", THROUGHPUT_MESSAGES))

    # Webhooks

    async def claim_deliveries(self, limit: int, *, lease_seconds: float) -> list[Delivery]:
        """See `WebhookStore.claim_deliveries`."""
        reply = await self._writes.run("claim_deliveries", self._now(), limit, int(lease_seconds * 1000))
        return list(map(replies.delivery, reply))

    async def settle_delivery(self, taken: Delivery, attempt: DeliveryAttempt, *, next_in: float | None) -> bool:
        """See `WebhookStore.settle_delivery`."""
        assert taken.next_at is not None, "it was claimed"
        ended = DeliveryState.DELIVERED if attempt.error is None else DeliveryState.FAILED
        reply = await self._writes.run(
            "settle_delivery", self._now(), taken.id, taken.tries, round(taken.next_at.timestamp() * 1000),
            ended.value if next_in is None else DeliveryState.PENDING.value,
            "" if next_in is None else int(next_in * 1000), attempt.model_dump_json(),
        )  # fmt: skip
        return bool(reply)

    async def list_deliveries(self, tenant: str, message_id: str) -> list[Delivery]:
        """See `WebhookStore.list_deliveries`."""
        return list(map(replies.delivery, await self._reads.run("list_deliveries", tenant, message_id)))

    async def find_deliveries(self, tenant: str, chosen: DeliveryFilter, page: Page) -> list[DeliveryRecord]:
        """See `WebhookStore.find_deliveries`."""
        states = DeliveryState if chosen.states is None else chosen.states
        events = WebhookEvent if chosen.events is None else chosen.events
        reply = await self._reads.run(
            "find_deliveries", tenant, page.limit, *(page.cursor or ("", "")),
            "" if chosen.message_id is None else f"={chosen.message_id}",
            f" {' '.join(sorted(states))} ", f" {' '.join(sorted(events))} ",
        )  # fmt: skip
        return list(map(replies.delivery_record, reply))

    async def replay_delivery(self, tenant: str, delivery_id: str) -> Delivery:
        """See `WebhookStore.replay_delivery`."""
        reply = await self._writes.run("replay_delivery", self._now(), tenant, delivery_id)
        if reply is None:
            raise DeliveryNotFound(delivery_id)
        return replies.delivery(reply)


def _refuse(reply: Any) -> None:
    """Raises what kept a script from its work, if something did."""
    match reply:
        case [0, message_id, None]:
            raise MessageNotFound(message_id)
        case [0, message_id, state]:
            raise NotFailed(message_id, MessageState(state))
