"""Items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from .. import models
from ..calls import items as calls
from ..pages import AsyncPages

if TYPE_CHECKING:
    from ..async_client import AsyncAgentQ


class AsyncItems:
    """Data that agents keep across threads. A namespace is a list of labels, the outermost first, or one text."""

    def __init__(self, client: AsyncAgentQ) -> None:
        self._client = client

    async def put(
        self,
        namespace: Sequence[str],
        key: str,
        value: Mapping[str, Any],
        *,
        ttl_minutes: float | Literal["never"] | None = None,
    ) -> None:
        """Store an item in place of an earlier one. It expires `ttl_minutes` after its last use.

        Without `ttl_minutes`, the server's configuration says when it expires.
        """
        await self._client.call(calls.put_item(namespace, key, value, ttl_minutes))

    async def get(self, namespace: Sequence[str], key: str, *, refresh_ttl: bool | None = None) -> models.Item:
        """Return an item. Raises NotFound if there is none."""
        return await self._client.call(calls.item(namespace, key, refresh_ttl))

    async def delete(self, namespace: Sequence[str], key: str) -> None:
        """Delete an item, if there is one."""
        await self._client.call(calls.delete_item(namespace, key))

    def search(
        self,
        namespace_prefix: Sequence[str] = (),
        *,
        filter: Mapping[str, Any] | None = None,
        limit: int | None = None,
        offset: int | None = None,
        refresh_ttl: bool | None = None,
    ) -> AsyncPages[models.Item]:
        """Return the items in a namespace and inside of it, the last updated first. `limit` is the size of a page."""
        body = {"filter": filter, "limit": limit, "offset": offset, "refresh_ttl": refresh_ttl}
        return self._client.pages(calls.search_items(namespace_prefix, body))

    def namespaces(
        self,
        *,
        prefix: Sequence[str] | None = None,
        suffix: Sequence[str] | None = None,
        max_depth: int | None = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> AsyncPages[tuple[str, ...]]:
        """Return the namespaces that have items. `*` stands for any label. `limit` is the size of a page."""
        return self._client.pages(
            calls.namespaces(prefix, suffix, {"max_depth": max_depth, "limit": limit, "offset": offset})
        )
