"""Graphs of each kind in a real server: what they take and what they return."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.access.principals import ANONYMOUS
from app.config import Settings, share_environment
from app.models.inputs import RunConfig, RunInput
from app.models.messages import MessageOptions, NewMessage, new_message_id
from tests import wire
from tests.graph_control import GraphControl
from tests.pages import DOCS, ROOT
from tests.servers import LiveServer, live_server, server_process, until

ANY_STATE = "any_state=tests.graphs:any_state"

KINDS: dict[str, tuple[dict[str, Any], str, Any]] = {
    "messages": ({}, "HELLO", None),
    "any_state": (
        {"input": {"question": "why"}},
        '{"question": "why", "answer": "WHY"}',
        {"question": "why", "answer": "WHY"},
    ),
    "pydantic_state": ({"input": {"count": 2}}, '{"count": 2, "doubled": 4}', {"count": 2, "doubled": 4}),
    "dataclass_state": ({"input": {"count": 2}}, '{"count": 2, "doubled": 4}', {"count": 2, "doubled": 4}),
    "schemas": ({"input": {"question": "why"}}, '{"answer": "WHY"}', {"answer": "WHY"}),
    "context": ({"context": {"user": "Ann"}}, "Hello, Ann", None),
    "functional": ({"input": {"numbers": [2, 3]}}, '{"squares": [4, 9]}', {"squares": [4, 9]}),
    "functional_text": ({}, "HELLO", None),
    "send": (
        {"input": {"parts": ["a", "b"]}},
        '{"parts": ["a", "b"], "done": ["A", "B"]}',
        {"parts": ["a", "b"], "done": ["A", "B"]},
    ),
    "command": (
        {"input": {"question": "why"}},
        '{"question": "why", "answer": "WHY"}',
        {"question": "why", "answer": "WHY"},
    ),
    "subgraph": (
        {"input": {"question": "why"}},
        '{"question": "why", "answer": "WHY"}',
        {"question": "why", "answer": "WHY"},
    ),
    "dict_messages": ({}, "A dictionary.", None),
    "pair_messages": ({}, "A pair.", None),
    "factory": ({}, "made", None),
    "config_factory": ({"config": RunConfig(configurable={"model": "small"})}, "small", None),
    "runtime_factory": ({"context": {"user": "Ann"}}, "{'user': 'Ann'}", None),
    "context_manager": ({}, "open", None),
    "plain_context_manager": ({}, "open", None),
    "function": ({"input": {"count": 2}}, '{"count": 2, "doubled": 4}', {"count": 2, "doubled": 4}),
    "generator": ({"blocks": ({"type": "image", "url": "x"},)}, "image", {"blocks": 1}),
    "environment": ({}, "from the project", None),
}
"""Input, result and output for each row of docs/reference/graphs.md."""


async def submit(server: LiveServer, agent: str, content: str = "Hello", thread: str | None = None, **run: Any) -> str:
    """Store a message that gives its agent more than a text; return its id."""
    options = MessageOptions(run=RunInput(**run))
    wanted = NewMessage(content=content, agent=agent, thread_id=thread, options=options)
    accepted = await server.runtime.services.queue.submit(ANONYMOUS, [wanted])
    return accepted.messages[0].id


async def submit_unchecked(server: LiveServer, agent: str, **run: Any) -> str:
    """Store a message as a process does that knows no description of the agent; return its id."""
    options = MessageOptions(run=RunInput(**run))
    wanted = NewMessage(content="Hello", agent=agent, options=options, id=new_message_id())
    accepted = await server.runtime.services.store.add([wanted], max_queued=100)
    return accepted.messages[0].id


async def ended(server: LiveServer, agent: str, content: str = "Hello", **run: Any) -> dict[str, Any]:
    return await server.ended(await submit(server, agent, content, **run))


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_of_the_table_answers(
    tmp_path: Path, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    given, result, output = KINDS[kind]
    file = tmp_path / "langgraph.json"
    project = {"dependencies": [str(ROOT)], "graphs": {kind: f"{ROOT}/tests/graph_kinds.py:{kind}"}}
    file.write_text(json.dumps({**project, "env": {"GRAPH_KINDS_NAME": "from the project"}}))
    configured = settings(langgraph_config=file, configurable_keys="model")
    monkeypatch.setenv("GRAPH_KINDS_NAME", "")
    share_environment(configured, env_file=str(tmp_path / "none"))
    async with live_server(configured) as server:
        status = await ended(server, kind, **given)
    assert (status["state"], status["error"]) == ("completed", None)
    assert (status["result"], status["output"]) == (result, output)


def test_the_table_has_a_row_for_each_kind() -> None:
    table = (DOCS / "reference" / "graphs.md").read_text("utf-8")
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(KINDS)


async def test_a_graph_of_any_state_goes_on_after_a_killed_process(
    tmp_path: Path, settings: Callable[..., Settings], control: GraphControl, memory_url: str
) -> None:
    control.crash("ends")
    async with live_server(settings(agents=ANY_STATE, worker_concurrency=0)) as api:
        message_id = await submit(api, "any_state", thread="t", input={"question": "why"})
        behind = await submit(api, "any_state", thread="t", input={"question": "how"})
        environment = {"AGENTS": ANY_STATE, "CHECKPOINT_URL": memory_url, **control.environment}
        with server_process(tmp_path, "app.worker", **environment) as worker:
            await until(lambda: worker.process.poll() is not None, "the process is gone")
            assert worker.process.returncode == 9
    async with live_server(settings(agents=ANY_STATE, lease_seconds=1.5, checkpoint_url=memory_url)) as second:
        status = await second.ended(message_id)
        assert status["output"] == {"question": "why", "steps": ["begins", "ends"], "answer": "WHY"}
        assert (await second.ended(behind))["output"]["steps"] == ["begins", "ends"] * 2
        wire.check_log(await wire.frames_of(second.url, message_id))
    assert control.runs == {"begins": 2, "ends": 3}


async def test_what_does_not_fit_fails_at_once_with_its_field(
    settings: Callable[..., Settings], control: GraphControl
) -> None:
    async with live_server(settings(agents=ANY_STATE, max_attempts=3)) as server:
        status = await server.ended(await submit_unchecked(server, "any_state", input={"question": 3}))
        assert (status["state"], status["error_code"], status["attempt"]) == ("failed", "invalid_input", 1)
        assert status["error"] == 'input.question: 3 is not of type "string".'
        without = await server.ended(await submit_unchecked(server, "any_state"))
        assert without["error"].startswith("message: ")
    assert control.runs == {}


async def test_a_large_output_fails_with_both_sizes_and_shows_nothing_of_it(
    settings: Callable[..., Settings], control: GraphControl
) -> None:
    async with live_server(settings(agents=ANY_STATE, max_output_bytes=1024)) as server:
        message_id = await submit(server, "any_state", input={"question": "\u00e9" * 1000})
        status = await server.ended(message_id)
        frames = await wire.frames_of(server.url, message_id)
    assert (status["state"], status["error_code"], status["attempt"]) == ("failed", "output_too_large", 1)
    assert re.match(r"The output takes 40\d\d bytes, and MAX_OUTPUT_BYTES allows 1024\.", status["error"])
    assert [frame.event for frame in frames if frame.event == "chunk"] == []


async def test_the_end_of_a_plain_answer_has_no_output(server: LiveServer) -> None:
    message_id = (await server.submit("Hello"))["message_id"]
    (done,) = [frame for frame in await wire.frames_of(server.url, message_id) if frame.event == "done"]
    assert set(done.data) == {"state", "result", "completed_at"}
