"""What operators and callers do with messages that were accepted, and the deliveries of webhooks."""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from operator import attrgetter
from typing import NamedTuple

from ...clock import to_datetime
from ...errors import AgentQueueError, DeliveryNotFound, MessageNotFound, NotFailed, NotInterrupted, NotQueued
from ...models.deliveries import Delivery, DeliveryAttempt, DeliveryState
from ...models.events import NewEvent
from ...models.messages import Accepted, Message, MessageState, Priority, Readiness, RequestKey
from ..ports import MOVED, READY, message_topic
from ..rows import preview, requeued, to_delivery
from ..terminal_states import REQUEUED
from .accepting import Accepting


class Dead(NamedTuple):
    """A message that may be a dead letter, from the columns of the query `find_dead`; `last` is of its last event."""

    id: str
    number: int
    state: str
    thread_id: str | None
    attempt: int
    fence: int
    last: int


class Placed(NamedTuple):
    """Where a message is put: its number in its thread, its readiness and its rank."""

    message: Message
    thread_number: int
    readiness: Readiness
    rank: int


class Operating(Accepting):
    """See `ControlStore`."""

    def cancel(self, tenant: str, message_id: str, running: bool) -> Message:
        """See `ControlStore.cancel`."""
        message = self._owned(tenant, message_id)
        self._cancel(message, self._now(), running=running)
        return self._by_number(message.number)

    def reprioritize(self, tenant: str, message_id: str, priority: Priority) -> Message:
        """See `ControlStore.reprioritize`."""
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
        """See `ControlStore.resume`."""
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

    def requeue(self, tenant: str, message_ids: Sequence[str], given: Mapping[str, Message]) -> list[Message]:
        """See `ControlStore.requeue`; without positions. `given` has the messages by id as they were before."""
        now = self._now()
        dead = sorted(self._dead(tenant, message_ids), key=attrgetter("number"))
        if not dead:
            return []
        first: int = self.execute("next_numbers", count=len(dead)).get - len(dead) + 1
        renumbered = {each.id: (each, number) for number, each in enumerate(dead, first)}
        threads: dict[str | None, list[Message]] = {}
        for each in dead:
            message = given[each.id]
            threads.setdefault(message.thread_id, []).append(message)
        placed = [place for thread_id, members in threads.items() for place in self._place(thread_id, members, now)]
        self.execute("drop_logs", numbers=json.dumps([each.number for each in dead]))
        self.execute_each(
            "renumber_attempts", [{"number": each.number, "new_number": new} for each, new in renumbered.values()]
        )
        values = []
        for message, thread_number, readiness, rank in placed:
            each, new_number = renumbered[message.id]
            base_rank = self._ranks.rank(message.priority.level, now)
            values.append(
                {"number": each.number, "new_number": new_number, "thread_number": thread_number,
                 "readiness": readiness, "base_rank": base_rank, "rank": rank, "now": now}
            )  # fmt: skip
        self.execute_each("requeue", values)
        self._add_events([(number, each.last + 1, _again(each, now)) for each, number in renumbered.values()], now)
        self.touched |= {READY, MOVED, *map(message_topic, message_ids)}
        found = {
            message.id: requeued(
                message, renumbered[message.id][1], number, readiness, renumbered[message.id][0].fence + 1
            )
            for message, number, readiness, _ in placed
        }
        return [found[message_id] for message_id in message_ids]

    def _place(self, thread_id: str | None, members: Sequence[Message], now: int) -> list[Placed]:
        """Places at the tail of a thread, with the ranks that those behind lift; those ahead of them are lifted too."""
        ranks = [self._ranks.rank(message.priority.level, now) for message in members]
        if thread_id is None:
            return [Placed(message, 0, Readiness.READY, rank) for message, rank in zip(members, ranks, strict=True)]
        tenant, count = members[0].tenant, len(members)
        last, busy = self.rows(
            "extend_thread", tenant=tenant, thread_id=thread_id, count=count, now=now,
            preview=preview(members[-1].content),
        )[0]  # fmt: skip
        inherited = list(accumulate(reversed(ranks), min))[::-1]
        if busy:
            self._lift(tenant, thread_id, last - count + 1, inherited[0])
        places = [Readiness.BLOCKED if busy or place else Readiness.READY for place in range(count)]
        return [
            Placed(*each) for each in zip(members, range(last - count + 1, last + 1), places, inherited, strict=True)
        ]

    def _dead(self, tenant: str, message_ids: Sequence[str]) -> list[Dead]:
        """Return what is known of these messages. Raises MessageNotFound, NotFailed."""
        found = {row[0]: Dead._make(row) for row in self.rows("find_dead", tenant=tenant, ids=json.dumps(message_ids))}
        for message_id in message_ids:
            if message_id not in found:
                raise MessageNotFound(message_id)
            if found[message_id].state != MessageState.FAILED:
                raise NotFailed(message_id, MessageState(found[message_id].state))
        return [found[message_id] for message_id in message_ids]

    def purge(self, tenant: str, message_ids: Sequence[str]) -> list[str]:
        """See `ControlStore.purge`."""
        dead = self._dead(tenant, message_ids)
        self.execute_each("delete_message", [{"number": each.number} for each in dead])
        self.touched |= set(map(message_topic, message_ids))
        return [Message.memory_key_of(tenant, None, each.id) for each in dead if each.thread_id is None]

    def pause(self, paused: bool) -> None:
        """See `ControlStore.pause`."""
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


def _again(dead: Dead, now: int) -> NewEvent:
    return NewEvent.retry(attempt=dead.attempt, error=REQUEUED, next_at=to_datetime(now), discard_from=1)
