"""Reads figures about the queue: the part that both SQL stores share."""

import json
from functools import partial
from typing import Any, Protocol

from typing_extensions import override

from ...models.messages import MessageState, Priority
from ...models.statistics import Figure, FigureQuery, QueueFigures
from ...policy.rank import LEVEL
from ...policy.statistics import with_unfolded
from ..parts import kept_seconds, repeat
from ..ports import StatisticsStore
from ..rows import to_queue_figures
from .reads import Reads
from .rooms import SqlRooms

FOLDED_AT_ONCE = 5_000
"""Maximum number of records that one transaction adds to the figures, or deletes."""


class FigureChanges(Protocol):
    """Implements the writes of `StatisticsStore` in transactions."""

    def fold_figures(self, limit: int) -> int:
        """Add up to `limit` records to the figures. Return how many."""

    def prune_records(self, age_ms: int, limit: int) -> int:
        """Delete up to `limit` records that are in the figures and older, or beyond RECORDS_KEPT. Return how many."""

    def prune_figures(self, step: int, age_ms: int) -> None:
        """Delete figures of periods of `step` seconds that began more than `age_ms` ago."""


class SqlStatistics(SqlRooms, StatisticsStore):
    """Implements `StatisticsStore` for both SQL stores. Folding does not wait for the disk."""

    _figures: FigureChanges

    @override
    async def queue_figures(self) -> QueueFigures:
        return await self._list_thread.run(lambda: read_queue_figures(self._lists, self._clock.now()))

    @override
    async def read_figures(self, tenant: str | None, query: FigureQuery) -> list[Figure]:
        return await self._list_thread.run(lambda: read_figures(self._lists, tenant, query))

    @override
    async def fold_figures(self, *, records_seconds: float) -> int:
        limit, age = FOLDED_AT_ONCE, int(records_seconds * 1000)
        run = self._upkeep_thread.run
        folded = 0
        if await self._list_thread.run(lambda: self._lists.value("any_unfolded")):
            folded = await repeat(lambda: run(lambda: self._figures.fold_figures(limit), durable=False), limit)
            await repeat(lambda: run(lambda: self._figures.prune_records(age, limit), durable=False), limit)
        return folded

    @override
    async def prune_figures(self, *, older_than_seconds: float) -> None:
        for step, seconds in kept_seconds(older_than_seconds):
            prune = partial(self._figures.prune_figures, step, int(seconds * 1000))
            await self._upkeep_thread.run(prune, durable=False)


def read_queue_figures(reads: Reads, now: int) -> QueueFigures:
    """Return the figures of the queue, inside a transaction. `now` is the store's time in milliseconds."""
    states, levels, *firsts = reads.rows_of_each(
        [
            ("count_states", {}),
            ("count_waiting", {}),
            *(("first_waiting", {"rank": priority.level * LEVEL}) for priority in Priority),
        ]
    )
    totals = {MessageState(state): int(count) for state, count in states}
    waiting = {int(level): int(count) for level, count in levels if count > 0}
    queued = totals.get(MessageState.QUEUED, 0)
    return to_queue_figures(
        now,
        waiting=waiting,
        firsts={priority.level: rows[0] for priority, rows in zip(Priority, firsts, strict=True) if rows},
        delayed=max(0, queued - sum(waiting.values())),
        processing=totals.get(MessageState.PROCESSING, 0),
        interrupted=totals.get(MessageState.INTERRUPTED, 0),
        failed=totals.get(MessageState.FAILED, 0),
    )


def read_figures(reads: Reads, tenant: str | None, query: FigureQuery) -> list[Figure]:
    """Implement `StatisticsStore.read_figures`, inside a transaction."""
    values: dict[str, Any] = {
        **query._asdict(),
        "tenant": tenant,
        "by": None if query.by is None else query.by.value,
        "metrics": json.dumps(query.metrics),
    }
    summed = "sum_figures_of_all" if tenant is None else "sum_figures"
    stored, unfolded = reads.rows_of_each([(summed, values), ("find_unfolded", {"tenant": tenant})])
    return with_unfolded([Figure(*row) for row in stored], unfolded, query)
