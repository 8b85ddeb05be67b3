"""LangGraph's agent protocol: commands to a thread, and one stream of what all of its runs show."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any
from unittest.mock import ANY

import pytest
from langgraph_sdk._async import stream as client_stream
from langgraph_sdk._async.stream import AsyncThreadStream
from langgraph_sdk.client import LangGraphClient

from app.access.principals import Principal
from app.access.scopes import AccessScope
from app.events import changes
from app.models.events import NewEvent
from app.protocols.langgraph.thread_projection import Place
from tests.callers import admit
from tests.contract.builders import DONE, chunk, claim_one
from tests.graph_control import GraphControl
from tests.graphs import FLOOD_CHUNK, FLOOD_CHUNKS
from tests.integration.conftest import Serve
from tests.integration.test_keys import issue
from tests.langgraph_clients import AGENTS, said, sdk, texts
from tests.openai_stub import Answer, StubServer, ToolCall
from tests.servers import LiveServer, until
from tests.strangers import ANN, STRANGERS

THREAD = "8a3e4b1c-0000-4000-8000-000000000001"
CHANNELS = ["values", "updates", "messages", "tools", "custom", "lifecycle", "input"]
CUTS = (1, 3, 8)
"""How many events a client has seen when its connections break."""

ENDS = ("completed", "failed", "interrupted")

Events = list[dict[str, Any]]


@contextlib.asynccontextmanager
async def stream(server: LiveServer, thread: str = THREAD, **body: Any) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """The events of a thread, as they come."""
    body = {"channels": CHANNELS, **body}
    async with server.client.stream("POST", f"/langgraph/threads/{thread}/stream/events", json=body) as response:
        assert response.status_code == 200, await response.aread()

        async def events() -> AsyncIterator[dict[str, Any]]:
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

        yield events()


async def seen(server: LiveServer, ends: int = 1, thread: str = THREAD, **body: Any) -> Events:
    """The events of a thread up to the end of a number of runs."""
    found: Events = []
    async with stream(server, thread, **body) as events:
        async for event in events:
            found.append(event)
            ends -= event["method"] == "lifecycle" and data_of(event)["event"] in ENDS and not namespace_of(event)
            if not ends:
                break
    return found


def data_of(event: Mapping[str, Any]) -> Any:
    return event["params"]["data"]


def namespace_of(event: dict[str, Any]) -> list[str]:
    found: list[str] = event["params"]["namespace"]
    return found


def lifecycle(events: Events) -> list[str]:
    return [data_of(event)["event"] for event in events if event["method"] == "lifecycle"]


async def send(server: LiveServer, method: str, thread: str = THREAD, **params: Any) -> dict[str, Any]:
    """The reply to a command."""
    body = {"id": 7, "method": method, "params": params}
    response = await server.client.post(f"/langgraph/threads/{thread}/commands", json=body)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def start(server: LiveServer, agent: str = "steps", text: str = "Hi", **params: Any) -> str:
    """Start a run of the thread; the id of the run."""
    reply = await send(server, "run.start", assistant_id=agent, input=said(text), **params)
    assert (reply["type"], reply["id"], reply["meta"]) == ("success", 7, {"applied_through_seq": 0}), reply
    return str(reply["result"]["run_id"])


async def test_pythons_client_follows_runs_a_question_and_a_failure(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS, max_attempts=1)
    async with sdk(server) as client:
        async with client.threads.stream(THREAD, assistant_id="approving") as thread:
            control.hold("first")
            await thread.run.start(input=said("Do"))
            reading = asyncio.create_task(texts_of(thread))
            await until(lambda: server.runtime.services.streams.open_by_kind()["stream"] == 2, "two readers")
            control.release("first")
            assert await reading == ["Step one. "]
            await until(lambda: thread.interrupted, "the question")
            assert [each["value"] for each in thread.interrupts] == [{"question": "May I?"}]
            await thread.run.respond("yes")
            assert texts(await thread.output) == ["Do", "Step one. ", "yes", "Heard: Do"]
        with pytest.raises(RuntimeError, match="this graph cannot"):
            await failing(client)


async def texts_of(thread: AsyncThreadStream) -> list[str]:
    """The texts of the messages until the run stops."""
    messages = [message async for message in thread.messages]
    return [await message.text for message in messages]


async def failing(client: LangGraphClient) -> None:
    """Wait for the output of a run that fails."""
    async with client.threads.stream(assistant_id="failing") as thread:
        await thread.run.start(input=said("x"))
        await thread.output


async def test_pythons_client_sees_tools_and_what_they_write(
    serve: Serve, control: GraphControl, model: StubServer
) -> None:
    server = await serve(agents="tools=tests.graphs:tools")
    model.replies += [ToolCall("_add", {"a": 2, "b": 3}), Answer("It is 5.")]
    async with sdk(server) as client, client.threads.stream(THREAD, assistant_id="tools") as thread:
        await thread.run.start(input=said("Add"))
        [call] = [each async for each in thread.tool_calls]
        assert (call.name, call.input, await call.output) == ("_add", {"a": 2, "b": 3}, "5")
    shown = await seen(server)
    assert [data_of(event)["payload"] for event in shown if event["method"] == "custom"] == [{"adding": [2, 3]}]
    finished = [data_of(event) for event in shown if event["method"] == "messages" and "content" in data_of(event)]
    assert finished[1]["content"] == {"type": "tool_call", "id": ANY, "name": "_add", "args": {"a": 2, "b": 3}}
    assert finished[-1]["content"] == {"type": "text", "text": "It is 5."}


async def test_pythons_client_continues_after_its_connections_broke(
    serve: Serve, control: GraphControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_stream, "_reconnect_delay", lambda *_, **__: 0.0)
    server = await serve(agents="flood=tests.graphs:flood")
    async with sdk(server) as client, client.threads.stream(assistant_id="flood") as thread:
        await thread.run.start(input=said("x"))
        text, count = "", 0
        async for event in thread.subscribe(["messages"]):
            data = data_of(event)
            text += data["delta"]["text"] if data["event"] == "content-block-delta" else ""
            count += 1
            if count in CUTS:
                for connection in list(server.uvicorn.server_state.connections):
                    connection.transport.abort()
    assert count > max(CUTS)
    assert text == FLOOD_CHUNK * FLOOD_CHUNKS


async def test_a_stream_precedes_its_thread_and_shows_all_of_its_runs(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    reading = asyncio.create_task(seen(server, 3))
    await until(lambda: server.runtime.services.changes.open_by_kind()["changes"] == 1, "the reader waits")
    run = await start(server)
    await until(lambda: done(server, run), "the run has ended")
    await server.submit("Natively", thread_id=THREAD, agent="steps")
    await start(server, multitaskStrategy="enqueue")
    live = await reading
    assert lifecycle(live) == ["running", "completed"] * 3
    assert [texts(data_of(event))[-1] for event in live if event["method"] == "values"][
        -1
    ] == "Heard: Hi | Natively | Hi"
    seqs = [event["seq"] for event in live]
    assert seqs == sorted(set(seqs))
    assert seqs[-1] < 2**53
    assert len({event["event_id"] for event in live}) == len(live)
    assert await seen(server, 3) == live, "a later reader sees the same, with the same ids and times"
    for at in range(0, len(live) - 1, 5):
        rest = live[at + 1 :]
        ends = sum(event["method"] == "lifecycle" and data_of(event)["event"] == "completed" for event in rest)
        assert await seen(server, ends, since=live[at]["seq"]) == rest
    some = await seen(server, 3, channels=["lifecycle", "messages"])
    assert some == [event for event in live if event["method"] in ("lifecycle", "messages")]


async def test_a_stream_waits_for_no_interval_before_a_run_of_its_process(
    serve: Serve, control: GraphControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "READ_SECONDS", 1_000.0)
    server = await serve(agents=AGENTS)
    reading = asyncio.create_task(seen(server))
    await until(lambda: server.runtime.services.changes.open_by_kind()["changes"] == 1, "the reader waits")
    await start(server)
    assert lifecycle(await reading) == ["running", "completed"]


async def done(server: LiveServer, run: str) -> bool:
    """Whether a run has ended."""
    return bool((await server.status(run))["state"] == "completed")


async def test_a_question_is_answered_by_a_command(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    await start(server, "approving")
    asked = await seen(server)
    (question,) = (data_of(event) for event in asked if event["method"] == "input.requested")
    assert question["payload"] == question["value"] == {"question": "May I?"}
    assert lifecycle(asked) == ["running", "interrupted"]
    unknown = await send(server, "input.respond", interrupt_id="x" * 32, namespace=[], response="yes")
    assert (unknown["type"], unknown["error"]) == ("error", "no_such_interrupt")
    given = {"interrupt_id": question["interrupt_id"], "namespace": [], "response": "yes"}
    assert (await send(server, "input.respond", responses=[given]))["type"] == "success"
    whole = await seen(server, 2)
    assert whole[: len(asked)] == asked
    listed = (await server.client.get(f"/langgraph/threads/{THREAD}/runs")).json()
    told = [event["event_id"].split(":")[1] for event in whole if event["method"] == "lifecycle"]
    first, second = listed[1]["run_id"], listed[0]["run_id"]
    assert told == [first, first, second, second], "by these ids, pages cancel runs"
    assert lifecycle(whole) == ["running", "interrupted", "running", "completed"]
    assert texts([data_of(event) for event in whole if event["method"] == "values"][-1])[2:] == ["yes", "Heard: Hi"]
    assert (await send(server, "input.respond", **given))["error"] == "no_such_interrupt"


async def test_a_cancelled_run_ends_for_its_readers(serve: Serve, control: GraphControl) -> None:
    control.hold("second")
    server = await serve(agents=AGENTS)
    run = await start(server)
    await until(lambda: control.waits("second"), "the node waits")
    response = await server.client.post(f"/langgraph/threads/{THREAD}/runs/{run}/cancel?wait=1")
    assert response.status_code == 200
    assert lifecycle(await seen(server)) == ["running", "interrupted"]


async def test_a_stream_ends_with_its_thread(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    run = await start(server)
    await until(lambda: done(server, run), "the run has ended")
    async with stream(server) as events:
        while (event := await anext(events))["method"] != "lifecycle" or data_of(event)["event"] != "completed":
            pass
        assert (await server.client.delete(f"/langgraph/threads/{THREAD}")).status_code == 204
        assert [each async for each in events] == []

    run = await start(server)
    await until(lambda: done(server, run), "the run of a new thread with the same id has ended")
    whole = await seen(server)
    for earlier in (Place(3, 1, 0), Place(1, 500, 0)):
        assert await seen(server, since=earlier.seq) == whole


async def test_a_subgraph_has_its_own_namespace(serve: Serve, control: GraphControl, model: StubServer) -> None:
    server = await serve(agents="nested=tests.graphs:nested")
    await start(server, "nested")
    whole = await seen(server)
    inner = [event for event in whole if namespace_of(event)]
    assert lifecycle(inner) == ["started", "completed"]
    assert data_of(inner[0])["graph_name"] == "inner"
    assert {namespace_of(event)[0].partition(":")[0] for event in inner} == {"inner"}
    assert await seen(server, depth=0, namespaces=[[]]) == [event for event in whole if not namespace_of(event)]


async def test_commands_that_do_not_fit_are_refused_in_the_reply(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    refused: list[tuple[str, dict[str, Any], str, str]] = [
        ("state.get", {"namespace": []}, "unknown_command", "run.start, input.respond"),
        ("run.start", {}, "invalid_argument", "assistant_id: Field required"),
        ("run.start", {"assistant_id": "nope"}, "invalid_argument", "assistant_id: expected"),
        ("run.start", {"assistant_id": "steps", "input": 5}, "invalid_argument", "input: expected"),
        ("run.start", {"assistant_id": "steps", "command": {"resume": 1}}, "invalid_argument", "input.respond"),
        ("run.start", {"assistant_id": "steps", "multitaskStrategy": "x"}, "invalid_argument", "multitask_strategy"),
        ("input.respond", {}, "invalid_argument", "interrupt_id"),
        ("input.respond", {"interrupt_id": "x", "response": 1, "goto": "a"}, "not_supported", "goto"),
        ("input.respond", {"interrupt_id": "x", "response": 1}, "no_such_interrupt", "x"),
    ]
    for method, params, code, told in refused:
        reply = await send(server, method, **params)
        assert (reply["type"], reply["id"], reply["error"]) == ("error", 7, code), (method, params, reply)
        assert told in reply["message"], (method, params, reply)
    path = f"/langgraph/threads/{THREAD}"
    bodies: list[tuple[str, Any, str]] = [
        ("commands", {"method": "run.start"}, "id"),
        ("commands", {"id": 1}, "method"),
        ("stream/events", {}, "channels"),
        ("stream/events", {"channels": []}, "channels"),
        ("stream/events", {"channels": ["nope"]}, "channels.0: expected one of values"),
        ("stream/events", {"channels": ["custom:"]}, "channels.0"),
        ("stream/events", {"channels": ["values"] * 101}, "channels"),
        ("stream/events", {"channels": ["values"], "namespaces": [[]] * 101}, "namespaces"),
        ("stream/events", {"channels": ["values"], "since": -1}, "since"),
        ("stream/events", {"channels": ["values"], "since": 2**53}, "since"),
        ("stream/events", {"channels": ["values"], "depth": "x"}, "depth"),
    ]
    for where, body, told in bodies:
        response = await server.client.post(f"{path}/{where}", json=body)
        assert (response.status_code, told in response.json()["detail"]) == (422, True), (where, body, response.text)
    assert (await server.client.get("/messages")).json()["messages"] == []
    await issue(server)
    writer = Principal("default", frozenset({AccessScope.SUBMIT, AccessScope.READ}))
    server.client.headers["X-API-Key"] = await admit(server, writer)
    reply = await send(server, "input.respond", interrupt_id="x", response=1)
    assert (reply["error"], "scope `control`" in reply["message"]) == ("permission_denied", True), reply


async def test_strangers_see_nothing_of_a_thread_and_cannot_start_a_run_in_it(
    serve: Serve, control: GraphControl
) -> None:
    server = await serve(agents=AGENTS, worker_concurrency=0)
    await issue(server)
    server.client.headers["X-API-Key"] = await admit(server, ANN)
    await start(server)
    store = server.runtime.services.store
    await store.finish(await claim_one(store, agents=("steps",)), DONE)
    assert lifecycle(await seen(server)) == ["running", "completed"]
    for who, stranger in STRANGERS.items():
        server.client.headers["X-API-Key"] = await admit(server, stranger)
        async with stream(server) as events:
            reading = asyncio.ensure_future(anext(events))
            await until(lambda: server.runtime.services.changes.open_by_kind()["changes"] == 1, "the reader waits")
            assert not reading.done(), who
            reading.cancel()
            await asyncio.wait([reading])
        if "tenant" not in who:  # another tenant has a thread of its own with this id
            reply = await send(server, "run.start", assistant_id="steps", input=said("Mine"))
            assert reply["type"] == "error", (who, reply)
        await until(lambda: server.runtime.services.changes.open_by_kind()["changes"] == 0, "the reader has left")
    server.client.headers["X-API-Key"] = await admit(server, ANN)
    assert len((await server.client.get(f"/threads/{THREAD}/messages")).json()["messages"]) == 1


async def test_a_long_thread_is_replayed_in_pages_while_others_are_served(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS, worker_concurrency=0)
    store = server.runtime.services.store
    run = await start(server)
    lease = await claim_one(store, agents=("steps",))
    pieces = 10_000
    for first in range(0, pieces, 1_000):
        await store.append(lease, [chunk(number) for number in range(first, first + 1_000)])
    await store.append(lease, [NewEvent.shown("values", {"messages": []})])
    replay = asyncio.create_task(seen(server, channels=["messages", "lifecycle"]))
    answered = 0
    while not replay.done() and answered < 5:
        assert (await server.status(run))["state"] == "processing"
        answered += 1
    await store.finish(lease, DONE)
    whole = await replay
    deltas = [event for event in whole if data_of(event)["event"] == "content-block-delta"]
    assert len(deltas) == pieces
    assert answered == 5
    rest = await seen(server, channels=["messages", "lifecycle"], since=Place(1, pieces, 0).seq)
    assert rest == whole[-4:]
