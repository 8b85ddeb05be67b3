"""How messages are run: how many at a time, in which order, and what ends a run. On a server in this process."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import apsw
import pytest

from app.config import Settings
from app.models.attempts import Completed
from app.store.sqlite.store import SqliteStore
from tests import wire
from tests.clock import ManualClock
from tests.graph_control import GraphControl
from tests.integration.conftest import API_KEY, Serve
from tests.openai_stub import Answer, CutOff, Gate, Hang, Outcome, ReceivedRequest, Status, Step, StubServer
from tests.servers import LiveServer, live_server, until

STEPS = "steps=tests.graphs:steps"


def answer_with_gates(model: StubServer) -> dict[str, Gate]:
    """Has the model hold each answer; the gates by the text of the user, once the request has come."""
    gates: dict[str, Gate] = {}

    def gate_of(request: ReceivedRequest) -> Gate:
        text = request.texts_of_users[-1]
        gates[text] = Gate(f"re: {text}")
        return gates[text]

    model.default = gate_of
    return gates


# How many at a time


async def test_one_message_at_a_time_by_default(server: LiveServer, model: StubServer) -> None:
    gates = answer_with_gates(model)
    sent = [(await server.submit(str(number), thread_id=f"t{number}"))["message_id"] for number in range(3)]
    for number, message_id in enumerate(sent):
        await model.received(number + 1)
        queue = (await server.client.get("/queue")).json()
        assert (queue["total_processing"], queue["total_queued"]) == (1, 2 - number)
        assert set(gates) == {str(n) for n in range(number + 1)}
        gates[str(number)].release_all()
        assert (await server.ended(message_id))["state"] == "completed"


async def test_four_at_once_but_a_thread_in_its_order(serve: Serve, model: StubServer) -> None:
    server = await serve(worker_concurrency=4)
    gates = answer_with_gates(model)
    texts = ["a1", "a2", "a3", "b1", "b2", "c1", "d1", "e1"]
    sent = {text: (await server.submit(text, thread_id=text[0]))["message_id"] for text in texts}
    await model.received(4)
    assert set(gates) == {"a1", "b1", "c1", "d1"}
    queue = (await server.client.get("/queue")).json()
    assert queue["total_processing"] == 4
    assert len(queue["processing_messages"]) == 4
    assert queue["current_processing"]["id"] == sent["a1"]

    gates["b1"].release_all()  # its slot goes to the one that came next among those whose thread is free
    await model.received(5)
    assert set(gates) - {"a1", "b1", "c1", "d1"} == {"b2"}
    gates["a1"].release_all()
    await model.received(6)
    assert "a2" in gates
    gates["a2"].release_all()
    await model.received(7)
    assert "a3" in gates
    assert model.text_of_users(6) == ["a1", "a2", "a3"]
    for text in ("c1", "d1", "b2", "a3"):
        gates[text].release_all()
    await model.received(8)
    gates["e1"].release_all()
    for message_id in sent.values():
        assert (await server.ended(message_id))["state"] == "completed"
    assert len(model.requests) == len(texts)


async def test_a_process_without_a_worker_only_accepts(serve: Serve, model: StubServer) -> None:
    api = await serve(worker_concurrency=0)
    message_id = (await api.submit())["message_id"]
    async with wire.stream(api.url, message_id) as stream:
        await stream.until("waiting")
        assert not api.runtime.services.registry.available
        await serve(worker_concurrency=1)  # another server on the same file
        rest = await stream.rest()
    assert rest[-1].event == "done"
    assert len(model.requests) == 1


async def test_two_workers_share_the_queue(serve: Serve, model: StubServer) -> None:
    servers = [await serve(worker_concurrency=2) for _ in range(2)]
    gates = answer_with_gates(model)
    sent = [(await servers[n % 2].submit(str(n), thread_id=f"t{n % 6}"))["message_id"] for n in range(12)]
    await model.received(4)  # all slots of both
    released: set[str] = set()
    while len(released) < len(sent):
        await until(lambda: gates.keys() - released, "another message runs")
        for text in gates.keys() - released:
            gates[text].release_all()
            released.add(text)
    for number, message_id in enumerate(sent):
        status = await servers[0].ended(message_id)
        assert (status["result"], status["attempt"]) == (f"re: {number}", 1)
        wire.check_log(await wire.frames_of(servers[number % 2].url, message_id))
    assert sorted(request.texts_of_users[-1] for request in model.requests) == sorted(map(str, range(12)))
    assert all(
        len(request.texts_of_users) == (1 if int(request.texts_of_users[-1]) < 6 else 2) for request in model.requests
    )


# What ends a run


async def test_the_time_limit_fails_the_message_and_hangs_up_on_the_model(
    server: LiveServer, model: StubServer
) -> None:
    model.replies.append(Hang())
    message_id = (await server.submit(timeout=0.5, max_attempts=1))["message_id"]
    status = await server.ended(message_id)
    assert (status["state"], status["error_code"]) == ("failed", "timeout")
    assert "0.5 seconds" in status["error"]
    await model.closed(0)
    frames = await wire.frames_of(server.url, message_id)
    assert (frames[-1].event, frames[-1].data["code"]) == ("error", "timeout")
    assert (await server.ended((await server.submit("next"))["message_id"]))["state"] == "completed"


async def test_the_time_limit_keeps_what_was_shown(server: LiveServer, model: StubServer) -> None:
    gate = Gate("one two")
    gate.release()
    await server.ended((await server.submit("the first call of a model takes longer"))["message_id"])
    model.replies.append(gate)
    message_id = (await server.submit(timeout=1, max_attempts=1))["message_id"]
    assert (await server.ended(message_id))["error_code"] == "timeout"
    frames = await wire.frames_of(server.url, message_id)
    wire.check_log(frames)
    assert wire.text_of(frames) == "one"


async def test_the_time_limit_of_a_blocking_node(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=f"blocking=tests.graphs:blocking,{STEPS}")
    control.hold("blocks")
    message_id = (await server.submit(timeout=0.5, max_attempts=1))["message_id"]
    assert (await server.ended(message_id))["error_code"] == "timeout"
    log = await wire.frames_of(server.url, message_id)
    other = await server.ended((await server.submit("next", agent="steps"))["message_id"])
    assert other["state"] == "completed"
    control.release("blocks")
    assert await wire.frames_of(server.url, message_id) == log


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (Status(400), "provider_refused"),
        (Status(401), "provider_refused"),
        (Status(429), "rate_limited"),
        (Status(500), "provider_unavailable"),
        (CutOff("one two", 1), "provider_unavailable"),
    ],
    ids=repr,
)
async def test_a_failing_message_does_not_stop_the_worker(
    server: LiveServer, model: StubServer, step: Step, code: str
) -> None:
    model.replies.append(step)
    failed = await server.ended((await server.submit("fails", max_attempts=1))["message_id"])
    assert (failed["state"], failed["error_code"], failed["result"]) == ("failed", code, None)
    assert failed["attempt"] == 1
    assert (await server.ended((await server.submit("works"))["message_id"]))["result"] == "You said: works"


async def test_errors_do_not_repeat_the_key(
    server: LiveServer, model: StubServer, caplog: pytest.LogCaptureFixture
) -> None:
    model.replies.append(Status(401))
    message_id = (await server.submit())["message_id"]
    status = await server.ended(message_id)
    assert model.requests[0].headers["authorization"] == f"Bearer {API_KEY}"
    assert "Incorrect API key provided: ***" in status["error"]
    events = (await server.client.get(f"/messages/{message_id}/events")).text
    assert API_KEY not in status["error"] + events + (await server.client.get("/queue")).text
    assert API_KEY not in "".join(record.getMessage() for record in caplog.records)


async def test_odd_text_of_a_model_is_stored_and_sent(server: LiveServer, model: StubServer) -> None:
    model.replies.append(Answer("a\x00b \ud800 c \U0010ffff"))
    status = await server.ended((await server.submit())["message_id"])
    assert status["state"] == "completed"
    assert status["result"].startswith("a\ufffdb ")
    assert status["result"].endswith(" c \U0010ffff")


async def test_an_empty_answer_is_an_answer(server: LiveServer, model: StubServer) -> None:
    model.replies.append(Answer(""))
    message_id = (await server.submit())["message_id"]
    status = await server.ended(message_id)
    assert (status["state"], status["result"]) == ("completed", "")
    assert [frame.event for frame in await wire.frames_of(server.url, message_id)] == ["processing", "usage", "done"]


# Leases


def lease_of(folder: Path) -> int:
    """Return when the only lease ends, in milliseconds since the epoch."""
    connection = apsw.Connection(str(folder / "queue.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return int(connection.execute("SELECT coalesce(max(lease_until), 0) FROM messages").get)
    finally:
        connection.close()


async def test_a_blocking_sync_node_does_not_lose_the_lease(
    serve: Serve, control: GraphControl, tmp_path: Path
) -> None:
    server = await serve(agents="blocking=tests.graphs:blocking", lease_seconds=1)
    control.hold("blocks")
    message_id = (await server.submit())["message_id"]
    await until(lambda: control.waits("blocks"), "the node blocks")
    first = lease_of(tmp_path)
    await until(lambda: lease_of(tmp_path) > first + 1100, "the lease was extended by more than a lease")
    control.release("blocks")
    status = await server.ended(message_id)
    assert (status["state"], status["attempt"]) == ("completed", 1)
    assert control.runs["blocks"] == 1


@pytest.fixture
def release_after_a_lease(control: GraphControl, tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Lets the node `stalls` go on from another thread, once its lease was extended by more than a lease."""
    threads: list[Thread] = []

    async def watch() -> None:
        await until(lambda: control.waits("stalls"), "the node stalls")
        first = lease_of(tmp_path)
        try:
            await until(lambda: lease_of(tmp_path) > first + 1100, "the lease is extended", 10)
        finally:
            control.release("stalls")

    def start() -> None:
        threads.append(Thread(target=asyncio.run, args=(watch(),)))
        threads[0].start()

    yield start
    for thread in threads:
        thread.join()


async def test_a_stalled_event_loop_does_not_lose_the_lease(
    serve: Serve, control: GraphControl, release_after_a_lease: Callable[[], None]
) -> None:
    server = await serve(agents="stalling=tests.graphs:stalling", lease_seconds=1)
    control.hold("stalls")
    release_after_a_lease()
    status = await server.ended((await server.submit())["message_id"])
    assert (status["state"], status["attempt"], control.runs["stalls"]) == ("completed", 1, 1)


async def test_a_run_whose_lease_was_taken_stops_and_writes_nothing(
    serve: Serve, model: StubServer, tmp_path: Path
) -> None:
    clock = ManualClock()
    store = SqliteStore(tmp_path / "queue.db", clock=clock)
    server = await serve(store=store, lease_seconds=0.6)
    gate = Gate("one two three")
    model.replies.append(gate)
    message_id = (await server.submit(thread_id="t"))["message_id"]
    async with wire.stream(server.url, message_id) as stream:
        gate.release()
        await stream.until("chunk")
        clock.advance(1)
        await store.rescue()
        retry = await stream.until("retry")
        assert (retry.data["attempt"], retry.data["discard_from"]) == (1, 1)
        (claim,) = await store.claim("another worker", ["chat"], 1, lease_seconds=60)
        assert claim.message.id == message_id
        gate.release()  # the run that lost its lease has something to say
        await model.closed(0)
        await until(lambda: not server.runtime.worker.leases(), "the run has ended")
        await store.finish(claim.lease, Completed("by another worker"))
        rest = await stream.rest()
    processing, done = (frame for frame in rest if frame.id is not None)
    assert (processing.event, processing.data["attempt"], done.event) == ("processing", 2, "done")
    wire.check_log(stream.frames)
    assert (await server.status(message_id))["result"] == "by another worker"
    following = await server.submit("next", thread_id="t")
    await server.ended(following["message_id"])
    assert model.text_of_users(1)[-1] == "next"


async def test_a_finished_run_whose_lease_was_taken_does_not_overwrite(
    serve: Serve, control: GraphControl, tmp_path: Path
) -> None:
    clock = ManualClock()
    store = SqliteStore(tmp_path / "queue.db", clock=clock)
    server = await serve(store=store, agents=STEPS, lease_seconds=60)
    control.hold("second")
    message_id = (await server.submit())["message_id"]
    await until(lambda: control.waits("second"), "the second step runs")
    clock.advance(61)
    await store.rescue()
    (claim,) = await store.claim("another worker", ["steps"], 1, lease_seconds=3600)
    control.release("second")  # long before the next heartbeat could tell
    await until(lambda: not server.runtime.worker.leases(), "the run has ended")
    assert (await server.status(message_id))["state"] == "processing"
    await store.finish(claim.lease, Completed("by another worker"))
    frames = await wire.frames_of(server.url, message_id)
    assert frames[-1].data["result"] == "by another worker"
    wire.check_log(frames)


# Stopping


async def stop(server: LiveServer, grace_seconds: float) -> None:
    server.runtime.begin_stop()
    await server.runtime.worker.stop(grace_seconds)


async def test_a_drain_stops_after_the_step_and_goes_on_from_there(
    settings: Callable[..., Settings], control: GraphControl
) -> None:
    control.hold("first")
    async with live_server(settings(agents=STEPS)) as server:
        message_id = (await server.submit("Hello", thread_id="t"))["message_id"]
        waiting = (await server.submit("Bye", thread_id="t"))["message_id"]
        await until(lambda: control.waits("first"), "the first step runs")
        server.runtime.begin_stop()
        control.release("first")
        await server.runtime.worker.stop(30)
        status = await server.status(message_id)
        assert (status["state"], status["attempt"], status["error"]) == ("queued", 0, None)
        assert (await server.status(waiting))["state"] == "queued"
        assert control.runs == {"first": 1}

    async with live_server(settings(agents=STEPS)) as server:
        status = await server.ended(message_id)
        assert (status["result"], status["attempt"]) == ("Heard: Hello", 1)
        assert control.runs["first"] <= 2  # the message behind may have begun
        assert (await server.ended(waiting))["result"] == "Heard: Hello | Bye"
        assert control.runs == {"first": 2, "second": 2}
        frames = await wire.frames_of(server.url, message_id)
    wire.check_log(frames)
    events = [frame.event for frame in frames]
    again = events.index("retry")
    assert frames[again].data["attempt"] == 1
    assert "".join(f.data["chunk"] for f in frames[again:] if f.event == "chunk") == "Step one. Heard: Hello"


async def test_a_step_longer_than_the_grace_is_begun_again(
    settings: Callable[..., Settings], control: GraphControl
) -> None:
    control.hold("second")
    async with live_server(settings(agents=STEPS)) as server:
        message_id = (await server.submit("Hello", thread_id="t"))["message_id"]
        await until(lambda: control.waits("second"), "the second step runs")
        await stop(server, grace_seconds=0)
        status = await server.status(message_id)
        assert (status["state"], status["attempt"]) == ("queued", 0)
    control.release("second")
    async with live_server(settings(agents=STEPS)) as server:
        assert (await server.ended(message_id))["result"] == "Heard: Hello"
    assert control.runs == {"first": 1, "second": 2}


async def test_a_stop_hangs_up_on_the_model_and_claims_no_more(server: LiveServer, model: StubServer) -> None:
    model.replies.append(Hang())
    message_id = (await server.submit())["message_id"]
    await model.received()
    await stop(server, grace_seconds=0)
    await model.closed(0)
    later = await server.submit()
    assert [m["id"] for m in (await server.client.get("/queue")).json()["queued_messages"]] == [
        message_id, later["message_id"],
    ]  # fmt: skip
    assert len(model.requests) == 1


async def test_a_stop_lets_a_short_answer_end(server: LiveServer, model: StubServer) -> None:
    gate = Gate("one two")
    model.replies.append(gate)
    message_id = (await server.submit())["message_id"]
    await model.received()
    server.runtime.begin_stop()
    gate.release_all()
    await server.runtime.worker.stop(30)
    assert (await server.status(message_id))["result"] == "one two"
    assert model.requests[0].outcome is Outcome.ANSWERED


async def test_a_stop_ends_the_streams_where_they_are(server: LiveServer, model: StubServer) -> None:
    gate = Gate("one two three")
    model.replies.append(gate)
    message_id = (await server.submit())["message_id"]
    queued = (await server.submit())["message_id"]
    async with wire.stream(server.url, message_id) as stream, wire.stream(server.url, queued) as waiting:
        gate.release()
        await stream.until("chunk")
        await waiting.until("waiting")
        server.runtime.begin_stop()
        rest = [*await stream.rest(), *await waiting.rest()]
        assert stream.ended_cleanly
        assert waiting.ended_cleanly
    assert not {frame.event for frame in rest} & wire.TERMINAL
    gate.release_all()
