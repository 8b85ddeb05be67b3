"""Streams of A2A: clients that are cut off, read side by side, lose their access, or see an attempt fail."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from a2a.client import A2AClientError
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import InvalidParamsError

from app.clock import SteadyClock
from app.models.attempts import Completed, Lease, Retry
from app.models.events import NewEvent
from app.store.ports import Store
from tests import wire
from tests.a2a_clients import ReadTask, call, read, sdk, with_cursors
from tests.contract.backends import StoreFactory
from tests.contract.builders import INTERRUPTED, add, chunk, claim_one, start
from tests.durable_streams_readers import CuttingProxy
from tests.integration.conftest import Serve
from tests.servers import LiveServer, until

CUTS = 100
EVENTS_A_CUT = 10
MOST_BYTES_A_CUT = 2_500
"""Less than a request, the head of its reply and the frames of EVENTS_A_CUT events have. Each write leads to a cut."""

READERS = 20


@pytest.fixture
def store(make_store: StoreFactory, tmp_path: Path) -> Store:
    """An empty store of each kind, which the server opens."""
    return make_store(tmp_path, SteadyClock())


@pytest.fixture
async def server(serve: Serve, store: Store) -> LiveServer:
    """A server without workers on a store of each kind, whose messages the test runs itself."""
    return await serve(store=store, worker_concurrency=0, keepalive_interval=1)


def numbered(first: int, count: int) -> list[NewEvent]:
    """Pieces of text that are all different."""
    return [chunk(index, f"{index:-<120} ") for index in range(first, first + count)]


def numbered_text(index: int) -> str:
    return f"{index:-<120} "


def whole(count: int) -> str:
    return "".join(f"{index:-<120} " for index in range(count))


async def followed(server: LiveServer, port: int, task_id: str) -> ReadTask:
    """What a client has that comes back with the last cursor that it has seen, until the end of the task."""
    task, request = ReadTask(task_id), pb.SubscribeToTaskRequest(id=task_id)
    async with sdk(server, "chat", through=f"http://127.0.0.1:{port}") as client:
        while not task.states or task.states[-1] != "COMPLETED":
            last = task.cursors[-1] if task.cursors else "0"
            try:
                await read(client.subscribe(request, context=with_cursors(last)), task)
            except A2AClientError:
                continue
    return task


async def test_a_client_that_is_cut_off_100_times_has_no_gap_and_no_double(server: LiveServer, store: Store) -> None:
    """A run of 1,000 events. Each cut waits for events, and each write of events waits for the cut before."""
    await add(store)
    lease = await claim_one(store, lease_seconds=10 * wire.DEADLINE_SECONDS)  # its time is not what is tested
    async with CuttingProxy(int(server.url.rpartition(":")[2]), CUTS, MOST_BYTES_A_CUT, seed=1) as proxy:
        reading = asyncio.create_task(followed(server, proxy.port, lease.message_id))
        for cut in range(CUTS):
            await store.append(lease, numbered(cut * EVENTS_A_CUT, EVENTS_A_CUT))
            await proxy.until_cut(cut + 1)
        await store.finish(lease, Completed(whole(CUTS * EVENTS_A_CUT)))
        async with asyncio.timeout(wire.DEADLINE_SECONDS):
            task = await reading
    assert task.texts == {"answer": whole(CUTS * EVENTS_A_CUT)}
    last = CUTS * EVENTS_A_CUT + 2
    assert task.cursors[-2:] == [f"{last - 1}.1", str(last)]
    assert task.cursors[:-2] == [str(event) for event in range(1, last)]


async def test_readers_side_by_side_and_later_ones_have_the_same(server: LiveServer, store: Store) -> None:
    lease = await start(store)
    await store.append(lease, numbered(0, 3))
    request = pb.SubscribeToTaskRequest(id=lease.message_id)
    async with sdk(server, "chat") as client:
        reading = [asyncio.create_task(read(client.subscribe(request))) for _ in range(READERS)]
        await until(
            lambda: server.runtime.services.streams.readers_of("default", lease.message_id) == READERS, "all read"
        )
        await store.append(lease, numbered(3, 3))
        await store.finish(lease, Completed(whole(6)))
        assert {task.texts["answer"] for task in await asyncio.gather(*reading)} == {whole(6)}
        replayed = await read(client.subscribe(request, context=with_cursors("0")), ReadTask(lease.message_id))
        assert (replayed.texts, replayed.states) == ({"answer": whole(6)}, ["WORKING", "COMPLETED"])
        assert replayed.cursors == ["1", "2", "3", "4", "5", "6", "7", "7.1", "8"]
        half = await read(client.subscribe(request, context=with_cursors("7.1")), ReadTask(lease.message_id))
        assert (half.states, half.cursors) == (["COMPLETED"], ["8"])
        seen = await read(client.subscribe(request, context=with_cursors("8")))
        assert (seen.states, seen.texts) == (["COMPLETED"], {"answer": whole(6)})
        for odd in ("9", "x", "7.x", "-1", "7.1.1"):
            with pytest.raises(InvalidParamsError, match="Last-Event-ID"):
                await read(client.subscribe(request, context=with_cursors(odd)))


async def test_a_failed_attempt_leaves_nothing_in_the_answer(server: LiveServer, store: Store) -> None:
    lease = await start(store)
    await store.append(lease, numbered(0, 3))
    await store.finish(lease, Retry("It broke.", "agent_error", 0.0))
    again = await claim_one(store)
    await store.append(again, [chunk(0, "Right.")])
    request = pb.SubscribeToTaskRequest(id=lease.message_id)
    async with sdk(server, "chat") as client:
        (running,) = (await client.list_tasks(pb.ListTasksRequest(include_artifacts=True))).tasks
        assert running.artifacts[0].parts[0].text == "Right."
        await store.finish(again, Completed("Right."))
        task = await read(client.subscribe(request, context=with_cursors("0")), ReadTask(lease.message_id))
    assert task.texts == {"answer": "Right."}
    assert task.pieces[2:] == [numbered_text(2), "", "Right.", ""]
    assert task.states == ["WORKING", "SUBMITTED", "WORKING", "COMPLETED"]
    (retry,) = [note["retry"] for note in task.notes if "retry" in note]
    assert retry["error"] == "It broke."


async def test_reasoning_tools_and_the_position_are_told_beside_the_answer(server: LiveServer, store: Store) -> None:
    lease = await start(store)
    called: dict[str, Any] = {"id": "c", "name": "add"}
    await store.append(
        lease,
        [
            NewEvent.chunk("reasoning", "Well.", 0, message="m"),
            NewEvent.chunk("tool_call", {**called, "args": {"a": 1}}, 1, message="m"),
            NewEvent.chunk("tool_result", {**called, "content": "1"}, 2, message="t"),
            NewEvent.chunk("content", "Not ", 3, message="m2"),
            NewEvent.chunk("discard", "", 4, message="m2", kept=False, discard_from=5),
            NewEvent.chunk("content", "One.", 5, message="m3"),
        ],
    )
    await store.finish(lease, Completed("One.", output='{"sum": 1}'))
    request = pb.SubscribeToTaskRequest(id=lease.message_id)
    async with sdk(server, "chat") as client:
        task = await read(client.subscribe(request, context=with_cursors("0")), ReadTask(lease.message_id))
    assert task.texts["answer"] == "One."
    assert task.data == {"output": {"sum": 1}}
    told = [(note["type"], note["chunk"]) for note in task.notes if "type" in note]
    assert told == [
        ("reasoning", "Well."),
        ("tool_call", {**called, "args": {"a": 1}}),
        ("tool_result", {**called, "content": "1"}),
    ]


async def test_a_stream_goes_over_questions_that_were_answered(server: LiveServer, store: Store) -> None:
    lease = await start(store)
    await store.append(lease, [chunk(0, "Before.")])
    await store.finish(lease, INTERRUPTED)
    answered = await server.client.post(f"/messages/{lease.message_id}/resume", json={"value": "yes"})
    assert answered.status_code == 202
    again = await claim_one(store)
    await store.append(again, [chunk(0, "After.")])
    await store.finish(again, Completed("After."))
    request = pb.SubscribeToTaskRequest(id=lease.message_id)
    async with sdk(server, "chat") as client:
        task = await read(client.subscribe(request, context=with_cursors("0")), ReadTask(lease.message_id))
    assert task.states == ["WORKING", "INPUT_REQUIRED", "SUBMITTED", "WORKING", "COMPLETED"]
    assert task.texts == {"answer": "After."}


async def test_a_task_that_begins_while_it_is_read_is_shown_as_its_log_has_it(
    server: LiveServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message was read before the attempt began, and the log after it. No later item would tell of the begin."""
    task_id = (await add(store)).id
    queue = server.runtime.services.queue
    get, leases = queue.get, list[Lease]()

    async def get_and_begin(*arguments: Any, **named: Any) -> Any:
        message = await get(*arguments, **named)
        if not leases:
            leases.append(await claim_one(store))
        return message

    monkeypatch.setattr(queue, "get", get_and_begin)
    async with sdk(server, "chat") as client:
        reading = asyncio.create_task(read(client.subscribe(pb.SubscribeToTaskRequest(id=task_id))))
        await until(lambda: server.runtime.services.streams.readers_of("default", task_id), "it reads")
        await store.finish(leases[0], Completed("Done."))
        assert (await reading).states == ["WORKING", "COMPLETED"]


async def test_events_that_a_crash_took_while_they_were_read_are_told(
    server: LiveServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = await start(store)
    log = server.runtime.services.log
    read_now = log.read

    async def read_before_the_crash(tenant: str, message_id: str, *, after: int, limit: int) -> Any:
        page = await read_now(tenant, message_id, after=after, limit=limit)
        return page._replace(last=page.last + 1) if limit == 1 else page

    monkeypatch.setattr(log, "read", read_before_the_crash)
    reply = await call(server, "SubscribeToTask", {"id": lease.message_id}, agent="chat")
    assert reply.status == 503
    assert "lost the newest events" in reply.json()["error"]["message"]
