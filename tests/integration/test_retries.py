"""Attempts that fail: what is tried again, when, and from where. On a server in this process."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests import wire
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.openai_stub import Answer, CutOff, Gate, Hang, Status, Step, StubServer, ToolCall
from tests.servers import LiveServer, until

FLAKY = "flaky=tests.graphs:flaky"


@pytest.fixture
async def hurried(serve: Serve) -> LiveServer:
    """Tries again at once."""
    return await serve(retry_base_seconds=0)


async def details(server: LiveServer, message_id: str) -> dict[str, Any]:
    """The message with its failed attempts."""
    response = await server.client.get(f"/messages/{message_id}")
    assert response.status_code == 200, response.text
    return dict(response.json())


@pytest.mark.parametrize("step", [Status(429), Status(500), Status(503), CutOff("one two three", 2)], ids=repr)
async def test_what_may_pass_is_tried_again(hurried: LiveServer, model: StubServer, step: Step) -> None:
    model.replies.extend([step, Answer("four five")])
    message_id = (await hurried.submit())["message_id"]
    status = await hurried.ended(message_id)
    assert (status["state"], status["result"], status["attempt"], status["error"]) == (
        "completed",
        "four five",
        2,
        None,
    )
    frames = await wire.frames_of(hurried.url, message_id)
    wire.check_log(frames)
    kinds = [frame.event for frame in frames if frame.event != "chunk"]
    assert kinds == ["processing", "retry", "processing", "usage", "done"]
    retry = next(frame for frame in frames if frame.event == "retry")
    assert (retry.data["attempt"], retry.data["state"]) == (1, "queued")
    kept = [frame for frame in frames if frame.id is not None and frame.id > frames.index(retry)]
    assert wire.text_of(kept) == "four five"
    (attempt,) = (await details(hurried, message_id))["attempts"]
    assert (attempt["attempt"], attempt["error"]) == (1, retry.data["error"])


async def test_a_model_that_hangs_is_asked_again(hurried: LiveServer, model: StubServer) -> None:
    model.replies.extend([Hang(), Answer("at last")])
    message_id = (await hurried.submit(timeout=0.5))["message_id"]
    status = await hurried.ended(message_id)
    assert (status["result"], status["attempt"]) == ("at last", 2)
    await model.closed(0)
    (attempt,) = (await details(hurried, message_id))["attempts"]
    assert attempt["error_code"] == "timeout"


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (Status(400), "provider_refused"),
        (Status(401), "provider_refused"),
        (Status(403), "provider_refused"),
        (Status(404), "provider_refused"),
        (Status(422), "provider_refused"),
        (Status(400, {"error": {"message": "Too long.", "code": "context_length_exceeded"}}), "context_too_long"),
    ],
    ids=repr,
)
async def test_what_cannot_pass_fails_at_once(hurried: LiveServer, model: StubServer, step: Step, code: str) -> None:
    model.replies.append(step)
    status = await hurried.ended((await hurried.submit(max_attempts=5))["message_id"])
    assert (status["state"], status["error_code"], status["attempt"]) == ("failed", code, 1)
    assert len(model.requests) == 1


async def test_a_message_fails_after_its_last_attempt_with_the_history_of_all(
    hurried: LiveServer, model: StubServer
) -> None:
    model.replies.extend([Status(500)] * 5)
    first = (await hurried.submit(thread_id="t"))["message_id"]
    status = await hurried.ended(first)
    assert (status["state"], status["error_code"], status["attempt"]) == ("failed", "provider_unavailable", 3)
    attempts = (await details(hurried, first))["attempts"]
    assert [attempt["attempt"] for attempt in attempts] == [1, 2, 3]
    assert {attempt["error"] for attempt in attempts} == {status["error"]}
    other = (await hurried.submit(max_attempts=2))["message_id"]
    assert (await hurried.ended(other))["attempt"] == 2
    assert len(model.requests) == 5
    groups = (await hurried.client.get("/dead-letters/groups")).json()["groups"]
    assert [group["count"] for group in groups] == [2]


async def test_a_retry_goes_on_behind_the_last_finished_step(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=FLAKY, retry_base_seconds=0)
    control.crash("flaky")
    message_id = (await server.submit())["message_id"]
    status = await server.ended(message_id)
    assert (status["result"], status["attempt"]) == ("It works.", 2)
    assert control.runs == {"first": 1, "flaky": 2}
    frames = await wire.frames_of(server.url, message_id)
    wire.check_log(frames)
    again = [frame.event for frame in frames].index("retry")
    shown = [frame.data["chunk"] for frame in frames[again:] if frame.event == "chunk"]
    assert "".join(shown) == "Step one. It works."


async def test_failures_of_one_kind_are_grouped_whatever_their_ids_are(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=f"{FLAKY},failing=tests.graphs:failing", max_attempts=1)
    for _ in range(3):
        control.crash("flaky")
        status = await server.ended((await server.submit())["message_id"])
        assert status["error_code"] == "agent_error"
    await server.ended((await server.submit(agent="failing"))["message_id"])
    groups = (await server.client.get("/dead-letters/groups")).json()["groups"]
    assert sorted(group["count"] for group in groups) == [1, 3]


@pytest.mark.parametrize("code", [429, 503])
async def test_the_pause_that_a_provider_asks_for_is_kept_and_closes_the_thread(
    hurried: LiveServer, model: StubServer, code: int
) -> None:
    model.replies.append(Status(code, headers={"Retry-After": "120"}))
    began = datetime.now(UTC)
    waiting = (await hurried.submit(thread_id="t"))["message_id"]
    behind = (await hurried.submit("behind", thread_id="t"))["message_id"]
    async with wire.stream(hurried.url, waiting) as stream:
        retry = await stream.until("retry")
    pause = datetime.fromisoformat(retry.data["next_at"]) - began
    assert timedelta(seconds=119) < pause < timedelta(seconds=150)
    assert (await hurried.ended((await hurried.submit("alone"))["message_id"]))["result"] == "You said: alone"
    assert (await hurried.status(waiting))["state"] == "queued"
    assert (await hurried.status(behind))["state"] == "queued"
    assert len(model.requests) == 2
    await hurried.client.delete(f"/messages/{waiting}")
    assert (await hurried.ended(behind))["state"] == "completed"


async def test_a_requeued_message_becomes_the_last_turn_of_its_thread(hurried: LiveServer, model: StubServer) -> None:
    model.replies.append(Status(401))
    first = (await hurried.submit("first", thread_id="t"))["message_id"]
    second = (await hurried.submit("second", thread_id="t"))["message_id"]
    assert (await hurried.ended(first))["state"] == "failed"
    assert (await hurried.ended(second))["state"] == "completed"
    assert (await hurried.client.post(f"/messages/{first}/retry")).status_code == 202
    assert (await hurried.ended(first))["result"] == "You said: first"
    assert model.text_of_users(2) == ["second", "first"]


async def test_the_tokens_of_an_attempt_that_failed_count(
    serve: Serve, model: StubServer, control: GraphControl
) -> None:
    server = await serve(agents="tools=tests.graphs:tools", max_attempts=1)
    model.replies.extend([ToolCall("_add", {"a": 2, "b": 3}), Status(500)])
    message_id = (await server.submit())["message_id"]
    assert (await server.ended(message_id))["state"] == "failed"
    frames = await wire.frames_of(server.url, message_id)
    wire.check_log(frames)
    assert [frame.event for frame in frames if frame.event != "chunk"] == ["processing", "usage", "error"]
    (counts,) = next(frame for frame in frames if frame.event == "usage").data["models"].values()
    assert counts["total_tokens"] > 0


async def test_the_tokens_of_an_attempt_that_was_cancelled_count(
    serve: Serve, model: StubServer, control: GraphControl
) -> None:
    server = await serve(agents="tools=tests.graphs:tools")
    model.replies.extend([ToolCall("_add", {"a": 2, "b": 3}), Gate("never")])
    message_id = (await server.submit())["message_id"]
    await until(lambda: control.runs.get("add") == 1 and len(model.requests) == 2, "the second call is under way")
    assert (await server.client.post(f"/messages/{message_id}/cancel")).status_code == 202
    await server.ended(message_id)
    frames = await wire.frames_of(server.url, message_id)
    assert [frame.event for frame in frames if frame.event != "chunk"] == ["processing", "usage", "cancelled"]
