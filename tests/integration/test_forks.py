"""Forks: new threads that begin with a state of another one."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.agents.memory import MemoryOnLoop
from app.errors import StoreUnavailable
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_thread_states import asking, completed, history_of, state_of, texts
from tests.servers import LiveServer, server_process, until

AGENTS = "steps=tests.graphs:steps,approving=tests.graphs:approving,plain=tests.graphs:plain_function"

pytestmark = pytest.mark.usefixtures("control")


async def fork(server: LiveServer, thread: str = "t", status: int = 201, **body: Any) -> dict[str, Any]:
    """POST; the reply's body."""
    response = await server.client.post(f"/threads/{thread}/fork", json=body)
    assert response.status_code == status, response.text
    if status == 201:
        made = await server.client.get(response.headers["location"])
        assert made.json() == response.json()
    return dict(response.json())


async def test_a_fork_goes_its_own_way(serve: Serve, memory_url: str) -> None:
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    first = await completed(server, "One", thread_id="t", agent="steps", metadata={"a": 1}, name="Old")
    state = await state_of(server, "t")
    made = await fork(server, thread_id="a/b %", name="New", metadata={"b": 2})
    assert (made["thread_id"], made["name"], made["metadata"], made["message_count"]) == ("a/b %", "New", {"b": 2}, 0)
    assert made["forked_from"] == {
        "thread_id": "t", "checkpoint_id": state["checkpoint"]["checkpoint_id"], "message_id": first, "agent": "steps",
    }  # fmt: skip
    copied = await state_of(server, "a/b %")
    assert (copied["values"], copied["message_id"]) == (state["values"], first)
    assert copied["checkpoint"]["thread_id"] == "a/b %"
    await completed(server, "Two", thread_id="a/b %")
    await completed(server, "Zwei", thread_id="t")
    assert texts(await state_of(server, "a/b %"))[-1] == "Heard: One | Two"
    assert texts(await state_of(server, "t"))[-1] == "Heard: One | Zwei"
    assert (await server.client.delete("/threads/t")).status_code == 204
    await completed(server, "Three", thread_id="a/b %")
    assert texts(await state_of(server, "a/b %"))[-1] == "Heard: One | Two | Three"


async def test_the_memory_of_a_fork_is_measured(serve: Serve, memory_url: str) -> None:
    """A fork has a memory, and no messages."""
    server = await serve(checkpoint_url=memory_url)
    ended = await server.ended((await server.submit("Hello", thread_id="t"))["message_id"])
    assert ended["state"] == "completed"
    await fork(server, thread_id="forked")
    listed = (await server.client.get("/storage/threads?max_age=0")).json()["threads"]
    (of_list,) = [each for each in listed if each["thread_id"] == "forked"]
    alone = (await server.client.get("/threads/forked/storage?max_age=0")).json()
    assert alone["memory_bytes"] > 0
    assert {name: alone[name] for name in of_list} == of_list


async def test_a_fork_of_a_message_or_a_checkpoint(serve: Serve, memory_url: str) -> None:
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    ids = [await completed(server, text, thread_id="t") for text in ("One", "Two", "Three")]
    made = await fork(server, message_id=ids[1])
    assert made["forked_from"]["message_id"] == ids[1]
    assert len(made["thread_id"]) == 36
    assert texts(await state_of(server, made["thread_id"]))[-1] == "Heard: One | Two"
    (whole,) = await history_of(server, "t", 100)
    at = next(state for state in whole if state["message_id"] == ids[0] and state["next"] == [])
    made = await fork(server, checkpoint_id=at["checkpoint"]["checkpoint_id"])
    await completed(server, "Due", thread_id=made["thread_id"])
    assert texts(await state_of(server, made["thread_id"]))[-1] == "Heard: One | Due"
    assert (await history_of(server, "t", 100)) == [whole]


async def test_a_message_of_a_fork_is_answered_anew(serve: Serve, memory_url: str) -> None:
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    await completed(server, "One", thread_id="t")
    made = await fork(server)
    message_id = await completed(server, "Two", thread_id=made["thread_id"])
    reply = await server.client.post(f"/messages/{message_id}/regenerate", json={})
    assert reply.json()["rolled_back"] == [message_id]
    assert (await server.ended(reply.json()["message_id"]))["result"] == "Heard: One | Two"


async def test_a_fork_of_a_waiting_question_begins_a_new_turn(serve: Serve) -> None:
    server = await serve(agents=AGENTS)
    await asking(server, "Delete it", agent="approving", thread_id="t")
    made = await fork(server)
    assert made["forked_from"]["agent"] == "approving"
    assert (await state_of(server, made["thread_id"]))["next"] == ["asks"]
    await completed(server, "Keep it", thread_id=made["thread_id"], agent="steps")
    assert texts(await state_of(server, made["thread_id"]))[-1] == "Heard: Delete it | Keep it"


async def test_what_cannot_be_forked(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    await completed(server, "One", thread_id="t")
    other = await completed(server, "Two", thread_id="other")
    function = await completed(server, "Three", thread_id="plain", agent="plain")
    assert function
    assert (await fork(server, "none", 404))["code"] == "thread_not_found"
    assert (await fork(server, "plain", 409))["code"] == "agent_without_state"
    assert (await fork(server, "t", 404, checkpoint_id="none"))["code"] == "checkpoint_not_found"
    assert (await fork(server, "t", 404, message_id="none"))["code"] == "message_not_found"
    for body, field in (
        ({"message_id": other}, "message_id"),
        ({"message_id": other, "checkpoint_id": "x"}, "message_id"),
        ({"thread_id": ""}, "thread_id"),
        ({"metadata": {"a": []}}, "metadata.a"),
        ({"agent": "steps"}, "agent"),
    ):
        refused = await fork(server, "t", 422, **body)
        assert [error["field"] for error in refused["errors"]] == [field]
    assert (await fork(server, "t", 409, thread_id="other"))["code"] == "thread_exists"
    waiting = (await server.submit("Later", thread_id="t", delay_seconds=1000))["message_id"]
    assert (await fork(server, "t", 410, message_id=waiting))["code"] == "state_gone"
    control.hold("first")
    await server.submit("Now", thread_id="other")
    await until(lambda: control.waits("first"), "the run waits")
    assert (await fork(server, "other", 409))["code"] == "thread_running"
    control.release("first")
    assert {each["thread_id"] for each in (await server.client.get("/threads")).json()} == {"t", "other", "plain"}


async def test_a_copy_that_fails_leaves_nothing(serve: Serve, monkeypatch: pytest.MonkeyPatch, memory_url: str) -> None:
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    await completed(server, "One", thread_id="t")
    copy = MemoryOnLoop.copy_until

    async def copy_and_fail(*given: Any) -> bool:
        assert await copy(*given)
        raise StoreUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(MemoryOnLoop, "copy_until", copy_and_fail)
        assert (await fork(server, "t", 503, thread_id="new"))["code"] == "store_unavailable"
    await completed(server, "Two", thread_id="new")
    assert texts(await state_of(server, "new")) == ["Two", "Step one. ", "Heard: Two"]


async def test_forks_of_one_id_at_once(serve: Serve, memory_url: str) -> None:
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    await completed(server, "One", thread_id="t")
    replies = await asyncio.gather(
        *(server.client.post("/threads/t/fork", json={"thread_id": "new"}) for _ in range(5)),
        server.client.post("/messages", json={"message": "Two", "thread_id": "new"}),
    )
    codes = sorted(reply.status_code for reply in replies[:-1])
    if replies[-1].status_code == 202:
        assert codes in ([201, 409, 409, 409, 409], [409] * 5)
        await server.ended(replies[-1].json()["message_id"])
        expected = "Heard: One | Two" if 201 in codes else "Heard: Two"
        assert texts(await state_of(server, "new"))[-1] == expected
    else:
        assert codes == [201, 409, 409, 409, 409]
        assert replies[-1].json()["code"] == "thread_not_ready"


async def test_a_fork_and_a_deletion_of_its_source_at_once(serve: Serve, memory_url: str) -> None:
    """The fork is whole, or there is none."""
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    await completed(server, "One", thread_id="t")
    forked, deleted = await asyncio.gather(
        server.client.post("/threads/t/fork", json={"thread_id": "new"}), server.client.delete("/threads/t")
    )
    assert deleted.status_code == 204
    assert forked.status_code in (201, 404, 410)
    await completed(server, "Two", thread_id="new")
    expected = "Heard: One | Two" if forked.status_code == 201 else "Heard: Two"
    assert texts(await state_of(server, "new"))[-1] == expected


async def test_a_newest_state_that_is_deleted_meanwhile_is_looked_up_again(
    serve: Serve, memory_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy finds a state gone that was the newest one. Only a fork of this very state is refused."""
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    ids = [await completed(server, text, thread_id="t") for text in ("One", "Two", "Three")]
    memory = server.runtime.services.threads._memory()
    copy = MemoryOnLoop.copy_until

    async def forget_and_copy(self: MemoryOnLoop, *given: Any) -> bool:
        if len(ids) > 1:
            await memory.forget_messages("default/thread/t", (2**50, 1), [ids.pop()])
        return await copy(self, *given)

    monkeypatch.setattr(MemoryOnLoop, "copy_until", forget_and_copy)
    newest = (await state_of(server, "t"))["checkpoint"]["checkpoint_id"]
    refused = await server.client.post("/threads/t/fork", json={"thread_id": "f", "checkpoint_id": newest})
    assert (refused.status_code, refused.json()["code"]) == (410, "state_gone")
    forked = await server.client.post("/threads/t/fork", json={"thread_id": "f"})
    assert (forked.status_code, forked.json()["forked_from"]["message_id"]) == (201, ids[0])
    assert texts(await state_of(server, "f"))[-1] == "Heard: One"


async def test_a_fork_and_a_message_of_its_source_at_once(serve: Serve, memory_url: str) -> None:
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    await completed(server, "One", thread_id="t")
    forked, sent = await asyncio.gather(
        server.client.post("/threads/t/fork", json={"thread_id": "new"}),
        server.client.post("/messages", json={"message": "Two", "thread_id": "t"}),
    )
    await server.ended(sent.json()["message_id"])
    assert texts(await state_of(server, "t"))[-1] == "Heard: One | Two"
    if forked.status_code == 201:
        assert texts(await state_of(server, "new"))[2] == "Heard: One"
    else:
        assert forked.json()["code"] == "thread_running"
        assert (await server.client.get("/threads/new")).status_code == 404


@pytest.mark.parametrize("place", ["before", "after"])
async def test_a_fork_cut_off_halfway_leaves_nothing(
    database: dict[str, str],
    tmp_path: Path,
    control: GraphControl,
    place: str,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The process dies before or after the copy. The id is free when the draft is old, and its memory deleted."""
    environment = {**database, **control.environment, "AGENTS": AGENTS, "DIES": place}
    server = await serve(agents=AGENTS, database_url=database["DATABASE_URL"], allow_volatile=True)
    await completed(server, "One", thread_id="t")
    with server_process(tmp_path, "tests.dies_while_forking", WORKER_CONCURRENCY="0", **environment) as dying:
        await dying.ready()
        async with httpx2.AsyncClient(timeout=60, trust_env=False, verify=False) as client:
            with pytest.raises(httpx2.TransportError):
                await client.post(f"{dying.url}/threads/t/fork", json={"thread_id": "new"})
    assert (await server.client.get("/threads/new")).status_code == 404
    two = {"message": "Two", "thread_id": "new"}
    assert (await server.client.post("/messages", json=two)).json()["code"] == "thread_not_ready"
    await server.runtime._maintenance.prune()
    assert (await server.client.post("/messages", json=two)).json()["code"] == "thread_not_ready"
    for engine in ("sqlite", "postgres", "redis"):
        monkeypatch.setattr(f"app.store.{engine}.upkeep.DRAFT_SECONDS", -1)
    await server.runtime._maintenance.prune()
    await completed(server, "Two", thread_id="new")
    assert texts(await state_of(server, "new")) == ["Two", "Step one. ", "Heard: Two"]


async def test_only_turns_that_are_kept_can_be_forked_or_answered_anew(serve: Serve, memory_url: str) -> None:
    server = await serve(agents=AGENTS, checkpoint_url=memory_url, checkpoint_history=1)
    ids = [await completed(server, text, thread_id="t") for text in ("One", "Two", "Three", "Four")]
    assert (await fork(server, "t", 410, message_id=ids[0]))["code"] == "state_gone"
    refused = await server.client.post(f"/messages/{ids[1]}/regenerate", json={})
    assert (refused.status_code, refused.json()["code"]) == (410, "state_gone")
    made = await fork(server, message_id=ids[2])
    await completed(server, "Vier", thread_id=made["thread_id"])
    assert texts(await state_of(server, made["thread_id"]))[-1] == "Heard: One | Two | Three | Vier"
    reply = (await server.client.post(f"/messages/{ids[3]}/regenerate", json={})).json()
    assert (await server.ended(reply["message_id"]))["result"] == "Heard: One | Two | Three | Four"
