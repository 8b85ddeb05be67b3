"""Messages and the queue."""

from fastapi import APIRouter, Request, Response

from app.api.deps import (
    Limit,
    MessageIdDep,
    PrincipalDep,
    ServicesDep,
    body_of,
    described_body,
    principal_of,
    services_of,
)
from app.api.errors import problems
from app.api.schemas import MessageAccepted, MessageCancelled, MessageCreate, MessageStatus, QueueState, WorkerList

router = APIRouter(tags=["messages"])
queue_router = APIRouter(tags=["queue"])
JSON = "application/json"


@router.post(
    "/messages",
    operation_id="submitMessage",
    summary="Submit a message",
    status_code=202,
    response_model=MessageAccepted,
    response_description="Stored; it survives a crash of the server from here on.",
    responses=problems(401, 413, 415, 422, 503, 504),
    openapi_extra=described_body(MessageCreate),
)
async def submit_message(request: Request) -> Response:
    """Takes a message into the queue. The reply comes after it is stored, with its place in the queue."""
    services = services_of(request)
    principal = principal_of(request, services)
    body = await body_of(request, MessageCreate)
    message = await services.queue.submit(
        principal.tenant, body.message, priority=body.priority, thread_id=body.thread_id, agent=body.agent
    )
    location = {"Location": f"/messages/{message.id}/status"}
    return Response(MessageAccepted.of(message).model_dump_json(), 202, location, JSON)


@router.get(
    "/messages/{message_id}/status",
    operation_id="getMessageStatus",
    summary="Get the status of a message",
    response_model=MessageStatus,
    responses=problems(401, 404, 503),
)
async def get_message_status(message_id: MessageIdDep, services: ServicesDep, principal: PrincipalDep) -> Response:
    """Everything about a message; while it is queued, how many are before it."""
    message = await services.queue.get(principal.tenant, message_id)
    return Response(MessageStatus.of(message).model_dump_json(), media_type=JSON)


@router.delete(
    "/messages/{message_id}",
    operation_id="cancelMessage",
    summary="Cancel a queued message",
    response_model=MessageCancelled,
    responses=problems(401, 404, 409, 503, 504),
)
async def cancel_message(message_id: MessageIdDep, services: ServicesDep, principal: PrincipalDep) -> Response:
    """Works while the message is queued; later it is 409."""
    message = await services.queue.cancel(principal.tenant, message_id)
    return Response(MessageCancelled(message_id=message.id).model_dump_json(), media_type=JSON)


@queue_router.get(
    "/queue",
    operation_id="getQueue",
    summary="See the queue",
    response_model=QueueState,
    responses=problems(401, 422, 503),
)
async def get_queue(services: ServicesDep, principal: PrincipalDep, limit: Limit = 100) -> Response:
    """Totals by state, what waits (in the order in which it will be taken) and what is being processed."""
    summary = await services.queue.summary(principal.tenant, limit=limit)
    return Response(QueueState.of(summary).model_dump_json(), media_type=JSON)


@queue_router.get(
    "/workers",
    operation_id="listWorkers",
    summary="List the workers",
    response_model=WorkerList,
    responses=problems(401, 503),
)
async def list_workers(services: ServicesDep, _: PrincipalDep) -> Response:
    """The live processes that run messages, with how many each runs at a time and when it was last heard of."""
    workers = await services.store.list_workers()
    return Response(WorkerList(workers=workers).model_dump_json(), media_type=JSON)
