"""The queue and its agents as tools of MCP, by the SDK's own client over both kinds of revisions."""

import asyncio
import sys
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from opentelemetry import context as current
from opentelemetry.propagate import extract

from app.access.principals import Principal
from app.access.scopes import AccessScope
from tests import wire
from tests.callers import admit
from tests.contract.builders import ALL, new, start
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_keys import bearer, issue, manager
from tests.mcp_clients import (
    ENVELOPE,
    HANDSHAKE,
    JSON_OR_EVENTS,
    KINDS,
    NEWEST_HANDSHAKE,
    OLDEST,
    STATELESS,
    Progress,
    call,
    events_of,
    found,
    post,
    refusal,
    sdk,
    text_of,
)
from tests.servers import LiveServer, until

AGENTS = (
    "steps=tests.graphs:steps,approving=tests.graphs:approving,failing=tests.graphs:failing,"
    "tools=tests.graphs:tools,state=tests.graphs:any_state,both=tests.graphs:plain_state"
)
COMMON = {
    "submit_message",
    "wait_for_message",
    "get_message",
    "cancel_message",
    "answer_message",
    "list_messages",
    "queue_summary",
}
kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
async def test_messages_are_submitted_awaited_and_listed(server: LiveServer, kind: str) -> None:
    async with sdk(server, kind) as client:
        submitted = found(await client.call_tool("submit_message", {"message": "Hello", "thread_id": "a/b"}))
        assert submitted["state"] == "queued"
        progress = Progress()
        asked = {"message_id": submitted["message_id"]}
        ended = await client.call_tool("wait_for_message", asked, progress_callback=progress)
        assert found(ended)["state"] == "completed"
        assert found(ended)["result"] == "You said: Hello"
        assert found(ended)["thread_id"] == "a/b"
        assert progress.text in ("", "You said: Hello")  # it may have ended before
        progress.check_growing()
        assert found(await client.call_tool("get_message", asked)) == found(ended)
        at_once = {"message": "Again", "wait_seconds": 30, "priority": "high"}
        second = found(await client.call_tool("submit_message", at_once))
        assert (second["result"], second["priority"]) == ("You said: Again", "high")
        first_page = found(await client.call_tool("list_messages", {"limit": 1}))
        assert first_page["messages"] == [second]
        assert not first_page["next_cursor"].isdigit(), "no number tells how many messages the server has"
        rest = {"limit": 1, "cursor": first_page["next_cursor"], "state": "completed"}
        assert found(await client.call_tool("list_messages", rest))["messages"] == [found(ended)]
        assert found(await client.call_tool("queue_summary")) == {"total_queued": 0, "total_processing": 0}
    native = await server.status(submitted["message_id"])
    assert {name: native[name] for name in submitted} == found(ended)
    assert native["usage"]["total_tokens"]
    assert "usage" not in found(ended)


@kinds
async def test_each_agent_is_a_tool_with_its_input(serve: Serve, control: GraphControl, kind: str) -> None:
    server = await serve(agents=AGENTS)
    await until(server.runtime.services.registry.loaded.is_set, "the agents are loaded")
    async with sdk(server, kind) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools.keys() == COMMON | {
            f"run_{name}" for name in ("steps", "approving", "failing", "tools", "state", "both")
        }
        assert tools["run_steps"].input_schema["required"] == ["message"]
        assert tools["run_steps"].input_schema["properties"]["message"]["type"] == "string", "null is no message"
        assert "input" not in tools["run_steps"].input_schema["properties"]
        of_state = tools["run_state"].input_schema
        assert of_state["required"] == ["input"]
        assert "message" not in of_state["properties"]
        native = (await server.client.get("/agents/state")).json()["input_schema"]
        assert of_state["properties"]["input"] == native
        of_both = tools["run_both"].input_schema
        assert "required" not in of_both
        assert {"message", "input"} <= of_both["properties"].keys()
        assert "Message" in of_both["$defs"]
        for name, tool in tools.items():
            hints = tool.annotations
            assert hints is not None
            assert hints.read_only_hint is (name in COMMON and name.startswith(("wait", "get", "list", "queue")))
            assert tool.description
            assert tool.output_schema is not None
        progress = Progress()
        ran = await client.call_tool("run_steps", {"message": "Hello"}, progress_callback=progress)
        message = await server.status(found(ran)["message_id"])
        assert (text_of(ran), message["agent"]) == (message["result"], "steps")
        assert progress.text == f"Step one. {message['result']}"
        assert "Attempt 1 has begun." in progress.notes
        progress.check_growing()
        code, told = refusal(await client.call_tool("run_state", {"input": {"odd": 1}}))
        assert (code, "input" in told) == ("invalid_input", True)
        failed = await client.call_tool("run_failing", {"message": "Hello"})
        assert (failed.is_error, failed.structured_content["state"]) == (True, "failed")
        assert text_of(failed).startswith("The agent failed: ")


@kinds
async def test_a_question_ends_the_run_and_its_answer_goes_on(serve: Serve, control: GraphControl, kind: str) -> None:
    server = await serve(agents=AGENTS)
    async with sdk(server, kind) as client:
        asked = await client.call_tool("run_approving", {"message": "Hello", "thread_id": "t"})
        assert found(asked)["state"] == "interrupted"
        assert "answer_message" in text_of(asked)
        message = {"message_id": found(asked)["message_id"]}
        (question,) = found(asked)["interrupts"]
        assert found(await client.call_tool("wait_for_message", message))["interrupts"] == [question]
        code, told = refusal(await client.call_tool("answer_message", message))
        assert (code, told) == ("invalid_request", "value: expected either value or values")
        odd = {**message, "values": {"no": 1}}
        assert "no question" in refusal(await client.call_tool("answer_message", odd))[1]
        answered = found(await client.call_tool("answer_message", {**message, "value": "yes"}))
        assert answered["state"] == "queued"
        progress = Progress()
        ended = found(await client.call_tool("wait_for_message", message, progress_callback=progress))
        assert ended["state"] == "completed"
        assert (await server.status(message["message_id"]))["result"] == ended["result"]
        assert refusal(await client.call_tool("answer_message", {**message, "value": 1}))[0] == "not_interrupted"


@kinds
async def test_what_is_wrong_with_a_call_is_told_in_its_result(quiet: LiveServer, kind: str) -> None:
    message_id = (await quiet.submit())["message_id"]
    wrong: list[tuple[str, dict[str, Any], str, str]] = [
        ("submit_message", {}, "validation_error", "message: Field required"),
        ("submit_message", {"message": ""}, "validation_error", "message: expected at least 1 character, got 0"),
        ("submit_message", {"message": "a\x00b"}, "validation_error", "message: must not contain the NUL character"),
        ("submit_message", {"message": "Hi", "colour": 1}, "validation_error", "colour: unknown field. Known here: "),
        ("submit_message", {"message": "Hi", "wait_seconds": -1}, "validation_error", "wait_seconds: "),
        ("submit_message", {"message": "Hi", "agent": "nobody"}, "unknown_agent", "There is no agent"),
        ("run_chat", {}, "validation_error", "message: expected a message or an input"),
        ("get_message", {"message_id": "none"}, "message_not_found", "There is no message with the id 'none'."),
        ("wait_for_message", {"message_id": "none"}, "message_not_found", "There is no message with the id 'none'."),
        ("wait_for_message", {"message_id": message_id, "timeout_seconds": "1"}, "validation_error", "timeout_sec"),
        ("list_messages", {"cursor": "x"}, "invalid_request", "cursor: expected a next_cursor of list_messages"),
        ("list_messages", {"state": "lost"}, "validation_error", "state: "),
        ("queue_summary", {"a": 1}, "validation_error", "a: "),
    ]
    async with sdk(quiet, kind) as client:
        for name, arguments, code, told in wrong:
            refused = refusal(await client.call_tool(name, arguments))
            assert (refused[0], refused[1][: len(told)]) == (code, told), name
        with pytest.raises(MCPError, match=r"There is no tool 'nothing'\. Call tools/list"):
            await client.call_tool("nothing")
        waited = found(await client.call_tool("wait_for_message", {"message_id": message_id, "timeout_seconds": 0.05}))
        assert waited["state"] == "queued"
        assert found(await client.call_tool("cancel_message", {"message_id": message_id}))["state"] == "cancelled"
        code, told = refusal(await client.call_tool("cancel_message", {"message_id": message_id}))
        assert (code, "is cancelled" in told) == ("not_cancellable", True)
    assert (await quiet.client.get("/queue")).json()["total_queued"] == 0


@kinds
async def test_limits_are_told_to_the_caller(serve: Serve, kind: str) -> None:
    server = await serve(worker_concurrency=0, max_queue_size=1, max_streams_per_tenant=1)
    async with sdk(server, kind) as client:
        message_id = found(await client.call_tool("submit_message", {"message": "Hi"}))["message_id"]
        assert refusal(await client.call_tool("submit_message", {"message": "Hi"}))[0] == "queue_full"
        async with wire.stream(server.url, message_id):
            refused = refusal(await client.call_tool("wait_for_message", {"message_id": message_id}))
            assert refused[0] == "too_many_streams"


@kinds
async def test_callers_are_held_to_their_scopes_tenants_and_subjects(serve: Serve, kind: str) -> None:
    server = await serve(worker_concurrency=0)
    await issue(server)
    store = server.runtime.services.store
    (anns,) = (await store.add([new(subject="ann", thread="t")], max_queued=ALL)).messages
    reads = await admit(server, Principal("default", frozenset({AccessScope.READ})))
    everything = frozenset(AccessScope)
    strangers = [
        await admit(server, Principal("other", everything)),
        await admit(server, Principal("default", everything, subject="bob")),
    ]
    only_coder = await admit(server, Principal("default", everything, agents=frozenset({"coder"})))
    async with sdk(server, kind, bearer(reads)) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert names == {"wait_for_message", "get_message", "list_messages", "queue_summary"}
        for name, arguments in (
            ("submit_message", {"message": "Hi"}),
            ("run_chat", {"message": "Hi"}),
            ("cancel_message", {"message_id": anns.id}),
            ("answer_message", {"message_id": anns.id, "value": 1}),
        ):
            code, told = refusal(await client.call_tool(name, arguments))
            assert (code, "needs the scope" in told) == ("insufficient_scope", True), name
        assert found(await client.call_tool("get_message", {"message_id": anns.id}))["state"] == "queued"
    for stranger in strangers:
        async with sdk(server, kind, bearer(stranger)) as client:
            for name, more in (
                ("get_message", {}),
                ("wait_for_message", {}),
                ("cancel_message", {}),
                ("answer_message", {"value": 1}),
            ):
                refused = await client.call_tool(name, {"message_id": anns.id, **more})
                missing = await client.call_tool(name, {"message_id": "none", **more})
                assert refusal(refused)[1].replace(anns.id, "none") == refusal(missing)[1]
            assert found(await client.call_tool("list_messages"))["messages"] == []
            own = found(await client.call_tool("submit_message", {"message": "Mine"}))["message_id"]
            listed = found(await client.call_tool("list_messages"))["messages"]
            assert [each["message_id"] for each in listed] == [own]
    async with sdk(server, kind, bearer(only_coder)) as client:
        assert "run_chat" not in {tool.name for tool in (await client.list_tools()).tools}
        with pytest.raises(MCPError, match="There is no tool 'run_chat'"):
            await client.call_tool("run_chat", {"message": "Hi"})
        assert refusal(await client.call_tool("queue_summary"))[0] == "insufficient_scope"
    assert (await store.get("default", anns.id)).state == "queued"


@kinds
async def test_a_caller_without_a_key_is_told_what_to_do(serve: Serve, kind: str) -> None:
    server = await serve(worker_concurrency=0)
    await issue(server)
    reply = await post(server, call("queue_summary"))
    assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert reply.json()["error"]["data"] == {"code": "authentication_required", "status": 401}
    with pytest.raises(ExceptionGroup) as raised:
        async with sdk(server, kind) as client:
            await client.list_tools()
    assert raised.group_contains(MCPError, match="X-API-Key")


async def test_a_revoked_key_ends_a_call_that_waits(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    server = await serve(worker_concurrency=0)
    key, _ = await issue(server), await issue(server)
    message_id = (await server.client.post("/messages", json={"message": "Hi"}, headers=bearer(key))).json()[
        "message_id"
    ]
    waits = call("wait_for_message", {"message_id": message_id})
    headers = {"Authorization": f"Bearer {key.text}"}
    stateless = {**waits["params"], "_meta": {**waits["params"]["_meta"], **ENVELOPE}}
    asked = [
        asyncio.create_task(post(server, waits, NEWEST_HANDSHAKE, **headers)),
        asyncio.create_task(post(server, {**waits, "params": stateless}, STATELESS, **headers, **named_headers(waits))),
    ]
    held = server.runtime.services.access._held
    await until(lambda: server.runtime.streams.readers_of("default", message_id) == 2, "both wait")
    assert len(held) == 2
    await manager(server).revoke(None, key.key.id)
    handshake, stateless_reply = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(handshake, wire.RawResponse)
    assert "revoked" in events_of(handshake.body.decode())[-1].message["error"]["message"]
    assert not isinstance(stateless_reply, TimeoutError), "nobody ended it"
    if isinstance(stateless_reply, wire.RawResponse):
        assert "result" not in stateless_reply.body.decode(), "it was cut off"
    await until(lambda: not held, "nothing is held")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    assert (await post(server, waits, **headers)).status == 401


def named_headers(message: dict[str, Any]) -> dict[str, str]:
    """The headers that tell proxies what a message of a stateless revision is."""
    return {"Mcp-Method": message["method"], "Mcp-Name": message["params"]["name"]}


async def test_pages_of_other_sites_are_refused(quiet: LiveServer) -> None:
    for method in ("POST", "GET", "DELETE"):
        headers = {**JSON_OR_EVENTS, "Origin": "https://evil.example"}
        reply = await wire.request(quiet.url, method, "/mcp", headers=headers, body=b"{}")
        assert (reply.status, reply.json()["error"]["data"]["code"]) == (403, "foreign_origin"), method
    own = await post(quiet, call("queue_summary"), Origin=quiet.url)
    assert own.status == 200


async def test_messages_that_are_none_are_refused(quiet: LiveServer) -> None:
    request = call("queue_summary")
    wrong: list[tuple[Any, int, int]] = [
        (b"", 400, -32700),
        (b"{", 400, -32700),
        (b"[]", 400, -32600),
        ([request], 400, -32600),
        ("text", 400, -32600),
        ({"jsonrpc": "2.0"}, 400, -32600),
        ({**request, "id": 1.5}, 400, -32600),
        ({**request, "jsonrpc": "1.0"}, 400, -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"a": "\\ud800"}}', 400, -32700),
    ]
    for version in (None, OLDEST, NEWEST_HANDSHAKE):
        for message, status, code in wrong:
            reply = await post(quiet, message, version)
            assert (reply.status, reply.json()["error"]["code"]) == (status, code), (version, message)
    plain = await wire.request(quiet.url, "POST", "/mcp", headers={"Content-Type": "text/plain"}, body=b"{}")
    assert plain.status == 415
    unacceptable = await post(quiet, request, Accept="application/json")
    assert (unacceptable.status, "text/event-stream" in unacceptable.json()["error"]["message"]) == (406, True)
    envelope = {**ENVELOPE, "io.modelcontextprotocol/protocolVersion": "1999-01-01"}
    later = {**request, "params": {**request["params"], "_meta": envelope}}
    unknown = await post(quiet, later, "1999-01-01", **named_headers(request))
    assert (unknown.status, unknown.json()["error"]["data"]["supported"][-1]) == (400, STATELESS)
    many = call("submit_message", {"message": "Hi", "a": [0] * 100_001})
    assert (await post(quiet, many)).status == 400
    for message in (
        {"jsonrpc": "2.0", "id": 1, "method": "no/such"},
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call"},
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": 1}},
    ):
        reply = await post(quiet, message)
        told = events_of(reply.body.decode())[-1].message if reply.body.startswith(b"retry") else reply.json()
        assert (reply.status, told["id"], told["error"]["code"] in (-32601, -32602)) == (200, 1, True)


async def test_nothing_is_sent_unasked(quiet: LiveServer) -> None:
    reply = await wire.request(quiet.url, "GET", "/mcp", headers={"Accept": "text/event-stream"})
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
    assert (await wire.request(quiet.url, "DELETE", "/mcp")).status == 405
    for notification in ("notifications/initialized", "notifications/cancelled", "notifications/odd"):
        message = {"jsonrpc": "2.0", "method": notification, "params": {"requestId": 1}}
        assert (await post(quiet, message, Mcp_Session_Id="s")).status == 202
    assert (await post(quiet, {"jsonrpc": "2.0", "id": 1, "result": {}})).status == 202


async def test_a_header_gives_the_priority_of_calls_that_name_none(quiet: LiveServer) -> None:
    headers = {"X-AgentQ-Priority": "low"}
    async with sdk(quiet, STATELESS, headers) as client:
        submitted = found(await client.call_tool("submit_message", {"message": "Hi"}))
        assert submitted["priority"] == "low"
        named = {"message": "Hi", "priority": "high"}
        assert found(await client.call_tool("submit_message", named))["priority"] == "high"


async def test_calls_belong_to_the_trace_that_they_name(quiet: LiveServer) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    # The client names its own span, which is inside the one of the program around it.
    token = current.attach(extract({"traceparent": parent}))
    try:
        async with sdk(quiet, HANDSHAKE) as client:
            submitted = found(await client.call_tool("submit_message", {"message": "Hi"}))
    finally:
        current.detach(token)
    assert (await quiet.status(submitted["message_id"]))["trace_id"] == parent.split("-")[1]


@kinds
async def test_a_waiting_call_tells_the_position(quiet: LiveServer, kind: str) -> None:
    store = quiet.runtime.services.store
    async with sdk(quiet, kind) as client:
        first = found(await client.call_tool("submit_message", {"message": "Hi"}))["message_id"]
        second = found(await client.call_tool("submit_message", {"message": "Hi"}))["message_id"]
        progress = Progress()
        asked = {"message_id": second}
        waiting = asyncio.create_task(client.call_tool("wait_for_message", asked, progress_callback=progress))
        await until(lambda: any("position 1" in note for note in progress.notes), "a position is told")
        await client.call_tool("cancel_message", {"message_id": first})
        await until(lambda: any("position 0" in note for note in progress.notes), "the next position is told")
        await store.cancel("default", second)
        assert found(await waiting)["state"] == "cancelled"
    progress.check_growing()


async def test_a_server_without_the_package_says_how_to_get_it(
    quiet: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'mcp'", name="mcp")

    monkeypatch.setattr("app.protocols.mcp.endpoints.import_module", missing)
    monkeypatch.delitem(sys.modules, "app.protocols.mcp.replies", raising=False)
    reply = await post(quiet, call("queue_summary"))
    assert (reply.status, "pip install" in reply.json()["error"]["message"]) == (501, True)


async def test_a_message_that_was_begun_elsewhere_is_seen(quiet: LiveServer) -> None:
    lease = await start(quiet.runtime.services.store)
    async with sdk(quiet, STATELESS) as client:
        seen = found(await client.call_tool("get_message", {"message_id": lease.message_id}))
        assert seen["state"] == "processing"
        assert found(await client.call_tool("queue_summary")) == {"total_queued": 0, "total_processing": 1}
