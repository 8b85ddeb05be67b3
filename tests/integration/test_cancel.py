"""Messages that are cancelled while they run: the run is stopped for real, and never completes afterwards."""

import asyncio
import time
from typing import Any

import pytest

from tests import wire
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.openai_stub import Gate, Hang, StubServer
from tests.servers import LiveServer, until

STEPS = "steps=tests.graphs:steps"
BLOCKING = "blocking=tests.graphs:blocking"
HINTED_SECONDS = 1.0


def as_settings(database: dict[str, str]) -> dict[str, Any]:
    return {name.lower(): value for name, value in database.items()}


@pytest.fixture
async def on_each_backend(serve: Serve, database: dict[str, str]) -> LiveServer:
    """A server on each backend, whose heart alone would take ten seconds to tell of a cancel."""
    return await serve(lease_seconds=30, worker_concurrency=8, **as_settings(database))


async def cancel(server: LiveServer, message_id: str) -> tuple[int, dict[str, Any]]:
    """POST the cancel; status and body of the reply."""
    response = await server.client.post(f"/messages/{message_id}/cancel")
    return response.status_code, response.json()


async def test_a_cancel_hangs_up_on_the_model_and_ends_the_message_within_a_second(
    on_each_backend: LiveServer, model: StubServer
) -> None:
    server = on_each_backend
    model.default = lambda _: Hang()
    sent = [(await server.submit(str(number)))["message_id"] for number in range(8)]
    await model.received(8)
    for message_id in sent:
        code, reply = await cancel(server, message_id)
        assert (code, reply["state"]) == (202, "processing")
        began = time.monotonic()
        status = await server.ended(message_id)
        assert time.monotonic() - began < HINTED_SECONDS
        assert (status["state"], status["result"], status["error"]) == ("cancelled", None, None)
    for number in range(8):
        await model.closed(number, deadline=HINTED_SECONDS)
    frames = await wire.frames_of(server.url, sent[0])
    assert [frame.event for frame in frames] == ["processing", "cancelled"]
    assert not server.runtime.worker.leases()


async def test_many_cancels_at_once_are_told_to_all_runs(on_each_backend: LiveServer, model: StubServer) -> None:
    server = on_each_backend
    model.default = lambda _: Hang()
    sent = [(await server.submit(str(number)))["message_id"] for number in range(8)]
    await model.received(8)
    replies = await asyncio.gather(*(cancel(server, message_id) for message_id in sent * 2))
    began = time.monotonic()
    assert {code for code, _ in replies} <= {200, 202, 409}
    for message_id in sent:
        assert (await server.ended(message_id))["state"] == "cancelled"
    assert time.monotonic() - began < HINTED_SECONDS


async def test_a_cancel_reaches_the_worker_of_another_process(
    serve: Serve, model: StubServer, database: dict[str, str]
) -> None:
    """By a hint, or where hints do not leave their process, by the next beat."""
    lease_seconds = 1.5 if database["DATABASE_URL"].startswith("sqlite") else 30
    api, worker = [
        await serve(worker_concurrency=slots, lease_seconds=lease_seconds, **as_settings(database)) for slots in (0, 1)
    ]
    model.replies.append(Hang())
    message_id = (await api.submit())["message_id"]
    await model.received()
    assert (await cancel(api, message_id))[0] == 202
    began = time.monotonic()
    assert (await api.ended(message_id))["state"] == "cancelled"
    assert time.monotonic() - began < HINTED_SECONDS
    await model.closed(0)
    assert not worker.runtime.worker.leases()


async def test_what_was_shown_stays_and_nothing_comes_behind(server: LiveServer, model: StubServer) -> None:
    gate = Gate("one two three")
    model.replies.append(gate)
    message_id = (await server.submit(thread_id="t"))["message_id"]
    behind = (await server.submit("behind", thread_id="t"))["message_id"]
    async with wire.stream(server.url, message_id) as stream:
        gate.release()
        await stream.until("chunk")
        await cancel(server, message_id)
        (end,) = await stream.rest()
    assert end.event == "cancelled"
    wire.check_log(stream.frames)
    gate.release_all()
    assert (await server.ended(behind))["state"] == "completed"
    assert wire.stored(await wire.frames_of(server.url, message_id)) == wire.stored(stream.frames)


async def test_a_node_on_a_thread_goes_on_and_writes_nothing(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=f"{BLOCKING},{STEPS}")
    control.hold("blocks")
    message_id = (await server.submit(thread_id="t"))["message_id"]
    await until(lambda: control.waits("blocks"), "the node blocks")
    assert (await cancel(server, message_id))[0] == 202
    assert (await server.ended(message_id))["state"] == "cancelled"
    log = await wire.frames_of(server.url, message_id)
    control.release("blocks")
    following = await server.ended((await server.submit("next", thread_id="t"))["message_id"])
    assert (following["state"], control.runs["blocks"]) == ("completed", 2)
    assert await wire.frames_of(server.url, message_id) == log


async def test_a_cancel_between_claim_and_run_is_not_missed(serve: Serve, model: StubServer) -> None:
    """Cancels race with claims, runs and ends; whoever was told yes sees it cancelled."""
    server = await serve(worker_concurrency=8, lease_seconds=30)
    outcomes = set()
    for number in range(40):
        message_id = (await server.submit(str(number)))["message_id"]
        for _ in range(number):
            await asyncio.sleep(0)
        code, _ = await cancel(server, message_id)
        began = time.monotonic()
        status = await server.ended(message_id)
        assert status["state"] == ("completed" if code == 409 else "cancelled"), f"cancel answered {code}"
        assert time.monotonic() - began < HINTED_SECONDS
        outcomes.add(code)
    assert outcomes & {200, 202}


@pytest.mark.parametrize(("if_busy", "heard"), [("interrupt", "First | Second"), ("rollback", "Second")])
async def test_a_message_that_takes_the_place_of_another(
    serve: Serve, control: GraphControl, if_busy: str, heard: str
) -> None:
    server = await serve(agents=STEPS)
    control.hold("second")
    first = (await server.submit("First", thread_id="t"))["message_id"]
    waiting = (await server.submit("Waits", thread_id="t"))["message_id"]
    await until(lambda: control.waits("second"), "the second step runs")
    second = (await server.submit("Second", thread_id="t", if_busy=if_busy))["message_id"]
    assert (await server.ended(first))["state"] == "cancelled"
    assert (await server.ended(waiting))["state"] == "cancelled"
    control.release("second")
    assert (await server.ended(second))["result"] == f"Heard: {heard}"
    third = await server.ended((await server.submit("Third", thread_id="t"))["message_id"])
    assert third["result"] == f"Heard: {heard} | Third"
