"""Sends the items of `app.events.tail` as server-sent events, with keep-alives and a time limit for slow readers."""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, nullcontext
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.types import Message, Receive, Scope, Send
from typing_extensions import override

from ..access.principals import Principal
from ..access.scopes import AccessScope, needs
from ..clock import to_datetime
from ..errors import AgentQueueError, InvalidRequest
from ..events.fanout import Idle, StoredEvents, is_over
from ..events.tail import Reset, TailItem, WaitingUpdate
from ..models.messages import MessageState
from ..observability.recent_streams import StreamEnd
from ..services import Services
from ..text import rfc3339
from .deps import MessageIdDep, PrincipalDep, ServicesDep, services_of
from .errors import problems
from .listing import Limit
from .replies import JsonReply
from .schemas.events import EventList, stream_items
from .targets import PRINCIPAL, TARGET, TICKET, principal_of
from .uvicorn_protocol import HEAD_EXTENSION, Connection, connection_of

logger = logging.getLogger(__name__)

router = APIRouter(tags=["streaming"])

SEND_TIMEOUT_SECONDS = 30.0
"""A reader that reads nothing for this long is disconnected. It can reconnect with the last id that it has seen."""

SLICE_BYTES = 64 * 1024

RETRY_MILLISECONDS = range(1_000, 3_001)
"""Range of the random time after which a reader reconnects, so that not all readers reconnect at once."""

KEEP_ALIVE = b": keep-alive\n"
"""A line in the block of the next event. Clients with `httpx-sse` would read a separate block as an empty event."""

MAX_EVENT_ID = 2**63 - 1

EVENT_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events until the message has ended. Send an event's `id` as `Last-Event-ID` to continue after "
        "this event.",
        "content": {
            "text/event-stream": {
                "itemSchema": stream_items(),
                "x-parsed": {"$ref": "#/components/schemas/StreamEvent"},
                "example": 'event: waiting\ndata: {"state": "queued", "position": 2, "message": "Waiting in queue", '
                '"estimated_start_at": "2024-01-15T10:30:05.000Z", "waiting_reason": {"code": "ahead_in_queue", '
                '"message": "2 messages are ahead of it."}, "run_at": null}\n\n'
                'id: 2\nevent: chunk\ndata: {"type": "content", "chunk": "The capital ", "index": 0, '
                '"message": "lc_run--0199f2f4-5c1e-7d11-a3c5-9d0f6a8c1b22", "node": "model", "path": ["research"]}\n\n',
            }
        },
    },
    204: {"description": "The message has ended, and the reader has seen all of its events."},
}


def live_event(item: WaitingUpdate | Reset) -> tuple[str, str]:
    """Return the event and the data of an item that the log does not store."""
    match item:
        case WaitingUpdate():
            return "waiting", json.dumps(waiting_data(item))
        case Reset(state, text):
            return "reset", json.dumps({"state": state, "text": text})


def waiting_data(update: WaitingUpdate) -> dict[str, Any]:
    """Return the data of the event `waiting`."""
    start, reason = update.wait_estimate
    return {
        "state": MessageState.QUEUED,
        "position": update.position,
        "message": "Waiting in queue",
        "estimated_start_at": None if start is None else rfc3339(start),
        "waiting_reason": None if reason is None else {"code": reason.code, "message": reason.message},
        "run_at": None if update.run_at is None else rfc3339(update.run_at),
    }


def frames_of(item: TailItem | bytes) -> bytes:
    """Return the server-sent events of an item as one text, so that they are sent together."""
    match item:
        case bytes():
            return item
        case Idle():
            return KEEP_ALIVE
        case StoredEvents():
            return item.frames
        case _:
            event, data = live_event(item)
            return f"event: {event}\ndata: {data}\n\n".encode()


class EventStreamResponse(Response):
    """Sends the items of a stream, or bytes that were made from them, as they arrive.

    Ends after the last item, or when the reader disconnects or stops reading. `when_left` is then awaited if items were
    left. With `counted`, it is counted how the stream ended.
    """

    media_type = "text/event-stream"

    takes_place = True
    """Whether it counts as one of the caller's open streams. If not, `items` do that while they wait."""

    ends_after_errors = True
    """Whether an error of `items` ends the body as usual. The missing terminal event tells readers to come back."""

    def __init__(
        self,
        items: AsyncGenerator[TailItem | bytes],
        services: Services,
        headers: Mapping[str, str] | None = None,
        *,
        counted: bool = True,
        when_left: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no", **(headers or {})})
        del self.headers["content-length"]
        self._items = items
        self._access = services.access
        self._recent = services.recent_streams
        self._limits = services.stream_limits
        self._is_counted = counted
        self._when_left = when_left

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if HEAD_EXTENSION in scope.get("extensions", {}):
            await self._items.aclose()  # the tail has not begun
            await send({"type": "http.response.body", "body": b""})
            return
        connection, began = connection_of(scope), time.monotonic()
        sending = asyncio.create_task(self._send_all(send, connection))
        leaving = asyncio.create_task(_disconnected(receive))
        refused = asyncio.Event()

        def refuse() -> None:
            refused.set()
            sending.cancel()

        try:
            principal = scope[PRINCIPAL]
            place = self._limits.counted(principal) if self.takes_place else nullcontext()
            with place, self._access.held(scope, principal, scope[TARGET].needs, refuse):
                await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
                seconds = time.monotonic() - began
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
        if self._is_counted and not refused.is_set():
            self._recent.ended(seconds, _end_of(sending))
        if refused.is_set() and leaving.cancelled() and sending.cancelled():
            await send({"type": "http.response.body", "body": self.refusal()})
        cut_off = await _was_cut_off(sending, connection)
        if not cut_off and sending.exception() is not None and self.ends_after_errors:
            await send_while_it_moves(send, {"type": "http.response.body", "body": b""}, connection)
        if cut_off and self._when_left is not None:
            await self._when_left()

    def opening(self) -> bytes:
        """Return what is sent before the first item: a line in the block of the first event."""
        return f"retry: {secrets.choice(RETRY_MILLISECONDS)}\n".encode()

    def refusal(self) -> bytes:
        """Return what is sent last to a reader who may no longer read. By default, a reconnect tells why."""
        return b""

    async def _send_all(self, send: Send, connection: Connection | None) -> None:
        async def write(body: bytes) -> None:
            for at in range(0, len(body), SLICE_BYTES):
                message = {"type": "http.response.body", "body": body[at : at + SLICE_BYTES], "more_body": True}
                await send_while_it_moves(send, message, connection)

        await write(self.opening())
        async with aclosing(self._items):
            async for item in self._items:
                body = item.frames if isinstance(item, StoredEvents) else frames_of(item)
                if connection is not None and len(body) <= SLICE_BYTES and not connection.get_write_buffer_size():
                    await send({"type": "http.response.body", "body": body, "more_body": True})  # the usual case
                else:
                    await write(body)
        await send_while_it_moves(send, {"type": "http.response.body", "body": b""}, connection)


def _end_of(sending: asyncio.Task[None]) -> StreamEnd:
    """Return how a stream ended. Its task is cancelled if the reader left."""
    if sending.cancelled():
        return StreamEnd.LEFT
    match sending.exception():
        case None:
            return StreamEnd.WHOLE
        case TimeoutError():
            return StreamEnd.SLOW
        case _:
            return StreamEnd.FAILED


async def _was_cut_off(sending: asyncio.Task[None], connection: Connection | None) -> bool:
    """Return whether the reader left or was disconnected before the last item. Log why a stream ended early."""
    if sending.cancelled():
        return True
    try:
        sending.result()
    except TimeoutError:
        logger.warning("A reader of a stream read nothing for %g s and was disconnected", SEND_TIMEOUT_SECONDS)
        if connection is not None:
            connection.abort()
            await asyncio.sleep(0)  # else uvicorn does not know yet, and logs the missing end as an error
        return True
    except AgentQueueError as error:
        logger.warning("A stream ended early; its reader can reconnect: %s", error)
    return False


async def send_while_it_moves(send: Send, message: Message, connection: Connection | None) -> None:
    """Send an ASGI message. Wait as long as the client reads at least some bytes; else raise TimeoutError.

    uvicorn waits for space in its buffer before it takes a message. A message whose wait timed out was therefore not
    taken, and this function sends it again.
    """
    unsent = connection.get_write_buffer_size() if connection else 0
    if connection is not None and unsent == 0:
        return await send(message)  # all earlier bytes are sent
    while True:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                return await send(message)
        except TimeoutError:
            before, unsent = unsent, connection.get_write_buffer_size() if connection else 0
            if unsent >= before:
                raise


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _event_id(text: str, field: str) -> int:
    """Return the event id that a client sent as text. Raises InvalidRequest, which names `field`, for other text."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= MAX_EVENT_ID):
        raise InvalidRequest(f"{field}: expected the id of an event, a whole number", field=field)
    return int(text)


async def resume_point(
    services: Services, caller: Principal, message_id: str, last_event_id: str | None, after: str | None
) -> tuple[str, int | None]:
    """Return the message's id, and the event id after which to continue: None if no event can follow.

    `message_id` may be an alias. `last_event_id` is a header and takes precedence over the query parameter `after`,
    since EventSource repeats the URL on every reconnect. Without both, begin at the first event that belongs to the
    given id.

    Raises MessageNotFound. Raises InvalidRequest for an id beyond the log: a crash of the database may have lost events
    that a reader has seen.
    """
    message_id, first_event = await services.queue.find(caller, message_id)
    field, text = ("Last-Event-ID", last_event_id) if last_event_id else ("after", after)
    if not text:
        return message_id, max(0, first_event - 1)
    seen = _event_id(text, field)
    page = await services.log.read(caller.tenant, message_id, after=seen, limit=1)
    if seen > page.last:
        told = f"the message has no event {seen}; its last is {page.last}. Start from the beginning, without an id"
        raise InvalidRequest(f"{field}: {told}", field=field)
    return message_id, None if seen and is_over(page, seen) else seen


def tail_of(services: Services, tenant: str, message_id: str, after: int) -> AsyncGenerator[TailItem]:
    """Return the tail of a message after the event `after`, with the keep-alive interval of the settings."""
    return services.streams.tail(tenant, message_id, after=after, idle_seconds=services.settings.keepalive_seconds)


LastEventId = Annotated[str | None, Header(description="The id of the last event that the reader has seen.")]
Ticket = Annotated[
    str | None,
    Query(alias=TICKET, description="A ticket from `POST /tickets`, for readers that can send no header."),
]
After = Annotated[str | None, Query(description="The same as the header `Last-Event-ID`, which takes precedence.")]


@router.get(
    "/messages/{message_id}/stream",
    operation_id="streamMessage",
    summary="Stream the answer to a message",
    response_class=Response,
    responses=EVENT_STREAM | problems(404, 422, 429, 503),
)
@needs(AccessScope.READ)
async def stream_message(
    message_id: MessageIdDep,
    services: ServicesDep,
    principal: PrincipalDep,
    last_event_id: LastEventId = None,
    after: After = None,
    _ticket: Ticket = None,
) -> Response:
    """Stream a message as server-sent events: its position in the queue, the answer piece by piece, the end.

    Any number of readers can read the stream at any time, even long after the end. A message goes on when a reader
    leaves.
    """
    message_id, seen = await resume_point(services, principal, message_id, last_event_id, after)
    if seen is None:
        return Response(status_code=204)
    await services.stream_limits.check(principal)
    return EventStreamResponse(tail_of(services, principal.tenant, message_id, seen), services)


async def stream_of_request(request: Request) -> Response:
    """Call `stream_message` without the framework, which would use 10 KiB for each open stream."""
    services = services_of(request)
    return await stream_message(
        request.path_params["message_id"],
        services,
        principal_of(request),
        request.headers.get("last-event-id"),
        request.query_params.get("after"),
    )


@router.get(
    "/messages/{message_id}/events",
    operation_id="listMessageEvents",
    summary="List the events of a message",
    response_model=EventList,
    responses=problems(404, 422, 503),
)
@needs(AccessScope.READ)
async def list_message_events(
    message_id: MessageIdDep,
    services: ServicesDep,
    principal: PrincipalDep,
    after: After = None,
    limit: Limit = 500,
) -> Response:
    """List the stored events of a message after the event `after`."""
    message_id, first_event = await services.queue.find(principal, message_id)
    seen = _event_id(after, "after") if after else max(0, first_event - 1)
    page = await services.log.read(principal.tenant, message_id, after=seen, limit=limit)
    events = ",".join(
        f'{{"id":{e.id},"at":"{rfc3339(to_datetime(e.at))}","type":"{e.type}","data":{e.data}}}' for e in page.events
    )
    return JsonReply(
        f'{{"message_id":{json.dumps(message_id)},"state":"{page.state}","events":[{events}],'
        f'"last_event_id":{page.last}}}'
    )
