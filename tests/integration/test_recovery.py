"""Servers that are killed, stopped, started twice or started wrong. Their second life is often in this process."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.config import Settings
from app.store.factory import make_store
from tests import wire
from tests.graph_control import GraphControl
from tests.integration.conftest import ChatProcess
from tests.openai_stub import Gate, openai_stub_in_thread
from tests.postgres_server import PostgresServer
from tests.servers import ROOT, SETTING_NAMES, ServerProcess, live_server, server_process, until
from tests.valkey_server import ValkeyServer

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
                    if len(accepted) == 12:
                        server.kill()

            await asyncio.gather(*(send(number) for number in range(25)))
    assert len(accepted) >= 12
    async with live_server(settings(worker_concurrency=4)) as second:
        for message_id, text in accepted.items():
            status = await second.ended(message_id)
            assert (status["state"], status["user_message"]) == ("completed", text)
            assert status["result"] == f"You said: {text}"


async def test_a_message_cut_off_goes_on_from_its_last_finished_step(
    tmp_path: Path, settings: Callable[..., Settings], control: GraphControl, memory_url: str
) -> None:
    control.hold("second")
    with server_process(tmp_path, AGENTS=STEPS, CHECKPOINT_URL=memory_url, **control.environment) as server:
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

    async with live_server(settings(agents=STEPS, lease_seconds=1.5, checkpoint_url=memory_url)) as second:
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
    assert "".join(f.data["chunk"] for f in chunks) == "Step one. Heard: Hello"  # the human turn is there once
    assert done.data["result"] == "Heard: Hello"
    assert (status["attempt"], status["error"]) == (2, None)
    assert control.runs == {"first": 3, "second": 4}  # three messages; only the step that was cut off ran twice


@pytest.mark.parametrize("make_server", [PostgresServer, ValkeyServer])
async def test_a_message_waits_for_a_memory_that_is_away(
    settings: Callable[..., Settings], control: GraphControl, make_server: Any
) -> None:
    """It is put back, without losing an attempt or its place, and then goes on behind its last finished step."""
    control.hold("second")
    with make_server() as memory:
        async with live_server(settings(agents=STEPS, checkpoint_url=memory.url)) as server:
            message_id = (await server.submit("Hello", thread_id="t"))["message_id"]
            await until(lambda: control.waits("second"), "the second step runs")
            async with wire.stream(server.url, message_id) as stream:
                memory.stop()
                control.release("second")
                retry = await stream.until("retry")
                memory.start()
                status = await server.ended(message_id)
    assert retry.data["state"] == "queued"
    assert (status["state"], status["result"], status["attempt"]) == ("completed", "Heard: Hello", 1)
    assert control.runs["first"] == 1


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
    with openai_stub_in_thread() as stub, contextlib.ExitStack() as processes:
        model = {"OPENAI_BASE_URL": stub.base_url, "OPENAI_API_KEY": "sk-test-key"}
        async with live_server(settings(worker_concurrency=0)) as api:
            gate = Gate("one two three")
            stub.replies.append(gate)
            first = (await api.submit(thread_id="t"))["message_id"]
            second = (await api.submit(thread_id="t"))["message_id"]
            async with wire.stream(api.url, first) as one, wire.stream(api.url, second) as two:
                assert (await two.until("waiting")).data["position"] == 1
                worker = processes.enter_context(server_process(tmp_path, "app.worker", **model))
                await one.until("processing")
                while (await two.until("waiting")).data["position"] != 0:
                    pass  # the reason is news too
                for token in ("one", " two", " three"):
                    gate.release()
                    assert (await one.until("chunk")).data["chunk"] == token
                assert [frame.event for frame in await one.rest()] == ["usage", "done"]
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_closes_idle_streams_and_ends_within_5_seconds(tmp_path: Path, number: signal.Signals) -> None:
    with server_process(tmp_path, **API_ONLY, KEEPALIVE_INTERVAL="3600") as server:
        await server.ready()
        message_id = await submit(server, "Never run")
        async with contextlib.AsyncExitStack() as streams:
            readers = [await streams.enter_async_context(wire.stream(server.url, message_id)) for _ in range(20)]
            for reader in readers:
                await reader.until("waiting")
            began = time.monotonic()
            server.process.send_signal(number)
            for reader in readers:
                assert await reader.rest() == []
                assert reader.ended_cleanly
            code = await asyncio.to_thread(server.process.wait, 10)
            assert time.monotonic() - began < 5
    assert code == 0
    assert "Stopped" in server.output
    assert "Traceback" not in server.output


@pytest.mark.parametrize("module", ["app.main", "app.worker"])
async def test_a_run_gets_the_grace_for_its_step_and_a_second_sigterm_ends_at_once(
    tmp_path: Path, settings: Callable[..., Settings], control: GraphControl, module: str
) -> None:
    """Drained, it is released behind that step without an attempt spent; ended at once, it is taken back later."""
    environment = {"AGENTS": STEPS, "SHUTDOWN_GRACE_SECONDS": "60", **control.environment}
    control.hold("first")
    async with live_server(settings(worker_concurrency=0, agents=STEPS, lease_seconds=1.5)) as api:
        message_id = (await api.submit("Hello"))["message_id"]
        waiting = (await api.submit("Waits"))["message_id"]
        with server_process(tmp_path, module, **environment) as process:
            await until(lambda: control.waits("first"), "the first step runs")
            process.process.send_signal(signal.SIGTERM)
            await until(lambda: "draining" in process.output, "it drains")
            control.release("first")
            assert await asyncio.to_thread(process.process.wait, 10) == 0
        status = await api.status(message_id)
        assert (status["state"], status["attempt"]) == ("queued", 0)
        assert (await api.status(waiting))["state"] == "queued"
        assert control.runs == {"first": 1}
        control.hold("second")
        with server_process(tmp_path, module, **environment) as process:
            await until(lambda: control.waits("second"), "the second step runs")
            process.process.send_signal(signal.SIGTERM)
            await until(lambda: "draining" in process.output, "it drains")
            began = time.monotonic()
            process.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.process.wait, 10) == 128 + signal.SIGTERM
            assert time.monotonic() - began < 2
        assert control.runs == {"first": 1, "second": 1}
        control.release("second")
        with server_process(tmp_path, module, **environment):
            assert (await api.ended(message_id))["result"] == "Heard: Hello"
            assert (await api.ended(waiting))["result"] == "Heard: Waits"
    assert control.runs == {"first": 2, "second": 3}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/messages/{id}/status", 503, "server_stopping"),
        ("GET", "/messages/{id}/stream", 503, "server_stopping"),
        ("HEAD", "/messages/{id}/status", 503, None),
        ("POST", "/messages", 504, "commit_unknown"),
        ("DELETE", "/messages/{id}", 504, "commit_unknown"),
    ],
)
async def test_a_request_that_a_stopping_server_cuts_off_is_told_so(
    settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    status: int,
    code: str | None,
) -> None:
    """The store does not answer until uvicorn gives up and cancels what is open."""
    asked = asyncio.Event()

    async def hang(*_: Any, **__: Any) -> None:
        asked.set()
        await asyncio.Event().wait()

    chosen = settings(worker_concurrency=0)
    store = make_store(chosen)
    async with live_server(chosen, store=store) as server:
        message_id = (await server.submit())["message_id"]
        for name in ("get", "add", "cancel"):
            monkeypatch.setattr(store, name, hang)
        body = {"message": "Hello"} if method == "POST" else None
        request = asyncio.create_task(server.client.request(method, path.format(id=message_id), json=body))
        await asked.wait()
        for task in server.uvicorn.server_state.tasks:
            task.cancel(msg="as uvicorn does it")
        response = await request
        assert response.status_code == status
        if code is not None:
            assert response.json()["code"] == code
        assert response.headers["content-type"] == "application/problem+json"
        assert ("retry-after" in response.headers) == (status == 503)
    assert "Traceback" not in caplog.text


# Starting


def test_the_port_opens_before_the_agents_are_loaded(chat_process: ChatProcess) -> None:
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
        "GraphControl.of_environment().record('imported')\n"
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
        assert control.runs["imported"] == 0, "nothing was answered before the import had ended"
        control.release("import")
        assert (await server.ended(message_id))["result"] == "Heard: Hello"
        assert (await server.client.get("/health/ready")).status_code == 200


BROKEN_GRAPHS = {
    "raises": "raise RuntimeError('no such table')",
    "syntax error": "def broken(:",
    "missing module": "import a_module_that_is_not_there",
    "no such attribute": "other = 1",
    "not a graph": "from tests.graphs import not_a_graph as graph",
    "factory that raises": "def graph(): raise RuntimeError('no such table')",
    "class that exits": "from tests.hostile import ClassThatExits\ndef graph(): raise ClassThatExits('x')",
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
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded"), "it serves the other agent"
        assert ready.json()["checks"]["agents"]["ok"] is False
        assert "mine" in ready.json()["checks"]["agents"]["detail"]
        assert (await server.client.get("/health")).status_code == 200
        assert (await server.client.get("/health/live")).status_code == 200
        message_id = (await server.submit("Later", agent="mine"))["message_id"]
        assert (await server.ended((await server.submit("Next"))["message_id"]))["state"] == "completed"
        waiting = await server.status(message_id)
        assert (waiting["state"], waiting["waiting_reason"]["code"]) == ("queued", "agent_unavailable")

    file.write_text("from tests.graphs import steps as graph")
    sys.modules.pop(file.stem, None)  # the second life is in this process too
    async with live_server(settings(agents=agents)) as server:
        assert (await server.ended(message_id))["result"] == "Heard: Later"
        assert (await server.client.get("/health/ready")).status_code == 200


async def test_a_module_that_exits_is_a_broken_graph(tmp_path: Path, settings: Callable[..., Settings]) -> None:
    """Such a module must not take the server with it."""
    file = tmp_path / "exits.py"
    file.write_text("import sys; sys.exit('Set MY_KEY first')")
    async with live_server(settings(agents=f"mine={file}:graph")) as server:
        registry = server.runtime.services.registry
        await registry.loaded.wait()
        assert "Set MY_KEY first" in registry.failures["mine"]
        assert (await server.client.get("/health/live")).status_code == 200


async def test_all_kinds_of_graphs_load(settings: Callable[..., Settings], control: GraphControl) -> None:
    agents = ",".join(f"{name}=tests.graphs:{name}" for name in ("steps", "made", "tools", "nested", "blocking"))
    async with live_server(settings(agents=agents)) as server:
        for name, result in [("made", "Step one. "), ("blocking", "Unblocked."), ("steps", "Heard: Hello")]:
            status = await server.ended((await server.submit(agent=name))["message_id"])
            assert status["result"] == result
        assert (await server.client.get("/health/ready")).status_code == 200


async def test_a_state_of_the_standard_library_loads(settings: Callable[..., Settings], control: GraphControl) -> None:
    async with live_server(settings(agents="plain=tests.graphs:plain_state")) as server:
        await server.runtime.services.registry.loaded.wait()
        assert server.runtime.services.registry.failures == {}
        status = await server.ended((await server.submit("Hello"))["message_id"])
        assert status["result"] == "Heard: Hello"


async def test_graphs_by_langgraph_json(
    tmp_path: Path, settings: Callable[..., Settings], control: GraphControl
) -> None:
    (tmp_path / "agent.py").write_text("from tests.graphs import steps as graph\n")
    file = tmp_path / "langgraph.json"
    file.write_text(
        '{"dependencies": ["."], "graphs": {"mine": "./agent.py:graph", "blocks": "tests.graphs:blocking"}}'
    )
    async with live_server(settings(langgraph_config=file)) as server:
        assert (await server.submit("Hello"))["agent"] == "mine"
        for agent, result in [("mine", "Heard: Hello"), ("blocks", "Unblocked.")]:
            assert (await server.ended((await server.submit("Hello", agent=agent))["message_id"]))["result"] == result


async def test_a_second_server_on_the_same_port_says_so(chat_process: ChatProcess, tmp_path: Path) -> None:
    with server_process(tmp_path, **API_ONLY, PORT=str(chat_process.server.port)) as second:
        code = await asyncio.to_thread(second.process.wait, 30)
        (line,) = second.output.splitlines()
    assert code != 0
    assert "PORT" in line
    assert "in use" in line
    assert (await get(chat_process.server, "/health/ready")).status_code == 200


NONSENSE: list[tuple[str, str, str]] = [
    ("PORT", "99999", "less than or equal to 65535"),
    ("PORT", "http", "integer"),
    ("LOG_LEVEL", "LOUD", "'DEBUG', 'INFO'"),
    ("LOG_FORMAT", "xml", "'text' or 'json'"),
    ("PROCESSING_TIMEOUT", "soon", "number"),
    ("PROCESSING_TIMEOUT", "nan", "number"),
    ("KEEPALIVE_INTERVAL", "-1", "greater than 0"),
    ("MAX_QUEUE_SIZE", "0", "greater than or equal to 1"),
    ("WORKER_CONCURRENCY", "-1", "greater than or equal to 0"),
    ("LEASE_SECONDS", "0", "greater than 0"),
    ("ALLOW_ANONYMOUS", "perhaps", "boolean"),
    ("AGENTS", "just-a-name", "name=module:attribute"),
    ("AGENTS", "a=m:x,a=m:y", "twice"),
    ("LANGGRAPH_CONFIG", "{folder}/missing.json", "langgraph.json"),
    ("LANGGRAPH_CONFIG", "{folder}/half.json", "JSON"),
    ("LOG_CONFIG", "{folder}/missing.json", "JSON"),
    ("LOG_CONFIG", "{folder}/half.json", "JSON"),
    ("LOG_CONFIG", "{folder}/empty.json", "version"),
    ("OPENAI_BASE_URL", "nohttp", "expected http:// or https://"),
    ("OPENAI_BASE_URL", "https:///v1", "expected http:// or https://"),
    ("OPENAI_BASE_URL", "http://localhost:port/v1", "expected http:// or https://"),
    ("OPENAI_BASE_URL", "ftp://root:hunter2@models/v1", "expected http:// or https://"),
    ("CHECKPOINT_URL", "mysql://root:hunter2@db/memory", "sqlite:///"),
    ("CHECKPOINT_URL", "sqlite:///{folder}/queue.db", "another file"),
    ("DATABASE_URL", "mysql://root:hunter2@db/queue", "sqlite:///"),
    ("DATABASE_URL", "sqlite://", "sqlite:///"),
    ("DATABASE_URL", "sqlite:///{folder}/notes.txt", "SQLite"),
    ("DATABASE_URL", "sqlite:////proc/nowhere/queue.db", "/proc/nowhere"),
]


@pytest.fixture(scope="module")
def nonsense(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], tuple[int, str]]:
    """The exit code and the output of a start with each of these settings."""
    folder = tmp_path_factory.mktemp("nonsense")
    (folder / "half.json").write_text('{"version": 1')
    (folder / "empty.json").write_text("{}")
    (folder / "notes.txt").write_text("This is no database. " * 100)
    harmless = {"DATABASE_URL": f"sqlite:///{folder}/queue.db", "HOST": "127.0.0.1", "PORT": "0"}
    cases = [{**harmless, name: value.format(folder=folder)} for name, value, _ in NONSENSE]
    environment = {name: value for name, value in os.environ.items() if name not in SETTING_NAMES}
    done = subprocess.run(
        [sys.executable, "-m", "tests.forked_starts"],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert (folder / "notes.txt").read_text().startswith("This is no database."), "a file of another program"
    outcomes = [(code, output.replace(str(folder), "{folder}")) for code, output in json.loads(done.stdout)]
    return dict(zip([(name, value) for name, value, _ in NONSENSE], outcomes, strict=True))


@pytest.mark.parametrize(("name", "value", "expected"), NONSENSE)
def test_a_nonsense_setting_is_one_line_and_exit_code_78(
    nonsense: dict[tuple[str, str], tuple[int, str]], name: str, value: str, expected: str
) -> None:
    code, output = nonsense[name, value]
    assert (code, output.count("\n")) == (78, 1), output[-1500:]
    assert name in output
    assert expected in output
    shown = f"{value.partition(':')[0]}://…" if "@" in value else "the same" if expected == "another file" else value
    assert shown.removeprefix("sqlite:///") in output
    assert not re.search("hunter2|root", output)
