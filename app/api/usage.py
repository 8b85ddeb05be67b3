"""The endpoint for usage and cost."""

import json
from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator
from starlette.responses import StreamingResponse

from ..access.scopes import AccessScope, needs
from ..errors import InvalidRequest
from ..models.types import DayOrTime, Text
from ..models.usage import GroupUsage, UsageFilter, UsageGroup, UsageKey
from ..policy.usage_table import checked_groups, csv_head, csv_lines, whole_hour
from ..text import storable
from .deps import PrincipalDep, ServicesDep
from .errors import problems
from .listing import Limit, Name, decode_cursor, next_link
from .replies import JsonReply
from .schemas.usage import UsageReport

router = APIRouter(tags=["usage"])

JSON, CSV = "application/json", "text/csv"
DEFAULT_LIMIT = 100


class UsageFormat(StrEnum):
    """The forms of a reply with usage."""

    JSON = "json"
    CSV = "csv"


WholeHour = Annotated[DayOrTime, AfterValidator(whole_hour)]

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Usage by groups. As CSV, all groups at once.",
        "content": {JSON: {}, CSV: {"schema": {"type": "string"}}},
    }
}


@router.get(
    "/usage",
    operation_id="listUsage",
    summary="List what model calls used and cost",
    response_model=UsageReport,
    responses=RESPONSES | problems(422, 503),
)
@needs(AccessScope.READ)
async def list_usage(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    since: Annotated[
        WholeHour | None,
        Query(description="Only usage at this hour or later: a time of RFC 3339 or a date. By default 30 days ago."),
    ] = None,
    until: Annotated[
        WholeHour | None, Query(description="Only usage before this hour. By default up to the present hour.")
    ] = None,
    group_by: Annotated[
        Text,
        Query(
            max_length=100,
            description="What to group by, separated by commas: `hour` or `day`, `tenant`, `key`, `subject`, `agent`, "
            "`model`. An empty text gives one row.",
        ),
    ] = UsageGroup.DAY.value,
    tenant: Annotated[
        Name | None, Query(description="Only usage of this tenant. Other tenants need the scope `admin`.")
    ] = None,
    key: Annotated[Name | None, Query(description="Only messages that were submitted with this API key.")] = None,
    subject: Annotated[Name | None, Query(description="Only messages of this end user.")] = None,
    agent: Annotated[Name | None, Query(description="Only messages for this agent.")] = None,
    model: Annotated[Name | None, Query(description="Only calls of this model.")] = None,
    format: Annotated[
        UsageFormat | None, Query(description="`csv` is the same as `Accept: text/csv`, and gives all groups at once.")
    ] = None,
    limit: Annotated[Limit | None, Query(description="Maximum number of groups, by default 100.")] = None,
    cursor: Annotated[str | None, Query(description="Where to continue: from the `Link` of the previous page.")] = None,
) -> Response:
    """List the tokens and the cost of model calls by groups. `Link` leads to further groups.

    Callers see their own tenant, or their own end user if they act for one. The scope `admin` shows all tenants.
    Calls of failed attempts are included, and so are calls for deleted messages.
    """
    groups = checked_groups(group_by)
    window = services.usage.window(since, until)
    chosen = UsageFilter(*window, tenant, key, subject, agent, model)
    if _wants_csv(request, format):
        for name, given in (("limit", limit), ("cursor", cursor)):
            if given is not None:
                raise InvalidRequest(f"{name}: expected none with CSV, which has all groups", field=name)
        parts = aiter(services.usage.pages(principal, chosen, groups))
        # Before the status is sent, since it may be refused. Python fails with a tuple as the default.
        first: Sequence[GroupUsage] = await anext(parts, [])
        headers = {"Content-Disposition": 'attachment; filename="usage.csv"'}
        return StreamingResponse(_csv(groups, first, parts), media_type=CSV, headers=headers)
    limit = limit or DEFAULT_LIMIT
    found = await services.usage.page(principal, chosen, groups, after=_after(request, cursor), limit=limit)
    quotas = await services.usage.quotas(principal, chosen)
    reply = UsageReport.of(window, groups, found, quotas)
    headers = {}
    if len(found) == limit:
        hour, *names = found[-1].key
        headers = next_link(request, limit, hour, json.dumps(names, ensure_ascii=False))
    return JsonReply(reply.model_dump_json(), headers=headers)


def _wants_csv(request: Request, format: UsageFormat | None) -> bool:
    if format is not None:
        return format is UsageFormat.CSV
    accepted = request.headers.get("accept", "")
    return CSV in accepted and JSON not in accepted


async def _csv(
    groups: frozenset[UsageGroup], first: Sequence[GroupUsage], parts: AsyncIterator[Sequence[GroupUsage]]
) -> AsyncIterator[str]:
    yield csv_head(groups) + csv_lines(groups, first)
    async for part in parts:
        yield csv_lines(groups, part)


def _after(request: Request, cursor: str | None) -> UsageKey | None:
    """Return the group of a cursor. Raises InvalidRequest."""
    page = decode_cursor(request, cursor, 1).cursor
    if page is None:
        return None
    hour, text = page
    try:
        names = json.loads(text)
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return UsageKey(hour, *map(storable, names))
    except (ValueError, TypeError, RecursionError):
        pass
    raise InvalidRequest("cursor: expected a cursor from a Link header of this list", field="cursor")
