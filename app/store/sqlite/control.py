"""Changes accepted messages."""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from operator import attrgetter
from typing import NamedTuple

from typing_extensions import override

from ...clock import to_datetime
from ...errors import (
    AgentQueueError,
    AliasTaken,
    MessageNotFound,
    NotCancellable,
    NotFailed,
    NotInterrupted,
    NotQueued,
)
from ...errors.workers import WorkerNotFound
from ...models.attempts import Cancelled
from ...models.events import NewEvent
from ...models.memory import DroppedMemory
from ...models.messages import Accepted, Message, MessageState, NewMessage, Priority, Readiness, RequestKey
from ...models.transitions import TransitionType
from ...models.workers import WorkerState
from ...policy.rank import LEVEL, Flow
from ..limits import KEY_SECONDS
from ..parts import CLEARED_AT_ONCE, AcceptRules, NamedAlias, ThreadKey, aliases_of
from ..ports import CHANGED, MOVED, READY, WORKERS, message_topic
from ..rows import DRAIN_CHANGES, DRAIN_STATES, preview, requeued
from ..sql.control import ControlChanges
from ..terminal_states import REQUEUED
from .keys import Keyed


class DeadLetterRow(NamedTuple):
    """A message to requeue or purge, from the columns of `find_dead`. `last` is the id of its last event."""

    id: str
    number: int
    state: str
    thread_id: str | None
    attempt: int
    fence: int
    last: int


class Placed(NamedTuple):
    """The place of a message: its own rank, its thread number, its readiness and its rank."""

    message: Message
    base_rank: int
    thread_number: int
    readiness: Readiness
    rank: int


class ControlWrites(Keyed, ControlChanges):
    """Implements `ControlStore`, inside a transaction."""

    @override
    def cancel(self, tenant: str, message_id: str, running: bool, asks: bool = False) -> Message:
        message = self._owned(tenant, message_id)
        if asks and message.state is not MessageState.INTERRUPTED:
            raise NotCancellable(message_id, message.state, running=running)
        self._cancel(message, self._now(), running=running or asks)
        return self._by_number(message.number)

    @override
    def reprioritize(self, tenant: str, message_id: str, priority: Priority) -> Message:
        message = self._in_state(tenant, message_id, MessageState.QUEUED, NotQueued)
        if priority is not message.priority:
            rank = self._rank_with(message, priority)
            self.execute("reprioritize", number=message.number, priority=priority, rank=rank)
            self.execute("record_change", number=message.number, type=TransitionType.PRIORITY, now=self._now())
        self._freed[tenant] += 1  # another message may now be the first of the tenant
        if message.thread_id is None:
            self.execute("rerank", number=message.number)
        else:
            self._settle(message, message.thread_number + 1)
        self.touched |= {MOVED, message_topic(message_id)}
        return self.message(tenant, message_id)

    def _rank_with(self, message: Message, priority: Priority) -> int:
        """Return the rank of a queued message with another priority: its place among the messages of its flow.

        It shares the turn of the next one that was accepted after it.
        """
        base_rank, name = self.rows("place_in_flow", number=message.number)[0]
        first = self._ranks.rank(priority.level, 0)
        if name is None or not self._ranks.shares:
            return int(base_rank) + first - self._ranks.rank(message.priority.level, 0)
        claimed: int = self.value("claimed_rank", level=priority.level)
        rank: int | None = self.value(
            "rank_of_next", tenant=message.tenant, flow=name, number=message.number,
            first=max(first, claimed), end=first + LEVEL,
        )  # fmt: skip
        return self._turns(self._now()).take(Flow(message.tenant, name, priority.level)) if rank is None else rank

    @override
    def resume(
        self, tenant: str, message_id: str, fence: int, value: str, key: RequestKey | None, alias: str | None
    ) -> Accepted:
        now = self._now()
        if key is not None and self._receipts_of(key, now) is not None:
            self._changes_nothing = True
            return Accepted([self._owned(tenant, message_id)], replayed=True)
        message = self._in_state(tenant, message_id, MessageState.INTERRUPTED, NotInterrupted)
        if message.fence != fence:
            raise NotInterrupted(message_id, message.state)
        aliases = [] if alias is None else [NamedAlias(tenant, alias, message_id)]
        if aliases and self._taken_alias(aliases):
            raise AliasTaken(aliases[0].alias)
        self.execute("resume_message", number=message.number, value=value, now=now)
        begun: int = self.execute("attempt_start", message=message.number).get
        resumed = NewEvent.resumed(discard_from=begun, answers=value)
        self._append(message.number, [resumed], now)
        if aliases:
            self._keep_aliases(aliases, self.execute("last_event", message=message.number).get)
        if key is not None:
            self._keep_answer(key, (), now)
        self.touched |= {READY, MOVED, message_topic(message_id)}
        return Accepted([self.message(tenant, message_id)], replayed=False)

    @override
    def requeue(self, tenant: str, message_ids: Sequence[str], given: Mapping[str, Message]) -> list[Message]:
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
        ranks = self._take_turns([given[each.id] for each in dead], now)
        placed = [
            place for thread_id, members in threads.items() for place in self._place(thread_id, members, ranks, now)
        ]
        self.execute("drop_logs", numbers=json.dumps([each.number for each in dead]))
        self.execute_each(
            "renumber_attempts", [{"number": each.number, "new_number": new} for each, new in renumbered.values()]
        )
        values = []
        for message, base_rank, thread_number, readiness, rank in placed:
            each, new_number = renumbered[message.id]
            values.append(
                {"number": each.number, "new_number": new_number, "thread_number": thread_number,
                 "readiness": readiness, "base_rank": base_rank, "flow": self._flow(message).name, "rank": rank,
                 "now": now}
            )  # fmt: skip
        self.execute_each("requeue", values)
        self._add_events(
            [(number, each.last + 1, _retry_event(each, now)) for each, number in renumbered.values()], now
        )
        self.touched |= {READY, MOVED, *map(message_topic, message_ids)}
        found = {
            message.id: requeued(
                message, renumbered[message.id][1], number, readiness, renumbered[message.id][0].fence + 1
            )
            for message, _, number, readiness, _ in placed
        }
        return [found[message_id] for message_id in message_ids]

    def _flow(self, message: Message) -> Flow:
        return self._ranks.flow(message.tenant, message.subject, message.priority.level)

    def _take_turns(self, messages: Sequence[Message], now: int) -> dict[str, int]:
        """Return the ranks of messages that are accepted again, by id."""
        turns = self._turns(now)
        return {message.id: turns.take(self._flow(message)) for message in messages}

    def _place(
        self, thread_id: str | None, members: Sequence[Message], ranks: Mapping[str, int], now: int
    ) -> list[Placed]:
        """Give messages places at the end of a thread, and return the places. Earlier messages inherit their ranks.

        `thread_id` is None for messages without a thread. `ranks` has the messages' own ranks by id.
        """
        own = [ranks[message.id] for message in members]
        if thread_id is None:
            return [Placed(each, rank, 0, Readiness.READY, rank) for each, rank in zip(members, own, strict=True)]
        tenant, count = members[0].tenant, len(members)
        last, busy, _ = self.rows(
            "extend_thread", tenant=tenant, thread_id=thread_id, count=count, now=now, subject=members[0].subject,
            preview=preview(members[-1].content), name=None, metadata=None,
        )[0]  # fmt: skip
        inherited = list(accumulate(reversed(own), min))[::-1]
        if busy:
            self._lift(tenant, thread_id, last - count + 1, inherited[0])
        places = [Readiness.BLOCKED if busy or place else Readiness.READY for place in range(count)]
        return [
            Placed(*each)
            for each in zip(members, own, range(last - count + 1, last + 1), places, inherited, strict=True)
        ]

    def _dead(self, tenant: str, message_ids: Sequence[str]) -> list[DeadLetterRow]:
        """Return the rows of these failed messages, in order. Raises MessageNotFound, NotFailed."""
        found = {
            row[0]: DeadLetterRow._make(row)
            for row in self.rows("find_dead", tenant=tenant, ids=json.dumps(message_ids))
        }
        for message_id in message_ids:
            if message_id not in found:
                raise MessageNotFound(message_id)
            if found[message_id].state != MessageState.FAILED:
                raise NotFailed(message_id, MessageState(found[message_id].state))
        return [found[message_id] for message_id in message_ids]

    @override
    def purge(self, tenant: str, message_ids: Sequence[str]) -> list[str]:
        dead = self._dead(tenant, message_ids)
        numbers, now = [{"number": each.number} for each in dead], self._now()
        self.execute_each("record_change", [{**each, "type": TransitionType.PURGED, "now": now} for each in numbers])
        self.execute_each("delete_message", numbers)
        self.touched |= {CHANGED, *map(message_topic, message_ids)}
        return self._drop_memories([DroppedMemory(tenant, "", each.id) for each in dead if each.thread_id is None])

    @override
    def pause(self, paused: bool) -> None:
        self.execute("record_pause", paused=int(paused), now=self._now())
        self.execute("pause", paused=int(paused))
        self.touched |= {READY, MOVED}

    @override
    def drain_worker(self, worker_id: str, draining: bool) -> None:
        found = self.row("find_worker", id=worker_id)
        if found is None:
            raise WorkerNotFound(worker_id)
        if (found[0] == WorkerState.ACTIVE) is not draining:
            self._changes_nothing = True
            return
        self.execute("drain_worker", id=worker_id, state=DRAIN_STATES[draining])
        self.execute("record_draining", id=worker_id, type=DRAIN_CHANGES[draining], now=self._now())
        self.touched |= {WORKERS, MOVED}

    def _in_state(
        self, tenant: str, message_id: str, state: MessageState, refusal: Callable[[str, str], AgentQueueError]
    ) -> Message:
        message = self._owned(tenant, message_id)
        if message.state is not state:
            raise refusal(message_id, message.state)
        return message

    @override
    def clear(
        self, threads: Sequence[ThreadKey], new: Sequence[NewMessage], rules: AcceptRules, key: RequestKey | None
    ) -> dict[ThreadKey, list[tuple[int, str]]]:
        now = self._now()
        if key is not None and self.row("find_key", tenant=key.tenant, key=key.key, after=now - KEY_SECONDS * 1000):
            return {}
        queued, _ = self.execute("accept_state").get
        if self.refusal(rules, new, queued) is not None or any(map(self.is_foreign, new)):
            return {}
        if (aliases := aliases_of(new)) and self._taken_alias(aliases) is not None:
            return {}
        for tenant, thread_id in threads:
            if self.any_of_others(rules, tenant, thread_id):
                return {}
            tail = self.rows("list_tail", tenant=tenant, thread_id=thread_id, limit=2 * CLEARED_AT_ONCE)
            if len(tail) == 2 * CLEARED_AT_ONCE:
                for number, _, _ in tail[:CLEARED_AT_ONCE]:
                    self._end(number, Cancelled(), now, fence_step=1, was_head=False)
                ended = [(thread_number, message_id) for _, message_id, thread_number in tail[:CLEARED_AT_ONCE]]
                self.record_cancels(rules.audit, [message_id for _, message_id in ended])
                return {(tenant, thread_id): ended}
        return {}


def _retry_event(dead: DeadLetterRow, now: int) -> NewEvent:
    return NewEvent.retry(attempt=dead.attempt, error=REQUEUED, next_at=to_datetime(now), discard_from=1)
