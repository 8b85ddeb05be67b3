"""Measures how many messages an API process accepts."""

from collections.abc import Iterator, Sequence

from bench.backends import database
from bench.processes import free_port, load, process, settings, wait_for_port
from bench.report import Row, ratios, row

ROUNDS = 7
ROUND_SECONDS = 3.0
CONNECTIONS = 64
LEAST_RATIO = {"sqlite": 0.9, "postgres": 0.8, "valkey": 0.8}


def submit(backends: Sequence[str]) -> Iterator[Row]:
    """Measure POST /messages at 64 connections with each engine's durable default, against storing nothing."""
    for name in backends:
        yield from _submit(name)


def _submit(name: str) -> Iterator[Row]:
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    with database(name) as (folder, url):
        port, noop_port = free_port(), free_port()
        with (
            process("-m", "app.main", folder=folder, environment=settings(url, port, WORKER_CONCURRENCY="0")),
            process("-m", "bench.programs.noop", str(noop_port), folder=folder),
        ):
            for each in (port, noop_port):
                wait_for_port(each)
                load(each, CONNECTIONS, 1)
            for _ in range(ROUNDS):
                ours.append(load(port, CONNECTIONS, ROUND_SECONDS))
                theirs.append(load(noop_port, CONNECTIONS, ROUND_SECONDS))
    accepted, nothing = [each["per_second"] for each in ours], [each["per_second"] for each in theirs]
    yield row(f"submits, {name}", accepted, "1/s")
    yield row("  the same endpoint, nothing stored", nothing, "1/s")
    yield row("  ratio", ratios(accepted, nothing), least=LEAST_RATIO[name])
    yield row("  p50", [each["p50_ms"] for each in ours], "ms")
    yield row("  p99", [each["p99_ms"] for each in ours], "ms")
