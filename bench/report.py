"""The results of measurements: the rows of the table, and the file that keeps them."""

import json
import math
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("fastapi", "uvicorn", "pydantic", "langgraph", "apsw", "asyncpg", "redis")
COLUMNS = f"{'measure':<58} {'median':>11} {'low':>11} {'high':>11} unit  goal"


class Row(NamedTuple):
    """One line of the table: the median, lowest and highest of some rounds. `met` is None for a row without a goal."""

    what: str
    median: float
    low: float
    high: float
    unit: str = ""
    goal: str = ""
    met: bool | None = None

    def __str__(self) -> str:
        note = {None: "", True: "", False: "  MISSED"}[self.met]
        return (
            f"{self.what:<58} {self.median:>11,.2f} {self.low:>11,.2f} {self.high:>11,.2f} "
            f"{self.unit:<5} {self.goal}{note}"
        )


def row(
    what: str, rounds: Sequence[float], unit: str = "", *, least: float | None = None, most: float | None = None
) -> Row:
    """Return the row of these rounds. `least` or `most` is the goal for their median."""
    median = statistics.median(rounds)
    goal, met = "", None
    if least is not None:
        goal, met = f">= {least:g}", median >= least
    elif most is not None:
        goal, met = f"<= {most:g}", median <= most
    return Row(what, median, min(rounds), max(rounds), unit, goal, met)


def ratios(ours: Iterable[float], theirs: Iterable[float]) -> list[float]:
    """Return ours divided by theirs, round by round. Both of a round were measured together or one after the other."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value at this share (0 to 1) of the sorted values; NaN if there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def markdown(rows: Sequence[Row]) -> str:
    """Return the rows of a measure as a Markdown table."""
    lines = ["| | median | lowest–highest | goal |", "|---|---|---|---|"]
    for each in rows:
        unit = f" {each.unit}" if each.unit else ""
        goal = (
            "" if each.met is None else f"{each.goal.replace('>=', '≥').replace('<=', '≤')}, {_met_or_missed(each.met)}"
        )
        extremes = f"{_figure(each.low)}–{_figure(each.high)}"
        text = each.what.lstrip()
        what = "– " * ((len(each.what) - len(text)) // 2) + text
        lines.append(f"| {what} | {_figure(each.median)}{unit} | {extremes} | {goal or each.goal} |")
    return "\n".join(lines) + "\n"


def _met_or_missed(met: bool) -> str:
    return "met" if met else "**missed**"


def _figure(value: float) -> str:
    """Return a number with three significant digits, or without decimals from 100."""
    if math.isnan(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def save(rows: dict[str, list[Row]], seconds: dict[str, float]) -> Path:
    """Write the rows by measure, with commit, machine and versions, to `bench/results`. Return the path.

    Write the same rows as Markdown tables to a file beside it.
    """
    RESULTS.mkdir(exist_ok=True)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    report = {
        "at": at,
        "commit": _commit(),
        "machine": {"cores": os.cpu_count(), "memory_mb": _memory_megabytes(), "system": platform.system()},
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "measures": {
            name: {"seconds": round(seconds[name], 1), "rows": [_fields(each) for each in found]}
            for name, found in rows.items()
        },
    }
    path = RESULTS / f"{at.replace(':', '')}.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    path.with_suffix(".md").write_text("\n".join(f"## {name}\n\n{markdown(found)}" for name, found in rows.items()))
    return path


def _fields(row: Row) -> dict[str, object]:
    """Return the row for JSON, with NaN as None."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row._asdict().items()
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=RESULTS.parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def _memory_megabytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
