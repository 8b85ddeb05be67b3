"""Replies to readers of a stream: HEAD, what there is, and what comes next."""

import asyncio
import time
from contextlib import aclosing
from hashlib import blake2b

from fastapi import Request, Response

from ...access.principals import Principal
from ...access.scopes import AccessScope
from ...errors import MessageNotFound
from ...services import Services
from .cursors import cursor_after
from .forms import EVENTS, Form
from .live import LiveResponse
from .places import NOW, Place
from .requests import Live, ReadRequest, is_head
from .streams import Batch, Stream

NOT_STORED = "no-store"
CHECKED = "private, no-cache"
"""Caches of the reader alone may keep a reply, but ask for it each time: the server decides each time who may read."""


async def reply_to(
    request: Request, services: Services, caller: Principal, stream: Stream, form: Form = EVENTS
) -> Response:
    """Return the reply to a reader. Raises InvalidRequest, Gone, TooManyStreams."""
    if is_head(request):
        tail = await stream.tail()
        reply = Response(b"", 200, {**_headers(stream, tail, NOT_STORED), "Content-Type": form.media_type})
        del reply.headers["content-length"]  # the length of a GET depends on its offset
        return reply
    wanted = ReadRequest.of(request)
    if wanted.live is not None:
        await services.stream_limits.check(caller)
    place = await stream.place_of(wanted.offset)
    match wanted.live:
        case None:
            return await _read(stream, place, form, wanted)
        case Live.LONG_POLL:
            return await _poll(request, services, caller, stream, place, form, wanted)
        case Live.SSE:
            return await _follow(services, stream, place, form, wanted)


async def _read(stream: Stream, place: Place, form: Form, wanted: ReadRequest) -> Response:
    """Return the events behind a place."""
    if wanted.offset == NOW:
        tail = await stream.tail()
        return Response(form.body(()), 200, {**_headers(stream, tail, NOT_STORED), "Content-Type": form.media_type})
    reply = _reply(stream, await stream.read(place), form, CHECKED)
    if _has(wanted.etags, reply.headers["etag"]):
        kept = {name: value for name, value in reply.headers.items() if not name.startswith("content-")}
        return Response(status_code=304, headers=kept)
    return reply


async def _poll(
    request: Request,
    services: Services,
    caller: Principal,
    stream: Stream,
    place: Place,
    form: Form,
    wanted: ReadRequest,
) -> Response:
    """Return the events behind a place, or wait for the next ones."""
    batch = await stream.read(place)
    if not batch.segments and not batch.is_closed:
        batch = await _next(request, services, caller, stream, batch)
    cursor = {"Stream-Cursor": str(cursor_after(wanted.cursor, time.time()))}
    if not batch.segments:
        return Response(status_code=204, headers={**_headers(stream, batch, NOT_STORED), **cursor})
    reply = _reply(stream, batch, form, NOT_STORED)
    reply.headers.update(cursor)
    return reply


async def _next(request: Request, services: Services, caller: Principal, stream: Stream, batch: Batch) -> Batch:
    """Wait for the next events behind an empty batch. Return the batch if none have come in time.

    Raises Unauthorized, Forbidden if the caller is no longer admitted.
    """
    seconds = services.settings.keepalive_seconds
    waiting = asyncio.ensure_future(asyncio.wait_for(_first(stream, batch.place), seconds))
    with (
        services.stream_limits.counted(caller),
        services.access.held(request.scope, caller, AccessScope.READ, waiting.cancel),
    ):
        try:
            await asyncio.wait([waiting])
            if waiting.cancelled():
                await services.access.look_up(request.scope, AccessScope.READ)
                return batch
            return waiting.result() or batch
        except (TimeoutError, MessageNotFound):
            return batch
        finally:
            waiting.cancel()


async def _first(stream: Stream, place: Place) -> Batch | None:
    """Return the next events, or the end of the stream. None if this process stops."""
    async with aclosing(stream.follow(place)) as items:
        async for item in items:
            if isinstance(item, Batch) and (item.segments or item.is_closed):
                return item
    return None


async def _follow(services: Services, stream: Stream, place: Place, form: Form, wanted: ReadRequest) -> Response:
    """Return the events behind a place, and those that follow, as server-sent events."""
    first = await stream.read(place, limit=1)
    if wanted.resumes and first.is_closed and not first.segments:
        return Response(status_code=204)  # the only reply that keeps an EventSource from coming back
    cursor = cursor_after(wanted.cursor, time.time())
    return LiveResponse(services, stream, first._replace(place=place) if first.segments else first, form, cursor)


def _reply(stream: Stream, batch: Batch, form: Form, cache_control: str) -> Response:
    """Return a reply with the events of a batch, and the tag of this reply."""
    body = form.body(batch.segments)
    headers = _headers(stream, batch, cache_control)
    digest = blake2b(body, digest_size=16)
    digest.update(repr((headers["Stream-Next-Offset"], batch.is_newest, batch.is_closed)).encode())
    told = {"ETag": f'"{digest.hexdigest()}"', "Content-Type": form.media_type}
    return Response(body, 200, {**headers, **told})


def _headers(stream: Stream, batch: Batch, cache_control: str) -> dict[str, str]:
    """Return the headers that tell where a batch ends."""
    headers = {"Stream-Next-Offset": stream.offset_of(batch.place), "Cache-Control": cache_control}
    if batch.is_newest:
        headers["Stream-Up-To-Date"] = "true"
    if batch.is_closed:
        headers["Stream-Closed"] = "true"
    return headers


def _has(etags: str, etag: str) -> bool:
    """Return whether the header `If-None-Match` has a tag."""
    return any(each.strip().removeprefix("W/") in (etag, "*") for each in etags.split(","))
