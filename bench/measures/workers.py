"""Measures what a second worker process adds, for threads that grow."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.backends import database
from bench.processes import free_port, process, settings, wait_for_port
from bench.report import Row, ratios, row

THREADS = 12
SLOTS = 8
ROUNDS = 5
ROUND_SECONDS = 4
LEAST_GAIN = 1.3
AGENTS = {"AGENTS": "chat=bench.programs.chat_agent:graph", "LEASE_SECONDS": "2"}


def workers(backends: Sequence[str]) -> Iterator[Row]:
    """Measure 12 growing threads: two worker processes of four slots, against one process of eight.

    The model costs nothing. Each side has an API process of its own. The callers of the other side wait meanwhile.
    """
    for name in backends:
        with _callers(name, 1) as one, _callers(name, 2) as two:
            alone: list[float] = []
            together: list[float] = []
            for number in range(ROUNDS + 1):
                for callers, rates in ((one, alone), (two, together)):
                    rate = _round(callers)
                    if number:  # the first round warms up
                        rates.append(rate)
        yield row(f"growing threads, {name}, one worker of {SLOTS}", alone, "1/s")
        yield row(f"  two workers of {SLOTS // 2}", together, "1/s")
        yield row("  ratio", ratios(together, alone), least=LEAST_GAIN)


@contextmanager
def _callers(name: str, processes: int) -> Iterator[subprocess.Popen[str]]:
    """Start an API process, so many workers, and their callers, which wait for rounds."""
    with ExitStack() as stack:
        folder, url = stack.enter_context(database(name))
        port = free_port()
        api = settings(url, port, WORKER_CONCURRENCY="0", **AGENTS)
        stack.enter_context(process("-m", "app.main", folder=folder, environment=api, pinned=False))
        wait_for_port(port)
        for _ in range(processes):
            worker = settings(url, port, WORKER_CONCURRENCY=str(SLOTS // processes), **AGENTS)
            stack.enter_context(process("-m", "app.worker", folder=folder, environment=worker, pinned=False))
        program = [sys.executable, "-m", "bench.programs.growing_threads", str(port), str(THREADS)]
        root = Path(__file__).parent.parent.parent
        callers = subprocess.Popen(program, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        stack.enter_context(callers)
        assert callers.stdin is not None
        stack.callback(callers.stdin.close)
        yield callers


def _round(callers: subprocess.Popen[str]) -> float:
    assert callers.stdin is not None
    assert callers.stdout is not None
    callers.stdin.write(f"{ROUND_SECONDS}\n")
    callers.stdin.flush()
    return float(callers.stdout.readline())
