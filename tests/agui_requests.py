"""Requests of AG-UI's clients by hand, and what they read."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2

from tests import wire
from tests.agui_events import ReadRun, events_of
from tests.servers import LiveServer

GRAPHS = ",".join(
    f"{name}=tests.graphs:{graph}"
    for name, graph in (
        *(("steps", "steps"), ("approving", "approving"), ("other", "steps"), ("lists", "lists")),
        *(("any_state", "any_state"), ("plain", "plain_function"), ("greets", "greets")),
    )
)
FAR = "https://example.com/f"


def said(content: Any = "Hi", id: str = "u1", **fields: Any) -> dict[str, Any]:
    """A message of the user."""
    return {"id": id, "role": "user", "content": content, **fields}


def run(*messages: Any, run_id: str = "r", **fields: Any) -> dict[str, Any]:
    """The request of a page."""
    return {"threadId": "t", "runId": run_id, "messages": list(messages) or [said()], **fields}


def back(run_id: str = "again", **fields: Any) -> dict[str, Any]:
    """The request of a page that comes back with nothing."""
    return run(run_id=run_id, **fields) | {"messages": []}


def answer(question: str, payload: Any = "yes", status: str = "resolved") -> list[dict[str, Any]]:
    """The field of an answer."""
    return [{"interruptId": question, "status": status, **({"payload": payload} if status == "resolved" else {})}]


def image(**source: Any) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "data", "value": "iVBORw0KGgo=", "mimeType": "image/png", **source}}


async def ask(
    server: LiveServer, path: str, body: Any = None, method: str = "POST", key: str = "", **headers: str
) -> wire.RawResponse:
    """The reply to a request below the mount."""
    given = {"Content-Type": "application/json", **headers} | ({"X-API-Key": key} if key else {})
    text = b"" if body is None else json.dumps(body).encode()
    return await wire.request(server.url, method, f"/agui{path}", headers=given, body=text)


async def sent(server: LiveServer, body: Any, agent: str = "steps", **options: Any) -> ReadRun:
    """Return the state of a client after a request, when its stream has ended."""
    response = await ask(server, f"/{agent}", body, **options)
    assert response.status == 200, response
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    read = ReadRun([dict(each) for each in body["messages"]]).take(*events_of(response.body))
    assert (read.started["threadId"], read.started["runId"]) == (body["threadId"], body["runId"])
    return read


def question_of(asked: ReadRun) -> str:
    assert asked.end is not None
    (question,) = asked.end["outcome"]["interrupts"]
    return str(question["id"])


@contextlib.asynccontextmanager
async def reading(
    server: LiveServer, body: Any, agent: str = "steps", **headers: str
) -> AsyncIterator[httpx2.Response]:
    """The response to a page that stays."""
    async with server.client.stream("POST", f"/agui/{agent}", json=body, headers=headers) as response:
        assert response.status_code == 200
        yield response


async def stored(server: LiveServer) -> list[dict[str, Any]]:
    """The messages of the thread, oldest first."""
    messages: list[dict[str, Any]] = (await server.client.get("/threads/t/messages")).json()["messages"]
    return messages
