"""Compares counters with a listing.

Sorted sets know their sizes, so that few counters can be wrong: the ended messages by state, the queued ones by
priority, the dead letters of all tenants, and the counts of threads. Ended messages are counted part by part up to a
moment. If one of them is gone at the end, the count is void, and a later round counts again.
"""

from collections import Counter

from typing_extensions import override

from ...models.counts import CountDifference
from ..ports import CountStore
from .rooms import RedisRooms

COUNTED_AT_ONCE = 500
THREADS_AT_ONCE = 20
QUEUED_AT_ONCE = 5_000
"""Number of a tenant's queued messages above which they are not counted by priority: one script would take too long."""

SETTLED_MS = 1000
"""No process dates the end of a message this far in the past."""


class RedisCounts(RedisRooms, CountStore):
    """Implements `CountStore` on Redis."""

    @override
    async def check_counts(self) -> list[CountDifference]:
        until, walked = self._now() - SETTLED_MS, 0
        counted: Counter[tuple[str, str]] = Counter()
        while part := await self._reads.run("count_ended", walked, COUNTED_AT_ONCE, until):
            walked += len(part)
            counted.update((tenant, state) for tenant, state in part)
        given = [part for (tenant, state), count in counted.items() for part in (tenant, state, count)]
        found = [CountDifference(*each) for each in await self._writes.run("check_counts", until, walked, *given)]
        sampled = await self._reads.run("sample_messages", COUNTED_AT_ONCE)
        for tenant in {tenant for tenant, _ in counted} | {row[1] for row in sampled}:
            differing = await self._writes.run("repair_queued", tenant, QUEUED_AT_ONCE)
            found += [CountDifference(*each) for each in differing]
            cursor = "0"
            while True:
                cursor, differing = await self._writes.run("repair_threads", tenant, cursor, THREADS_AT_ONCE)
                found += [CountDifference(*each) for each in differing]
                if cursor == "0":
                    break
        return found
