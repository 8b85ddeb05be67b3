"""The measures. Each gives rows for the table: what, the figure, its goal."""

import asyncio
import statistics
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.backends import BACKENDS
from bench.claims import CLAIMS, DEPTH, SHALLOW, measure
from bench.processes import free_port, load, process, read, resident_megabytes, wait_for_port

ROUNDS = 5
ROUND_SECONDS = 3.0
MESSAGES_A_ROUND = 5


class Row(NamedTuple):
    """One line of the table. `low` and `high` are the extremes of the rounds; of claims, the best one and the p99."""

    what: str
    median: float
    low: float
    high: float
    unit: str
    goal: str


def row(what: str, values: list[float], unit: str, goal: str = "") -> Row:
    """The median of some rounds with their extremes."""
    return Row(what, statistics.median(values), min(values), max(values), unit, goal)


def submit() -> list[Row]:
    """POST /messages at 64 connections, API only, each engine's durable default, against storing nothing."""
    return [row for name in BACKENDS for row in _submit(name)]


def _submit(name: str) -> list[Row]:
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    with _database(name) as (folder, url):
        port, noop_port = free_port(), free_port()
        with (
            process("-m", "app.main", folder=folder, **_settings(url, port, WORKER_CONCURRENCY="0")),
            process("-m", "bench.noop", str(noop_port), folder=folder),
        ):
            for each in (port, noop_port):
                wait_for_port(each)
                load(each, 64, 1)
            for _ in range(ROUNDS):
                ours.append(load(port, 64, ROUND_SECONDS))
                theirs.append(load(noop_port, 64, ROUND_SECONDS))
    ratios = [a["per_second"] / b["per_second"] for a, b in zip(ours, theirs, strict=True)]
    return [
        row(f"submit, 64 connections, {name}", [r["per_second"] for r in ours], "1/s"),
        row("  the same, nothing stored", [r["per_second"] for r in theirs], "1/s"),
        row("  ratio", ratios, "", ">= 0.7" if name == "sqlite" else ">= 0.6"),
        row("  p50", [r["p50_ms"] for r in ours], "ms"),
        row("  p99", [r["p99_ms"] for r in ours], "ms"),
    ]


def tokens() -> list[Row]:
    """How old a token is when a reader has it: made by a worker process, read from an API process."""
    return [row for name in BACKENDS for row in _tokens(name)]


def _tokens(name: str) -> list[Row]:
    agent = {"AGENTS": "clock=bench.agents:clock", "BENCH_TOKENS": "100", "BENCH_PAUSE_SECONDS": "0.01"}
    p50, p99, first = [], [], []
    with _database(name) as (folder, url):
        port = free_port()
        api = _settings(url, port, WORKER_CONCURRENCY="0", **agent)
        worker = _settings(url, port, **agent)
        with (
            process("-m", "app.main", folder=folder, pinned=False, **api),
            process("-m", "app.worker", folder=folder, pinned=False, **worker),
        ):
            wait_for_port(port)
            read(port, 1)
            for _ in range(ROUNDS):
                told = read(port, MESSAGES_A_ROUND)
                ages = sorted(told["ages_ms"])
                p50.append(statistics.median(ages))
                p99.append(ages[int(len(ages) * 0.99)])
                first.append(statistics.median(told["first_ms"]))
    return [
        row(f"token, worker to reader, {name}: p50", p50, "ms", "<= 50"),
        row("  p99", p99, "ms"),
        row("  submit to first token, p50", first, "ms", "<= 50"),
    ]


def claims() -> list[Row]:
    """A claim with few and with very many messages queued."""
    return [row for name in BACKENDS for row in _claims(name)]


def _claims(name: str) -> list[Row]:
    with _database(name) as (_, url):
        shallow, deep = asyncio.run(measure(url))
    p99 = int(CLAIMS * 0.99)
    return [
        Row(f"claim at {SHALLOW:,}, {name}", statistics.median(shallow), shallow[0], shallow[p99], "ms", ""),
        Row(f"  at {DEPTH:,}", statistics.median(deep), deep[0], deep[p99], "ms", "p99 <= 10"),
        Row("  p99 against the shallow one", deep[p99] / shallow[p99], 0, 0, "", "<= 2"),
    ]


@contextmanager
def _database(name: str) -> Iterator[tuple[Path, str]]:
    with tempfile.TemporaryDirectory() as folder, BACKENDS[name](Path(folder)) as url:
        yield Path(folder), url


def _settings(url: str, port: int, **values: str) -> dict[str, str]:
    return {
        "DATABASE_URL": url,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "MAX_QUEUE_SIZE": "100000000",
        "LOG_LEVEL": "WARNING",
        **values,
    }


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def start() -> list[Row]:
    """From the command to the open port, to ready with the embedded model; memory while idle without that model."""
    opened, ready, api_only, with_agent = [], [], [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as name:
            folder, port = Path(name), free_port()
            began = time.perf_counter()
            with process("-m", "app.main", folder=folder, pinned=False, HOST="127.0.0.1", PORT=str(port)):
                opened.append(wait_for_port(port))
                while not _ready(port):
                    time.sleep(0.02)
                ready.append(time.perf_counter() - began)
            for memory, settings in (
                (api_only, {"WORKER_CONCURRENCY": "0"}),
                (with_agent, {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}),
            ):
                port = free_port()
                with process("-m", "app.main", folder=folder, HOST="127.0.0.1", PORT=str(port), **settings) as server:
                    wait_for_port(port)
                    while not _ready(port):
                        time.sleep(0.02)
                    memory.append(resident_megabytes(server.pid))
    return [
        row("start: port open", opened, "s", "<= 1.5"),
        row("start: ready, embedded model", ready, "s", "<= 8"),
        row("idle memory, API only", api_only, "MB", "<= 200"),
        row("idle memory, agent on a hosted model", with_agent, "MB", "<= 200"),
    ]


MEASURES: dict[str, Callable[[], list[Row]]] = {
    "submit": submit,
    "tokens": tokens,
    "claims": claims,
    "start": start,
}
