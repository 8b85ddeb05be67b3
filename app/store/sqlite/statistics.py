"""Reads figures about the whole queue."""

from typing_extensions import override

from ...models.statistics import QueueFigures
from ...policy.rank import RankPolicy
from ..ports import StatisticsStore
from ..sql.rooms import SqlRooms
from ..sql.statistics import read_figures


class SqliteStatistics(SqlRooms, StatisticsStore):
    """Implements `StatisticsStore` on SQLite."""

    _ranks: RankPolicy

    @override
    async def queue_figures(self) -> QueueFigures:
        return await self._list_thread.run(lambda: read_figures(self._lists, self._ranks, self._clock.now()))
