"""Measures the processor time of a submit, without the HTTP server."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.backends import database
from bench.measures.limits import LIMITS, with_quotas
from bench.measures.side_by_side import Prepare
from bench.processes import DEADLINE_SECONDS, settings
from bench.report import Row, ratios, row

ROUNDS = 3


def accept(backends: Sequence[str]) -> Iterator[Row]:
    """Measure the processor time of a submit by thread, alone and with a key, two limits and two quotas."""
    for name in backends:
        alone: list[Mapping[str, float]] = []
        limited: list[Mapping[str, float]] = []
        for _ in range(ROUNDS):
            alone.append(_measured(name, lambda _: ()))
            limited.append(_measured(name, with_quotas, **LIMITS))
        for thread, what in (("loop", "event loop"), ("store", "threads of the store")):
            yield row(f"a submit, {what}, {name}", [each[thread] for each in alone], "us")
            yield row("  with a key, limits and quotas", [each[thread] for each in limited], "us")
        yield row("  ratio of both", ratios(map(_total, alone), map(_total, limited)), least=0.95)


def _total(found: Mapping[str, float]) -> float:
    return found["loop"] + found["store"]


def _measured(name: str, prepare: Prepare, **variables: str) -> Mapping[str, float]:
    with database(name) as (folder, url):
        root = str(Path(__file__).parent.parent.parent)
        environment = {**os.environ, "PYTHONPATH": root, **settings(url, 0, WORKER_CONCURRENCY="0", **variables)}
        command = [sys.executable, "-m", "bench.programs.accept", *prepare(environment)]
        output = subprocess.check_output(command, cwd=folder, env=environment, timeout=DEADLINE_SECONDS)
        found: Mapping[str, float] = json.loads(output.splitlines()[-1])
        return found
