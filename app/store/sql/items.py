"""Keeps items: the part that both SQL stores share."""

import json
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from typing_extensions import override

from ...models.attempts import Lease
from ...models.audit import NewAudit
from ...models.items import (
    Condition,
    ConditionGroup,
    Item,
    ItemName,
    ItemSearch,
    ItemWrite,
    Namespace,
    NamespaceListing,
    end_of,
    namespace_text,
)
from ..items import NamespaceRange, find_namespaces, last_writes
from ..limits import PAGE_TEXT_LENGTH
from ..parts import repeat_up_to
from ..ports import ItemStore
from ..rows import to_item
from .audit import RecordedChanges
from .group_commit import GroupCommitThread
from .query_runner import QueryRunner
from .rooms import SqlRooms

PRUNED_ITEMS_AT_ONCE = 500
"""Maximum number of expired items that are deleted in one transaction."""


class ItemChanges(RecordedChanges, Protocol):
    """Changes items, inside a transaction."""

    def put_items(self, tenant: str, writes: Sequence[ItemWrite], lease: Lease | None) -> None:
        """Implement `ItemStore.put_items`. The writes are sorted, each has another name."""

    def refresh_items(self, tenant: str, names: Sequence[ItemName]) -> None:
        """Implement `ItemStore.refresh_items`. The names are sorted."""

    def prune_items(self, limit: int) -> int:
        """Implement `ItemStore.prune_items`."""


class SqlItems(SqlRooms, ItemStore):
    """Implements `ItemStore` for both SQL stores."""

    _item_thread: GroupCommitThread
    _items: ItemChanges

    @override
    async def get_items(self, tenant: str, names: Sequence[ItemName]) -> list[Item | None]:
        return await self._read_thread.run(lambda: _get(self._reads, tenant, names, self._clock.now()))

    @override
    async def put_items(
        self,
        tenant: str,
        writes: Sequence[ItemWrite],
        *,
        lease: Lease | None = None,
        audit: NewAudit | None = None,
    ) -> None:
        sorted_writes = last_writes(writes)
        size = sum(len(each.value or "") for each in sorted_writes)
        await self._item_thread.run(
            lambda: self._items.recorded(audit, lambda: self._items.put_items(tenant, sorted_writes, lease)), size=size
        )

    @override
    async def search_items(self, tenant: str, search: ItemSearch) -> list[Item]:
        return await self._list_thread.run(lambda: _search(self._lists, tenant, search, self._clock.now()))

    @override
    async def list_namespaces(self, tenant: str, listing: NamespaceListing) -> list[Namespace]:
        def read(part: NamespaceRange) -> Awaitable[Sequence[str]]:
            return self._list_thread.run(lambda: _namespaces(self._lists, tenant, part, self._clock.now()))

        return await find_namespaces(read, listing)

    @override
    async def refresh_items(self, tenant: str, names: Sequence[ItemName]) -> None:
        ordered = sorted(set(names), key=lambda each: (namespace_text(each.namespace).encode(), each.key.encode()))
        await self._item_thread.run(lambda: self._items.refresh_items(tenant, ordered), durable=False)

    @override
    async def prune_items(self, *, limit: int) -> int:
        def prune_part(size: int) -> Awaitable[int]:
            return self._item_thread.run(lambda: self._items.prune_items(size), durable=False)

        return await repeat_up_to(prune_part, limit, PRUNED_ITEMS_AT_ONCE)


def expiry(write: ItemWrite, now: int) -> int | None:
    """Return the time at which a written item expires, None if never."""
    return None if write.ttl_ms is None else now + write.ttl_ms


def _get(reads: QueryRunner, tenant: str, names: Sequence[ItemName], now: int) -> list[Item | None]:
    queries = [
        ("get_item", {"tenant": tenant, "namespace": namespace_text(each.namespace), "key": each.key, "now": now})
        for each in names
    ]
    return [to_item(rows[0]) if rows else None for rows in reads.rows_of_each(queries)]


def _search(reads: QueryRunner, tenant: str, search: ItemSearch, now: int) -> list[Item]:
    begin = namespace_text(search.prefix)
    values: dict[str, Any] = {
        "tenant": tenant, "begin": begin, "end": end_of(begin), "now": now, "limit": search.limit,
        "offset": search.offset,
    }  # fmt: skip
    if search.filter:
        rows = reads.rows("search_filtered_items", filter=_filter_text(search.filter), **values)
    else:
        rows = reads.rows("search_items", **values)
    queries = []
    length = 0
    for namespace, key, size in rows:
        queries.append(("get_item", {"tenant": tenant, "namespace": namespace, "key": key, "now": now}))
        length += size
        if length >= PAGE_TEXT_LENGTH:
            break
    return [to_item(found[0]) for found in reads.rows_of_each(queries) if found]


def _namespaces(reads: QueryRunner, tenant: str, part: NamespaceRange, now: int) -> list[str]:
    rows = reads.rows("list_namespaces", tenant=tenant, now=now, **part._asdict())
    return [namespace for (namespace,) in rows]


def _filter_text(groups: Sequence[ConditionGroup]) -> str:
    """Return a filter as the queries read it: a JSON array of groups."""
    return json.dumps(
        [{"negated": group.negated, "conditions": list(map(_as_json, group.conditions))} for group in groups],
        ensure_ascii=False,
    )


def _as_json(condition: Condition) -> dict[str, Any]:
    """Return a condition with its path in both forms: as a list of texts, and as SQLite's JSON functions take it."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{json.dumps(step)}" for step in condition.path)
    return {
        **condition._asdict(),
        "path": list(map(str, condition.path)),
        "json_path": "".join(("$", *steps)),
    }
