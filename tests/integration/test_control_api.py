"""What becomes of messages by request: cancels, answers, priorities, delays, batches, the queue's pause, waiting."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from app.models import Interrupted, MessageState, Released
from tests.contract.builders import claim
from tests.integration.conftest import Serve
from tests.integration.states import bring, end
from tests.integration.test_api import TIME, check_problem
from tests.openai_stub import Gate, StubServer
from tests.servers import LiveServer, until

S = MessageState
STATES = tuple(MessageState)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
async def quiet(serve: Serve) -> LiveServer:
    """A server that takes messages and runs none."""
    return await serve(worker_concurrency=0)


def in_seconds(seconds: float) -> str:
    """A time as a client sends it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


# Every request in every state

REQUESTS: dict[str, tuple[str, str, Any]] = {
    "delete": ("DELETE", "/messages/{}", None),
    "cancel": ("POST", "/messages/{}/cancel", None),
    "priority": ("PATCH", "/messages/{}", {"priority": "high"}),
    "resume": ("POST", "/messages/{}/resume", {"value": "yes"}),
    "retry": ("POST", "/messages/{}/retry", None),
}
ALLOWED: dict[str, dict[MessageState, tuple[int, MessageState]]] = {
    "delete": {S.QUEUED: (200, S.CANCELLED)},
    "cancel": {
        S.QUEUED: (200, S.CANCELLED),
        S.INTERRUPTED: (200, S.CANCELLED),
        S.PROCESSING: (202, S.PROCESSING),
    },
    "priority": {S.QUEUED: (200, S.QUEUED)},
    "resume": {S.INTERRUPTED: (202, S.QUEUED)},
    "retry": {S.FAILED: (202, S.QUEUED)},
}
CODES = {
    "delete": "not_cancellable",
    "cancel": "not_cancellable",
    "priority": "not_queued",
    "resume": "not_interrupted",
    "retry": "not_failed",
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", REQUESTS)
async def test_every_request_in_every_state(quiet: LiveServer, name: str, state: MessageState) -> None:
    message_id = await bring(quiet, state)
    before = (await quiet.client.get(f"/messages/{message_id}")).json()
    method, path, body = REQUESTS[name]
    response = await quiet.client.request(method, path.format(message_id), json=body)
    after = (await quiet.client.get(f"/messages/{message_id}")).json()
    if state in ALLOWED[name]:
        assert (response.status_code, after["state"]) == ALLOWED[name][state], response.text
    else:
        check_problem(response, 409, CODES[name])
        problem = response.json()
        assert problem["state"] == state
        assert state in problem["detail"]
        assert after == before, "nothing has changed"


@pytest.mark.parametrize("name", REQUESTS)
async def test_every_request_for_an_unknown_message_is_404(quiet: LiveServer, name: str) -> None:
    method, path, body = REQUESTS[name]
    for unknown in ("unknown", "%00"):
        response = await quiet.client.request(method, path.format(unknown), json=body)
        check_problem(response, 404, "message_not_found")


# Cancel


async def test_a_cancelled_run_ends_as_cancelled_whatever_comes(quiet: LiveServer) -> None:
    message_id = (await quiet.submit())["message_id"]
    (claimed,) = await claim(quiet.runtime.services.store)
    for _ in range(2):
        response = await quiet.client.post(f"/messages/{message_id}/cancel")
        assert (response.status_code, response.json()["state"]) == (202, "processing")
    assert (await quiet.status(message_id))["cancel_requested"]
    await quiet.runtime.services.store.finish(claimed.lease, Released("The worker was stopped."))
    assert (await quiet.status(message_id))["state"] == "cancelled"


async def test_a_running_message_is_stopped(server: LiveServer, model: StubServer) -> None:
    gate = Gate("Held")
    model.replies.append(gate)
    message_id = (await server.submit())["message_id"]
    await model.received()
    assert (await server.client.post(f"/messages/{message_id}/cancel")).status_code == 202
    assert (await server.ended(message_id))["state"] == "cancelled"
    check_problem(await server.client.post(f"/messages/{message_id}/cancel"), 409, "not_cancellable")


async def test_many_are_cancelled_by_a_filter(quiet: LiveServer) -> None:
    running = (await quiet.submit(thread_id="t"))["message_id"]
    await claim(quiet.runtime.services.store)
    waiting = [(await quiet.submit(thread_id="t"))["message_id"] for _ in range(2)]
    other = (await quiet.submit(thread_id="u"))["message_id"]
    response = await quiet.client.post("/messages/cancel", json={"filter": {"thread_id": "t"}, "expected_count": 3})
    assert response.status_code == 200
    assert sorted(response.json()["cancelled"]) == sorted(waiting)
    assert response.json()["stopping"] == [running]
    assert (await quiet.status(other))["state"] == "queued"


async def test_a_filter_that_means_others_cancels_nothing(quiet: LiveServer) -> None:
    message_id = (await quiet.submit(thread_id="t"))["message_id"]
    response = await quiet.client.post("/messages/cancel", json={"filter": {"thread_id": "t"}, "expected_count": 2})
    check_problem(response, 409, "selection_moved")
    assert (await quiet.status(message_id))["state"] == "queued"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "filter"),
        ({"filter": {}}, "filter"),
        ({"filter": {"state": []}}, "filter.state"),
        ({"filter": {"state": ["completed"]}}, "filter.state"),
        ({"filter": {"thread_id": "t", "colour": "red"}}, "filter.colour"),
        ({"filter": {"thread_id": "t"}, "expected_count": -1}, "expected_count"),
        ({"filter": {"thread_id": "t"}, "expected_count": "1"}, "expected_count"),
    ],
)
async def test_a_wrong_filter_is_422(quiet: LiveServer, body: dict[str, Any], field: str) -> None:
    message_id = (await quiet.submit(thread_id="t"))["message_id"]
    response = await quiet.client.post("/messages/cancel", json=body)
    assert response.status_code == 422
    assert field in [error["field"] for error in response.json()["errors"]]
    assert (await quiet.status(message_id))["state"] == "queued"


async def test_too_many_at_once_are_refused(serve: Serve) -> None:
    quiet = await serve(worker_concurrency=0, max_queue_size=2000)
    batch = [{"message": "Hello", "thread_id": "t"}] * 1000
    for _ in range(2):
        assert (await quiet.client.post("/messages/batch", json={"messages": batch})).status_code == 202
    response = await quiet.client.post("/messages/cancel", json={"filter": {"thread_id": "t"}})
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "filter"
    assert (await quiet.client.get("/queue", params={"limit": 1})).json()["total_queued"] == 2000


# Answers to questions


async def test_a_question_is_shown_and_answered(quiet: LiveServer) -> None:
    message_id = await bring(quiet, S.INTERRUPTED)
    status = await quiet.status(message_id)
    assert status["interrupts"] == [{"id": "question", "value": {"text": "May I?"}}]
    assert TIME.fullmatch(status["interrupt_expires_at"])
    assert (await quiet.client.get("/queue")).json()["total_interrupted"] == 1
    response = await quiet.client.post(f"/messages/{message_id}/resume", json={"value": {"yes": [1, None, "é"]}})
    assert (response.status_code, response.json()["state"]) == (202, "queued")
    (claimed,) = await claim(quiet.runtime.services.store)
    assert claimed.message.resume_value == '{"question": {"yes": [1, null, "\\u00e9"]}}'
    assert (await quiet.status(message_id))["interrupts"] == []


async def test_of_two_answers_one_counts(quiet: LiveServer) -> None:
    message_id = await bring(quiet, S.INTERRUPTED)
    path = f"/messages/{message_id}/resume"
    responses = await asyncio.gather(*(quiet.client.post(path, json={"value": n}) for n in range(10)))
    assert sorted(response.status_code for response in responses) == [202] + [409] * 9


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "value"),
        ({"value": 1, "values": {"question": 1}}, "value"),
        ({"values": {}}, "values"),
        ({"values": {"another": 1}}, "values"),
        ({"values": {"question": 1, "another": 1}}, "values"),
        ({"values": [1]}, "values"),
        ({"value": "\x00"}, "value"),
        ({"value": {"a": ["\x00"]}}, "value"),
        ({"answer": 1}, "answer"),
    ],
)
async def test_an_answer_of_the_wrong_shape_is_422(quiet: LiveServer, body: dict[str, Any], field: str) -> None:
    message_id = await bring(quiet, S.INTERRUPTED)
    response = await quiet.client.post(f"/messages/{message_id}/resume", json=body)
    assert response.status_code == 422
    assert field in [error["field"] for error in response.json()["errors"]]
    assert (await quiet.status(message_id))["state"] == "interrupted"


async def test_an_answer_that_is_no_json_is_422(quiet: LiveServer) -> None:
    message_id = await bring(quiet, S.INTERRUPTED)
    for content in ('{"value": NaN}', '{"value": "\\ud800"}', '{"value": ' + "[" * 5000 + "]" * 5000 + "}"):
        response = await quiet.client.post(
            f"/messages/{message_id}/resume", content=content, headers={"Content-Type": "application/json"}
        )
        assert response.status_code == 422, content[:40]
    assert (await quiet.status(message_id))["state"] == "interrupted"


async def test_several_questions_are_answered_by_their_ids(quiet: LiveServer) -> None:
    message_id = (await quiet.submit())["message_id"]
    await end(quiet, message_id, Interrupted('[{"id": "a", "value": 1}, {"id": "b", "value": 2}]', 60.0))
    path = f"/messages/{message_id}/resume"
    check_problem(await quiet.client.post(path, json={"value": 1}), 422, "invalid_request", "value")
    check_problem(await quiet.client.post(path, json={"values": {"a": 1}}), 422, "invalid_request", "values")
    assert (await quiet.client.post(path, json={"values": {"b": 2, "a": None}})).status_code == 202
    (claimed,) = await claim(quiet.runtime.services.store)
    assert claimed.message.resume_value == '{"b": 2, "a": null}'


# Submitting: times, options, threads that are busy


async def test_a_delayed_message_waits_for_its_time(quiet: LiveServer) -> None:
    submitted = await quiet.submit(delay_seconds=3600)
    assert submitted["queue_position"] is None
    assert submitted["waiting_reason"]["code"] == "delayed"
    status = await quiet.status(submitted["message_id"])
    assert status["run_at"] in status["waiting_reason"]["message"]
    at = in_seconds(7200)
    other = await quiet.status((await quiet.submit(run_at=at))["message_id"])
    assert abs(datetime.fromisoformat(other["run_at"]) - datetime.fromisoformat(at)) < timedelta(milliseconds=1)
    assert await claim(quiet.runtime.services.store) == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"run_at": in_seconds(-60)}, "run_at"),
        ({"run_at": in_seconds(400 * 86400)}, "run_at"),
        ({"run_at": "2030-01-01T00:00:00"}, "run_at"),
        ({"run_at": "tomorrow"}, "run_at"),
        ({"run_at": 4_000_000_000}, "run_at"),
        ({"run_at": "4000000000"}, "run_at"),
        ({"delay_seconds": -1}, "delay_seconds"),
        ({"delay_seconds": 31_536_001}, "delay_seconds"),
        ({"delay_seconds": "1"}, "delay_seconds"),
        ({"delay_seconds": 1, "run_at": in_seconds(60)}, "delay_seconds"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_attempts": 101}, "max_attempts"),
        ({"max_attempts": True}, "max_attempts"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": 86_401}, "timeout"),
        ({"if_busy": "shout"}, "if_busy"),
        ({"if_busy": "reject"}, "if_busy"),
        ({"webhook_url": "http://127.0.0.1/hook"}, "webhook_url"),
        ({"webhook_url": "not a url"}, "webhook_url"),
        ({"webhook_url": ""}, "webhook_url"),
    ],
)
async def test_a_wrong_wish_is_422_and_nothing_is_stored(serve: Serve, fields: dict[str, Any], field: str) -> None:
    quiet = await serve(worker_concurrency=0, webhook_secret=SECRET)
    message = {"message": "Hello", **fields}
    single = await quiet.client.post("/messages", json=message)
    assert single.status_code == 422, single.text
    assert [error["field"] for error in single.json()["errors"]] == [field]
    batch = await quiet.client.post("/messages/batch", json={"messages": [{"message": "Hello"}, message]})
    assert batch.status_code == 422, batch.text
    assert [error["field"] for error in batch.json()["errors"]] == [f"messages.1.{field}"]
    assert (await quiet.client.get("/queue")).json()["total_queued"] == 0


async def test_what_was_asked_for_is_told(quiet: LiveServer) -> None:
    message_id = (await quiet.submit(max_attempts=7, timeout=1.5))["message_id"]
    message = (await quiet.client.get(f"/messages/{message_id}")).json()
    assert (message["max_attempts"], message["timeout"]) == (7, 1.5)
    assert (message["attempts"], message["crashes"], message["webhook_url"]) == ([], 0, None)


async def test_a_busy_thread(quiet: LiveServer) -> None:
    first = (await quiet.submit(thread_id="t", if_busy="reject"))["message_id"]
    refused = await quiet.client.post("/messages", json={"message": "No", "thread_id": "t", "if_busy": "reject"})
    check_problem(refused, 409, "thread_busy")
    second = await quiet.submit(thread_id="t")
    assert second["waiting_reason"]["code"] in ("thread_busy", "no_worker")
    third = (await quiet.submit(thread_id="t", if_busy="interrupt"))["message_id"]
    assert [(await quiet.status(each))["state"] for each in (first, second["message_id"], third)] == [
        "cancelled", "cancelled", "queued",
    ]  # fmt: skip
    assert (await quiet.submit(thread_id="t", if_busy="rollback"))["queue_position"] == 0


# Batches


async def test_a_batch_is_accepted_in_its_order(quiet: LiveServer) -> None:
    messages = [{"message": f"{n}", "thread_id": f"t{n % 2}", "priority": "low"} for n in range(6)]
    response = await quiet.client.post("/messages/batch", json={"messages": messages})
    assert response.status_code == 202
    accepted = response.json()["messages"]
    assert [each["queue_position"] for each in accepted] == list(range(6))
    assert [each["thread_id"] for each in accepted] == [each["thread_id"] for each in messages]
    statuses = [await quiet.status(each["message_id"]) for each in accepted]
    assert [status["user_message"] for status in statuses] == [f"{n}" for n in range(6)]


async def test_a_batch_that_does_not_fit_is_not_stored_at_all(serve: Serve) -> None:
    quiet = await serve(worker_concurrency=0, max_queue_size=3)
    response = await quiet.client.post("/messages/batch", json={"messages": [{"message": "Hello"}] * 4})
    check_problem(response, 503, "queue_full")
    assert (await quiet.client.get("/queue")).json()["total_queued"] == 0


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([], "messages"),
        ([{"message": "Hello"}] * 1001, "messages"),
        ([{"message": "Hello"}, {"message": " "}], "messages.1.message"),
        ([{"message": "Hello"}, {"message": "Hello", "agent": "poet"}], "messages.1.agent"),
    ],
)
async def test_a_wrong_batch_is_422(quiet: LiveServer, messages: list[Any], field: str) -> None:
    response = await quiet.client.post("/messages/batch", json={"messages": messages})
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == [field]
    assert (await quiet.client.get("/queue")).json()["total_queued"] == 0


# Lists


async def test_messages_are_listed_by_what_they_have(quiet: LiveServer) -> None:
    failed = await bring(quiet, S.FAILED, thread_id="t")
    done = await bring(quiet, S.COMPLETED, thread_id="u")
    high = await bring(quiet, S.QUEUED, priority="high")

    async def listed(**wanted: Any) -> list[str]:
        response = await quiet.client.get("/messages", params=wanted)
        assert response.status_code == 200, response.text
        return [message["message_id"] for message in response.json()["messages"]]

    assert await listed() == [high, done, failed]
    assert await listed(state="failed") == [failed]
    assert await listed(state=["failed", "queued"]) == [high, failed]
    assert await listed(thread_id="u") == [done]
    assert await listed(priority="high") == [high]
    assert await listed(error_code="provider_refused") == [failed]
    assert await listed(fingerprint="refused") == [failed]
    assert await listed(agent="chat", state="completed", thread_id="t") == []


async def test_a_list_is_paged_with_its_filters(quiet: LiveServer) -> None:
    ids = [(await quiet.submit(thread_id="a b&c"))["message_id"] for _ in range(5)]
    await quiet.submit(thread_id="other")
    seen: list[str] = []
    where: str | None = httpx2.URL("/messages", params={"thread_id": "a b&c", "limit": 2}).raw_path.decode()
    while where is not None:
        response = await quiet.client.get(where)
        seen += [message["message_id"] for message in response.json()["messages"]]
        link = response.headers.get("link")
        where = None if link is None else link[1 : link.index(">")]
    assert seen == ids[::-1]


@pytest.mark.parametrize("query", ["state=asleep", "priority=urgent", "thread_id=", "cursor=x", "limit=0", "agent=%00"])
async def test_a_wrong_list_query_is_422(quiet: LiveServer, query: str) -> None:
    response = await quiet.client.get(f"/messages?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"].split(".")[0] == query.partition("=")[0]


# Priority, pause


async def test_another_priority_is_another_place(quiet: LiveServer) -> None:
    first, second = [(await quiet.submit())["message_id"] for _ in range(2)]
    response = await quiet.client.patch(f"/messages/{second}", json={"priority": "high"})
    assert (response.status_code, response.json()["priority"], response.json()["queue_position"]) == (200, "high", 0)
    assert (await quiet.status(first))["queue_position"] == 1
    for body in ({}, {"priority": "urgent"}, {"priority": "high", "state": "completed"}):
        assert (await quiet.client.patch(f"/messages/{second}", json=body)).status_code == 422


async def test_a_paused_queue_takes_messages_and_runs_none(server: LiveServer, model: StubServer) -> None:
    assert (await server.client.post("/queue/pause")).json() == {"paused": True}
    assert (await server.client.get("/queue")).json()["paused"]
    submitted = await server.submit()
    assert (submitted["waiting_reason"]["code"], submitted["estimated_start_at"]) == ("paused", None)
    assert await claim(server.runtime.services.store) == [], "nobody gets it"
    assert (await server.status(submitted["message_id"]))["state"] == "queued"
    assert (await server.client.post("/queue/resume")).json() == {"paused": False}
    assert not (await server.client.get("/queue")).json()["paused"]
    assert (await server.ended(submitted["message_id"]))["state"] == "completed"


# What a message waits for


async def test_the_message_in_the_way_is_named(server: LiveServer, model: StubServer) -> None:
    gate = Gate("Held")
    model.replies.append(gate)
    running = (await server.submit(thread_id="t"))["message_id"]
    await model.received()
    behind = await server.submit(thread_id="t")
    assert behind["waiting_reason"] == {
        "code": "thread_busy",
        "message": f"Message {running} of its thread is processing.",
    }
    gate.release_all()
    await server.ended(behind["message_id"])


async def test_without_a_worker_that_is_the_reason(quiet: LiveServer) -> None:
    submitted = await quiet.submit()
    assert (submitted["waiting_reason"]["code"], submitted["estimated_start_at"]) == ("no_worker", None)
    assert (await quiet.status(submitted["message_id"]))["waiting_reason"]["code"] == "no_worker"


async def test_the_start_is_estimated_from_what_was_measured(server: LiveServer, model: StubServer) -> None:
    await server.ended((await server.submit())["message_id"])
    gate = Gate("Held")
    model.replies.append(gate)
    running = (await server.submit())["message_id"]
    await model.received()

    async def estimated() -> str | None:
        found: str | None = (await server.status(waiting))["estimated_start_at"]
        return found

    waiting = (await server.submit())["message_id"]
    start = await until(estimated, "there is an estimate")
    assert TIME.fullmatch(start)
    assert abs(datetime.fromisoformat(start) - datetime.now(UTC)) < timedelta(seconds=60)
    gate.release_all()
    await server.ended(waiting)
    assert (await server.status(running))["estimated_start_at"] is None


# Held replies, streams at once


async def test_a_held_reply_has_the_result(server: LiveServer) -> None:
    response = await server.client.post("/messages", json={"message": "Hello"}, headers={"Prefer": "wait=30"})
    assert response.status_code == 200
    assert response.headers["preference-applied"] == "wait=30"
    assert (response.json()["state"], response.json()["result"]) == ("completed", "You said: Hello")
    assert response.headers["location"] == f"/messages/{response.json()['message_id']}/status"


async def test_a_held_reply_comes_in_time_without_a_result(quiet: LiveServer) -> None:
    began = asyncio.get_running_loop().time()
    response = await quiet.client.post("/messages", json={"message": "Hello"}, headers={"Prefer": "wait=0"})
    assert asyncio.get_running_loop().time() - began < 10
    assert (response.status_code, response.json()["state"]) == (202, "queued")
    assert response.headers["preference-applied"] == "wait=1"


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("respond-async, wait=5", "wait=5"),
        ("WAIT = 5; x=y", "wait=5"),
        ('wait="5"', "wait=5"),
        ("wait=999999", "wait=60"),
        ("wait=-1", None),
        ("wait=soon", None),
        ("return=minimal", None),
        ("", None),
    ],
)
async def test_which_wishes_to_wait_are_granted(server: LiveServer, prefer: str, applied: str | None) -> None:
    response = await server.client.post("/messages", json={"message": "Hello"}, headers={"Prefer": prefer})
    assert response.status_code == (202 if applied is None else 200)
    assert response.headers.get("preference-applied") == applied


async def test_a_submit_can_be_a_stream_at_once(server: LiveServer, model: StubServer) -> None:
    async with server.client.stream(
        "POST", "/messages", json={"message": "Hello"}, headers={"Accept": "text/event-stream"}
    ) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        location = response.headers["location"]
        content = (await response.aread()).decode()
    message_id = location.split("/")[2]
    later = (await server.client.get(f"/messages/{message_id}/stream")).text
    at = content.index("id: 1\n")
    assert content[at:] == later[later.index("id: 1\n") :]
    assert content.startswith("retry: ")
    assert "event: done\n" in content


async def test_a_refused_submit_is_no_stream(quiet: LiveServer) -> None:
    response = await quiet.client.post("/messages", json={"message": ""}, headers={"Accept": "text/event-stream"})
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_client_that_takes_json_too_gets_json(quiet: LiveServer) -> None:
    accept = {"Accept": "application/json, text/event-stream"}
    assert (await quiet.client.post("/messages", json={"message": "Hello"}, headers=accept)).status_code == 202


async def test_cancelled_is_an_end_for_a_held_reply(quiet: LiveServer) -> None:
    async def cancel() -> None:
        async def listed() -> Any:
            return (await quiet.client.get("/messages")).json()["messages"]

        (message,) = await until(listed, "the message is there")
        await quiet.client.delete(f"/messages/{message['message_id']}")

    held, _ = await asyncio.gather(
        quiet.client.post("/messages", json={"message": "Hello"}, headers={"Prefer": "wait=30"}), cancel()
    )
    assert (held.status_code, held.json()["state"]) == (200, "cancelled")


# Deliveries


async def test_deliveries_are_listed_and_made_again(serve: Serve) -> None:
    quiet = await serve(worker_concurrency=0, webhook_secret=SECRET, webhook_allow_private=True)
    url = "http://127.0.0.1:9/hook"
    message_id = await bring(quiet, S.COMPLETED, webhook_url=url, thread_id="t")
    assert (await quiet.client.get(f"/messages/{message_id}")).json()["webhook_url"] == url

    async def tried() -> Any:
        (delivery,) = (await quiet.client.get(f"/messages/{message_id}/deliveries")).json()["deliveries"]
        return delivery if delivery["attempts"] else None

    delivery = await until(tried, "nobody listens there, which is noted")
    assert (delivery["message_id"], delivery["thread_id"], delivery["url"]) == (message_id, "t", url)
    assert (delivery["state"], delivery["attempts"][0]["status"]) == ("pending", None)
    assert delivery["attempts"][0]["error"]
    replayed = await quiet.client.post(f"/deliveries/{delivery['id']}/replay")
    assert (replayed.status_code, replayed.json()["id"], replayed.json()["state"]) == (202, delivery["id"], "pending")


async def test_unknown_deliveries_are_404(quiet: LiveServer) -> None:
    message_id = await bring(quiet, S.COMPLETED)
    assert (await quiet.client.get(f"/messages/{message_id}/deliveries")).json() == {"deliveries": []}
    check_problem(await quiet.client.get("/messages/unknown/deliveries"), 404, "message_not_found")
    for unknown in ("unknown", f"{message_id}.1", "%00"):
        check_problem(await quiet.client.post(f"/deliveries/{unknown}/replay"), 404, "delivery_not_found")
