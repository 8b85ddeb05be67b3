"""Requests control messages: cancels, answers, priorities, the queue's pause, deliveries."""

import asyncio
from typing import Any
from urllib.parse import urlencode

import pytest

from app.models.attempts import Interrupted, Released
from app.models.messages import MessageState
from tests.contract.builders import claim
from tests.integration.conftest import Serve
from tests.integration.states import SECRET, bring, end
from tests.integration.test_api import TIME, check_problem
from tests.openai_stub import Gate, StubServer
from tests.servers import LiveServer, until

S = MessageState
STATES = tuple(MessageState)


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


async def test_many_are_cancelled_by_their_ids(quiet: LiveServer) -> None:
    one, other, ended = [(await quiet.submit())["message_id"] for _ in range(3)]
    await quiet.client.post(f"/messages/{ended}/cancel")
    response = await quiet.client.post("/messages/cancel", json={"message_ids": [one, ended, one, "unknown"]})
    assert (response.status_code, response.json()) == (200, {"cancelled": [one], "stopping": []})
    assert (await quiet.status(other))["state"] == "queued"


async def test_many_get_another_priority(quiet: LiveServer) -> None:
    ids = [(await quiet.submit(thread_id=thread))["message_id"] for thread in ("t", "t", "u")]
    moved = {"priority": "low", "filter": {"thread_id": "t"}, "expected_count": 3}
    check_problem(await quiet.client.post("/messages/priority", json=moved), 409, "selection_moved")
    response = await quiet.client.post("/messages/priority", json=moved | {"expected_count": 2})
    assert sorted(response.json()["reprioritized"]) == sorted(ids[:2])
    await claim(quiet.runtime.services.store)
    named = {"priority": "high", "message_ids": [*ids[:2], "unknown"]}
    response = await quiet.client.post("/messages/priority", json=named)
    running = [each for each in ids if (await quiet.status(each))["state"] == "processing"]
    assert response.json() == {"reprioritized": [each for each in ids[:2] if each not in running]}
    assert {each: (await quiet.status(each))["priority"] for each in ids} == {
        ids[0]: "high", ids[1]: "high", ids[2]: "normal",
    }  # fmt: skip
    actions = [each["action"] for each in (await quiet.client.get("/audit")).json()["records"]]
    assert actions == ["message.change"] * 4


@pytest.mark.parametrize(
    "body", [{}, {"priority": "high", "filter": {}}, {"priority": "high", "message_ids": ["m"], "expected_count": 1}]
)
async def test_a_wrong_selection_for_a_priority_is_422(quiet: LiveServer, body: dict[str, Any]) -> None:
    response = await quiet.client.post("/messages/priority", json=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] in ("priority", "filter", "expected_count")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "filter"),
        ({"filter": {"thread_id": "t"}, "message_ids": ["m"]}, "filter"),
        ({"message_ids": ["m"], "expected_count": 1}, "expected_count"),
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


async def test_all_deliveries_are_listed_page_by_page_by_what_they_are(serve: Serve) -> None:
    quiet = await serve(worker_concurrency=0, webhook_secret=SECRET, webhook_allow_private=True)
    hook: dict[str, Any] = {"webhook_url": "http://127.0.0.1:9/hook", "webhook_events": ["failed", "interrupted"]}
    assert (await quiet.client.get("/deliveries")).json() == {"deliveries": []}
    ids = [await bring(quiet, state, **hook) for state in (S.FAILED, S.INTERRUPTED, S.COMPLETED, S.FAILED)]
    assert (await quiet.client.get(f"/messages/{ids[0]}")).json()["webhook_events"] == ["failed", "interrupted"]
    plain = await bring(quiet, S.QUEUED, webhook_url=hook["webhook_url"])
    assert (await quiet.client.get(f"/messages/{plain}")).json()["webhook_events"] == [
        "completed", "failed", "cancelled",
    ]  # fmt: skip

    async def listed(**query: Any) -> list[tuple[str, str]]:
        found, target = [], f"/deliveries?{urlencode(query, doseq=True)}"
        while target:
            response = await quiet.client.get(target)
            assert response.status_code == 200, response.text
            found += [(each["message_id"], each["event"]) for each in response.json()["deliveries"]]
            target = response.links["next"]["url"] if response.links else ""
        return found

    everything = [(ids[3], "failed"), (ids[1], "interrupted"), (ids[0], "failed")]
    for limit in (1, 2, 3, 100):
        assert await listed(limit=limit) == everything
    assert await listed(event="interrupted", limit=1) == everything[1:2]
    assert await listed(event=["failed", "cancelled"], state=["pending", "failed"], limit=1) == everything[::2]
    assert await listed(state="delivered") == []
    assert await listed(message_id=ids[0]) == everything[2:]
    assert await listed(message_id="unknown") == []
    for wrong in ("state=done", "event=message.failed", "limit=0", "message_id="):
        check_problem(await quiet.client.get(f"/deliveries?{wrong}"), 422, "validation_error")
    check_problem(await quiet.client.get("/deliveries?cursor=x"), 422, "invalid_request", "cursor")


async def test_unknown_deliveries_are_404(quiet: LiveServer) -> None:
    message_id = await bring(quiet, S.COMPLETED)
    assert (await quiet.client.get(f"/messages/{message_id}/deliveries")).json() == {"deliveries": []}
    check_problem(await quiet.client.get("/messages/unknown/deliveries"), 404, "message_not_found")
    for unknown in ("unknown", f"{message_id}.1", "%00"):
        check_problem(await quiet.client.post(f"/deliveries/{unknown}/replay"), 404, "delivery_not_found")
