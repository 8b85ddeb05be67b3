"""A message gives more than a text: it is checked before it is accepted, given to the graph, shown to the caller."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.config import Settings
from app.models.agents import AgentDescription
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_api import check_problem
from tests.pages import DOCS, named
from tests.servers import LiveServer, live_server, until
from tests.talk import talk

GRAPHS = DOCS / "how-to" / "serve-your-graphs.md"
AGENTS = "greets=tests.graphs:greets,any_state=tests.graphs:any_state"
IMAGE = {"type": "image", "url": "https://example.com/cat.png"}
QUESTION = {"type": "text", "text": "What is this?"}


async def post(server: LiveServer, **body: Any) -> httpx2.Response:
    return await server.client.post("/messages", json=body)


async def submit(server: LiveServer, **body: Any) -> str:
    """Submit a body; return the message's id."""
    response = await post(server, **body)
    assert response.status_code == 202, response.text
    return str(response.json()["message_id"])


async def details(server: LiveServer, message_id: str) -> dict[str, Any]:
    response = await server.client.get(f"/messages/{message_id}")
    assert response.status_code == 200, response.text
    return dict(response.json())


async def loaded(server: LiveServer) -> LiveServer:
    """The server once its agents are loaded."""
    await asyncio.wait_for(server.runtime.services.registry.loaded.wait(), 30)
    return server


async def test_a_graph_gets_what_the_message_gives(serve: Serve, control: GraphControl) -> None:
    server = await loaded(await serve(agents=AGENTS, configurable_keys="size,other"))
    given = {
        "message": [QUESTION, IMAGE],
        "context": {"name": "Ada"},
        "config": {"configurable": {"size": 3}, "tags": ["a"], "recursion_limit": 5},
        "client_message_id": "c-1",
    }
    message_id = await submit(server, **given, metadata={"user": "u-1"}, thread_id="t", name="A talk", aliases=["a-1"])
    status = await server.ended(message_id)
    assert status["result"] == f"Ada/1 3 c-1: {[QUESTION, IMAGE]}"
    assert (status["user_message"], status["metadata"]) == ("What is this?", {"user": "u-1"})
    shown = await details(server, message_id)
    assert {name: shown[name] for name in given} == given
    assert (shown["input"], shown["events"]) == (None, [])


async def test_an_input_is_the_state_of_the_graph(serve: Serve, control: GraphControl) -> None:
    server = await loaded(await serve(agents=AGENTS))
    message_id = await submit(server, agent="any_state", input={"question": "why"}, events=["node"])
    status = await server.ended(message_id)
    assert status["output"] == {"question": "why", "steps": ["begins", "ends"], "answer": "WHY"}
    assert status["user_message"] == '{"question":"why"}'
    shown = await details(server, message_id)
    assert (shown["message"], shown["input"], shown["context"]) == (None, {"question": "why"}, None)
    assert shown["events"] == ["node"]
    assert shown["config"] == {"recursion_limit": None, "tags": [], "configurable": {}}
    plain = await details(server, await submit(server, message="Hello"))
    assert (plain["message"], plain["input"], plain["client_message_id"], plain["metadata"]) == (
        "Hello",
        None,
        None,
        {},
    )


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"agent": "any_state", "input": {"question": 3}}, "input.question", "invalid_input"),
    ({"agent": "any_state", "input": {"qestion": "why"}}, "input.qestion", "invalid_input"),
    ({"agent": "any_state", "message": "Hello"}, "message", "invalid_input"),
    ({"agent": "any_state", "message": [QUESTION]}, "message", "invalid_input"),
    ({"agent": "any_state", "input": {}, "context": {"a": 1}}, "context", "invalid_input"),
    ({"message": "Hello", "context": {"level": 2}}, "context.name", "invalid_input"),
    ({"message": "Hello", "context": {"name": "Ada", "level": "x"}}, "context.level", "invalid_input"),
    ({"message": "Hello", "context": {"name": "Ada", "age": 7}}, "context.age", "invalid_input"),
    ({"input": {"messages": [{"text": "Hi"}]}}, "input.messages.0", "invalid_input"),
    ({"message": "Hello", "config": {"configurable": {"model": 1}}}, "config.configurable.model", "key_not_allowed"),
    ({"message": "Hello", "metadata": {"a": {}}}, "metadata.a", "validation_error"),
    ({"message": [QUESTION, {"type": "image", "url": "ftp://a.example"}]}, "message.1.url", "validation_error"),
    ({"message": "Hello", "input": {}}, "message", "validation_error"),
]


@pytest.mark.parametrize("workers", [1, 0], ids=["own agents", "agents of another process"])
async def test_what_does_not_fit_is_refused_before_it_is_stored(
    serve: Serve, control: GraphControl, workers: int
) -> None:
    server = await loaded(await serve(agents=AGENTS, configurable_keys="size", lease_seconds=1.5))
    if not workers:
        described = server.runtime.services.store.list_agents

        async def both() -> list[AgentDescription] | None:
            found = await described()
            return found if len(found) == 2 else None

        await until(both, "the worker has described its agents")
        server = await serve(agents=AGENTS, configurable_keys="size", worker_concurrency=0)
    for body, field, code in REFUSED:
        answer = await post(server, **body)
        assert (answer.status_code, answer.json()["code"]) == (422, code), (body, answer.text)
        assert [each["field"] for each in answer.json()["errors"]] == [field], body
        right = {"agent": "any_state", "input": {"question": "why"}}
        batch = await server.client.post("/messages/batch", json={"messages": [right, body]})
        assert (batch.status_code, batch.json()["code"]) == (422, code), batch.text
        assert [each["field"] for each in batch.json()["errors"]] == [f"messages.1.{field}"], body
    async with talk(server.url) as connection:
        for body, field, code in REFUSED:
            await connection.connection.send(json.dumps({"type": "submit", **body}))
            frame = await connection.until("error")
            assert frame["problem"]["code"] == code
            assert [each["field"] for each in frame["problem"]["errors"]] == [field]
        accepted = await connection.ask(
            "submit", agent="any_state", input={"question": "why"}, metadata={"a": 1}, subscribe=False
        )
        assert accepted["type"] == "accepted"
    assert len((await server.client.get("/messages")).json()["messages"]) == 1


async def test_an_agent_that_is_not_known_yet_takes_anything_and_checks_at_the_run(
    quiet: LiveServer, settings: Callable[..., Settings], control: GraphControl
) -> None:
    async with live_server(settings(agents=AGENTS, worker_concurrency=0)) as api:
        message_id = await submit(api, agent="any_state", input={"question": 3})
    async with live_server(settings(agents=AGENTS)) as server:
        status = await server.ended(message_id)
        assert (status["state"], status["error_code"]) == ("failed", "invalid_input")


async def test_a_repeated_request_is_answered_though_it_no_longer_fits(
    settings: Callable[..., Settings], control: GraphControl
) -> None:
    key = {"Idempotency-Key": "once"}
    body = {"agent": "any_state", "input": {"question": 3}}
    async with live_server(settings(agents=AGENTS, worker_concurrency=0)) as api:
        first = await api.client.post("/messages", json=body, headers=key)
        assert first.status_code == 202
    async with live_server(settings(agents=AGENTS)) as server:
        await loaded(server)
        again = await server.client.post("/messages", json=body, headers=key)
        assert (again.status_code, again.json()["message_id"]) == (202, first.json()["message_id"])
        assert again.headers["Idempotent-Replayed"] == "true"
        check_problem(await post(server, **body), 422, "invalid_input")


# Metadata and names


async def test_messages_are_found_by_their_metadata(quiet: LiveServer) -> None:
    one = await submit(quiet, message="One", metadata={"user": "u 1&2", "n": 42, "paid": True})
    two = await submit(quiet, message="Two", metadata={"user": "u-2", "n": "42", "paid": False, "none": None})
    await submit(quiet, message="Three")

    async def found(**wanted: Any) -> list[str]:
        response = await quiet.client.get("/messages", params={f"metadata.{key}": each for key, each in wanted.items()})
        assert response.status_code == 200, response.text
        return [each["message_id"] for each in response.json()["messages"]]

    assert await found(user="u 1&2") == [one]
    assert await found(n=42) == [two, one]
    assert await found(n=42, paid="true") == [one]
    assert await found(none="null") == [two]
    assert await found(user="u") == []
    page = await quiet.client.get("/messages", params={"metadata.n": "42", "limit": "1"})
    following = page.headers["link"].partition("<")[2].partition(">")[0]
    assert [each["message_id"] for each in (await quiet.client.get(following)).json()["messages"]] == [one]
    assert page.json()["messages"][0]["metadata"] == {"user": "u-2", "n": "42", "paid": False, "none": None}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("metadata.=1", "metadata."),
        ("metadata=1", "metadata"),
        ("metdata.a=1", "metdata.a"),
        (f"metadata.{'k' * 65}=1", f"metadata.{'k' * 65}"),
        ("metadata.a=1&metadata.a=2", "metadata.a"),
        ("metadata.a=%00", "metadata.a"),
        ("&".join(f"metadata.k{n}=1" for n in range(17)), "metadata"),
    ],
)
async def test_a_wrong_filter_is_named(quiet: LiveServer, query: str, field: str) -> None:
    for path in ("/messages", "/threads"):
        answer = await quiet.client.get(f"{path}?{query}")
        assert answer.status_code == 422, answer.text
        assert [each["field"] for each in answer.json()["errors"]] == [field]
    assert (await quiet.client.get("/queue?metadata.a=1")).status_code == 422


async def test_a_filter_nested_deeper_than_any_json_finds_its_text_only(quiet: LiveServer) -> None:
    deep = "[" * 8_000
    one = await submit(quiet, message="One", metadata={"a": deep})
    for text, found in ((deep, [one]), (deep + "[", [])):
        answer = await quiet.client.get("/messages", params={"metadata.a": text})
        assert answer.status_code == 200, answer.text
        assert [each["message_id"] for each in answer.json()["messages"]] == found


async def test_a_thread_has_a_name_and_the_metadata_of_its_messages(quiet: LiveServer) -> None:
    await submit(quiet, message="One", thread_id="t", name="First", metadata={"a": 1, "b": 2})
    await submit(quiet, message="Two", thread_id="t", name="Second", metadata={"a": None, "c": "x"})
    await submit(quiet, message="Three", thread_id="t")
    await submit(quiet, message="Alone", thread_id="u")
    thread = (await quiet.client.get("/threads/t")).json()
    assert (thread["name"], thread["metadata"]) == ("Second", {"b": 2, "c": "x"})
    listed = {each["thread_id"]: each for each in (await quiet.client.get("/threads")).json()}
    assert (listed["t"]["name"], listed["t"]["metadata"]) == ("Second", {"b": 2, "c": "x"})
    assert (listed["u"]["name"], listed["u"]["metadata"]) == (None, {})
    messages = (await quiet.client.get("/threads/t/messages")).json()["messages"]
    assert [each["metadata"] for each in messages] == [{"a": 1, "b": 2}, {"a": None, "c": "x"}, {}]


# The example in the documents


async def test_the_graph_that_takes_more_than_a_text(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "tickets.py").write_text(named(GRAPHS, "file: tickets.py"))
    server = await loaded(await serve(agents=f"tickets={tmp_path / 'tickets.py'}:graph"))
    block = named(GRAPHS, "tested: ticket")
    body = json.loads(block.partition("-d '")[2].rpartition("'")[0])
    answer = await server.client.post("/messages", json=body, headers={"Prefer": "wait=30"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["output"] == {"title": "The printer burns", "urgent": True, "owner": "Ada"}
    assert (answer.json()["state"], answer.json()["metadata"]) == ("completed", body["metadata"])
    refused = await post(server, input={"title": "The printer burns"}, context={"owner": "Ada"})
    assert [each["field"] for each in refused.json()["errors"]] == ["input.urgent"]
