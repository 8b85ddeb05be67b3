"""Carries the messages of MCP between a host on standard streams and the address /mcp of a server.

The tools are the server's, so that both ways are the same. A connection that was cut goes on with the id of its last
event, also at a server that was started again. Only revisions with a handshake have such ids. A call of a newer
revision therefore goes to the server in the form of the last one with a handshake, and its result gets the newer form.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self
from uuid import uuid4

from ..client.core.replies import GATEWAY, refusal
from ..client.core.requests import Config, Request, shown
from ..client.core.sse import FrameReader
from ..client.errors import AgentQError
from ..client.transport import AsyncOpenReply, AsyncTransport, ConnectionFailed

PATH = "/mcp"
CALL = "tools/call"
PARSE_ERROR, INTERNAL_ERROR = -32700, -32603

SESSION, VERSION = "mcp-session-id", "mcp-protocol-version"
OF_PROTOCOL = "io.modelcontextprotocol/"
ENVELOPE = f"{OF_PROTOCOL}protocolVersion"
"""The key, in `_meta` of requests of revisions without a handshake, that names the revision."""

STATELESS, LAST_WITH_HANDSHAKE = "2026-07-28", "2025-11-25"
"""The revision whose calls are carried in the form of another one, and this other one."""

SILENCE_SECONDS = 60.0
"""A stream that says nothing for this long is taken for cut. Servers send something every 15 seconds."""

COMES_BACK = GATEWAY | {429}
"""Statuses of a server that does not let a call go on yet."""

PAUSE_SECONDS = 1.0
GIVE_UP_SECONDS = 120.0
"""How long a call that was cut off tries to go on."""

END_SECONDS = 5.0
"""How long calls may still end after the host has closed its side."""

Message = dict[str, Any]


class _Sent(NamedTuple):
    """A message as the server gets it, with the headers that tell its revision.

    `is_translated` tells that the host sent it in the form of another revision.
    """

    message: Message
    headers: Mapping[str, str]
    is_translated: bool = False


class _Call(NamedTuple):
    """A request of the host. `begun` is set at its first event, when the server has stored its message, or its end."""

    task: asyncio.Task[None]
    begun: asyncio.Event
    sent: _Sent
    has_envelope: bool


class Bridge:
    """Answers a host by a server. `write` writes a message for the host."""

    def __init__(self, config: Config, write: Callable[[Message], None]) -> None:
        self._config = config
        self._write = write
        self._transport = AsyncTransport(None)
        self._calls: dict[str, _Call] = {}
        self._cancels: set[asyncio.Task[None]] = set()
        self._session: str | None = None
        self._version: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = [*self._cancels, *(call.task for call in self._calls.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._transport.close()

    async def carry(self, lines: AsyncIterator[str]) -> None:
        """Carry the host's messages, one a line, until it closes its side."""
        async for line in lines:
            message: object = None
            with suppress(ValueError, RecursionError):
                message = json.loads(line)
            if isinstance(message, dict):
                await self._take(message)
            else:
                self._write(_error(None, PARSE_ERROR, "The line is not one message of JSON-RPC 2.0."))
        if tasks := [call.task for call in self._calls.values()]:
            await asyncio.wait(tasks, timeout=END_SECONDS)

    async def _take(self, message: Message) -> None:
        if message.get("id") is not None and "method" in message:
            begun, sent = asyncio.Event(), self._sent(message)
            answering = asyncio.create_task(self._answer(message, sent, begun))
            call = _Call(answering, begun, sent, _envelope_of(message) is not None)
            key = _key_of(message["id"])
            self._calls[key] = call
            call.task.add_done_callback(lambda _: self._calls.get(key) is call and self._calls.pop(key))
        elif message.get("method") == "notifications/cancelled":
            cancel = asyncio.create_task(self._cancel(message))
            self._cancels.add(cancel)
            cancel.add_done_callback(self._cancels.discard)
        elif "method" in message:
            await self._notify(self._sent(message))

    async def _cancel(self, message: Message) -> None:
        """Cancel a call: by a notification after it has begun. Other requests without a handshake are left."""
        params = message.get("params")
        request_id = params.get("requestId") if isinstance(params, dict) else None
        call = self._calls.get(_key_of(request_id))
        if call is None:
            return
        if not call.has_envelope:
            await call.begun.wait()
            await self._notify(self._sent(message))
            return
        if call.sent.is_translated:
            await call.begun.wait()
            cancelled = {"jsonrpc": "2.0", "method": message["method"], "params": {"requestId": request_id}}
            await self._notify(_Sent(cancelled, call.sent.headers))
        call.task.cancel()  # a cancelled request has no answer in these revisions

    async def _notify(self, sent: _Sent) -> None:
        """Send a message that has no answer."""
        with suppress(AgentQError, ConnectionFailed):
            async with self._opened("POST", sent) as reply:
                await reply.read(SILENCE_SECONDS)

    async def _answer(self, request: Message, sent: _Sent, begun: asyncio.Event) -> None:
        """Write the answer to a request, whatever happens to the connection."""
        try:
            answer = await self._answer_of(sent, begun)
            if sent.is_translated and "result" in answer:
                answer = {**answer, "result": {"resultType": "complete", **answer["result"]}}
            self._write({**answer, "id": request["id"]})
        except (AgentQError, ConnectionFailed, ValueError) as error:
            self._write(_error(request["id"], INTERNAL_ERROR, str(error)))
        finally:
            begun.set()

    async def _answer_of(self, sent: _Sent, begun: asyncio.Event) -> Message:
        """Return the answer to a request. Raises AgentQError, ConnectionFailed, ValueError."""
        seen: str | None = None
        pause, why, give_up_at, maybe_sent = PAUSE_SECONDS, "", 0.0, False
        while True:
            frames = FrameReader()
            try:
                async with self._opened("POST" if seen is None else "GET", sent, seen) as reply:
                    if not _is_stream(reply) and not (seen is not None and reply.status in COMES_BACK):
                        return await self._whole(reply, sent.message)
                    why, maybe_sent = "the stream ended without an answer", True
                    async for piece in reply.pieces():
                        for frame in frames.feed(piece):
                            seen, give_up_at = frame.id or seen, 0.0
                            begun.set()
                            if not frame.data:  # it only tells an id
                                continue
                            message: Message = json.loads(frame.data)
                            if "result" in message or "error" in message:
                                return message
                            self._write(message)
            except ConnectionFailed as error:
                why, maybe_sent = error.failure.what, maybe_sent or error.failure.maybe_sent
            pause = pause if frames.retry_ms is None else frames.retry_ms / 1000
            give_up_at = give_up_at or time.monotonic() + GIVE_UP_SECONDS
            if seen is None or time.monotonic() > give_up_at:
                raise ValueError(self._lost(why, sent, maybe_sent=maybe_sent, has_begun=seen is not None))
            await asyncio.sleep(pause)

    async def _whole(self, reply: AsyncOpenReply, request: Message) -> Message:
        """Return the answer in a reply that is no stream. Raises AgentQError."""
        whole = await reply.read(SILENCE_SECONDS)
        try:
            message = json.loads(whole.content)
        except ValueError:
            message = None
        if not (isinstance(message, dict) and message.get("jsonrpc") == "2.0"):
            raise refusal(whole, "POST", PATH)
        if request["method"] == "initialize" and isinstance(result := message.get("result"), dict):
            self._version = result.get("protocolVersion")
            self._session = whole.headers.get(SESSION)
        return message

    def _opened(self, method: str, sent: _Sent, seen: str | None = None) -> Any:
        """Open the reply to a message, or the rest of a stream behind the event `seen`."""
        headers = {
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
            **self._config.headers,
            **sent.headers,
        }
        if self._config.api_key is not None:
            headers["authorization"] = f"Bearer {self._config.api_key}"
        if seen is not None:
            headers["last-event-id"] = seen
        content = json.dumps(sent.message).encode() if method == "POST" else None
        request = Request(method, self._config.base_url.rstrip("/") + PATH, headers, content)
        return self._transport.opened(request, connect=self._config.timeout, read=SILENCE_SECONDS)

    def _sent(self, message: Message) -> _Sent:
        """Return what the server gets for a message of the host."""
        version = _envelope_of(message)
        if version == STATELESS and message["method"] == CALL:
            params = message["params"]
            meta = {name: value for name, value in params["_meta"].items() if not name.startswith(OF_PROTOCOL)}
            own = {SESSION: uuid4().hex, VERSION: LAST_WITH_HANDSHAKE}  # a host may use its ids again later
            return _Sent({**message, "params": {**params, "_meta": meta}}, own, is_translated=True)
        return _Sent(message, self._revision_of(message, version))

    def _revision_of(self, message: Message, version: str | None) -> Mapping[str, str]:
        """Return the headers that tell the revision, and without a handshake also what the message is."""
        if version is None:
            agreed = {SESSION: self._session, VERSION: self._version}
            return {name: value for name, value in agreed.items() if value is not None}
        headers = {VERSION: version, "mcp-method": str(message["method"])}
        name = message["params"].get("name")
        return {**headers, "mcp-name": name} if isinstance(name, str) and name.isascii() else headers

    def _lost(self, why: str, sent: _Sent, *, maybe_sent: bool, has_begun: bool) -> str:
        told = f"{shown(self._config.base_url)} gave no answer: {why.rstrip('.')}."
        if has_begun:
            return f"{told} The message goes on: find it by list_messages, then call wait_for_message."
        if maybe_sent and sent.message["method"] == CALL:
            return f"{told} The call may have been carried out: see list_messages before you call again."
        return f"{told} Check that the server runs and that the address is right (AGENTQ_URL), then try again."


def _is_stream(reply: AsyncOpenReply) -> bool:
    return reply.headers.get("content-type", "").startswith("text/event-stream")


def _envelope_of(message: Message) -> str | None:
    """Return the revision that a message itself names; None if a handshake named it."""
    match message:
        case {"params": {"_meta": dict() as meta}} if isinstance(version := meta.get(ENVELOPE), str):
            return version
    return None


def _key_of(request_id: object) -> str:
    return json.dumps(request_id)


def _error(request_id: object, code: int, told: str) -> Message:
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": told}}
