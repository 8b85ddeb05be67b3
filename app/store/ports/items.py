"""Items that agents keep across threads."""

from collections.abc import Sequence
from typing import Protocol

from ...models.attempts import Lease
from ...models.audit import NewAudit
from ...models.items import Item, ItemName, ItemSearch, ItemWrite, Namespace, NamespaceListing


class ItemStore(Protocol):
    """Keeps items by namespace and key (tests/contract/test_items.py). `app.policy.items` checks names and values.

    No method shows an expired item, whether or not `prune_items` has deleted it.
    """

    async def get_items(self, tenant: str, names: Sequence[ItemName]) -> list[Item | None]:
        """Return the items with these names, in order. None stands for an item that does not exist."""

    async def put_items(
        self,
        tenant: str,
        writes: Sequence[ItemWrite],
        *,
        lease: Lease | None = None,
        audit: NewAudit | None = None,
    ) -> None:
        """Store and delete items, all of them or none. Of writes with one name, the last counts.

        A stored item keeps its `created_at`. With a `lease`, raises LeaseLost if the message has another fence by now,
        has failed, was cancelled or deleted. A question to a human raises the fence too. The lease of an attempt that
        has answered is still good, since agents may store what they learn after it.
        """

    async def search_items(self, tenant: str, search: ItemSearch) -> list[Item]:
        """Return a page of items, the last updated first, then by namespace and key.

        Returns fewer items when their values reach PAGE_TEXT_LENGTH, but at least one if any is left. A search with a
        filter takes as long as the namespace is large.
        """

    async def list_namespaces(self, tenant: str, listing: NamespaceListing) -> list[Namespace]:
        """Return a page of the namespaces that have items, in the order of their labels."""

    async def refresh_items(self, tenant: str, names: Sequence[ItemName]) -> None:
        """Let the time to live of these items begin again. Does nothing for items that do not expire."""

    async def prune_items(self, *, limit: int) -> int:
        """Delete up to `limit` expired items of all tenants. Return how many."""
