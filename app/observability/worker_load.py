"""Measures what a worker does, for its heartbeats: its runs, its memory, the text that its agents write."""

import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from ..models.attempts import Lease
from ..models.workers import WorkerLoad, WorkerRun

MOST_RUNS = 100
"""Maximum number of messages that a heartbeat names."""

RATE_SECONDS = 10.0
"""Length of the time whose text counts for the rate."""

CHARACTERS_PER_TOKEN = 4
"""The usual length of a token. Providers tell the true number when a step has ended."""

MEMORY_FILE = Path("/proc/self/statm")


class TextRate:
    """Counts the text that agents write. One thread counts, and any thread may read the rate."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._written: deque[tuple[float, int]] = deque()

    def count(self, characters: int) -> None:
        """Count text that was written now."""
        now = self._clock()
        self._written.append((now, characters))
        while self._written[0][0] < now - RATE_SECONDS:
            self._written.popleft()

    @property
    def tokens_per_second(self) -> float:
        """Return the rate of the last RATE_SECONDS, in tokens by estimate."""
        first = self._clock() - RATE_SECONDS
        characters = sum(count for at, count in self._written.copy() if at >= first)
        return round(characters / CHARACTERS_PER_TOKEN / RATE_SECONDS, 1)


class WorkerRuns:
    """Knows the messages that a worker runs. One thread changes them, and any thread may read them."""

    def __init__(self) -> None:
        self._runs: dict[Lease, WorkerRun] = {}

    def began(self, lease: Lease, *, tenant: str, agent: str) -> None:
        """Note that a run has begun."""
        self._runs[lease] = WorkerRun(message_id=lease.message_id, tenant=tenant, agent=agent)

    def ended(self, lease: Lease) -> None:
        """Note that a run has ended."""
        self._runs.pop(lease, None)

    def load(self, tokens_per_second: float) -> WorkerLoad:
        """Return what the worker does now."""
        runs = tuple(self._runs.copy().values())
        memory = memory_bytes()
        return WorkerLoad(
            busy=len(runs), memory_bytes=memory, tokens_per_second=tokens_per_second, runs=runs[:MOST_RUNS]
        )


def memory_bytes() -> int | None:
    """Return the memory that this process holds, None on hosts that do not tell."""
    try:
        pages = int(MEMORY_FILE.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
