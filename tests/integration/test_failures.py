"""Where attempts fail: in their records, in the log, and in no event. Models' answers that are cut or never end."""

import json
import zlib
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests import wire
from tests.integration.conftest import Serve
from tests.openai_stub import Answer, CutOff, Status, StubServer
from tests.servers import LiveServer, ServerProcess, server_process

AGENTS = """
import asyncio
import threading
import time
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from tests import hostile

SECRET = "sk-abcdefghijklmnopqrstuvwxyz"
FORGED = "\\n2026-11-22 11:03:19 - app.worker - INFO - FORGED"
TEXT = f"{FORGED} \\x1b[2J and the prompt of a user, {SECRET}, " + "very long " * 1000


def helper(kind):
    local = "a local value"
    if kind in hostile.KINDS:
        raise hostile.KINDS[kind]()
    raise ValueError(f"first {kind}" + TEXT + local)


async def late(kind):
    if kind == "blocks":
        time.sleep(2)
    if kind == "waits":
        await asyncio.gather(asyncio.Event().wait())


async def answer(text: str) -> str:
    await late(text)
    helper(text)


def sync_node(state):
    if state["messages"][-1].content == "waits":
        threading.Event().wait(3)
    helper(state["messages"][-1].content)


async def async_node(state):
    await late(state["messages"][-1].content)
    helper(state["messages"][-1].content)


def graph_of(name, node):
    graph = StateGraph(MessagesState)
    graph.add_node(name, node)
    graph.add_edge(START, name)
    return graph.compile()


inner_sync, inner_async = graph_of("look up", sync_node), graph_of("look up", async_node)
outer_sync, outer_async = graph_of("outer", inner_sync), graph_of("outer", inner_async)
"""
NAMES = ("answer", "inner_sync", "inner_async", "outer_sync", "outer_async")
HOSTILE = (
    "the text is a number",
    "values that cannot be asked",
    "a ring",
    "a deep group",
    "a wide group",
    "a long text",
)
CLASS_EXITS = "the class exits"
"""The agent's own code reads such an error, so another one may be raised from there."""


def started(tmp_path: Path, **environment: str) -> Any:
    (tmp_path / "failing.py").write_text(AGENTS)
    agents = ",".join(f"{name}=failing:{name}" for name in NAMES)
    return server_process(tmp_path, AGENTS=agents, RETRY_BASE_SECONDS="0", LEASE_SECONDS="30", **environment)


async def failed(server: ServerProcess, text: str, agent: str, **fields: Any) -> dict[str, Any]:
    """The message with its attempts once it has failed."""
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, verify=False) as client:
        body = {"message": text, "agent": agent, **fields}
        reply = await client.post("/messages", json=body, headers={"Prefer": "wait=30"})
        assert (reply.status_code, reply.json()["state"]) == (200, "failed"), reply.text
        return dict((await client.get(f"/messages/{reply.json()['message_id']}")).json())


async def test_failures_tell_where_in_the_attempts_and_in_one_record_of_the_log(tmp_path: Path) -> None:
    with started(tmp_path) as server:
        await server.ready()
        for agent in NAMES:
            before = len(server.output)
            message = await failed(server, "plain", agent, max_attempts=2)
            node = "answer" if agent == "answer" else "look up"
            assert len(message["attempts"]) == 2
            for attempt in message["attempts"]:
                assert (attempt["node"], attempt["error_type"]) == (node, "ValueError")
                assert attempt["where"] == "failing.py:18 in helper"
                traceback = attempt["traceback"]
                assert 'File "failing.py", line 18, in helper' in traceback
                assert traceback.split("\n")[-1].startswith(r"ValueError: first plain\n2026-11-22")
                assert "a local value" not in traceback.replace('local = "a local value"', "")
                assert "sk-abc" not in json.dumps(message)
                assert len(traceback) < 6_000
            written = server.output[before:]
            records = [line for line in written.split("\n") if "app.agent_processor - WARNING" in line]
            assert len(records) == 2
            for number, record in enumerate(records, 1):
                wanted = f"id={message['message_id']}, attempt={number}, agent={agent}, node={node}, code=agent_error"
                assert wanted in record
                assert "type=ValueError, where=failing.py:18 in helper, error=ValueError: first plain" in record
            assert written.count("in helper") == 4
            for never in ("FORGED", "prompt of a user", "\x1b", "very long", "sk-abc", "ValueError: first plain\n"):
                assert never not in written.replace(record, "")
                assert never not in record
            events = await wire.frames_of(server.url, message["message_id"])
            assert "Traceback" not in str(events)


async def test_a_time_limit_tells_where_the_agent_was(tmp_path: Path) -> None:
    cases = {
        ("answer", "waits"): (None, "failing.py:25 in late"),
        ("inner_async", "waits"): ("look up", "failing.py:25 in late"),
        ("outer_async", "waits"): ("look up", "failing.py:25 in late"),
        ("outer_sync", "waits"): ("look up", "failing.py:35 in sync_node"),
        ("inner_async", "blocks"): ("look up", "failing.py:23 in late"),
    }
    with started(tmp_path, MAX_ATTEMPTS="1") as server:
        await server.ready()
        for (agent, kind), place in cases.items():
            before = len(server.output)
            message = await failed(server, kind, agent, timeout=0.3)
            (attempt,) = message["attempts"]
            assert (attempt["error_code"], attempt["error_type"]) == ("timeout", None)
            assert (attempt["node"], attempt["where"]) == place
            assert attempt["traceback"].startswith("Where it was (innermost call last):\n")
            record = f"agent={agent}, node={place[0]}, code=timeout, type=None, where={place[1]}"
            assert record in server.output[before:]


@pytest.mark.parametrize("format", ["text", "json"])
async def test_errors_without_bounds_fail_their_message_and_nothing_else(tmp_path: Path, format: str) -> None:
    with started(tmp_path, LOG_FORMAT=format, LOG_LEVEL="DEBUG", MAX_ATTEMPTS="1") as server:
        await server.ready()
        for kind in (*HOSTILE, CLASS_EXITS):
            for agent in ("answer", "outer_sync", "inner_async"):
                message = await failed(server, kind, agent)
                assert message["error_code"] == "agent_error"
                assert kind == CLASS_EXITS or message["attempts"][0]["where"].startswith("failing.py:17 in helper")
        assert len(server.output) < 500_000


# Models


@pytest.fixture
async def hurried(serve: Serve) -> LiveServer:
    return await serve(retry_base_seconds=0)


async def test_an_answer_without_its_finish_is_not_taken_for_complete(hurried: LiveServer, model: StubServer) -> None:
    model.replies.extend([CutOff("Half of the answer", 2, in_order=True), Answer("The whole answer")])
    message_id = (await hurried.submit(thread_id="t"))["message_id"]
    status = await hurried.ended(message_id)
    assert (status["state"], status["result"], status["attempt"]) == ("completed", "The whole answer", 2)
    (attempt,) = (await hurried.client.get(f"/messages/{message_id}")).json()["attempts"]
    assert (attempt["error_code"], attempt["node"]) == ("provider_unavailable", "model")
    await hurried.ended((await hurried.submit("next", thread_id="t"))["message_id"])
    said = [each["content"] for each in model.requests[-1].body["messages"] if each["role"] == "assistant"]
    assert said == ["The whole answer"]


async def test_an_answer_that_is_always_cut_fails(hurried: LiveServer, model: StubServer) -> None:
    model.default = lambda _: CutOff("Half of the answer", 2, in_order=True)
    status = await hurried.ended((await hurried.submit())["message_id"])
    assert (status["state"], status["error_code"], status["attempt"]) == ("failed", "provider_unavailable", 3)


async def test_used_up_credit_fails_at_once(hurried: LiveServer, model: StubServer) -> None:
    model.replies.append(Status(429, {"error": {"message": "No.", "type": "t", "code": "insufficient_quota"}}))
    status = await hurried.ended((await hurried.submit())["message_id"])
    assert (status["state"], status["error_code"], status["attempt"]) == ("failed", "quota_exhausted", 1)


@pytest.mark.parametrize("status", [200, 500])
async def test_a_bomb_of_a_model_ends_its_attempt(hurried: LiveServer, model: StubServer, status: int) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    packed = packer.compress(b"a" * 2**20) + packer.flush(zlib.Z_SYNC_FLUSH)
    packed += (packer.compress(b"a" * 2**20) + packer.flush(zlib.Z_SYNC_FLUSH)) * 500
    headers = {"content-encoding": "gzip", "content-type": "text/event-stream"}
    model.replies.extend([Status(status, packed, headers), Answer("The answer")])
    ended = await hurried.ended((await hurried.submit())["message_id"])
    assert (ended["state"], ended["result"], ended["attempt"]) == ("completed", "The answer", 2)
