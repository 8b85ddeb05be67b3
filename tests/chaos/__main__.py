"""`make chaos`: a long run on each backend and a table. Settings: CHAOS_SECONDS, CHAOS_SEED, CHAOS_BACKENDS."""

import asyncio
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.backends import BACKENDS
from tests.chaos.history import Reply
from tests.chaos.run import RECOVERY_LIMIT_SECONDS, Report, run

COLUMNS = (
    "backend",
    "messages",
    "kills",
    "stops",
    "drains",
    "restarts",
    "cuts",
    "cancels",
    "violations",
    "slowest recovery",
)


def row(report: Report) -> tuple[object, ...]:
    """One line of the table."""
    faults = report.faults
    return (
        report.backend,
        report.history.stored.total,
        faults["kill"],
        faults["stop"],
        faults["terminate"],
        faults["restart"],
        faults["cut"] + faults["cut_after"] + faults["hold"],
        sum(cancel.reply is Reply.DONE for cancel in report.history.seen.cancels),
        len(report.violations),
        f"{report.slowest_recovery:.2f} s",
    )


def show(line: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Runs them all; 1 if anything was violated."""
    seconds = float(os.environ.get("CHAOS_SECONDS", "600"))
    seed = os.environ.get("CHAOS_SEED") or str(time.time_ns())
    names = os.environ.get("CHAOS_BACKENDS", ",".join(BACKENDS)).split(",")
    logging.basicConfig(level=logging.WARNING)
    show(f"CHAOS_SEED={seed} CHAOS_SECONDS={seconds:g}")
    reports = []
    for name in names:
        folder = Path(tempfile.mkdtemp(prefix=f"chaos-{name}-"))
        running = run(name, folder, seconds=seconds, seed=seed, recovery_limit=RECOVERY_LIMIT_SECONDS)
        reports.append(asyncio.run(running))
        if reports[-1].violations:
            show(f"{reports[-1]}\nDatabase and logs: {folder}")
    rows = [COLUMNS, *map(row, reports)]
    widths = [max(len(str(cells[column])) for cells in rows) for column in range(len(COLUMNS))]
    for cells in rows:
        show("  ".join(str(cell).rjust(width) for cell, width in zip(cells, widths, strict=True)))
    return any(report.violations for report in reports)


if __name__ == "__main__":
    sys.exit(main())
