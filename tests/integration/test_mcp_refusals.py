"""A call of a tool that goes wrong has a result with `isError`, a native code, and a sentence that helps."""

import asyncio
from typing import Any

import pytest

from app.errors import StoreUnavailable
from app.queue_manager import QueueManager
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_mcp import kinds
from tests.mcp_clients import NEWEST_HANDSHAKE, STATELESS, call, events_of, found, post, refusal, sdk, text_of
from tests.servers import LiveServer, until

AGENTS = (
    "steps=tests.graphs:steps,approving=tests.graphs:approving,failing=tests.graphs:failing,"
    "state=tests.graphs:any_state"
)

REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("submit_message", {}, "validation_error", "message: Field required"),
    (
        "submit_message",
        {"message": "Hi", "agent": "x"},
        "unknown_agent",
        "There is no agent 'x'. Agents of this server: ",
    ),
    ("run_state", {"input": {"odd": 1}}, "invalid_input", "input"),
    ("run_state", {"message": "Hi", "input": {"odd": 1}}, "validation_error", "input: give either message or input"),
    ("list_messages", {"cursor": "x"}, "invalid_request", "cursor: expected a next_cursor of list_messages"),
    ("list_messages", {"cursor": "2"}, "invalid_request", "cursor: expected a next_cursor of list_messages"),
    ("get_message", {"message_id": "x"}, "message_not_found", "There is no message with the id 'x'."),
    ("answer_message", {"message_id": "ENDED", "value": 1}, "not_interrupted", "Message "),
    ("answer_message", {"message_id": "ASKS", "values": {"no": 1}}, "invalid_request", "values"),
    ("cancel_message", {"message_id": "ENDED"}, "not_cancellable", "Messages that have ended cannot be cancelled"),
]
"""Each kind of refusal that a call alone can have: tool, arguments, code, and how the sentence begins."""


@kinds
async def test_each_kind_of_refusal_says_what_is_wrong(serve: Serve, control: GraphControl, kind: str) -> None:
    server = await serve(agents=AGENTS)
    await until(server.runtime.services.registry.loaded.is_set, "the agents are loaded")
    async with sdk(server, kind) as client:
        ended = found(await client.call_tool("run_steps", {"message": "Hi"}))["message_id"]
        asks = found(await client.call_tool("run_approving", {"message": "Hi"}))["message_id"]
        for name, arguments, code, told in REFUSED:
            ids = {"ENDED": ended, "ASKS": asks}
            given = {key: ids.get(value, value) if key == "message_id" else value for key, value in arguments.items()}
            refused = refusal(await client.call_tool(name, given))
            assert refused[0] == code, (name, refused)
            assert refused[1].startswith(told), (name, refused)


@kinds
async def test_runs_without_an_answer_are_failures_that_say_why(serve: Serve, control: GraphControl, kind: str) -> None:
    server = await serve(agents=AGENTS)
    async with sdk(server, kind) as client, sdk(server, kind) as other:
        failed = await client.call_tool("run_failing", {"message": "Hi"})
        assert (failed.is_error, text_of(failed)[:18]) == (True, "The agent failed: ")
        control.hold("first")
        running = asyncio.create_task(client.call_tool("run_steps", {"message": "Hi"}))
        await until(lambda: control.waits("first"), "the agent runs")
        (message,) = (await server.client.get("/messages?state=processing")).json()["messages"]
        await other.call_tool("cancel_message", {"message_id": message["message_id"]})
        cancelled = await running
        assert cancelled.is_error
        assert text_of(cancelled) == f"The message {message['message_id']} was cancelled before its end."


@kinds
async def test_a_full_queue_and_limits_say_when_to_come_again(serve: Serve, kind: str) -> None:
    server = await serve(worker_concurrency=0, max_queue_size=1)
    async with sdk(server, kind) as client:
        await client.call_tool("submit_message", {"message": "Hi"})
        code, told = refusal(await client.call_tool("submit_message", {"message": "Hi"}))
        assert (code, "later" in told) == ("queue_full", True), told
    limited = await serve(worker_concurrency=0, submits_per_minute_per_tenant=1)
    async with sdk(limited, kind) as client:
        await client.call_tool("submit_message", {"message": "Hi"})
        code, told = refusal(await client.call_tool("submit_message", {"message": "Hi"}))
        assert (code, "send the request again in" in told) == ("rate_limit_exceeded", True), told


@kinds
async def test_a_fault_of_the_server_tells_nothing_of_it(
    quiet: LiveServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """A store that is away says to come again. What nobody expected is in the log alone."""

    def failing(error: Exception) -> Any:
        async def get(*_: Any) -> Any:
            raise error

        return get

    async with sdk(quiet, kind) as client:
        monkeypatch.setattr(QueueManager, "get", failing(StoreUnavailable("host 10.0.0.1 is away")))
        code, told = refusal(await client.call_tool("get_message", {"message_id": "x"}))
        assert (code, "10.0.0.1" in told, "again" in told) == ("store_unavailable", False, True), told
        monkeypatch.setattr(QueueManager, "get", failing(RuntimeError("secret")))
        code, told = refusal(await client.call_tool("get_message", {"message_id": "x"}))
        assert (code, "secret" in told) == ("internal_error", False), told
    assert "The tool get_message failed" in caplog.text


async def test_a_cancel_that_overtakes_its_call_does_nothing(serve: Serve, control: GraphControl) -> None:
    """There is no message yet that it could name. The same cancel works once the call has stored it."""
    server = await serve(agents=AGENTS)
    control.hold("first")
    cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
    early = await post(server, cancelled, NEWEST_HANDSHAKE, Mcp_Session_Id="mine")
    assert early.status == 202
    message = call("run_steps", {"message": "Hello"}, 7)
    calling = asyncio.create_task(post(server, message, NEWEST_HANDSHAKE, Mcp_Session_Id="mine"))
    await until(lambda: control.waits("first"), "the agent runs")
    (running,) = (await server.client.get("/messages?state=processing")).json()["messages"]
    assert (await server.status(running["message_id"]))["cancel_requested"] is False
    assert (await post(server, cancelled, NEWEST_HANDSHAKE, Mcp_Session_Id="mine")).status == 202
    response = events_of((await calling).body.decode())[-1].message
    assert (response["result"]["isError"], response["result"]["structuredContent"]["state"]) == (True, "cancelled")


async def test_a_fault_of_the_package_is_an_error_of_the_server(
    quiet: LiveServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: Any) -> None:
        raise RuntimeError("a secret of the server")

    monkeypatch.setattr("mcp.server.streamable_http_manager.StreamableHTTPSessionManager.handle_request", fail)
    reply = await post(quiet, {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}, STATELESS)
    assert (reply.status, reply.json()["error"]["data"]["code"]) == (500, "internal_error")
    assert "secret" not in reply.body.decode()
    assert "a secret of the server" in caplog.text
