"""The specification's endpoints for messages, the queue and health: fields, shapes, refusals. Over a real socket."""

import re
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import httpx2
import pytest
from pydantic import TypeAdapter

from tests import wire
from tests.integration.conftest import Serve
from tests.openai_stub import Gate, Status, StubServer
from tests.servers import LiveServer, until

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
SUBMIT_FIELDS = {"message_id", "state", "queue_position", "created_at", "thread_id"}
STATUS_FIELDS = {
    "message_id", "state", "user_message", "priority", "created_at", "started_at", "completed_at", "result", "error",
    "queue_position", "thread_id",
}  # fmt: skip
QUEUE_FIELDS = {
    "total_queued", "total_processing", "total_completed", "total_failed", "total_cancelled", "queued_messages",
    "current_processing",
}  # fmt: skip


@pytest.fixture
async def busy(server: LiveServer, model: StubServer) -> AsyncIterator[tuple[LiveServer, dict[str, Any], Gate]]:
    """A server that is processing one message, held by the gate."""
    gate = Gate("The capital of France is Paris.")
    model.replies.append(gate)
    message = await server.submit("What is the capital of France?")
    await model.received()
    yield server, message, gate
    gate.release_all()


def check_problem(
    response: httpx2.Response | wire.RawResponse, status: int, code: str, field: str | None = None
) -> Any:
    """An RFC 9457 problem with this code, naming this field if one is given."""
    found = response.status if isinstance(response, wire.RawResponse) else response.status_code
    assert found == status, response
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["type"] == "about:blank"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["code"] == code
    if field is not None:
        assert field in [error["field"] for error in problem["errors"]], problem
        assert field in problem["detail"]
    return problem


# Submit


async def test_submit_answers_202_with_the_fields_of_the_specification(quiet: LiveServer) -> None:
    response = await quiet.client.post(
        "/messages", json={"message": "What is the capital of France?", "priority": "normal", "thread_id": "a2e40f10"}
    )
    assert response.status_code == 202
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) >= SUBMIT_FIELDS
    assert str(UUID(body["message_id"])) == body["message_id"]
    assert response.headers["location"] == f"/messages/{body['message_id']}/status"
    assert body["state"] == "queued"
    assert body["queue_position"] == 0
    assert body["thread_id"] == "a2e40f10"
    assert TIME.fullmatch(body["created_at"])
    assert (await quiet.client.get(response.headers["location"])).status_code == 200


async def test_priority_and_thread_are_optional(quiet: LiveServer) -> None:
    submitted = await quiet.submit("Hello")
    assert submitted["thread_id"] is None
    status = await quiet.status(submitted["message_id"])
    assert status["priority"] == "normal"
    assert status["thread_id"] is None
    assert (await quiet.submit("Hello", thread_id=None))["thread_id"] is None


async def test_positions_follow_priority_then_arrival(quiet: LiveServer) -> None:
    sent = [(await quiet.submit(priority=p))["message_id"] for p in ("low", "normal", "high", "normal", "high", "low")]
    positions = [(await quiet.status(message_id))["queue_position"] for message_id in sent]
    assert positions == [4, 2, 0, 3, 1, 5]
    queue = (await quiet.client.get("/queue")).json()
    assert [m["id"] for m in queue["queued_messages"]] == [sent[i] for i in (2, 4, 1, 3, 0, 5)]


async def test_messages_run_in_the_order_of_their_positions(
    busy: tuple[LiveServer, dict[str, Any], Gate], model: StubServer
) -> None:
    server, _, gate = busy
    for priority in ("low", "normal", "high", "normal"):
        last = await server.submit(f"{priority}", priority=priority)
    gate.release_all()
    await until(lambda: len(model.requests) == 5, "all have run")
    assert [model.text_of_users(i)[-1] for i in range(1, 5)] == ["high", "normal", "normal", "low"]
    await server.ended(last["message_id"])


BAD_BODIES = {
    "no message": ({}, "message"),
    "message null": ({"message": None}, "message"),
    "message a number": ({"message": 5}, "message"),
    "message a list of texts": ({"message": ["Hi"]}, "message.0"),
    "message an empty list": ({"message": []}, "message"),
    "message empty": ({"message": ""}, "message"),
    "message blank": ({"message": " \t\n\u2003"}, "message"),
    "message with NUL": ({"message": "a\x00b"}, "message"),
    "priority unknown": ({"message": "Hi", "priority": "urgent"}, "priority"),
    "priority in capitals": ({"message": "Hi", "priority": "HIGH"}, "priority"),
    "priority null": ({"message": "Hi", "priority": None}, "priority"),
    "priority a number": ({"message": "Hi", "priority": 1}, "priority"),
    "thread id empty": ({"message": "Hi", "thread_id": ""}, "thread_id"),
    "thread id of 256 characters": ({"message": "Hi", "thread_id": "x" * 256}, "thread_id"),
    "thread id a number": ({"message": "Hi", "thread_id": 7}, "thread_id"),
    "thread id with NUL": ({"message": "Hi", "thread_id": "\x00"}, "thread_id"),
    "agent empty": ({"message": "Hi", "agent": ""}, "agent"),
    "agent a number": ({"message": "Hi", "agent": 1}, "agent"),
    "unknown field": ({"message": "Hi", "treadh_id": "t"}, "treadh_id"),
}


@pytest.mark.parametrize("case", BAD_BODIES)
async def test_a_wrong_body_is_422_naming_the_field(quiet: LiveServer, case: str) -> None:
    body, field = BAD_BODIES[case]
    check_problem(await quiet.client.post("/messages", json=body), 422, "validation_error", field)
    assert (await quiet.client.get("/queue")).json()["total_queued"] == 0


MALFORMED = {
    "empty": b"",
    "not JSON": b"message=Hi",
    "cut off": b'{"message": "Hi"',
    "an array": b'["Hi"]',
    "a string": b'"Hi"',
    "null": b"null",
    "trailing": b'{"message": "Hi"} extra',
    "NaN": b'{"message": NaN}',
    "not UTF-8": b'{"message": "\xff\xfe"}',
    "lone high surrogate": rb'{"message": "\ud800"}',
    "lone low surrogate in the thread id": rb'{"message": "Hi", "thread_id": "\udc00"}',
    "raw surrogate": b'{"message": "\xed\xa0\x80"}',
    "deep": b'{"message": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "huge number": b'{"message": 1e99999}',
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_a_malformed_body_is_422(quiet: LiveServer, case: str) -> None:
    response = await quiet.client.post(
        "/messages", content=MALFORMED[case], headers={"Content-Type": "application/json"}
    )
    check_problem(response, 422, "validation_error")
    assert (await quiet.client.get("/queue")).json()["total_queued"] == 0


async def test_text_comes_back_as_it_was_sent(quiet: LiveServer) -> None:
    text = 'Zoë 👩‍🚀 \u2028 "quoted" \\ back\\slash \r\n line two\ttab \u0001 \U0010ffff  '
    submitted = await quiet.submit(text, thread_id="👩‍🚀")
    assert submitted["thread_id"] == "👩‍🚀"
    assert (await quiet.status(submitted["message_id"]))["user_message"] == text
    pair = await quiet.client.post(
        "/messages", content=rb'{"message": "\ud83d\ude00"}', headers={"Content-Type": "application/json"}
    )
    assert (await quiet.status(pair.json()["message_id"]))["user_message"] == "😀"


async def test_thread_ids_count_in_characters(quiet: LiveServer) -> None:
    assert (await quiet.submit(thread_id="👩" * 255))["thread_id"] == "👩" * 255


async def test_an_unknown_agent_is_422_with_the_names_there_are(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, agents="one=tests.graphs:steps,two=tests.graphs:failing")
    response = await server.client.post("/messages", json={"message": "Hi", "agent": "three"})
    problem = check_problem(response, 422, "unknown_agent", "agent")
    assert "one, two" in problem["detail"]
    assert "'three'" in problem["detail"]
    assert (await server.submit(agent="two"))["agent"] == "two"
    assert (await server.submit())["agent"] == "one"


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
async def test_a_body_that_is_not_said_to_be_json_is_415(quiet: LiveServer, media_type: str | None) -> None:
    headers = {} if media_type is None else {"Content-Type": media_type}
    response = await wire.request(quiet.url, "POST", "/messages", headers=headers, body=b'{"message": "Hi"}')
    check_problem(response, 415, "unsupported_media_type")


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON", "application/ld+json"])
async def test_json_by_any_other_name(quiet: LiveServer, media_type: str) -> None:
    headers = {"Content-Type": media_type}
    response = await wire.request(quiet.url, "POST", "/messages", headers=headers, body=b'{"message": "Hi"}')
    assert response.status == 202


async def test_a_body_that_is_too_large_is_413(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, max_body_bytes=2000)
    json_type = {"Content-Type": "application/json"}

    def body(length: int) -> bytes:
        return b'{"message": "' + b"x" * (length - 15) + b'"}'

    assert (await wire.request(server.url, "POST", "/messages", headers=json_type, body=body(2000))).status == 202
    announced = await wire.request(server.url, "POST", "/messages", headers=json_type, body=body(2001))
    problem = check_problem(announced, 413, "body_too_large")
    assert "2000 bytes" in problem["detail"]
    pieces = [body(2001)[start : start + 500] for start in range(0, 2001, 500)]
    assert (await wire.request(server.url, "POST", "/messages", headers=json_type, body=[*pieces[:4]])).status == 422
    counted = await wire.request(server.url, "POST", "/messages", headers=json_type, body=pieces)
    check_problem(counted, 413, "body_too_large")
    assert (await server.client.get("/queue")).json()["total_queued"] == 1


async def test_a_full_queue_is_503_and_stores_nothing(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, max_queue_size=2)
    first = await server.submit()
    await server.submit()
    refused = await server.client.post("/messages", json={"message": "One too many", "thread_id": "new"})
    problem = check_problem(refused, 503, "queue_full")
    assert "2 messages" in problem["detail"]
    assert int(refused.headers["retry-after"]) >= 1
    assert (await server.client.get("/queue")).json()["total_queued"] == 2
    assert (await server.client.get("/threads")).json() == []
    await server.client.delete(f"/messages/{first['message_id']}")
    await server.submit("Now there is room")


async def test_a_processing_message_takes_no_place_in_the_queue(serve: Serve, model: StubServer) -> None:
    server = await serve(max_queue_size=1)
    gate = Gate("Slowly")
    model.replies.append(gate)
    await server.submit()
    await model.received()
    last = await server.submit()
    check_problem(await server.client.post("/messages", json={"message": "Hi"}), 503, "queue_full")
    gate.release_all()
    await server.ended(last["message_id"])


# Status


async def test_status_tells_the_life_of_a_message(busy: tuple[LiveServer, dict[str, Any], Gate]) -> None:
    server, running, gate = busy
    queued = await server.submit("And of Japan?", priority="high", thread_id="t")
    status = await server.status(queued["message_id"])
    assert set(status) >= STATUS_FIELDS
    assert {name: status[name] for name in STATUS_FIELDS - {"created_at"}} == {
        "message_id": queued["message_id"],
        "state": "queued",
        "user_message": "And of Japan?",
        "priority": "high",
        "started_at": None,
        "completed_at": None,
        "result": None,
        "error": None,
        "queue_position": 0,
        "thread_id": "t",
    }
    assert status["created_at"] == queued["created_at"]

    status = await server.status(running["message_id"])
    assert (status["state"], status["result"], status["queue_position"]) == ("processing", None, None)
    assert TIME.fullmatch(status["started_at"])

    gate.release_all()
    status = await server.ended(running["message_id"])
    assert status["state"] == "completed"
    assert status["result"] == "The capital of France is Paris."
    assert (status["error"], status["queue_position"]) == (None, None)
    assert TIME.fullmatch(status["completed_at"])
    assert status["created_at"] <= status["started_at"] <= status["completed_at"]
    await server.ended(queued["message_id"])


async def test_status_of_a_failed_message(server: LiveServer, model: StubServer) -> None:
    model.replies.append(Status(400))
    submitted = await server.submit()
    status = await server.ended(submitted["message_id"])
    assert (status["state"], status["result"]) == ("failed", None)
    assert status["error"]


@pytest.mark.parametrize("path", ["/messages/{}/status", "/messages/{}/stream", "/messages/{}/events"])
@pytest.mark.parametrize("message_id", ["550e8400-e29b-41d4-a716-446655440000", "nonsense", "%00", "%F0%9F%98%80"])
async def test_an_unknown_message_is_404(quiet: LiveServer, path: str, message_id: str) -> None:
    check_problem(await quiet.client.get(path.format(message_id)), 404, "message_not_found")


# Cancel


async def test_cancel_a_queued_message(quiet: LiveServer) -> None:
    submitted = await quiet.submit()
    behind = await quiet.submit()
    response = await quiet.client.delete(f"/messages/{submitted['message_id']}")
    assert response.status_code == 200
    assert response.json() == {"message": "Message cancelled successfully", "message_id": submitted["message_id"]}
    status = await quiet.status(submitted["message_id"])
    assert status["state"] == "cancelled"
    assert (status["result"], status["error"], status["queue_position"]) == (None, None, None)
    assert TIME.fullmatch(status["completed_at"])
    assert (await quiet.status(behind["message_id"]))["queue_position"] == 0


async def test_only_queued_messages_can_be_cancelled(busy: tuple[LiveServer, dict[str, Any], Gate]) -> None:
    server, running, gate = busy
    path = f"/messages/{running['message_id']}"
    problem = check_problem(await server.client.delete(path), 409, "not_cancellable")
    assert f"is processing. POST {path}/cancel cancels it." in problem["detail"]
    gate.release_all()
    assert (await server.ended(running["message_id"]))["state"] == "completed"
    problem = check_problem(await server.client.delete(path), 409, "not_cancellable")
    assert "completed" in problem["detail"]


async def test_cancelling_twice_is_409_and_an_unknown_message_404(quiet: LiveServer) -> None:
    submitted = await quiet.submit()
    path = f"/messages/{submitted['message_id']}"
    assert (await quiet.client.delete(path)).status_code == 200
    check_problem(await quiet.client.delete(path), 409, "not_cancellable")
    check_problem(await quiet.client.delete("/messages/unknown"), 404, "message_not_found")


async def test_a_cancelled_message_never_reaches_the_model(
    busy: tuple[LiveServer, dict[str, Any], Gate], model: StubServer
) -> None:
    server, _, gate = busy
    cancelled = await server.submit("Do not run this")
    last = await server.submit("Run this")
    await server.client.delete(f"/messages/{cancelled['message_id']}")
    gate.release_all()
    await server.ended(last["message_id"])
    assert [request.texts_of_users for request in model.requests[1:]] == [["Run this"]]


# Queue


async def test_the_queue_summary(busy: tuple[LiveServer, dict[str, Any], Gate], model: StubServer) -> None:
    server, running, gate = busy
    urgent = await server.submit("Urgent request...", priority="high")
    cancelled = await server.submit("Never mind")
    await server.client.delete(f"/messages/{cancelled['message_id']}")
    queue = (await server.client.get("/queue")).json()
    assert set(queue) >= QUEUE_FIELDS
    assert [queue[f"total_{s}"] for s in ("queued", "processing", "completed", "failed", "cancelled")] == [
        1, 1, 0, 0, 1,
    ]  # fmt: skip
    (entry,) = queue["queued_messages"]
    assert {name: entry[name] for name in ("id", "priority", "created_at", "user_message")} == {
        "id": urgent["message_id"],
        "priority": "high",
        "created_at": urgent["created_at"],
        "user_message": "Urgent request...",
    }
    current = queue["current_processing"]
    assert current["id"] == running["message_id"]
    assert current["priority"] == "normal"
    assert current["user_message"] == "What is the capital of France?"
    assert TIME.fullmatch(current["started_at"])

    model.replies.append(Status(400))
    gate.release_all()
    await server.ended(urgent["message_id"])
    queue = (await server.client.get("/queue")).json()
    assert [queue[f"total_{s}"] for s in ("queued", "processing", "completed", "failed", "cancelled")] == [
        0, 0, 1, 1, 1,
    ]  # fmt: skip
    assert queue["queued_messages"] == []
    assert queue["current_processing"] is None


async def test_the_queue_lists_at_most_limit_and_counts_all(quiet: LiveServer) -> None:
    for _ in range(5):
        await quiet.submit()
    queue = (await quiet.client.get("/queue", params={"limit": 2})).json()
    assert (len(queue["queued_messages"]), queue["total_queued"]) == (2, 5)


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "ten", "1.5", "99999999999999999999", ""])
@pytest.mark.parametrize("path", ["/queue", "/threads", "/threads/t/messages"])
async def test_a_wrong_limit_is_422(quiet: LiveServer, path: str, limit: str) -> None:
    await quiet.submit(thread_id="t")
    check_problem(await quiet.client.get(path, params={"limit": limit}), 422, "validation_error", "limit")


# Health


async def test_health(server: LiveServer) -> None:
    async def healthy() -> bool:
        return bool((await server.client.get("/health")).json()["status"] == "healthy")

    await until(healthy, "the server is healthy")
    response = await server.client.get("/health")
    assert response.status_code == 200
    assert set(response.json()["checks"]) == {"store", "agents", "worker"}
    assert all(check == {"ok": True, "detail": ""} for check in response.json()["checks"].values())
    assert (await server.client.get("/health/ready")).status_code == 200
    live = await server.client.get("/health/live")
    assert (live.status_code, live.json()) == (200, {"status": "alive"})


async def test_health_of_a_process_without_a_worker(quiet: LiveServer) -> None:
    response = await quiet.client.get("/health/ready")
    assert (response.status_code, response.json()["status"]) == (200, "healthy")
    assert "worker" not in response.json()["checks"]


# Everything else


@pytest.mark.parametrize("path", ["/message", "/messages/x/y/z", "/health/dead", "/threadsx"])
async def test_an_unknown_route_is_a_problem(quiet: LiveServer, path: str) -> None:
    check_problem(await quiet.client.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/messages"),
        ("DELETE", "/messages"),
        ("POST", "/messages/x/status"),
        ("PATCH", "/queue"),
        ("POST", "/health"),
        ("DELETE", "/threads"),
        ("POST", "/threads/x/messages"),
    ],
)
async def test_a_wrong_method_is_a_problem(quiet: LiveServer, method: str, path: str) -> None:
    response = await quiet.client.request(method, path)
    check_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"]


def breaks(*args: Any, **options: Any) -> None:
    raise RuntimeError("the password is hunter2")


def reads_wrongly(*args: Any, **options: Any) -> None:
    """Fail as when a stored value does not fit its model."""
    TypeAdapter(int).validate_python("the password is hunter2")


@pytest.mark.parametrize("failure", [breaks, reads_wrongly])
@pytest.mark.parametrize(
    ("verb", "method", "path"),
    [
        ("get", "GET", "/messages/x/status"),
        ("find", "GET", "/messages/x/stream"),
        ("submit", "POST", "/messages"),
        ("submit", "POST", "/messages/batch"),
    ],
)
async def test_a_failure_inside_the_server_shows_nothing_of_it(
    quiet: LiveServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failure: Callable[..., None],
    verb: str,
    method: str,
    path: str,
) -> None:
    async def fail(*args: Any, **options: Any) -> None:
        failure()

    monkeypatch.setattr(f"app.queue_manager.QueueManager.{verb}", fail)
    body = {"message": "x"} if path == "/messages" else {"messages": [{"message": "x"}]}
    response = await quiet.client.request(method, path, json=body if method == "POST" else None)
    check_problem(response, 500, "internal_error")
    assert "hunter2" not in response.text
    assert "hunter2" in caplog.text, "the log has the details"
    assert f"request_id={response.headers['x-request-id']}" in caplog.text
