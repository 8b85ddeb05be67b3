"""A worker tells of its load with its heartbeats."""

from pathlib import Path

import pytest

from app.models.attempts import Lease
from app.observability import worker_load
from app.observability.worker_load import MOST_RUNS, RATE_SECONDS, TextRate, WorkerRuns, memory_bytes


def test_the_rate_is_that_of_the_last_seconds() -> None:
    seconds = 0.0
    rate = TextRate(lambda: seconds)
    assert rate.tokens_per_second == 0.0
    for _ in range(5):
        rate.count(80)
        seconds += 1.0
    assert rate.tokens_per_second == 400 / 4 / RATE_SECONDS
    seconds += RATE_SECONDS
    assert rate.tokens_per_second == 0.0
    rate.count(4)
    assert len(rate._written) == 1, "old counts are dropped"


def test_a_load_names_a_bounded_number_of_runs() -> None:
    runs = WorkerRuns()
    leases = [Lease(f"m{n}", n + 1, 1, "w") for n in range(MOST_RUNS + 1)]
    for lease in leases:
        runs.began(lease, tenant="t", agent="a")
    load = runs.load(1.5)
    assert (load.busy, len(load.runs), load.tokens_per_second) == (MOST_RUNS + 1, MOST_RUNS, 1.5)
    for lease in leases[1:]:
        runs.ended(lease)
    (run,) = runs.load(0.0).runs
    assert (run.message_id, run.tenant, run.agent) == ("m0", "t", "a")


def test_a_host_that_does_not_tell_has_no_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = memory_bytes()
    assert known is None or known > 10 * 2**20
    monkeypatch.setattr(worker_load, "MEMORY_FILE", tmp_path / "missing")
    assert memory_bytes() is None
