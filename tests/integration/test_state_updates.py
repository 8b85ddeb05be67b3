"""Updates of a thread's state: as a node's, checked, and never mixed with a run."""

import asyncio
from typing import Any

import pytest

from app.checkpoints.saver import FencedSaver
from app.models.memory import MEMORY_FENCE_KEY
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_thread_states import asking, completed, history_of, state_of, texts
from tests.servers import LiveServer, live_server, until

AGENTS = "steps=tests.graphs:steps,approving=tests.graphs:approving,any=tests.graphs:any_state,lists=tests.graphs:lists"
CORRECTION = {"messages": [{"role": "user", "content": "I mean Lyon.", "id": "correction"}]}

pytestmark = pytest.mark.usefixtures("control")


async def update(server: LiveServer, thread: str, values: Any, status: int = 200, **fields: Any) -> dict[str, Any]:
    """POST a state; the reply's body."""
    response = await server.client.post(f"/threads/{thread}/state", json={"values": values, **fields})
    assert response.status_code == status, response.text
    return dict(response.json())


async def test_the_next_message_continues_with_the_changed_state(serve: Serve, memory_url: str) -> None:
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    message_id = await completed(server, "One", thread_id="t")
    before = await state_of(server, "t")
    reply = await update(server, "t", CORRECTION)
    state = await state_of(server, "t")
    assert reply == {"checkpoint": state["checkpoint"]}
    assert state["parent_checkpoint"] == before["checkpoint"]
    assert texts(state) == [*texts(before), "I mean Lyon."]
    assert (state["message_id"], state["metadata"]["source"]) == (message_id, "update")
    await completed(server, "Two", thread_id="t")
    assert texts(await state_of(server, "t"))[-1] == "Heard: One | I mean Lyon. | Two"


async def test_messages_are_replaced_and_removed_by_their_ids(serve: Serve, memory_url: str) -> None:
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    message_id = await completed(server, "One", thread_id="t")
    first = (await state_of(server, "t"))["values"]["messages"][1]["id"]
    changes = [
        {"role": "user", "content": "Uno", "id": message_id},
        {"type": "remove", "id": first, "content": ""},
    ]
    await update(server, "t", {"messages": changes}, as_node="second")
    assert texts(await state_of(server, "t")) == ["Uno", "Heard: One"]
    await completed(server, "Two", thread_id="t")
    assert texts(await state_of(server, "t"))[-1] == "Heard: Uno | Two"


async def test_an_update_as_a_node_decides_what_comes_next(serve: Serve) -> None:
    server = await serve(agents=AGENTS)
    await completed(server, "One", thread_id="t")
    await update(server, "t", CORRECTION, as_node="first")
    assert (await state_of(server, "t"))["next"] == ["second"]
    await update(server, "t", None, as_node="__end__")
    assert (await state_of(server, "t"))["next"] == []


async def test_an_update_of_an_earlier_state_becomes_the_newest(serve: Serve, memory_url: str) -> None:
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    await completed(server, "One", thread_id="t")
    earlier = (await state_of(server, "t"))["checkpoint"]["checkpoint_id"]
    await completed(server, "Two", thread_id="t")
    await update(server, "t", CORRECTION, checkpoint_id=earlier)
    assert texts(await state_of(server, "t"))[-2:] == ["Heard: One", "I mean Lyon."]
    await completed(server, "Three", thread_id="t")
    assert texts(await state_of(server, "t"))[-1] == "Heard: One | I mean Lyon. | Three"


async def test_the_state_of_a_waiting_question_can_be_changed(serve: Serve, memory_url: str) -> None:
    """The message keeps its turn: its answer is not taken for another one."""
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    message_id = await asking(server, "Delete it", agent="approving", thread_id="t")
    await update(server, "t", CORRECTION, as_node="first")
    assert (await state_of(server, "t"))["next"] == ["asks"]
    answered = await server.client.post(f"/messages/{message_id}/resume", json={"value": "yes"})
    assert answered.status_code == 202

    async def asks_again() -> bool:
        status = await server.status(message_id)
        return bool(status["state"] == "interrupted" or status["completed_at"])

    await until(asks_again, "the message ends or asks again")
    if (await server.status(message_id))["state"] == "interrupted":  # its question was that of the earlier state
        await server.client.post(f"/messages/{message_id}/resume", json={"value": "yes"})
    status = await server.ended(message_id)
    assert (status["state"], status["result"]) == ("completed", "Heard: Delete it | I mean Lyon.")


async def test_a_state_of_other_keys(serve: Serve) -> None:
    server = await serve(agents=AGENTS)
    message_id = (await server.submit_input({"question": "who"}, agent="any", thread_id="t"))["message_id"]
    await server.ended(message_id)
    await update(server, "t", {"steps": ["mine"], "answer": "ME"}, as_node="ends")
    values = (await state_of(server, "t"))["values"]
    assert values == {"question": "who", "steps": ["begins", "ends", "mine"], "answer": "ME"}


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({}, "values", "required"),
        ({"values": {}, "wrong": 1}, "wrong", ""),
        ({"values": {"messages": "x\u0000"}}, "values", "NUL"),
        ({"values": {"wrong": 1}}, "values.wrong", "known: `answer`, `question`, `steps`"),
        ({"values": {"answer": 5}}, "values.answer", "string"),
        ({"values": {"steps": "one"}}, "values.steps", "array"),
        ({"values": {"steps": ["one", 2]}}, "values.steps.1", "string"),
        ({"values": [1]}, "values", "expected an object"),
        ({"values": {"answer": "x"}, "as_node": "none"}, "as_node", "`begins`, `ends`"),
        ({"values": {"answer": "x"}, "as_node": "__end__"}, "values", "null"),
        ({"values": {"answer": "x"}, "as_node": ""}, "as_node", ""),
        ({"values": {"answer": "x"}, "agent": "none"}, "agent", "There is no agent"),
    ],
)
async def test_what_the_schema_refuses_is_named(serve: Serve, body: dict[str, Any], field: str, reason: str) -> None:
    server = await serve(agents=AGENTS)
    message_id = (await server.submit_input({"question": "who"}, agent="any", thread_id="t"))["message_id"]
    await server.ended(message_id)
    before = await state_of(server, "t")
    response = await server.client.post("/threads/t/state", json=body)
    assert response.status_code == 422, response.text
    (error,) = response.json()["errors"]
    assert error["field"] == field
    assert reason.lower() in error["detail"].lower()
    assert await state_of(server, "t") == before


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        (5, "values.messages"),
        ([{"content": "x"}], "values.messages.0"),
        ([{"role": "nobody", "content": "x"}], "values.messages.0.role"),
    ],
)
async def test_messages_that_cannot_be_read_are_named(serve: Serve, messages: Any, field: str) -> None:
    server = await serve(agents=AGENTS)
    await completed(server, "One", thread_id="t")
    refused = await update(server, "t", {"messages": messages}, 422)
    assert [error["field"] for error in refused["errors"]] == [field]


async def test_what_a_reducer_refuses_is_the_fault_of_the_values(serve: Serve) -> None:
    server = await serve(agents=AGENTS)
    await completed(server, "One", thread_id="t")
    missing = [{"type": "remove", "id": "none", "content": ""}]
    refused = await update(server, "t", {"messages": missing}, 422, as_node="second")
    assert [error["field"] for error in refused["errors"]] == ["values"]
    assert "doesn't exist" in refused["detail"]


async def test_an_ambiguous_update_asks_for_its_node(serve: Serve) -> None:
    server = await serve(agents=f"{AGENTS},both=tests.graphs:both")
    await completed(server, "One", thread_id="t", agent="both")
    refused = await update(server, "t", CORRECTION, 422)
    assert [error["field"] for error in refused["errors"]] == ["as_node"]
    await update(server, "t", CORRECTION, as_node="left")
    assert texts(await state_of(server, "t"))[-1] == "I mean Lyon."


async def test_the_first_state_of_a_thread_can_be_an_update(serve: Serve) -> None:
    quiet = await serve(agents=AGENTS, worker_concurrency=0)
    await quiet.submit("One", thread_id="t")
    await update(quiet, "t", CORRECTION)
    state = await state_of(quiet, "t")
    assert (texts(state), state["next"], state["message_id"]) == (["I mean Lyon."], ["first"], None)


async def test_unknown_threads_and_checkpoints_are_404(serve: Serve) -> None:
    server = await serve(agents=AGENTS)
    await completed(server, "One", thread_id="t")
    assert (await update(server, "none", CORRECTION, 404))["code"] == "thread_not_found"
    assert (await update(server, "t", CORRECTION, 404, checkpoint_id="none"))["code"] == "checkpoint_not_found"
    assert [len(page) for page in await history_of(server, "t", 100)] == [4]


async def test_a_thread_is_not_updated_while_a_message_runs(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    await completed(server, "One", thread_id="t")
    control.hold("second")
    message_id = (await server.submit("Two", thread_id="t"))["message_id"]
    await until(lambda: control.waits("second"), "the run waits")
    refused = await update(server, "t", CORRECTION, 409)
    assert refused["code"] == "thread_running"
    control.release("second")
    assert (await server.ended(message_id))["result"] == "Heard: One | Two"


async def test_an_update_waits_for_no_waiting_message(serve: Serve) -> None:
    """The message that runs later sees the change."""
    server = await serve(agents=AGENTS)
    await completed(server, "One", thread_id="t")
    later = (await server.submit("Two", thread_id="t", delay_seconds=1000))["message_id"]
    await update(server, "t", CORRECTION)
    await server.client.post(f"/messages/{later}/cancel")
    await completed(server, "Three", thread_id="t")
    assert texts(await state_of(server, "t"))[-1] == "Heard: One | I mean Lyon. | Three"


async def test_a_message_that_begins_meanwhile_wins(
    serve: Serve, settings: Any, memory_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here another server runs it after the update has read the state and before it writes."""
    update_state = FencedSaver.aput
    api = await serve(agents=AGENTS, checkpoint_url=memory_url, worker_concurrency=0)
    async with live_server(settings(agents=AGENTS, checkpoint_url=memory_url)) as worker:
        await completed(worker, "One", thread_id="t")
    await state_of(api, "t")  # loads the agents
    reached, go_on = asyncio.Event(), asyncio.Event()
    main = asyncio.get_running_loop()

    async def wait_and_put(self: FencedSaver, config: Any, checkpoint: Any, metadata: Any, versions: Any) -> Any:
        if metadata.get("source") == "update":
            main.call_soon_threadsafe(reached.set)
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(go_on.wait(), main))
        return await update_state(self, config, checkpoint, metadata, versions)

    monkeypatch.setattr(FencedSaver, "aput", wait_and_put)
    updating = asyncio.create_task(update(api, "t", CORRECTION, 409))
    await reached.wait()
    async with live_server(settings(agents=AGENTS, checkpoint_url=memory_url)) as worker:
        await completed(worker, "Two", thread_id="t")
    go_on.set()
    assert (await updating)["code"] == "thread_running"
    assert texts(await state_of(api, "t"))[-1] == "Heard: One | Two"


@pytest.mark.parametrize("begins_anew", [False, True])
async def test_an_update_brings_no_deleted_thread_back(
    serve: Serve, memory_url: str, monkeypatch: pytest.MonkeyPatch, begins_anew: bool
) -> None:
    """Here the thread is deleted when the update has its right but has not read the state."""
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    await completed(server, "One", thread_id="t")
    read = FencedSaver.aget_tuple
    reached, go_on = asyncio.Event(), asyncio.Event()
    main = asyncio.get_running_loop()

    async def wait_and_read(self: FencedSaver, config: Any) -> Any:
        if MEMORY_FENCE_KEY in config["configurable"]:
            monkeypatch.setattr(FencedSaver, "aget_tuple", read)
            main.call_soon_threadsafe(reached.set)
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(go_on.wait(), main))
        return await read(self, config)

    monkeypatch.setattr(FencedSaver, "aget_tuple", wait_and_read)
    updating = asyncio.create_task(update(server, "t", CORRECTION, 409 if begins_anew else 404))
    await reached.wait()
    assert (await server.client.delete("/threads/t")).status_code == 204
    if begins_anew:
        await completed(server, "Two", thread_id="t")
    go_on.set()
    assert (await updating)["code"] == ("thread_running" if begins_anew else "thread_not_found")
    await completed(server, "Three", thread_id="t")
    assert texts(await state_of(server, "t"))[-1] == ("Heard: Two | Three" if begins_anew else "Heard: Three")


async def test_an_update_cut_off_halfway_changes_nothing(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, memory_url: str
) -> None:
    """LangGraph stores what the node writes first, then the checkpoint: here the process dies in between."""
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    await completed(server, "One", thread_id="ended")
    message_id = await asking(server, "Delete it", agent="approving", thread_id="asks")
    nodes = {"ended": "second", "asks": "asks"}
    before = {thread: await state_of(server, thread) for thread in nodes}
    put = FencedSaver.aput

    async def die(*_: Any) -> Any:
        raise SystemExit(9)

    monkeypatch.setattr(FencedSaver, "aput", die)
    for thread, node in nodes.items():
        change = {"values": CORRECTION, "as_node": node}
        failed = await server.client.post(f"/threads/{thread}/state", json=change)
        assert failed.status_code in (422, 500), failed.text
    monkeypatch.setattr(FencedSaver, "aput", put)
    assert {thread: await state_of(server, thread) for thread in nodes} == before
    await completed(server, "Two", thread_id="ended")
    assert texts(await state_of(server, "ended"))[-1] == "Heard: One | Two"
    assert (await server.client.post(f"/messages/{message_id}/resume", json={"value": "yes"})).status_code == 202
    assert (await server.ended(message_id))["result"] == "Heard: Delete it"
