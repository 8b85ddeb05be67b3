"""The metrics of real servers: what is counted, on every engine, over several processes, and who may read it."""

import os
import signal
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import connect

from app.access.management import KeyManager
from app.access.scopes import AccessScope
from app.observability.metric_definitions import OF_PROCESSES, OF_QUEUE
from tests import wire
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_keys import database_on
from tests.openai_stub import StubServer
from tests.postgres_server import PostgresServer
from tests.servers import (
    LiveServer,
    ServerProcess,
    cold_server_process,
    finished_process,
    free_port,
    server_process,
    until,
)
from tests.valkey_server import ValkeyServer

GRAPHS = {"steps": "tests.graphs:steps", "failing": "tests.graphs:failing", "asking": "tests.graphs:asking"}

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def samples_of(text: str) -> Samples:
    """The samples of an exposition by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    """The sum of the samples of this name that have these labels."""
    return sum(
        number for (found, given), number in samples.items() if found == f"agentq_{name}" and labels.items() <= given
    )


async def scrape(url: str, **headers: str) -> Samples:
    response = await wire.request(url, "GET", "/metrics", headers=headers)
    assert response.status == 200, response.body
    return samples_of(response.body.decode())


@pytest.fixture(params=["memory", "sqlite", "postgres", "valkey"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    return "memory://" if request.param == "memory" else database_on(request.param, request, tmp_path)


async def test_what_happens_is_counted_on_every_engine(serve: Serve, control: GraphControl, database: str) -> None:
    server = await serve(database_url=database, allow_volatile=True, agents=GRAPHS, max_attempts=1)
    done = await server.submit(agent="steps", priority="high")
    failed = await server.submit(agent="failing")
    asking = await server.submit(agent="asking")
    delayed = await server.submit(agent="steps", delay_seconds=600)
    for each in (done, failed):
        await server.ended(each["message_id"])
    await until(lambda: _has_state(server, asking, "interrupted"), "it asks")
    await server.client.delete(f"/messages/{delayed['message_id']}")
    await server.submit(agent="steps", delay_seconds=600)

    found = await scrape(server.url)
    assert value(found, "messages_submitted_total", agent="steps", priority="high") == 1
    assert value(found, "messages_submitted_total") == 5
    assert value(found, "messages_finished_total", agent="steps", outcome="completed") == 1
    assert value(found, "messages_finished_total", agent="steps", outcome="cancelled") == 1
    assert value(found, "dead_letters_total", agent="failing", code="agent_error") == 1
    assert value(found, "attempts_finished_total", agent="asking", outcome="interrupted") == 1
    assert value(found, "wait_seconds_count") == 3
    assert value(found, "run_seconds_count", agent="steps", outcome="completed") == 1
    assert value(found, "heartbeats_total", outcome="ok") >= 1
    assert value(found, "store_call_seconds_count", verb="add") == 5
    assert {state: value(found, "queue_messages", state=state) for state in ("waiting", "delayed", "interrupted")} == {
        "waiting": 0,
        "delayed": 1,
        "interrupted": 1,
    }
    assert value(found, "queue_messages", state="dead_letter") == 1
    assert (value(found, "workers_live"), value(found, "slots_live"), value(found, "worker_slots")) == (1, 1, 1)
    assert value(found, "store_up") == 1


async def _has_state(server: LiveServer, message: Mapping[str, Any], state: str) -> bool:
    return bool((await server.status(message["message_id"]))["state"] == state)


async def test_the_depth_is_told_by_priority_with_the_age_of_the_first(serve: Serve, database: str) -> None:
    server = await serve(database_url=database, allow_volatile=True, worker_concurrency=0)
    for priority in ("high", "low", "low"):
        await server.submit(priority=priority)
    found = await scrape(server.url)
    assert {each: value(found, "queue_depth", priority=each) for each in ("high", "normal", "low")} == {
        "high": 1,
        "normal": 0,
        "low": 2,
    }
    ages = {dict(labels)["priority"] for name, labels in found if name == "agentq_queue_oldest_seconds"}
    assert ages == {"high", "low"}


async def test_with_aging_there_is_one_order(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, priority_aging_seconds=60)
    await server.submit(priority="low")
    found = await scrape(server.url)
    assert {labels for name, labels in found if name == "agentq_queue_depth"} == {frozenset({("priority", "all")})}
    assert value(found, "queue_depth") == 1


async def test_tokens_and_times_of_an_answer_are_counted(serve: Serve, model: StubServer) -> None:
    server = await serve()
    message = await server.submit("one two three four")
    await server.ended(message["message_id"])
    found = await scrape(server.url)
    assert value(found, "tokens_total", kind="input") > 0
    assert value(found, "tokens_total", kind="output") > 0
    assert value(found, "time_to_first_token_seconds_count", agent="chat") == 1
    assert value(found, "events_written_total") > 0


async def test_open_readers_and_sockets_are_counted(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    message = await server.submit()
    async with (
        wire.stream(server.url, message["message_id"]) as stream,
        connect(server.url.replace("http", "ws") + "/ws", proxy=None),
    ):
        await stream.until("waiting")
        found = await scrape(server.url)
        assert value(found, "readers_open", kind="stream") == 1
        assert value(found, "websockets_open") == 1
    await until(lambda: _none_is_open(server), "both are gone")


async def _none_is_open(server: LiveServer) -> bool:
    found = await scrape(server.url)
    return (value(found, "readers_open"), value(found, "websockets_open")) == (0, 0)


async def test_a_reader_lags_by_the_events_that_it_has_not_taken(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS)
    message = await server.submit(agent="steps")
    await server.ended(message["message_id"])
    streams = server.runtime.streams
    tail = streams.tail("default", message["message_id"], after=0, idle_seconds=10)
    await anext(tail)
    page = await server.runtime.services.log.read("default", message["message_id"], after=0, limit=1)
    assert streams.lag_events() == page.last
    await tail.aclose()
    assert streams.lag_events() == 0


async def test_only_the_scope_metrics_reads_them(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    manager = KeyManager(server.runtime.services.store)
    allowed = await manager.create("default", "scraper", (AccessScope.METRICS,), None)
    other = await manager.create("default", "reader", (AccessScope.READ,), None)
    await until(lambda: server.runtime.services.access._keys.has_keys, "the keys are known")
    answers = [
        (await wire.request(server.url, "GET", "/metrics", headers=headers)).status
        for headers in ({}, {"X-API-Key": other.text}, {"X-API-Key": allowed.text})
    ]
    assert answers == [401, 403, 200]


async def test_openmetrics_is_given_to_whom_asks_for_it(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    reply = await server.client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    assert reply.text.endswith("# EOF\n")


async def test_metrics_that_are_off_are_404(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, metrics=False)
    await server.submit()
    reply = await server.client.get("/metrics")
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
    assert "METRICS" in reply.json()["detail"]


async def test_no_sample_has_an_id_or_a_tenant(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=GRAPHS, database_url="memory://")
    message = await server.submit(agent="steps", thread_id="a-thread")
    await server.ended(message["message_id"])
    text = (await server.client.get("/metrics")).text
    assert "tenant=" not in text
    assert "a-thread" not in text
    assert message["message_id"] not in text


async def test_every_described_metric_is_given(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    families = {family.name for family in text_string_to_metric_families((await server.client.get("/metrics")).text)}
    assert {each.name for each in (*OF_PROCESSES, *OF_QUEUE)} <= families


@pytest.mark.parametrize("engine", [PostgresServer, ValkeyServer])
async def test_metrics_are_given_while_the_store_is_away(
    serve: Serve, engine: type[PostgresServer | ValkeyServer]
) -> None:
    with engine() as database:
        server = await serve(database_url=database.url, worker_concurrency=0)
        await server.submit()
        database.stop()
        away = await until(lambda: _scraped_without_store(server), "the store is away")
        assert value(away, "messages_submitted_total") == 1
        assert not [name for name, _ in away if name == "agentq_queue_depth"]
        await until(lambda: _has_store_errors(server), "failed calls are counted")
        database.start()
        await until(lambda: _counts(server.url, "store_up", 1), "the store is back")
        assert value(await scrape(server.url), "queue_depth") == 1


async def _has_store_errors(server: LiveServer) -> bool:
    return value(await scrape(server.url), "store_errors_total", code="store_unavailable") > 0


async def _scraped_without_store(server: LiveServer) -> Samples | None:
    found = await scrape(server.url)
    return found if value(found, "store_up") == 0 else None


# Several processes


async def test_api_and_worker_count_each_their_own(tmp_path: Path, model: StubServer) -> None:
    port = free_port()
    environment = {"OPENAI_BASE_URL": model.base_url, "OPENAI_API_KEY": "sk-test"}
    with (
        server_process(tmp_path, WORKER_CONCURRENCY="0", **environment) as api,
        server_process(tmp_path, "app.worker", METRICS_PORT=str(port), **environment) as worker,
    ):
        await api.ready()
        message_id = await _submit(api.url)
        await until(lambda: _ended(api, message_id), f"it ends; {worker.output}")
        await until(lambda: _counts(f"http://127.0.0.1:{port}", "attempts_finished_total", 1), "the worker counts it")
        theirs = await scrape(f"http://127.0.0.1:{port}")
        ours = await scrape(api.url)
    assert value(theirs, "messages_finished_total", outcome="completed") == 1
    assert value(theirs, "worker_slots") == 1
    assert value(theirs, "messages_submitted_total") == 0
    assert value(ours, "messages_submitted_total") == 1
    assert value(ours, "messages_finished_total") == 0
    assert value(ours, "workers_live") == 1
    assert f"Serving metrics on http://127.0.0.1:{port}/metrics" in worker.output


async def _ended(api: ServerProcess, message_id: str) -> bool:
    reply = await wire.request(api.url, "GET", f"/messages/{message_id}/status")
    return bool(reply.json()["state"] == "completed")


async def _submit(url: str) -> str:
    headers = {"Content-Type": "application/json"}
    reply = await wire.request(url, "POST", "/messages", headers=headers, body=b'{"message": "Hello"}')
    assert reply.status == 202, reply.body
    return str(reply.json()["message_id"])


async def test_processes_behind_one_port_count_together(tmp_path: Path) -> None:
    """Each of them gives the sums, and those stay when one of them dies."""
    folder = tmp_path / "shared" / "counters"
    arguments = ("app.main:app", "--host", "127.0.0.1", "--port", "{port}", "--workers", "2")
    environment = {"WORKER_CONCURRENCY": "0", "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    with cold_server_process(tmp_path, "uvicorn", arguments=arguments, **environment) as server, ExitStack() as end:
        end.callback(server.terminate)  # a kill would leave the processes behind it
        await server.ready()
        pids = await until(lambda: _pids(folder, 2), "both processes count")
        for _ in range(40):
            await _submit(server.url)
        await until(lambda: _counts(server.url, "messages_submitted_total", 40), "each process has written")
        for _ in range(10):
            found = await scrape(server.url)
            assert value(found, "messages_submitted_total", agent="chat") == 40
            assert value(found, "queue_depth", priority="normal") == 40
        assert value(found, "readers_open") == 0
        victim = next(iter(pids))
        os.kill(int(victim), signal.SIGKILL)
        await until(lambda: _forgets(server.url, folder, victim), "the gauges of the dead process are deleted")
        assert value(await scrape(server.url), "messages_submitted_total") == 40


def _pids(folder: Path, count: int) -> set[str] | None:
    """The processes that count in the folder, once there are so many."""
    pids = {file.stem.rpartition("_")[2] for file in folder.glob("counter_*.db")}
    return pids if len(pids) == count else None


async def _forgets(url: str, folder: Path, pid: str) -> bool:
    await scrape(url)
    return not _gauges(folder, pid)


def _gauges(folder: Path, pid: str) -> list[Path]:
    return list(folder.glob(f"gauge_live*_{pid}.db"))


async def _counts(url: str, name: str, count: int) -> bool:
    return value(await scrape(url), name) == count


# Bad input


WRONG = [
    ("METRICS_PORT", "0", "METRICS_PORT: "),
    ("METRICS", "perhaps", "METRICS: "),
    ("PROMETHEUS_MULTIPROC_DIR", "/dev/null/metrics", "PROMETHEUS_MULTIPROC_DIR: expected a folder to write to"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "often", "OTEL_METRIC_EXPORT_INTERVAL: expected milliseconds"),
]


@pytest.mark.parametrize(("name", "given", "line"), WRONG, ids=[name for name, _, _ in WRONG])
def test_a_wrong_setting_ends_the_start_with_one_line(tmp_path: Path, name: str, given: str, line: str) -> None:
    environment = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/queue.db",
        "PORT": str(free_port()),
        "HOST": "127.0.0.1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        name: given,
    }
    ended = finished_process(tmp_path, "app.main", **environment)
    assert ended.returncode == 78, ended.stderr
    assert ended.stderr.startswith(f"Cannot start. {line}")
    assert ended.stderr.count("\n") == 1


def test_a_taken_port_of_a_worker_ends_the_start_with_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        environment = {"DATABASE_URL": f"sqlite:///{tmp_path}/queue.db", "METRICS_PORT": port}
        ended = finished_process(tmp_path, "app.worker", **environment)
    assert ended.returncode == 1
    assert "Cannot start. [Errno 98] METRICS_HOST, METRICS_PORT: Address already in use" in ended.stderr
