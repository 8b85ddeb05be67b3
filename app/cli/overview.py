"""Reads the queue as a whole for `agentq top`: its numbers, what runs, waits and failed, workers and problems."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..client.errors import PermissionDenied
from .terminal import jsonable

if TYPE_CHECKING:
    from ..client import AsyncAgentQ
    from ..client.models import DeadLetter, QueueState, Report, Statistics, Worker

T = TypeVar("T")

SHOWN = 50
"""How many waiting and how many failed messages are read."""


class Overview(NamedTuple):
    """The queue at a moment. None stands for what the caller may not see."""

    at: datetime
    queue: "QueueState"
    failed: "list[DeadLetter]"
    statistics: "Statistics | None" = None
    workers: "list[Worker] | None" = None
    report: "Report | None" = None

    def as_json(self) -> dict[str, Any]:
        """Return the overview as JSON has it."""
        return {
            "at": self.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "statistics": self.statistics and jsonable(self.statistics),
            "queue": jsonable(self.queue),
            "failed": [jsonable(each) for each in self.failed],
            "workers": None if self.workers is None else [jsonable(each) for each in self.workers],
            "problems": None if self.report is None else [jsonable(each) for each in self.report.findings],
        }


async def read_overview(client: "AsyncAgentQ", before: Overview | None = None) -> Overview:
    """Read the queue. The report of the server's doctor is that of `before`, if it is given."""
    queue, failed, statistics, workers = await asyncio.gather(
        client.queue.get(limit=SHOWN),
        _newest_failed(client),
        _allowed(client.statistics.get()),
        _allowed(client.workers.list()),
    )
    report = await _allowed(client.server.doctor()) if before is None else before.report
    found = None if workers is None else list(workers)
    return Overview(datetime.now(UTC), queue, failed, statistics, found, report)


async def _newest_failed(client: "AsyncAgentQ") -> "list[DeadLetter]":
    return await anext(client.dead_letters.list(limit=SHOWN).pages())


async def _allowed(reading: Awaitable[T]) -> T | None:
    """Return what was read, None if the caller may not see it."""
    try:
        return await reading
    except PermissionDenied:
        return None
