"""Changes accepted messages."""

from collections.abc import Callable, Mapping, Sequence

from typing_extensions import override

from ...clock import to_datetime
from ...errors import (
    AgentQueueError,
    MessageNotFound,
    NotCancellable,
    NotFailed,
    NotInterrupted,
    NotQueued,
)
from ...errors.workers import WorkerNotFound
from ...models.events import NewEvent
from ...models.messages import Accepted, Message, MessageState, NewMessage, Priority, RequestKey
from ...models.transitions import TransitionType
from ...models.workers import WorkerState
from ...policy.rank import Flow
from ..parts import CLEARED_AT_ONCE, SETTLED_AT_ONCE, AcceptRules, NamedAlias, ThreadKey, Unsettled, aliases_of
from ..ports import CHANGED, MOVED, READY, WORKERS, message_topic
from ..rows import DRAIN_CHANGES, DRAIN_STATES, requeued
from ..sql.control import ControlChanges
from ..terminal_states import REQUEUED
from .changes import Locked, Logs, NewRows, locked_by_id
from .keys import KEY_MS, Keyed, check_fingerprint, name_of
from .placing import Placing
from .session import Rows, step

WAITING = (MessageState.QUEUED,)
ASKING = (MessageState.INTERRUPTED,)
UNFINISHED = (MessageState.QUEUED, MessageState.PROCESSING, MessageState.INTERRUPTED)
Refusal = Callable[[str, str], AgentQueueError]


class ControlWrites(Placing, Keyed, ControlChanges):
    """Implements `ControlStore`. Each method runs in a transaction of its own."""

    @override
    def cancel(self, tenant: str, message_id: str, running: bool, asks: bool = False) -> Message:
        with self.transaction(
            step("lock_threads", ids=[message_id]), step("lock_message", id=message_id, tenant=tenant)
        ) as (now, (_, rows)):
            locked = _only(rows, message_id)
            if locked.state not in (ASKING if asks else UNFINISHED if running else WAITING):
                raise NotCancellable(message_id, locked.state, running=running)
            thread = {"tenant": tenant, "thread_id": locked.thread_id}
            inherited = locked.readiness == "blocked" and self.value(
                "inherited_ahead", **thread, thread_number=locked.thread_number
            )
            steps = self.cancel_all([locked], now)
            if steps:
                self.session.run_all(*steps)
            else:
                self.session.discard()
            if inherited:
                self._settle(tenant, locked, locked.thread_number)
            return self.owned(tenant, message_id)

    @override
    def reprioritize(self, tenant: str, message_id: str, priority: Priority) -> Message:
        with self.transaction(
            step("lock_threads", ids=[message_id]), step("lock_message", id=message_id, tenant=tenant)
        ) as (now, (_, rows)):
            locked = _only(rows, message_id)
            _refuse_unless([locked], MessageState.QUEUED, NotQueued)
            before = self.owned(tenant, message_id).priority
            if priority is not before:
                rank = self._rank_with(locked, before, priority, now)
                self.rows("reprioritize", number=locked.number, priority=priority.value, rank=rank)
                self.rows("record_changes", numbers=[locked.number], type=TransitionType.PRIORITY.value, now=now)
            if locked.thread_id is not None:
                self._settle(tenant, locked, locked.thread_number + 1)
            self.free(locked)
            self.touched |= {MOVED, message_topic(message_id)}
            return self.message(tenant, message_id)

    def _rank_with(self, locked: Locked, before: Priority, priority: Priority, now: int) -> int:
        """Return the rank of a queued message with another priority: its place among the messages of its flow.

        It shares the turn of the next one that was accepted after it.
        """
        base_rank, name = self.rows("place_in_flow", number=locked.number)[0]
        first = self.ranks.rank(priority.level, 0)
        if name is None or not self.ranks.shares:
            return int(base_rank) + first - self.ranks.rank(before.level, 0)
        flow = Flow(locked.tenant, name, priority.level)
        turns = self.turns([flow], now)
        rank: int | None = self.value(
            "rank_of_next", tenant=locked.tenant, flow=name, number=locked.number, first=first
        )
        return turns.take(flow) if rank is None else rank

    def _settle(self, tenant: str, locked: Locked, below: int) -> None:
        """Settle the messages with thread numbers below `below` in the thread of `locked`.

        The thread must be locked. The rest of a long thread is added to `unsettled`.
        """
        assert locked.thread_id is not None, "only threads inherit"
        left = self._settle_part(Unsettled(tenant, locked.thread_id, below))
        if left is not None:
            self.unsettled.append(left)

    def _settle_part(self, place: Unsettled) -> Unsettled | None:
        part = {**place._asdict(), "limit": SETTLED_AT_ONCE}
        last, settled = self.session.run_all(step("nth_before", **part), step("settle_thread", **part))
        return place._replace(below=last[0][0]) if last and last[0] in settled else None

    @override
    def settle(self, place: Unsettled) -> Unsettled | None:
        with self.transaction(step("lock_thread", tenant=place.tenant, thread_id=place.thread_id)):
            self.touched.add(MOVED)
            return self._settle_part(place)

    @override
    def clear(
        self, threads: Sequence[ThreadKey], new: Sequence[NewMessage], rules: AcceptRules, key: RequestKey | None
    ) -> dict[ThreadKey, list[tuple[int, str]]]:
        with self.transaction(step("count_queued")) as (now, [[(queued,)]]):
            asked = key is not None and self.row("find_key", tenant=key.tenant, key=key.key, after=now - KEY_MS)
            if not (asked or self._refuses(queued, rules, new) or self.any_taken(aliases_of(new))):
                for tenant, thread_id in threads:
                    thread = {"tenant": tenant, "thread_id": thread_id}
                    if self._any_of_others(rules, thread):
                        break
                    if self.value("nth_before", **thread, below=2**62, limit=2 * CLEARED_AT_ONCE) is None:
                        continue
                    _, rows = self.session.run_all(
                        step("lock_thread", **thread), step("lock_tail", **thread, limit=CLEARED_AT_ONCE)
                    )
                    locked = [Locked._make(row) for row in rows]
                    if steps := self.cancel_all(locked, now, promote_next=False):
                        self.session.run_all(*steps)
                        self.record_cancels(rules.audit, [each.id for each in locked])
                        return {(tenant, thread_id): [(each.thread_number, each.id) for each in locked]}
            self.session.discard()
        return {}

    def _any_of_others(self, rules: AcceptRules, thread: Mapping[str, str]) -> bool:
        """Return whether a thread has unfinished messages that `rules` do not let new messages cancel."""
        if rules.agents is None:
            return False
        return bool(self.rows("find_of_other_agents", **thread, agents=sorted(rules.agents)))

    def _refuses(self, queued: int, rules: AcceptRules, new: Sequence[NewMessage]) -> bool:
        """Return whether `add` refuses messages of a tenant, since the queue is full or a thread is foreign."""
        if queued + len(new) > rules.max_queued:
            return True
        tenant = new[0].tenant
        if rules.max_queued_of_tenant is not None:
            (of_tenant,) = self.rows("count_queued_of_tenants", tenants=[tenant])
            if of_tenant[1] + len(new) > rules.max_queued_of_tenant:
                return True
        wanted = {each.thread_id: each.subject for each in new if each.subject is not None and each.thread_id}
        owners = {thread_id: self.row("find_subject", tenant=tenant, thread_id=thread_id) for thread_id in wanted}
        return any(owner is not None and owner[0] != wanted[thread_id] for thread_id, owner in owners.items())

    @override
    def resume(
        self, tenant: str, message_id: str, fence: int, value: str, key: RequestKey | None, alias: str | None
    ) -> Accepted:
        ids = [message_id]
        with self.transaction() as (now, _):
            if key is not None and (known := self.enter_keys([key], now).get(name_of(key))) is not None:
                check_fingerprint(key, known)
                self.session.discard()
                return Accepted([self.owned(tenant, message_id)], replayed=True)
            _, rows, found = self.session.run_all(
                step("lock_threads", ids=ids),
                step("lock_message", id=message_id, tenant=tenant),
                step("find_logs", ids=ids),
            )
            locked = _only(rows, message_id)
            _refuse_unless([locked], MessageState.INTERRUPTED, NotInterrupted)
            if locked.fence != fence:
                raise NotInterrupted(message_id, locked.state)
            logs, events = Logs(found), NewRows()
            resumed = NewEvent.resumed(discard_from=logs.start[locked.number], answers=value)
            first_event = events.append(locked.number, logs.last[locked.number], [resumed])
            self.session.run_all(step("resume_message", number=locked.number, value=value, now=now), events.step(now))
            if alias is not None:
                self.enter_aliases([NamedAlias(tenant, alias, message_id)], first_event)
            if key is not None:
                self.keep_receipts({name_of(key): "[]"})
            self.touched |= {READY, MOVED, message_topic(message_id)}
            return Accepted([self.message(tenant, message_id)], replayed=False)

    @override
    def requeue(self, tenant: str, message_ids: Sequence[str], given: Mapping[str, Message]) -> list[Message]:
        ids = list(message_ids)
        with self.transaction(
            step("lock_threads", ids=ids), step("lock_messages", ids=ids, tenant=tenant), step("find_logs", ids=ids)
        ) as (now, (_, rows, found)):
            dead = sorted(_dead_letters(rows, ids), key=lambda each: each.number)
            placed = self.place([_as_new_message(given[each.id]) for each in dead], now)
            numbers = [each.number for each in dead]
            new_numbers = [number for (number,) in self.rows("next_numbers", count=len(dead))]
            logs, events = Logs(found), NewRows()
            for each, number in zip(dead, new_numbers, strict=True):
                retry = NewEvent.retry(attempt=each.attempt, error=REQUEUED, next_at=to_datetime(now), discard_from=1)
                events.append(number, logs.last[each.number], [retry])
                self.touched.add(message_topic(each.id))
            _, _, fences, _ = self.session.run_all(
                step("drop_logs", numbers=numbers),
                step("renumber_attempts", numbers=numbers, new_numbers=new_numbers),
                step(
                    "requeue_messages",
                    numbers=numbers,
                    new_numbers=new_numbers,
                    thread_numbers=[each.thread_number for each in placed],
                    places=[each.readiness.value for each in placed],
                    base_ranks=[each.base_rank for each in placed],
                    flows=[each.flow for each in placed],
                    ranks=[each.rank for each in placed],
                    now=now,
                ),
                events.step(now),
            )
            self.lift(placed)
            fence_of: dict[str, int] = dict(fences)
            again = {
                each.id: requeued(given[each.id], number, place.thread_number, place.readiness, fence_of[each.id])
                for each, number, place in zip(dead, new_numbers, placed, strict=True)
            }
            return [again[message_id] for message_id in ids]

    @override
    def purge(self, tenant: str, message_ids: Sequence[str]) -> list[str]:
        ids = list(message_ids)
        with self.transaction(step("lock_threads", ids=ids), step("lock_messages", ids=ids, tenant=tenant)) as (
            now,
            (_, rows),
        ):
            dead = _dead_letters(rows, ids)
            numbers = [each.number for each in dead]
            self.session.run_all(
                step("record_changes", numbers=numbers, type=TransitionType.PURGED.value, now=now),
                step("delete_messages", numbers=numbers),
            )
            self.touched |= {CHANGED, *map(message_topic, ids)}
        return [Message.memory_key_of(tenant, None, each.id) for each in dead if each.thread_id is None]

    @override
    def pause(self, paused: bool) -> None:
        with self.transaction() as (now, _):
            self.rows("pause", paused=paused, now=now)
            self.touched |= {READY, MOVED}

    @override
    def drain_worker(self, worker_id: str, draining: bool) -> None:
        with self.transaction(step("lock_worker", id=worker_id)) as (now, (found,)):
            if not found:
                raise WorkerNotFound(worker_id)
            if (found[0][0] == WorkerState.ACTIVE) is not draining:
                self.session.discard()
                return
            self.rows("drain_worker", id=worker_id, state=DRAIN_STATES[draining].value)
            self.rows("record_draining", id=worker_id, type=DRAIN_CHANGES[draining].value, now=now)
            self.touched |= {WORKERS, MOVED}


def _only(rows: Rows, message_id: str) -> Locked:
    if not rows:
        raise MessageNotFound(message_id)
    return Locked._make(rows[0])


def _refuse_unless(messages: Sequence[Locked], state: MessageState, refusal: Refusal) -> None:
    for each in messages:
        if each.state != state:
            raise refusal(each.id, each.state)


def _dead_letters(rows: Rows, ids: Sequence[str]) -> list[Locked]:
    """Return the locked messages in the order of `ids`. Raises MessageNotFound, NotFailed."""
    locked: Mapping[str, Locked] = locked_by_id(rows)
    found: list[Locked] = []
    for message_id in ids:
        if message_id not in locked:
            raise MessageNotFound(message_id)
        found.append(locked[message_id])
        _refuse_unless(found[-1:], MessageState.FAILED, NotFailed)
    return found


def _as_new_message(message: Message) -> NewMessage:
    """Return a message as a new one, to place it in its thread again."""
    return NewMessage(
        id=message.id,
        tenant=message.tenant,
        thread_id=message.thread_id,
        agent=message.agent,
        content=message.content,
        priority=message.priority,
        subject=message.subject,
    )
