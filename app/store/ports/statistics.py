"""Figures about the queue, at one moment and over time."""

from typing import Protocol

from ...models.statistics import Figure, FigureQuery, QueueFigures


class StatisticsStore(Protocol):
    """Reads figures about messages (tests/contract/test_statistics.py, test_figures.py).

    Each change of a message's state is recorded in its transaction. `fold_figures` adds what was recorded to the
    figures of minutes, hours and days, from time to time. `read_figures` counts records that are not yet added, too.
    A figure is therefore exact at all times. It stays when its messages are deleted.
    """

    async def queue_figures(self) -> QueueFigures:
        """Return the figures of this moment, of all tenants. The work does not grow with the number of messages."""

    async def read_figures(self, tenant: str | None, query: FigureQuery) -> list[Figure]:
        """Return the figures of a tenant, with None those of all tenants, sorted. There is none for what is 0.

        The work grows with the number of periods, agents and priorities, not with the number of messages.
        """

    async def fold_figures(self, *, records_seconds: float) -> int:
        """Add recorded changes to the stored figures. Return how many. Processes may call this at the same time.

        Deletes records that are older than `records_seconds`, and the oldest of more than RECORDS_KEPT.
        """

    async def prune_figures(self, *, older_than_seconds: float) -> None:
        """Delete figures of hours and days that began more than `older_than_seconds` ago, and those of old minutes.

        Figures of minutes are kept for MINUTES_KEPT_SECONDS.
        """
