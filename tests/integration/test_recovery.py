"""Servers that are killed, stopped, started twice or started wrong. Real processes; the life after is often this one."""

import asyncio
import contextlib
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.config import Settings
from tests import wire
from tests.graph_control import GraphControl
from tests.integration.conftest import ChatProcess
from tests.openai_stub import Gate, openai_stub_in_thread
from tests.servers import ServerProcess, live_server, server_process, until

STEPS = "steps=tests.graphs:steps"
API_ONLY = {"WORKER_CONCURRENCY": "0"}


async def submit(server: ServerProcess, message: str, **fields: Any) -> str:
    """The id of an accepted message."""
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, verify=False, timeout=30) as client:
        response = await client.post("/messages", json={"message": message, **fields})
    assert response.status_code == 202, response.text
    return str(response.json()["message_id"])


async def get(server: ServerProcess, path: str) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, verify=False, timeout=30) as client:
        return await client.get(path)


# kill -9


async def test_accepted_messages_survive_a_kill(tmp_path: Path, settings: Callable[..., Settings]) -> None:
    with server_process(tmp_path, **API_ONLY) as server:
        await server.ready()
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False, verify=False, timeout=30) as client:
            accepted: dict[str, str] = {}

            async def send(number: int) -> None:
                body = {"message": f"number {number}", "thread_id": f"t{number % 5}"}
                with contextlib.suppress(httpx2.TransportError):  # those after the kill were not accepted
                    response = await client.post("/messages", json=body)
                    accepted[response.json()["message_id"]] = body["message"]
                    if len(accepted) == 30:
                        server.kill()

            await asyncio.gather(*(send(number) for number in range(60)))
    assert len(accepted) >= 30
    async with live_server(settings(worker_concurrency=4)) as second:
        for message_id, text in accepted.items():
            status = await second.ended(message_id)
            assert (status["state"], status["user_message"]) == ("completed", text)
            assert status["result"] == f"You said: {text}"


async def test_a_message_cut_off_goes_on_from_its_last_finished_step(
    tmp_path: Path, settings: Callable[..., Settings], control: GraphControl
) -> None:
    control.hold("second")
    with server_process(tmp_path, AGENTS=STEPS, **control.environment) as server:
        await server.ready()
        message_id = await submit(server, "Hello", thread_id="t")
        behind = await submit(server, "Bye", thread_id="t")
        alone = await submit(server, "Alone", priority="high")
        async with wire.stream(server.url, message_id) as stream:
            step_one = await stream.until("chunk")
            await until(lambda: control.waits("second"), "the second step runs")
            server.kill()
            assert await stream.rest() == []
            assert not stream.ended_cleanly
    control.release("second")

    async with live_server(settings(agents=STEPS, lease_seconds=1.5)) as second:
        rest = await wire.frames_of(second.url, message_id, last_event_id=step_one.id)
        whole = await wire.frames_of(second.url, message_id)
        status = await second.ended(message_id)
        assert (await second.ended(behind))["result"] == "Heard: Hello | Bye"
        assert (await second.ended(alone))["result"] == "Heard: Alone"
    assert [f for f in rest if f.id is not None] == whole[step_one.id :]
    wire.check_log(whole)
    processing, _, retry, again, *chunks, done = whole
    assert [f.event for f in (processing, retry, again, done)] == ["processing", "retry", "processing", "done"]
    assert retry.data["state"] == "queued"
    assert (retry.data["attempt"], retry.data["discard_from"], again.data["attempt"]) == (1, 1, 2)
    assert [f.data["chunk"] for f in chunks] == ["Step one. ", "Heard: Hello"]  # the human turn is there once
    assert done.data["result"] == "Heard: Hello"
    assert (status["attempt"], status["error"]) == (2, None)
    assert control.runs == {"first": 3, "second": 4}  # three messages; only the step that was cut off ran twice


async def test_a_step_that_kills_its_process_loses_nothing(
    tmp_path: Path, settings: Callable[..., Settings], control: GraphControl
) -> None:
    control.crash("second")
    with server_process(tmp_path, AGENTS=STEPS, **control.environment) as server:
        await server.ready("/health/live")
        poison = await submit(server, "Poison", thread_id="t")
        behind = await submit(server, "Behind", thread_id="t")
        await until(lambda: server.process.poll() is not None, "the process is gone")
        assert server.process.returncode == 9
    async with live_server(settings(agents=STEPS, lease_seconds=1.5)) as second:
        assert (await second.ended(poison))["result"] == "Heard: Poison"
        assert (await second.ended(behind))["result"] == "Heard: Poison | Behind"
        wire.check_log(await wire.frames_of(second.url, poison))


# Several processes


async def test_the_api_streams_what_another_process_makes(tmp_path: Path, settings: Callable[..., Settings]) -> None:
    with openai_stub_in_thread() as stub:
        model = {"OPENAI_BASE_URL": stub.base_url, "OPENAI_API_KEY": "sk-test-key"}
        async with live_server(settings(worker_concurrency=0)) as api:
            with server_process(tmp_path, "app.worker", **model) as worker:
                gate = Gate("one two three")
                stub.replies.append(gate)
                first = (await api.submit(thread_id="t"))["message_id"]
                second = (await api.submit(thread_id="t"))["message_id"]
                async with wire.stream(api.url, first) as one, wire.stream(api.url, second) as two:
                    assert (await two.until("waiting")).data["position"] == 1
                    await one.until("processing")
                    assert (await two.until("waiting")).data["position"] == 0
                    for token in ("one", " two", " three"):
                        gate.release()
                        assert (await one.until("chunk")).data["chunk"] == token
                    assert [frame.event for frame in await one.rest()] == ["done"]
                    assert (await two.rest())[-1].event == "done"
                    wire.check_log(one.frames)
                stub.replies.append(Gate("never released"))
                held = (await api.submit())["message_id"]
                await stub.received(3)
                worker.process.send_signal(signal.SIGTERM)
                await until(lambda: "draining" in worker.output, "the worker drains")
                assert (await api.status(held))["state"] == "processing"
                worker.process.send_signal(signal.SIGTERM)  # not waiting for the grace to end
                assert await asyncio.to_thread(worker.process.wait, 5) == 128 + signal.SIGTERM
                assert "Worker started" in worker.output


# SIGTERM


async def test_sigterm_closes_idle_streams_and_ends_within_5_seconds(tmp_path: Path) -> None:
    with server_process(tmp_path, **API_ONLY, KEEPALIVE_INTERVAL="3600") as server:
        await server.ready()
        message_id = await submit(server, "Never run")
        async with contextlib.AsyncExitStack() as streams:
            readers = [await streams.enter_async_context(wire.stream(server.url, message_id)) for _ in range(20)]
            for reader in readers:
                await reader.until("waiting")
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            for reader in readers:
                assert await reader.rest() == []
                assert reader.ended_cleanly
            code = await asyncio.to_thread(server.process.wait, 10)
            assert time.monotonic() - began < 5
    assert code == -signal.SIGTERM  # uvicorn raises the signal again after it has stopped, as it should be
    assert "Stopped" in server.output
    assert "Traceback" not in server.output


# Starting


def test_the_port_opens_long_before_the_agents_are_loaded(chat_process: ChatProcess) -> None:
    assert chat_process.seconds_to_port < 5
    assert list(dict.fromkeys(chat_process.health_while_starting)) == ["starting", "healthy"]


async def test_the_server_answers_while_a_module_of_the_user_is_imported(
    tmp_path: Path, settings: Callable[..., Settings], control: GraphControl
) -> None:
    """A module that takes its time: it may block a thread, not the event loop."""
    module = tmp_path / "slow_graph.py"
    module.write_text(
        "from tests.graph_control import GraphControl\n"
        "from tests.graphs import _block, steps\n"
        "_block(GraphControl.of_environment(), 'import', 5)\n"
    )
    control.hold("import")
    async with live_server(settings(agents=f"slow={module}:steps")) as server:
        await until(lambda: control.waits("import"), "the module is being imported")
        health = (await server.client.get("/health")).json()
        assert health["status"] == "starting"
        assert health["checks"]["agents"] == {"ok": False, "detail": "still loading"}
        assert (await server.client.get("/health/ready")).status_code == 503
        message_id = (await server.submit("Hello"))["message_id"]
        assert (await server.status(message_id))["state"] == "queued"
        control.release("import")
        assert (await server.ended(message_id))["result"] == "Heard: Hello"
        assert (await server.client.get("/health/ready")).status_code == 200


BROKEN_GRAPHS = {
    "raises": "raise RuntimeError('no such table')",
    "syntax error": "def broken(:",
    "missing module": "import a_module_that_is_not_there",
    "no such attribute": "other = 1",
    "no graph": "graph = 5",
    "no messages": "from tests.graphs import counting as graph",
    "factory that raises": "def graph(): raise RuntimeError('no such table')",
    "system exit": "import sys; sys.exit(3)",
}


@pytest.mark.parametrize("case", BROKEN_GRAPHS)
async def test_a_broken_graph_stops_nothing_and_loses_nothing(
    tmp_path: Path, settings: Callable[..., Settings], control: GraphControl, case: str
) -> None:
    file = tmp_path / f"graph_{case.replace(' ', '_')}.py"
    file.write_text(BROKEN_GRAPHS[case])
    agents = f"{STEPS},mine={file}:graph"
    async with live_server(settings(agents=agents)) as server:
        assert (await server.ended((await server.submit("Hello"))["message_id"]))["result"] == "Heard: Hello"

        async def loaded() -> bool:
            return "still loading" not in (await server.client.get("/health")).text

        await until(loaded, "all agents were tried")
        ready = await server.client.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "degraded")
        assert ready.json()["checks"]["agents"]["ok"] is False
        assert "mine" in ready.json()["checks"]["agents"]["detail"]
        assert (await server.client.get("/health")).status_code == 200
        assert (await server.client.get("/health/live")).status_code == 200
        message_id = (await server.submit("Later", agent="mine"))["message_id"]
        assert (await server.ended((await server.submit("Next"))["message_id"]))["state"] == "completed"
        assert (await server.status(message_id))["state"] == "queued"

    file.write_text("from tests.graphs import steps as graph")
    async with live_server(settings(agents=agents)) as server:
        assert (await server.ended(message_id))["result"] == "Heard: Later"
        assert (await server.client.get("/health/ready")).status_code == 200


async def test_all_kinds_of_graphs_load(settings: Callable[..., Settings], control: GraphControl) -> None:
    agents = ",".join(f"{name}=tests.graphs:{name}" for name in ("steps", "made", "tools", "nested", "blocking"))
    async with live_server(settings(agents=agents)) as server:
        for name, result in [("made", "Step one. "), ("blocking", "Unblocked.")]:
            status = await server.ended((await server.submit(agent=name))["message_id"])
            assert status["result"] == result
        assert (await server.client.get("/health/ready")).status_code == 200


async def test_graphs_by_langgraph_json(
    tmp_path: Path, settings: Callable[..., Settings], control: GraphControl
) -> None:
    (tmp_path / "agent.py").write_text("from tests.graphs import steps as graph\n")
    file = tmp_path / "langgraph.json"
    file.write_text('{"dependencies": ["."], "graphs": {"mine": "./agent.py:graph", "blocks": "tests.graphs:blocking"}}')
    async with live_server(settings(langgraph_config=file)) as server:
        assert (await server.submit("Hello"))["agent"] == "mine"
        for agent, result in [("mine", "Heard: Hello"), ("blocks", "Unblocked.")]:
            assert (await server.ended((await server.submit("Hello", agent=agent))["message_id"]))["result"] == result


async def test_a_second_server_on_the_same_port_says_so(tmp_path: Path) -> None:
    with server_process(tmp_path, **API_ONLY) as first:
        await first.ready()
        with server_process(tmp_path, **API_ONLY, PORT=str(first.port)) as second:
            code = await asyncio.to_thread(second.process.wait, 30)
            (line,) = second.output.splitlines()
        assert code != 0
        assert "PORT" in line
        assert "in use" in line
        assert (await get(first, "/health/ready")).status_code == 200


@pytest.fixture
def no_database(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "notes.txt"
    file.write_text("This is no database. " * 100)
    yield file
    assert file.read_text().startswith("This is no database."), "the file was overwritten"


async def test_nonsense_settings_are_one_line_and_exit_code_78(tmp_path: Path, no_database: Path) -> None:
    """All at once, since each start takes a second."""
    (tmp_path / "broken.json").write_text("{")
    cases = {
        "PORT": ("99999", "less than or equal to 65535"),
        "LOG_LEVEL": ("LOUD", "'DEBUG', 'INFO'"),
        "PROCESSING_TIMEOUT": ("soon", "number"),
        "MAX_QUEUE_SIZE": ("0", "greater than or equal to 1"),
        "AGENTS": ("just-a-name", "name=module:attribute"),
        "LANGGRAPH_CONFIG": (str(tmp_path / "missing.json"), "langgraph.json"),
        "LOG_CONFIG": (str(tmp_path / "missing.json"), "JSON"),
        "LOG_CONFIG ": (str(tmp_path / "broken.json"), "JSON"),
        "CHECKPOINT_URL": ("redis://localhost", "sqlite:///"),
        "DATABASE_URL": ("mysql://root:hunter2@db/queue", "sqlite:///"),
        "DATABASE_URL ": (f"sqlite:///{no_database}", "SQLite"),
        "DATABASE_URL  ": ("sqlite:////proc/nowhere/queue.db", "/proc/nowhere"),
    }
    with contextlib.ExitStack() as stack:
        processes = {
            name: stack.enter_context(server_process(tmp_path, **{name.strip(): value}))
            for name, (value, _) in cases.items()
        }
        codes = {name: await asyncio.to_thread(p.process.wait, 30) for name, p in processes.items()}
        outputs = {name: process.output for name, process in processes.items()}
    wrong = {}
    for name, (value, expected) in cases.items():
        shown = value.replace("root:hunter2@", "")
        words = (name.strip(), expected, shown)
        if codes[name] != 78 or outputs[name].count("\n") != 1 or any(word not in outputs[name] for word in words):
            wrong[f"{name.strip()}={value}"] = (codes[name], outputs[name][-600:])
        assert not re.search("hunter2|root:", outputs[name])
    assert not wrong, "\n\n".join(f"{case}: exit code {code}\n{output}" for case, (code, output) in wrong.items())
