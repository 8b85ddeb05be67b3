"""Measures the age of a token at its arrival in a reader's process."""

import statistics
from collections.abc import Iterator, Sequence

from bench.backends import database
from bench.processes import free_port, process, read, settings, wait_for_port
from bench.report import Row, percentile, row

ROUNDS = 5
MESSAGES_A_ROUND = 5
AGENT = {"AGENTS": "clock=bench.programs.agents:clock", "BENCH_TOKENS": "100", "BENCH_PAUSE_SECONDS": "0.01"}


def tokens(backends: Sequence[str]) -> Iterator[Row]:
    """Measure the age of a token at its reader: made by a worker process, read from an API process."""
    for name in backends:
        yield from _tokens(name)


def _tokens(name: str) -> Iterator[Row]:
    p50, p99, first = [], [], []
    with database(name) as (folder, url):
        port = free_port()
        api = settings(url, port, WORKER_CONCURRENCY="0", **AGENT)
        worker = settings(url, port, **AGENT)
        with (
            process("-m", "app.main", folder=folder, environment=api, pinned=False),
            process("-m", "app.worker", folder=folder, environment=worker, pinned=False),
        ):
            wait_for_port(port)
            read(port, 1)
            for _ in range(ROUNDS):
                measured = read(port, MESSAGES_A_ROUND)
                p50.append(statistics.median(measured["ages_ms"]))
                p99.append(percentile(measured["ages_ms"], 0.99))
                first.append(statistics.median(measured["first_ms"]))
    yield row(f"token, worker to reader, {name}: p50", p50, "ms", most=50)
    yield row("  p99", p99, "ms")
    yield row("  submit to first token, p50", first, "ms", most=50)
