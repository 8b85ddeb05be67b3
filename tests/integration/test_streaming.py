"""The event stream of a message: what is sent, when, to whom, and from where. Byte by byte, over a real socket."""

import asyncio
import random
from typing import Any

import httpx2
import pytest

from app.models.messages import MessageState
from tests import wire
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.states import bring
from tests.integration.test_api import TIME, check_problem
from tests.openai_stub import Answer, CutOff, Gate, StubServer, ToolCall
from tests.servers import LiveServer, until
from tests.talk import talk

ANSWER = "The capital of France is Paris."


async def finished(server: LiveServer, text: str = "Hello", **fields: object) -> str:
    """The id of a message that has ended."""
    message_id: str = (await server.submit(text, **fields))["message_id"]
    await server.ended(message_id)
    return message_id


# What is sent


async def test_a_stream_from_the_queue_to_the_end(server: LiveServer, model: StubServer) -> None:
    gates = [Gate(f"answer {number}") for number in range(3)]
    model.replies.extend([*gates, Answer(ANSWER)])
    for _ in gates:
        await server.submit()
    await model.received()
    watched = await server.submit("What is the capital of France?")
    assert watched["queue_position"] == 2

    async def listed() -> bool:
        return bool((await server.client.get("/workers")).json()["workers"])

    await until(listed, "the worker's first heartbeat is through")
    async with wire.stream(server.url, watched["message_id"]) as stream:
        for position, gate in zip((2, 1, 0), gates, strict=True):
            waiting = await stream.next()
            assert waiting is not None
            assert (waiting.event, waiting.id) == ("waiting", None)
            assert list(waiting.data.items())[:3] == [
                ("state", "queued"),
                ("position", position),
                ("message", "Waiting in queue"),
            ]
            assert waiting.data["waiting_reason"]["code"] == ("ahead_in_queue" if position else "slots_busy")
            gate.release_all()
        rest = await stream.rest()
        assert stream.ended_cleanly

    if rest[0].event == "waiting":  # the slot was seen free before the message was in it
        free = rest.pop(0)
        assert (free.data["position"], free.data["waiting_reason"]["code"]) == (0, "starting_soon")
    wire.check_log(rest)
    processing, *chunks, usage, done = rest
    assert (processing.event, processing.data) == ("processing", {"state": "processing", "attempt": 1})
    assert all(frame.event == "chunk" for frame in chunks)
    assert all(list(frame.data) == ["type", "chunk", "index", "message", "node"] for frame in chunks)
    assert wire.text_of(chunks) == ANSWER
    assert usage.event == "usage"
    assert done.event == "done"
    assert (done.data["state"], done.data["result"]) == ("completed", ANSWER)
    assert TIME.fullmatch(done.data["completed_at"])
    assert done.data["completed_at"] == (await server.status(watched["message_id"]))["completed_at"]


async def test_positions_are_told_to_all_who_wait(server: LiveServer, model: StubServer) -> None:
    gate = Gate("held")
    model.replies.append(gate)
    await server.submit()
    await model.received()
    first, second, third = [(await server.submit())["message_id"] for _ in range(3)]
    async with wire.stream(server.url, second) as two, wire.stream(server.url, third) as three:
        assert [(await s.until("waiting")).data["position"] for s in (two, three)] == [1, 2]
        await server.client.delete(f"/messages/{first}")
        assert [(await s.until("waiting")).data["position"] for s in (two, three)] == [0, 1]
        urgent = await server.submit(priority="high")
        assert [(await s.until("waiting")).data["position"] for s in (two, three)] == [1, 2]
        gate.release_all()
        assert [(await s.rest())[-1].event for s in (two, three)] == ["done", "done"]
    assert (await server.status(urgent["message_id"]))["state"] == "completed"


async def test_headers_and_the_reconnection_time(server: LiveServer) -> None:
    async with wire.stream(server.url, await finished(server)) as stream:
        assert stream.status == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-store"
        assert stream.headers["x-accel-buffering"] == "no"
        assert "content-length" not in stream.headers
        await stream.rest()
        assert [1_000 <= milliseconds <= 3_000 for milliseconds in stream.retries] == [True]


async def test_tokens_arrive_one_by_one(server: LiveServer, model: StubServer) -> None:
    gate = Gate(ANSWER)
    model.replies.append(gate)
    message_id = (await server.submit())["message_id"]
    async with wire.stream(server.url, message_id) as stream:
        await stream.until("processing")
        for index, token in enumerate(["The", " capital", " of", " France", " is", " Paris."]):
            gate.release()
            frame = await stream.next()  # the gate holds all later tokens back
            assert frame is not None
            assert list(frame.data.items())[:3] == [("type", "content"), ("chunk", token), ("index", index)]
            assert frame.data["node"] == "model"
        assert [frame.event for frame in await stream.rest()] == ["usage", "done"]
        assert len({frame.data["message"] for frame in stream.frames if frame.event == "chunk"}) == 1


async def test_another_parser_reads_the_same(server: LiveServer) -> None:
    message_id = await finished(server, 'Zoë 👩‍🚀 \u2028 "quoted"\r\nline two\r\n\r\n: not a comment\nid: 7\n')
    ours = await wire.frames_of(server.url, message_id)
    async with server.client.sse(f"/messages/{message_id}/stream") as source:
        events = [event async for event in source]
    assert [(int(e.id), e.event, e.json()) for e in events] == [(f.id, f.event, f.data) for f in ours]
    assert wire.text_of(ours) == (await server.status(message_id))["result"]
    raw = (await server.client.get(f"/messages/{message_id}/stream")).content
    assert raw.isascii()
    assert b"\r" not in raw


async def test_a_very_long_token_arrives_whole(server: LiveServer, model: StubServer) -> None:
    long = "👩‍🚀é" * 40_000
    model.replies.append(Answer(f"begin {long} end"))
    message_id = await finished(server)
    frames = await wire.frames_of(server.url, message_id)
    wire.check_log(frames)
    assert wire.text_of(frames) == frames[-1].data["result"] == f"begin {long} end"


async def test_a_failed_message_ends_with_an_error(server: LiveServer, model: StubServer) -> None:
    model.replies.append(CutOff("one two three four", after_tokens=2))
    message_id = await finished(server, max_attempts=1)
    frames = await wire.frames_of(server.url, message_id)
    wire.check_log(frames)
    assert wire.text_of(frames) == "one two"
    status = await server.status(message_id)
    assert frames[-1].event == "error"
    assert frames[-1].data == {
        "state": "failed",
        "error": status["error"],
        "code": "provider_unavailable",
        "completed_at": status["completed_at"],
    }


async def test_a_cancelled_message_wakes_its_stream(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    message_id = (await server.submit())["message_id"]
    async with wire.stream(server.url, message_id) as stream:
        await stream.until("waiting")
        await server.client.delete(f"/messages/{message_id}")
        (last,) = await stream.rest()
        assert stream.ended_cleanly
    assert (last.event, last.data["state"]) == ("cancelled", "cancelled")
    assert await wire.frames_of(server.url, message_id) == [last]


async def test_tool_calls_and_their_results(serve: Serve, model: StubServer, control: GraphControl) -> None:
    server = await serve(agents="tools=tests.graphs:tools")
    model.replies.extend([ToolCall("_add", {"a": 2, "b": 3}), Answer("It is 5.")])
    message_id = await finished(server, "What is 2+3?")
    frames = await wire.frames_of(server.url, message_id)
    wire.check_log(frames)
    assert [(f.data["type"], f.data["chunk"]) for f in frames if f.event == "chunk"][:2] == [
        ("tool_call", {"id": "call_0", "name": "_add", "args": {"a": 2, "b": 3}}),
        ("tool_result", {"id": "call_0", "name": "_add", "content": "5", "status": "success"}),
    ]
    assert wire.text_of(frames) == frames[-1].data["result"] == "It is 5."
    assert control.runs["add"] == 1


async def test_a_subgraph_streams_its_tokens_and_shows_its_tool_calls_once(
    serve: Serve, model: StubServer, control: GraphControl
) -> None:
    server = await serve(agents="nested=tests.graphs:nested")
    gate = Gate("It is 5.")
    model.replies.extend([ToolCall("_add", {"a": 2, "b": 3}), gate])
    message_id = (await server.submit("What is 2+3?"))["message_id"]
    async with wire.stream(server.url, message_id) as stream:
        await stream.until("processing")
        assert [(await stream.until("chunk")).data["type"] for _ in range(2)] == ["tool_call", "tool_result"]
        gate.release()
        assert (await stream.until("chunk")).data["chunk"] == "It"
        gate.release_all()
        rest = await stream.rest()
    assert "It" + wire.text_of(rest) == rest[-1].data["result"] == "It is 5."
    assert {f.data["type"] for f in rest if f.event == "chunk"} == {"content"}


async def test_what_a_graph_cannot_do_is_an_error(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents="failing=tests.graphs:failing", max_attempts=1)
    frames = await wire.frames_of(server.url, await finished(server, "my own words"))
    assert (frames[-1].event, frames[-1].data["code"]) == ("error", "agent_error")


# Many readers, and those that come back


async def test_two_readers_get_the_same_bytes_live_and_later(server: LiveServer, model: StubServer) -> None:
    gate = Gate(ANSWER)
    model.replies.append(gate)
    message_id = (await server.submit())["message_id"]
    async with wire.stream(server.url, message_id) as one, wire.stream(server.url, message_id) as two:
        for stream in (one, two):
            await stream.until("processing")
        for _ in range(6):
            gate.release()
            assert (await one.next()) == (await two.next())
        assert (await one.rest()) == (await two.rest())
    live = wire.stored(one.frames)
    assert live == wire.stored(two.frames)
    assert live == wire.stored(await wire.frames_of(server.url, message_id))
    bodies = [(await server.client.get(f"/messages/{message_id}/stream")).content for _ in range(2)]
    without_jitter = {body.partition(b"\n")[2] for body in bodies}
    assert without_jitter == {b"".join(raw + b"\n\n" for raw in live)}


async def test_resuming_goes_on_exactly_there(server: LiveServer) -> None:
    message_id = await finished(server, "some more words for a longer answer")
    everything = await wire.frames_of(server.url, message_id)
    for seen in range(len(everything)):
        expected = everything[seen:]
        assert await wire.frames_of(server.url, message_id, last_event_id=seen) == expected
        assert await wire.frames_of(server.url, message_id, after=seen) == expected
        assert await wire.frames_of(server.url, message_id, last_event_id=seen, after=len(everything)) == expected
        assert await wire.frames_of(server.url, message_id, last_event_id=seen, after="garbage") == expected
    assert await wire.frames_of(server.url, message_id, last_event_id="", after="") == everything


async def test_resuming_a_running_message(server: LiveServer, model: StubServer) -> None:
    gate = Gate("one two three")
    model.replies.append(gate)
    message_id = (await server.submit())["message_id"]
    async with wire.stream(server.url, message_id) as first:
        await first.until("processing")
        gate.release()
        seen = await first.next()
    assert seen is not None
    async with wire.stream(server.url, message_id, last_event_id=seen.id) as second:
        gate.release_all()
        rest = await second.rest()
    wire.check_log([*first.frames, *rest])
    assert wire.text_of([*first.frames, *rest]) == "one two three"


async def test_after_the_last_event_is_204(server: LiveServer) -> None:
    message_id = await finished(server)
    last = (await wire.frames_of(server.url, message_id))[-1].id
    assert last is not None
    for resume in ({"after": last}, {"last_event_id": last}, {"last_event_id": last, "after": 0}):
        async with wire.stream(server.url, message_id, **resume) as stream:
            assert stream.status == 204
            assert await stream.reader.read(0) == b""


@pytest.mark.parametrize("state", [MessageState.COMPLETED, MessageState.FAILED, MessageState.CANCELLED])
async def test_an_event_id_beyond_the_end_is_422(serve: Serve, database: dict[str, str], state: MessageState) -> None:
    """A power cut may have taken the last events, and a later run may have ended with fewer."""
    engine: dict[str, Any] = {name.lower(): value for name, value in database.items()}
    server = await serve(worker_concurrency=0, **engine)
    message_id = await bring(server, state)
    url = f"/messages/{message_id}/stream"
    last = (await server.client.get(f"/messages/{message_id}/events")).json()["last_event_id"]
    assert (await server.client.get(url, params={"after": last})).status_code == 204
    for beyond in (last + 1, 500):
        response = await server.client.get(url, headers={"Last-Event-ID": str(beyond)})
        problem = check_problem(response, 422, "invalid_request", "Last-Event-ID")
        assert problem["detail"].startswith(f"Last-Event-ID: the message has no event {beyond}; its last is {last}.")
        async with talk(server.url) as client:
            refused = await client.ask("subscribe", message_id=message_id, after=beyond)
            assert refused["problem"]["code"] == "invalid_request"
            await client.ask("subscribe", message_id=message_id, after=last)
            await client.until("ended", message_id=message_id)


GARBAGE = ["garbage", "-1", "1.0", "0x1", "1e3", "%20", "+1", "9" * 40, str(2**63), "٣", "1,2", "NaN", "²"]


@pytest.mark.parametrize("resume", GARBAGE)
async def test_an_impossible_event_id_is_422(server: LiveServer, resume: str) -> None:
    message_id = await finished(server)
    for path in ("stream", "events"):
        response = await server.client.get(f"/messages/{message_id}/{path}", params={"after": resume})
        check_problem(response, 422, "invalid_request", "after")
    header = {"Last-Event-ID": resume.encode("latin-1", "replace").decode("latin-1")}
    response = await wire.request(server.url, "GET", f"/messages/{message_id}/stream", headers=header)  # type: ignore[assignment]  # a header as the case has it
    check_problem(response, 422, "invalid_request", "Last-Event-ID")


async def test_an_event_id_that_is_still_to_come_is_422(server: LiveServer, model: StubServer) -> None:
    gate = Gate("held")
    model.replies.append(gate)
    message_id = (await server.submit())["message_id"]
    queued = (await server.submit())["message_id"]
    await model.received()
    response = await server.client.get(f"/messages/{message_id}/stream", headers={"Last-Event-ID": "1000"})
    problem = check_problem(response, 422, "invalid_request", "Last-Event-ID")
    assert "1000" in problem["detail"]
    check_problem(await server.client.get(f"/messages/{queued}/stream?after=1"), 422, "invalid_request", "after")
    gate.release_all()
    await server.ended(queued)


async def test_a_hundred_readers_that_reconnect_see_the_same_bytes(server: LiveServer, model: StubServer) -> None:
    words = 60
    gate = Gate(" ".join(f"word{number}" for number in range(words)))
    model.replies.append(gate)
    message_id = (await server.submit())["message_id"]
    under_way = 0

    async def read(chance: random.Random) -> list[bytes]:
        nonlocal under_way
        seen: list[wire.Frame] = []
        while not seen or seen[-1].event not in wire.TERMINAL:
            resume = {"last_event_id": seen[-1].id} if seen else {}
            async with wire.stream(server.url, message_id, **resume) as stream:
                for _ in range(chance.randrange(1, 20)):
                    frame = await stream.next()
                    if frame is None:
                        break
                    if frame.id is not None:
                        seen.append(frame)
                    under_way = max(under_way, len(seen))
                if chance.random() < 0.5:
                    stream.drop()
        wire.check_log(seen)
        return wire.stored(seen)

    readers = [asyncio.create_task(read(random.Random(number))) for number in range(100)]
    for token in range(words):
        gate.release()
        await until(lambda shown=token + 1: under_way > shown // 2, f"token {token} is shown")  # type: ignore[misc]  # the default binds the loop's value
    logs = await asyncio.gather(*readers)
    truth = wire.stored(await wire.frames_of(server.url, message_id))
    assert len(truth) > words // 2
    assert all(log == truth for log in logs)


# Readers that leave, sleep or do not read


async def test_a_reader_that_leaves_stops_nothing_and_leaves_nothing(server: LiveServer, model: StubServer) -> None:
    gate = Gate(ANSWER)
    model.replies.append(gate)
    message_id = (await server.submit())["message_id"]
    await model.received()
    queued = (await server.submit())["message_id"]
    gate.release()
    await until(lambda: _log_has(server, message_id, 2), "the first token is written")
    before = asyncio.all_tasks()
    for watched in (message_id, queued):
        for leave in ("close", "drop"):
            async with wire.stream(server.url, watched) as stream:
                await stream.next()
                assert asyncio.all_tasks() - before
                if leave == "drop":
                    stream.drop()
            await until(lambda: not (asyncio.all_tasks() - before), "the server's tasks for the reader end")
    assert not server.runtime.streams._logs
    gate.release_all()
    assert (await server.ended(message_id))["result"] == ANSWER
    await server.ended(queued)


async def _log_has(server: LiveServer, message_id: str, events: int) -> bool:
    page = await server.client.get(f"/messages/{message_id}/events")
    return bool(page.json()["last_event_id"] >= events)


async def test_404_comes_before_the_stream(server: LiveServer) -> None:
    response = await wire.request(server.url, "GET", "/messages/unknown/stream", headers={"Last-Event-ID": "7"})
    check_problem(response, 404, "message_not_found")


# The log as JSON, and after it was pruned


async def test_the_log_as_json(server: LiveServer, model: StubServer) -> None:
    gate = Gate("one two three")
    model.replies.append(gate)
    message_id = (await server.submit())["message_id"]
    url = f"/messages/{message_id}/events"
    await model.received()
    running = (await server.client.get(url)).json()
    assert (running["message_id"], running["state"]) == (message_id, "processing")
    assert [event["type"] for event in running["events"]] == ["processing"]
    gate.release_all()
    await server.ended(message_id)

    frames = await wire.frames_of(server.url, message_id)
    page = (await server.client.get(url)).json()
    assert page["state"] == "completed"
    assert [(e["id"], e["type"], e["data"]) for e in page["events"]] == [(f.id, f.event, f.data) for f in frames]
    assert page["last_event_id"] == frames[-1].id
    status, times = await server.status(message_id), [event["at"] for event in page["events"]]
    assert times == sorted(times), times
    assert status["created_at"] <= times[0]
    assert times[-1] <= status["completed_at"]
    part = (await server.client.get(url, params={"after": 1, "limit": 1})).json()
    assert [event["id"] for event in part["events"]] == [2]
    assert part["last_event_id"] == frames[-1].id
    assert (await server.client.get(url, params={"after": 999})).json()["events"] == []
    check_problem(await server.client.get(url, params={"limit": 0}), 422, "validation_error", "limit")


async def test_the_log_of_a_queued_message_is_empty(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    message_id = (await server.submit())["message_id"]
    page = (await server.client.get(f"/messages/{message_id}/events")).json()
    assert page == {"message_id": message_id, "state": "queued", "events": [], "last_event_id": 0}


async def test_a_pruned_log_begins_with_a_reset(serve: Serve) -> None:
    server = await serve(event_retention_hours=1e-9)
    message_id = await finished(server, "some more words")
    everything = await wire.frames_of(server.url, message_id)
    last = everything[-1].id
    assert last is not None

    async def pruned() -> bool:
        await server.runtime._maintenance.prune()
        return len((await server.client.get(f"/messages/{message_id}/events")).json()["events"]) == 1

    await until(pruned, "the log is pruned")
    for seen in (None, 0, 1, last - 2):
        reset, end = await wire.frames_of(server.url, message_id, last_event_id=seen)
        assert (reset.event, reset.id) == ("reset", None)
        assert reset.data == {"state": "completed", "text": "You said: some more words"}
        assert end == everything[-1]
    assert await wire.frames_of(server.url, message_id, last_event_id=last - 1) == [everything[-1]]
    async with wire.stream(server.url, message_id, last_event_id=last) as stream:
        assert stream.status == 204
    assert (await server.status(message_id))["result"] == "You said: some more words"


async def test_a_message_that_is_deleted_under_its_reader_ends_the_stream(serve: Serve) -> None:
    server = await serve(retention_days=1e-9)
    message_id = await finished(server)

    async def pruned() -> bool:
        await server.runtime._maintenance.prune()
        return (await server.client.get(f"/messages/{message_id}/status")).status_code == 404

    await until(pruned, "the message is deleted")
    for path in ("stream", "events"):
        response: httpx2.Response = await server.client.get(f"/messages/{message_id}/{path}")
        check_problem(response, 404, "message_not_found")
