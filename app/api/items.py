"""Endpoints for items: what agents keep across threads. Their bodies and replies are those of LangGraph's server."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from ..access.scopes import AccessScope, needs
from .deps import ActorDep, PrincipalDep, ServicesDep, body_of, described_body
from .errors import problems
from .replies import JsonReply
from .schemas.items import ItemDelete, ItemList, ItemPut, ItemQuery, ItemView, NamespaceList, NamespaceQuery

router = APIRouter(prefix="/store", tags=["store"])


@router.put(
    "/items",
    operation_id="putItem",
    summary="Store an item",
    status_code=204,
    responses=problems(413, 415, 422, 503, 504),
    openapi_extra=described_body(ItemPut),
)
@needs(AccessScope.CONTROL)
async def put_item(request: Request, services: ServicesDep, principal: PrincipalDep, by: ActorDep) -> Response:
    """Store an item, in place of an earlier one with its namespace and key."""
    body = await body_of(request, ItemPut)
    ttl = body.ttl if "ttl" in body.model_fields_set else services.items.ttl.default_minutes
    await services.items.put(principal, body.namespace, body.key, body.value, ttl, by)
    return Response(status_code=204)


@router.get(
    "/items",
    operation_id="getItem",
    summary="Get an item",
    response_model=ItemView,
    responses=problems(404, 422, 503),
)
@needs(AccessScope.READ)
async def get_item(
    services: ServicesDep,
    principal: PrincipalDep,
    namespace: Annotated[str, Query(description="The labels of the namespace, joined by periods.")],
    key: Annotated[str, Query(description="The key of the item.")],
    refresh_ttl: Annotated[bool | None, Query(description="Whether the time to live begins again.")] = None,
) -> Response:
    """Return an item with its value and its times."""
    item = await services.items.get(principal, namespace.split("."), key, refresh=refresh_ttl)
    return JsonReply(ItemView.of(item).model_dump_json())


@router.delete(
    "/items",
    operation_id="deleteItem",
    summary="Delete an item",
    status_code=204,
    responses=problems(413, 415, 422, 503, 504),
    openapi_extra=described_body(ItemDelete),
)
@needs(AccessScope.CONTROL)
async def delete_item(request: Request, services: ServicesDep, principal: PrincipalDep, by: ActorDep) -> Response:
    """Delete an item. The reply is the same if there is none."""
    body = await body_of(request, ItemDelete)
    await services.items.delete(principal, body.namespace, body.key, by)
    return Response(status_code=204)


@router.post(
    "/items/search",
    operation_id="searchItems",
    summary="Search for items",
    response_model=ItemList,
    responses=problems(413, 415, 422, 503),
    openapi_extra=described_body(ItemQuery),
)
@needs(AccessScope.READ)
async def search_items(request: Request, services: ServicesDep, principal: PrincipalDep) -> Response:
    """Return items in a namespace and inside of it, the last updated first.

    The reply has fewer items than `limit` when their values are long. Continue with `offset` plus the number of items
    until a reply has none.
    """
    body = await body_of(request, ItemQuery)
    items = await services.items.search(
        principal,
        body.namespace_prefix,
        body.filter,
        limit=body.limit,
        offset=body.offset,
        refresh=body.refresh_ttl,
    )
    return JsonReply(ItemList.model_construct(items=list(map(ItemView.of, items))).model_dump_json())


@router.post(
    "/namespaces",
    operation_id="listNamespaces",
    summary="List the namespaces of items",
    response_model=NamespaceList,
    responses=problems(413, 415, 422, 503),
    openapi_extra=described_body(NamespaceQuery),
)
@needs(AccessScope.READ)
async def list_namespaces(request: Request, services: ServicesDep, principal: PrincipalDep) -> Response:
    """Return the namespaces that have items, in the order of their labels."""
    body = await body_of(request, NamespaceQuery)
    found = await services.items.list_namespaces(
        principal,
        prefix=body.prefix or (),
        suffix=body.suffix or (),
        max_depth=body.max_depth,
        limit=body.limit,
        offset=body.offset,
    )
    return JsonReply(NamespaceList(namespaces=list(map(list, found))).model_dump_json())
