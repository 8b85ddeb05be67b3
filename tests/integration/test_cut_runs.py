"""Runs that a reader cannot see to their end, as each surface tells it."""

import asyncio
import json
from typing import Any

import httpx2
import openai
import pytest

from app.errors import MessageNotFound
from app.protocols.departures import Departure
from tests.agui_events import ReadRun, events_of
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_ai_sdk_requests import chat
from tests.integration.test_keys import bearer, issue, manager
from tests.integration.test_openai_errors import ASKED, CHAT, RESPONSES, error_in
from tests.openai_clients import AGENTS, sdk
from tests.servers import LiveServer, until
from tests.ui_messages import ReadMessage, chunks_of

RUN = {"assistant_id": "steps", "input": {"messages": [{"role": "user", "content": "Hello"}]}}


def posted(server: LiveServer, path: str, headers: Any = None, **fields: Any) -> asyncio.Task[httpx2.Response]:
    """A request of one of OpenAI's clients, which waits for its reply."""
    body = {**ASKED[path], "model": "steps", **fields}
    return asyncio.create_task(server.client.post(path, json=body, headers=headers))


async def readers(server: LiveServer, count: int) -> None:
    await until(lambda: len(server.runtime.streams._places) == count, f"{count} read")


def last_error(response: httpx2.Response, code: str) -> dict[str, Any]:
    """The error with which a stream ended, in the form that both of OpenAI's clients raise."""
    assert response.status_code == 200
    data: dict[str, Any] = json.loads(response.text.rpartition("data: ")[2])
    assert data["error"]["code"] == code, data
    return data


def check_numbers(response: httpx2.Response) -> None:
    """The error of a response has the number of the event before it, so that a client that goes on misses nothing."""
    events = [json.loads(line[6:]) for line in response.text.split("\n") if line.startswith("data: ")]
    assert [event["sequence_number"] for event in events[:-1]] == list(range(len(events) - 1))
    assert (events[-1]["type"], events[-1]["sequence_number"]) == ("error", len(events) - 2)
    assert events[-1].keys() == {"type", "sequence_number", "code", "message", "param", "error"}


async def test_a_stop_of_the_server_is_an_error(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    control.hold("first")
    asked = [posted(server, path, stream=stream) for path in (CHAT, RESPONSES) for stream in (True, False)]
    made = (await posted(server, RESPONSES, background=True)).json()
    again = asyncio.create_task(server.client.get(f"{RESPONSES}/{made['id']}?stream=true"))
    await readers(server, 5)
    server.runtime.streams.close()
    streamed, held, response_streamed, response_held = [await each for each in asked]
    last_error(streamed, "server_stopping")
    for response in (response_streamed, await again):
        last_error(response, "server_stopping")
        check_numbers(response)
    for reply, path in ((held, CHAT), (response_held, RESPONSES)):
        assert error_in(reply, path, 503)["code"] == "server_stopping"
    async with sdk(server) as client:
        with pytest.raises(openai.APIError, match="stopped"):
            async for _ in await client.responses.retrieve(made["id"], stream=True):
                pass
    control.release("first")


async def test_a_deleted_thread_ends_all_that_read_it(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS, worker_concurrency=0)
    talk = (await server.client.post("/v1/conversations", json={})).json()["id"]
    thread = talk.removeprefix("conv_")
    asked = [posted(server, RESPONSES, stream=stream, conversation=talk) for stream in (True, False)]
    page = asyncio.create_task(server.client.post("/api/chat", json=chat(id=thread, agent="steps")))
    await readers(server, 3)
    run = {"threadId": thread, "runId": "r", "messages": []}
    back = asyncio.create_task(server.client.post("/agui/steps", json=run))
    await readers(server, 4)
    message_id = (await server.client.get(f"/threads/{thread}/messages")).json()["messages"][0]["message_id"]
    native = asyncio.create_task(server.client.get(f"/messages/{message_id}/stream"))
    await readers(server, 5)
    assert (await server.client.delete(f"/threads/{thread}")).status_code == 204
    assert (await native).text.startswith("retry:")  # httpx raises an error for a body without an end
    streamed, held = [await each for each in asked]
    last_error(streamed, "message_not_found")
    check_numbers(streamed)
    assert "deleted" in error_in(held, RESPONSES, 404)["message"]
    message = ReadMessage().take(*chunks_of((await page).content))
    assert message.end == {"type": "error", "errorText": "The chat was deleted before the answer was complete."}
    read = ReadRun().take(*events_of((await back).content))
    assert read.end is not None
    assert (read.outcome, read.end["message"]) == (
        "message_not_found",
        "The thread was deleted before the run was complete.",
    )


async def test_a_completion_whose_message_is_deleted_is_not_found(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(agents=AGENTS, worker_concurrency=0)
    asked = [posted(server, CHAT, stream=stream) for stream in (True, False)]
    waits = asyncio.create_task(server.client.post("/langgraph/runs/wait", json=RUN))
    await readers(server, 3)

    async def deleted(_: str, message_id: str, **__: Any) -> Any:
        raise MessageNotFound(message_id)

    monkeypatch.setattr(server.runtime.streams._source, "read", deleted)
    streamed, held = [await each for each in asked]
    last_error(streamed, "message_not_found")
    assert "deleted" in error_in(held, CHAT, 404)["message"]
    assert (await waits).json()["__error__"]["error"] == "message_not_found"


async def test_a_revoked_key_ends_replies_at_once(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    left, go_on = [], asyncio.Event()

    async def leave(departure: Departure) -> None:
        left.append(departure)
        await go_on.wait()

    monkeypatch.setattr(Departure, "cancel", leave)
    server = await serve(agents=AGENTS, worker_concurrency=0)
    key, _ = await issue(server), await issue(server)
    headers = bearer(key)
    asked = [posted(server, path, headers, stream=stream) for path in (CHAT, RESPONSES) for stream in (True, False)]
    waits = asyncio.create_task(server.client.post("/langgraph/runs/wait", json=RUN, headers=headers))
    await readers(server, 5)
    await manager(server).revoke(None, key.key.id)
    streamed, held, response_streamed, response_held = [await each for each in asked]
    for response in (streamed, response_streamed):
        assert last_error(response, "authentication_required")["error"]["type"] == "authentication_error"
    check_numbers(response_streamed)
    for reply, path in ((held, CHAT), (response_held, RESPONSES)):
        assert error_in(reply, path, 401)["type"] == "authentication_error"
        assert reply.headers["www-authenticate"] == "Bearer"
    assert (await waits).json()["__error__"]["error"] == "authentication_required"
    await until(lambda: len(left) == 2, "both completions may be cancelled")
    go_on.set()
