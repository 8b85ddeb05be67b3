"""Endpoints for the settings of tenants. The scope `admin` concerns all tenants, and so do they."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from ..access.scopes import AccessScope, needs
from ..access.tenants import TenantManager
from .deps import ActorDep, PrincipalDep, ServicesDep, body_of, described_body
from .errors import problems
from .listing import Cursor, Limit, decode_cursor, next_link
from .path_names import tenant_in_path
from .replies import JsonReply
from .schemas.tenants import TenantChange, TenantList, TenantView

router = APIRouter(prefix="/tenants", tags=["tenants"])


async def tenant_manager(services: ServicesDep, principal: PrincipalDep, by: ActorDep) -> TenantManager:
    """Return the manager of tenants with the rights of the caller, as a dependency."""
    return TenantManager(services.store, principal, by, max_queue_size=services.settings.max_queue_size)


TenantManagerDep = Annotated[TenantManager, Depends(tenant_manager)]
TenantDep = Annotated[str, Depends(tenant_in_path)]


@router.get(
    "",
    operation_id="listTenants",
    summary="List the tenants that have settings",
    response_model=TenantList,
    responses=problems(422, 503),
)
@needs(AccessScope.ADMIN)
async def list_tenants(
    request: Request, tenants: TenantManagerDep, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List the records of tenants by name. `Link` leads to further ones."""
    _, after = decode_cursor(request, cursor, limit).cursor or (0, "")
    found = await tenants.list(after=after, limit=limit)
    headers = {} if len(found) < limit else next_link(request, limit, 0, found[-1].tenant)
    return JsonReply(
        TenantList.model_construct(tenants=list(map(TenantView.of, found))).model_dump_json(), headers=headers
    )


@router.get(
    "/{tenant:path}",
    operation_id="getTenant",
    summary="Get the settings of a tenant",
    response_model=TenantView,
    responses=problems(404, 422, 503),
)
@needs(AccessScope.ADMIN)
async def get_tenant(tenant: TenantDep, tenants: TenantManagerDep) -> Response:
    """Return the record of a tenant. Without one, the server's settings count for the tenant."""
    return JsonReply(TenantView.of(await tenants.get(tenant)).model_dump_json())


@router.patch(
    "/{tenant:path}",
    operation_id="changeTenant",
    summary="Change the settings of a tenant",
    response_model=TenantView,
    responses=problems(404, 409, 413, 415, 422, 503, 504),
    openapi_extra=described_body(TenantChange),
)
@needs(AccessScope.ADMIN)
async def change_tenant(
    request: Request, tenant: TenantDep, services: ServicesDep, tenants: TenantManagerDep
) -> Response:
    """Change the given settings of a tenant, and make its record if there is none. Every process follows in seconds.

    Fields that are not given stay as they are, also those of limits and quotas. Null gives a field its default.
    Settings that contradict each other are refused with 422, and all of them while the tenant is being erased.
    """
    body = await body_of(request, TenantChange)
    stored = await tenants.change(tenant, body.model_dump(exclude_unset=True))
    services.access.recheck()
    return JsonReply(TenantView.of(stored).model_dump_json())
