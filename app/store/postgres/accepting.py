"""Accepting messages: what many callers hand in is stored by a few statements."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple

from app.errors import QueueFull
from app.models import Message, NewMessage
from app.store.base import MOVED, READY, RankPolicy
from app.store.postgres.connection import Rows, Session, step
from app.store.postgres.operations import Writes
from app.store.reads import NEAR_END
from app.store.rows import accepted, preview

LEVEL = 10**15
"""Ranks are counted by multiples of this."""


class Add(NamedTuple):
    """A caller's message."""

    new: NewMessage
    max_queued: int


class Placed(NamedTuple):
    """Where a message was put: its thread's number, its ranks, and whether others of its thread are before it."""

    new: NewMessage
    thread_number: int
    base_rank: int
    rank: int
    busy: bool


class Accepting(Writes):
    """See `MessageStore.add`."""

    def __init__(self, session: Session, now: Callable[[], int | None], ranks: RankPolicy) -> None:
        super().__init__(session, now)
        self._ranks = ranks

    def add(self, given: Sequence[Add]) -> list[Message | BaseException]:
        """All in one transaction; in the place of a message that finds the queue full is the error."""
        with self.transaction(step("count_queued")) as (now, [[(queued,)]]):
            results: list[Message | BaseException] = [QueueFull(max_queued) for _, max_queued in given]
            fitting: list[int] = []
            for index, (_, max_queued) in enumerate(given):
                if queued + len(fitting) < max_queued:
                    fitting.append(index)
            if not fitting:
                self.session.discard()
                return results
            stored = self._store([given[index].new for index in fitting], now)
        for index, message in zip(fitting, stored, strict=True):
            results[index] = message
        return results

    def _store(self, taken: list[NewMessage], now: int) -> list[Message]:
        placed = self._place(taken, now)
        numbers: dict[str, int] = dict(
            self.rows(
                "add_messages",
                ids=[each.new.id for each in placed],
                tenants=[each.new.tenant for each in placed],
                threads=[each.new.thread_id for each in placed],
                thread_numbers=[each.thread_number for each in placed],
                agents=[each.new.agent for each in placed],
                contents=[each.new.content for each in placed],
                priorities=[each.new.priority.value for each in placed],
                base_ranks=[each.base_rank for each in placed],
                ranks=[each.rank for each in placed],
                places=["behind" if each.busy else "ready" for each in placed],
                now=now,
            )
        )
        self._lift(placed)
        positions = self._positions([(each.rank, numbers[each.new.id]) for each in placed])
        self.touched.add(MOVED)
        if not all(each.busy for each in placed):
            self.touched.add(READY)
        return [
            accepted(each.new, numbers[each.new.id], each.thread_number, now, position)
            for each, position in zip(placed, positions, strict=True)
        ]

    def _place(self, taken: list[NewMessage], now: int) -> list[Placed]:
        """Numbers in their threads, under the locks of these; ranks as those behind them in this batch lift them."""
        threads: dict[tuple[str, str], list[NewMessage]] = {}
        for new in taken:
            if new.thread_id is not None:
                threads.setdefault((new.tenant, new.thread_id), []).append(new)
        entered = self._enter(threads, now)
        placed: dict[str, Placed] = {}
        for key, members in threads.items():
            last, unfinished = entered[key]
            lowest: int | None = None
            for behind, new in enumerate(reversed(members)):
                base = self._ranks.rank(new.priority.level, now)
                lowest = base if lowest is None else min(base, lowest)
                placed[new.id] = Placed(new, last - behind, base, lowest, busy=unfinished > behind + 1)
        for new in taken:
            if new.thread_id is None:
                base = self._ranks.rank(new.priority.level, now)
                placed[new.id] = Placed(new, 0, base, base, busy=False)
        return [placed[new.id] for new in taken]

    def _enter(
        self, threads: dict[tuple[str, str], list[NewMessage]], now: int
    ) -> dict[tuple[str, str], tuple[int, int]]:
        """The last number of each thread and its unfinished messages, with these."""
        if not threads:
            return {}
        keys = sorted(threads, key=lambda key: (key[0].encode(), key[1].encode()))
        rows = self.rows(
            "enter_threads",
            tenants=[tenant for tenant, _ in keys],
            threads=[thread_id for _, thread_id in keys],
            added=[len(threads[key]) for key in keys],
            previews=[preview(threads[key][-1].content) for key in keys],
            now=now,
        )
        return {(tenant, thread_id): (last, unfinished) for tenant, thread_id, last, unfinished in rows}

    def _lift(self, placed: list[Placed]) -> None:
        """Those who were in the threads before inherit the best rank of the new ones."""
        first: dict[tuple[str, str], Placed] = {}
        for each in placed:
            if each.new.thread_id is not None:
                first.setdefault((each.new.tenant, each.new.thread_id), each)
        lifting = [each for each in first.values() if each.busy]
        if lifting:
            self.rows(
                "lift_threads",
                tenants=[each.new.tenant for each in lifting],
                threads=[each.new.thread_id for each in lifting],
                ranks=[each.rank for each in lifting],
                firsts=[each.thread_number for each in lifting],
            )

    def _positions(self, places: list[tuple[int, int]]) -> list[int]:
        """How many wait before each place. New messages are the end of their level, so that is looked at once."""
        levels: dict[int, tuple[int, int]] = {}
        for place in places:
            level = place[0] // LEVEL
            levels[level] = min(place, levels.get(level, place))
        steps = []
        most = NEAR_END + len(places)
        for rank, number in levels.values():
            steps += [step("count_levels", rank=rank), step("places_from", rank=rank, number=number, most=most)]
        answers = self.session.run_all(*steps)
        counted: dict[int, tuple[int, int, Rows]] = {}
        for level, [(before, waiting)], tail in zip(levels, answers[::2], answers[1::2], strict=True):
            counted[level] = before, waiting, tail
        positions = []
        for place in places:
            before, waiting, tail = counted[place[0] // LEVEL]
            if len(tail) < most:
                positions.append(max(before + waiting - len(tail) + bisect_left(tail, place), 0))
            else:
                positions.append(self.count_before(place[1], place[0]))
        return positions
