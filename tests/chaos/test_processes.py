"""A process of a run starts for the price of a fork."""

import functools
import json
from pathlib import Path

import pytest

from tests.chaos import frozen
from tests.chaos.processes import ChaosProcess


@pytest.mark.parametrize("kind", ["api", "worker"])
async def test_a_process_finds_what_it_imports(kind: str, tmp_path: Path) -> None:
    """Its parent has imported it, also the tests whose functions tamper with it: 0.1 s of processor time a start."""
    told = tmp_path / "imports.json"
    process = ChaosProcess(kind, "told", tmp_path, tamper=functools.partial(frozen.tell_imports, told))
    process.start()
    try:
        assert await process.gone() == 0
    finally:
        process.close()
    assert json.loads(told.read_text()) == []
