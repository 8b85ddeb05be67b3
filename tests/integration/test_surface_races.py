"""Requests of several clients of the surfaces that meet, and requests that fail halfway."""

from typing import Any

import pytest

from app.protocols.questions import question_of
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.servers import LiveServer, until

GRAPHS = "steps=tests.graphs:steps,approving=tests.graphs:approving"


async def posted(server: LiveServer, path: str, body: Any, status: int = 200) -> Any:
    """The JSON of a reply."""
    response = await server.client.post(path, json=body)
    assert response.status_code == status, response.text
    return response.json()


async def thread_ids(server: LiveServer) -> set[str]:
    return {thread["thread_id"] for thread in (await server.client.get("/threads")).json()}


async def test_a_response_that_is_refused_leaves_no_copy_of_its_thread(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    conversation = (await posted(server, "/v1/conversations", {}))["id"]
    one = await posted(server, "/v1/responses", {"model": "steps", "input": "One", "conversation": conversation})
    before = await thread_ids(server)
    follow = {"model": "steps", "input": "Two", "previous_response_id": one["id"]}
    await posted(server, "/v1/responses", {**follow, "webhook_url": "https://example.com"}, 400)
    assert await thread_ids(server) == before
    two = await posted(server, "/v1/responses", follow)
    assert "Heard: One | Two" in str(two["output"])


async def test_a_new_turn_leaves_a_question_alone_that_is_answered_meanwhile(
    serve: Serve, control: GraphControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(agents=GRAPHS)
    control.hold("second")
    first = (await server.submit(agent="approving", thread_id="t"))["message_id"]

    async def asks() -> bool:
        return bool((await server.status(first))["state"] == "interrupted")

    await until(asks, "it asks")

    async def find_and_answer(*given: Any) -> Any:
        found = await question_of(*given)
        await posted(server, f"/messages/{first}/resume", {"value": "yes"}, 202)
        await until(lambda: control.waits("second"), "the answer is being worked on")
        return found

    monkeypatch.setattr("app.protocols.turns.question_of", find_and_answer)
    turn = {"model": "approving", "input": "Two", "conversation": "conv_t", "background": True}
    await posted(server, "/v1/responses", turn)
    control.release("second")
    assert (await server.ended(first))["state"] == "completed"


async def test_a_rollback_that_was_cut_off_can_be_sent_again(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    control.hold("second")
    run = (await server.submit("One", agent="steps", thread_id="t"))["message_id"]
    await until(lambda: control.waits("second"), "the run is in its second step")
    await server.client.post(f"/messages/{run}/cancel")  # the first half of a rollback
    await server.ended(run)
    control.release("second")

    async def messages() -> list[str]:
        values = (await server.client.get("/threads/t/state")).json()["values"]
        return [message["content"] for message in values.get("messages", ())]

    assert await messages() == ["One", "Step one. "]
    path = f"/langgraph/threads/t/runs/{run}/cancel"
    await posted(server, path, None, 404)
    for _ in range(2):
        await posted(server, f"{path}?action=rollback", None)
        assert await messages() == []
    later = (await server.submit("Two", agent="steps", thread_id="t"))["message_id"]
    await server.ended(later)
    await posted(server, f"{path}?action=rollback", None, 404)
    assert await messages() == ["Two", "Step one. ", "Heard: Two"]
