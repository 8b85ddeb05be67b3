"""The endpoint for the audit log."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from ..access.scopes import AccessScope, needs
from ..models.audit import AuditAction, AuditFilter
from ..models.types import DayOrTime, Text
from .deps import ServicesDep
from .errors import problems
from .listing import Cursor, Limit, Name, decode_cursor, next_link
from .replies import JsonReply
from .schemas.audit import AuditList, AuditView

router = APIRouter(tags=["audit"])

MAX_TARGET_LENGTH = 1_000


@router.get(
    "/audit",
    operation_id="listAudit",
    summary="List what was changed, and by whom",
    response_model=AuditList,
    responses=problems(422, 503),
)
@needs(AccessScope.ADMIN)
async def list_audit(
    request: Request,
    services: ServicesDep,
    tenant: Annotated[Name | None, Query(description="Only changes of this tenant's data.")] = None,
    actor: Annotated[Name | None, Query(description="Only changes by this actor, such as `key:ID`.")] = None,
    action: Annotated[AuditAction | None, Query(description="Only this action.")] = None,
    target: Annotated[
        Annotated[Text, Query(min_length=1, max_length=MAX_TARGET_LENGTH)] | None,
        Query(description="Only changes of what has this id."),
    ] = None,
    since: Annotated[DayOrTime | None, Query(description="Only changes at this time or later.")] = None,
    until: Annotated[DayOrTime | None, Query(description="Only changes before this time.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List the changes by operators and callers in all tenants, newest first. `Link` leads to older ones.

    Submits and reads are not in the log. Nothing deletes its records, and only an erasure replaces names in them.
    """
    chosen = AuditFilter(tenant, actor, action, target, since, until)
    page = decode_cursor(request, cursor, limit).cursor
    after = None if page is None else page[0]
    found = await services.store.list_audit(chosen, after=after, limit=limit, newest_first=True)
    headers = {} if len(found) < limit else next_link(request, limit, found[-1].number)
    reply = AuditList.model_construct(records=list(map(AuditView.of, found)))
    return JsonReply(reply.model_dump_json(), headers=headers)
