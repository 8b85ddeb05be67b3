"""Calls of MCP that are refused before they do anything, or end early, and what tools tell of themselves."""

import asyncio
from typing import Any

import httpx2
import pytest

from app.access.principals import Principal
from app.access.scopes import AccessScope
from tests import wire
from tests.callers import admit
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_keys import bearer, issue, manager
from tests.mcp_clients import (
    ENVELOPE,
    JSON_OR_EVENTS,
    KINDS,
    NEWEST_HANDSHAKE,
    OLDEST,
    STATELESS,
    call,
    events_of,
    found,
    post,
    refusal,
    sdk,
)
from tests.servers import LiveServer, until

kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
async def test_a_call_that_may_open_no_stream_stores_no_message(serve: Serve, kind: str) -> None:
    server = await serve(worker_concurrency=0, max_streams_per_tenant=1)
    async with sdk(server, kind) as client:
        known = found(await client.call_tool("submit_message", {"message": "Hi"}))["message_id"]
        async with wire.stream(server.url, known):
            for name, arguments in (
                ("run_chat", {"message": "Hi"}),
                ("submit_message", {"message": "Hi", "wait_seconds": 1}),
                ("wait_for_message", {"message_id": known}),
            ):
                assert refusal(await client.call_tool(name, arguments))[0] == "too_many_streams", name
            assert found(await client.call_tool("get_message", {"message_id": known}))["state"] == "queued"
        listed = found(await client.call_tool("list_messages"))["messages"]
        assert [each["message_id"] for each in listed] == [known]


@kinds
async def test_a_call_for_a_message_that_has_ended_opens_no_stream(serve: Serve, kind: str) -> None:
    server = await serve(worker_concurrency=0, max_streams_per_tenant=1)
    async with sdk(server, kind) as client:
        waiting, ended = [
            found(await client.call_tool("submit_message", {"message": "Hi"}))["message_id"] for _ in range(2)
        ]
        await client.call_tool("cancel_message", {"message_id": ended})
        async with wire.stream(server.url, waiting):
            assert found(await client.call_tool("wait_for_message", {"message_id": ended}))["state"] == "cancelled"


@kinds
async def test_a_call_that_waits_is_one_open_stream(serve: Serve, kind: str) -> None:
    """A call does not take a place of its own twice, and gives it back."""
    server = await serve(max_streams_per_tenant=1)
    async with sdk(server, kind) as client:
        for _ in range(2):
            assert found(await client.call_tool("run_chat", {"message": "Hi"}))["state"] == "completed"
            waited = {"message": "Hi", "wait_seconds": 30}
            assert found(await client.call_tool("submit_message", waited))["state"] == "completed"


async def test_a_cut_call_comes_back_to_a_server_that_has_no_place(serve: Serve) -> None:
    """Its result is not lost: it is refused as a request, so that it comes back again."""
    server = await serve(worker_concurrency=0, max_streams_per_tenant=1)
    message_id = (await server.submit())["message_id"]
    waits = call("wait_for_message", {"message_id": message_id, "timeout_seconds": 0.01})
    seen = next(e.id for e in events_of((await post(server, waits, NEWEST_HANDSHAKE)).body.decode()) if e.id)
    headers = {"Last-Event-ID": seen, "Accept": "text/event-stream", "MCP-Protocol-Version": NEWEST_HANDSHAKE}
    async with wire.stream(server.url, message_id):
        refused = await wire.request(server.url, "GET", "/mcp", headers=headers)
    assert (refused.status, refused.json()["error"]["data"]["code"]) == (429, "too_many_streams")
    assert refused.headers["retry-after"]


async def test_a_revoked_key_tells_which_message_goes_on(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    key, other = await issue(server), await issue(server)
    headers = {"Authorization": f"Bearer {key.text}"}
    calling = asyncio.create_task(post(server, call("run_chat", {"message": "Hi"}), NEWEST_HANDSHAKE, **headers))
    streams = server.runtime.streams
    await until(lambda: streams.open_by_kind()["stream"] == 1, "it waits")
    await manager(server).revoke(None, key.key.id)
    error = events_of((await calling).body.decode())[-1].message["error"]
    (message,) = (await server.client.get("/messages", headers=bearer(other))).json()["messages"]
    assert message["state"] == "queued"
    assert f"The message {message['message_id']} goes on: call wait_for_message" in error["message"]
    assert error["data"] == {"code": "authentication_required", "status": 401}


@pytest.mark.parametrize(("tool", "state"), [("run_chat", "cancelled"), ("submit_message", "queued")])
async def test_a_revoked_key_cuts_the_connection_of_the_newest_revision(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tool: str, state: str
) -> None:
    """The client cannot tell it from a cut connection, which cancels the run of an agent."""
    monkeypatch.setattr("app.protocols.departures.GRACE_SECONDS", 0)
    server = await serve(worker_concurrency=0)
    key, other = await issue(server), await issue(server)
    called = call(tool, {"message": "Hi"} | ({"wait_seconds": 60} if tool == "submit_message" else {}))
    called["params"]["_meta"] |= ENVELOPE
    named = {"MCP-Protocol-Version": STATELESS, "Mcp-Method": "tools/call", "Mcp-Name": tool}
    headers = {**JSON_OR_EVENTS, **bearer(key), **named}
    calling = asyncio.create_task(server.client.post("/mcp", json=called, headers=headers))
    streams = server.runtime.streams
    await until(lambda: streams.open_by_kind()["stream"] == 1, "it waits")
    await manager(server).revoke(None, key.key.id)
    with pytest.raises(httpx2.TransportError):  # an answer without its end
        await calling
    (message,) = (await server.client.get("/messages", headers=bearer(other))).json()["messages"]

    async def is_as_expected() -> bool:
        stored = await server.client.get(f"/messages/{message['message_id']}", headers=bearer(other))
        return bool(stored.json()["state"] == state)

    await until(is_as_expected, "the message is as for a client that has left")


async def test_an_id_that_a_session_used_before_is_refused_in_words_of_the_protocol(quiet: LiveServer) -> None:
    first = asyncio.create_task(post(quiet, call("run_chat", {"message": "Hi"}, 7), OLDEST, Mcp_Session_Id="mine"))
    await until(lambda: quiet.runtime.streams.open_by_kind()["stream"] == 1, "it waits")
    again = await post(quiet, call("run_chat", {"message": "Ho"}, 7), OLDEST, Mcp_Session_Id="mine")
    result = events_of(again.body.decode())[-1].message["result"]
    assert result["_meta"]["agentq/code"] == "alias_taken"
    assert "request" in result["content"][0]["text"]
    assert "alias" not in result["content"][0]["text"]
    first.cancel()


@kinds
async def test_tools_of_the_whole_tenant_are_listed_for_callers_that_see_it(serve: Serve, kind: str) -> None:
    server = await serve(worker_concurrency=0)
    await issue(server)
    everything = frozenset(AccessScope)
    for principal, is_listed in (
        (Principal("default", everything), True),
        (Principal("default", everything, subject="ann"), False),
        (Principal("default", everything, agents=frozenset({"chat"})), False),
    ):
        async with sdk(server, kind, bearer(await admit(server, principal))) as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert ("queue_summary" in names) is is_listed
            assert {"submit_message", "run_chat", "list_messages"} <= names


async def test_descriptions_are_for_models_that_choose_a_tool(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents="steps=tests.graphs:steps")
    await until(server.runtime.services.registry.loaded.is_set, "the agents are loaded")
    async with sdk(server) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    for name, tool in tools.items():
        assert tool.description
        assert tool.description == tool.description.strip(), name
        assert "app." not in f"{tool.input_schema}{tool.output_schema}", name
    for name in ("run_steps", "submit_message"):
        hints = tools[name].annotations
        assert hints is not None
        assert hints.destructive_hint is True
        assert "cancels that question" in str(tools[name].description)


@kinds
async def test_a_new_message_cancels_the_open_question_of_its_thread(
    serve: Serve, control: GraphControl, kind: str
) -> None:
    server = await serve(agents="approving=tests.graphs:approving")
    async with sdk(server, kind) as client:
        asked = found(await client.call_tool("run_approving", {"message": "Hello", "thread_id": "t"}))
        assert asked["state"] == "interrupted"
        await client.call_tool("submit_message", {"message": "Ho", "thread_id": "t"})
        assert (await server.status(asked["message_id"]))["state"] == "cancelled"


@pytest.mark.parametrize("version", [None, "2024-11-05", OLDEST, NEWEST_HANDSHAKE, STATELESS])
async def test_parameters_that_do_not_fit_are_named(quiet: LiveServer, version: str | None) -> None:
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("tools/call", {"name": "run_chat", "arguments": "x"}, "arguments: "),
        ("tools/call", {"name": 5}, "name: "),
        ("tools/call", {}, "name: "),
        ("tools/list", {"cursor": 5}, "cursor: "),
    ]
    for method, params, told in wrong:
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        headers = {}
        if version == STATELESS:
            if told == "name: ":
                continue  # the SDK compares it with a header first
            params["_meta"] = ENVELOPE
            headers = {"Mcp-Method": method, "Mcp-Name": str(params.get("name", ""))}
        reply = await post(quiet, message, version, **headers)
        body = reply.body.decode()
        error = (events_of(body)[-1].message if "data:" in body else reply.json())["error"]
        assert (error["code"], error["data"]) == (-32602, {"code": "validation_error"}), (method, params, error)
        assert told in error["message"]


@kinds
async def test_a_tool_names_only_arguments_that_it_has(quiet: LiveServer, kind: str) -> None:
    async with sdk(quiet, kind) as client:
        both = {"message": "Hi", "input": {"messages": []}}
        code, told = refusal(await client.call_tool("run_chat", both))
    assert (code, told) == ("validation_error", "input: give either message or input")


async def test_a_revision_that_is_not_served_is_refused_with_those_that_are(quiet: LiveServer) -> None:
    for message in (call("queue_summary"), {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}):
        reply = await post(quiet, message, "1999-01-01")
        error = reply.json()["error"]
        assert (reply.status, reply.json()["id"], error["code"]) == (400, 1, -32022)
        assert (error["data"]["code"], error["data"]["requested"]) == ("invalid_request", "1999-01-01")
        for served in (*error["data"]["supported"], OLDEST, STATELESS):
            assert served in error["message"]
    assert (await post(quiet, b"{", "1999-01-01")).json()["id"] is None


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"a": "\\ud800"}}', "half of a surrogate pair"),
        (b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}", "fewer levels"),
        (b'{"a": ', "complete JSON"),
        (b'{"a": 1,}', "expected JSON; the fault is at line 1 column 9"),
    ],
)
async def test_json_that_is_not_taken_says_why(quiet: LiveServer, body: bytes, told: str) -> None:
    error = (await post(quiet, body)).json()["error"]
    assert (error["code"], error["data"]["code"]) == (-32700, "parse_error")
    assert told in error["message"]
