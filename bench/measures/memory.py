"""Measures what one long conversation costs: the time of its turns and the bytes of its memory.

`BENCH_TURNS` is the number of turns.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.backends import database, megabytes
from bench.report import Row, row

TURNS = int(os.environ.get("BENCH_TURNS", "1000"))
KINDS = ("chat", "tools")
MOST_GROWTH = {"chat": 1.5, "tools": 1.5}
MOST_OF_FREE = {"chat": None, "tools": 1.3}
FREE = "free"


def memory(backends: Sequence[str]) -> Iterator[Row]:
    """Measure BENCH_TURNS turns (1,000) of one thread: a turn at its end against its first, and the bytes stored.

    The model costs nothing, so the time is LangGraph's and the memory's. `chat` has one step a turn, `tools` five. The
    free saver keeps objects in a dictionary: with it, a turn costs what LangGraph itself costs.
    """
    for kind in KINDS:
        free = _turns(FREE, kind, Path.cwd())
        yield row(f"turn {TURNS:,} of {kind}, free saver", [free["last_ms"]], "ms")
        yield row("  against turn 1", [free["last_ms"] / free["first_ms"]])
        budget = round((5 * free["text_bytes"] + 4096 * TURNS) / 2**20, 2)
        for name in backends:
            with database(name) as (folder, url):
                before = megabytes(url)
                ours = _turns(url, kind, folder)
                stored = megabytes(url) - before
            yield row(f"turn {TURNS:,} of {kind}, {name}", [ours["last_ms"]], "ms")
            yield row("  against turn 1", [ours["last_ms"] / ours["first_ms"]], most=MOST_GROWTH[kind])
            yield row("  against the free saver", [ours["last_ms"] / free["last_ms"]], most=MOST_OF_FREE[kind])
            yield row("  stored", [stored], "MB", most=budget)


def _turns(url: str, kind: str, folder: Path) -> dict[str, float]:
    """Return the milliseconds of a first turn and of a turn at the end, and the bytes of the conversation's text."""
    root = str(Path(__file__).parent.parent.parent)
    output = subprocess.check_output(
        [sys.executable, "-m", "bench.programs.memory", url, kind, str(TURNS)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": root},
    )
    measured: dict[str, float] = json.loads(output)
    return measured
