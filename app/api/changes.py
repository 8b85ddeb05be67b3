"""The endpoint that streams and lists the changes of the whole server."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from ..access.principals import Principal
from ..access.scopes import AccessScope, needs
from ..access.visible import require_all
from ..events.changes import ChangeFilter
from ..models.messages import MessageState
from ..models.types import ThreadId
from ..services import Services
from .deps import PrincipalDep, ServicesDep
from .errors import problems
from .listing import Limit, Name
from .replies import JsonReply
from .schemas.changes import CHANGE, ChangeList, ChangeType, change_items, listed
from .streaming import EventStreamResponse, LastEventId, Ticket

router = APIRouter(tags=["streaming"])

JSON, STREAM = "application/json", "text/event-stream"

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Changes without an end. With `Accept: application/json`, a page of them.",
        "content": {
            JSON: {},
            STREAM: {
                "itemSchema": change_items(),
                "example": 'id: 7f3c2a91-1041\nevent: reset\ndata: {"reason": "start"}\n\n'
                f"id: 7f3c2a91-1042\nevent: change\ndata: {json.dumps(CHANGE)}\n\n",
            },
        },
    }
}

EventId = Annotated[
    str | None,
    Query(max_length=200, description="The same as the header `Last-Event-ID`, which takes precedence."),
]


@router.get(
    "/events",
    operation_id="streamChanges",
    summary="Stream the changes of the server",
    response_model=ChangeList,
    responses=RESPONSES | problems(403, 422, 503),
)
@needs(AccessScope.READ)
async def stream_changes(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    type: Annotated[list[ChangeType] | None, Query(description="Only changes of one of these types.")] = None,
    state: Annotated[
        list[MessageState] | None, Query(description="Only messages that are in one of these states afterwards.")
    ] = None,
    agent: Annotated[Name | None, Query(description="Only changes of this agent and its messages.")] = None,
    thread_id: Annotated[ThreadId | None, Query(description="Only changes of this thread and its messages.")] = None,
    limit: Limit = 500,
    last_event_id: LastEventId = None,
    after: EventId = None,
    _ticket: Ticket = None,
) -> Response:
    """Stream what changes: messages, threads, the queue, agents, and for callers with `admin` workers.

    Send the `id` of an event as `Last-Event-ID` to continue behind it, on any process. Changes are kept for 15 minutes,
    100,000 at most. The event `reset` asks the reader to load its lists: at the start, and when changes are no longer
    kept. `cursor` has a newer id while nothing else is sent.

    With `Accept: application/json`, get a page of at most `limit` changes instead. Without `after`, it begins with the
    oldest change that is kept. Callers who may see only some messages of the tenant are refused.
    """
    require_all(principal)
    chosen = ChangeFilter(
        principal.tenant,
        with_workers=AccessScope.ADMIN in principal.scopes,
        types=frozenset(each.value for each in type or ()),
        states=frozenset(each.value for each in state or ()),
        agent=agent,
        thread_id=thread_id,
    )
    begin = last_event_id or after or None
    if _wants_page(request):
        return await _page(services, principal, chosen, begin, limit)
    if starts := begin is None:
        begin = await services.store.newest_transition()
    items = services.changes.tail(chosen, after=begin, starts=starts, idle_seconds=services.settings.keepalive_seconds)
    await services.stream_limits.check(principal)
    return EventStreamResponse(items, services, counted=False)


async def _page(
    services: Services, principal: Principal, chosen: ChangeFilter, after: str | None, limit: int
) -> Response:
    """Return a page of changes. It may have fewer than `limit`, as the filter leaves out some that were read."""
    page = await services.store.read_transitions(principal.tenant, after=after, limit=limit)
    shown = [listed(change) for change in page.transitions if chosen.shows(change)]
    reply = {"events": shown, "last_event_id": page.last, "reset": page.missed, "more": not page.whole}
    return JsonReply(json.dumps(reply))


def _wants_page(request: Request) -> bool:
    """Return whether the client accepts JSON and no event stream."""
    accepted = request.headers.get("accept", "")
    return JSON in accepted and STREAM not in accepted
