"""Measures what is stored: the part that both SQL stores share. All reads are on the connection for long lists."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from typing_extensions import override

from ...models.storage import (
    FIRST_PLACE,
    MeasuredItems,
    MeasuredMessages,
    MeasuredThread,
    MeasuredThreads,
    MessageSizes,
)
from ..ports import StorageStore
from .query_runner import QueryRunner
from .rooms import SqlRooms

LAST_NUMBER = 2**62
"""Above all thread numbers."""


class SqlStorage(SqlRooms, StorageStore):
    """Implements `StorageStore` for both SQL stores, except for `measure_engine`."""

    @override
    async def list_stored_tenants(self, *, after: str, limit: int) -> list[str]:
        rows = await self._list_thread.run(lambda: self._lists.rows("list_stored_tenants", after=after, limit=limit))
        return [tenant for (tenant,) in rows]

    @override
    async def measure_threads(self, tenant: str, place: str, *, limit: int) -> MeasuredThreads:
        return await self._list_thread.run(partial(_threads, self._lists, tenant, place, limit))

    @override
    async def measure_thread(self, tenant: str, thread_id: str, place: str, *, limit: int) -> MeasuredThreads:
        return await self._list_thread.run(partial(_thread, self._lists, tenant, thread_id, place, limit))

    @override
    async def measure_messages(self, tenant: str, place: str, *, limit: int) -> MeasuredMessages:
        return await self._list_thread.run(partial(_messages, self._lists, tenant, place, limit))

    @override
    async def measure_items(self, tenant: str, place: str, *, limit: int) -> MeasuredItems:
        return await self._list_thread.run(partial(_items, self._lists, tenant, place, limit))


def _threads(reads: QueryRunner, tenant: str, place: str, limit: int) -> MeasuredThreads:
    """Return the rest of the thread in which the last part ended, or the threads that follow."""
    thread_id, number = json.loads(place) if place else ("", LAST_NUMBER)
    if number < LAST_NUMBER:
        rest = _thread(reads, tenant, thread_id, json.dumps([thread_id, number]), limit)
        return rest if rest.place else rest._replace(place=json.dumps([thread_id, LAST_NUMBER]))
    ids = [each for (each,) in reads.rows("list_thread_ids", tenant=tenant, thread_id=thread_id, limit=limit)]
    if not ids:
        return MeasuredThreads([], None)
    rows = reads.rows("measure_threads", tenant=tenant, thread_id=thread_id, last=ids[-1], limit=limit)
    left = None if len(ids) < limit else json.dumps([ids[-1], LAST_NUMBER])
    if len(rows) == limit:  # the last of these threads may have further messages
        last, number = rows[-1][:2]
        ids, left = [each for each in ids if each.encode() <= last.encode()], json.dumps([last, number])
    sizes = _by_thread(rows)
    return MeasuredThreads([MeasuredThread(each, sizes.get(each, MessageSizes())) for each in ids], left)


def _thread(reads: QueryRunner, tenant: str, thread_id: str, place: str, limit: int) -> MeasuredThreads:
    number = json.loads(place)[1] if place else 0
    rows = reads.rows("measure_thread", tenant=tenant, thread_id=thread_id, number=number, limit=limit)
    threads = [MeasuredThread(*each) for each in _by_thread(rows).items()]
    return MeasuredThreads(threads, json.dumps([thread_id, rows[-1][1]]) if len(rows) == limit else None)


def _by_thread(rows: Sequence[tuple[Any, ...]]) -> dict[str, MessageSizes]:
    """Return the sums over rows of thread, thread number and sizes."""
    found: dict[str, MessageSizes] = {}
    for thread_id, _, *sizes in rows:
        found[thread_id] = found.get(thread_id, MessageSizes()).plus(MessageSizes(1, *map(int, sizes)))
    return found


def _messages(reads: QueryRunner, tenant: str, place: str, limit: int) -> MeasuredMessages:
    after = 0 if place == FIRST_PLACE else int(place)
    rows = reads.rows("measure_messages", tenant=tenant, number=after, limit=limit)
    found, ids = MessageSizes(), []
    for _, message_id, *sizes in rows:
        if message_id is not None:
            found = found.plus(MessageSizes(1, *map(int, sizes)))
            ids.append(message_id)
    return MeasuredMessages(found, ids, str(rows[-1][0]) if len(rows) == limit else None)


def _items(reads: QueryRunner, tenant: str, place: str, limit: int) -> MeasuredItems:
    namespace, key = json.loads(place) if place else ("", "")
    rows = reads.rows("measure_items", tenant=tenant, namespace=namespace, key=key, limit=limit)
    after = json.dumps(rows[-1][:2]) if len(rows) == limit else None
    return MeasuredItems(len(rows), sum(size for *_, size in rows), after)
