"""The Idempotency-Key: a request that is sent again is carried out once, and answered as before."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx2
import pytest

from app.models.messages import MessageState
from tests.contract.builders import claim
from tests.integration.conftest import Serve
from tests.integration.states import QUESTION, SECRET, bring, end, in_seconds
from tests.integration.test_api import check_problem
from tests.servers import LiveServer, until
from tests.talk import talk


@pytest.fixture
async def quiet(serve: Serve, database: dict[str, str]) -> LiveServer:
    """A server that takes messages and runs none, on each backend."""
    engine: dict[str, Any] = {name.lower(): value for name, value in database.items()}
    return await serve(worker_concurrency=0, webhook_secret=SECRET, webhook_allow_private=True, **engine)


async def send(server: LiveServer, key: str, body: Any, path: str = "/messages", **headers: str) -> httpx2.Response:
    return await server.client.post(path, json=body, headers={"Idempotency-Key": key, **headers})


async def queued(server: LiveServer) -> int:
    return int((await server.client.get("/queue")).json()["total_queued"])


async def test_a_repeated_submit_is_stored_once_and_answered_the_same(quiet: LiveServer) -> None:
    await quiet.submit()
    first = await send(quiet, "k", {"message": "Hello", "thread_id": "t"})
    assert first.status_code == 202
    assert "idempotent-replayed" not in first.headers
    await claim(quiet.runtime.services.store, 2)
    again = await send(quiet, "k", {"message": "Hello", "thread_id": "t"})
    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert len((await quiet.client.get("/messages")).json()["messages"]) == 2


async def say(server: LiveServer, text: str, path: str = "/messages") -> httpx2.Response:
    """Send a body just as it is written here, with one key for all."""
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    return await server.client.post(path, content=text.encode(), headers=headers)


SAME: dict[str, list[str]] = {
    "order and white space": [
        '{"message": "Hello", "thread_id": "t", "priority": "low"}',
        '{"priority":"low","thread_id":"t","message":"Hello"}',
        '\n{ "thread_id" : "t",\t"priority":"low", "message":"Hello" }\n',
    ],
    "defaults": [
        '{"message": "Hello"}',
        '{"message": "Hello", "priority": "normal", "if_busy": "enqueue"}',
        '{"message": "Hello", "thread_id": null, "agent": null, "run_at": null, "delay_seconds": null}',
        '{"message": "Hello", "timeout": null, "max_attempts": null, "webhook_url": null}',
        '{"message": "Hello", "delay_seconds": 0}',
        '{"message": "Hello", "agent": "chat"}',
    ],
    "numbers": [
        '{"message": "Hello", "timeout": 30, "delay_seconds": 60}',
        '{"message": "Hello", "timeout": 30.0, "delay_seconds": 6e1}',
    ],
    "escapes": [
        '{"message": "Z\u00fcrich /"}',
        '{"message": "Z\\u00fcrich \\/"}',
        '{"m\\u0065ssage": "Z\u00fcrich /"}',
    ],
    "times": [
        '{"message": "Hello", "run_at": "UTC"}',
        '{"run_at": "PARIS", "message": "Hello"}',
    ],
    "events in any order": [
        '{"message": "Hello", "webhook_url": "http://127.0.0.1:9", "webhook_events": ["failed", "interrupted"]}',
        '{"message": "Hello", "webhook_url": "http://127.0.0.1:9", "webhook_events": ["interrupted", "failed"]}',
    ],
    "the usual events": [
        '{"message": "Hello", "webhook_url": "http://127.0.0.1:9"}',
        '{"webhook_events":["failed","cancelled","completed"],"message":"Hello","webhook_url":"http://127.0.0.1:9"}',
    ],
    "the last of two": [
        '{"message": "Hello"}',
        '{"message": "Bye", "message": "Hello"}',
    ],
}
OTHER = [
    '{"message": "hello"}',
    '{"message": "Hello", "priority": "low"}',
    '{"message": "Hello", "thread_id": "t"}',
    '{"message": "Hello", "timeout": 30}',
    '{"message": "Hello", "max_attempts": 3}',
    '{"message": "Hello", "delay_seconds": 0.001}',
    '{"message": "Hello "}',
]


@pytest.mark.parametrize("what", SAME)
async def test_what_means_the_same_is_the_same_request(quiet: LiveServer, what: str) -> None:
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    elsewhere = at.astimezone(timezone(timedelta(hours=2)))
    text, *others = [text.replace("UTC", at.isoformat()).replace("PARIS", elsewhere.isoformat()) for text in SAME[what]]
    first = await say(quiet, text)
    assert first.status_code == 202, first.text
    for each in others:
        again = await say(quiet, each)
        assert (again.status_code, again.content) == (202, first.content), each
        assert again.headers["idempotent-replayed"] == "true"
    assert len((await quiet.client.get("/messages")).json()["messages"]) == 1


@pytest.mark.parametrize("text", OTHER)
async def test_what_means_something_else_is_another_request(quiet: LiveServer, text: str) -> None:
    await say(quiet, '{"message": "Hello"}')
    check_problem(await say(quiet, text), 422, "idempotency_key_reused", "Idempotency-Key")
    assert await queued(quiet) == 1


async def test_a_batch_is_compared_by_its_meaning_and_its_order(quiet: LiveServer) -> None:
    path = "/messages/batch"
    first = await say(quiet, '{"messages": [{"message": "1"}, {"message": "2", "priority": "low"}]}', path)
    again = await say(
        quiet, '{"messages":[{"priority":"normal","message":"1"},{"priority":"low","message":"2"}]}', path
    )
    assert (again.status_code, again.content) == (202, first.content)
    turned = await say(quiet, '{"messages": [{"message": "2", "priority": "low"}, {"message": "1"}]}', path)
    check_problem(turned, 422, "idempotency_key_reused", "Idempotency-Key")
    assert await queued(quiet) == 2


async def test_an_answer_is_compared_by_its_meaning(quiet: LiveServer) -> None:
    message_id = await bring(quiet, MessageState.INTERRUPTED)
    path = f"/messages/{message_id}/resume"
    first = await say(quiet, '{"value": {"b": [1, 2.50, true], "a": {"y": null, "x": 10000000000000000000000}}}', path)
    assert first.status_code == 202, first.text
    for same in (
        '{"value":{"a":{"x":1e22,"y":null},"b":[1.0,2.5,true]},"values":null}',
        '{"value": {"a": {"x": 10000000000000000000000.0, "y": null}, "b": [1, 25e-1, true]}}',
    ):
        again = await say(quiet, same, path)
        assert (again.status_code, again.content) == (202, first.content), same
    for other in (
        '{"value": {"b": [true, 2.5, true], "a": {"y": null, "x": 1e22}}}',
        '{"value": {"b": [2.5, 1, true], "a": {"y": null, "x": 1e22}}}',
        '{"value": {"b": [1, 2.5, true], "a": {"x": 1e22}}}',
        '{"value": {"b": [1, 2.5, "true"], "a": {"y": null, "x": 1e22}}}',
    ):
        check_problem(await say(quiet, other, path), 422, "idempotency_key_reused", "Idempotency-Key")


async def test_the_longest_numbers_can_be_compared(quiet: LiveServer) -> None:
    message_id = await bring(quiet, MessageState.INTERRUPTED)
    text = f'{{"value": [{"7" * 4300}, -1e308]}}'
    replies = [await say(quiet, text, f"/messages/{message_id}/resume") for _ in range(2)]
    assert [reply.status_code for reply in replies] == [202, 202]


async def test_a_key_stands_for_the_same_message_on_both_ways(quiet: LiveServer) -> None:
    first = await say(quiet, '{"message": "Hello", "thread_id": "t"}')
    async with talk(quiet.url) as client:
        frame = await client.ask("submit", thread_id="t", priority="normal", message="Hello", idempotency_key="k")
        assert (frame["message_id"], frame["replayed"]) == (first.json()["message_id"], True)
        frame = await client.ask("submit", message="Bye", idempotency_key="k")
        assert frame["problem"]["code"] == "idempotency_key_reused"
    assert await queued(quiet) == 1


async def test_many_at_once_store_one(quiet: LiveServer) -> None:
    responses = await asyncio.gather(*(send(quiet, "k", {"message": "Hello"}) for _ in range(20)))
    assert {response.status_code for response in responses} == {202}
    assert len({response.content for response in responses}) == 1
    assert sum("idempotent-replayed" not in response.headers for response in responses) == 1
    assert await queued(quiet) == 1


async def test_a_key_for_another_request_is_422(quiet: LiveServer) -> None:
    await send(quiet, "k", {"message": "Hello"})
    check_problem(await send(quiet, "k", {"message": "Bye"}), 422, "idempotency_key_reused", "Idempotency-Key")
    batch = await send(quiet, "k", {"messages": [{"message": "Hello"}]}, "/messages/batch")
    check_problem(batch, 422, "idempotency_key_reused", "Idempotency-Key")
    assert await queued(quiet) == 1


@pytest.mark.parametrize("key", ["", "k" * 256, "two words", "k\u00e9".encode().decode("latin-1")])
async def test_a_key_of_other_characters_is_422(quiet: LiveServer, key: str) -> None:
    response = await quiet.client.post(
        "/messages", json={"message": "Hello"}, headers=[(b"Idempotency-Key", key.encode("latin-1"))]
    )
    check_problem(response, 422, "invalid_request", "Idempotency-Key")
    assert await queued(quiet) == 0


async def test_two_keys_are_422(quiet: LiveServer) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    response = await quiet.client.post("/messages", json={"message": "Hello"}, headers=headers)
    check_problem(response, 422, "invalid_request", "Idempotency-Key")


async def test_the_longest_key_will_do(quiet: LiveServer) -> None:
    key = "!" + "~" * 254
    assert [(await send(quiet, key, {"message": "Hello"})).status_code for _ in range(2)] == [202, 202]
    assert await queued(quiet) == 1


async def test_a_refused_request_leaves_its_key_free(quiet: LiveServer) -> None:
    assert (await send(quiet, "k", {"message": ""})).status_code == 422
    assert (await send(quiet, "k", {"message": "Hello", "agent": "poet"})).status_code == 422
    response = await send(quiet, "k", {"message": "Hello"})
    assert response.status_code == 202
    assert "idempotent-replayed" not in response.headers


async def test_a_full_queue_still_answers_what_it_took(serve: Serve) -> None:
    quiet = await serve(worker_concurrency=0, max_queue_size=1)
    first = await send(quiet, "k", {"message": "Hello"})
    check_problem(await send(quiet, "other", {"message": "Hello"}), 503, "queue_full")
    assert (await send(quiet, "k", {"message": "Hello"})).content == first.content


async def test_a_time_that_has_come_meanwhile_is_no_reason_to_refuse(quiet: LiveServer) -> None:
    at = in_seconds(0.3)
    first = await send(quiet, "k", {"message": "Hello", "run_at": at})
    assert first.status_code == 202

    async def is_past() -> bool:
        return (await quiet.client.post("/messages", json={"message": "x", "run_at": at})).status_code == 422

    await until(is_past, "the time has come")
    again = await send(quiet, "k", {"message": "Hello", "run_at": at})
    assert (again.status_code, again.content) == (202, first.content)
    check_problem(await send(quiet, "new", {"message": "Hello", "run_at": at}), 422, "invalid_request", "run_at")


async def test_a_batch_is_repeated_as_a_whole(quiet: LiveServer) -> None:
    body = {"messages": [{"message": f"{n}", "thread_id": "t"} for n in range(3)]}
    first = await send(quiet, "k", body, "/messages/batch")
    again = await send(quiet, "k", body, "/messages/batch")
    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert await queued(quiet) == 3


async def test_an_answer_is_taken_once(quiet: LiveServer) -> None:
    message_id = await bring(quiet, MessageState.INTERRUPTED)
    path = f"/messages/{message_id}/resume"
    first = await send(quiet, "k", {"value": "yes"}, path)
    assert first.status_code == 202
    for outcome in (QUESTION, None):  # it asks again; then it has been answered again
        again = await send(quiet, "k", {"value": "yes"}, path)
        assert (again.status_code, again.content) == (202, first.content)
        assert again.headers["idempotent-replayed"] == "true"
        if outcome is not None:
            await end(quiet, message_id, outcome)
            assert (await quiet.status(message_id))["state"] == "interrupted"
    assert (await quiet.status(message_id))["state"] == "interrupted", "the old answer is none to the new question"
    check_problem(await send(quiet, "k", {"value": "no"}, path), 422, "idempotency_key_reused", "Idempotency-Key")
    assert (await send(quiet, "k2", {"values": {"question": "no"}}, path)).status_code == 202


async def test_a_repeated_stream_shows_the_same_message(server: LiveServer) -> None:
    first = await send(server, "k", {"message": "Hello"}, Accept="text/event-stream")
    again = await send(server, "k", {"message": "Hello"}, Accept="text/event-stream")
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert again.text[again.text.index("id: 1\n") :] == first.text[first.text.index("id: 1\n") :]


async def test_a_repeated_request_may_wait_for_the_result(server: LiveServer) -> None:
    first = await send(server, "k", {"message": "Hello"})
    held = await send(server, "k", {"message": "Hello"}, Prefer="wait=30")
    assert (held.status_code, held.json()["message_id"]) == (200, first.json()["message_id"])
    assert held.json()["state"] == "completed"
