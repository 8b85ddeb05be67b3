"""Lets one part of a measurement run at a time, so that measurements never take more than half of an engine's time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

FIRST_LIMIT = 50
LONGEST_LIMIT = 2_000
"""Highest limit of a part."""

SHORT_SECONDS, LONG_SECONDS = 0.01, 0.025
"""Parts that are faster than the first become larger, parts that are slower than the second become smaller."""


LONGEST_REST_SECONDS = 0.5
"""A part that took longer waited for something else than its rows, such as for the memory to be opened."""


class Pace:
    """Runs the parts of all measurements of a process one after the other. After each part, it rests as long."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._limits: dict[str, int] = {}

    async def part(self, kind: str, call: Callable[[int], Awaitable[T]]) -> T:
        """Return what `call` returns for a limit, which follows from how long parts of this kind took before."""
        async with self._turn:
            limit = self._limits.get(kind, FIRST_LIMIT)
            began = time.monotonic()
            try:
                return await call(limit)
            finally:
                took = time.monotonic() - began
                self._limits[kind] = next_limit(limit, took)
                await asyncio.sleep(min(took, LONGEST_REST_SECONDS))


def next_limit(limit: int, seconds: float) -> int:
    """Return the limit that follows a part of `limit` that took so long."""
    if seconds < SHORT_SECONDS:
        return min(2 * limit, LONGEST_LIMIT)
    return max(limit // 2, 1) if seconds > LONG_SECONDS else limit
