"""Measures what a second worker process gains on one database, and whether workers keep their leases."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.backends import database
from bench.processes import free_port, process, settings
from bench.report import Row, ratios, row

ROUNDS = 5
THREADS = 12
TURNS = int(os.environ.get("BENCH_WORKER_TURNS", "20"))
SLOTS = 8
LEASE_SECONDS = 2
LEAST_RATIO = 1.3
ROOT = str(Path(__file__).parent.parent.parent)


def workers(backends: Sequence[str]) -> Iterator[Row]:
    """Measure BENCH_WORKER_TURNS (20) messages in each of 12 threads: two processes of four slots against one of eight.

    The answers have 30 tokens of a model without delay, so the workers need all of both cores. A lease is 2 seconds.
    """
    for name in backends:
        with ExitStack() as stack:
            one, two = (stack.enter_context(_load(name, processes)) for processes in (1, 2))
            rounds = [(_round(one), _round(two)) for _ in range(ROUNDS + 1)][1:]  # agents load in the first one
        alone, together = ([each["per_second"] for each in found] for found in zip(*rounds, strict=True))
        yield row(f"messages of 12 threads, one process, {name}", alone, "1/s")
        yield row("  two processes", together, "1/s")
        yield row("  ratio", ratios(together, alone), least=LEAST_RATIO)
        yield row("  messages whose lease was lost", [each["lost"] for pair in rounds for each in pair], most=0)


@contextmanager
def _load(backend: str, processes: int) -> Iterator[subprocess.Popen[str]]:
    """Run this many worker processes on an empty database. Yield the program that gives them messages."""
    with database(backend) as (folder, url), ExitStack() as stack:
        environment = settings(
            url,
            free_port(),
            AGENTS="clock=bench.programs.agents:clock",
            BENCH_TOKENS="30",
            WORKER_CONCURRENCY=str(SLOTS // processes),
            LEASE_SECONDS=str(LEASE_SECONDS),
        )
        for _ in range(processes):
            stack.enter_context(
                process("-m", "app.worker", folder=folder, environment=environment, pinned=False, own_session=True)
            )
        arguments = [str(THREADS), str(TURNS), str(processes)]
        with subprocess.Popen(
            [sys.executable, "-m", "bench.programs.growing", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": ROOT, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as load:
            yield load
            assert load.stdin is not None
            load.stdin.close()


def _round(load: subprocess.Popen[str]) -> dict[str, float]:
    assert load.stdin is not None
    assert load.stdout is not None
    load.stdin.write("\n")
    load.stdin.flush()
    measured: dict[str, float] = json.loads(load.stdout.readline())
    return measured
