"""A mount that can be written, for the protocol's own tests: the product's readers over logs that a request appends to.

A stream is a message that the mount has claimed. An append is an event, and a stream is closed by the message's end.
"""

import asyncio
import base64
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request, Response

from app.access.scopes import AccessScope, needs
from app.api.deps import PrincipalDep, ServicesDep
from app.api.errors import problem
from app.api.surfaces import Surface
from app.api.targets import takes_any_query
from app.models.attempts import Completed, Lease
from app.models.events import EventType, NewEvent
from app.models.messages import NewMessage, Priority, new_message_id
from app.protocols.durable_streams.errors import error_of
from app.protocols.durable_streams.forms import Form, Segment
from app.protocols.durable_streams.message_stream import MessageStream
from app.protocols.durable_streams.replies import reply_to
from app.protocols.routing import surface_router
from app.services import Services

PREFIX = "/writable"
JSON, BYTES = "application/json", "application/octet-stream"
LEASE_SECONDS = 3_600.0
AGENT = "chat"

router = surface_router(PREFIX)


def pieces(segments: Sequence[Segment]) -> Iterator[bytes]:
    """Yield what was appended. Other events of the log show nothing."""
    for _, events in segments:
        for event in events:
            if event.type is EventType.CUSTOM:
                yield base64.b64decode(json.loads(event.data)["data"])


def json_body(segments: Sequence[Segment]) -> bytes:
    return b"[" + b",".join(pieces(segments)) + b"]"


def plain_body(segments: Sequence[Segment]) -> bytes:
    return b"".join(pieces(segments))


def data_of(body: Callable[[Sequence[Segment]], bytes], nothing: bytes) -> Callable[[Sequence[Segment]], bytes]:
    """Return what makes the lines of the event `data`; none if the body is `nothing`."""

    def data(segments: Sequence[Segment]) -> bytes:
        made = body(segments)
        return b"" if made == nothing else b"".join(b"data:" + line + b"\n" for line in made.splitlines())

    return data


def form_of(media_type: str) -> Form:
    """Return the form of a stream with this media type."""
    if media_type.partition(";")[0].lower() == JSON:
        return Form(JSON, json_body, data_of(json_body, b"[]"))
    return Form(media_type, plain_body, data_of(plain_body, b""))


@dataclass
class Written:
    """A stream that is written."""

    media_type: str
    lease: Lease
    is_closed: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


STREAMS: dict[str, Written] = {}
BEGINNING = asyncio.Lock()


async def begun(services: Services, tenant: str) -> Lease:
    """Return the lease of a new message."""
    message_id = new_message_id()
    new = NewMessage(id=message_id, tenant=tenant, thread_id=None, agent=AGENT, content="x", priority=Priority.NORMAL)
    store: Any = services.store
    async with BEGINNING:  # otherwise one request would claim the message of another
        await store.add([new], max_queued=10**9)
        (claim,) = await store.claim("mount", [AGENT], 1, lease_seconds=LEASE_SECONDS)
    lease: Lease = claim.lease
    return lease


def appended(media_type: str, body: bytes) -> list[NewEvent]:
    """Return the events of an append. Raises ValueError for invalid JSON."""
    parts = [body]
    if media_type.partition(";")[0].lower() == JSON:
        given = json.loads(body)
        parts = [json.dumps(each).encode() for each in (given if isinstance(given, list) else [given])]
    return [NewEvent(EventType.CUSTOM, json.dumps({"data": base64.b64encode(part).decode()})) for part in parts]


async def write(services: Services, stream: Written, body: bytes, *, closes: bool) -> str:
    """Append to a stream, close it if wanted, and return the offset behind it."""
    store: Any = services.store
    async with stream.lock:
        if body:
            await store.append(stream.lease, appended(stream.media_type, body))
        if closes and not stream.is_closed:
            stream.is_closed = True
            await store.finish(stream.lease, Completed(""))
    tail = await reader(services, stream).tail()
    return reader(services, stream).offset_of(tail.place)


def reader(services: Services, stream: Written) -> MessageStream:
    """Return the product's stream over the log."""
    return MessageStream(services, "default", stream.lease.message_id)


def told(status: int, detail: str, **headers: str) -> Response:
    return problem(status, "refused", detail, headers=headers)


def closes(request: Request) -> bool:
    return request.headers.get("stream-closed", "").lower() == "true"


@router.put("/v1/stream/{name}")
@needs(AccessScope.CONTROL)
async def create(request: Request, services: ServicesDep, principal: PrincipalDep, name: str) -> Response:
    """Make a stream."""
    media_type = request.headers.get("content-type") or BYTES
    known = STREAMS.get(name)
    if known is None:
        STREAMS[name] = stream = Written(media_type, await begun(services, principal.tenant))
        offset = await write(services, stream, await request.body(), closes=closes(request))
        headers = {"Stream-Next-Offset": offset, "Location": str(request.url), "Content-Type": media_type}
        return Response(b"", 201, headers)
    return Response(b"", 200) if known.media_type == media_type else told(409, "another form")


@router.post("/v1/stream/{name}")
@needs(AccessScope.CONTROL)
async def append(request: Request, services: ServicesDep, name: str) -> Response:
    """Append to a stream, or close it."""
    stream = STREAMS.get(name)
    body = await request.body()
    if stream is None:
        return told(404, "no such stream")
    if not body and not closes(request):
        return told(400, "nothing to append")
    if body and request.headers.get("content-type", "").partition(";")[0] != stream.media_type.partition(";")[0]:
        return told(409, "another form")
    if body and stream.is_closed:
        return told(409, "closed", **{"Stream-Closed": "true"})
    offset = await write(services, stream, body, closes=closes(request))
    return Response(status_code=204, headers={"Stream-Next-Offset": offset})


@router.delete("/v1/stream/{name}")
@needs(AccessScope.CONTROL)
async def delete(name: str) -> Response:
    """Delete a stream."""
    return told(404, "no such stream") if STREAMS.pop(name, None) is None else Response(status_code=204)


@router.get("/v1/stream/{name}")
@takes_any_query
@needs(AccessScope.READ)
async def read(request: Request, services: ServicesDep, principal: PrincipalDep, name: str) -> Response:
    """Read a stream by the product's own code."""
    stream = STREAMS.get(name)
    if stream is None:
        return told(404, "no such stream")
    return await reply_to(request, services, principal, reader(services, stream), form_of(stream.media_type))


SURFACE = Surface(PREFIX, router.routes, error_of)
