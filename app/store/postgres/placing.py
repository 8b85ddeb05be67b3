"""Gives messages their places: numbers in their threads, and ranks."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...errors import ThreadNotFound
from ...errors.threads import ThreadNotReady
from ...models.messages import NewMessage, Readiness
from ...policy.rank import Flow
from ..metadata import metadata_text, thread_patch
from ..parts import SETTLED_AT_ONCE, ThreadKey, Unsettled
from ..ports import MOVED, READY
from ..receivers import receivers_text
from ..rows import events_text, options_of, preview, run_at_of
from .ranking import Ranking
from .session import Rows, Step, step


class Placed(NamedTuple):
    """The place of a message: its thread number, its subject, and its rank while it waits.

    A delayed message has no rank and no flow.
    """

    new: NewMessage
    thread_number: int
    base_rank: int
    flow: str | None
    rank: int | None
    readiness: Readiness
    run_at: int
    subject: str | None


class Entered(NamedTuple):
    """A locked thread: its last number, how many of its messages are unfinished, and its subject."""

    last: int
    unfinished: int
    subject: str | None


class End(NamedTuple):
    """The end of a thread, where a message goes: its number, whether others are before it, and the subject."""

    thread_number: int
    is_busy: bool
    subject: str | None


def thread_of(new: NewMessage) -> ThreadKey | None:
    """Return the thread of a message, None if it has none."""
    return None if new.thread_id is None else (new.tenant, new.thread_id)


def in_order(threads: Mapping[ThreadKey, object]) -> list[ThreadKey]:
    """Return the threads in the order in which they are locked."""
    return sorted(threads, key=lambda key: (key[0].encode(), key[1].encode()))


def _name_of(new: Sequence[NewMessage]) -> str | None:
    """Return the thread name of the newest message that has one, None if none has."""
    return next((each.thread_name for each in reversed(new) if each.thread_name is not None), None)


class Placing(Ranking):
    """Puts messages at the ends of their threads."""

    def place(self, new_messages: Sequence[NewMessage], now: int) -> list[Placed]:
        """Lock the threads, and place the messages at their ends. Return the places in order.

        A message inherits the rank of a later message of its thread, if that rank is better.
        """
        threads: dict[ThreadKey, list[NewMessage]] = {}
        for new in new_messages:
            if (key := thread_of(new)) is not None:
                threads.setdefault(key, []).append(new)
        entered = self.enter_threads(threads, now)
        ends: dict[str, End] = {}
        for key, members in threads.items():
            last, unfinished, subject = entered[key]
            for behind, new in enumerate(reversed(members)):
                ends[new.id] = End(last - behind, unfinished > behind + 1, subject)
        placed = self._take_turns(new_messages, ends, now)
        for members in threads.values():
            lowest = placed[members[-1].id].base_rank
            for new in reversed(members[:-1]):
                place = placed[new.id]
                lowest = min(place.base_rank, lowest)
                if place.rank is not None:
                    placed[new.id] = place._replace(rank=lowest)
        self.touched.add(MOVED)
        if any(each.readiness is Readiness.READY for each in placed.values()):
            self.touched.add(READY)
        return [placed[new.id] for new in new_messages]

    def _flow_of(self, new: NewMessage, subject: str | None) -> Flow:
        return self.ranks.flow(new.tenant, subject, new.priority.level)

    def lock_flows_of(self, new_messages: Sequence[NewMessage], entered: Mapping[ThreadKey, Entered]) -> None:
        """Lock the flows of messages whose threads were entered."""
        self.lock_flows(
            self._flow_of(new, new.subject if (key := thread_of(new)) is None else entered[key].subject)
            for new in new_messages
        )

    def _take_turns(self, new_messages: Sequence[NewMessage], ends: Mapping[str, End], now: int) -> dict[str, Placed]:
        """Give the messages their turns, in their order. Return their places by id.

        `ends` has the end of its thread by the id of each message. A delayed message takes its turn at its `run_at`.
        """
        waiting: list[tuple[NewMessage, End, Readiness, int, Flow]] = []
        for new in new_messages:
            end = ends.get(new.id) or End(0, is_busy=False, subject=new.subject)
            run_at = run_at_of(new, self.clock, now)
            readiness = Readiness.BLOCKED if end.is_busy else Readiness.DELAYED if run_at > now else Readiness.READY
            waiting.append((new, end, readiness, run_at, self._flow_of(new, end.subject)))
        turns = self.turns([flow for _, _, readiness, _, flow in waiting if readiness is not Readiness.DELAYED], now)
        placed: dict[str, Placed] = {}
        for new, (number, _, subject), readiness, run_at, flow in waiting:
            if readiness is Readiness.DELAYED:
                by_time = self.ranks.rank(flow.level, now)
                placed[new.id] = Placed(new, number, by_time, None, None, readiness, run_at, subject)
            else:
                rank = turns.take(flow)
                placed[new.id] = Placed(new, number, rank, flow.name, rank, readiness, run_at, subject)
        return placed

    def enter_threads(
        self, threads: Mapping[ThreadKey, Sequence[NewMessage]], now: int, *, only_lock: bool = False
    ) -> dict[ThreadKey, Entered]:
        """Lock the threads and reserve thread numbers. Return what is in them.

        The numbers include the new messages. With `only_lock`, no numbers are reserved. Raises ThreadNotReady,
        and ThreadNotFound for a thread of another subject than a message's.
        """
        if not threads:
            return {}
        keys = in_order(threads)
        rows = self.rows(
            "enter_threads",
            tenants=[tenant for tenant, _ in keys],
            threads=[thread_id for _, thread_id in keys],
            added=[0 if only_lock else len(threads[key]) for key in keys],
            previews=[preview(threads[key][-1].content) for key in keys],
            names=[None if only_lock else _name_of(threads[key]) for key in keys],
            metadata=[None if only_lock else thread_patch(threads[key]) for key in keys],
            subjects=[threads[key][0].subject for key in keys],
            now=now,
        )
        entered = {(tenant, thread_id): Entered(*fields) for tenant, thread_id, *fields in rows}
        for key, thread in entered.items():
            if any(each.subject not in (None, thread.subject) for each in threads[key]):
                raise ThreadNotFound(key[1])
        if len(entered) < len(keys):
            raise ThreadNotReady(next(thread_id for tenant, thread_id in keys if (tenant, thread_id) not in entered))
        return entered

    def insert(
        self, placed: Sequence[Placed], rollbacks: Mapping[str, Sequence[str]], now: int, *after: Step
    ) -> tuple[dict[str, int], list[Rows]]:
        """Store messages. Earlier messages of their threads inherit their ranks.

        Returns the numbers of the messages by id, and the rows of the steps `after`, which run last in the same round
        trip. `rollbacks` has, by a message's id, the ids of messages whose steps the agent forgets before it begins.
        """
        adding = step(
            "add_messages",
            ids=[each.new.id for each in placed],
            tenants=[each.new.tenant for each in placed],
            threads=[each.new.thread_id for each in placed],
            thread_numbers=[each.thread_number for each in placed],
            agents=[each.new.agent for each in placed],
            contents=[each.new.content for each in placed],
            priorities=[each.new.priority.value for each in placed],
            base_ranks=[each.base_rank for each in placed],
            flows=[each.flow for each in placed],
            ranks=[each.rank for each in placed],
            places=[each.readiness.value for each in placed],
            run_ats=[each.run_at for each in placed],
            options=[options_of(each.new) for each in placed],
            rollbacks=[json.dumps(rollbacks[each.new.id]) if rollbacks.get(each.new.id) else None for each in placed],
            webhook_urls=[each.new.webhook_url for each in placed],
            webhook_keys=[each.new.webhook_key for each in placed],
            webhook_events=[events_text(each.new) for each in placed],
            receivers=[receivers_text(each.new.receivers) for each in placed],
            metadata=[metadata_text(each.new.metadata) for each in placed],
            subjects=[each.subject for each in placed],
            key_ids=[each.new.key_id for each in placed],
            traces=[each.new.trace for each in placed],
            now=now,
        )
        lifting = lift_steps(placed)
        added, *rows = self.session.run_all(adding, *lifting, *after)
        for _ in lifting:
            self.unsettled.extend(map(Unsettled._make, rows.pop(0)))
        return dict(added), rows

    def lift(self, placed: Sequence[Placed]) -> None:
        """Let earlier messages of the threads inherit the best rank of the new messages."""
        for each in lift_steps(placed):
            self.unsettled.extend(map(Unsettled._make, self.rows(each.query, **each.values)))


def lift_steps(placed: Sequence[Placed]) -> list[Step]:
    """Return the step with which earlier messages of threads inherit the best rank of the new ones, if there are any.

    Its rows are the threads that are not settled yet.
    """
    first: dict[ThreadKey, Placed] = {}
    for each in placed:
        if (key := thread_of(each.new)) is not None:
            first.setdefault(key, each)
    lifting = [each for each in first.values() if each.readiness is Readiness.BLOCKED]
    if not lifting:
        return []
    values = {
        "tenants": [each.new.tenant for each in lifting],
        "threads": [each.new.thread_id for each in lifting],
        "ranks": [each.rank for each in lifting],
        "firsts": [each.thread_number for each in lifting],
    }
    return [step("lift_threads", **values, limit=SETTLED_AT_ONCE)]
