"""The stream of changes: each change once, over as many connections as it takes, and an error when nothing comes."""

import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from agentq_client import AgentQ, AsyncAgentQ, errors
from agentq_client.models import Change, ChangesReset

RETRY = "retry: 1\n\n"
CURSOR = "id: x-3\nevent: cursor\ndata: {}\n\n"
RESET = 'id: x-1\nevent: reset\ndata: {"reason": "start"}\n\n'
LATER = "id: x-2\nevent: mood\ndata: {}\n\n"


def change(number: int) -> str:
    data = {"type": "message.accepted", "at": "2026-11-29T10:00:00.000Z", "message_id": f"m{number}"}
    return f"id: x-{number}\nevent: change\ndata: {json.dumps(data)}\n\n"


class Server:
    """Gives one body to each connection, and keeps the heads of what it was asked."""

    def __init__(self, *bodies: str | int) -> None:
        self._bodies = iter(bodies)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        body = next(self._bodies, "")
        if isinstance(body, int):
            return httpx.Response(body, json={"code": "refused", "detail": "No."})
        return httpx.Response(200, content=(RETRY + body).encode(), headers={"content-type": "text/event-stream"})

    async def answer(self, request: httpx.Request) -> httpx.Response:
        return self(request)

    @property
    def last_event_ids(self) -> list[str | None]:
        return [request.headers.get("last-event-id") for request in self.requests]


Seen = tuple[str, str | None]
"""The id of an event, and where the stream continues after it."""


async def read(server: Server, *, is_async: bool, after: str | None = None) -> AsyncIterator[Seen]:
    """Read with one client or the other."""
    if is_async:
        http = httpx.AsyncClient(transport=httpx.MockTransport(server.answer))
        client = AsyncAgentQ("http://queue.test", http_client=http)
        async with http, client.changes.follow(after=after, type=["message.accepted"]) as stream:
            async for each in stream:
                yield each.id, stream.last_event_id
        return
    for seen in read_in_thread(server, after):
        yield seen


def read_in_thread(server: Server, after: str | None) -> Iterator[Seen]:
    http = httpx.Client(transport=httpx.MockTransport(server))
    client = AgentQ("http://queue.test", http_client=http)
    with http, client.changes.follow(after=after, type=["message.accepted"]) as stream:
        for each in stream:
            assert isinstance(each, Change if each.id != "x-1" else ChangesReset)
            yield each.id, stream.last_event_id


each_client = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


@each_client
async def test_it_continues_after_what_it_has_had(*, is_async: bool) -> None:
    server = Server(RESET + LATER + change(2) + "id: x-9\nevent: chan", CURSOR, 503, "<html>", change(4) + change(5))
    seen: list[Seen] = []
    async for each in read(server, is_async=is_async):
        seen.append(each)
        if len(seen) == 4:
            break
    assert seen == [("x-1", "x-1"), ("x-2", "x-2"), ("x-4", "x-4"), ("x-5", "x-5")]
    assert server.last_event_ids == [None, "x-2", "x-3", "x-3", "x-3"]
    assert {request.url.query for request in server.requests} == {b"type=message.accepted"}


@each_client
async def test_a_change_that_cannot_be_read_is_asked_for_again(*, is_async: bool) -> None:
    server = Server("id: x-6\nevent: change\ndata: [\n\n", change(6))
    async for seen in read(server, is_async=is_async, after="x-5"):
        assert seen == ("x-6", "x-6")
        break
    assert server.last_event_ids == ["x-5", "x-5"]


@each_client
async def test_connections_that_bring_nothing_end_it(*, is_async: bool) -> None:
    server = Server(change(2))
    with pytest.raises(errors.ChangesLost) as lost:
        assert [each async for each in read(server, is_async=is_async)] == [("x-2", "x-2")]
    assert lost.value.last_event_id == "x-2"
    assert len(server.requests) == 9


@each_client
async def test_a_refusal_that_stays_is_raised(*, is_async: bool) -> None:
    server = Server(403)
    with pytest.raises(errors.PermissionDenied):
        assert [each async for each in read(server, is_async=is_async)] == []
    assert len(server.requests) == 1
