"""Many messages over one connection: the same events as the streams have, whatever goes wrong on the way."""

import asyncio
import json
import random
import socket
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from app.api.frames import KINDS, Submit
from app.config import Settings
from app.main import create_app, server_config
from tests import wire
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.openai_stub import Gate, Hang, StubServer
from tests.servers import LiveServer, server_process, until
from tests.talk import Talk, talk

ANSWER = "The capital of France is Paris."
TERMINAL = frozenset({"done", "error", "cancelled"})


@pytest.fixture
async def quiet(serve: Serve) -> LiveServer:
    """A server that takes messages and runs none."""
    return await serve(worker_concurrency=0)


async def finished(server: LiveServer, text: str = "Hello") -> str:
    """The id of a message that has ended."""
    message_id: str = (await server.submit(text))["message_id"]
    await server.ended(message_id)
    return message_id


async def stream_of(server: LiveServer, message_id: str) -> list[bytes]:
    """What server-sent events show of a message that has ended."""
    return wire.stored(await wire.frames_of(server.url, message_id))


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
        over = {(await client.until("ended"))["message_id"] for _ in ids}
        assert over == set(ids)
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
        assert not server.runtime.streams._topics
    gate.release_all()
    assert (await server.ended(message_id))["result"] == ANSWER


def tasks_of_connections() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("websocket")]


async def test_a_message_that_is_deleted_under_its_reader_is_told(quiet: LiveServer, tmp_path: Path) -> None:
    async with talk(quiet.url) as client:
        message_id = await client.submit()
        await client.until("event", event="waiting")
        with sqlite3.connect(tmp_path / "queue.db") as database:
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
        assert frame.keys() == response.json().keys() | {"type", "request_id", "replayed", "subscribed"}
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
        database = sqlite3.connect(tmp_path / "queue.db", isolation_level=None)
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


# Who may connect


async def refusal(server: LiveServer, **headers: str) -> tuple[int, Any]:
    """Status and body of a handshake that is refused."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with pytest.raises(InvalidStatus) as refused:
        async with talk(server.url, additional_headers=named):
            pass
    response = refused.value.response
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.body is not None
    return response.status_code, json.loads(response.body)


async def test_what_a_proxy_passes_on_is_refused(quiet: LiveServer) -> None:
    status, problem = await refusal(quiet, X_Forwarded_For="203.0.113.9")
    assert (status, problem["code"]) == (401, "authentication_required")
    response = await quiet.client.get("/queue", headers={"X-Forwarded-For": "203.0.113.9"})
    assert problem == response.json()


FOREIGN = [
    "https://evil.example",
    "http://localhost.evil.example",
    "http://127.0.0.1.evil.example:8000",
    "http://evil.example/localhost",
    "http://localhost@evil.example",
    "null",
    "file://",
    "",
    "localhost",
    "http://[::1",
    "chrome-extension://abcdefgh",
]


@pytest.mark.parametrize("origin", FOREIGN)
async def test_pages_of_other_sites_are_refused(quiet: LiveServer, origin: str) -> None:
    status, problem = await refusal(quiet, Origin=origin)
    assert (status, problem["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:5173", "http://LOCALHOST."]
)
async def test_pages_of_this_host_may_connect(quiet: LiveServer, origin: str) -> None:
    async with talk(quiet.url, origin=origin) as client:
        assert (await client.ask("ping"))["type"] == "pong"


async def test_for_all_is_not_for_pages_of_other_sites(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, allow_anonymous=True)
    host = server.url.replace("http://127.0.0.1", "queue.example")
    for origin, allowed in (("https://queue.example", True), ("http://localhost", False), ("https://a.example", False)):
        status = await handshake(server, f"Host: {host}", f"Origin: {origin}")
        assert status == (101 if allowed else 403)


async def handshake(server: LiveServer, *lines: str) -> int:
    """The status of a handshake with these headers and no `Host` but theirs."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.write(head(*lines))
    status = int((await reader.readline()).split()[1])
    writer.transport.abort()
    return status


def head(*lines: str) -> bytes:
    fixed = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    return "\r\n".join(("GET /ws HTTP/1.1", *lines, *fixed, key, "", "")).encode()


async def test_other_paths_and_plain_requests_are_refused(quiet: LiveServer) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with talk(f"{quiet.url}/threads/x"):
            pass
    assert refused.value.response.status_code == 403
    assert (await quiet.client.get("/ws")).status_code == 404


# The end of a connection


async def test_binary_frames_close_it(quiet: LiveServer) -> None:
    async with talk(quiet.url) as client:
        await client.send("submit", request_id="before", message="x", subscribe=False)
        await client.connection.send(b'{"type": "ping"}')
        assert await client.closed() == 1003
        assert [frame["type"] for frame in client.frames] == ["accepted"]


async def test_a_frame_may_be_as_large_as_a_body(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, max_body_bytes=2000)
    fits = json.dumps({"type": "submit", "subscribe": False, "message": "é" * 700}, ensure_ascii=False)
    fits += " " * (2000 - len(fits.encode()))
    async with talk(server.url) as client:
        await client.connection.send(fits)
        assert (await client.next())["type"] == "accepted"
        await client.connection.send(fits + " ")
        assert await client.closed() == 1009
    async with talk(server.url) as client:
        await client.connection.send([fits[:1000], fits[1000:], " "])
        assert await client.closed() == 1009


async def test_what_is_no_text_closes_it(quiet: LiveServer) -> None:
    async with talk(quiet.url) as client:
        await client.connection.send(b"\xff\xfe", text=True)
        assert await client.closed() == 1007


@pytest.fixture
async def flooded(serve: Serve, control: GraphControl) -> tuple[LiveServer, str]:
    """A server with a message whose answer has 4 MB."""
    server = await serve(agents="flood=tests.graphs:flood")
    return server, await finished(server)


def small_window() -> socket.socket:
    """A socket whose kernel takes little on a sleeping reader's behalf."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.settimeout(0)
    return reader


@pytest.fixture
async def sleeper(flooded: tuple[LiveServer, str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Talk]:
    """A client that has asked for more than it reads."""
    monkeypatch.setattr("app.api.streaming.SEND_TIMEOUT_SECONDS", 0.5)
    server, message_id = flooded
    with small_window() as reader:
        await asyncio.get_running_loop().sock_connect(reader, ("127.0.0.1", int(server.url.rpartition(":")[2])))
        async with talk(server.url, sock=reader, max_queue=1, ping_interval=None, close_timeout=0.1) as client:
            await client.send("subscribe", message_id=message_id)
            await until(lambda: buffered(server) > 0, "the sleeping reader has the server wait")
            yield client


def buffered(server: LiveServer) -> int:
    """What the server holds for the connection with the most unsent bytes."""
    return max(c.transport.get_write_buffer_size() for c in server.uvicorn.server_state.connections)


async def test_a_client_that_sleeps_costs_little_and_is_sent_away(
    flooded: tuple[LiveServer, str], sleeper: Talk
) -> None:
    server, message_id = flooded
    assert buffered(server) < 2**20
    await until(lambda: not server.runtime.streams._topics, "the subscription has ended")
    assert await sleeper.closed() == 1013  # it reads on after all
    seen = sleeper.stored(message_id)
    async with talk(server.url) as client:
        await client.ask("subscribe", message_id=message_id, after=len(seen))
        await client.until("ended")
        assert seen + client.stored(message_id) == await stream_of(server, message_id)


async def test_a_client_that_never_reads_again_is_dropped(
    flooded: tuple[LiveServer, str], sleeper: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.protocol.FAREWELL_SECONDS", 0.2)
    server, _ = flooded
    connections = server.uvicorn.server_state.connections
    await until(
        lambda: all(c.transport.get_write_buffer_size() == 0 for c in connections),
        "the connection is closed and its buffer free, though the client never reads",
    )


async def test_a_client_that_sleeps_disturbs_nobody(flooded: tuple[LiveServer, str], sleeper: Talk) -> None:
    server, message_id = flooded
    async with talk(server.url) as client:
        await client.ask("subscribe", message_id=message_id)
        await client.until("ended")
        assert client.stored(message_id) == await stream_of(server, message_id)


@pytest.mark.parametrize("sent", [b"", b"\x81\xfe\x00"], ids=["silence", "half a frame"])
async def test_a_client_that_answers_no_ping_is_closed(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr("app.main.PING_SECONDS", 0.1)
    server = await serve(worker_concurrency=0)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.write(head("Host: localhost"))
    await reader.readuntil(b"\r\n\r\n")
    writer.write(sent)
    async with asyncio.timeout(wire.DEADLINE_SECONDS):
        received = await reader.read()
    assert received.startswith(b"\x89\x04")  # a ping
    assert b"\x03\xf3keepalive" in received  # 1011
    await until(lambda: len(server.uvicorn.server_state.tasks) == 0, "the server's task for the client ends")
    writer.close()


def test_the_server_pings_and_does_not_compress(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, database_url=f"sqlite:///{tmp_path / 'queue.db'}")
    config = server_config(create_app(settings))
    assert (config.ws_ping_interval, config.ws_ping_timeout) == (20, 20)
    assert not config.ws_per_message_deflate
    assert config.ws_max_size == settings.max_body_bytes


async def test_a_server_that_stops_sends_its_readers_elsewhere(server: LiveServer, model: StubServer) -> None:
    gate = Gate("one two three")
    model.replies.append(gate)
    async with talk(server.url) as client:
        await client.submit()
        await client.until("event", event="processing")
        server.runtime.begin_stop()
        assert await client.closed() == 1012
        assert not any(frame["type"] == "ended" for frame in client.frames)
    gate.release_all()


async def test_what_was_taken_is_answered_before_the_server_stops(quiet: LiveServer, tmp_path: Path) -> None:
    async with talk(quiet.url) as client:
        database = sqlite3.connect(tmp_path / "queue.db", isolation_level=None)
        database.execute("BEGIN IMMEDIATE")  # the store waits
        for number in ("1", "2"):
            await client.send("submit", request_id=number, message="x")
        await client.ask("ping")
        quiet.runtime.begin_stop()
        for connection in quiet.uvicorn.server_state.connections:
            connection.shutdown()
        database.execute("ROLLBACK")
        database.close()
        assert await client.closed() == 1012
        answers = [frame["request_id"] for frame in client.frames if frame["type"] == "accepted"]
        assert answers == ["1", "2"]


API_ONLY = {"WORKER_CONCURRENCY": "0", "LANGGRAPH_CONFIG": "", "MAX_BODY_BYTES": "2000"}


@pytest.mark.parametrize("module", ["app.main", "uvicorn"])
async def test_a_process_that_is_terminated_closes_its_connections(tmp_path: Path, module: str) -> None:
    arguments = ("app.main:app", "--port", "{port}") if module == "uvicorn" else ()
    with server_process(tmp_path, module, arguments=arguments, **API_ONLY) as process:
        await process.ready()
        async with talk(process.url) as idle, talk(process.url) as reading, talk(process.url) as loud:
            await idle.ask("ping")
            await reading.submit()
            await loud.connection.send(json.dumps({"type": "ping"}) + " " * 2000)
            assert await loud.closed() == 1009
            stopping = asyncio.create_task(asyncio.to_thread(process.terminate))
            assert await idle.closed() == 1012
            assert await reading.closed() == 1012
        await stopping
        assert "Traceback" not in process.output
