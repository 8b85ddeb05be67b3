"""Reads figures about the queue, and adds recorded changes of state to them."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from typing_extensions import override

from ...models.messages import Priority
from ...models.statistics import Counted, Figure, FigureKey, FigureQuery, QueueFigures
from ...policy.statistics import selected, stored_figures, with_unfolded
from ..parts import kept_seconds, repeat
from ..ports import StatisticsStore
from ..rows import to_queue_figures
from .rooms import RedisRooms

FOLDED_AT_ONCE = 200
"""Maximum number of entries of the stream that one script reads. An entry has the changes of up to 64 operations."""

ENTRIES_KEPT = 20_000
"""Maximum number of entries of the stream that are kept, once they are in the figures."""

PRUNED_AT_ONCE = 1_000
"""Maximum number of changes or periods that one script deletes."""


class RedisStatistics(RedisRooms, StatisticsStore):
    """Implements `StatisticsStore` on Redis."""

    @override
    async def queue_figures(self) -> QueueFigures:
        levels, delayed, processing, interrupted, failed = await self._reads.run("queue_figures", len(Priority))
        return to_queue_figures(
            self._now(),
            waiting={level: count for level, (count, _) in enumerate(levels) if count},
            firsts={level: first for level, (_, first) in enumerate(levels) if first},
            delayed=delayed,
            processing=processing,
            interrupted=interrupted,
            failed=max(0, int(failed)),
        )

    @override
    async def read_figures(self, tenant: str | None, query: FigureQuery) -> list[Figure]:
        found, changes = await self._reads.run(
            "read_figures", tenant or "", query.step, query.since, query.until, int(query.by_start), *query.metrics
        )
        return with_unfolded(_stored(found, query), map(_counted, changes), query)

    @override
    async def fold_figures(self, *, records_seconds: float) -> int:
        before = self._now() - int(records_seconds * 1000)
        folded, more = await self._fold_part()
        while more:
            count, more = await self._fold_part()
            folded += count
        if folded:
            await repeat(
                lambda: self._writes.run("prune_records", before, ENTRIES_KEPT, PRUNED_AT_ONCE), PRUNED_AT_ONCE
            )
        return folded

    async def _fold_part(self) -> tuple[int, bool]:
        """Add up to FOLDED_AT_ONCE entries to the figures. Return how many, and whether more may be left."""
        head, last, count, more, changes, _ = await self._reads.run("list_unfolded", FOLDED_AT_ONCE)
        if not count:
            return 0, False
        arguments: list[str | int] = []
        for step, key, value in stored_figures(map(_counted, changes)):
            field = json.dumps([key.agent, key.priority, key.label])
            arguments += [step, key.tenant, key.metric, key.start, field, value]
        added = await self._writes.run("fold_figures", head, last, *arguments)
        return (int(count), bool(more)) if added else (0, False)

    @override
    async def prune_figures(self, *, older_than_seconds: float) -> None:
        for step, seconds in kept_seconds(older_than_seconds):
            before = self._now() - int(seconds * 1000)
            await repeat(partial(self._writes.run, "prune_figures", step, before, PRUNED_AT_ONCE), PRUNED_AT_ONCE)


def _counted(counted: Sequence[Any]) -> Counted:
    """Return changes as `lua/shared/counted.lua` counts them."""
    (start, tenant, kind, agent, priority, wait, first_token, run, code, usage), count = counted
    wait, first_token, run = (None if each < 0 else each for each in (wait, first_token, run))
    return Counted(start, tenant, kind, agent, priority, wait, first_token, run, code or None, usage or None, count)


def _stored(found: Sequence[Any], query: FigureQuery) -> Iterator[Figure]:
    """Yield the figures of a query from the reply of `read_figures.lua`."""
    parsed: dict[str, list[str]] = {}  # the same few fields are in each period
    for tenant, metric, start, values in found:
        for field, value in zip(values[::2], values[1::2], strict=True):
            parts = parsed.get(field) or parsed.setdefault(field, json.loads(field))
            key = FigureKey(tenant, metric, int(start), *parts)
            if (figure := selected(query, key, int(value))) is not None:
                yield figure
