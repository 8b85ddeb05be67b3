"""`queue_position` and `run_at` mean the same wherever they are told: in replies, lists, streams and frames."""

from typing import Any

import pytest

from app.api.schemas.dead_letters import MessageRequeued
from app.api.schemas.event_data import WaitingData
from app.api.schemas.messages import QUEUE_POSITION, RUN_AT, MessageAccepted, MessageDetails, MessageStatus
from app.api.websocket_frames import Accepted
from app.models.attempts import Released, Retry
from app.models.messages import MessageState
from tests import wire
from tests.contract.builders import claim
from tests.integration.conftest import Serve
from tests.integration.states import QUESTION, REFUSED, in_seconds
from tests.servers import LiveServer
from tests.talk import talk

Told = tuple[int | None, str | None]
"""The position and the time."""

RETRY = Retry("It broke for now.", "agent_error", 60.0)


@pytest.fixture
async def quiet(serve: Serve, database: dict[str, str]) -> LiveServer:
    """A server that takes messages and runs none, on each backend."""
    engine: dict[str, Any] = {name.lower(): value for name, value in database.items()}
    return await serve(worker_concurrency=0, **engine)


def of(reply: dict[str, Any]) -> Told:
    return reply["queue_position"], reply["run_at"]


async def told_of(server: LiveServer, message_id: str) -> Told:
    """Return the fields of a message that have to be the same in all places."""

    async def get(path: str) -> Any:
        return (await server.client.get(path)).json()

    def among(messages: list[dict[str, Any]]) -> Told:
        (found,) = [each for each in messages if each["message_id"] == message_id]
        return of(found)

    status = await server.status(message_id)
    told = {
        "status": of(status),
        "details": of(await get(f"/messages/{message_id}")),
        "list": among((await get("/messages"))["messages"]),
        "list of a state": among((await get(f"/messages?state={status['state']}"))["messages"]),
    }
    if status["thread_id"]:
        told["thread"] = among((await get(f"/threads/{status['thread_id']}/messages"))["messages"])
        told["list of a thread"] = among((await get(f"/messages?thread_id={status['thread_id']}"))["messages"])
    if status["state"] == "queued":
        async with wire.stream(server.url, message_id) as stream:
            waiting = await stream.until("waiting")
        told["stream"] = waiting.data["position"], waiting.data["run_at"]
        async with talk(server.url) as client:
            await client.send("subscribe", message_id=message_id)
            frame = await client.until("event", event="waiting")
        told["WebSocket"] = frame["data"]["position"], frame["data"]["run_at"]
    assert len(set(told.values())) == 1, told
    return told["status"]


async def test_what_waits_has_one_place_and_one_time(quiet: LiveServer) -> None:
    at = f"{in_seconds(3600)[:19]}.000Z"
    accepted = [
        await quiet.submit(thread_id="t"),
        await quiet.submit(thread_id="t"),
        await quiet.submit(priority="high"),
        await quiet.submit(delay_seconds=60),
        await quiet.submit(run_at=at),
        await quiet.submit(thread_id="t", run_at=at),
    ]
    assert [of(each)[0] for each in accepted] == [0, 1, 0, None, None, 3]
    assert [of(each)[1] for each in accepted[:3]] == [None] * 3
    assert [of(each)[1] for each in accepted[4:]] == [at, at]
    now = [await told_of(quiet, each["message_id"]) for each in accepted]
    assert [position for position, _ in now] == [1, 2, 0, None, None, 3]
    assert [run_at for _, run_at in now] == [of(each)[1] for each in accepted]
    assert now[3][1] is not None


async def test_every_way_to_submit_tells_the_same(quiet: LiveServer) -> None:
    at = f"{in_seconds(3600)[:19]}.000Z"
    body = {"message": "Hello", "run_at": at}
    batch = (await quiet.client.post("/messages/batch", json={"messages": [body, {"message": "x"}]})).json()["messages"]
    async with talk(quiet.url) as client:
        frame = await client.ask("submit", **body)
        other = await client.ask("submit", message="x")
    assert [of(each) for each in (*batch, frame, other)] == [(None, at), (0, None), (None, at), (1, None)]
    for _ in range(2):
        reply = await quiet.client.post("/messages", json=body, headers={"Idempotency-Key": "k"})
        assert of(reply.json()) == (None, at)
    for each in (*batch, frame, other):
        assert await told_of(quiet, each["message_id"]) == of(each)


async def test_a_message_is_put_off_until_its_next_try(quiet: LiveServer) -> None:
    store = quiet.runtime.services.store
    message_id = (await quiet.submit(thread_id="t"))["message_id"]

    async def end(outcome: Any) -> None:
        (claimed,) = await claim(store)
        assert await told_of(quiet, message_id) == (None, None)
        await store.finish(claimed.lease, outcome)

    await end(Released("The worker was stopped."))
    assert await told_of(quiet, message_id) == (0, None)
    await end(QUESTION)
    assert await told_of(quiet, message_id) == (None, None)
    await quiet.client.post(f"/messages/{message_id}/resume", json={"value": 1})
    assert await told_of(quiet, message_id) == (0, None)
    await end(RETRY)
    (retry,) = [
        each
        for each in (await quiet.client.get(f"/messages/{message_id}/events")).json()["events"]
        if each["type"] == "retry" and each["data"]["error"] == RETRY.error
    ]
    assert await told_of(quiet, message_id) == (None, retry["data"]["next_at"])


async def test_a_time_stays_when_the_message_has_begun_and_goes_when_it_is_queued_anew(quiet: LiveServer) -> None:
    store = quiet.runtime.services.store
    accepted = await quiet.submit(delay_seconds=0.001)
    message_id = accepted["message_id"]
    while not (claimed := await claim(store)):
        await store.promote()
    assert await told_of(quiet, message_id) == (None, accepted["run_at"])
    await store.finish(claimed[0].lease, REFUSED)
    assert await told_of(quiet, message_id) == (None, accepted["run_at"])
    requeued = (await quiet.client.post(f"/messages/{message_id}/retry")).json()
    assert of(requeued) == await told_of(quiet, message_id) == (0, None)
    changed = await quiet.client.patch(f"/messages/{message_id}", json={"priority": "high"})
    assert of(changed.json()) == (0, None)


async def test_the_attempt_that_asks_is_told_the_same_everywhere(quiet: LiveServer) -> None:
    message_id = (await quiet.submit())["message_id"]
    store = quiet.runtime.services.store
    for attempt in (1, 1):
        (claimed,) = await claim(store)
        assert (await quiet.status(message_id))["attempt"] == attempt
        await store.finish(claimed.lease, QUESTION)
        events = (await quiet.client.get(f"/messages/{message_id}/events")).json()["events"]
        told = [each["data"]["attempt"] for each in events if each["type"] in ("processing", "interrupted")]
        status = await quiet.status(message_id)
        assert status["state"] == MessageState.INTERRUPTED
        assert {*told, status["attempt"]} == {attempt}
        assert (await quiet.client.get(f"/messages/{message_id}")).json()["attempt"] == attempt
        await quiet.client.post(f"/messages/{message_id}/resume", json={"value": 1})
        assert (await quiet.status(message_id))["attempt"] == 0, "while it is queued, those that count"


def test_the_description_says_the_same_everywhere() -> None:
    replies = (MessageAccepted, MessageRequeued, MessageStatus, MessageDetails, Accepted)
    places = {model.model_fields["queue_position"].description for model in replies}
    assert places == {WaitingData.model_fields["position"].description} == {QUEUE_POSITION}
    assert {model.model_fields["run_at"].description for model in (*replies, WaitingData)} == {RUN_AT}
