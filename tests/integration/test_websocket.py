"""Many messages over one connection: the same events as the streams have, whatever goes wrong on the way."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import apsw
import pytest

from app.api.websocket_frames import KINDS, Submit
from app.models.messages import MessageState
from tests import wire
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.states import bring
from tests.openai_stub import Gate, Hang, StubServer
from tests.servers import LiveServer, until
from tests.talk import finished, stream_of, talk

ANSWER = "The capital of France is Paris."
TERMINAL = frozenset({"done", "error", "cancelled"})


# Events


async def test_messages_take_turns_on_one_connection(serve: Serve, model: StubServer) -> None:
    server = await serve(worker_concurrency=2)
    gates = [Gate("one two three"), Gate("four five six")]
    model.replies.extend(gates)
    async with talk(server.url) as client:
        ids = []
        for number in (1, 2):
            ids.append(await client.submit())
            await model.received(number)
        for _ in range(3):
            for gate, message_id in zip(gates, ids, strict=True):
                gate.release()
                await client.until("event", message_id=message_id, event="chunk")
        while {frame["message_id"] for frame in client.frames if frame["type"] == "ended"} != set(ids):
            await client.next()  # the first one may have ended before the last chunk of the other
        order = [frame["message_id"] for frame in client.frames if frame.get("event") == "chunk"]
        assert order == ids * 3
        for message_id in ids:
            assert client.stored(message_id) == await stream_of(server, message_id)


async def test_a_subscription_shows_what_the_stream_shows(server: LiveServer, model: StubServer) -> None:
    gate = Gate("held")
    model.replies.append(gate)
    await server.submit()
    await model.received()
    message_id = (await server.submit('Zoë 👩‍🚀 \u2028 "quoted"\r\n'))["message_id"]
    async with talk(server.url) as client, wire.stream(server.url, message_id) as stream:
        answer = await client.ask("subscribe", message_id=message_id)
        assert answer == {**answer, "type": "subscribed", "message_id": message_id, "after": 0}
        shown = await client.next()
        waiting = await stream.next()
        assert waiting is not None
        assert (shown["event"], shown["id"], shown["data"]["position"]) == ("waiting", None, 0)
        assert shown["data"].keys() == waiting.data.keys()
        gate.release_all()
        await client.until("ended", message_id=message_id)
        assert client.stored(message_id) == wire.stored(await stream.rest())


async def test_resuming_goes_on_exactly_there(server: LiveServer) -> None:
    message_id = await finished(server, "some more words for a longer answer")
    everything = await stream_of(server, message_id)
    for seen in range(len(everything) + 1):
        async with talk(server.url) as client:
            await client.ask("subscribe", message_id=message_id, after=seen)
            await client.until("ended")
            assert client.stored(message_id) == everything[seen:]


async def test_an_event_that_is_still_to_come_is_refused(quiet: LiveServer) -> None:
    async with talk(quiet.url) as client:
        message_id = await client.submit(subscribe=False)
        refused = await client.ask("subscribe", message_id=message_id, after=1000)
        response = await quiet.client.get(f"/messages/{message_id}/stream?after=1000")
        assert refused["problem"] == response.json()
        assert refused["problem"]["code"] == "invalid_request"


async def test_a_pruned_log_begins_with_a_reset(serve: Serve) -> None:
    server = await serve(event_retention_hours=1e-9)
    message_id = await finished(server, "some more words")

    async def pruned() -> bool:
        await server.runtime._maintenance.prune()
        return len((await server.client.get(f"/messages/{message_id}/events")).json()["events"]) == 1

    await until(pruned, "the log is pruned")
    async with talk(server.url) as client:
        await client.ask("subscribe", message_id=message_id)
        await client.until("ended")
        reset, done = [frame for frame in client.frames if frame["type"] == "event"]
        assert (reset["event"], reset["id"]) == ("reset", None)
        assert reset["data"] == {"state": "completed", "text": "You said: some more words"}
        assert done["event"] == "done"


async def test_readers_that_are_cut_off_miss_nothing_and_see_nothing_twice(
    server: LiveServer, model: StubServer
) -> None:
    words = 60
    gate = Gate(" ".join(f"word{number}" for number in range(words)))
    model.replies.append(gate)
    message_id = (await server.submit())["message_id"]
    under_way = 0

    async def read(chance: random.Random) -> list[bytes]:
        nonlocal under_way
        seen: list[bytes] = []
        over = False
        while not over:
            async with talk(server.url) as client:
                await client.ask("subscribe", message_id=message_id, after=len(seen))
                for _ in range(chance.randrange(1, 20)):
                    frame = await client.next()
                    under_way = max(under_way, frame.get("id") or 0)
                    if frame["type"] == "ended":
                        over = True
                        break
                seen += client.stored(message_id)
                if chance.random() < 0.5:
                    client.drop()
        return seen

    readers = [asyncio.create_task(read(random.Random(number))) for number in range(20)]
    for token in range(words):
        gate.release()
        await until(lambda shown=token + 1: under_way > shown // 2, f"token {token} is shown")  # type: ignore[misc]  # the default binds the loop's value
    logs = await asyncio.gather(*readers)
    truth = await stream_of(server, message_id)
    assert len(truth) > words // 2
    assert all(log == truth for log in logs)


async def test_unsubscribing_ends_the_events_and_not_the_message(server: LiveServer, model: StubServer) -> None:
    gate = Gate(ANSWER)
    model.replies.append(gate)
    async with talk(server.url) as client:
        message_id = await client.submit()
        await client.until("event", event="processing")
        assert (await client.ask("unsubscribe", message_id=message_id))["type"] == "unsubscribed"
        gate.release_all()
        assert (await server.ended(message_id))["result"] == ANSWER
        before = len(client.frames)
        await client.ask("ping")
        assert [frame["type"] for frame in client.frames[before:]] == ["pong"]
        again = await client.ask("unsubscribe", message_id=message_id)
        assert (again["problem"]["status"], again["problem"]["code"]) == (409, "conflict")
        await client.ask("subscribe", message_id=message_id)
        await client.until("ended")


async def test_subscribing_and_unsubscribing_need_not_wait_for_answers(quiet: LiveServer) -> None:
    async with talk(quiet.url) as client:
        message_id = await client.submit(subscribe=False)
        for number in range(10):
            for kind in ("subscribe", "unsubscribe"):
                await client.send(kind, request_id=f"{kind} {number}", message_id=message_id)
        await client.until("unsubscribed", request_id="unsubscribe 9")
        assert not any(frame["type"] == "error" for frame in client.frames)
        await quiet.client.delete(f"/messages/{message_id}")
        await client.ask("subscribe", message_id=message_id)
        await client.until("ended")


async def test_a_second_subscription_to_the_same_message_is_refused(quiet: LiveServer) -> None:
    async with talk(quiet.url) as client:
        message_id = await client.submit()
        refused = await client.ask("subscribe", message_id=message_id)
        assert (refused["problem"]["status"], refused["problem"]["code"]) == (409, "conflict")
        await quiet.client.delete(f"/messages/{message_id}")
        await client.until("ended", message_id=message_id)


async def test_a_client_that_leaves_stops_nothing_and_leaves_nothing(server: LiveServer, model: StubServer) -> None:
    gate = Gate(ANSWER)
    model.replies.append(gate)
    message_id = (await server.submit())["message_id"]
    await model.received()
    for leave in ("close", "drop"):
        async with talk(server.url) as client:
            await client.ask("subscribe", message_id=message_id)
            await client.submit()
            assert tasks_of_connections()
            if leave == "drop":
                client.drop()
        await until(lambda: not tasks_of_connections(), "the server's tasks for the client end")
        await until(lambda: not server.uvicorn.server_state.tasks, "the connection's own task ends")
        assert not server.runtime.streams._logs
    gate.release_all()
    assert (await server.ended(message_id))["result"] == ANSWER


def tasks_of_connections() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("websocket")]


async def test_a_message_that_is_deleted_under_its_reader_is_told(quiet: LiveServer, tmp_path: Path) -> None:
    async with talk(quiet.url) as client:
        message_id = await client.submit()
        await client.until("event", event="waiting")
        database = apsw.Connection(str(tmp_path / "queue.db"))
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("DELETE FROM messages")
        database.close()
        told = await client.until("error")
        assert (told["message_id"], told["request_id"]) == (message_id, None)
        assert told["problem"]["code"] == "message_not_found"


# Requests


async def test_submit_answers_as_http_does(quiet: LiveServer) -> None:
    fields = {"message": "Hello", "priority": "high", "thread_id": "a/b"}
    response = await quiet.client.post("/messages", json=fields)
    async with talk(quiet.url) as client:
        frame = await client.ask("submit", subscribe=False, **fields)
        assert frame["type"] == "accepted"
        assert frame.keys() == response.json().keys() | {"type", "request_id", "replayed", "subscribed", "traceparent"}
        assert (frame["state"], frame["thread_id"], frame["queue_position"]) == ("queued", "a/b", 1)
        assert (frame["replayed"], frame["subscribed"]) == (False, False)
        status = await quiet.status(frame["message_id"])
        assert (status["user_message"], status["priority"]) == ("Hello", "high")


async def test_requests_are_carried_out_in_the_order_in_which_they_came(quiet: LiveServer) -> None:
    async with talk(quiet.url) as client:
        for number in range(50):
            await client.send("submit", message=f"{number}", thread_id="t", subscribe=False)
        for _ in range(50):
            await client.until("accepted")
    messages = (await quiet.client.get("/threads/t/messages")).json()["messages"]
    assert [message["user_message"] for message in messages] == [str(number) for number in range(50)]


async def test_a_key_that_comes_again_gives_the_same_message(quiet: LiveServer) -> None:
    async with talk(quiet.url) as client:
        first = await client.ask("submit", message="once", idempotency_key="k1")
        again = await client.ask("submit", message="once", idempotency_key="k1")
        assert (first["replayed"], again["replayed"]) == (False, True)
        assert again["message_id"] == first["message_id"]
        other = await client.ask("submit", message="twice", idempotency_key="k1")
        assert (other["problem"]["status"], other["problem"]["code"]) == (422, "idempotency_key_reused")
        await quiet.client.delete(f"/messages/{first['message_id']}")
        await client.until("ended")
        no_key = await client.ask("submit", message="once", subscribe=False)
        assert no_key["message_id"] != first["message_id"]
        events = [frame["event"] for frame in client.frames if frame["type"] == "event" and frame["id"] is not None]
        assert events == ["cancelled"]
    assert (await quiet.client.get("/queue")).json()["total_queued"] == 1


async def test_a_question_is_answered_where_it_was_asked(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents="approving=tests.graphs:approving")
    async with talk(server.url) as client:
        message_id = await client.submit("Delete it", thread_id="t")
        asked = await client.until("event", event="interrupted")
        (question,) = asked["data"]["interrupts"]
        answer = await client.ask("resume", message_id=message_id, values={question["id"]: {"ok": True}})
        assert answer == {
            "type": "resumed",
            "request_id": answer["request_id"],
            "message_id": message_id,
            "state": "queued",
            "thread_id": "t",
            "replayed": False,
            "traceparent": None,
        }
        done = await client.until("event", event="done")
        await client.until("ended", message_id=message_id)
        assert done["data"]["result"] == "Heard: Delete it"
        late = await client.ask("resume", message_id=message_id, value=1)
        problem = late["problem"]
        assert (problem["status"], problem["code"], problem["state"]) == (409, "not_interrupted", "completed")
        assert client.stored(message_id) == await stream_of(server, message_id)
    assert any("{'ok': True}" in text for text in client.texts)


async def test_an_answer_with_a_key_is_taken_once_on_both_ways(quiet: LiveServer) -> None:
    message_id = await bring(quiet, MessageState.INTERRUPTED)
    async with talk(quiet.url) as client:
        first = await client.ask("resume", message_id=message_id, value="yes", idempotency_key="k")
        again = await client.ask("resume", message_id=message_id, value="yes", idempotency_key="k")
        assert (first["type"], first["replayed"], again["type"], again["replayed"]) == (
            "resumed", False, "resumed", True
        )  # fmt: skip
        other = await client.ask("resume", message_id=message_id, value="no", idempotency_key="k")
        assert other["problem"]["code"] == "idempotency_key_reused"
    response = await quiet.client.post(
        f"/messages/{message_id}/resume", json={"value": "yes"}, headers={"Idempotency-Key": "k"}
    )
    assert (response.status_code, response.headers["idempotent-replayed"]) == (202, "true")


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"value": 1, "values": {"question": 1}}, 422, "invalid_request"),
        ({}, 422, "invalid_request"),
        ({"values": {"another": 1}}, 422, "invalid_request"),
        ({"message_id": "x", "value": 1}, 404, "message_not_found"),
    ],
    ids=str,
)
async def test_an_answer_that_is_none_is_refused(
    quiet: LiveServer, fields: dict[str, Any], status: int, code: str
) -> None:
    message_id = await bring(quiet, MessageState.INTERRUPTED)
    async with talk(quiet.url) as client:
        frame = await client.ask("resume", **{"message_id": message_id, **fields})
        assert (frame["type"], frame["problem"]["status"], frame["problem"]["code"]) == ("error", status, code)
        if "another" in fields.get("values", ()):
            (question,) = (await quiet.status(message_id))["interrupts"]
            assert question["id"] in frame["problem"]["detail"], "the refusal names the open questions"
        assert (await client.ask("resume", message_id=message_id, value=None))["type"] == "resumed"


async def test_a_queued_message_is_cancelled_at_once(quiet: LiveServer) -> None:
    async with talk(quiet.url) as client:
        message_id = await client.submit()
        answer = await client.ask("cancel", message_id=message_id)
        assert (answer["type"], answer["state"]) == ("cancelled", "cancelled")
        if not any(frame["type"] == "ended" for frame in client.frames):
            await client.until("ended", message_id=message_id)
        assert [f["event"] for f in client.frames if f["type"] == "event" and f["id"] is not None] == ["cancelled"]
        again = await client.ask("cancel", message_id=message_id)
        response = await quiet.client.post(f"/messages/{message_id}/cancel")
        assert again["problem"] == response.json()
        assert again["problem"]["status"] == 409


async def test_a_running_message_is_stopped(server: LiveServer, model: StubServer) -> None:
    model.replies.append(Hang())
    async with talk(server.url) as client:
        message_id = await client.submit()
        await model.received()
        answer = await client.ask("cancel", message_id=message_id)
        assert (answer["type"], answer["state"]) == ("cancelling", "processing")
        await client.until("ended", message_id=message_id)
        assert [f["event"] for f in client.frames if f["type"] == "event"][-1] == "cancelled"
    assert (await server.status(message_id))["state"] == "cancelled"


async def test_unknown_ids_are_told_as_http_tells_them(quiet: LiveServer) -> None:
    async with talk(quiet.url) as client:
        for kind in ("subscribe", "cancel"):
            for message_id in ("unknown", "", "\x00", "x" * 1000):
                refused = await client.ask(kind, message_id=message_id)
                problem = refused["problem"]
                assert (problem["status"], problem["code"]) == (404, "message_not_found")
                assert refused["message_id"] is None
        assert (await client.ask("unsubscribe", message_id="unknown"))["problem"]["status"] == 409


WRONG = {
    "no JSON": ("hello", "body"),
    "half of an object": ('{"type": "ping"', "body"),
    "nothing": ("", "body"),
    "a list": ("[]", "body"),
    "null": ("null", "body"),
    "no type": ('{"message": "x"}', "type"),
    "an unknown type": ('{"type": "shout"}', "type"),
    "a type that is no text": ('{"type": ["ping"]}', "type"),
    "a server's frame": ('{"type": "pong", "request_id": "1"}', "type"),
    "an unknown field": ('{"type": "ping", "colour": "red"}', "colour"),
    "no message": ('{"type": "submit"}', "message"),
    "a blank message": ('{"type": "submit", "message": " "}', "message"),
    "an unknown priority": ('{"type": "submit", "message": "x", "priority": "now"}', "priority"),
    "NUL": ('{"type": "submit", "message": "\\u0000"}', "message"),
    "a number for an id": ('{"type": "cancel", "message_id": 7}', "message_id"),
    "text for a number": ('{"type": "subscribe", "message_id": "x", "after": "7"}', "after"),
    "a negative number": ('{"type": "subscribe", "message_id": "x", "after": -1}', "after"),
    "a huge number": ('{"type": "subscribe", "message_id": "x", "after": 9223372036854775808}', "after"),
    "a number that is not whole": ('{"type": "subscribe", "message_id": "x", "after": 1.5}', "after"),
    "a key that is no header": ('{"type": "submit", "message": "x", "idempotency_key": "a b"}', "idempotency_key"),
    "a long request id": (json.dumps({"type": "ping", "request_id": "x" * 129}), "request_id"),
    "a lone surrogate": ('{"type": "ping", "request_id": "\\ud800"}', "body"),
    "very deep": ("[" * 5000, "body"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_a_wrong_frame_is_told_and_nothing_is_lost(quiet: LiveServer, case: str) -> None:
    text, field = WRONG[case]
    async with talk(quiet.url) as client:
        message_id = await client.submit()
        await client.until("event", event="waiting")
        await client.connection.send(text)
        problem = (await client.until("error"))["problem"]
        assert (problem["status"], problem["code"]) == (422, "validation_error")
        assert field in [error["field"] for error in problem["errors"]]
        await quiet.client.delete(f"/messages/{message_id}")
        await client.until("ended", message_id=message_id)
    assert (await quiet.client.get("/queue")).json()["total_queued"] == 0


async def test_a_wrong_submit_is_told_as_http_tells_it(quiet: LiveServer) -> None:
    fields = {"message": "", "priority": "now", "agent": "", "thread_id": "\x00"}
    response = await quiet.client.post("/messages", json=fields)
    async with talk(quiet.url) as client:
        await client.connection.send(json.dumps({"type": "submit", "request_id": "7", **fields}))
        refused = await client.next()
    assert refused["request_id"] == "7"
    assert refused["problem"] == response.json()


ODD = [None, True, 0, -1, 2**63, 1.5, "", " ", "x", "x" * 300, "\x00", "é", "high", "enqueue", [], {}, [1], {"a": "b"}]


async def test_every_frame_gets_one_answer_whatever_is_in_it(quiet: LiveServer) -> None:
    chance = random.Random(4711)
    fields = [*Submit.model_fields, "message_id", "after", "colour"]
    async with talk(quiet.url) as client:
        known = await client.submit(subscribe=False)
        for number in range(1000):
            chosen = {name: chance.choice([*ODD, known]) for name in chance.sample(fields, chance.randrange(6))}
            frame = {"message": "Hi", **chosen, "type": chance.choice([*KINDS, "x"]), "request_id": str(number)}
            if chance.random() < 0.5 and frame["type"] in KINDS[1:]:
                frame = {"type": frame["type"], "request_id": str(number)}
                if frame["type"] != "ping":
                    frame["message_id"] = chance.choice([known, "x"])
            await client.connection.send(json.dumps(frame))
            await client.until_answered(str(number))
        answers = [frame for frame in client.frames if frame.get("request_id") is not None]
        assert [answer["request_id"] for answer in answers[1:]] == [str(number) for number in range(1000)]
        assert {answer["type"] for answer in answers} >= {"accepted", "subscribed", "unsubscribed", "cancelled", "pong"}
        problems = [answer["problem"] for answer in answers if answer["type"] == "error"]
        assert {problem["status"] for problem in problems} == {404, 409, 422}


async def test_a_full_queue_and_an_unknown_agent_are_errors_of_the_frame(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, max_queue_size=1)
    async with talk(server.url) as client:
        unknown = await client.ask("submit", message="x", agent="nobody")
        assert unknown["problem"]["status"] == 422
        await client.submit()
        full = await client.ask("submit", message="x")
        assert (full["problem"]["status"], full["problem"]["code"]) == (503, "queue_full")


async def test_only_so_many_requests_may_wait(
    quiet: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.websocket.MAX_REQUESTS", 2)
    async with talk(quiet.url) as client:
        await client.submit()
        database = apsw.Connection(str(tmp_path / "queue.db"))
        database.set_busy_timeout(5_000)  # the server's own duties write as well
        database.execute("BEGIN IMMEDIATE")  # the store waits
        await client.send("submit", request_id="in work", message="x", subscribe=False)
        await client.ask("ping")  # comes ahead, and shows that the frame before was taken
        for number in ("second", "third", "one too many"):
            await client.send("submit", request_id=number, message="x", subscribe=False)
        refused = await client.until("error")
        assert (refused["request_id"], refused["problem"]["status"]) == ("one too many", 429)
        assert refused["problem"]["code"] == "too_many_requests"
        database.execute("ROLLBACK")
        database.close()
        for number in ("in work", "second", "third"):
            await client.until("accepted", request_id=number)


async def test_only_so_many_subscriptions_and_nothing_is_stored_beyond(
    quiet: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.websocket.MAX_SUBSCRIPTIONS", 2)
    async with talk(quiet.url) as client:
        ids = [await client.submit() for _ in range(2)]
        other = await client.submit(subscribe=False)
        for refused in (await client.ask("submit", message="x"), await client.ask("subscribe", message_id=other)):
            assert (refused["problem"]["status"], refused["problem"]["code"]) == (429, "too_many_requests")
        assert (await quiet.client.get("/queue")).json()["total_queued"] == 3
        await client.ask("unsubscribe", message_id=ids[0])
        assert (await client.ask("subscribe", message_id=other))["type"] == "subscribed"
