"""Measures what metrics cost."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

from bench.backends import database
from bench.measures.runs import TOKENS
from bench.measures.submit import CONNECTIONS
from bench.processes import free_port, load, process, processor_seconds, settings, wait_for_port
from bench.report import Row, percentile, ratios, row

ROUNDS = 30
ROUND_SECONDS = 1.5
"""Many short rounds of both servers in turn: what else the machine does meets both alike."""

RUNS_A_ROUND = 100
CONCURRENCY = 16
MOST_RATIO = 1.03
POLL_SECONDS = 0.1
NOTHING: Mapping[str, str] = MappingProxyType({})

S = TypeVar("S")


def metrics(backends: Sequence[str]) -> Iterator[Row]:
    """Measure the processor time of submits and of runs with metrics, against METRICS=false, round by round."""
    for name in backends:
        submits, runs = submits_of(name, others={"METRICS": "false"}), runs_of(name, others={"METRICS": "false"})
        for what, with_metrics, without in (("a submit", *submits), ("a run of 200 tokens", *runs)):
            yield row(f"processor time of {what}, {name}", with_metrics, "us")
            yield row("  without metrics", without, "us")
            yield from ratio_rows(with_metrics, without, MOST_RATIO)


def ratio_rows(ours: Sequence[float], theirs: Sequence[float], most: float) -> Iterator[Row]:
    """Yield the ratio of the lower quartiles, which has the goal, and the ratios of the single rounds.

    What else the machine does only adds to a round. The quicker rounds therefore tell more than their median, and a
    single ratio tells nothing.
    """
    yield row("  ratio", [percentile(ours, 0.25) / percentile(theirs, 0.25)], most=most)
    yield row("  of single rounds", ratios(ours, theirs))


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
            for number in range(ROUNDS):
                for port, server, times in _in_turn(number, zip(ports, (on, off), found, strict=True)):
                    before = processor_seconds(server.pid)
                    accepted = load(port, CONNECTIONS, ROUND_SECONDS)["per_second"] * ROUND_SECONDS
                    times.append((processor_seconds(server.pid) - before) / accepted * 1e6)
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
            for number in range(ROUNDS):
                for port, server, times in _in_turn(number, zip(ports, (on, off), found, strict=True)):
                    times.append(_seconds_of_runs(server, port) / RUNS_A_ROUND * 1e6)
    return found


def _in_turn(number: int, servers: Iterable[S]) -> list[S]:
    """Return both servers of a round, each first in every second round."""
    return list(servers)[:: 1 if number % 2 else -1]


def _seconds_of_runs(server: "subprocess.Popen[bytes]", port: int) -> float:
    before = processor_seconds(server.pid)
    _run_all(port)
    return processor_seconds(server.pid) - before


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
