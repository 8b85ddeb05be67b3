"""Endpoints of threads."""

from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter

from ..access.scopes import AccessScope, needs
from ..models.threads import ThreadOrder, ThreadSort
from .deps import IDEMPOTENCY_KEY, ActorDep, PrincipalDep, ServicesDep, ThreadIdDep, body_of, described_body
from .erasures import RESPOND_ASYNC, begun, prefers_receipt
from .errors import problems
from .listing import (
    OF_SUBJECT,
    TOTAL,
    Cursor,
    Limit,
    Name,
    SearchText,
    ThreadFilterDep,
    check_countable,
    decode_cursor,
    link_by_time,
    next_link,
)
from .replies import JsonReply
from .request_keys import key_of, thread_key
from .schemas.erasures import ErasureView
from .schemas.messages import MessageStatus
from .schemas.threads import ThreadCreate, ThreadDetails, ThreadFork, ThreadMessages, ThreadPatch, ThreadSummary

router = APIRouter(prefix="/threads", tags=["threads"])
EXISTING: dict[int | str, dict[str, Any]] = {
    200: {"model": ThreadDetails, "description": "The thread that has this id."}
}
RECEIPT: dict[int | str, dict[str, Any]] = {
    202: {"model": ErasureView, "description": "With `Prefer: respond-async`: the erasure has begun."}
}
PREFER_RECEIPT: dict[str, Any] = {
    "name": "Prefer",
    "in": "header",
    "description": "`respond-async` erases the thread, and replies with the receipt.",
    "schema": {"type": "string"},
}
_summaries = TypeAdapter(list[ThreadSummary])


@router.get(
    "",
    operation_id="listThreads",
    summary="List conversations",
    response_model=list[ThreadSummary],
    responses=problems(422, 503),
)
@needs(AccessScope.READ)
async def list_threads(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    chosen: ThreadFilterDep,
    subject: Annotated[Name | None, Query(description=OF_SUBJECT.format("threads"))] = None,
    sort_by: Annotated[
        ThreadSort, Query(description="The time by which to order: the last activity, or the creation.")
    ] = ThreadSort.UPDATED,
    sort_order: Annotated[Literal["desc", "asc"], Query(description="`desc`: the latest first.")] = "desc",
    q: SearchText = None,
    count: Annotated[
        bool, Query(description="Whether to tell in `X-Pagination-Total` how many threads match. Not with `q`.")
    ] = False,
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> Response:
    """List the threads that match all filters, by default the latest activity first. `Link` leads to the next page.

    `metadata.KEY=value` matches threads with this value in their metadata. It may be given for several keys. `q`
    searches the id, the name and the values of the metadata.
    """
    page, order = decode_cursor(request, cursor, limit), ThreadOrder(sort_by, sort_order == "desc")
    check_countable(count, q)
    if q is not None:
        found, after = await services.lists.search_threads(principal, chosen, page, subject, q, order)
        link = {} if after is None else next_link(request, limit, *after)
        return JsonReply(_summaries.dump_json([ThreadSummary.of(t) for t in found]), headers=link)
    threads = await services.threads.list_threads(principal, page, subject, chosen=chosen, order=order)
    headers = link_by_time(request, limit, threads, lambda thread: (thread.time(order.by), thread.thread_id))
    if count:
        headers[TOTAL] = str(await services.threads.count_threads(principal, subject, chosen))
    return JsonReply(_summaries.dump_json([ThreadSummary.of(t) for t in threads]), headers=headers)


@router.post(
    "",
    operation_id="createThread",
    summary="Make a conversation without messages",
    status_code=201,
    response_model=ThreadDetails,
    response_description="The new thread.",
    responses=EXISTING | problems(403, 404, 409, 413, 415, 422, 503, 504),
    openapi_extra=described_body(ThreadCreate, IDEMPOTENCY_KEY),
)
@needs(AccessScope.SUBMIT)
async def create_thread(request: Request, services: ServicesDep, principal: PrincipalDep) -> Response:
    """Make a thread before its first message. A message also makes the thread that it names."""
    wanted = (await body_of(request, ThreadCreate)).creation()
    named = key_of(request)
    made = await services.threads.create(principal, wanted, None if named is None else thread_key(named, wanted))
    headers = {
        "Location": f"/threads/{quote(made.thread.thread_id, safe='')}",
        **({"Idempotent-Replayed": "true"} if made.replayed else {}),
    }
    return JsonReply(ThreadDetails.of(made.thread).model_dump_json(), 201 if made.is_new else 200, headers)


@router.get(
    "/{thread_id:path}/messages",
    operation_id="getThreadMessages",
    summary="Get the messages of a conversation",
    response_model=ThreadMessages,
    responses=problems(404, 422, 503),
)
@needs(AccessScope.READ)
async def get_thread_messages(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    thread_id: ThreadIdDep,
    limit: Limit = 200,
    cursor: Cursor = None,
) -> Response:
    """List the messages of a thread in the order in which the server accepts and runs them."""
    after = decode_cursor(request, cursor, limit).cursor
    thread = await services.threads.get_thread(principal, thread_id)
    messages = await services.threads.list_messages(principal, thread_id, after=after[0] if after else 0, limit=limit)
    more = bool(messages) and messages[-1].thread_number < thread.last_number
    headers = next_link(request, limit, messages[-1].thread_number) if more else {}
    used = await services.usage.of_messages(messages)
    page = ThreadMessages.model_construct(
        thread_id=thread_id,
        total_messages=thread.message_count,
        messages=MessageStatus.each(messages, used),
    )
    return JsonReply(page.model_dump_json(), headers=headers)


@router.get(
    "/{thread_id:path}",
    operation_id="getThread",
    summary="Get a conversation",
    response_model=ThreadDetails,
    responses=problems(404, 422, 503),
)
@needs(AccessScope.READ)
async def get_thread(services: ServicesDep, principal: PrincipalDep, thread_id: ThreadIdDep) -> Response:
    """Return the times of a thread, and its messages counted by state."""
    thread = await services.threads.get_thread(principal, thread_id)
    return JsonReply(ThreadDetails.of(thread).model_dump_json())


@router.patch(
    "/{thread_id:path}",
    operation_id="changeThread",
    summary="Change the name or the metadata of a conversation",
    response_model=ThreadDetails,
    responses=problems(404, 413, 415, 422, 503, 504),
    openapi_extra=described_body(ThreadPatch),
)
@needs(AccessScope.CONTROL)
async def change_thread(
    request: Request, services: ServicesDep, principal: PrincipalDep, by: ActorDep, thread_id: ThreadIdDep
) -> Response:
    """Give the thread a name, and merge values into its metadata. Fields that are left out stay as they are."""
    body = await body_of(request, ThreadPatch)
    thread = await services.threads.change(principal, thread_id, body.change(), by)
    return JsonReply(ThreadDetails.of(thread).model_dump_json())


@router.delete(
    "/{thread_id:path}",
    operation_id="deleteThread",
    summary="Delete a conversation",
    status_code=204,
    response_description="The thread is deleted.",
    responses=RECEIPT | problems(403, 404, 409, 422, 503, 504),
    openapi_extra={"parameters": [PREFER_RECEIPT]},
)
@needs(AccessScope.CONTROL)
async def delete_thread(
    request: Request, services: ServicesDep, principal: PrincipalDep, by: ActorDep, thread_id: ThreadIdDep
) -> Response:
    """Delete a thread with its messages, events, deliveries, and what the agent keeps of it. 409 while a message runs.

    Messages that wait, also for a human, are cancelled and deleted; no webhook reports that. With
    `Prefer: respond-async`, the thread is erased: running messages are cancelled and awaited, and no record names the
    thread in the end. The reply is then 202 with the receipt.
    """
    if prefers_receipt(request):
        reply = begun(await services.erasures.erase_thread(principal, thread_id, by))
        reply.headers["Preference-Applied"] = RESPOND_ASYNC
        return reply
    await services.threads.delete(principal, thread_id, by)
    return Response(status_code=204)


@router.post(
    "/{thread_id:path}/fork",
    operation_id="forkThread",
    summary="Begin a conversation with a state of another one",
    status_code=201,
    response_model=ThreadDetails,
    response_description="The new thread. It has no messages yet.",
    responses=problems(404, 409, 410, 413, 415, 422, 500, 503, 504),
    openapi_extra=described_body(ThreadFork),
)
@needs(AccessScope.CONTROL)
async def fork_thread(
    request: Request, services: ServicesDep, principal: PrincipalDep, by: ActorDep, thread_id: ThreadIdDep
) -> Response:
    """Copy the agent's memory up to a state into a new thread, whose messages continue from there.

    409 while a message of the thread runs. 410 if the state is no longer kept.
    """
    body = await body_of(request, ThreadFork)
    thread = await services.threads.fork(principal, thread_id, body.fork(), by)
    headers = {"Location": f"/threads/{quote(thread.thread_id, safe='')}"}
    return JsonReply(ThreadDetails.of(thread).model_dump_json(), 201, headers)
