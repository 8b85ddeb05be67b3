"""The endpoints for what is stored."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from ..access.scopes import AccessScope, needs
from .deps import PrincipalDep, ServicesDep, ThreadIdDep
from .errors import problems
from .listing import Cursor, Name, decode_cursor, next_link
from .replies import JsonReply
from .schemas.storage import LargestThreads, StorageReport, ThreadStorageView

router = APIRouter(tags=["storage"])

MaxAge = Annotated[
    float | None,
    Query(
        ge=0,
        le=86_400,
        allow_inf_nan=False,
        description="How many seconds ago the measurement may have begun. 0 measures anew. By default 60, and longer "
        "if a measurement takes more than 6 seconds.",
    ),
]
Tenant = Annotated[Name | None, Query(description="Only this tenant. Other tenants need the scope `admin`.")]
TenantLimit = Annotated[int, Query(ge=1, le=100, description="Maximum number of tenants.")]
ThreadLimit = Annotated[int, Query(ge=1, le=1000, description="Maximum number of threads.")]


@router.get(
    "/storage",
    operation_id="getStorage",
    summary="See what is stored, and for how long",
    response_model=StorageReport,
    responses=problems(403, 422, 503),
)
@needs(AccessScope.READ)
async def get_storage(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    tenant: Tenant = None,
    max_age: MaxAge = None,
    limit: TenantLimit = 100,
    cursor: Cursor = None,
) -> Response:
    """Return rows and bytes of messages, events, memories and items by tenant. `Link` leads to further tenants.

    Callers see their own tenant. The scope `admin` shows all tenants, and what the database uses up. Measurements run
    in the background in small parts. The reply comes after five seconds at the latest, perhaps with an older
    measurement, or with one that is not complete yet.
    """
    _, after = decode_cursor(request, cursor, limit).cursor or (0, "")
    found = await services.storage.tenants(principal, tenant, after=after, limit=limit, max_age=max_age)
    engine = await services.storage.engine(principal)
    more = tenant is None and engine is not None and len(found) == limit  # others see one tenant
    headers = next_link(request, limit, 0, found[-1].stored.tenant) if more else {}
    report = StorageReport.of(found, engine, services.settings)
    return JsonReply(report.model_dump_json(), headers=headers)


@router.get(
    "/storage/threads",
    operation_id="listLargestThreads",
    summary="List the largest conversations",
    response_model=LargestThreads,
    responses=problems(403, 422, 503),
)
@needs(AccessScope.READ)
async def list_largest_threads(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    tenant: Tenant = None,
    max_age: MaxAge = None,
    limit: ThreadLimit = 100,
    cursor: Cursor = None,
) -> Response:
    """List the threads of a tenant that store the most bytes, the largest first. `Link` leads to smaller ones.

    They come from the measurement of the tenant, by default from that of the caller's own.
    """
    page = decode_cursor(request, cursor, limit)
    stored, threads = await services.storage.largest_threads(principal, tenant, page, max_age=max_age)
    headers = next_link(request, limit, threads[-1].total_bytes, threads[-1].thread_id) if len(threads) == limit else {}
    return JsonReply(LargestThreads.of(stored, threads).model_dump_json(), headers=headers)


@router.get(
    "/threads/{thread_id:path}/storage",
    operation_id="getThreadStorage",
    summary="See what a conversation stores",
    response_model=ThreadStorageView,
    responses=problems(403, 404, 422, 503),
)
@needs(AccessScope.READ)
async def get_thread_storage(
    services: ServicesDep, principal: PrincipalDep, thread_id: ThreadIdDep, max_age: MaxAge = None
) -> Response:
    """Measure the messages and events of a thread, and what the agent remembers of it.

    The reply comes after five seconds at the latest, perhaps with an older measurement, or with one that is not
    complete yet.
    """
    stored, thread = await services.storage.thread(principal, thread_id, max_age=max_age)
    return JsonReply(ThreadStorageView.of_measured(stored, thread).model_dump_json())
