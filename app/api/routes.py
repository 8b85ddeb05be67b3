"""Endpoints of messages: submit, read and change them."""

import asyncio
import re
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from ..access.actors import actor_of
from ..access.scopes import AccessScope, needs
from ..access.visible import check_streamed, check_webhooks
from ..models.messages import Message, MessageState
from ..policy.lifecycle import TERMINAL
from ..services import Services
from .deps import (
    IDEMPOTENCY_KEY,
    ActorDep,
    MessageIdDep,
    PrincipalDep,
    ServicesDep,
    accepted_headers,
    body_of,
    described_body,
    services_of,
)
from .errors import problems
from .listing import MessageListingDep
from .replies import JsonReply
from .request_keys import batch_key, key_of, regenerate_key, resume_key, submit_key
from .request_reading import header_value, header_values
from .schemas.dead_letters import MessageRequeued
from .schemas.deliveries import DeliveryList, DeliveryView
from .schemas.messages import (
    BatchAccepted,
    CancelReply,
    MessageAccepted,
    MessageCancelled,
    MessageDetails,
    MessageList,
    MessageRegenerated,
    MessageResumed,
    MessageStatus,
)
from .schemas.submissions import MessageAnswer, MessageBatch, MessageChange, MessageCreate, MessageRegenerate
from .streaming import EVENT_STREAM, EventStreamResponse, tail_of
from .targets import principal_of
from .trace_context import TRACE_HEADERS

router = APIRouter(tags=["messages"])
JSON = "application/json"

MAX_WAIT_SECONDS = 60
WAIT = re.compile(r"\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?:;.*)?", re.IGNORECASE)

PREFER: dict[str, Any] = {
    "name": "Prefer",
    "in": "header",
    "description": f"`wait=N` holds the reply until the message has ended or is interrupted, for at most N seconds (1 "
    f"to {MAX_WAIT_SECONDS}). The reply is then 200 with the status. After N seconds it is 202 with the state at that "
    "time.",
    "schema": {"type": "string"},
}
ENDED_OR_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "model": MessageStatus,
        "description": "With `Prefer: wait=N`: the message has ended or is interrupted. "
        "With `Accept: text/event-stream`: the events of its stream.",
        "content": {JSON: {}, **EVENT_STREAM[200]["content"]},  # Swagger UI requests the first type
    }
}

STOPPING: dict[int | str, dict[str, Any]] = {
    202: {"model": CancelReply, "description": "The message is being stopped and will end as cancelled."}
}


@router.post(
    "/messages",
    operation_id="submitMessage",
    summary="Submit a message",
    status_code=202,
    response_model=MessageAccepted,
    response_description="The message is stored and survives a crash of the server.",
    responses=ENDED_OR_STREAM | problems(404, 409, 413, 415, 422, 429, 503, 504),
    openapi_extra=described_body(MessageCreate, IDEMPOTENCY_KEY, PREFER, *TRACE_HEADERS),
)
@needs(AccessScope.SUBMIT)
async def submit_message(request: Request) -> Response:
    """Put a message into the queue. The reply has its position and is sent after the message is stored.

    A repeated request with the same `Idempotency-Key` stores nothing and gets the same reply. A reply to a request with
    a key therefore has no estimate.
    """
    services = services_of(request)
    principal = principal_of(request)
    body = await body_of(request, MessageCreate)
    submission = body.new_message()
    by = actor_of(principal, request.scope)
    named = key_of(request)
    key = None if named is None else submit_key(named, submission, services.registry.default)
    check_webhooks(principal, [submission])
    wants_stream = _wants_stream(request)
    if wants_stream:
        await services.stream_limits.check(principal)
        if submission.options is not None:
            check_streamed(principal, submission.thread_id, submission.options.run.events)
    if submission.checkpoint_id is not None:
        await services.threads.check_places(principal, [submission], key)
    accepted = await services.queue.submit(principal, [submission], key=key, webhook=principal.webhook, by=by)
    (message,) = accepted.messages
    headers = {"Location": f"/messages/{message.id}/status", **accepted_headers(accepted)}
    if wants_stream:
        return EventStreamResponse(tail_of(services, principal.tenant, message.id, 0), services, headers)
    if (seconds := _seconds_to_wait(request)) is not None:
        headers["Preference-Applied"] = f"wait={seconds}"
        ended = await _ended_message(request, message, seconds)
        if ended is not None and (ended.state in TERMINAL or ended.state is MessageState.INTERRUPTED):
            used = await services.usage.of_message(ended)
            return JsonReply(MessageStatus.of(ended, usage=used).model_dump_json(), 200, headers)
        message = ended or message
    (wait_estimate,) = await services.queue.wait_estimates([message], keyed=key is not None)
    return JsonReply(MessageAccepted.json_of(message, wait_estimate), 202, headers)


async def _ended_message(request: Request, message: Message, seconds: int) -> Message | None:
    """Wait for the end of a new message, and return it as it is then.

    Return None if the caller is no longer admitted. They have learned that the message is stored, and learn no more.
    """
    services, principal = services_of(request), principal_of(request)
    waiting = asyncio.ensure_future(services.streams.await_end(principal.tenant, message.id, seconds))
    with services.access.held(request.scope, principal, AccessScope.SUBMIT, waiting.cancel):
        try:
            await asyncio.wait([waiting])
            if waiting.cancelled():
                return None
            waiting.result()
            return await services.queue.get(principal, message.id)
        finally:
            waiting.cancel()


def _wants_stream(request: Request) -> bool:
    """Return whether the client accepts an event stream and not JSON."""
    accepted = header_value(request, b"accept")
    return "text/event-stream" in accepted and JSON not in accepted


def _seconds_to_wait(request: Request) -> int | None:
    """Return the seconds of `Prefer: wait=N`, from 1 to MAX_WAIT_SECONDS, or None without a valid preference."""
    for preferences in header_values(request, b"prefer"):
        for preference in preferences.split(","):
            if found := WAIT.fullmatch(preference):
                return max(1, min(MAX_WAIT_SECONDS, int(found[1])))
    return None


@router.post(
    "/messages/batch",
    operation_id="submitMessages",
    summary="Submit many messages",
    status_code=202,
    response_model=BatchAccepted,
    response_description="All messages are stored.",
    responses=problems(404, 409, 413, 415, 422, 429, 503, 504),
    openapi_extra=described_body(MessageBatch, IDEMPOTENCY_KEY, *TRACE_HEADERS),
)
@needs(AccessScope.SUBMIT)
async def submit_messages(request: Request) -> Response:
    """Put up to 1,000 messages into the queue in one transaction: all of them in this order, or none."""
    services = services_of(request)
    principal = principal_of(request)
    body = await body_of(request, MessageBatch)
    submissions = [each.new_message() for each in body.messages]
    check_webhooks(principal, submissions)
    by = actor_of(principal, request.scope)
    named = key_of(request)
    key = None if named is None else batch_key(named, submissions, services.registry.default)
    if any(each.checkpoint_id is not None for each in submissions):
        await services.threads.check_places(principal, submissions, key)
    accepted = await services.queue.submit(
        principal, submissions, key=key, batch=True, webhook=principal.webhook, by=by
    )
    wait_estimates = await services.queue.wait_estimates(accepted.messages, keyed=key is not None)
    replies = [MessageAccepted.of(*each) for each in zip(accepted.messages, wait_estimates, strict=True)]
    reply = BatchAccepted.model_construct(messages=replies)
    return JsonReply(reply.model_dump_json(), 202, accepted_headers(accepted))


@router.get(
    "/messages",
    operation_id="listMessages",
    summary="List messages",
    response_model=MessageList,
    responses=problems(422, 503),
)
@needs(AccessScope.READ)
async def list_messages(
    listing: MessageListingDep,
    services: ServicesDep,
    state: Annotated[list[MessageState] | None, Query(description="Only messages in one of these states.")] = None,
) -> Response:
    """List the messages that match all filters, newest first. `Link` leads to older messages.

    `metadata.KEY=value` matches messages with this value in their metadata. It may be given for several keys. `q`
    searches the first 1,000 characters of a message's text and the values of its metadata.
    """
    messages, headers = await listing.read(frozenset(state) if state else None)
    used = await services.usage.of_messages(messages)
    reply = MessageList.model_construct(messages=MessageStatus.each(messages, used))
    return JsonReply(reply.model_dump_json(), headers=headers)


@router.get(
    "/messages/{message_id}",
    operation_id="getMessage",
    summary="Get a message",
    response_model=MessageDetails,
    responses=problems(404, 503),
)
@needs(AccessScope.READ)
async def get_message(message_id: MessageIdDep, services: ServicesDep, principal: PrincipalDep) -> Response:
    """Return the status of a message, its usage, its failed attempts, and the options of its submit."""
    message = await services.queue.get(principal, message_id)
    attempts = await services.queue.list_attempts([message])
    aliases = list(await services.queue.list_aliases(message))
    wait_estimate = await services.queue.wait_estimate(message)
    used = await services.usage.of_message(message)
    reply = MessageDetails.with_attempts(message, wait_estimate, attempts[message.id], aliases, used)
    return JsonReply(reply.model_dump_json())


@router.get(
    "/messages/{message_id}/status",
    operation_id="getMessageStatus",
    summary="Get the status of a message",
    response_model=MessageStatus,
    responses=problems(404, 503),
)
@needs(AccessScope.READ)
async def get_message_status(message_id: MessageIdDep, services: ServicesDep, principal: PrincipalDep) -> Response:
    """Return the status of a message. A queued message has its position, its reason to wait and an estimated start."""
    return await _status(services, await services.queue.get(principal, message_id))


async def _status(services: Services, message: Message) -> Response:
    wait_estimate = await services.queue.wait_estimate(message)
    used = await services.usage.of_message(message)
    return JsonReply(MessageStatus.of(message, wait_estimate, used).model_dump_json())


@router.patch(
    "/messages/{message_id}",
    operation_id="changeMessage",
    summary="Change the priority of a queued message",
    response_model=MessageStatus,
    responses=problems(404, 409, 413, 415, 422, 503, 504),
    openapi_extra=described_body(MessageChange),
)
@needs(AccessScope.CONTROL)
async def change_message(
    request: Request, message_id: MessageIdDep, services: ServicesDep, principal: PrincipalDep, by: ActorDep
) -> Response:
    """Move the message to where it would be, had it been submitted with this priority. 409 unless it is queued."""
    body = await body_of(request, MessageChange)
    await services.queue.reprioritize(principal, message_id, body.priority, by)
    return await _status(services, await services.queue.get(principal, message_id))


@router.delete(
    "/messages/{message_id}",
    operation_id="cancelMessage",
    summary="Cancel a queued message",
    response_model=MessageCancelled,
    responses=problems(404, 409, 503, 504),
)
@needs(AccessScope.CONTROL)
async def cancel_message(
    message_id: MessageIdDep, services: ServicesDep, principal: PrincipalDep, by: ActorDep
) -> Response:
    """Cancel a queued message. 409 for a message in another state."""
    message = await services.queue.cancel(principal, message_id, by=by)
    return JsonReply(MessageCancelled(message_id=message.id).model_dump_json())


@router.post(
    "/messages/{message_id}/cancel",
    operation_id="stopMessage",
    summary="Cancel a message in any state",
    response_model=CancelReply,
    response_description="The message has ended as cancelled.",
    responses=STOPPING | problems(404, 409, 503, 504),
)
@needs(AccessScope.CONTROL)
async def stop_message(
    message_id: MessageIdDep, services: ServicesDep, principal: PrincipalDep, by: ActorDep
) -> Response:
    """Cancel a queued or interrupted message at once, or stop a running message. It never becomes `completed`."""
    message = await services.queue.cancel(principal, message_id, running=True, by=by)
    ended = message.state is MessageState.CANCELLED
    text = "The message is cancelled." if ended else "The message is being stopped."
    reply = CancelReply(message_id=message.id, state=message.state, message=text)
    return JsonReply(reply.model_dump_json(), 200 if ended else 202)


@router.post(
    "/messages/{message_id}/resume",
    operation_id="resumeMessage",
    summary="Answer the question of a message",
    status_code=202,
    response_model=MessageResumed,
    response_description="The answer is stored.",
    responses=problems(404, 409, 413, 415, 422, 503, 504),
    openapi_extra=described_body(MessageAnswer, IDEMPOTENCY_KEY, *TRACE_HEADERS),
)
@needs(AccessScope.CONTROL)
async def resume_message(
    request: Request, message_id: MessageIdDep, services: ServicesDep, principal: PrincipalDep, by: ActorDep
) -> Response:
    """Answer an interrupted message, which then goes on. Only the first answer to a question counts."""
    answer = (await body_of(request, MessageAnswer)).answer()
    named = key_of(request)
    key = None if named is None else resume_key(named, message_id, answer)
    accepted = await services.queue.resume(principal, message_id, answer, key=key, by=by)
    (message,) = accepted.messages
    reply = MessageResumed(message_id=message.id, thread_id=message.thread_id)
    headers = {"Location": f"/messages/{message.id}/status", **accepted_headers(accepted)}
    return JsonReply(reply.model_dump_json(), 202, headers)


@router.post(
    "/messages/{message_id}/regenerate",
    operation_id="regenerateMessage",
    summary="Answer a message anew",
    status_code=202,
    response_model=MessageRegenerated,
    response_description="The new message is stored.",
    responses=problems(404, 409, 410, 413, 415, 422, 429, 500, 503, 504),
    openapi_extra=described_body(MessageRegenerate, IDEMPOTENCY_KEY, *TRACE_HEADERS),
)
@needs(AccessScope.SUBMIT)
async def regenerate_message(
    request: Request, message_id: MessageIdDep, services: ServicesDep, principal: PrincipalDep, by: ActorDep
) -> Response:
    """Store a new message with the same input, which runs from the state before the earlier message.

    The agent forgets the earlier message and all later ones of its thread. They stay in the lists of messages. 410 if
    the state before the message is no longer kept.
    """
    wanted = (await body_of(request, MessageRegenerate)).regeneration()
    named = key_of(request)
    key = None if named is None else regenerate_key(named, message_id, wanted)
    accepted, earlier = await services.threads.regenerate(principal, message_id, wanted, key=key, by=by)
    (message,) = accepted.messages
    (wait_estimate,) = await services.queue.wait_estimates([message], keyed=key is not None)
    headers = {"Location": f"/messages/{message.id}/status", **accepted_headers(accepted)}
    reply = MessageRegenerated.instead(message, earlier, wait_estimate)
    return JsonReply(reply.model_dump_json(), 202, headers)


@router.post(
    "/messages/{message_id}/retry",
    operation_id="retryMessage",
    summary="Queue a failed message again",
    status_code=202,
    response_model=MessageRequeued,
    response_description="The message is queued and has as many attempts left as a new message.",
    responses=problems(404, 409, 429, 503, 504),
)
@needs(AccessScope.CONTROL)
async def retry_message(
    message_id: MessageIdDep, services: ServicesDep, principal: PrincipalDep, by: ActorDep
) -> Response:
    """Put a failed message at the end of its thread, as if it were new. Its stream goes on with the event `retry`.

    It counts against no limit of messages. While a quota of tokens is used up, only the scope `admin` may retry.
    """
    message = await services.bulk.retry(principal, message_id, by)
    wait_estimate = await services.queue.wait_estimate(message)
    headers = {"Location": f"/messages/{message.id}/status"}
    return JsonReply(MessageRequeued.of(message, wait_estimate).model_dump_json(), 202, headers)


@router.get(
    "/messages/{message_id}/deliveries",
    operation_id="listMessageDeliveries",
    summary="List the deliveries to a message's webhook",
    response_model=DeliveryList,
    responses=problems(404, 503),
)
@needs(AccessScope.READ)
async def list_deliveries(message_id: MessageIdDep, services: ServicesDep, principal: PrincipalDep) -> Response:
    """List the deliveries of a message, one for each reported event, oldest first.

    Each delivery has every try with the receiver's answer.
    """
    deliveries = await services.deliveries.list_deliveries(principal, message_id)
    reply = DeliveryList.model_construct(deliveries=[DeliveryView.of(delivery) for delivery in deliveries])
    return JsonReply(reply.model_dump_json())
