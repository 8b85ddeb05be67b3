"""Accepts messages. A few statements store the messages of many callers."""

import json
from collections import Counter
from collections.abc import Awaitable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from typing_extensions import override

from ...errors import AgentQueueError, QueueFull, ThreadAsks, ThreadBusy
from ...errors.limits import TenantQueueFull
from ...errors.threads import MessageDeleted, ThreadMoved
from ...models.limits import Counted
from ...models.messages import Accepted, IfBusy, Message, MessageState, NewMessage, RequestKey
from ..erasures import as_stored
from ..erasures import refused as erasing
from ..parts import AcceptRules, ThreadKey, aliases_of, only_waits_for_human
from ..receivers import receivers_text
from ..rows import Receipt, accepted, events_text
from ..sql.accept import SqlAccept
from ..sql.group_commit import GroupCommitThread, Operation
from ..sql.positions import queries_of_ends
from .changes import Locked
from .keys import Keyed, KeyName, KnownKey, check_fingerprint, name_of
from .limits import Limiting, Tally, names_of
from .placing import Placed, Placing, in_order, thread_of
from .session import Step, step

PART_LENGTH = 1_000
"""Maximum number of messages in one transaction, unless one caller adds more."""


class Add(NamedTuple):
    """The messages that one caller adds, with the arguments of `AcceptStore.add`."""

    new: Sequence[NewMessage]
    rules: AcceptRules
    key: RequestKey | None = None
    cleared: Mapping[ThreadKey, Sequence[str]] | None = None
    """Ids that `ControlChanges.clear` has cancelled for these messages, by thread."""

    @property
    def may_roll_back(self) -> bool:
        """Return whether messages may be refused after they were stored: an alias is taken, or a thread is busy."""
        return any(each.aliases or _depends_on_thread(each) for each in self.new)


def parts_of(batch: Sequence[Operation]) -> Iterator[list[Operation]]:
    """Split a batch into parts, in order. Each part becomes a transaction.

    An operation that may roll everything back is a part of its own. A part has each request key only once.
    """
    part: list[Operation] = []
    length = 0
    keys: set[KeyName] = set()
    for operation in batch:
        add: Add = operation.work
        alone = add.may_roll_back
        again = add.key is not None and name_of(add.key) in keys
        if part and (alone or again or length + len(add.new) > PART_LENGTH):
            yield part
            part, length, keys = [], 0, set()
        part.append(operation)
        length += PART_LENGTH if alone else len(add.new)
        if add.key is not None:
            keys.add(name_of(add.key))
    if part:
        yield part


class Room:
    """The room that the queue has for messages, as callers take it."""

    def __init__(self, queued: int, of_tenants: Mapping[str, int]) -> None:
        self._queued = queued
        self._of_tenants = Counter(of_tenants)

    def refusal(self, add: Add) -> AgentQueueError | None:
        """Return the error if there is no room for the messages of a caller, None if there is."""
        count, rules = len(add.new), add.rules
        if self._queued + count > rules.max_queued:
            return QueueFull(rules.max_queued)
        if rules.max_queued_of_tenant is not None and self._of_tenant(add) + count > rules.max_queued_of_tenant:
            return TenantQueueFull(rules.max_queued_of_tenant)
        return None

    def take(self, add: Add) -> None:
        """Count the messages of a caller as queued."""
        self._queued += len(add.new)
        for each in add.new[:1]:
            self._of_tenants[each.tenant] += len(add.new)

    def _of_tenant(self, add: Add) -> int:
        return self._of_tenants[add.new[0].tenant] if add.new else 0


class Stored(NamedTuple):
    """A stored message: its place and its number.

    `rollback` has the ids of messages whose steps the agent forgets before this message begins.
    """

    placed: Placed
    number: int
    rollback: Sequence[str]


class AcceptWrites(Placing, Keyed, Limiting):
    """Adds messages, in transactions of its own."""

    def add(self, given: Sequence[Add]) -> list[Accepted | BaseException]:
        """Add the messages of all callers in one transaction. Return each caller's answer or error, in order."""
        names = names_of(add.rules.limits for add in given)
        first = step("accept_state", names=json.dumps(names)), *_find_asking(given)
        while True:
            with self.transaction(*first) as (now, ([(queued, erasures, locked)], *asking)):
                limits: Mapping[str, int] = locked or {}
                if len(limits) == len(names):
                    room = Room(queued, self._queued_of_tenants(given))
                    return self._add(given, room, Tally(limits, now), erasures or (), asking, now)
                self.session.discard()
            self.add_limits(names)  # another process may delete them before they are locked

    def _add(
        self,
        given: Sequence[Add],
        room: Room,
        tally: Tally,
        running: Sequence[tuple[str, str, str]],
        asking: Sequence[Collection[ThreadKey]],
        now: int,
    ) -> list[Accepted | BaseException]:
        """Add the messages of all callers. `running` has the targets of running erasures."""
        known = self.enter_keys([add.key for add in given if add.key is not None], now)
        results: list[Accepted | BaseException] = []
        fitting: dict[int, Counted | None] = {}
        for index, add in enumerate(given):
            if add.key is not None and name_of(add.key) in known:
                results.append(self._replay(add, add.key, known[name_of(add.key)]))
                continue
            outcome = (
                erasing(add.new, running)
                or _thread_asks(add, *asking)
                or room.refusal(add)
                or tally.count(add.rules.limits)
            )
            if isinstance(outcome, AgentQueueError):
                results.append(outcome)
            else:
                room.take(add)
                results.append(QueueFull(0))
                fitting[index] = outcome
        if not fitting:
            self.session.discard()
            return results
        cleared = {key: ids for index in fitting for key, ids in (given[index].cleared or {}).items()}
        cancelled: list[str] = []
        rules = given[min(fitting)].rules  # messages that may cancel others are alone in their transaction
        news = [each for index in fitting for each in given[index].new]
        receipts = self._store(news, rules, cleared, cancelled, now)
        if running and (error := erasing(as_stored(news, receipts), running)) is not None:
            raise error  # the callers are then served one by one
        self.enter_aliases([each for index in fitting for each in aliases_of(given[index].new)], first_event=0)
        self._answer(given, fitting, receipts, known, results)
        if (changed := tally.changed()) is not None:
            self.session.end_with(changed)
        self.record_cancels(rules.audit, cancelled)
        return results

    def _answer(
        self,
        given: Sequence[Add],
        fitting: Mapping[int, Counted | None],
        receipts: Sequence[Receipt],
        known: Mapping[KeyName, KnownKey],
        results: list[Accepted | BaseException],
    ) -> None:
        """Put the answers of the callers whose messages are stored into `results`, and keep them for their keys."""
        kept: dict[KeyName, str] = {}
        for index, counted in fitting.items():
            add = given[index]
            own, receipts = receipts[: len(add.new)], receipts[len(add.new) :]
            results[index] = Accepted(_messages(add, own), replayed=False, counted=counted)
            if add.key is not None:
                kept[name_of(add.key)] = json.dumps(own)
        self.keep_receipts(kept)
        named = {name_of(add.key) for add in given if add.key is not None}
        self.drop_keys(sorted(named - kept.keys() - known.keys()))

    def _queued_of_tenants(self, given: Sequence[Add]) -> dict[str, int]:
        """Return how many messages of each tenant are queued, for the tenants that have a limit."""
        tenants = {each.new[0].tenant for each in given if each.rules.max_queued_of_tenant is not None and each.new}
        return dict(self.rows("count_queued_of_tenants", tenants=sorted(tenants))) if tenants else {}

    def _replay(self, add: Add, key: RequestKey, known: KnownKey) -> Accepted | AgentQueueError:
        try:
            check_fingerprint(key, known)
        except AgentQueueError as error:
            return error
        receipts = [Receipt(*fields) for fields in json.loads(known.receipts)]
        if self.value("any_deleted", ids=[each.id for each in receipts]):
            return MessageDeleted()
        return Accepted(_messages(add, receipts), replayed=True)

    def _store(
        self,
        new: Sequence[NewMessage],
        rules: AcceptRules,
        cleared: dict[ThreadKey, Sequence[str]],
        cancelled: list[str],
        now: int,
    ) -> list[Receipt]:
        positions: Sequence[int | None]
        if any(map(_depends_on_thread, new)):
            stored = self._store_in_turn(new, rules, cleared, cancelled, now)
            ranks: dict[int, int | None] = dict(self.rows("find_ranks", numbers=[each.number for each in stored]))
            positions = self.newest_positions([(ranks.get(each.number), each.number) for each in stored])
        else:
            placed = self.place(new, now)
            ends = [step(name, **values) for name, values in queries_of_ends([each.rank for each in placed])]
            numbers, found = self.insert(placed, {}, now, *ends)
            stored = [Stored(each, numbers[each.new.id], ()) for each in placed]
            positions = self.positions_at_ends([(each.placed.rank, each.number) for each in stored], found)
        return [
            Receipt(
                placed.new.id,
                number,
                placed.thread_number,
                now,
                placed.readiness,
                placed.run_at,
                position,
                tuple(rollback),
                placed.subject,
            )
            for (placed, number, rollback), position in zip(stored, positions, strict=True)
        ]

    def _store_in_turn(
        self,
        new: Sequence[NewMessage],
        rules: AcceptRules,
        cleared: dict[ThreadKey, Sequence[str]],
        cancelled: list[str],
        now: int,
    ) -> list[Stored]:
        """Store messages one by one, when `if_busy` of some depends on the messages before them.

        Appends the ids of messages that they cancel to `cancelled`. All threads are locked before any message. This
        order rules out a deadlock.
        """
        threads: dict[ThreadKey, list[NewMessage]] = {}
        for each in new:
            if (key := thread_of(each)) is not None:
                threads.setdefault(key, []).append(each)
        entered = self.enter_threads(threads, now, only_lock=True)
        for each in new:
            if each.last_number is not None and entered[each.tenant, each.thread_id or ""].last != each.last_number:
                raise ThreadMoved(each.thread_id or "")
        counts = {key: thread.unfinished for key, thread in entered.items()}
        unfinished = self._lock_unfinished(threads, counts)
        self.lock_flows_of(new, entered)
        stored: list[Stored] = []
        turn: list[NewMessage] = []
        rollbacks: dict[str, Sequence[str]] = {each.id: each.rollback for each in new if each.rollback}
        for each in new:
            key = thread_of(each)
            if key is not None and _depends_on_thread(each) and (counts[key] or key in cleared):
                if each.if_busy is IfBusy.REJECT and not (counts[key] == 1 and only_waits_for_human(unfinished[key])):
                    raise ThreadBusy(key[1])
                if not all(rules.may_cancel(one.agent) for one in unfinished[key]):
                    raise ThreadBusy(key[1])
                stored += self._take_turn(turn, rollbacks, unfinished, now)
                turn = []
                if each.if_busy is IfBusy.ROLLBACK:
                    ended = [*(one.id for one in unfinished[key]), *cleared.get(key, ())]
                    rollbacks[each.id] = list(dict.fromkeys((*each.rollback, *ended)))
                cleared.pop(key, None)
                cancelled += [one.id for one in unfinished[key] if not one.cancel_requested]
                unfinished[key] = self._cancel_unfinished(unfinished[key], now)
                counts[key] = len(unfinished[key])
            turn.append(each)
            if key is not None:
                counts[key] += 1
        return stored + self._take_turn(turn, rollbacks, unfinished, now)

    def _lock_unfinished(
        self, threads: dict[ThreadKey, list[NewMessage]], counts: dict[ThreadKey, int]
    ) -> dict[ThreadKey, list[Locked]]:
        """Lock the unfinished messages that new messages may cancel. Return them by thread, oldest first.

        `threads` has the new messages of each thread, `counts` the number of its unfinished messages.
        """
        unfinished: dict[ThreadKey, list[Locked]] = {key: [] for key in threads}
        yielding = {
            key: members
            for key, members in threads.items()
            if counts[key] and any(_may_cancel(each, counts[key]) for each in members)
        }
        if yielding:
            keys = in_order(yielding)
            rows = self.rows(
                "lock_unfinished",
                tenants=[tenant for tenant, _ in keys],
                threads=[thread_id for _, thread_id in keys],
            )
            for locked in map(Locked._make, rows):
                unfinished[locked.tenant, locked.thread_id or ""].append(locked)
        return unfinished

    def _take_turn(
        self,
        turn: list[NewMessage],
        rollbacks: dict[str, Sequence[str]],
        unfinished: dict[ThreadKey, list[Locked]],
        now: int,
    ) -> list[Stored]:
        if not turn:
            return []
        placed = self.place(turn, now)
        numbers, _ = self.insert(placed, rollbacks, now)
        for each in placed:
            if (key := thread_of(each.new)) is not None:
                unfinished[key].append(_just_stored(each, numbers[each.new.id]))
        return [Stored(each, numbers[each.new.id], rollbacks.get(each.new.id, ())) for each in placed]

    def _cancel_unfinished(self, unfinished: Sequence[Locked], now: int) -> list[Locked]:
        """Cancel the unfinished messages of a thread. Return the messages that still run."""
        steps = self.cancel_all(unfinished, now, promote_next=False)
        if steps:
            self.session.run_all(*steps)
        return [each._replace(cancel_requested=True) for each in unfinished if each.state == MessageState.PROCESSING]


class PostgresAccept(SqlAccept):
    """Adds the messages of many callers together, on a thread of its own."""

    _accept_thread: GroupCommitThread
    _accept: AcceptWrites

    @override
    def _add(
        self,
        new: Sequence[NewMessage],
        rules: AcceptRules,
        key: RequestKey | None,
        cleared: Mapping[ThreadKey, Sequence[str]],
    ) -> Awaitable[Accepted]:
        return self._accept_thread.submit(Add(new, rules, key, cleared))


def _find_asking(given: Sequence[Add]) -> list[Step]:
    """Return the step that finds threads which wait for a human. None is needed if no message is refused for it."""
    threads = [each for add in given for each in add.new if not each.behind_question and each.thread_id is not None]
    if not threads:
        return []
    of_threads = {"tenants": [each.tenant for each in threads], "threads": [each.thread_id for each in threads]}
    return [step("find_asking_threads", **of_threads)]


def _thread_asks(add: Add, asking: Collection[ThreadKey] = ()) -> ThreadAsks | None:
    """Return the error of messages that must not wait behind a question. `asking` has the threads that ask one."""
    refused = (each for each in add.new if not each.behind_question and thread_of(each) in asking)
    return next((ThreadAsks(each.thread_id or "") for each in refused), None)


def _depends_on_thread(new: NewMessage) -> bool:
    return new.thread_id is not None and new.if_busy is not IfBusy.ENQUEUE


def _may_cancel(new: NewMessage, unfinished: int) -> bool:
    return new.if_busy in {IfBusy.INTERRUPT, IfBusy.ROLLBACK} or (new.if_busy is IfBusy.REJECT and unfinished == 1)


def _messages(add: Add, receipts: Sequence[Receipt]) -> list[Message]:
    return [accepted(*each) for each in zip(add.new, receipts, strict=True)]


def _just_stored(placed: Placed, number: int) -> Locked:
    new = placed.new
    return Locked(
        number=number,
        id=new.id,
        tenant=new.tenant,
        thread_id=new.thread_id,
        thread_number=placed.thread_number,
        state=MessageState.QUEUED,
        agent=new.agent,
        readiness=placed.readiness,
        attempt=0,
        crashes=0,
        fence=0,
        cancel_requested=False,
        webhook_url=new.webhook_url,
        webhook_events=events_text(new),
        receivers=receivers_text(new.receivers),
    )
