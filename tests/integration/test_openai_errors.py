"""Refusals by name of OpenAI's surface, and the ends of replies that are held."""

import asyncio
import json
from typing import Any
from uuid import UUID

import httpx2
import openai
import pytest

from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.openai_clients import AGENTS
from tests.servers import LiveServer, until

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
ASKED: dict[str, Any] = {
    CHAT: {"model": "chat", "messages": [{"role": "user", "content": "Hi"}]},
    RESPONSES: {"model": "chat", "input": "Hi"},
}
CALL = {"type": "function_call", "name": "f", "call_id": "1", "arguments": "{}"}
ANSWER = {"type": "function_call_output", "call_id": "1", "output": "x"}
USER = {"role": "user", "content": "Hi"}

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (CHAT, {"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    (CHAT, {"functions": [{"name": "f"}]}, "functions"),
    (CHAT, {"tool_choice": "required"}, "tool_choice"),
    (CHAT, {"response_format": {"type": "json_object"}}, "response_format.type"),
    (CHAT, {"n": 2}, "n"),
    (CHAT, {"logprobs": True}, "logprobs"),
    (CHAT, {"modalities": ["audio"]}, "modalities.0"),
    (CHAT, {"messages": []}, "messages"),
    (CHAT, {"messages": [{"role": "user"}]}, "messages.0"),
    (CHAT, {"messages": [{"role": "tool", "content": "x"}]}, "messages.0"),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages.0.content"),
    (CHAT, {"messages": [{"role": "user", "content": "\ud800"}]}, "body"),
    (RESPONSES, {"tools": [{"type": "web_search"}]}, "tools"),
    (RESPONSES, {"text": {"format": {"type": "json_schema"}}}, "text.format.type"),
    (RESPONSES, {"prompt": {"id": "p"}}, "prompt"),
    (RESPONSES, {"input": [CALL]}, "input"),
    (RESPONSES, {"input": [{"type": "web_search_call", "id": "ws_1"}]}, "input.0.type"),
    (RESPONSES, {"tools": [{"type": "function", "name": "f"}]}, "tools"),
    (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, "input"),
    (RESPONSES, {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}, "input"),
    (RESPONSES, {"input": [{"id": f"msg_{UUID(int=number)}"} for number in range(501)]}, "input"),
    (RESPONSES, {"input": " "}, "input"),
    (RESPONSES, {"input": [ANSWER]}, "input"),
    (RESPONSES, {"input": [ANSWER, USER], "previous_response_id": "resp_x"}, "input"),
    (RESPONSES, {"previous_response_id": "resp_x"}, "previous_response_id"),
    (RESPONSES, {"previous_response_id": "resp_x", "conversation": "conv_x"}, ""),
    (RESPONSES, {"store": False, "conversation": "conv_x"}, ""),
    (RESPONSES, {"metadata": {"a": [1]}}, "metadata.a"),
    (RESPONSES, {"service_tier": 1}, "service_tier"),
    (RESPONSES, {"webhook_url": "https://example.com"}, "webhook_url"),
    ("/v1/conversations", {"items": [USER]}, "items"),
    ("/v1/conversations/conv_x/items", {"items": [USER]}, "items"),
]


def error_in(response: httpx2.Response, path: str, status: int) -> dict[str, Any]:
    """The error in a reply, which has the form of OpenAI's API."""
    assert response.status_code == status, response.text
    error: dict[str, Any] = response.json()["error"]
    assert error.keys() == {"message", "type", "code", "param"}, path
    return error


async def test_what_is_not_served_is_refused_by_name(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    for path, more, param in REFUSED:
        body = json.dumps({**ASKED.get(path, {}), **more})
        response = await server.client.post(path, content=body, headers={"Content-Type": "application/json"})
        error = error_in(response, path, 400)
        assert (error["param"] or "").startswith(param), (more, error)
        assert error["type"] == "invalid_request_error"
    for path, name in ((CHAT, "model"), (RESPONSES, "model")):
        error = error_in(await server.client.post(path, json={**ASKED[path], "model": "x"}), path, 404)
        assert error["code"] == f"{name}_not_found"
    for item_id in ("msg_x", "msg_019a2b3c-4d5e-7f00-8000-000000000000_x"):
        named = {**ASKED[RESPONSES], "input": [{"type": "item_reference", "id": item_id}, USER]}
        assert error_in(await server.client.post(RESPONSES, json=named), RESPONSES, 404)["code"] == "item_not_found"
    asked = {**ASKED[RESPONSES], "conversation": "conv_x"}
    assert error_in(await server.client.post(RESPONSES, json=asked), RESPONSES, 404)["code"] == "conversation_not_found"
    assert (await server.client.get("/messages")).json()["messages"] == []


async def test_the_header_tells_the_priority_and_a_full_queue_when_to_come_again(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, max_queue_size=2)
    body = {**ASKED[RESPONSES], "background": True, "service_tier": "flex"}
    for headers, priority in (({"X-AgentQ-Priority": "high"}, "high"), ({}, "low")):
        made = (await server.client.post(RESPONSES, json=body, headers=headers)).json()
        assert made["service_tier"] == "flex"
        message_id = made["id"].removeprefix("resp_")
        assert (await server.client.get(f"/messages/{message_id}")).json()["priority"] == priority
    assert (await server.client.get(f"{RESPONSES}/{message_id}")).status_code == 404, "it is no id of a response"
    odd = await server.client.post(RESPONSES, json=body, headers={"X-AgentQ-Priority": "urgent"})
    assert "X-AgentQ-Priority" in error_in(odd, RESPONSES, 400)["message"]
    full = await server.client.post(RESPONSES, json=body)
    assert error_in(full, RESPONSES, 503)["code"] == "queue_full"
    assert full.headers["retry-after"]
    busy = await server.client.post(RESPONSES, json={**body, "previous_response_id": made["id"]})
    assert "has not ended" in error_in(busy, RESPONSES, 400)["message"]
    async with server.client.stream("GET", f"{RESPONSES}/{made['id']}?stream=true") as stream:
        async for line in stream.aiter_lines():
            if line.startswith(": queued"):
                break
        assert line == ": queued, position 1"


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
async def test_a_held_reply_stays_alive(serve: Serve, control: GraphControl, path: str) -> None:
    server = await serve(agents=AGENTS, keepalive_interval=1, max_attempts=1)
    control.hold("second")
    asking = asyncio.create_task(_held(server, path))
    await until(lambda: control.waits("second"), "the run waits")
    begun, whole = await asking
    assert begun == b"\n"
    control.release("second")
    text = await whole
    assert "Heard: Hi" in text
    assert json.loads(text)["object"] in ("response", "chat.completion")


async def _held(server: LiveServer, path: str) -> tuple[bytes, Any]:
    """The first bytes of a reply, and the rest when it has come."""
    reply = await server.client.send(
        server.client.build_request("POST", path, json={**ASKED[path], "model": "steps"}), stream=True
    )
    parts = reply.aiter_raw()
    first = await anext(parts)

    async def rest() -> str:
        return (b"".join([part async for part in parts])).decode()

    return first, rest()


async def test_a_response_is_read_when_its_log_is_gone(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS, max_attempts=1)
    store = server.runtime.services.store
    made = [
        (await server.client.post(RESPONSES, json={"model": agent, "input": "Hi"})).json()["id"]
        for agent in ("steps", "failing")
    ]

    async def is_pruned() -> bool:
        await store.prune_logs(older_than_seconds=0, limit=10)
        return all([(await store.read("default", each[5:], after=0, limit=1)).first > 1 for each in made])

    await until(is_pruned, "the logs are gone")
    for response_id, status in zip(made, ("completed", "failed"), strict=True):
        read = (await server.client.get(f"{RESPONSES}/{response_id}")).json()
        assert read["status"] == status
        stream = (await server.client.get(f"{RESPONSES}/{response_id}?stream=true")).text
        last = json.loads(stream.rpartition("data: ")[2])
        assert (last["type"], last["response"]) == (f"response.{status}", read)
        behind = (await server.client.get(f"{RESPONSES}/{response_id}?stream=true&starting_after=5")).text
        gone = json.loads(behind.rpartition("data: ")[2])
        assert (gone["error"]["code"], gone["sequence_number"]) == ("events_gone", 5), "its numbers are not known"
    assert [item["content"][0]["text"] for item in (await read_output(server, made[0]))] == ["Heard: Hi"]


async def read_output(server: LiveServer, response_id: str) -> list[Any]:
    return list((await server.client.get(f"{RESPONSES}/{response_id}")).json()["output"])


async def test_a_client_whose_address_lacks_the_mount_is_told_so(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    url = f"{server.url}/"
    for path in ("/chat/completions", "/responses", "/models", "/conversations/conv_x"):
        response = await server.client.request("GET" if path == "/models" else "POST", path, json={})
        assert f"use /v1{path}" in error_in(response, path, 404)["message"]
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError, match="use /v1/responses"):
            await client.responses.create(model="chat", input="Hi")
    elsewhere = await server.client.get("/response")
    assert elsewhere.headers["content-type"] == "application/problem+json"
