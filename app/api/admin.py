"""Endpoints for operators: the queue, bulk requests, dead letters, workers, deliveries."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from ..access.scopes import AccessScope, needs
from ..bulk_manager import FAILED
from ..models.deliveries import DeliveryFilter, DeliveryState, WebhookEvent
from ..models.workers import Worker
from .deps import (
    ActorDep,
    PrincipalDep,
    ServicesDep,
    body_of,
    described_body,
)
from .errors import problems
from .listing import Cursor, Limit, MessageListingDep, Name, decode_cursor, link_by_time
from .replies import JsonReply
from .schemas.dead_letters import (
    DeadLetter,
    DeadLetterGroups,
    DeadLetterList,
    MessageRequeued,
    MessagesPurged,
    MessagesRequeued,
)
from .schemas.deliveries import DeliveryList, DeliveryView
from .schemas.queue import QueuePaused, QueueState, WorkerList
from .schemas.selections import (
    DeadLetterSelection,
    MessagesCancelled,
    MessagesReprioritized,
    QueuedSelection,
    UnfinishedSelection,
)

router = APIRouter()


@router.get(
    "/queue",
    tags=["queue"],
    operation_id="getQueue",
    summary="See the queue",
    response_model=QueueState,
    responses=problems(422, 503),
)
@needs(AccessScope.READ)
async def get_queue(services: ServicesDep, principal: PrincipalDep, limit: Limit = 100) -> Response:
    """Return the totals by state, the queued messages in claim order, and the running messages.

    `events` of a running message grows with each piece that it writes. Two requests therefore show its rate.
    """
    summary = await services.queue.summary(principal, limit=limit)
    throughput = await services.queue.throughput()
    events = await services.lists.count_events(summary.processing)
    return JsonReply(QueueState.of(summary, events, paused=throughput.paused).model_dump_json())


@router.post(
    "/queue/pause",
    tags=["queue"],
    operation_id="pauseQueue",
    summary="Pause the queue",
    response_model=QueuePaused,
    responses=problems(503, 504),
)
@needs(AccessScope.ADMIN)
async def pause_queue(services: ServicesDep, by: ActorDep) -> Response:
    """Pause the queue, so that no message begins. Running messages go on, and new messages are accepted."""
    await services.queue.pause(by)
    return JsonReply(QueuePaused(paused=True).model_dump_json())


@router.post(
    "/queue/resume",
    tags=["queue"],
    operation_id="resumeQueue",
    summary="Resume the queue",
    response_model=QueuePaused,
    responses=problems(503, 504),
)
@needs(AccessScope.ADMIN)
async def resume_queue(services: ServicesDep, by: ActorDep) -> Response:
    """Resume the queue. Workers begin messages again."""
    await services.queue.unpause(by)
    return JsonReply(QueuePaused(paused=False).model_dump_json())


@router.get(
    "/workers",
    tags=["queue"],
    operation_id="listWorkers",
    summary="List the workers",
    response_model=WorkerList,
    responses=problems(503),
)
@needs(AccessScope.ADMIN)
async def list_workers(services: ServicesDep, principal: PrincipalDep) -> Response:
    """List the live processes that run messages, with their slots, what they do, and their last heartbeat.

    Of the messages that they run, only those of the caller's tenant are named.
    """
    workers = await services.store.list_workers()
    return JsonReply(WorkerList.of(workers, principal).model_dump_json())


WorkerId = Annotated[str, Path(description="The worker's id, from the list of workers.")]


@router.post(
    "/workers/{worker_id}/drain",
    tags=["queue"],
    operation_id="drainWorker",
    summary="Drain a worker",
    response_model=Worker,
    response_description="The worker is draining or drained.",
    responses=problems(404, 503, 504),
)
@needs(AccessScope.ADMIN)
async def drain_worker(worker_id: WorkerId, services: ServicesDep, by: ActorDep) -> Response:
    """Have a worker claim no more messages and end its runs, as before its process stops. The process goes on.

    The runs stop after their present step, at the latest after SHUTDOWN_GRACE_SECONDS, and their messages are queued
    again without losing an attempt. The state of the worker is `draining`, and `drained` once it runs nothing. It stays
    so until it is resumed or its process ends. A worker learns of it within a second, at the latest with its next
    heartbeat. It may begin a message until then.
    """
    worker = await services.queue.drain_worker(worker_id, draining=True, by=by)
    return JsonReply(worker.model_dump_json())


@router.post(
    "/workers/{worker_id}/resume",
    tags=["queue"],
    operation_id="resumeWorker",
    summary="Let a drained worker claim messages again",
    response_model=Worker,
    response_description="The worker is active.",
    responses=problems(404, 503, 504),
)
@needs(AccessScope.ADMIN)
async def resume_worker(worker_id: WorkerId, services: ServicesDep, by: ActorDep) -> Response:
    """Let a drained or draining worker claim messages again. Runs that were asked to stop still stop."""
    worker = await services.queue.drain_worker(worker_id, draining=False, by=by)
    return JsonReply(worker.model_dump_json())


@router.post(
    "/messages/cancel",
    tags=["queue"],
    operation_id="cancelMessages",
    summary="Cancel many messages",
    response_model=MessagesCancelled,
    responses=problems(409, 413, 415, 422, 503, 504),
    openapi_extra=described_body(UnfinishedSelection),
)
@needs(AccessScope.CONTROL)
async def cancel_messages(request: Request, services: ServicesDep, principal: PrincipalDep, by: ActorDep) -> Response:
    """Cancel up to 1,000 unfinished messages: those with these ids, or those that match all filters.

    Each message is cancelled separately. The reply leaves out messages that end by themselves in the meantime. If the
    database goes away before the reply, send the request again.
    """
    body = await body_of(request, UnfinishedSelection)
    cancelled = await services.bulk.cancel(principal, body.selection(), by)
    reply = MessagesCancelled(cancelled=cancelled.ended, stopping=cancelled.stopping)
    return JsonReply(reply.model_dump_json())


@router.post(
    "/messages/priority",
    tags=["queue"],
    operation_id="changeMessages",
    summary="Change the priority of many messages",
    response_model=MessagesReprioritized,
    responses=problems(409, 413, 415, 422, 503, 504),
    openapi_extra=described_body(QueuedSelection),
)
@needs(AccessScope.CONTROL)
async def change_messages(request: Request, services: ServicesDep, principal: PrincipalDep, by: ActorDep) -> Response:
    """Change the priority of up to 1,000 queued messages: those with these ids, or those that match all filters.

    Each message is changed separately. The reply leaves out messages that are not queued. If the database goes away
    before the reply, send the request again.
    """
    body = await body_of(request, QueuedSelection)
    changed = await services.bulk.reprioritize(principal, body.selection(), body.priority, by)
    return JsonReply(MessagesReprioritized(reprioritized=changed).model_dump_json())


@router.get(
    "/dead-letters",
    tags=["dead letters"],
    operation_id="listDeadLetters",
    summary="List dead letters",
    response_model=DeadLetterList,
    responses=problems(422, 503),
)
@needs(AccessScope.READ)
async def list_dead_letters(services: ServicesDep, listing: MessageListingDep) -> Response:
    """List the messages that failed for good, newest first, with every attempt. `Link` leads to older messages."""
    messages, headers = await listing.read(FAILED)
    attempts = await services.queue.list_attempts(messages)
    replies = [DeadLetter.of(message, attempts[message.id]) for message in messages]
    return JsonReply(DeadLetterList.model_construct(dead_letters=replies).model_dump_json(), headers=headers)


@router.get(
    "/dead-letters/groups",
    tags=["dead letters"],
    operation_id="groupDeadLetters",
    summary="Group dead letters by their failure",
    response_model=DeadLetterGroups,
    responses=problems(422, 503),
)
@needs(AccessScope.READ)
async def group_dead_letters(services: ServicesDep, principal: PrincipalDep, limit: Limit = 100) -> Response:
    """Count the dead letters by the kind of their failure. A group's `fingerprint` is a filter in other requests."""
    groups = await services.queue.group_dead_letters(principal, limit=limit)
    return JsonReply(DeadLetterGroups(groups=groups).model_dump_json())


@router.post(
    "/dead-letters/requeue",
    tags=["dead letters"],
    operation_id="requeueDeadLetters",
    summary="Queue dead letters again",
    response_model=MessagesRequeued,
    responses=problems(404, 409, 413, 415, 422, 429, 503, 504),
    openapi_extra=described_body(DeadLetterSelection),
)
@needs(AccessScope.CONTROL)
async def requeue_dead_letters(
    request: Request, services: ServicesDep, principal: PrincipalDep, by: ActorDep
) -> Response:
    """Queue up to 1,000 dead letters again, or none. Each goes to the end of its thread, with all attempts left.

    They count against no limit of messages. While a quota of tokens is used up, only the scope `admin` may requeue.
    """
    body = await body_of(request, DeadLetterSelection)
    messages = await services.bulk.requeue(principal, body.selection(), by)
    wait_estimates = await services.queue.wait_estimates(messages)
    replies = [MessageRequeued.of(*each) for each in zip(messages, wait_estimates, strict=True)]
    return JsonReply(MessagesRequeued.model_construct(requeued=replies).model_dump_json())


@router.post(
    "/dead-letters/purge",
    tags=["dead letters"],
    operation_id="purgeDeadLetters",
    summary="Delete dead letters",
    response_model=MessagesPurged,
    responses=problems(404, 409, 413, 415, 422, 503, 504),
    openapi_extra=described_body(DeadLetterSelection),
)
@needs(AccessScope.CONTROL)
async def purge_dead_letters(
    request: Request, services: ServicesDep, principal: PrincipalDep, by: ActorDep
) -> Response:
    """Delete up to 1,000 dead letters, or none, with the memory that agents kept only for them.

    A process without loaded agents refuses this with `memory_closed`.
    """
    body = await body_of(request, DeadLetterSelection)
    purged = await services.bulk.purge(principal, body.selection(), by)
    return JsonReply(MessagesPurged(purged=purged).model_dump_json())


@router.get(
    "/deliveries",
    tags=["deliveries"],
    operation_id="listDeliveries",
    summary="List the deliveries of all messages",
    response_model=DeliveryList,
    responses=problems(422, 503),
)
@needs(AccessScope.READ)
async def list_deliveries(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    state: Annotated[list[DeliveryState] | None, Query(description="Only deliveries in one of these states.")] = None,
    event: Annotated[list[WebhookEvent] | None, Query(description="Only deliveries of one of these events.")] = None,
    message_id: Annotated[Name | None, Query(description="Only deliveries of this message.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List the deliveries of all webhooks, newest first, with every try. `Link` leads to older deliveries."""
    chosen = DeliveryFilter(message_id, frozenset(state) if state else None, frozenset(event) if event else None)
    found = await services.deliveries.find_deliveries(principal, chosen, decode_cursor(request, cursor, limit))
    reply = DeliveryList.model_construct(deliveries=[DeliveryView.of(delivery) for delivery in found])
    headers = link_by_time(request, limit, found, lambda delivery: (delivery.created_at, delivery.id))
    return JsonReply(reply.model_dump_json(), headers=headers)


@router.post(
    "/deliveries/{delivery_id}/replay",
    tags=["deliveries"],
    operation_id="replayDelivery",
    summary="Make a delivery again",
    status_code=202,
    response_model=DeliveryView,
    response_description="The delivery is due.",
    responses=problems(404, 503, 504),
)
@needs(AccessScope.CONTROL)
async def replay_delivery(
    delivery_id: Annotated[str, Path(description="The delivery's id, from a list of deliveries.")],
    services: ServicesDep,
    principal: PrincipalDep,
    by: ActorDep,
) -> Response:
    """Make a delivery again at once, with the same id and as many tries as a new delivery."""
    delivery = await services.deliveries.replay_delivery(principal, delivery_id, by)
    return JsonReply(DeliveryView.of(delivery).model_dump_json(), 202)
