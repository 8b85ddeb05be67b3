"""LangGraph's store in the queue's database. Graphs get it as `runtime.store`, functions as `store`.

Its calls run on the event loop that owns the database. The agents' loop and threads of synchronous nodes may therefore
make them. See docs/adr/0044.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

from langgraph.store import base
from typing_extensions import override

from ..models.attempts import Lease
from ..models.items import (
    Item,
    ItemName,
    ItemSearch,
    ItemTtl,
    ItemWrite,
    Namespace,
    NamespaceListing,
    NamespaceMatch,
)
from ..policy.items import checked_key, checked_labels, checked_page, compiled, deleted_item, new_item
from ..store.items import refresh_read
from ..store.ports import ItemStore

T = TypeVar("T")

ItemStoreFactory = Callable[[str, Lease | None], base.BaseStore]
"""Makes the store of a tenant: of a run with this lease, or outside of runs."""


class Items(NamedTuple):
    """The items of all tenants: their store, the event loop that owns it, and what the server's settings say.

    `max_value_bytes` limits the value of an item as JSON.
    """

    store: ItemStore
    loop: asyncio.AbstractEventLoop
    ttl: ItemTtl
    max_value_bytes: int

    def store_of(self, tenant: str, lease: Lease | None) -> "GraphItemStore":
        """Return the store of a tenant: of a run with this lease, or outside of runs."""
        return GraphItemStore(self, tenant, lease)


class GraphItemStore(base.BaseStore):
    """The items of one tenant as LangGraph's store. A write of an attempt that has lost its lease raises LeaseLost.

    There is no semantic search: `query` and `index` have no effect, as with LangGraph's own stores without an index.
    Raises InvalidItem for what cannot be stored.
    """

    supports_ttl = True

    def __init__(self, items: Items, tenant: str, lease: Lease | None = None) -> None:
        self._items = items
        self._tenant = tenant
        self._lease = lease
        self.ttl_config = base.TTLConfig(
            refresh_on_read=items.ttl.refresh_on_read, omit_expired=True, default_ttl=items.ttl.default_minutes
        )

    @override
    def batch(self, ops: Iterable[base.Op]) -> list[base.Result]:
        batch = self._batch(ops)
        return batch.results(self._send(self._run(batch)).result())

    @override
    async def abatch(self, ops: Iterable[base.Op]) -> list[base.Result]:
        batch = self._batch(ops)
        if asyncio.get_running_loop() is self._items.loop:
            return batch.results(await self._run(batch))
        return batch.results(await asyncio.wrap_future(self._send(self._run(batch))))

    def _batch(self, ops: Iterable[base.Op]) -> "_Batch":
        # Values are converted on the caller's thread, since their classes may be the user's.
        return _Batch([self._call_of(op) for op in ops])

    def _call_of(self, op: base.Op) -> "_Call":
        match op:
            case base.GetOp():
                return _Get(ItemName(checked_labels(op.namespace), checked_key(op.key)), op.refresh_ttl)
            case base.SearchOp():
                checked_page(op.limit, op.offset)
                prefix = checked_labels(op.namespace_prefix, "namespace_prefix")
                return _Search(ItemSearch(prefix, compiled(op.filter), op.limit, op.offset), op.refresh_ttl)
            case base.ListNamespacesOp():
                checked_page(op.limit, op.offset, op.max_depth or 0)
                matches = tuple(
                    NamespaceMatch(each.match_type, checked_labels(each.path, each.match_type))
                    for each in op.match_conditions or ()
                )
                return NamespaceListing(matches, op.max_depth, op.limit, op.offset)
            case base.PutOp():
                if op.value is None:
                    return deleted_item(op.namespace, op.key)
                limit = self._items.max_value_bytes
                return new_item(op.namespace, op.key, op.value, op.ttl, max_bytes=limit)
        raise TypeError(f"unknown operation: {type(op).__name__}")

    def _send(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Run a coroutine on the loop of the database."""
        loop = self._items.loop
        try:
            if loop is _running_loop():
                raise RuntimeError("This call would wait for itself: use the method with `a` in front, and `await` it.")
            return asyncio.run_coroutine_threadsafe(work, loop)
        except RuntimeError:
            work.close()
            raise

    async def _run(self, batch: "_Batch") -> "list[_Found]":
        """Run the reads of a batch, then its writes in one transaction, as LangGraph's stores do."""
        store = self._items.store
        found = await asyncio.gather(*map(self._read, batch.calls))
        if writes := [each for each in batch.calls if isinstance(each, ItemWrite)]:
            await store.put_items(self._tenant, writes, lease=self._lease)
        return list(found)

    async def _read(self, call: "_Call") -> "_Found":
        store, tenant = self._items.store, self._tenant
        match call:
            case _Get(name, refresh):
                items = await store.get_items(tenant, [name])
                if refresh:
                    await refresh_read(store, tenant, items)
                return items
            case _Search(search, refresh):
                page = await self._whole_page(search)
                if refresh:
                    await refresh_read(store, tenant, page)
                return page
            case NamespaceListing():
                return await store.list_namespaces(tenant, call)
            case _:
                return None

    async def _whole_page(self, search: ItemSearch) -> list[Item]:
        """Return a page with `limit` items, however long their values are."""
        page: list[Item] = []
        while len(page) < search.limit:
            left = search._replace(limit=search.limit - len(page), offset=search.offset + len(page))
            more = await self._items.store.search_items(self._tenant, left)
            page += more
            if not more:
                break
        return page


class _Get(NamedTuple):
    name: ItemName
    refresh: bool


class _Search(NamedTuple):
    search: ItemSearch
    refresh: bool


_Call = _Get | _Search | NamespaceListing | ItemWrite
_Found = Sequence[Item | None] | list[Namespace] | None


class _Batch(NamedTuple):
    """The operations of a batch in the form of the store."""

    calls: "list[_Call]"

    def results(self, found: "list[_Found]") -> list[base.Result]:
        """Return what was found as LangGraph's objects."""
        return [_result(call, each) for call, each in zip(self.calls, found, strict=True)]


def _result(call: "_Call", found: "_Found") -> Any:
    match call:
        case _Get():
            (item,) = found or (None,)
            return None if item is None else base.Item(**_fields(item))
        case _Search():
            return [base.SearchItem(**_fields(each)) for each in found or ()]
        case _:
            return found


def _fields(item: Any) -> dict[str, Any]:
    return {
        "namespace": item.namespace,
        "key": item.key,
        "value": json.loads(item.value),
        "created_at": item.created_at,
        "updated_at": item.updated_at,
    }


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
