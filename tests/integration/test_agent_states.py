"""Agents that cannot be run: said at once to whoever waits for them, by health and by the list of workers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app import worker
from app.access.management import IssuedKey
from app.access.scopes import AccessScope
from app.agents import registry
from app.config import Settings
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_keys import issue
from tests.servers import LiveServer, live_server, until

STEPS = "steps=tests.graphs:steps"


pytestmark = pytest.mark.usefixtures("control")


@pytest.fixture
def broken(tmp_path: Path) -> str:
    """A module that cannot be imported, as AGENTS names it; its error has a secret and is long."""
    file = tmp_path / "broken_graph.py"
    file.write_text("raise RuntimeError('no table for sk-test-key-123456 ' + 'x' * 10_000)")
    return f"broken={file}:graph"


async def tried(server: LiveServer) -> None:
    """Wait until this server has tried all its agents, and both its worker and its health say so."""

    async def told() -> bool:
        workers = (await server.client.get("/workers")).json()["workers"]
        tried_all = bool(workers) and all(agent["state"] != "loading" for agent in workers[-1]["agents"])
        return tried_all and (await server.client.get("/health")).json()["status"] != "starting"

    await until(told, "the worker tells its agents")


async def slots_are_free(server: LiveServer) -> bool:
    """Whether estimates count no slot as busy. They see an end by its hint, a moment after the end is stored."""
    return (await server.runtime.services.queue.throughput()).running == 0


async def reason(server: LiveServer, agent: str, **fields: Any) -> dict[str, str]:
    """Return the reason that a message for this agent is given at its acceptance. Its status gives the same."""
    accepted = await server.submit(agent=agent, **fields)
    assert accepted["waiting_reason"] == (await server.status(accepted["message_id"]))["waiting_reason"]
    assert accepted["estimated_start_at"] is None
    found: dict[str, str] = accepted["waiting_reason"]
    return found


async def test_a_worker_tells_what_it_runs_and_how_fast(serve: Serve, control: GraphControl) -> None:
    """Another tenant's operator sees the numbers, and no ids of the messages."""
    control.hold("second")
    server = await serve(agents=STEPS, worker_concurrency=2, lease_seconds=0.9)
    message_id = (await server.submit())["message_id"]
    keys = [await issue(server, AccessScope.ADMIN, AccessScope.READ, tenant=each) for each in ("default", "other")]

    async def load_for(key: IssuedKey) -> dict[str, Any]:
        (worker,) = (await server.client.get("/workers", headers={"X-API-Key": key.text})).json()["workers"]
        found: dict[str, Any] = worker["load"]
        return found

    async def is_told() -> bool:
        return int((await load_for(keys[0]))["busy"]) == 1

    await until(is_told, "the next heartbeat tells of the run")
    load = await load_for(keys[0])
    assert load["runs"] == [{"message_id": message_id, "tenant": "default", "agent": "steps"}]
    assert load["memory_bytes"] is None or load["memory_bytes"] > 2**20
    assert load["tokens_per_second"] >= 0
    assert await load_for(keys[1]) == {**await load_for(keys[1]), "busy": 1, "runs": []}
    control.release("second")


async def test_a_message_for_a_broken_agent_is_told_so_at_once(settings: Callable[..., Settings], broken: str) -> None:
    async with live_server(settings(agents=f"{STEPS},{broken}")) as server:
        await tried(server)
        told = await reason(server, "broken")
        assert told["code"] == "agent_unavailable"
        assert "RuntimeError: no table" in told["message"]
        assert "sk-test-key" not in told["message"]
        assert len(told["message"]) < 1_000
        assert (await server.ended((await server.submit("Hello", agent="steps"))["message_id"]))["state"] == "completed"


async def test_health_and_the_list_of_workers_name_agents_with_their_states(
    settings: Callable[..., Settings], broken: str
) -> None:
    async with live_server(settings(agents=f"{STEPS},{broken}")) as server:
        await tried(server)
        (worker,) = (await server.client.get("/workers")).json()["workers"]
        ready = await server.client.get("/health/ready")
        health = ready.json()
        assert worker["agents"] == health["agents"]
        assert [(agent["name"], agent["state"]) for agent in worker["agents"]] == [
            ("steps", "available"),
            ("broken", "failed"),
        ]
        assert worker["agents"][0]["error"] is None
        assert "RuntimeError" in worker["agents"][1]["error"]
        assert (ready.status_code, health["status"]) == (200, "degraded")


async def test_a_server_whose_agents_all_failed_is_not_ready(settings: Callable[..., Settings], broken: str) -> None:
    async with live_server(settings(agents=broken)) as server:
        await tried(server)
        ready = await server.client.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "degraded")
        assert (await server.client.get("/health")).status_code == 200
        assert (await reason(server, "broken"))["code"] == "agent_unavailable"


async def test_processes_without_a_worker_look_at_the_live_workers(
    settings: Callable[..., Settings], broken: str
) -> None:
    """An agent that no live worker is configured to run, one that is broken everywhere, and one that is served."""
    everything = f"{STEPS},other=tests.graphs:steps,{broken}"
    async with live_server(settings(agents=everything, worker_concurrency=0)) as api:
        assert (await reason(api, "other"))["code"] == "no_worker"
        async with live_server(settings(agents=f"{STEPS},{broken}")) as worker:
            await tried(worker)

            async def served() -> bool:
                ended = await api.ended((await api.submit("Hello", agent="steps"))["message_id"])
                return bool(ended["state"] == "completed")

            await until(served, "the worker serves its agent")
            for agent, text in (("other", "No live worker is configured to run"), ("broken", "could not be loaded")):
                told = await reason(api, agent)
                assert told["code"] == "agent_unavailable"
                assert text in told["message"]
            assert (await api.client.get("/health/ready")).json()["agents"] == []
            assert (await api.client.get("/health/ready")).status_code == 200
            async with live_server(settings(agents="other=tests.graphs:steps")) as helper:
                await tried(helper)
                assert (await api.ended((await api.submit("Hello", agent="other"))["message_id"]))[
                    "state"
                ] == "completed"


async def test_an_agent_that_loads_for_long_holds_up_no_other_and_says_so(
    tmp_path: Path, settings: Callable[..., Settings], control: GraphControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "MAX_LOAD_DELAY_SECONDS", 0.05)
    monkeypatch.setattr(worker, "MAX_LOAD_DELAY_SECONDS", 0.05)
    slow = _slow_module(tmp_path, seconds=5)
    control.hold("import")
    async with live_server(settings(agents=f"slow={slow}:steps,{STEPS}")) as server:
        await until(lambda: control.waits("import"), "the module is being imported")
        assert (await server.ended((await server.submit("Hello", agent="steps"))["message_id"]))["state"] == "completed"
        ready = await server.client.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "starting")
        told = await reason(server, "slow")
        assert (told["code"], "still being loaded" in told["message"]) == ("agent_unavailable", True)
        control.release("import")
        await tried(server)


async def test_no_message_is_begun_before_the_agents_are_loaded(
    tmp_path: Path, settings: Callable[..., Settings], control: GraphControl
) -> None:
    """Code that blocks the event loop of the agents would hold up the loading of the next one."""
    agents = f"stalling=tests.graphs:stalling,slow={_slow_module(tmp_path, seconds=1)}:steps"
    control.hold("import")
    async with live_server(settings(agents=agents, worker_concurrency=0)) as api:
        message_id = (await api.submit(agent="stalling"))["message_id"]
    async with live_server(settings(agents=agents)) as server:
        assert (await server.ended(message_id))["state"] == "completed"
    assert list(control.runs) == ["import", "stalls"]


async def test_a_message_whose_agent_cannot_load_is_told_what_blocks_it(
    tmp_path: Path, settings: Callable[..., Settings], control: GraphControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "MAX_LOAD_DELAY_SECONDS", 0.05)
    monkeypatch.setattr(worker, "MAX_LOAD_DELAY_SECONDS", 0.05)
    control.hold("import")
    control.hold("stalls")
    agents = f"stalling=tests.graphs:stalling,slow={_slow_module(tmp_path, seconds=30)}:steps"
    async with live_server(settings(agents=agents)) as server:
        blocking = (await server.submit(agent="stalling"))["message_id"]
        await until(lambda: control.waits("stalls"), "the event loop of the agents is blocked")
        control.release("import")
        waiting = (await server.submit(agent="slow"))["message_id"]

        async def is_told() -> bool:
            told = (await server.status(waiting))["waiting_reason"]
            assert told["code"] == "agent_unavailable"
            blocked = "Agent 'slow' is still being loaded. Agent 'stalling' blocks the event loop of all agents."
            return bool(told["message"] == blocked)

        await until(is_told, "the reason names what blocks the agents")
        control.release("stalls")
        for message_id in (blocking, waiting):
            assert (await server.ended(message_id))["state"] == "completed"


async def test_a_factory_that_blocks_the_others_is_named(
    tmp_path: Path, settings: Callable[..., Settings], control: GraphControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "MAX_LOAD_DELAY_SECONDS", 0.05)
    monkeypatch.setattr(worker, "MAX_LOAD_DELAY_SECONDS", 0.05)
    module = tmp_path / "blocking_factory.py"
    module.write_text(
        "from tests.graph_control import GraphControl\n"
        "from tests.graphs import _block, steps\n\n\n"
        "def make():\n"
        "    _block(GraphControl.of_environment(), 'make', 30)\n"
        "    return steps\n"
    )
    control.hold("make")
    async with live_server(settings(agents=f"{STEPS},made={module}:make")) as server:
        await until(lambda: control.waits("make"), "the factory blocks")
        first = (await server.submit(agent="steps"))["message_id"]
        waiting = (await server.submit(agent="steps"))["message_id"]

        async def is_told() -> bool:
            told = (await server.status(waiting))["waiting_reason"]
            return "Agent 'made' blocks the event loop of all agents." in told["message"]

        await until(is_told, "the reason names the factory's agent")
        control.release("make")
        for message_id in (first, waiting):
            assert (await server.ended(message_id))["state"] == "completed"


def _slow_module(folder: Path, *, seconds: float) -> Path:
    """A module that takes so long to import while `import` is held, and records that it is imported."""
    module = folder / "slow_graph.py"
    module.write_text(
        "from tests.graph_control import GraphControl\n"
        "from tests.graphs import _block, steps\n"
        "control = GraphControl.of_environment()\n"
        f"_block(control, 'import', {seconds})\n"
        "control.record('import')\n"
    )
    return module


async def test_the_first_estimate_sees_the_claim_just_before_it(
    settings: Callable[..., Settings], control: GraphControl
) -> None:
    """The only slot is taken by the first message; the second, sent at once after that, is not told to start soon."""
    control.hold("first")
    async with live_server(settings(agents=STEPS)) as server:
        await tried(server)
        for _ in range(3):
            first = await server.submit("Hello")
            assert first["waiting_reason"]["code"] == "starting_soon"

            async def runs(message_id: str = first["message_id"]) -> bool:
                return bool((await server.status(message_id))["state"] == "processing")

            await until(runs, "the first message runs")
            second = await server.submit("Hello")
            assert second["waiting_reason"]["code"] == "slots_busy"
            await server.client.delete(f"/messages/{second['message_id']}")
            await server.client.post(f"/messages/{first['message_id']}/cancel")
            await server.ended(first["message_id"])
            await until(lambda: slots_are_free(server), "the estimates see the end")
