"""Submitting with wishes: times, busy threads, batches, held replies and streams; and finding what was submitted."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from app.models.messages import MessageState
from tests.contract.builders import claim
from tests.integration.conftest import Serve
from tests.integration.states import SECRET, bring, in_seconds
from tests.integration.test_api import TIME, check_problem
from tests.openai_stub import Gate, StubServer
from tests.servers import LiveServer, until

S = MessageState


@pytest.fixture
async def quiet(serve: Serve) -> LiveServer:
    """A server that takes messages and runs none."""
    return await serve(worker_concurrency=0)


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
        ({"webhook_events": ["completed"]}, "webhook_events"),
        ({"webhook_events": ["completed"], "webhook_url": None}, "webhook_events"),
        ({"webhook_events": [], "webhook_url": "https://receiver.example/"}, "webhook_events"),
        ({"webhook_events": "failed", "webhook_url": "https://receiver.example/"}, "webhook_events"),
        ({"webhook_events": ["failed", "done"], "webhook_url": "https://receiver.example/"}, "webhook_events.1"),
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
    await quiet.submit("Hello")
    response = await quiet.client.post("/messages/batch", json={"messages": [{"message": "Hello"}] * 3})
    check_problem(response, 503, "queue_full")
    assert (await quiet.client.get("/queue")).json()["total_queued"] == 1


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


# What a message waits for


async def test_the_message_in_the_way_is_named(server: LiveServer, model: StubServer) -> None:
    gate = Gate("Held")
    model.replies.append(gate)
    running = (await server.submit(thread_id="t"))["message_id"]
    await model.received()
    behind = await server.submit(thread_id="t")
    reason = {"code": "thread_busy", "message": f"Message {running} of its thread is processing."}

    async def told() -> bool:
        return bool((await server.status(behind["message_id"]))["waiting_reason"] == reason)

    await until(told, "the message in the way is named")  # what is known of workers may be a second old
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
