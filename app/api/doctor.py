"""The endpoint that examines the server for faults."""

from fastapi import APIRouter, Response

from ..access.scopes import AccessScope, needs
from ..models.diagnosis import Report
from .deps import PrincipalDep, ServicesDep
from .errors import problems
from .replies import JsonReply

router = APIRouter(tags=["health"])


@router.get(
    "/doctor",
    operation_id="getDoctor",
    summary="Find faults and their cures",
    response_model=Report,
    responses=problems(503),
)
@needs(AccessScope.ADMIN)
async def get_doctor(services: ServicesDep, principal: PrincipalDep) -> Response:
    """Examine the queue, its database and this process. Each finding has a stable `code` and a command as its cure.

    The reply is 200 also while the store is away; that is then a finding. Figures are those of all tenants. Ids of
    messages and keys are those of the caller's tenant.
    """
    report = await services.doctor.report(principal.tenant)
    return JsonReply(report.model_dump_json())
