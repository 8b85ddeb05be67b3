"""What operators and callers do with messages that were accepted, and the deliveries of webhooks."""

from collections.abc import Callable, Sequence

from app.clock import to_datetime
from app.deliveries import Delivery, DeliveryAttempt, DeliveryState
from app.errors import AgentQueueError, DeliveryNotFound, NotFailed, NotInterrupted, NotQueued
from app.models import (
    Accepted,
    Message,
    MessageState,
    NewEvent,
    Place,
    Priority,
    RequestKey,
)
from app.store.base import MOVED, READY, message_topic
from app.store.endings import REQUEUED
from app.store.rows import preview, to_delivery
from app.store.sqlite.accepting import Accepting


class Operating(Accepting):
    """See `MessageStore`."""

    def cancel(self, tenant: str, message_id: str, running: bool) -> Message:
        """See `MessageStore.cancel`."""
        message = self._owned(tenant, message_id)
        self._cancel(message, self._now(), running=running)
        return self._by_number(message.number)

    def reprioritize(self, tenant: str, message_id: str, priority: Priority) -> Message:
        """See `MessageStore.reprioritize`."""
        message = self._in_state(tenant, message_id, MessageState.QUEUED, NotQueued)
        base_rank: int = self.execute("base_rank", number=message.number).get
        step = self._ranks.rank(priority.level, 0) - self._ranks.rank(message.priority.level, 0)
        self.execute("reprioritize", number=message.number, priority=priority, rank=base_rank + step)
        if message.thread_id is None:
            self.execute("rerank", number=message.number)
        else:
            self._settle(message, message.thread_number + 1)
        self.touched |= {MOVED, message_topic(message_id)}
        return self.message(tenant, message_id)

    def resume(self, tenant: str, message_id: str, fence: int, value: str, key: RequestKey | None) -> Accepted:
        """See `MessageStore.resume`."""
        now = self._now()
        if key is not None and self._receipts_of(key, now) is not None:
            return Accepted([self._owned(tenant, message_id)], replayed=True)
        message = self._in_state(tenant, message_id, MessageState.INTERRUPTED, NotInterrupted)
        if message.fence != fence:
            raise NotInterrupted(message_id, message.state)
        self.execute("resume_message", number=message.number, value=value, now=now)
        resumed = NewEvent.resumed(discard_from=self.execute("attempt_start", message=message.number).get)
        self._append(message.number, [resumed], now)
        if key is not None:
            self._keep_key(key, (), now)
        self.touched |= {READY, MOVED, message_topic(message_id)}
        return Accepted([self.message(tenant, message_id)], replayed=False)

    def requeue(self, tenant: str, message_ids: Sequence[str]) -> list[Message]:
        """See `MessageStore.requeue`."""
        now = self._now()
        ids = list(dict.fromkeys(message_ids))
        dead = [self._in_state(tenant, message_id, MessageState.FAILED, NotFailed) for message_id in ids]
        for message in sorted(dead, key=lambda each: each.number):
            self._requeue(message, now)
        self.touched |= {READY, MOVED, *map(message_topic, ids)}
        return self._with_positions([self._owned(tenant, message_id) for message_id in ids])

    def _requeue(self, message: Message, now: int) -> None:
        thread_number, busy = 0, False
        if message.thread_id is not None:
            thread_number, busy = self.rows(
                "next_thread_number",
                tenant=message.tenant,
                thread_id=message.thread_id,
                now=now,
                preview=preview(message.content),
            )[0]
        number: int = self.execute("next_number").get
        last: int = self.execute("last_event", message=message.number).get
        self.execute("drop_log", message=message.number)
        self.execute("renumber_attempts", number=message.number, new_number=number)
        rank = self._ranks.rank(message.priority.level, now)
        self.execute(
            "requeue", number=message.number, new_number=number, thread_number=thread_number, rank=rank,
            place=Place.BEHIND if busy else Place.READY, now=now,
        )  # fmt: skip
        if busy:
            self._lift(message, thread_number, rank)
        retry = NewEvent.retry(attempt=message.attempt, error=REQUEUED, next_at=to_datetime(now), discard_from=1)
        self.execute("add_event", message=number, id=last + 1, type=retry.type, data=retry.data, now=now)

    def purge(self, tenant: str, message_ids: Sequence[str]) -> list[str]:
        """See `MessageStore.purge`."""
        keys = []
        for message_id in dict.fromkeys(message_ids):
            message = self._in_state(tenant, message_id, MessageState.FAILED, NotFailed)
            self.execute("delete_message", number=message.number)
            if message.thread_id is None:
                keys.append(message.memory_key)
        self.touched |= set(map(message_topic, message_ids))
        return keys

    def pause(self, paused: bool) -> None:
        """See `MessageStore.pause`."""
        self.execute("pause", paused=int(paused))
        self.touched |= {READY, MOVED}

    def _in_state(
        self, tenant: str, message_id: str, state: MessageState, refusal: Callable[[str, str], AgentQueueError]
    ) -> Message:
        message = self._owned(tenant, message_id)
        if message.state is not state:
            raise refusal(message_id, message.state)
        return message

    def claim_deliveries(self, limit: int, lease_ms: int) -> list[Delivery]:
        """See `WebhookStore.claim_deliveries`."""
        now = self._now()
        due = self.rows("find_due_deliveries", now=now, limit=limit)
        return [
            to_delivery(self.rows("claim_delivery", id=delivery_id, until=now + lease_ms)[0]) for (delivery_id,) in due
        ]

    def settle_delivery(self, taken: Delivery, attempt: DeliveryAttempt, next_in_ms: int | None) -> bool:
        """See `WebhookStore.settle_delivery`."""
        ended = DeliveryState.DELIVERED if attempt.error is None else DeliveryState.FAILED
        assert taken.next_at is not None, "it was claimed"
        settled = self.row(
            "settle_delivery",
            id=taken.id,
            tries=taken.tries,
            taken_until=round(taken.next_at.timestamp() * 1000),
            state=ended if next_in_ms is None else DeliveryState.PENDING,
            next_at=None if next_in_ms is None else self._now() + next_in_ms,
            attempt=attempt.model_dump_json(),
        )
        return settled is not None

    def replay_delivery(self, tenant: str, delivery_id: str) -> Delivery:
        """See `WebhookStore.replay_delivery`."""
        row = self.row("replay_delivery", id=delivery_id, tenant=tenant, now=self._now())
        if row is None:
            raise DeliveryNotFound(delivery_id)
        return to_delivery(row)
