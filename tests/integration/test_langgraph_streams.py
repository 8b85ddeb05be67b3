"""Streams of runs, as LangGraph's own client and pages read them."""

import asyncio
import json
from typing import Any

import httpx2
import pytest
from langgraph_sdk._async import http as sdk_http

from app.protocols import departures
from tests.graph_control import GraphControl
from tests.graphs import FLOOD_CHUNK, FLOOD_CHUNKS
from tests.integration.conftest import Serve
from tests.langgraph_clients import AGENTS, said, sdk, texts
from tests.servers import LiveServer, until

THREAD = "6a3e4b1c-0000-4000-8000-000000000001"
CUTS = (1, 2, 7)
"""How many parts a client has seen when its connection breaks."""


async def parts(stream: Any) -> list[Any]:
    """All parts of a stream."""
    return [part async for part in stream]


def names(found: list[Any]) -> list[str]:
    return [part.event for part in found]


async def frames(server: LiveServer, path: str, **headers: str) -> list[dict[str, str]]:
    """The fields of all frames of a stream that has an end."""
    response = await server.client.get(f"/langgraph{path}", headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    return shown_in(response.text)


def shown_in(text: str) -> list[dict[str, str]]:
    """The fields of all frames in the text of a stream, without comments."""
    return [
        dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(("retry:", ":")))
        for block in text.split("\n\n")[:-1]
    ]


async def test_a_run_is_made_streamed_and_joined_by_later_readers(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    async with sdk(server) as client:
        made: list[Any] = []
        modes: Any = ["values", "messages-tuple"]
        shown = await parts(
            client.runs.stream(
                THREAD, "steps", input=said("Hi"), stream_mode=modes, if_not_exists="create", on_run_created=made.append
            )
        )
        [run] = made
        assert shown[0].data == {"run_id": run["run_id"], "attempt": 1}
        pieces = [part.data[0]["content"] for part in shown if part.event == "messages"]
        assert pieces == ["Step one. ", "Heard: Hi"]
        assert texts(shown[-1].data) == ["Hi", "Step one. ", "Heard: Hi"]

        joined = await parts(client.runs.join_stream(THREAD, run["run_id"], stream_mode=modes))
        assert [(part.event, part.data) for part in joined] == [(part.event, part.data) for part in shown]
        assert await parts(client.runs.join_stream(THREAD, run["run_id"])) == joined, "in the form of the creator"
        assert names(await parts(client.runs.join_stream(THREAD, run["run_id"], stream_mode=["custom"]))) == [
            "metadata"
        ]

    path = f"/threads/{THREAD}/runs/{run['run_id']}/stream"
    whole = await frames(server, path)
    for number, frame in enumerate(whole):
        assert await frames(server, path, **{"Last-Event-ID": frame["id"]}) == whole[number + 1 :]
    by_javascript = "?stream_mode=%5B%22values%22%2C%22messages-tuple%22%5D&cancel_on_disconnect=0"
    assert await frames(server, path + by_javascript) == whole
    for start in ("", "0", "-1"):
        assert await frames(server, path, **{"Last-Event-ID": start}) == whole


async def test_a_run_without_a_thread_has_a_private_one(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    body = {"assistant_id": "steps", "input": said("Hi"), "stream_mode": "updates"}
    response = await server.client.post("/langgraph/runs/stream", json=body)
    assert response.status_code == 200
    shown = shown_in(response.text)
    assert [frame["event"] for frame in shown] == ["metadata", "updates", "updates"]
    assert response.headers["location"] == f"{response.headers['content-location']}/stream?stream_mode=updates"
    assert await frames(server, response.headers["location"]) == shown
    run_id = response.headers["content-location"].rsplit("/", 1)[1]
    assert await frames(server, f"/runs/{run_id}/stream") == shown


async def test_a_question_ends_the_stream_and_its_answer_begins_another(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    async with sdk(server) as client:
        modes: Any = ["values", "updates", "messages-tuple"]
        asked = await parts(
            client.runs.stream(THREAD, "approving", input=said("Do"), stream_mode=modes, if_not_exists="create")
        )
        assert names(asked)[-2:] == ["updates", "values"]
        [question] = asked[-1].data["__interrupt__"]
        assert question["value"] == {"question": "May I?"}
        assert texts(asked[-1].data) == ["Do", "Step one. "]
        answered = await parts(client.runs.stream(THREAD, "approving", command={"resume": "yes"}, stream_mode=modes))
        assert answered[0].data["run_id"] != asked[0].data["run_id"]
        assert [part.data[0]["content"] for part in answered if part.event == "messages"] == ["yes", "Heard: Do"]
        assert texts(answered[-1].data) == ["Do", "Step one. ", "yes", "Heard: Do"]


async def test_a_failure_raises_in_the_client(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS, max_attempts=1)
    async with sdk(server) as client:
        shown = await parts(client.runs.stream(None, "failing", input=said("x"), stream_mode="values"))
        assert shown[-1].event == "error"
        assert "this graph cannot" in shown[-1].data["message"]


async def test_a_client_that_is_cut_off_continues_by_itself(
    serve: Serve, control: GraphControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdk_http, "_reconnect_delay", lambda *_, **__: 0.0)
    server = await serve(agents="flood=tests.graphs:flood")
    async with sdk(server) as client:
        text, seen = "", 0
        async for part in client.runs.stream(
            THREAD, "flood", input=said("x"), stream_mode="messages-tuple", if_not_exists="create"
        ):
            text += part.data[0]["content"] if part.event == "messages" else ""
            seen += 1
            if seen in CUTS:
                for connection in list(server.uvicorn.server_state.connections):
                    connection.transport.abort()
    assert seen > max(CUTS)
    assert text == FLOOD_CHUNK * FLOOD_CHUNKS


async def test_a_waiting_run_tells_its_position(serve: Serve) -> None:
    server = await serve(agents=AGENTS, worker_concurrency=0)
    await server.submit(agent="steps")
    body = {"assistant_id": "steps", "input": said("Hi")}
    async with server.client.stream("POST", "/langgraph/runs/stream", json=body) as response:
        async for line in response.aiter_lines():
            if line.startswith(": queued"):
                break
        assert line == ": queued, position 1"


@pytest.mark.parametrize("another", [False, True])
async def test_a_run_is_cancelled_when_its_last_reader_leaves(
    serve: Serve, control: GraphControl, monkeypatch: pytest.MonkeyPatch, another: bool
) -> None:
    monkeypatch.setattr(departures, "GRACE_SECONDS", 0.0)
    server = await serve(agents=AGENTS)
    control.hold("first")
    body = {"assistant_id": "steps", "input": said("Hi"), "on_disconnect": "cancel"}
    async with server.client.stream("POST", "/langgraph/runs/stream", json=body) as response:
        await until(lambda: control.waits("first"), "the run has begun")
        message_id = response.headers["content-location"].rsplit("/", 1)[1]
        reading = asyncio.create_task(server.client.get(f"/messages/{message_id}/stream")) if another else None
        if another:
            await until(lambda: server.runtime.streams.readers_of("default", message_id) == 2, "two readers")
    if reading is None:
        await until(lambda: _state_is(server, message_id, "cancelled"), "the run is cancelled")
        [record] = (await server.client.get("/audit?action=message.cancel")).json()["records"]
        assert record["targets"] == [message_id]
        assert record["actor"]
    else:
        await until(lambda: server.runtime.streams.readers_of("default", message_id) == 1, "the first reader has left")
        control.release("first")
        assert "event: done" in (await reading).text


async def _state_is(server: LiveServer, message_id: str, state: str) -> bool:
    return bool((await server.status(message_id))["state"] == state)


@pytest.mark.parametrize(
    ("path", "last", "status", "told"),
    [
        ("runs/{run}/stream?stream_mode=words", "", 422, "stream_mode"),
        ("runs/{run}/stream", "x", 422, "Last-Event-ID"),
        ("runs/{run}/stream", "9-x", 422, "Last-Event-ID"),
        ("runs/{run}/stream", "9" * 40 + "-0", 422, "Last-Event-ID"),
        ("runs/{run}/stream", "500-0", 422, "its last is"),
        ("runs/{other}/stream", "", 404, "no run"),
        ("runs/x/stream", "", 422, "run_id"),
    ],
)
async def test_wrong_requests_are_refused_by_name(
    serve: Serve, control: GraphControl, path: str, last: str, status: int, told: str
) -> None:
    server = await serve(agents=AGENTS)
    run = (await server.submit(thread_id=THREAD))["message_id"]
    await server.ended(run)
    path = path.format(run=run, other=THREAD)
    response: httpx2.Response = await server.client.get(
        f"/langgraph/threads/{THREAD}/{path}", headers={"Last-Event-ID": last}
    )
    assert response.status_code == status, response.text
    assert told in json.loads(response.text)["detail"]
