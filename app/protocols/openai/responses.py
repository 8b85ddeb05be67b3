"""Endpoints of responses."""

import json
from contextlib import suppress
from typing import Annotated, Any

from fastapi import Query, Request, Response

from ...access.scopes import AccessScope, needs
from ...api.deps import ActorDep, PrincipalDep, ServicesDep, body_of
from ...api.limit_headers import limit_headers
from ...api.replies import JsonReply
from ...errors import MessageNotFound, NotCancellable
from ...errors.threads import ThreadMoved
from ...models.messages import MessageState
from ...models.requests import Selection
from ..priorities import PriorityDep
from ..routing import KeyNameDep
from ..runs import find_run
from .errors import UnsupportedParameter
from .input_items import input_items_of
from .late_replies import LateReply
from .lists import ListPageDep
from .notes import Notes
from .response_creation import create_response
from .response_lookup import find_response, found_response, read_response
from .response_projection import BEFORE_ALL, response_json
from .response_streams import response_stream
from .routing import make_router
from .schemas.fields import priority_of
from .schemas.responses import ResponseCreate

router = make_router()

KEPT = (
    "response_id: only a failed response, or one that no other follows and that has a thread of its own, can be "
    "deleted. Others are deleted with their conversation, or after RETENTION_DAYS."
)


@router.post("/responses")
@needs(AccessScope.SUBMIT)
async def create(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    by: ActorDep,
    key: KeyNameDep,
    priority: PriorityDep = None,
) -> Response:
    """Make a response: hold the reply until it has ended, stream it, or reply at once if it runs in the background."""
    body = await body_of(request, ResponseCreate)
    if body.stream:
        await services.stream_limits.check(principal)
    run = await create_response(services, principal, body, priority_of(priority, body.service_tier), key=key, by=by)
    found = await found_response(services, run)
    if body.stream:
        return await response_stream(services, principal, found)
    if body.background:
        return JsonReply(response_json(found.view, found.unfinished or "queued"), headers=limit_headers(run.counted))

    async def result(_: dict[str, Any]) -> str:
        ended = await found_response(services, await find_run(services, principal, run.id))
        return await read_response(services, principal, ended)

    return LateReply(services, principal, run, result)


@router.get("/responses/{response_id}")
@needs(AccessScope.READ)
async def get(
    services: ServicesDep,
    principal: PrincipalDep,
    response_id: str,
    stream: bool = False,
    starting_after: Annotated[int, Query(ge=BEFORE_ALL)] = BEFORE_ALL,
    include: Annotated[list[str] | None, Query()] = None,  # noqa: ARG001  asks for parts that agents do not have
    include_obfuscation: bool | None = None,  # noqa: ARG001  asks for padding, which changes nothing
) -> Response:
    """Return a response. With `stream`, its events behind the number `starting_after`."""
    found = await find_response(services, principal, response_id)
    if stream:
        await services.stream_limits.check(principal)
        return await response_stream(services, principal, found, starting_after)
    return JsonReply(await read_response(services, principal, found))


@router.post("/responses/{response_id}/cancel")
@needs(AccessScope.CONTROL)
async def cancel(services: ServicesDep, principal: PrincipalDep, by: ActorDep, response_id: str) -> Response:
    """Cancel a response, and return it as cancelled. One that has ended stays as it is."""
    found = await find_response(services, principal, response_id)
    if found.unfinished is not None:
        with suppress(MessageNotFound, NotCancellable):  # it ended meanwhile
            await services.queue.cancel(principal, found.run.message.id, running=True, by=by)
        found = await find_response(services, principal, response_id)
    return JsonReply(await read_response(services, principal, found))


@router.delete("/responses/{response_id}")
@needs(AccessScope.CONTROL)
async def delete(services: ServicesDep, principal: PrincipalDep, by: ActorDep, response_id: str) -> Response:
    """Delete a response that no other follows. Others are refused."""
    message = (await find_response(services, principal, response_id)).run.message
    thread_id = message.thread_id if Notes.of(message).owns_thread else None
    if thread_id is not None and (await services.threads.get_thread(principal, thread_id)).message_count == 1:
        try:
            await services.threads.delete(principal, thread_id, by, last_number=message.thread_number)
        except ThreadMoved:  # another response follows now
            raise UnsupportedParameter(KEPT, field="response_id") from None
    elif message.state is MessageState.FAILED:
        await services.bulk.purge(principal, Selection((message.id,)), by)
    else:
        raise UnsupportedParameter(KEPT, field="response_id")
    return JsonReply(json.dumps({"id": response_id, "object": "response", "deleted": True}))


@router.get("/responses/{response_id}/input_items")
@needs(AccessScope.READ)
async def list_input_items(
    services: ServicesDep, principal: PrincipalDep, response_id: str, page: ListPageDep
) -> Response:
    """List the items of a response's input."""
    items = input_items_of((await find_response(services, principal, response_id)).run)
    return JsonReply(json.dumps(page.of(items if page.order == "asc" else items[::-1])))
