"""Answering a message anew, from the state before it."""

import asyncio
from typing import Any

import pytest

from app.access.scopes import AccessScope
from app.models.messages import MessageState
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.states import bring
from tests.integration.test_keys import bearer, issue
from tests.integration.test_state_updates import update
from tests.integration.test_thread_states import asking, completed, history_of, state_of, texts
from tests.integration.test_tokens import mint
from tests.servers import LiveServer, server_process, until

AGENTS = "steps=tests.graphs:steps,approving=tests.graphs:approving,plain=tests.graphs:plain_function"
EMPTY: dict[str, Any] = {}

pytestmark = pytest.mark.usefixtures("control")


async def regenerate(server: LiveServer, message_id: str, status: int = 202, **body: Any) -> dict[str, Any]:
    """POST; the reply's body."""
    response = await server.client.post(f"/messages/{message_id}/regenerate", json=body)
    assert response.status_code == status, response.text
    return dict(response.json())


async def test_the_last_message_is_answered_anew(serve: Serve, memory_url: str) -> None:
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    await completed(server, "One", thread_id="t")
    last = await completed(server, "Two", thread_id="t", priority="low", metadata={"a": 1}, client_message_id="mine")
    reply = await regenerate(server, last, priority="high")
    assert (reply["regenerates"], reply["rolled_back"], reply["thread_id"]) == (last, [last], "t")
    status = await server.ended(reply["message_id"])
    assert (status["state"], status["result"]) == ("completed", "Heard: One | Two")
    assert (status["user_message"], status["priority"], status["metadata"]) == ("Two", "high", {"a": 1})
    state = await state_of(server, "t")
    assert texts(state) == ["One", "Step one. ", "Heard: One", "Two", "Step one. ", "Heard: One | Two"]
    assert (state["message_id"], state["values"]["messages"][3]["id"]) == (reply["message_id"], "mine")
    pages = await history_of(server, "t", 100)
    assert last not in {each["message_id"] for page in pages for each in page}
    listed = (await server.client.get("/threads/t/messages")).json()["messages"]
    assert [message["user_message"] for message in listed] == ["One", "Two", "Two"]
    assert listed[1]["result"] == "Heard: One | Two"


async def test_an_earlier_message_takes_the_later_ones_with_it(serve: Serve, memory_url: str) -> None:
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    ids = [await completed(server, text, thread_id="t") for text in ("One", "Two", "Three")]
    reply = await regenerate(server, ids[1])
    assert reply["rolled_back"] == ids[1:]
    assert (await server.ended(reply["message_id"]))["result"] == "Heard: One | Two"
    again = await regenerate(server, reply["message_id"])
    assert again["rolled_back"] == [reply["message_id"]]
    await server.ended(again["message_id"])
    first = await regenerate(server, ids[0])
    assert first["rolled_back"] == [*ids, reply["message_id"], again["message_id"]]
    assert (await server.ended(first["message_id"]))["result"] == "Heard: One"
    assert texts(await state_of(server, "t")) == ["One", "Step one. ", "Heard: One"]


async def test_a_change_of_the_state_goes_with_its_turn(serve: Serve, memory_url: str) -> None:
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    first = await completed(server, "One", thread_id="t")
    await update(server, "t", {"messages": [{"role": "user", "content": "More"}]})
    second = await completed(server, "Two", thread_id="t")
    kept = await regenerate(server, second)
    assert (await server.ended(kept["message_id"]))["result"] == "Heard: One | More | Two"
    gone = await regenerate(server, first)
    assert (await server.ended(gone["message_id"]))["result"] == "Heard: One"


async def test_the_steps_of_purged_messages_are_forgotten_too(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=f"{AGENTS},flaky=tests.graphs:flaky", max_attempts=1)
    first = await completed(server, "One", thread_id="t")
    control.crash("flaky")
    failed = (await server.submit("Two", thread_id="t", agent="flaky"))["message_id"]
    assert (await server.ended(failed))["state"] == "failed"
    assert "Two" in texts(await state_of(server, "t"))
    purged = await server.client.post("/dead-letters/purge", json={"message_ids": [failed]})
    assert purged.status_code == 200
    reply = await regenerate(server, first)
    assert reply["rolled_back"] == [first, failed]
    assert (await server.ended(reply["message_id"]))["result"] == "Heard: One"
    assert texts(await state_of(server, "t")) == ["One", "Step one. ", "Heard: One"]


async def test_a_failed_message_is_answered_anew(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=f"{AGENTS},flaky=tests.graphs:flaky", max_attempts=1)
    await completed(server, "One", thread_id="t")
    control.crash("flaky")
    failed = (await server.submit("Two", thread_id="t", agent="flaky"))["message_id"]
    assert (await server.ended(failed))["state"] == "failed"
    reply = await regenerate(server, failed)
    assert reply["agent"] == "flaky"
    assert (await server.ended(reply["message_id"]))["result"] == "It works."
    assert texts(await state_of(server, "t"))[3:] == ["Two", "Step one. ", "It works."]


async def test_a_message_without_a_thread_and_one_of_a_function(serve: Serve) -> None:
    server = await serve(agents=AGENTS)
    for fields in (EMPTY, {"thread_id": "t", "agent": "plain"}):
        message_id = await completed(server, "One", **fields)
        reply = await regenerate(server, message_id)
        assert reply["rolled_back"] == ([message_id] if fields else [])
        assert (await server.ended(reply["message_id"]))["result"].endswith("One")


async def test_a_function_has_no_state_that_could_be_gone(serve: Serve) -> None:
    server = await serve(agents=AGENTS)
    ids = [await completed(server, text, thread_id="t", agent="plain") for text in ("One", "Two")]
    for message_id in ids:
        reply = await regenerate(server, message_id)
        assert (await server.ended(reply["message_id"]))["state"] == "completed"


async def test_unfinished_messages_refuse_or_are_cancelled(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    await completed(server, "One", thread_id="t")
    last = await completed(server, "Two", thread_id="t")
    control.hold("second")
    running = (await server.submit("Three", thread_id="t"))["message_id"]
    await until(lambda: control.waits("second"), "the run waits")
    assert (await regenerate(server, running, 409))["code"] == "not_ended"
    assert (await regenerate(server, last, 409))["code"] == "thread_busy"
    reply = await regenerate(server, last, if_busy="interrupt")
    assert reply["rolled_back"] == [last, running]
    control.release("second")
    assert (await server.ended(running))["state"] == "cancelled"
    assert (await server.ended(reply["message_id"]))["result"] == "Heard: One | Two"


async def test_a_question_is_cancelled(serve: Serve) -> None:
    server = await serve(agents=AGENTS)
    asks = await asking(server, "Delete it", agent="approving", thread_id="t")
    reply = await regenerate(server, asks)
    assert (await server.ended(asks))["state"] == "cancelled"
    assert reply["rolled_back"] == [asks]


async def test_a_state_that_is_no_longer_kept_is_gone(serve: Serve, memory_url: str) -> None:
    """Here by hand what pruning does: the steps of the first turns are missing."""
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    ids = [await completed(server, text, thread_id="t") for text in ("One", "Two", "Three")]
    memory = server.runtime.services.threads._memory()
    await memory.forget_messages("default/thread/t", (2**50, 1), ids[:2])
    refused = await regenerate(server, ids[2], 410)
    assert refused["code"] == "state_gone"
    assert (await server.client.get("/threads/t")).json()["message_count"] == 3


async def test_the_state_that_a_fork_began_with_is_not_forgotten(serve: Serve) -> None:
    """The first message of a fork has a state before it."""
    server = await serve(agents=AGENTS)
    await completed(server, "One", thread_id="t")
    assert (await server.client.post("/threads/t/fork", json={"thread_id": "f"})).status_code == 201
    first = await completed(server, "Two", thread_id="f")
    kept = await regenerate(server, first)
    assert (await server.ended(kept["message_id"]))["result"] == "Heard: One | Two"
    (inherited,) = {
        state["message_id"] for page in await history_of(server, "f", 100) for state in page
    } - {kept["message_id"]}  # fmt: skip
    memory = server.runtime.services.threads._memory()
    await memory.forget_messages("default/thread/f", (2**50, 1), [inherited])
    assert (await regenerate(server, first, 410))["code"] == "state_gone"


async def test_the_state_before_a_message_is_gone_with_an_earlier_message(serve: Serve) -> None:
    """A later message took the place of an earlier one. It must not be forgotten for an answer without context."""
    server = await serve(agents=AGENTS)
    ids = [await completed(server, text, thread_id="t") for text in ("One", "Two", "Three")]
    first = await regenerate(server, ids[0])
    await server.ended(first["message_id"])
    for gone in ids[1:]:
        assert (await regenerate(server, gone, 410))["code"] == "state_gone"
    assert texts(await state_of(server, "t")) == ["One", "Step one. ", "Heard: One"]
    again = await regenerate(server, ids[0])
    assert again["rolled_back"] == [*ids, first["message_id"]]
    assert (await server.ended(again["message_id"]))["result"] == "Heard: One"


async def test_a_message_that_replaced_earlier_ones_is_answered_anew(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    await completed(server, "One", thread_id="t")
    control.hold("second")
    running = (await server.submit("Two", thread_id="t"))["message_id"]
    await until(lambda: control.waits("second"), "the run waits")
    replacing = (await server.submit("Three", thread_id="t", if_busy="rollback"))["message_id"]
    control.release("second")
    for wanted in ([replacing], [running, replacing]):
        assert (await server.ended(replacing))["result"] == "Heard: One | Three"
        reply = await regenerate(server, wanted[0])
        assert reply["rolled_back"][: len(wanted)] == wanted
        await server.ended(reply["message_id"])
    assert texts(await state_of(server, "t"))[-1] == "Heard: One | Two"


async def test_bad_requests_name_what_is_wrong(quiet: LiveServer) -> None:
    message_id = await bring(quiet, MessageState.COMPLETED)
    assert (await regenerate(quiet, "none", 404))["code"] == "message_not_found"
    for body, field in (({"priority": "urgent"}, "priority"), ({"if_busy": "enqueue"}, "if_busy"), ({"x": 1}, "x")):
        refused = await regenerate(quiet, message_id, 422, **body)
        assert [error["field"] for error in refused["errors"]] == [field]
        assert "IfBusy" not in refused["detail"]


async def test_a_caller_of_some_agents_takes_no_turn_of_another_agent_back(serve: Serve) -> None:
    server = await serve(agents=AGENTS)
    key = await issue(server, AccessScope.SUBMIT, AccessScope.READ)
    server.client.headers.update(bearer(key))
    first = await completed(server, "One", thread_id="t", agent="steps")
    second = await completed(server, "Two", thread_id="t", agent="plain")
    for agent, message_id, status in (("steps", first, 403), ("plain", second, 202)):
        narrowed = bearer(await mint(server, key, agents=[agent]))
        response = await server.client.post(f"/messages/{message_id}/regenerate", json={}, headers=narrowed)
        assert response.status_code == status, response.text


async def test_a_repeated_request_makes_one_message(serve: Serve) -> None:
    server = await serve(agents=AGENTS)
    message_id = await completed(server, "One", thread_id="t")
    path, headers = f"/messages/{message_id}/regenerate", {"Idempotency-Key": "again"}
    first = await server.client.post(path, json={}, headers=headers)
    await server.ended(first.json()["message_id"])
    second = await server.client.post(path, json={}, headers=headers)
    assert second.headers["idempotent-replayed"] == "true"
    assert second.json()["message_id"] == first.json()["message_id"]
    reused = await server.client.post(path, json={"priority": "low"}, headers=headers)
    assert reused.json()["code"] == "idempotency_key_reused"


async def test_a_repeated_request_is_answered_as_before_when_the_thread_has_moved_on(serve: Serve) -> None:
    server = await serve(agents=AGENTS)
    ids = [await completed(server, text, thread_id="t") for text in ("One", "Two")]
    path, headers = f"/messages/{ids[1]}/regenerate", {"Idempotency-Key": "again"}
    first = await server.client.post(path, json={}, headers=headers)
    await server.ended(first.json()["message_id"])
    await server.ended((await regenerate(server, ids[0]))["message_id"])
    assert (await regenerate(server, ids[1], 410))["code"] == "state_gone"
    second = await server.client.post(path, json={}, headers=headers)
    assert (second.status_code, second.headers.get("idempotent-replayed")) == (202, "true")
    assert second.json()["message_id"] == first.json()["message_id"]


async def test_only_one_of_many_takes_the_place(serve: Serve) -> None:
    server = await serve(agents=AGENTS)
    message_id = await completed(server, "One", thread_id="t")
    replies = await asyncio.gather(
        *(server.client.post(f"/messages/{message_id}/regenerate", json={}) for _ in range(5))
    )
    accepted = [reply.json() for reply in replies if reply.status_code == 202]
    assert accepted
    assert {reply.json()["code"] for reply in replies if reply.status_code != 202} <= {"thread_busy", "thread_moved"}
    for each in accepted:
        await server.ended(each["message_id"])
    assert texts(await state_of(server, "t")) == ["One", "Step one. ", "Heard: One"]


async def test_a_worker_killed_on_the_way_forgets_nothing_else(
    serve: Serve, control: GraphControl, tmp_path: Any, database: dict[str, str]
) -> None:
    """The next worker goes on with the new message, after the state before the replaced one."""
    api = await serve(
        agents=AGENTS, worker_concurrency=0, database_url=database["DATABASE_URL"], allow_volatile=True,
        lease_seconds=1.5,
    )  # fmt: skip
    environment = {**database, **control.environment, "AGENTS": AGENTS}
    with server_process(tmp_path, "app.worker", **environment) as worker:
        await completed(api, "One", thread_id="t")
        last = await completed(api, "Two", thread_id="t")
        control.hold("second")
        reply = await regenerate(api, last)
        await until(lambda: control.waits("second"), "the run waits")
        worker.kill()
    control.release("second")
    with server_process(tmp_path, "app.worker", **environment):
        assert (await api.ended(reply["message_id"]))["result"] == "Heard: One | Two"
    assert texts(await state_of(api, "t")) == [
        "One",
        "Step one. ",
        "Heard: One",
        "Two",
        "Step one. ",
        "Heard: One | Two",
    ]
