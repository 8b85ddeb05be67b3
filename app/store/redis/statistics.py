"""Reads figures about the whole queue."""

from typing_extensions import override

from ...models.messages import Priority
from ...models.statistics import QueueFigures
from ..ports import StatisticsStore
from ..rows import to_queue_figures
from .rooms import RedisRooms


class RedisStatistics(RedisRooms, StatisticsStore):
    """Implements `StatisticsStore` on Redis."""

    @override
    async def queue_figures(self) -> QueueFigures:
        levels, delayed, processing, interrupted, failed = await self._reads.run("queue_figures", len(Priority))
        return to_queue_figures(
            self._ranks,
            self._now(),
            waiting={level: count for level, (count, _) in enumerate(levels) if count},
            firsts={level: first for level, (_, first) in enumerate(levels) if first},
            delayed=delayed,
            processing=processing,
            interrupted=interrupted,
            failed=max(0, int(failed)),
        )
