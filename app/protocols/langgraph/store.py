"""Endpoints of items. The native ones take and give the same bodies; only the answer for a missing item differs."""

from typing import Annotated

from fastapi import Query, Response

from ...access.scopes import AccessScope, needs
from ...api import items
from ...api.deps import PrincipalDep, ServicesDep
from ...api.replies import JsonReply
from ...errors.items import ItemNotFound
from .routing import make_router

router = make_router()

router.put("/store/items")(items.put_item)
router.delete("/store/items")(items.delete_item)
router.post("/store/items/search")(items.search_items)
router.post("/store/namespaces")(items.list_namespaces)


@router.get("/store/items")
@needs(AccessScope.READ)
async def get_item(
    services: ServicesDep,
    principal: PrincipalDep,
    namespace: Annotated[str, Query()],
    key: Annotated[str, Query()],
    refresh_ttl: bool | None = None,
) -> Response:
    """Return an item. A missing one is `null`, as clients of LangGraph's server expect."""
    try:
        return await items.get_item(services, principal, namespace, key, refresh_ttl)
    except ItemNotFound:
        return JsonReply("null")
