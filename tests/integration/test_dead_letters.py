"""Messages that have failed for good: found, grouped, queued again, deleted."""

from typing import Any

import pytest

from app.models.attempts import Failed
from app.models.messages import DEFAULT_TENANT, Message, MessageState
from tests import wire
from tests.contract.builders import claim
from tests.integration.conftest import Serve
from tests.integration.states import bring, dead_letter, end
from tests.integration.test_api import TIME, check_problem
from tests.openai_stub import Status, StubServer
from tests.servers import LiveServer

BROKEN = Failed("It broke.", "agent_error", "broken")
LOST = Failed("The worker was lost 3 times while it processed this message.", "worker_lost")


async def letters(server: LiveServer, **wanted: Any) -> list[dict[str, Any]]:
    response = await server.client.get("/dead-letters", params=wanted)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["dead_letters"]
    return found


async def test_a_dead_letter_tells_all_about_its_failure(quiet: LiveServer) -> None:
    await bring(quiet, MessageState.COMPLETED)
    message_id = await dead_letter(quiet, BROKEN, thread_id="t", priority="low")
    (letter,) = await letters(quiet)
    assert (letter["message_id"], letter["thread_id"], letter["priority"]) == (message_id, "t", "low")
    assert (letter["error"], letter["error_code"], letter["fingerprint"]) == ("It broke.", "agent_error", "broken")
    assert (letter["reason"], letter["attempt"]) == ("It failed in its first attempt and was not tried again.", 1)
    (attempt,) = letter["attempts"]
    assert (attempt["attempt"], attempt["worker_id"], attempt["error"]) == (1, "worker 1", "It broke.")
    assert TIME.fullmatch(attempt["started_at"])
    assert TIME.fullmatch(attempt["ended_at"])
    assert (await quiet.client.get(f"/messages/{message_id}")).json()["attempts"] == letter["attempts"]


async def test_dead_letters_are_filtered_and_paged(quiet: LiveServer) -> None:
    ids = [await dead_letter(quiet, BROKEN, thread_id="t") for _ in range(3)]
    lost = await dead_letter(quiet, LOST)
    assert [each["message_id"] for each in await letters(quiet)] == [lost, *ids[::-1]]
    assert [each["message_id"] for each in await letters(quiet, error_code="worker_lost")] == [lost]
    assert len(await letters(quiet, fingerprint="broken", thread_id="t", agent="chat", priority="normal")) == 3
    assert await letters(quiet, thread_id="u") == []
    first = await quiet.client.get("/dead-letters", params={"fingerprint": "broken", "limit": 2})
    link = first.headers["link"]
    second = await quiet.client.get(link[1 : link.index(">")])
    found = [each["message_id"] for page in (first, second) for each in page.json()["dead_letters"]]
    assert found == ids[::-1]


async def test_dead_letters_are_grouped_by_their_kind(quiet: LiveServer) -> None:
    for outcome in (BROKEN, LOST, BROKEN):
        await dead_letter(quiet, outcome)
    groups = (await quiet.client.get("/dead-letters/groups")).json()["groups"]
    assert [(each["fingerprint"], each["count"]) for each in groups] == [("broken", 2), ("worker_lost", 1)]
    assert len((await quiet.client.get("/dead-letters/groups", params={"limit": 1})).json()["groups"]) == 1


async def test_one_is_queued_again_at_the_tail_of_its_thread(quiet: LiveServer) -> None:
    message_id = await dead_letter(quiet, thread_id="t")
    later = (await quiet.submit(thread_id="t"))["message_id"]
    seen = await wire.frames_of(quiet.url, message_id)
    response = await quiet.client.post(f"/messages/{message_id}/retry")
    assert response.status_code == 202
    assert response.headers["location"] == f"/messages/{message_id}/status"
    assert (response.json()["state"], response.json()["queue_position"]) == ("queued", 1)
    assert "tail of its thread" in response.json()["message"]
    status = await quiet.status(message_id)
    assert (status["error"], status["error_code"], status["attempt"]) == (None, None, 0)
    async with wire.stream(quiet.url, message_id, last_event_id=seen[-1].id) as stream:
        assert stream.status == 200
        assert (await stream.until("retry")).id == seen[-1].id + 1  # type: ignore[operator]  # stored, so it has one
    (claimed,) = await claim(quiet.runtime.services.store)
    assert claimed.message.id == later


async def test_a_requeued_message_runs_to_its_end(server: LiveServer, model: StubServer) -> None:
    model.replies.append(Status(400))
    message_id = (await server.submit())["message_id"]
    assert (await server.ended(message_id))["state"] == "failed"
    seen = await wire.frames_of(server.url, message_id)
    assert (await server.client.post(f"/messages/{message_id}/retry")).status_code == 202
    assert (await server.ended(message_id))["state"] == "completed"
    rest = await wire.frames_of(server.url, message_id, last_event_id=seen[-1].id)
    assert next(frame.event for frame in rest if frame.id) == "retry"
    wire.check_log(rest, first_id=len(wire.stored(seen)) + 1)


async def test_many_are_queued_again_by_their_ids(quiet: LiveServer) -> None:
    ids = [await dead_letter(quiet, thread_id=f"t{n}") for n in range(3)]
    response = await quiet.client.post("/dead-letters/requeue", json={"message_ids": [ids[2], ids[0], ids[2]]})
    assert response.status_code == 200
    assert [each["message_id"] for each in response.json()["requeued"]] == [ids[2], ids[0]]
    assert "tail of its thread" in response.json()["message"]
    assert [(await quiet.status(each))["state"] for each in ids] == ["queued", "failed", "queued"]


@pytest.mark.parametrize("path", ["/dead-letters/requeue", "/dead-letters/purge"])
async def test_one_that_is_none_spoils_all(server: LiveServer, model: StubServer, path: str) -> None:
    model.replies.append(Status(400))
    message_id = (await server.submit())["message_id"]
    await server.ended(message_id)
    done = (await server.submit())["message_id"]
    await server.ended(done)
    problem = await server.client.post(path, json={"message_ids": [message_id, done]})
    check_problem(problem, 409, "not_failed")
    assert problem.json()["state"] == "completed"
    check_problem(await server.client.post(path, json={"message_ids": [message_id, "x"]}), 404, "message_not_found")
    assert (await server.status(message_id))["state"] == "failed"


async def test_many_are_queued_again_by_a_filter(quiet: LiveServer) -> None:
    for outcome in (BROKEN, LOST, BROKEN):
        await dead_letter(quiet, outcome)
    body = {"filter": {"fingerprint": "broken"}, "expected_count": 3}
    check_problem(await quiet.client.post("/dead-letters/requeue", json=body), 409, "selection_moved")
    assert len(await letters(quiet)) == 3
    response = await quiet.client.post("/dead-letters/requeue", json={**body, "expected_count": 2})
    assert len(response.json()["requeued"]) == 2
    assert [each["error_code"] for each in await letters(quiet)] == ["worker_lost"]
    nothing = await quiet.client.post("/dead-letters/requeue", json={**body, "expected_count": 0})
    assert (nothing.status_code, nothing.json()["requeued"]) == (200, [])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "filter"),
        ({"message_ids": ["a"], "filter": {}}, "filter"),
        ({"message_ids": []}, "message_ids"),
        ({"message_ids": ["a"] * 1001}, "message_ids"),
        ({"filter": {}}, "expected_count"),
        ({"filter": {}, "expected_count": 1001}, "expected_count"),
        ({"filter": {"state": ["queued"]}, "expected_count": 1}, "filter.state"),
    ],
)
@pytest.mark.parametrize("path", ["/dead-letters/requeue", "/dead-letters/purge"])
async def test_a_wrong_selection_is_422(quiet: LiveServer, path: str, body: dict[str, Any], field: str) -> None:
    await dead_letter(quiet)
    response = await quiet.client.post(path, json=body)
    assert response.status_code == 422, response.text
    assert [error["field"] for error in response.json()["errors"]] == [field]
    assert len(await letters(quiet)) == 1


async def test_more_than_can_be_done_at_once_are_refused(serve: Serve) -> None:
    quiet = await serve(worker_concurrency=0, max_queue_size=2000)
    store = quiet.runtime.services.store
    for count in (1000, 1):
        batch = {"messages": [{"message": "Hello"}] * count}
        assert (await quiet.client.post("/messages/batch", json=batch)).status_code == 202
    for taken in await claim(store, 1001):
        await store.finish(taken.lease, BROKEN)
    body = {"filter": {"fingerprint": "broken"}, "expected_count": 1000}
    check_problem(await quiet.client.post("/dead-letters/requeue", json=body), 422, "invalid_request", "filter")
    assert (await quiet.client.get("/queue", params={"limit": 1})).json()["total_failed"] == 1001


async def test_purged_messages_are_gone_with_what_the_agent_remembers(server: LiveServer, model: StubServer) -> None:
    model.replies.extend([Status(400), Status(400)])
    purged, kept = [(await server.submit())["message_id"] for _ in range(2)]
    for message_id in (purged, kept):
        await server.ended(message_id)
    memory = server.runtime._agents._saver
    assert memory is not None

    async def remembered(message_id: str) -> bool:
        key = Message.memory_key_of(DEFAULT_TENANT, None, message_id)
        return await memory.aget_tuple({"configurable": {"thread_id": key, "checkpoint_ns": ""}}) is not None

    assert await remembered(purged)
    response = await server.client.post("/dead-letters/purge", json={"message_ids": [purged]})
    assert (response.status_code, response.json()) == (200, {"purged": [purged]})
    check_problem(await server.client.get(f"/messages/{purged}"), 404, "message_not_found")
    check_problem(await server.client.get(f"/messages/{purged}/stream"), 404, "message_not_found")
    assert not await remembered(purged)
    assert await remembered(kept)


async def test_without_the_memory_at_hand_nothing_is_purged(quiet: LiveServer) -> None:
    message_id = await dead_letter(quiet)
    response = await quiet.client.post("/dead-letters/purge", json={"message_ids": [message_id]})
    check_problem(response, 503, "memory_closed")
    assert "Nothing was deleted" in response.json()["detail"]
    assert (await quiet.status(message_id))["state"] == "failed"


async def test_another_failure_after_a_requeue_is_listed_beside_the_first(quiet: LiveServer) -> None:
    message_id = await dead_letter(quiet, BROKEN)
    await quiet.client.post(f"/messages/{message_id}/retry")
    await end(quiet, message_id, LOST)
    (letter,) = await letters(quiet)
    assert [attempt["error_code"] for attempt in letter["attempts"]] == ["agent_error", "worker_lost"]
