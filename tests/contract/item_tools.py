"""Short words for tests of items."""

import asyncio
from typing import Any

from app.agents.item_store import GraphItemStore, Items
from app.models.attempts import Lease
from app.models.items import NEVER_EXPIRES, Item, ItemName, ItemSearch, ItemTtl
from app.policy.items import compiled, new_item
from app.store.ports import Store
from tests.contract.builders import ALL, TENANT

MAX_VALUE_BYTES = 1024 * 1024


async def put(
    store: Store,
    namespace: tuple[str, ...],
    key: str,
    value: dict[str, Any] | None = None,
    *,
    ttl: float | None = None,
    tenant: str = TENANT,
    lease: Lease | None = None,
) -> None:
    """Store an item."""
    item = new_item(namespace, key, {} if value is None else value, ttl, max_bytes=MAX_VALUE_BYTES)
    await store.put_items(tenant, [item], lease=lease)


async def get(store: Store, namespace: tuple[str, ...], key: str, tenant: str = TENANT) -> Item | None:
    """An item, if it is there."""
    (item,) = await store.get_items(tenant, [ItemName(namespace, key)])
    return item


async def keys(
    store: Store,
    prefix: tuple[str, ...] = (),
    wanted: dict[str, Any] | None = None,
    *,
    limit: int = ALL,
    offset: int = 0,
    tenant: str = TENANT,
) -> list[str]:
    """The keys of the items that a search finds, in its order."""
    return [each.key for each in await store.search_items(tenant, ItemSearch(prefix, compiled(wanted), limit, offset))]


def graph_store(
    store: Store, *, tenant: str = TENANT, lease: Lease | None = None, ttl: ItemTtl = NEVER_EXPIRES
) -> GraphItemStore:
    """The store as a graph of this process has it."""
    return GraphItemStore(Items(store, asyncio.get_running_loop(), ttl, MAX_VALUE_BYTES), tenant, lease)
