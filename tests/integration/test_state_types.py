"""Values and classes in the state of a graph, as who sends messages sees them."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tests import wire
from tests.integration.conftest import Serve
from tests.servers import LiveServer, server_process, until
from tests.state_graphs import SHOWN

AGENTS = "works=tests.state_graphs:graph"
ALLOWED = "tests.state_classes:Plan , tests.other"


async def ends(server: LiveServer, text: str) -> dict[str, Any]:
    """The status of a message of the thread, once it has ended."""
    return dict(await server.ended((await server.submit(text, thread_id="t"))["message_id"]))


async def test_a_class_that_the_setting_names_comes_back(serve: Serve, memory_url: str) -> None:
    first = await serve(agents=AGENTS, checkpoint_url=memory_url, allowed_state_types=ALLOWED)
    assert (await ends(first, "make"))["result"] == "Plan(steps='three steps')"
    assert (await ends(first, "tell"))["result"] == "Plan(steps='three steps')"


async def test_a_message_that_misses_a_class_says_which_and_the_thread_goes_on(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """It fails at once, since only a restart with another setting helps."""
    server = await serve(agents=AGENTS)
    await ends(server, "make")
    status = await ends(server, "use")
    assert (status["state"], status["error_code"], status["attempt"]) == ("failed", "state_type_refused", 1)
    assert status["error"].startswith(
        "StateTypesRefused: Add tests.state_classes:Plan to ALLOWED_STATE_TYPES and restart the worker."
    )
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any("failed" in text and "tests.state_classes:Plan to ALLOWED_STATE_TYPES" in text for text in warnings)
    assert any("type=tests.state_classes:Plan, ALLOWED_STATE_TYPES does not name it" in text for text in warnings)
    assert (await ends(server, "tell"))["result"] == "{'steps': 'three steps'}"


async def test_a_value_that_cannot_be_stored_fails_its_message_only(serve: Serve, memory_url: str) -> None:
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    status = await ends(server, "lock")
    assert (status["state"], status["error_code"], status["attempt"]) == ("failed", "state_not_storable", 1)
    assert status["error"].startswith("The state cannot be stored: `value.locks[0]` is a _thread:lock.")
    assert (await ends(server, "tell"))["result"] == "None"


async def test_odd_values_are_shown_and_taken(serve: Serve, memory_url: str) -> None:
    server = await serve(agents=AGENTS, checkpoint_url=memory_url)
    called = (await server.submit("call"))["message_id"]
    await server.ended(called)
    (call,) = [
        frame.data for frame in await wire.frames_of(server.url, called) if frame.data.get("type") == "tool_call"
    ]
    assert call["chunk"]["args"] == SHOWN
    asking = (await server.submit("ask"))["message_id"]
    async with wire.stream(server.url, asking) as stream:
        asked = await stream.until("interrupted")
        assert asked.data["interrupts"][0]["value"] == SHOWN
        status = await server.status(asking)
        assert status["interrupts"] == asked.data["interrupts"]
        answer = {"large": 2**70, "float": 1e22, "deep": json.loads("[" * 90 + "]" * 90)}
        response = await server.client.post(f"/messages/{asking}/resume", json={"value": answer})
        assert response.status_code == 202
        await stream.rest()
    assert (await server.ended(asking))["result"] == ascii(answer)


@pytest.mark.parametrize("number", ["1e999", "NaN", "1" + "0" * 5_000])
async def test_answers_that_json_or_python_has_no_number_for_are_refused(serve: Serve, number: str) -> None:
    server = await serve(agents=AGENTS)
    asking = (await server.submit("ask"))["message_id"]
    async with wire.stream(server.url, asking) as stream:
        await stream.until("interrupted")
        response = await server.client.post(
            f"/messages/{asking}/resume", content=f'{{"value": {number}}}', headers={"Content-Type": "application/json"}
        )
        assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
        await server.client.post(f"/messages/{asking}/cancel")
        await stream.rest()


async def test_names_that_allow_nothing_are_told_when_the_agents_are_loaded(tmp_path: Path) -> None:
    """The module is importable only when the agent of its file is loaded."""
    folder = tmp_path / "graphs"
    folder.mkdir()
    (folder / "planning.py").write_text("from tests.graphs import plain_state\n\n\nclass Plan:\n    pass\n")
    agents, names = f"plain={folder}/planning.py:plain_state", "planning:Plan,planning.Plan,nomodule:Plan"
    with server_process(tmp_path, AGENTS=agents, ALLOWED_STATE_TYPES=names) as server:
        await server.ready()
        told = "ALLOWED_STATE_TYPES has a name that allows nothing: "
        await until(lambda: server.output.count(told) == 2, "the log tells the wrong names")
        assert f"{told}planning.Plan, a class is named with a colon: planning:Plan\n" in server.output
        assert f"{told}nomodule:Plan, its module cannot be imported (ModuleNotFoundError)\n" in server.output
        assert f"{told}planning:Plan" not in server.output
