"""Measures what metrics cost."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

from bench.backends import database
from bench.measures.runs import TOKENS
from bench.measures.submit import CONNECTIONS
from bench.processes import free_port, load, process, processor_seconds, settings, wait_for_port
from bench.report import Row, ratios, row

ROUNDS = 9
ROUND_SECONDS = 3.0
RUNS_A_ROUND = 200
CONCURRENCY = 16
MOST_RATIO = 1.03
POLL_SECONDS = 0.1
NOTHING: Mapping[str, str] = MappingProxyType({})

Server = subprocess.Popen[bytes]
Work = Callable[[Server, int], float]


def metrics(backends: Sequence[str]) -> Iterator[Row]:
    """Measure the processor time of submits and of runs with metrics, against METRICS=false, both at the same time."""
    for name in backends:
        submits, runs = submits_of(name, others={"METRICS": "false"}), runs_of(name, others={"METRICS": "false"})
        for what, with_metrics, without in (("a submit", *submits), ("a run of 200 tokens", *runs)):
            yield row(f"processor time of {what}, {name}", with_metrics, "us")
            yield row("  without metrics", without, "us")
            yield row("  ratio", ratios(with_metrics, without), most=MOST_RATIO)


def submits_of(
    name: str, *, values: Mapping[str, str] = NOTHING, others: Mapping[str, str] = NOTHING
) -> tuple[list[float], list[float]]:
    """Return the microseconds of a submit in each round, with the variables `values`, and with `others`."""
    found: tuple[list[float], list[float]] = [], []
    with database(name) as (folder, url), database(name) as (other_folder, other_url):
        ports = free_port(), free_port()
        with (
            process(
                "-m", "app.main", folder=folder, environment=settings(url, ports[0], WORKER_CONCURRENCY="0", **values)
            ) as on,
            process(
                "-m",
                "app.main",
                folder=other_folder,
                environment=settings(other_url, ports[1], WORKER_CONCURRENCY="0", **others),
            ) as off,
        ):
            for port in ports:
                wait_for_port(port)
                load(port, CONNECTIONS, 1)
            _add_rounds(found, ports, (on, off), _seconds_of_a_submit)
    return found


def runs_of(
    name: str, *, values: Mapping[str, str] = NOTHING, others: Mapping[str, str] = NOTHING
) -> tuple[list[float], list[float]]:
    """Return the microseconds of a run in each round, with the variables `values`, and with `others`."""
    found: tuple[list[float], list[float]] = [], []
    with database(name) as (folder, url), database(name) as (other_folder, other_url):
        ports = free_port(), free_port()
        common = {"WORKER_CONCURRENCY": str(CONCURRENCY), **TOKENS}
        with (
            process("-m", "app.main", folder=folder, environment=settings(url, ports[0], **common, **values)) as on,
            process(
                "-m",
                "app.main",
                folder=other_folder,
                environment=settings(other_url, ports[1], **common, **others),
            ) as off,
        ):
            for port in ports:
                wait_for_port(port)
                _run_all(port)
            _add_rounds(found, ports, (on, off), _seconds_of_a_run)
    return found


def _add_rounds(
    found: tuple[list[float], list[float]], ports: tuple[int, int], servers: tuple[Server, Server], work: Work
) -> None:
    """Measure both servers at the same time: what else the machine does meets both alike."""
    with ThreadPoolExecutor(2) as both:
        for _ in range(ROUNDS):
            for times, seconds in zip(found, both.map(work, servers, ports), strict=True):
                times.append(seconds * 1e6)


def _seconds_of_a_submit(server: Server, port: int) -> float:
    before = processor_seconds(server.pid)
    accepted = load(port, CONNECTIONS, ROUND_SECONDS)["per_second"] * ROUND_SECONDS
    return (processor_seconds(server.pid) - before) / accepted


def _seconds_of_a_run(server: Server, port: int) -> float:
    before = processor_seconds(server.pid)
    _run_all(port)
    return (processor_seconds(server.pid) - before) / RUNS_A_ROUND


def _run_all(port: int) -> None:
    """Submit the messages of a round, and wait until they have run."""
    messages = [{"message": "What time is it?"}] * RUNS_A_ROUND
    _asked(port, "/messages/batch", json.dumps({"messages": messages}).encode())
    while any(_asked(port, "/queue?limit=1")[f"total_{state}"] for state in ("queued", "processing")):
        time.sleep(POLL_SECONDS)


def _asked(port: int, path: str, body: bytes | None = None) -> dict[str, Any]:
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=60) as reply:
        found: dict[str, Any] = json.load(reply)
    return found
