"""Agents that ask a human: the message waits without a slot, and goes on with the answer."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.config import Settings
from tests import wire
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.servers import LiveServer, live_server, server_process, until

AGENTS = "approving=tests.graphs:approving,steps=tests.graphs:steps"
QUESTION = {"question": "May I?"}


async def interrupted(server: LiveServer, message_id: str) -> dict[str, Any]:
    """The status once the message asks."""

    async def look() -> dict[str, Any] | None:
        status = await server.status(message_id)
        return status if status["state"] == "interrupted" else None

    return dict(await until(look, f"message {message_id} asks"))


async def answer(server: LiveServer, message_id: str, value: object) -> int:
    """The reply's status."""
    response = await server.client.post(f"/messages/{message_id}/resume", json={"value": value})
    return response.status_code


async def test_a_message_that_asks_frees_its_slot_and_goes_on_with_the_answer(
    serve: Serve, control: GraphControl, memory_url: str
) -> None:
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    message_id = (await server.submit("Delete it", thread_id="t"))["message_id"]
    behind = (await server.submit("Behind", thread_id="t", agent="steps"))["message_id"]
    async with wire.stream(server.url, message_id) as stream:
        asked = await stream.until("interrupted")
        status = await interrupted(server, message_id)
        assert (
            asked.data["interrupts"]
            == status["interrupts"]
            == [{"id": status["interrupts"][0]["id"], "value": QUESTION}]
        )
        assert asked.data["expires_at"] == status["interrupt_expires_at"]
        other = await server.ended((await server.submit("Alone", agent="steps"))["message_id"])
        assert other["result"] == "Heard: Alone"
        assert (await server.status(behind))["state"] == "queued"
        assert await answer(server, message_id, {"ok": True}) == 202
        await stream.rest()
    status = await server.ended(message_id)
    assert (status["state"], status["result"], status["attempt"]) == ("completed", "Heard: Delete it", 1)
    wire.check_log(stream.frames)
    events = [frame.event for frame in stream.frames if frame.event != "chunk"]
    assert [event for event in events if event != "waiting"] == [
        "processing", "interrupted", "resumed", "processing", "done",
    ]  # fmt: skip
    resumed = next(frame for frame in stream.frames if frame.event == "resumed")
    kept = [frame for frame in stream.frames if frame.id is not None and frame.id > (resumed.id or 0)]
    assert wire.shown_in(kept) == "Step one. {'ok': True}Heard: Delete it"
    assert wire.text_of(kept) == "Heard: Delete it"
    assert (await server.ended(behind))["result"] == "Heard: Delete it | Behind"
    assert control.runs == {"first": 3, "asks": 2, "second": 3}


async def test_a_held_reply_ends_with_the_question(serve: Serve, control: GraphControl) -> None:
    """The client gives up earlier than the wait that it asks for."""
    server = await serve(agents=AGENTS)
    reply = await server.client.post("/messages", json={"message": "Delete it"}, headers={"Prefer": "wait=60"})
    status = reply.json()
    assert (reply.status_code, status["state"]) == (200, "interrupted")
    assert [asked["value"] for asked in status["interrupts"]] == [QUESTION]
    assert status == await server.status(status["message_id"])


async def test_a_held_reply_that_comes_too_early_tells_the_state_of_then(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    await server.ended((await server.submit("First", agent="steps"))["message_id"])
    control.hold("first")
    held = server.client.post("/messages", json={"message": "Hello", "agent": "steps"}, headers={"Prefer": "wait=2"})
    reply, _ = await asyncio.gather(held, until(lambda: control.waits("first"), "the message runs"))
    told = reply.json()
    assert (reply.status_code, told["state"], told["queue_position"]) == (202, "processing", None)
    assert (told["waiting_reason"], told["estimated_start_at"]) == (None, None)
    control.release("first")
    await server.ended(told["message_id"])


async def test_of_many_answers_the_first_one_counts(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    message_id = (await server.submit())["message_id"]
    await interrupted(server, message_id)
    codes = await asyncio.gather(*(answer(server, message_id, f"answer {number}") for number in range(5)))
    assert sorted(codes) == [202, 409, 409, 409, 409]
    await server.ended(message_id)
    frames = await wire.frames_of(server.url, message_id)
    assert f"answer {codes.index(202)}" in wire.shown_in(frames)
    assert control.runs["second"] == 1


async def test_an_answer_survives_a_kill(
    tmp_path: Path, settings: Callable[..., Settings], control: GraphControl, memory_url: str
) -> None:
    """The step behind the question is cut off; the question is not asked again."""
    control.hold("second")
    with server_process(tmp_path, AGENTS=AGENTS, CHECKPOINT_URL=memory_url, **control.environment) as server:
        await server.ready()
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False, verify=False, timeout=30) as client:
            message_id = (await client.post("/messages", json={"message": "Hello"})).json()["message_id"]

            async def asks() -> bool:
                return bool((await client.get(f"/messages/{message_id}/status")).json()["state"] == "interrupted")

            await until(asks, "the message asks")
            reply = await client.post(f"/messages/{message_id}/resume", json={"value": "yes"})
            assert reply.status_code == 202
        await until(lambda: control.waits("second"), "the step behind the question runs")
        server.kill()
    control.release("second")
    async with live_server(settings(agents=AGENTS, lease_seconds=1.5, checkpoint_url=memory_url)) as second:
        status = await second.ended(message_id)
        frames = await wire.frames_of(second.url, message_id)
    assert (status["state"], status["result"]) == ("completed", "Heard: Hello")
    assert wire.shown_in(frames).endswith("Step one. yesHeard: Hello")
    assert control.runs == {"first": 1, "asks": 2, "second": 2}


async def test_an_interrupted_message_outlives_its_server(
    settings: Callable[..., Settings], control: GraphControl
) -> None:
    async with live_server(settings(agents=AGENTS)) as first:
        message_id = (await first.submit())["message_id"]
        await interrupted(first, message_id)
    async with live_server(settings(agents=AGENTS)) as second:
        assert await answer(second, message_id, "yes") == 202
        assert (await second.ended(message_id))["state"] == "completed"
    assert control.runs == {"first": 1, "asks": 2, "second": 1}


async def test_a_question_that_nobody_answers_fails_the_message(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS, interrupt_ttl_hours=0.1 / 3600)
    message_id = (await server.submit("First", thread_id="t"))["message_id"]
    behind = (await server.submit("Behind", thread_id="t", agent="steps"))["message_id"]
    status = await server.ended(message_id)
    assert (status["state"], status["error_code"]) == ("failed", "interrupt_expired")
    assert (await server.ended(behind))["result"] == "Heard: First | Behind"


async def test_a_message_that_asks_can_be_cancelled(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    message_id = (await server.submit("First", thread_id="t"))["message_id"]
    behind = (await server.submit("Behind", thread_id="t", agent="steps"))["message_id"]
    await interrupted(server, message_id)
    assert (await server.client.post(f"/messages/{message_id}/cancel")).status_code == 200
    assert (await server.status(message_id))["state"] == "cancelled"
    assert (await server.ended(behind))["result"] == "Heard: First | Behind"
    assert await answer(server, message_id, "yes") == 409


@pytest.mark.parametrize("if_busy", ["interrupt", "rollback"])
async def test_a_message_that_asks_can_be_replaced(serve: Serve, control: GraphControl, if_busy: str) -> None:
    server = await serve(agents=AGENTS)
    message_id = (await server.submit("First", thread_id="t"))["message_id"]
    await interrupted(server, message_id)
    second = await server.submit("Second", thread_id="t", agent="steps", if_busy=if_busy)
    assert (await server.status(message_id))["state"] == "cancelled"
    heard = "First | Second" if if_busy == "interrupt" else "Second"
    assert (await server.ended(second["message_id"]))["result"] == f"Heard: {heard}"
