"""Short runs for every change; `make chaos` runs long. CHAOS_SECONDS and CHAOS_SEED say how long and which."""

import os
import time
from pathlib import Path

import pytest

from app.store.endings import WORKER_LOST
from tests.chaos.backends import BACKENDS
from tests.chaos.run import run
from tests.chaos.unfenced import remove_fences

SECONDS = float(os.environ.get("CHAOS_SECONDS", "60"))
CONTROL_SECONDS = 5.0
RESTART_SECONDS = 8.0
SEED = os.environ.get("CHAOS_SEED") or str(time.time_ns())


@pytest.mark.parametrize("backend", BACKENDS)
async def test_nothing_breaks_while_processes_are_killed_stopped_and_drained(backend: str, tmp_path: Path) -> None:
    report = await run(backend, tmp_path, seconds=SECONDS, seed=SEED)
    assert not report.violations, str(report)
    assert report.faults["kill"] > 0
    assert any(message["state"] == "completed" for message in report.history.stored.messages.values()), str(report)


@pytest.mark.parametrize("backend", BACKENDS)
async def test_restarts_under_load_lose_and_double_nothing_and_spend_no_attempt(backend: str, tmp_path: Path) -> None:
    """Every process is drained again and again, as a rolling restart does it; what ran goes on where it was."""
    report = await run(backend, tmp_path, seconds=RESTART_SECONDS, seed=SEED, kinds=["terminate"])
    assert not report.violations, str(report)
    assert report.faults["terminate"] > 0
    stored = report.history.stored
    lost = {message_id for message_id, log in stored.logs.items() if WORKER_LOST in str(log)}  # a machine too busy
    spent = {message_id: message for message_id, message in stored.messages.items() if message["attempt"] > 1}
    assert not spent.keys() - lost, str(report)


@pytest.mark.parametrize("backend", BACKENDS)
async def test_the_checker_finds_what_workers_without_fences_break(backend: str, tmp_path: Path) -> None:
    """The control. Workers are stopped for longer than their leases and woken, and write on."""
    report = await run(
        backend, tmp_path, seconds=CONTROL_SECONDS, seed=SEED, tamper=remove_fences, kinds=["freeze"], drain_seconds=4
    )
    assert {"I3", "I4"} <= {violation.invariant for violation in report.violations}, str(report)
