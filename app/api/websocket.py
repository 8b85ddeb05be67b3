"""The WebSocket `/ws`: the events of many messages over one connection. `app.api.websocket_frames` has its frames."""

import asyncio
import logging
from contextlib import aclosing, suppress
from typing import NamedTuple, assert_never

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..access.actors import actor_of
from ..access.principals import Principal
from ..access.scopes import AccessScope, needs, scope_of
from ..access.visible import check_webhooks
from ..errors import Conflict, InvalidRequest, MessageNotFound
from ..events.fanout import Idle, StoredEvents
from ..events.tail import ReaderKind
from ..models.audit import Actor
from ..models.events import TERMINAL_EVENTS
from ..models.messages import MessageState
from ..services import Services
from .deps import services_of
from .errors import response_to
from .request_keys import resume_key, submit_key
from .schemas.messages import MessageAccepted, MessageResumed
from .streaming import live_event, resume_point, send_while_it_moves
from .targets import PRINCIPAL, TARGET, Target, principal_of
from .trace_context import traced
from .uvicorn_protocol import SERVICE_RESTART, connection_of
from .websocket_frames import (
    Accepted,
    Answer,
    Cancel,
    Cancelled,
    Cancelling,
    Ended,
    Ping,
    Pong,
    Request,
    Resume,
    Resumed,
    Submit,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    error_text,
    event_text,
    malformed,
    parse,
    request_id_of,
)

logger = logging.getLogger(__name__)

MAX_SUBSCRIPTIONS = 1_000
"""Maximum number of subscriptions of one connection."""

MAX_REQUESTS = 100
"""Maximum number of frames of one connection that wait to be carried out."""

FRAMES_PER_TURN = 64
"""Number of events of one message that are sent before other tasks can run."""

DRAIN_SECONDS = 1.0
"""How long a closing connection waits for events that are being sent."""


class Ending(NamedTuple):
    """The end of a connection. `code` is the WebSocket's close code, None if the client has disconnected."""

    code: int | None
    reason: str = ""


GONE = Ending(None)
RESTART = Ending(SERVICE_RESTART, "The server restarts. Reconnect in one to three seconds and subscribe again.")
TOO_SLOW = Ending(1013, "The client read nothing for too long. Reconnect and subscribe after the last event.")
REFUSED = Ending(4401, "The credential was revoked or has expired, or one is needed now. Reconnect with another one.")
BINARY = Ending(1003, "Frames must be JSON text.")


@needs(AccessScope.READ)
async def serve_websocket(websocket: WebSocket) -> None:
    """Accept a connection and serve it until it ends."""
    services = services_of(websocket)
    await services.stream_limits.check(principal_of(websocket))
    await websocket.accept()
    services.recorder.websocket_opened()
    try:
        await Session(websocket, services).run()
    finally:
        services.recorder.websocket_closed()


routes = [WebSocketRoute("/ws", serve_websocket)]


class Session:
    """One connection: its subscriptions, and its requests. The requests are carried out one by one in their order."""

    def __init__(self, websocket: WebSocket, services: Services) -> None:
        self._websocket = websocket
        self._connection = connection_of(websocket.scope)
        self._services = services
        self._call: ASGIApp = websocket.app.state.call
        self._requests: asyncio.Queue[Request | None] = asyncio.Queue(MAX_REQUESTS)
        self._tails: dict[str, asyncio.Task[None]] = {}
        self._send_lock = asyncio.Lock()
        self._send_failed = False
        self._ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Serve the connection until one side ends it. Requests that were received before are still carried out."""
        reading = asyncio.create_task(self._read(), name="websocket reader")
        working = asyncio.create_task(self._work(), name="websocket requests")
        scope = self._websocket.scope
        try:
            principal, services = scope[PRINCIPAL], self._services
            with (
                services.stream_limits.counted(principal),
                services.access.held(scope, principal, AccessScope.READ, self._refuse),
            ):
                await asyncio.wait([reading, self._ending], return_when=asyncio.FIRST_COMPLETED)
            self._end(reading.result() if reading.done() else GONE)
            ending = self._ending.result()
            reading.cancel()
            await self._requests.put(None)
            await working
            if ending is RESTART and self._tails:
                await asyncio.wait(self._tails.values(), timeout=DRAIN_SECONDS)
            await self._close(ending)
        finally:
            tasks = [reading, working, *self._tails.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _end(self, ending: Ending) -> None:
        """Set how the connection ends, unless this is already set."""
        if not self._ending.done():
            self._ending.set_result(ending)

    def _refuse(self) -> None:
        """End the connection, since its caller is no longer admitted. Events that follow are not sent."""
        for tail in self._tails.values():
            tail.cancel()
        self._end(REFUSED)

    async def _close(self, ending: Ending) -> None:
        if ending.code is None:
            return
        async with self._send_lock:
            try:
                await self._websocket.close(ending.code, ending.reason)
            except (WebSocketDisconnect, RuntimeError):  # the client or uvicorn has closed it
                return

    # Received frames

    async def _read(self) -> Ending:
        limit = self._services.settings.max_body_bytes
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return RESTART if message.get("code") == SERVICE_RESTART else GONE
            text = message.get("text")
            if text is None:
                return BINARY
            if len(text) > limit or (4 * len(text) > limit and len(text.encode()) > limit):
                return Ending(1009, f"A frame may have at most {limit} bytes.")
            await self._take(text)

    async def _take(self, text: str) -> None:
        """Queue a frame to be carried out. Answer an invalid frame and a ping at once."""
        try:
            request = parse(text)
        except ValidationError as error:
            await self._write(error_text(malformed(error), request_id=request_id_of(text)))
            return
        except InvalidRequest as error:
            await self._write(error_text(response_to(error)))
            return
        if isinstance(request, Ping):
            await self._carry_out(request)
            return
        try:
            self._requests.put_nowait(request)
        except asyncio.QueueFull:
            full = HTTPException(
                429, f"{MAX_REQUESTS} frames already wait to be carried out. Wait for answers before you send more."
            )
            await self._write(error_text(response_to(full), request_id=request.request_id))

    async def _work(self) -> None:
        while (request := await self._requests.get()) is not None:
            await self._carry_out(request)

    async def _carry_out(self, request: Request) -> None:
        """Authorize and serve a frame. Send the client the error if there is one."""

        async def serve(scope: Scope, _receive: Receive, _send: Send) -> None:
            await self._serve(request, scope[PRINCIPAL], actor_of(scope[PRINCIPAL], scope))

        scope = {**self._websocket.scope, TARGET: Target(serve, scope_of(type(request)), None)}
        try:
            await self._call(scope, self._websocket.receive, self._websocket.send)
        except Exception as error:
            response = response_to(error)
            if response.status_code == 500:
                logger.exception("A frame %s failed", request.type)
            await self._write(error_text(response, request_id=request.request_id))

    async def _serve(self, request: Request, caller: Principal, by: Actor) -> None:
        match request:
            case Submit():
                await self._submit(request, caller, by)
            case Subscribe():
                await self._subscribe(request, caller)
            case Unsubscribe():
                await self._unsubscribe(request, caller)
            case Cancel():
                await self._cancel(request, caller, by)
            case Resume():
                await self._resume(request, caller, by)
            case Ping():
                await self._answer(Pong(request_id=request.request_id))
            case _:
                assert_never(request)

    async def _submit(self, request: Submit, caller: Principal, by: Actor) -> None:
        if request.subscribe:
            self._refuse_too_many()
        submission = request.new_message()
        check_webhooks(caller, [submission])
        named = request.idempotency_key
        key = None if named is None else submit_key(named, submission, self._services.registry.default)
        with traced(request.traceparent, request.tracestate):
            if submission.checkpoint_id is not None:
                await self._services.threads.check_places(caller, [submission], key)
            accepted = await self._services.queue.submit(caller, [submission], key=key, webhook=caller.webhook, by=by)
        (message,) = accepted.messages
        (wait_estimate,) = await self._services.queue.wait_estimates(accepted.messages, keyed=key is not None)
        fields = MessageAccepted.of(message, wait_estimate).model_dump()
        ours = {"request_id": request.request_id, "replayed": accepted.replayed, "subscribed": request.subscribe}
        await self._answer(Accepted(**fields, **ours, traceparent=accepted.traceparent))
        if request.subscribe and message.id not in self._tails:
            self._follow(caller.tenant, message.id, 0)

    async def _subscribe(self, request: Subscribe, caller: Principal) -> None:
        given = str(request.after) if "after" in request.model_fields_set else None
        self._refuse_subscribed(request.message_id)
        self._refuse_too_many()
        message_id, after = await resume_point(self._services, caller, request.message_id, None, given)
        self._refuse_subscribed(message_id)  # the request may name it by an alias
        begin = request.after if after is None else after
        await self._answer(Subscribed(request_id=request.request_id, message_id=message_id, after=begin))
        if after is None:
            await self._answer(Ended(message_id=message_id))
        else:
            self._follow(caller.tenant, message_id, after)

    async def _unsubscribe(self, request: Unsubscribe, caller: Principal) -> None:
        message_id = request.message_id
        if message_id not in self._tails:
            with suppress(MessageNotFound):
                message_id = (await self._services.queue.find(caller, message_id)).message_id
        tail = self._tails.pop(message_id, None)
        if tail is None:
            raise Conflict(f"This connection has no subscription to message {request.message_id!r}, or it has ended.")
        tail.cancel()
        await asyncio.wait([tail])
        await self._answer(Unsubscribed(request_id=request.request_id, message_id=message_id))

    async def _cancel(self, request: Cancel, caller: Principal, by: Actor) -> None:
        message = await self._services.queue.cancel(caller, request.message_id, running=True, by=by)
        kind = Cancelled if message.state is MessageState.CANCELLED else Cancelling
        await self._answer(kind(request_id=request.request_id, message_id=message.id, state=message.state))

    async def _resume(self, request: Resume, caller: Principal, by: Actor) -> None:
        answer = request.answer()
        named = request.idempotency_key
        key = None if named is None else resume_key(named, request.message_id, answer)
        with traced(request.traceparent, request.tracestate):
            accepted = await self._services.queue.resume(caller, request.message_id, answer, key=key, by=by)
        (message,) = accepted.messages
        resumed = MessageResumed(message_id=message.id, thread_id=message.thread_id)
        ours = {"request_id": request.request_id, "replayed": accepted.replayed, "traceparent": accepted.traceparent}
        await self._answer(Resumed(**dict(resumed), **ours))

    def _refuse_subscribed(self, message_id: str) -> None:
        if message_id in self._tails:
            raise Conflict(f"This connection already has a subscription to message {message_id!r}.")

    def _refuse_too_many(self) -> None:
        if len(self._tails) >= MAX_SUBSCRIPTIONS:
            raise HTTPException(
                429,
                f"This connection already has {MAX_SUBSCRIPTIONS} subscriptions. Open another connection, or "
                "unsubscribe.",
            )

    # Sent frames

    def _follow(self, tenant: str, message_id: str, after: int) -> None:
        self._tails[message_id] = asyncio.create_task(
            self._tail(tenant, message_id, after), name="websocket subscription"
        )

    async def _tail(self, tenant: str, message_id: str, after: int) -> None:
        """Send the events of a message. Then send `ended`, or the error that ended the subscription early."""
        try:
            if await self._send_events(tenant, message_id, after):
                await self._answer(Ended(message_id=message_id))
            else:
                self._end(RESTART)
        except Exception as error:
            response = response_to(error)
            if response.status_code == 500:
                logger.exception("A subscription failed: id=%s", message_id)
            await self._write(error_text(response, message_id=message_id))
        finally:
            self._tails.pop(message_id, None)

    async def _send_events(self, tenant: str, message_id: str, after: int) -> bool:
        """Send events newer than `after`. Return False if this process stops before the terminal event."""
        settings = self._services.settings
        sent = 0
        tail = self._services.streams.tail(
            tenant, message_id, after=after, idle_seconds=settings.keepalive_seconds, kind=ReaderKind.WEBSOCKET
        )
        async with aclosing(tail):
            async for item in tail:
                match item:
                    case Idle():
                        continue
                    case StoredEvents():
                        for event in item.events:
                            await self._write(event_text(message_id, event.id, event.type, event.data))
                            sent += 1
                            if sent % FRAMES_PER_TURN == 0:
                                await asyncio.sleep(0)
                        if item.events[-1].type in TERMINAL_EVENTS:
                            return True
                    case _:
                        await self._write(event_text(message_id, None, *live_event(item)))
        return False

    async def _answer(self, answer: Answer) -> None:
        await self._write(answer.model_dump_json())

    async def _write(self, text: str) -> None:
        """Send a frame after all earlier frames. Wait for a slow client; disconnect a client that reads nothing."""
        message: Message = {"type": "websocket.send", "text": text}
        async with self._send_lock:
            if self._send_failed:
                return
            try:
                await send_while_it_moves(self._websocket.send, message, self._connection)
            except TimeoutError:
                logger.warning("A WebSocket read nothing for too long and was closed")
                self._send_failed = True
                self._end(TOO_SLOW)
            except (WebSocketDisconnect, RuntimeError):  # the client or uvicorn has closed it
                self._send_failed = True
                self._end(GONE)
