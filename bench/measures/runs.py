"""Measures what a worker adds to LangGraph."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.backends import database
from bench.processes import free_port, process, read, settings, wait_for_port
from bench.report import Row, percentile, ratios, row

ROUNDS = 5
RUNS_A_ROUND = 100
CONCURRENCIES = (1, 16)
TOKENS = {"AGENTS": "clock=bench.programs.agents:clock", "BENCH_TOKENS": "200"}
LEAST_RATIO = {"sqlite": 0.75, "postgres": 0.7, "valkey": 0.7}

FIRST_CHUNKS_A_ROUND = 40
FEW_TOKENS = {**TOKENS, "BENCH_TOKENS": "3", "BENCH_PAUSE_SECONDS": "0.01"}


def runs(backends: Sequence[str]) -> Iterator[Row]:
    """Measure runs of 200 tokens by a worker that stores events, against `graph.astream` with the same memory."""
    for name in backends:
        for concurrency in CONCURRENCIES:
            with database(name) as (folder, url):
                environment = settings(url, free_port(), WORKER_CONCURRENCY=str(concurrency), **TOKENS)
                measured = _rounds(folder, environment)
            yield row(f"runs, {name}, {concurrency} at a time", measured["worker"], "1/s")
            yield row("  graph.astream alone", measured["alone"], "1/s")
            yield row("  ratio", ratios(measured["worker"], measured["alone"]), least=LEAST_RATIO[name])


def first_chunk(backends: Sequence[str]) -> Iterator[Row]:
    """Measure from submit to first chunk at a reader on an idle server, against the first chunk of `graph.astream`.

    The model takes 10 ms to its first token in both. Ours makes two requests on a new connection with Python's own HTTP
    client. `In two processes` means that API and worker are separate processes.
    """
    for name in backends:
        yield from _first_chunk(name)


def _first_chunk(name: str) -> Iterator[Row]:
    one: list[list[float]] = []
    two: list[list[float]] = []
    alone: list[list[float]] = []
    with database(name) as (folder, url), database(name) as (other_folder, other_url):
        port, other_port = free_port(), free_port()
        api_only = settings(other_url, other_port, WORKER_CONCURRENCY="0", **FEW_TOKENS)
        with (
            process("-m", "app.main", folder=folder, environment=settings(url, port, **FEW_TOKENS), pinned=False),
            process("-m", "app.main", folder=other_folder, environment=api_only, pinned=False),
            process(
                "-m",
                "app.worker",
                folder=other_folder,
                environment=settings(other_url, other_port, **FEW_TOKENS),
                pinned=False,
            ),
            _alone(folder, settings(url, port, **FEW_TOKENS)) as graph,
        ):
            for each in (port, other_port):
                wait_for_port(each)
                read(each, 5)
            for _ in range(ROUNDS):
                alone.append([_first_alone(graph) for _ in range(FIRST_CHUNKS_A_ROUND)])
                one.append(read(port, FIRST_CHUNKS_A_ROUND)["first_ms"])
                two.append(read(other_port, FIRST_CHUNKS_A_ROUND)["first_ms"])
    began = [percentile(each, 0.5) for each in alone]
    yield row(f"first chunk of graph.astream, {name}: p50", began, "ms")
    yield row("  p99", [_of_all(alone, 0.99)], "ms")
    for what, times, most in (("in one process", one, (15.0, 40.0)), ("in two processes", two, (50.0, None))):
        adds = [percentile(ours, 0.5) - theirs for ours, theirs in zip(times, began, strict=True)]
        yield row(f"  {what}, more at p50", adds, "ms", most=most[0])
        yield row("    more at p99", [_of_all(times, 0.99) - _of_all(alone, 0.99)], "ms", most=most[1])


def _of_all(rounds: Sequence[Sequence[float]], share: float) -> float:
    return percentile([each for times in rounds for each in times], share)


def _rounds(folder: Path, environment: Mapping[str, str]) -> dict[str, list[float]]:
    output = subprocess.check_output(
        [*_program(), "rounds", str(RUNS_A_ROUND), str(ROUNDS)], cwd=folder, env=_environment(environment)
    )
    measured: dict[str, list[float]] = json.loads(output)
    return measured


@contextmanager
def _alone(folder: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run the graph in a program without our queue, and yield the program when it is ready."""
    with subprocess.Popen(
        [*_program(), "first"],
        cwd=folder,
        env=_environment(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdout.readline()
        yield program
        program.stdin.close()


def _first_alone(program: subprocess.Popen[str]) -> float:
    assert program.stdin is not None
    assert program.stdout is not None
    program.stdin.write("\n")
    program.stdin.flush()
    return float(program.stdout.readline())


def _program() -> list[str]:
    return [sys.executable, "-m", "bench.programs.runs"]


def _environment(values: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent), **values}
