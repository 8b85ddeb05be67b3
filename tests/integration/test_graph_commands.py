"""Messages that stop a graph, have it go on, change its state, or begin at an earlier state."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.config import Settings
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_thread_states import completed, history_of, state_of, texts
from tests.servers import LiveServer, live_server, server_process, until

STEPS = "steps=tests.graphs:steps"

pytestmark = pytest.mark.usefixtures("control")


async def sent(server: LiveServer, **body: Any) -> dict[str, Any]:
    """The status of a message with this body, after its end."""
    reply = await server.client.post("/messages", json={"thread_id": "t", **body})
    assert reply.status_code == 202, reply.text
    return dict(await server.ended(reply.json()["message_id"]))


async def test_a_graph_is_stopped_changed_and_sent_elsewhere(serve: Serve) -> None:
    server = await serve(agents=STEPS)
    stopped = await sent(server, message="One", interrupt_before=["second"])
    assert (stopped["state"], stopped["result"]) == ("completed", "Step one. ")
    assert (await state_of(server, "t"))["next"] == ["second"]
    went_on = await sent(server, **{"continue": True})
    assert (went_on["state"], went_on["result"], went_on["user_message"]) == ("completed", "Heard: One", "(continues)")
    details = (await server.client.get(f"/messages/{went_on['message_id']}")).json()
    assert (details["continue"], details["message"], details["interrupt_before"]) == (True, None, [])
    update = {"messages": [{"role": "user", "content": "Told"}]}
    told = await sent(server, command={"update": update, "goto": "second"})
    assert (told["result"], told["user_message"]) == ("Heard: One | Told", "Told")
    (whole,) = await history_of(server, "t", 100)
    place = next(each["checkpoint"]["checkpoint_id"] for each in whole if each["message_id"] == went_on["message_id"])
    assert (await sent(server, message="Two", checkpoint_id=place, interrupt_after="*"))["state"] == "completed"
    assert texts(await state_of(server, "t")) == ["One", "Step one. ", "Heard: One", "Two", "Step one. "]
    assert (await sent(server, **{"continue": True}))["result"] == "Heard: One | Two"
    agent = (await server.client.get("/agents/steps")).json()
    assert agent["nodes"] == ["first", "second"]


async def test_what_cannot_be_asked_of_a_graph_is_refused(serve: Serve) -> None:
    server = await serve(agents=f"{STEPS},plain=tests.graphs:plain_function")
    await completed(server, "One", thread_id="t", agent="steps")
    for body, field in (
        ({}, "message"),
        ({"message": "x", "continue": True}, "message"),
        ({"message": "x", "command": {"goto": "first"}}, "message"),
        ({"input": {"messages": "x"}, "command": {"goto": "first"}}, "command"),
        ({"command": {"goto": "first"}, "continue": True}, "continue"),
        ({"continue": "yes"}, "continue"),
        ({"command": {}}, "command"),
        ({"command": {"goto": "none"}}, "command.goto"),
        ({"command": {"goto": ["first", {"node": "none"}]}}, "command.goto"),
        ({"command": {"goto": "first", "resume": 1}}, "command.resume"),
        ({"message": "x", "interrupt_before": []}, "interrupt_before"),
        ({"message": "x", "interrupt_before": ["none"]}, "interrupt_before"),
        ({"message": "x", "interrupt_after": "first"}, "interrupt_after"),
        ({"continue": True, "thread_id": None}, "thread_id"),
        ({"command": {"goto": "first"}, "thread_id": None}, "thread_id"),
        ({"message": "x", "checkpoint_id": "x", "thread_id": None}, "checkpoint_id"),
    ):
        reply = await server.client.post("/messages", json={"thread_id": "t", **body})
        assert reply.status_code == 422, (body, reply.text)
        fields = [error["field"] for error in reply.json()["errors"]]
        assert any(each.startswith(field) for each in fields), (body, fields)
    unknown: list[dict[str, Any]] = [{"message": "x"}, {"continue": True}, {"command": {"goto": "first"}}]
    for each in unknown:
        body = {"thread_id": "t", "checkpoint_id": "none", **each}
        reply = await server.client.post("/messages", json=body)
        assert (reply.status_code, reply.json()["code"]) == (404, "checkpoint_not_found")
        batch = await server.client.post("/messages/batch", json={"messages": [body]})
        assert batch.status_code == 404
    reply = await server.client.post("/messages", json={"message": "x", "checkpoint_id": "x", "thread_id": "none"})
    assert (reply.status_code, reply.json()["code"]) == (404, "thread_not_found")
    of_graphs: list[dict[str, Any]] = [{"continue": True}, {"message": "x", "interrupt_before": "*"}]
    for each in of_graphs:
        failed = await sent(server, agent="plain", **each)
        assert (failed["state"], failed["error_code"]) == ("failed", "invalid_input")
    nothing = await sent(server, agent="steps", thread_id="new", **{"continue": True})
    assert (nothing["state"], nothing["error_code"]) == ("failed", "invalid_input")


async def test_a_command_whose_process_was_killed_is_applied_once(
    tmp_path: Path, settings: Callable[..., Settings], control: GraphControl, memory_url: str
) -> None:
    environment = {"AGENTS": STEPS, "CHECKPOINT_URL": memory_url, **control.environment}
    control.hold("second")
    with server_process(tmp_path, **environment) as server:
        await server.ready()
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=30) as client:
            stopped = {"message": "One", "thread_id": "t", "interrupt_before": ["second"]}
            first = await client.post("/messages", json=stopped, headers={"Prefer": "wait=30"})
            assert first.json()["result"] == "Step one. "
            update = {"messages": [{"role": "user", "content": "Told"}]}
            told = {"command": {"update": update, "goto": "first"}, "thread_id": "t"}
            message_id = (await client.post("/messages", json=told)).json()["message_id"]
            await until(lambda: control.waits("second"), "the second node runs")
        server.kill()
    control.release("second")
    async with live_server(settings(agents=STEPS, checkpoint_url=memory_url)) as second:
        assert (await second.ended(message_id))["result"] == "Heard: One | Told"
        assert texts(await state_of(second, "t")).count("Told") == 1
