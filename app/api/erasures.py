"""Endpoints that erase all of a subject or a tenant, and show the receipts."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from ..access.scopes import AccessScope, needs
from ..models.erasures import Erasure
from .deps import ActorDep, PrincipalDep, ServicesDep
from .errors import problems
from .listing import Limit
from .path_names import subject_in_path, tenant_in_path
from .replies import JsonReply
from .schemas.erasures import ErasureList, ErasureView

router = APIRouter(tags=["erasures"])

RESPOND_ASYNC = "respond-async"
"""The preference of RFC 7240 for an immediate reply to work that goes on."""


def prefers_receipt(request: Request) -> bool:
    """Return whether the caller sent `Prefer: respond-async`."""
    given = ",".join(request.headers.getlist("prefer")).split(",")
    return any(each.partition(";")[0].strip().lower() == RESPOND_ASYNC for each in given)


def begun(erasure: Erasure) -> Response:
    """Return the reply to a request that began an erasure."""
    return JsonReply(ErasureView.of(erasure).model_dump_json(), 202, {"Location": f"/erasures/{erasure.id}"})


@router.delete(
    "/subjects/{subject:path}",
    operation_id="eraseSubject",
    summary="Erase all of an end user",
    status_code=202,
    response_model=ErasureView,
    response_description="The erasure has begun. `Location` has its receipt.",
    responses=problems(403, 404, 422, 503, 504),
)
@needs(AccessScope.CONTROL)
async def erase_subject(
    services: ServicesDep, principal: PrincipalDep, by: ActorDep, subject: Annotated[str, Depends(subject_in_path)]
) -> Response:
    """Remove what the tenant has of an end user: messages, threads, memory, items, usage, and names in records.

    Their tokens end at once, and submits for them are refused until the erasure is completed. Their waiting messages
    are cancelled, the running ones too, and removed when they have ended. The work goes on after this reply.
    """
    erasure = await services.erasures.erase_subject(principal, subject, by)
    services.access.recheck()
    return begun(erasure)


@router.delete(
    "/tenants/{tenant:path}",
    operation_id="eraseTenant",
    summary="Erase a tenant",
    status_code=202,
    response_model=ErasureView,
    response_description="The erasure has begun. `Location` has its receipt.",
    responses=problems(404, 422, 503, 504),
)
@needs(AccessScope.ADMIN)
async def erase_tenant(
    services: ServicesDep, by: ActorDep, tenant: Annotated[str, Depends(tenant_in_path)]
) -> Response:
    """Remove all of a tenant, and revoke its keys at once. Keep a key of another tenant to read the receipt.

    Its waiting messages are cancelled, the running ones too, and removed when they have ended. The work goes on after
    this reply.
    """
    erasure = await services.erasures.erase_tenant(tenant, by)
    services.access.recheck()
    return begun(erasure)


@router.get(
    "/erasures",
    operation_id="listErasures",
    summary="List erasures",
    response_model=ErasureList,
    responses=problems(403, 422, 503),
)
@needs(AccessScope.READ)
async def list_erasures(services: ServicesDep, principal: PrincipalDep, limit: Limit = 100) -> Response:
    """List the newest erasures of the tenant, with the scope `admin` those of all tenants."""
    found = await services.erasures.list(principal, limit=limit)
    reply = ErasureList.model_construct(erasures=list(map(ErasureView.of, found)))
    return JsonReply(reply.model_dump_json())


@router.get(
    "/erasures/{erasure_id}",
    operation_id="getErasure",
    summary="Get the receipt of an erasure",
    response_model=ErasureView,
    responses=problems(404, 503),
)
@needs(AccessScope.READ)
async def get_erasure(
    services: ServicesDep,
    principal: PrincipalDep,
    erasure_id: Annotated[str, Path(description="The id of the erasure.")],
) -> Response:
    """Return what an erasure has removed so far. It is kept for good, and names no thread and no subject at the end.

    The token of an end user gets the receipt of a thread's erasure, by the id that the request for it returned.
    """
    return JsonReply(ErasureView.of(await services.erasures.get(principal, erasure_id)).model_dump_json())
