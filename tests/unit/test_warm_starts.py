"""Programs that are started from a process with their imports do as programs of their own."""

from pathlib import Path

import pytest

from app.bootstrap import MULTIPROCESS_FOLDER
from tests.servers import finished_process

TELL_KIND = (
    "from app.metrics import make_metrics; from prometheus_client.values import ValueClass as V; print(V.__name__)"
)


@pytest.mark.parametrize(("is_shared", "kind"), [(False, "MutexValue"), (True, "MmapedValue")])
def test_a_program_counts_with_others_if_it_is_told_to(tmp_path: Path, is_shared: bool, kind: str) -> None:
    shared = {MULTIPROCESS_FOLDER: str(tmp_path)} if is_shared else {}
    ended = finished_process(tmp_path, "-c", TELL_KIND, **shared)
    assert (ended.returncode, ended.stdout) == (0, f"{kind}\n"), ended.stderr
