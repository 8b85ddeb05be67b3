"""The states of a thread: what the agent keeps of it, at each of its checkpoints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from app.config import Settings
from tests.contract.builders import OTHER_CALLER
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.servers import LiveServer, live_server, until

STEPS = "steps=tests.graphs:steps"
AGENTS = f"{STEPS},approving=tests.graphs:approving,odd=tests.graphs:odd,made=tests.graphs:made"
NOTHING: dict[str, Any] = {
    "values": {}, "next": [], "tasks": [], "interrupts": [], "checkpoint": None, "parent_checkpoint": None,
    "metadata": {}, "message_id": None, "created_at": None,
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("control")


async def completed(server: LiveServer, text: str, **fields: Any) -> str:
    """The id of a new message that has completed."""
    message_id = (await server.submit(text, **fields))["message_id"]
    status = await server.ended(message_id)
    assert status["state"] == "completed", status
    return str(message_id)


async def asking(server: LiveServer, text: str, **fields: Any) -> str:
    """The id of a new message that asks a human."""
    message_id = (await server.submit(text, **fields))["message_id"]

    async def asks() -> bool:
        return bool((await server.status(message_id))["state"] == "interrupted")

    await until(asks, "the message asks")
    return str(message_id)


async def state_of(server: LiveServer, thread: str, **query: Any) -> dict[str, Any]:
    """The state of a thread."""
    response = await server.client.get(f"/threads/{quote(thread, safe='')}/state", params=query)
    assert response.status_code == 200, response.text
    return dict(response.json())


def texts(state: dict[str, Any]) -> list[str]:
    """The texts of a state's messages."""
    return [message["content"] for message in state["values"]["messages"]]


async def history_of(server: LiveServer, thread: str, limit: int) -> list[list[dict[str, Any]]]:
    """All pages of a thread's history."""
    pages: list[list[dict[str, Any]]] = []
    path = f"/threads/{thread}/history?limit={limit}"
    for _ in range(100):
        response = await server.client.get(path)
        assert response.status_code == 200, response.text
        if not (states := response.json()["states"]):
            assert "link" not in response.headers
            return pages
        pages.append(states)
        path = response.links["next"]["url"]
    raise AssertionError("the pages do not end")


async def test_a_state_has_what_the_agent_remembers(serve: Serve, memory_url: str) -> None:
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    thread = "a/b %c"
    first = await completed(server, "One", thread_id=thread, metadata={"topic": "numbers"})
    state = await state_of(server, thread)
    assert texts(state) == ["One", "Step one. ", "Heard: One"]
    assert state["values"]["messages"][0]["id"] == first
    assert (state["next"], state["tasks"], state["interrupts"]) == ([], [], [])
    assert state["message_id"] == first
    assert state["metadata"]["topic"] == "numbers"
    assert state["checkpoint"].keys() == {"thread_id", "checkpoint_ns", "checkpoint_id"}
    assert state["checkpoint"]["thread_id"] == state["parent_checkpoint"]["thread_id"] == thread
    assert "default/thread" not in str(state)
    second = await completed(server, "Two", thread_id=thread)
    newest = await state_of(server, thread)
    assert (newest["message_id"], texts(newest)[-1]) == (second, "Heard: One | Two")
    kept = await state_of(server, thread, checkpoint_id=state["checkpoint"]["checkpoint_id"])
    assert kept == state


async def test_the_history_is_paged_by_checkpoints(serve: Serve, memory_url: str) -> None:
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    ids = [await completed(server, text, thread_id="t") for text in ("One", "Two")]
    (whole,) = await history_of(server, "t", 100)
    assert [state["message_id"] for state in whole] == [ids[1]] * 4 + [ids[0]] * 4
    assert [state["next"] for state in whole] == [[], ["second"], ["first"], ["__start__"]] * 2
    assert len(texts(whole[0])) == 6
    assert [state["checkpoint"] for state in whole[1:]] == [state["parent_checkpoint"] for state in whole[:-1]]
    assert whole[0] == await state_of(server, "t")
    pages = await history_of(server, "t", 3)
    assert [len(page) for page in pages] == [3, 3, 2]
    assert [state for page in pages for state in page] == whole


async def test_a_page_of_long_states_ends_early(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.thread_manager.PAGE_TEXT_LENGTH", 1)
    server = await serve(agents=AGENTS)
    await completed(server, "One", thread_id="t")
    assert [len(page) for page in await history_of(server, "t", 3)] == [1, 1, 1, 1]


async def test_a_state_shows_questions_and_the_subgraphs_on_request(serve: Serve, memory_url: str) -> None:
    server = await serve(agents=f"{AGENTS},asks_inside=tests.graphs:asks_inside", checkpoint_url=memory_url)
    message_id = await asking(server, "Delete it", agent="asks_inside", thread_id="t")
    (question,) = (await server.status(message_id))["interrupts"]
    state = await state_of(server, "t")
    assert state["interrupts"] == [question]
    (task,) = state["tasks"]
    assert (state["next"], task["name"], task["interrupts"]) == (["inner"], "inner", [question])
    assert task["state"] is None
    (task,) = (await state_of(server, "t", subgraphs="true"))["tasks"]
    assert task["state"]["next"] == ["asks"]
    assert [each["content"] for each in task["state"]["values"]["messages"]] == ["Delete it", "Step one. "]
    assert task["state"]["checkpoint"]["checkpoint_ns"].startswith("inner:")


async def test_a_thread_whose_agent_has_made_no_step_has_an_empty_state(serve: Serve, control: GraphControl) -> None:
    quiet = await serve(agents=AGENTS, worker_concurrency=0)
    await quiet.submit("Hello", thread_id="t")
    assert await state_of(quiet, "t") == NOTHING
    assert (await quiet.client.get("/threads/t/history")).json() == {"states": []}


async def test_a_process_without_a_worker_loads_the_agents_for_the_first_state(
    tmp_path: Path, settings: Callable[..., Settings]
) -> None:
    async with live_server(settings(agents=AGENTS)) as worker:
        await completed(worker, "One", thread_id="t")
        async with live_server(settings(agents=AGENTS, worker_concurrency=0)) as api:
            assert not list(api.runtime.services.registry.available)
            assert await state_of(api, "t") == await state_of(worker, "t")
            assert len(api.runtime.services.registry.available) == 4
            assert (await api.client.get("/health/ready")).status_code == 200


async def test_an_agent_that_cannot_be_loaded_is_503(tmp_path: Path, settings: Callable[..., Settings]) -> None:
    module = tmp_path / "broken.py"
    module.write_text("raise RuntimeError('sk-test-key-123456 is wrong')")
    async with live_server(settings(agents=f"broken={module}:graph", worker_concurrency=0)) as api:
        await api.submit("Hello", thread_id="t")
        refused = await api.client.get("/threads/t/state")
        assert (refused.status_code, refused.json()["code"]) == (503, "agent_unavailable")
        assert refused.headers["retry-after"]
        assert "RuntimeError" in refused.json()["detail"]
        assert "sk-test" not in refused.text


async def test_a_state_of_any_python_objects_is_shown_as_json(serve: Serve, memory_url: str) -> None:
    """The event `values` shows the same state."""
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    message_id = (await server.submit("Hello", agent="odd", thread_id="t", events=["values"]))["message_id"]
    assert (await server.ended(message_id))["state"] == "completed"
    events = (await server.client.get(f"/messages/{message_id}/events")).json()["events"]
    shown = [event["data"]["values"] for event in events if event["type"] == "values"][-1]
    assert (await state_of(server, "t"))["values"] == shown


async def test_a_factory_makes_the_graph_of_a_state(serve: Serve) -> None:
    server = await serve(agents=AGENTS)
    await completed(server, "One", thread_id="t", agent="made")
    assert texts(await state_of(server, "t")) == ["One", "Step one. "]


async def test_a_waiting_message_of_another_agent_does_not_hide_the_question(serve: Serve) -> None:
    server = await serve(agents=AGENTS)
    message_id = await asking(server, "Delete it", agent="approving", thread_id="t")
    waiting = await server.submit("Later", agent="steps", thread_id="t")
    for _ in range(2):
        state = await state_of(server, "t")
        assert (state["next"], len(state["interrupts"])) == (["asks"], 1)
        assert state["message_id"] == message_id
        await server.client.delete(f"/messages/{waiting['message_id']}")  # cancelled before it began


async def test_the_agent_can_be_named(serve: Serve) -> None:
    server = await serve(agents=AGENTS)
    await completed(server, "One", thread_id="t", agent="made")
    state = await state_of(server, "t", agent="steps")
    assert texts(state) == ["One", "Step one. "]


@pytest.mark.parametrize(
    ("path", "status", "code", "field"),
    [
        ("/threads/none/state", 404, "thread_not_found", None),
        ("/threads/none/history", 404, "thread_not_found", None),
        ("/threads/t/state?agent=none", 422, "unknown_agent", "agent"),
        ("/threads/t/state?checkpoint_id=none", 404, "checkpoint_not_found", None),
        ("/threads/t/state?checkpoint_id=%00", 422, "validation_error", "checkpoint_id"),
        ("/threads/t/state?subgraphs=perhaps", 422, "validation_error", "subgraphs"),
        ("/threads/t/state?agent=plain", 409, "agent_without_state", None),
        ("/threads/t/history?limit=101", 422, "validation_error", "limit"),
        ("/threads/t/history?cursor=bad", 422, "invalid_request", "cursor"),
        ("/threads/t/state?wrong=1", 422, "validation_error", "wrong"),
    ],
)
async def test_bad_requests_name_what_is_wrong(
    serve: Serve, path: str, status: int, code: str, field: str | None
) -> None:
    server = await serve(agents=f"{AGENTS},plain=tests.graphs:plain_function")
    await completed(server, "One", thread_id="t")
    response = await server.client.get(path)
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert [each["field"] for each in response.json().get("errors", [])] == ([field] if field else [])


async def test_the_threads_of_others_have_no_state(serve: Serve) -> None:
    server = await serve(agents=AGENTS)
    await completed(server, "One", thread_id="t")
    manager = server.runtime.services.threads
    with pytest.raises(Exception, match="There is no thread"):
        await manager.read_state(OTHER_CALLER, "t", agent=None, checkpoint_id=None, subgraphs=False)


async def test_a_hanging_agent_does_not_hold_the_request(
    serve: Serve, control: GraphControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.agents.conversations.ANSWER_SECONDS", 0.2)
    server = await serve(agents=f"{AGENTS},slow=tests.graphs:slow_to_make")
    await server.submit("Hello", thread_id="t", agent="slow", delay_seconds=1000)
    control.hold("make")
    response = await server.client.get("/threads/t/state", timeout=httpx2.Timeout(10))
    assert (response.status_code, response.json()["code"]) == (503, "agent_unavailable")


async def test_an_agent_whose_code_fails_is_told_without_secrets(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=f"{AGENTS},slow=tests.graphs:slow_to_make")
    await server.submit("Hello", thread_id="t", agent="slow", delay_seconds=1000)
    control.crash("make")
    response = await server.client.get("/threads/t/state")
    assert (response.status_code, response.json()["code"]) == (500, "agent_error")
    assert "ValueError: no graph" in response.json()["detail"]
    assert "sk-test" not in response.text
