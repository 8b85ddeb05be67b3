"""Keeps items. One sorted set for each tenant has the names of its items in order."""

import json
from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from ...errors import LeaseLost
from ...models.attempts import Lease
from ...models.audit import NewAudit
from ...models.items import (
    Item,
    ItemName,
    ItemSearch,
    ItemWrite,
    Namespace,
    NamespaceListing,
    end_of,
    labels_of,
    namespace_text,
)
from ...policy.items import matches
from ..items import NamespaceRange, find_namespaces, last_writes
from ..limits import PAGE_TEXT_LENGTH
from ..parts import repeat_up_to
from ..ports import ItemStore
from ..rows import to_item
from .rooms import RedisRooms

ITEMS_AT_ONCE = 500
"""Maximum number of items that one script reads or deletes."""

VALUES_AT_ONCE = 1024 * 1024
"""Bytes of values after which one script reads no more of them."""

KEY_MARK = "\0"
"""Stands between a namespace and a key, which have no such character."""


class RedisItems(RedisRooms, ItemStore):
    """Implements `ItemStore` on Redis."""

    @override
    async def get_items(self, tenant: str, names: Sequence[ItemName]) -> list[Item | None]:
        if not names:
            return []
        rows = await self._rows(tenant, names, "")
        return [None if row is None else _item(name, row) for name, row in zip(names, rows, strict=True)]

    @override
    async def put_items(
        self,
        tenant: str,
        writes: Sequence[ItemWrite],
        *,
        lease: Lease | None = None,
        audit: NewAudit | None = None,
    ) -> None:
        named = [
            part
            for each in last_writes(writes)
            for part in (_member(each.name), each.value or "", "" if each.ttl_ms is None else each.ttl_ms)
        ]
        held = ("", "") if lease is None else (lease.message_id, lease.fence)
        record = self._record(audit)
        if not await self._writes.run("put_items", self._now(), tenant, *held, *named, audit=record):
            assert lease is not None, "only the lease can be refused"
            raise LeaseLost(lease.message_id, lease.fence)

    @override
    async def search_items(self, tenant: str, search: ItemSearch) -> list[Item]:
        # Scripts read parts, so that the server does other work in between. Only names and times of the matching items
        # are kept until the page is known.
        found: list[tuple[int, bytes, bytes, ItemName]] = []
        begin = namespace_text(search.prefix)
        after: str | None = f"[{begin}"
        while after is not None:
            rows, after = await self._reads.run(
                "search_items", self._now(), tenant, after, f"({end_of(begin)}", ITEMS_AT_ONCE,
                VALUES_AT_ONCE if search.filter else "",
            )  # fmt: skip
            for member, updated_at, *value in rows:
                if not search.filter or matches(json.loads(value[0]), search.filter):
                    namespace, _, key = member.partition(KEY_MARK)
                    name = ItemName(labels_of(namespace), key)
                    found.append((-int(updated_at), namespace.encode(), key.encode(), name))
        found.sort()
        page = [name for *_, name in found[search.offset :][: search.limit]]
        items: list[Item] = []
        length = 0
        while page and length < PAGE_TEXT_LENGTH:
            part, page = page[:ITEMS_AT_ONCE], page[ITEMS_AT_ONCE:]
            rows = await self._rows(tenant, part, PAGE_TEXT_LENGTH - length)
            items += [_item(name, row) for name, row in zip(part, rows, strict=False) if row is not None]
            length += sum(len(row[0].encode()) for row in rows if row is not None)
        return items

    async def _rows(self, tenant: str, names: Sequence[ItemName], most: int | str) -> list[list[Any] | None]:
        """Return the values and times of items, None for one that does not exist. Ends early after `most` bytes."""
        rows: list[list[Any] | None] = await self._reads.run(
            "get_items", self._now(), tenant, most, *map(_member, names)
        )
        return rows

    @override
    async def list_namespaces(self, tenant: str, listing: NamespaceListing) -> list[Namespace]:
        async def read(part: NamespaceRange) -> Sequence[str]:
            texts: list[str] = await self._reads.run("list_namespaces", self._now(), tenant, *part)
            return texts

        return await find_namespaces(read, listing)

    @override
    async def refresh_items(self, tenant: str, names: Sequence[ItemName]) -> None:
        await self._writes.run("refresh_items", self._now(), tenant, *map(_member, names))

    @override
    async def prune_items(self, *, limit: int) -> int:
        async def prune_part(size: int) -> int:
            count: int = await self._writes.run("prune_items", self._now(), size)
            return count

        return await repeat_up_to(prune_part, limit, ITEMS_AT_ONCE)


def _member(name: ItemName) -> str:
    """Return the member of an item in its tenant's sorted set."""
    return f"{namespace_text(name.namespace)}{KEY_MARK}{name.key}"


def _item(name: ItemName, row: Sequence[Any]) -> Item:
    value, created_at, updated_at, ttl_ms = row
    return to_item((namespace_text(name.namespace), name.key, value, created_at, updated_at, ttl_ms))
