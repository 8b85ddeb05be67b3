"""Measures what is stored. Scripts read parts, so that the server does other work in between."""

import json
from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from ...models.storage import (
    MeasuredItems,
    MeasuredMessages,
    MeasuredThread,
    MeasuredThreads,
    MessageSizes,
    StorageArea,
)
from ..ports import StorageStore
from .connection import facts_of
from .rooms import RedisRooms

KEYS_AT_ONCE = 500
"""Number of keys that one script looks at for the names of tenants."""

READ_AT_ONCE = 1_000
"""Most that one script reads, in events. A message counts for five."""


class RedisStorage(RedisRooms, StorageStore):
    """Implements `StorageStore` on Redis."""

    @override
    async def list_stored_tenants(self, *, after: str, limit: int) -> list[str]:
        found: set[str] = set()
        cursor = ""
        while cursor != "0":
            cursor, tenants = await self._reads.run("list_stored_tenants", cursor or "0", KEYS_AT_ONCE)
            found.update(tenant for tenant in tenants if tenant > after)
        return sorted(found)[:limit]

    @override
    async def measure_threads(self, tenant: str, place: str, *, limit: int) -> MeasuredThreads:
        begin = json.loads(place) if place else ["", "", 0, 0]
        rows, left = await self._reads.run("measure_threads", tenant, *begin, min(limit, READ_AT_ONCE))
        found = [MeasuredThread(thread_id, MessageSizes(*sizes)) for thread_id, sizes in rows]
        return MeasuredThreads(found, json.dumps(left) if left else None)

    @override
    async def measure_thread(self, tenant: str, thread_id: str, place: str, *, limit: int) -> MeasuredThreads:
        begin = json.loads(place) if place else [0, 0]
        sizes, *left = await self._reads.run("measure_thread", tenant, thread_id, *begin, min(limit, READ_AT_ONCE))
        found = [MeasuredThread(thread_id, MessageSizes(*sizes))] if any(sizes) else []
        return MeasuredThreads(found, _place(left))

    @override
    async def measure_messages(self, tenant: str, place: str, *, limit: int) -> MeasuredMessages:
        begin = json.loads(place) if place else [0, 0]
        sizes, ids, *left = await self._reads.run("measure_messages", tenant, *begin, min(limit, READ_AT_ONCE))
        return MeasuredMessages(MessageSizes(*sizes), ids, _place(left))

    @override
    async def measure_items(self, tenant: str, place: str, *, limit: int) -> MeasuredItems:
        items, size, left = await self._reads.run("measure_items", tenant, place or "-", min(limit, KEYS_AT_ONCE))
        return MeasuredItems(items, size, left or None)

    @override
    async def measure_engine(self) -> Sequence[StorageArea]:
        text, keys = await self._reads.run("measure_engine")
        facts = facts_of(text)

        def number(name: str) -> int | None:
            return int(facts[name]) if name in facts else None

        areas = [StorageArea("total", number("used_memory"), keys)]
        if facts.get("aof_enabled") == "1":
            areas.append(StorageArea("append-only file", number("aof_current_size")))
        return areas


def _place(left: Sequence[Any]) -> str | None:
    """Return the place for a number and the counted events of its message, None without a number."""
    return None if left[0] is None else json.dumps(left)
