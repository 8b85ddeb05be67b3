"""Requests of several clients of the surfaces that meet, and requests that fail halfway."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from app.protocols import departures
from app.protocols.questions import question_of
from app.thread_manager import ThreadManager
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


async def test_a_response_that_is_followed_while_it_is_deleted_stays(
    serve: Serve, control: GraphControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(agents=GRAPHS)
    one = await posted(server, "/v1/responses", {"model": "steps", "input": "One"})
    follow = {"model": "steps", "input": "Two", "previous_response_id": one["id"]}
    get_thread, followers = ThreadManager.get_thread, []

    async def find_and_follow(*given: Any) -> Any:
        found = await get_thread(*given)
        followers.append(await posted(server, "/v1/responses", follow))
        return found

    monkeypatch.setattr(ThreadManager, "get_thread", find_and_follow)
    refused = await server.client.delete(f"/v1/responses/{one['id']}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported_parameter")
    for kept in (one, *followers):
        assert (await server.client.get(f"/v1/responses/{kept['id']}")).json()["output"] == kept["output"]


async def test_a_new_turn_leaves_a_question_alone_that_is_answered_meanwhile(
    serve: Serve, control: GraphControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(agents=GRAPHS)
    control.hold("second")
    first = (await server.submit(agent="approving", thread_id="t"))["message_id"]

    async def asks() -> bool:
        return bool((await server.status(first))["state"] == "interrupted")

    await until(asks, "it asks")

    searched = []

    async def find_and_answer(*given: Any) -> Any:
        found = await question_of(*given)
        searched.append(found and found.id)
        await posted(server, f"/messages/{first}/resume", {"value": "yes"}, 202)
        await until(lambda: control.waits("second"), "the answer is being worked on")
        return found

    monkeypatch.setattr("app.protocols.turns.question_of", find_and_answer)
    turn = {"model": "approving", "input": "Two", "conversation": "conv_t", "background": True}
    await posted(server, "/v1/responses", turn)
    control.release("second")
    assert (await server.ended(first))["state"] == "completed"
    conversation = (await posted(server, "/v1/conversations", {}))["id"]
    await posted(server, "/v1/responses", {**turn, "conversation": conversation})
    assert searched == [first], "a thread without a question is not searched for one"


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


async def test_a_request_to_openais_api_with_the_same_key_runs_once(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    conversation = (await posted(server, "/v1/conversations", {}))["id"]
    turn = {"model": "steps", "input": "Hi"}
    one = await posted(server, "/v1/responses", turn)
    follow = {**turn, "previous_response_id": one["id"]}
    await posted(server, "/v1/responses", follow)
    unfollowed = await posted(server, "/v1/responses", turn)
    completion = {"model": "steps", "messages": [{"role": "user", "content": "Hi"}]}
    for number, (path, body) in enumerate(
        [
            ("/v1/responses", turn),
            ("/v1/responses", {**turn, "conversation": conversation}),
            ("/v1/responses", follow),
            ("/v1/responses", {**turn, "previous_response_id": unfollowed["id"]}),
            ("/v1/responses", {**turn, "background": True}),
            ("/v1/chat/completions", completion),
        ]
    ):
        headers = {"Idempotency-Key": f"key-{number}"}
        known = await thread_ids(server)
        sent = [server.client.post(path, json=body, headers=headers) for _ in range(2)]
        replies = [*await asyncio.gather(*sent), await server.client.post(path, json=body, headers=headers)]
        assert [reply.status_code for reply in replies] == [200] * 3, [reply.text for reply in replies]
        assert len({reply.json()["id"] for reply in replies}) == 1, path
        makes_thread = path == "/v1/responses" and number not in (1, 3)
        assert len(await thread_ids(server) - known) == makes_thread, body
        other = await server.client.post(path, json={**body, "metadata": {"a": "b"}}, headers=headers)
        assert (other.status_code, other.json()["error"]["code"]) == (400, "idempotency_key_reused")
    assert control.runs["second"] == 9


async def test_a_run_of_langgraphs_clients_with_the_same_key_is_made_once(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    thread = "/threads/0a3e4b1c-0000-4000-8000-000000000001"
    run = {
        "assistant_id": "steps",
        "input": {"messages": [{"role": "user", "content": "Hi"}]},
        "if_not_exists": "create",
    }
    paths = [f"{below}/runs{how}" for below in (thread, "") for how in ("", "/wait", "/stream")]
    for number, path in enumerate(paths):
        headers = {"Idempotency-Key": f"key-{number}"}
        sent = [server.client.post(f"/langgraph{path}", json=run, headers=headers) for _ in range(2)]
        first, second = await asyncio.gather(*sent)
        third = await server.client.post(f"/langgraph{path}", json=run, headers=headers)
        places = {reply.headers["content-location"] for reply in (first, second, third)}
        assert len(places) == 1, (path, first.text, second.text)
        other = await server.client.post(f"/langgraph{path}", json={**run, "metadata": {"a": 1}}, headers=headers)
        assert (other.status_code, "Idempotency-Key" in other.json()["detail"]) == (422, True)
    started = {"id": 1, "method": "run.start", "params": {"assistant_id": "steps", "input": run["input"]}}
    for path, body in (("/runs/batch", [run, run]), (f"{thread}/commands", started)):
        headers = {"Idempotency-Key": f"key-{path}"}
        sent = [server.client.post(f"/langgraph{path}", json=body, headers=headers) for _ in range(2)]
        first, second = [reply.json() for reply in await asyncio.gather(*sent)]
        runs = [
            [run_id_of(each) for each in (reply if path == "/runs/batch" else [reply])] for reply in (first, second)
        ]
        assert runs[0] == runs[1], (first, second)
    assert len((await server.client.get("/messages")).json()["messages"]) == len(paths) + 3


def run_id_of(reply: Any) -> str:
    """The id of the run that a reply tells of."""
    return str(reply.get("result", reply)["run_id"])


async def test_a_run_that_was_answered_after_its_reader_left_goes_on(
    serve: Serve, control: GraphControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(agents=GRAPHS)
    for step in ("first", "second"):
        control.hold(step)
    left, answered, decided = asyncio.Event(), asyncio.Event(), asyncio.Event()
    cancel = departures.Departure.cancel

    async def grace(_: float) -> None:
        left.set()
        await answered.wait()

    async def decide(departure: departures.Departure) -> None:
        await cancel(departure)
        decided.set()

    monkeypatch.setattr(departures, "asyncio", SimpleNamespace(sleep=grace))
    monkeypatch.setattr(departures.Departure, "cancel", decide)
    body = {"assistant_id": "approving", "input": {"messages": [["user", "Hi"]]}, "on_disconnect": "cancel"}
    async with server.client.stream("POST", "/langgraph/runs/stream", json=body) as response:
        run = response.headers["content-location"].rpartition("/")[2]
        await until(lambda: control.waits("first"), "it has begun")
    await left.wait()
    control.release("first")

    async def asks() -> bool:
        return bool((await server.status(run))["state"] == "interrupted")

    await until(asks, "it asks")
    await posted(server, f"/messages/{run}/resume", {"value": "yes"}, 202)
    await until(lambda: control.waits("second"), "the answer is being worked on")
    answered.set()
    await decided.wait()
    control.release("second")
    assert (await server.ended(run))["state"] == "completed"


async def test_an_answer_that_comes_again_is_told_where_the_first_one_went(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    asked = await posted(server, "/v1/responses", {"model": "approving", "input": "Hi"})
    (call,) = [item for item in asked["output"] if item["type"] == "function_call"]
    answer = {"type": "function_call_output", "call_id": call["call_id"], "output": "yes"}
    body = {"model": "approving", "input": [answer], "previous_response_id": asked["id"]}
    answered = await posted(server, "/v1/responses", body)
    refused = await posted(server, "/v1/responses", body, 400)
    assert f"{answered['id']} goes on with the answer" in refused["error"]["message"]
