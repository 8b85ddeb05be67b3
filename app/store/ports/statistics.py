"""Figures about the whole queue."""

from typing import Protocol

from ...models.statistics import QueueFigures


class StatisticsStore(Protocol):
    """Reads figures about the messages of all tenants (tests/contract/test_statistics.py)."""

    async def queue_figures(self) -> QueueFigures:
        """Return the figures of this moment. The work does not grow with the number of messages."""
