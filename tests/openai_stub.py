"""An OpenAI-compatible chat completions server for tests: real HTTP on 127.0.0.1, scripted answers, no sleeping.

    async with openai_stub() as stub:                # runs inside the test's event loop
        stub.replies.append(Answer("Hello there"))   # one step per request, in order of arrival
        ChatOpenAI(base_url=stub.base_url, ...)

    with openai_stub_in_thread() as stub: ...        # for tests that start our server as a subprocess

A request takes the first of `stub.replies`; when none is left, `stub.default(request)` decides. Unless the test gave
its own, that is `follow_directive`: a last user message beginning with a directive is obeyed, any other is echoed.

    #status 500          answer with this HTTP status          #delay 0.05 the text   a pause before each token
    #hang                accept, never answer                  #cut 3 the text        break off after 3 tokens

Every waiting method has a deadline and may be awaited from any event loop, on any thread.
"""

import asyncio
import contextlib
import json
import re
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias, assert_never

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

JsonObject: TypeAlias = dict[str, Any]

MODELS = ("gpt-4", "gpt-4o-mini")
CREATED = 1_700_000_000
DEADLINE = 10.0


class Wakeup:
    """Waits for a condition on state that other event loops or threads change; whoever changes it calls `notify`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    def notify(self) -> None:
        with self._lock:
            for event, loop in self._waiting.items():
                with contextlib.suppress(RuntimeError):  # the waiter's loop was closed under it
                    loop.call_soon_threadsafe(event.set)

    async def until(self, condition: Callable[[], bool]) -> None:
        event = asyncio.Event()
        with self._lock:
            self._waiting[event] = asyncio.get_running_loop()
        try:
            while not condition():
                await event.wait()
                event.clear()
        finally:
            with self._lock:
                del self._waiting[event]


@dataclass(frozen=True)
class Answer:
    """The text, token by token, with real pauses where delays are given."""

    text: str
    delay_per_token: float = 0.0
    first_token_delay: float = 0.0

    async def before(self, place: int) -> None:
        await asyncio.sleep(self.delay_per_token + (0 if place else self.first_token_delay))


@dataclass(frozen=True)
class ToolCall:
    """A call of one tool in place of a text."""

    name: str
    arguments: JsonObject


@dataclass(frozen=True)
class Status:
    """An HTTP status; without a body, the error object that OpenAI sends with it (its 401 repeats the API key)."""

    code: int
    body: JsonObject | str | bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CutOff:
    """The first tokens of the text, then the connection is closed; if not streaming, before the first byte."""

    text: str
    after_tokens: int
    in_order: bool = False  # the stream ends as if the answer were complete, but without its finish


@dataclass(frozen=True)
class Hang:
    """The request is accepted and never answered, not even with headers."""


class _Valve(Wakeup):
    released: float = 0


@dataclass(frozen=True)
class Gate:
    """The text, each token held until the test releases it; the end follows the last token by itself.

    Releases are counted from the creation of the gate and may come before the request or from any thread.
    """

    text: str
    _valve: _Valve = field(default_factory=_Valve, init=False, repr=False, compare=False)

    def release(self, count: int = 1) -> None:
        self._valve.released += count
        self._valve.notify()

    def release_all(self) -> None:
        self._valve.released = float("inf")
        self._valve.notify()

    async def before(self, place: int) -> None:
        await self._valve.until(lambda: self._valve.released > place)


Step: TypeAlias = Answer | ToolCall | Status | CutOff | Hang | Gate


def tokens_of(text: str) -> list[str]:
    """Words with the space before them; joined again they are the text."""
    return re.findall(r"\s*\S+|\s+", text)


class Outcome(StrEnum):
    """How a request ended, seen from the stub."""

    ANSWERED = "answered to the end"
    CLIENT_CLOSED = "closed by the client"
    CUT = "cut off by the script"
    STUB_CLOSED = "closed because the stub was stopped"


@dataclass
class ReceivedRequest:
    """A chat request: its JSON body, its headers (names in lower case), and how it ended (None while it runs)."""

    index: int
    body: JsonObject
    headers: dict[str, str]
    texts_of_users: list[str] = field(init=False)
    outcome: Outcome | None = None

    def __post_init__(self) -> None:
        self.texts_of_users = [_text(message) for message in self.body["messages"] if message["role"] == "user"]


def _text(message: JsonObject) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def echo(request: ReceivedRequest) -> Step:
    return Answer(f"You said: {(request.texts_of_users or [''])[-1]}")


def follow_directive(request: ReceivedRequest) -> Step:
    """Obeys a directive at the start of the last user message, echoes anything else; a malformed one is a 400."""
    words = (request.texts_of_users or [""])[-1].split(maxsplit=2)
    try:
        match words:
            case ["#hang", *_]:
                return Hang()
            case ["#status", code, *_]:
                return Status(int(code))
            case ["#delay", seconds, text]:
                return Answer(text, delay_per_token=float(seconds))
            case ["#cut", tokens, text]:
                return CutOff(text, after_tokens=int(tokens))
            case ["#status" | "#delay" | "#cut", *_]:
                raise ValueError("a word is missing")
    except ValueError as problem:
        return Status(400, body=_error(400, f"The stub cannot follow the directive {words}: {problem}"))
    return echo(request)


class StubServer:
    """The running stub, as tests see it."""

    def __init__(self, default: Callable[[ReceivedRequest], Step]) -> None:
        self.default = default
        self.replies: deque[Step] = deque()
        self.requests: list[ReceivedRequest] = []
        self._wakeup = Wakeup()
        chat = Route("/v1/chat/completions", _ChatCompletions(self), methods=["POST"])
        self._server = _Server(Starlette(routes=[chat, Route("/v1/models", _models)]), self._wakeup)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}/v1"

    @property
    def open_connections(self) -> int:
        """Connections that clients hold open, idle ones (keep-alive) included."""
        return len(self._server.server_state.connections)

    def text_of_users(self, index: int) -> list[str]:
        """The contents of the user messages of request `index`, in order."""
        return self.requests[index].texts_of_users

    async def until(self, condition: Callable[[], bool], what: str, deadline: float = DEADLINE) -> None:
        """Waits for a condition; looks again when a request arrives or ends and when a connection opens or closes."""
        try:
            async with asyncio.timeout(deadline):
                await self._wakeup.until(condition)
        except TimeoutError:
            seen = [f"{request.index}: {request.outcome or 'running'}" for request in self.requests]
            raise TimeoutError(f"Not seen within {deadline} s: {what}; requests: {seen}") from None

    async def received(self, count: int = 1, deadline: float = DEADLINE) -> None:
        """Returns once `count` requests have arrived in all."""
        await self.until(lambda: len(self.requests) >= count, f"{count} requests received", deadline)

    async def closed(self, index: int, deadline: float = DEADLINE) -> None:
        """Returns once the client has closed the connection of a running request; fails if it ended otherwise."""
        await self.received(index + 1, deadline)
        request = self.requests[index]
        await self.until(lambda: request.outcome is not None, f"request {index} ended", deadline)
        outcome = request.outcome
        assert outcome is Outcome.CLIENT_CLOSED, f"Request {index} was not closed by the client but {outcome}"

    def _accept(self, request: ReceivedRequest) -> Step:
        step = self.replies.popleft() if self.replies else self.default(request)
        self.requests.append(request)
        self._wakeup.notify()
        return step

    def _end(self, request: ReceivedRequest, outcome: Outcome) -> None:
        request.outcome = request.outcome or outcome
        self._wakeup.notify()


class _Server(uvicorn.Server):
    """uvicorn without its main loop, which polls and takes over the signals, and without its patience at the end."""

    def __init__(self, app: ASGIApp, wakeup: Wakeup) -> None:
        super().__init__(uvicorn.Config(app, http=_connection_class(self), ws="none", lifespan="off", log_config=None))
        self.wakeup = wakeup
        self.port = 0
        self.stopping = False

    async def start(self) -> None:
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        await self.startup(sockets=[listener])

    async def stop(self) -> None:
        self.stopping = True
        for listener in self.servers:
            listener.close()
        for connection in self._connections():
            connection.transport.abort()
        await self.wakeup.until(lambda: not self.server_state.connections)
        await asyncio.gather(*self.server_state.tasks)
        for listener in self.servers:
            await listener.wait_closed()

    def hang_up(self, client: tuple[str, int]) -> None:
        """Closes one client's connection after what was already written to it."""
        for connection in (each for each in self._connections() if each.client == client):
            connection.transport.close()

    def _connections(self) -> list[H11Protocol]:
        return [protocol for protocol in self.server_state.connections if isinstance(protocol, H11Protocol)]


def _connection_class(server: _Server) -> type[H11Protocol]:
    class Connection(H11Protocol):
        """Tells of its coming and going, and keeps out of the access log of the server under test."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
            super().connection_made(transport)
            self.access_log = False
            server.wakeup.notify()
            if server.stopping:
                transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            server.wakeup.notify()

    return Connection


async def _models(_: Request) -> Response:
    data = [{"id": name, "object": "model", "created": CREATED, "owned_by": "stub"} for name in MODELS]
    return JSONResponse({"object": "list", "data": data})


class _ChatCompletions:
    """The ASGI endpoint: records the request, then plays a step until its end or until the client is gone."""

    def __init__(self, stub: StubServer) -> None:
        self._stub = stub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = Request(scope, receive)
        try:
            body = await http.json()
            request = ReceivedRequest(len(self._stub.requests), body, dict(http.headers))
        except ClientDisconnect:
            return
        except (ValueError, KeyError, TypeError):
            error = _error(400, "The body is not a chat completion request.")
            await JSONResponse(error, status_code=400)(scope, receive, send)
            return
        step = self._stub._accept(request)
        await _until_gone(self._play(step, request, scope, receive, send), receive)
        self._stub._end(request, Outcome.STUB_CLOSED if self._stub._server.stopping else Outcome.CLIENT_CLOSED)

    async def _play(self, step: Step, request: ReceivedRequest, scope: Scope, receive: Receive, send: Send) -> None:
        reply = _Reply(request, scope, receive, send)
        match step:
            case Answer() | Gate():
                await reply.text(step)
            case ToolCall():
                await reply.tool_call(step)
            case Status():
                await reply.status(step)
            case CutOff():
                await reply.text(Answer("".join(tokens_of(step.text)[: step.after_tokens])), to_its_end=False)
                self._stub._end(request, Outcome.CUT)
                if step.in_order:
                    return await send({"type": "http.response.body", "body": b""})
                self._stub._server.hang_up(scope["client"])
                await asyncio.Event().wait()
            case Hang():
                await asyncio.Event().wait()
            case _:
                assert_never(step)
        return self._stub._end(request, Outcome.ANSWERED)


async def _until_gone(work: Coroutine[Any, Any, None], receive: Receive) -> None:
    """Runs the work, ends it when the client closes the connection, and raises what it raised."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    tasks = {asyncio.create_task(work), asyncio.create_task(gone())}
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result


class _Reply:
    """Writes one response in OpenAI's format, as a stream or whole, as the request asked."""

    def __init__(self, request: ReceivedRequest, scope: Scope, receive: Receive, send: Send) -> None:
        self._request = request
        self._asgi = (scope, receive, send)
        self._started = False
        self._streams = bool(request.body.get("stream"))
        self._wants_usage = bool((request.body.get("stream_options") or {}).get("include_usage"))

    async def text(self, step: Answer | Gate, *, to_its_end: bool = True) -> None:
        tokens = tokens_of(step.text)
        if self._streams:
            await self._delta({"role": "assistant", "content": ""})
        for place, token in enumerate(tokens):
            await step.before(place)
            if self._streams:
                await self._delta({"content": token})
        if not to_its_end:
            return
        if self._streams:
            await self._close("stop", len(tokens))
        else:
            await self._whole({"role": "assistant", "content": step.text}, "stop", len(tokens))

    async def tool_call(self, call: ToolCall) -> None:
        arguments = json.dumps(call.arguments)
        identity = {"id": f"call_{self._request.index}", "type": "function"}
        if not self._streams:
            whole = {**identity, "function": {"name": call.name, "arguments": arguments}}
            await self._whole({"role": "assistant", "content": None, "tool_calls": [whole]}, "tool_calls", 1)
            return
        first = {"index": 0, **identity, "function": {"name": call.name, "arguments": ""}}
        await self._delta({"role": "assistant", "content": None, "tool_calls": [first]})
        for fragment in tokens_of(arguments):
            await self._delta({"tool_calls": [{"index": 0, "function": {"arguments": fragment}}]})
        await self._close("tool_calls", 1)

    async def status(self, step: Status) -> None:
        body = step.body if step.body is not None else _default_error(step.code, self._request.headers)
        render = Response if isinstance(body, str | bytes) else JSONResponse
        await render(body, step.code, step.headers)(*self._asgi)

    async def _whole(self, message: JsonObject, reason: str, tokens: int) -> None:
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        await JSONResponse(self._object("chat.completion", choices=[choice], usage=self._usage(tokens)))(*self._asgi)

    async def _delta(self, delta: JsonObject, reason: str | None = None) -> None:
        await self._chunk(choices=[{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}], usage=None)

    async def _close(self, reason: str, tokens: int) -> None:
        await self._delta({}, reason)
        if self._wants_usage:
            await self._chunk(choices=[], usage=self._usage(tokens))
        await self._event("[DONE]", last=True)

    async def _chunk(self, choices: list[JsonObject], usage: JsonObject | None) -> None:
        extra = {"usage": usage} if self._wants_usage else {}
        await self._event(json.dumps(self._object("chat.completion.chunk", choices=choices, **extra)))

    async def _event(self, data: str, *, last: bool = False) -> None:
        send = self._asgi[2]
        if not self._started:
            self._started = True
            headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": f"data: {data}\n\n".encode(), "more_body": not last})

    def _object(self, kind: str, **rest: Any) -> JsonObject:
        model = self._request.body.get("model", MODELS[0])
        return {"id": f"chatcmpl-{self._request.index}", "object": kind, "created": CREATED, "model": model, **rest}

    def _usage(self, answered: int) -> JsonObject:
        asked = sum(len(tokens_of(_text(message))) for message in self._request.body["messages"])
        return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}


def _default_error(code: int, headers: Mapping[str, str]) -> JsonObject:
    match code:
        case 401:
            key = headers.get("authorization", "").removeprefix("Bearer ")
            where = "You can find your API key at https://platform.openai.com/account/api-keys."
            return _error(code, f"Incorrect API key provided: {key}. {where}", "invalid_api_key")
        case 429:
            return _error(code, "Rate limit reached for requests per min (RPM).", "rate_limit_exceeded", "requests")
    return _error(code, f"The stub was told to answer with status {code}.")


def _error(code: int, message: str, name: str | None = None, kind: str | None = None) -> JsonObject:
    kind = kind or ("server_error" if code >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": name}}


@contextlib.asynccontextmanager
async def openai_stub(default: Callable[[ReceivedRequest], Step] = follow_directive) -> AsyncIterator[StubServer]:
    """The stub inside the running event loop; on leaving, connections still open are closed."""
    stub = StubServer(default)
    await stub._server.start()
    try:
        yield stub
    finally:
        await stub._server.stop()


@contextlib.contextmanager
def openai_stub_in_thread(default: Callable[[ReceivedRequest], Step] = follow_directive) -> Iterator[StubServer]:
    """The stub on a thread of its own with its own event loop."""
    running: Future[tuple[StubServer, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        done = asyncio.Event()
        async with openai_stub(default) as stub:
            running.set_result((stub, asyncio.get_running_loop(), done))
            await done.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="openai-stub", daemon=True)
    thread.start()
    stub, loop, done = running.result(DEADLINE)
    try:
        yield stub
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(DEADLINE)
        assert not thread.is_alive(), "The stub did not stop"
