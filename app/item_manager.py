"""Reads and changes items for clients."""

from collections.abc import Mapping, Sequence
from typing import Any

from .access.principals import Principal
from .errors import Forbidden
from .errors.items import ItemNotFound
from .models.audit import Actor, AuditAction, record_of
from .models.items import (
    Item,
    ItemName,
    ItemSearch,
    ItemTtl,
    Namespace,
    NamespaceListing,
    NamespaceMatch,
    own_namespace,
)
from .policy.items import checked_key, checked_labels, checked_page, compiled, deleted_item, new_item
from .store.items import refresh_read
from .store.ports import ItemStore


class ItemManager:
    """Keeps the items of tenants. `ttl` has the defaults, `max_value_bytes` limits a value as JSON.

    `refresh` says whether a read lets the time to live of its items begin again; None means the default. All methods
    raise InvalidItem for names and values that no item can have.
    """

    def __init__(self, store: ItemStore, *, ttl: ItemTtl, max_value_bytes: int) -> None:
        self._store = store
        self._max_value_bytes = max_value_bytes
        self.ttl = ttl

    async def get(self, caller: Principal, namespace: Sequence[str], key: str, *, refresh: bool | None = None) -> Item:
        """Return an item. Raises ItemNotFound."""
        labels = checked_labels(namespace)
        (item,) = await self._store.get_items(caller.tenant, [ItemName(labels, checked_key(key))])
        if item is None or not _may_use(caller, labels):
            raise ItemNotFound(key)
        await self._refresh(caller.tenant, [item], refresh)
        return item

    async def put(
        self,
        caller: Principal,
        namespace: Sequence[str],
        key: str,
        value: Mapping[str, Any],
        ttl_minutes: float | None,
        by: Actor | None = None,
    ) -> None:
        """Store an item in place of an earlier one. It expires after `ttl_minutes` without use, with None never."""
        item = new_item(namespace, key, value, ttl_minutes, max_bytes=self._max_value_bytes)
        _require(caller, item.namespace)
        audit = record_of(by, AuditAction.PUT_ITEM, caller.tenant, item.key, namespace=list(item.namespace))
        await self._store.put_items(caller.tenant, [item], audit=audit)

    async def delete(self, caller: Principal, namespace: Sequence[str], key: str, by: Actor | None = None) -> None:
        """Delete an item. Does nothing if there is none. Raises Forbidden."""
        item = deleted_item(namespace, key)
        _require(caller, item.namespace)
        audit = record_of(by, AuditAction.DELETE_ITEM, caller.tenant, item.key, namespace=list(item.namespace))
        await self._store.put_items(caller.tenant, [item], audit=audit)

    async def search(
        self,
        caller: Principal,
        prefix: Sequence[str],
        wanted: Mapping[str, Any] | None,
        *,
        limit: int,
        offset: int,
        refresh: bool | None = None,
    ) -> list[Item]:
        """Return a page of the items in a namespace and inside of it, the last updated first.

        Returns fewer than `limit` when the values are long, but at least one if any is left.
        """
        checked_page(limit, offset)
        labels = checked_labels(prefix, "namespace_prefix")
        _require(caller, labels)
        items = await self._store.search_items(caller.tenant, ItemSearch(labels, compiled(wanted), limit, offset))
        await self._refresh(caller.tenant, items, refresh)
        return items

    async def list_namespaces(
        self,
        caller: Principal,
        *,
        prefix: Sequence[str],
        suffix: Sequence[str],
        max_depth: int | None,
        limit: int,
        offset: int,
    ) -> list[Namespace]:
        """Return a page of the namespaces that have items. `*` in `prefix` and `suffix` stands for any label."""
        checked_page(limit, offset, max_depth or 0)
        matches = (
            NamespaceMatch("prefix", checked_labels(prefix, "prefix")),
            NamespaceMatch("suffix", checked_labels(suffix, "suffix")),
        )
        _require(caller, matches[0].labels)
        return await self._store.list_namespaces(caller.tenant, NamespaceListing(matches, max_depth, limit, offset))

    async def _refresh(self, tenant: str, items: Sequence[Item], refresh: bool | None) -> None:
        if self.ttl.refresh_on_read if refresh is None else refresh:
            await refresh_read(self._store, tenant, items)


def _may_use(caller: Principal, labels: Namespace) -> bool:
    """Return whether the caller may use the items of a namespace: all, or those of their subject."""
    if not caller.is_narrowed:
        return True
    return caller.subject is not None and labels[:2] == own_namespace(caller.subject)


def _require(caller: Principal, labels: Namespace) -> None:
    """Raise Forbidden for a namespace that the caller may not use. It does not matter whether it has items."""
    if not _may_use(caller, labels):
        of = (
            "no items"
            if caller.subject is None
            else f"only items in the namespace {list(own_namespace(caller.subject))}"
        )
        raise Forbidden(f"The caller may use {of}.")
