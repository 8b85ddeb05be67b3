"""Special features of the agents' memory on SQLite. The rest is in tests/contract/test_savers.py."""

import asyncio
import sqlite3
import statistics
from contextlib import closing
from pathlib import Path

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint

from app.checkpoints.sqlite import open_saver
from app.models.memory import MEMORY_FENCE_KEY
from tests.unit.sqlite_tools import python
from tests.unit.test_sqlite_turns import MOST_OVERTAKEN

CONFIG: RunnableConfig = {
    "configurable": {"thread_id": "default/thread/t", "checkpoint_ns": "", MEMORY_FENCE_KEY: (1, 1)}
}


async def test_a_cancelled_write_leaves_no_transaction_open(tmp_path: Path) -> None:
    async with open_saver(tmp_path / "checkpoints.db", "this queue") as saver:
        for turns in range(40):
            writing = asyncio.create_task(saver.aput(CONFIG, empty_checkpoint(), {}, {}))
            for _ in range(turns):
                await asyncio.sleep(0)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            assert not saver.conn.in_transaction


async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "data" / "checkpoints.db"
    async with open_saver(file, "this queue") as opened:
        await opened.aput(CONFIG, empty_checkpoint(), {}, {})
        assert file.stat().st_mode & 0o777 == 0o600


BUSY_WRITER = """
import asyncio, sys, time
from pathlib import Path
from app.checkpoints.sqlite import open_saver
from tests.unit.sqlite_tools import python
from tests.unit.test_sqlite_turns import MOST_OVERTAKEN

async def main():
    async with open_saver(Path(sys.argv[1]), "queue") as saver:
        def write():
            saver._file.begin()
            saver.conn.execute("INSERT INTO written VALUES (1)")
            time.sleep(0.005)
            saver.conn.commit()

        await saver._file.call(lambda: saver.conn.execute("CREATE TABLE written (number)"))
        print("ready", flush=True)
        while True:
            await saver._file.call(write)

asyncio.run(main())
"""
"""Another process that writes without a pause, one transaction after the other."""


async def test_a_write_waits_for_few_transactions_of_a_busy_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "memory.db"
    monkeypatch.setattr("app.checkpoints.sqlite_file.PATIENCE_MILLISECONDS", 1)
    with python(BUSY_WRITER, str(path)) as process:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == "ready\n"
        with closing(sqlite3.connect(path)) as other:
            waited: list[int] = []
            async with open_saver(path, "queue") as saver:
                for _ in range(20):
                    before = other.execute("SELECT count(*) FROM written").fetchone()[0]
                    await saver._file.call(saver._file.begin)
                    waited.append(other.execute("SELECT count(*) FROM written").fetchone()[0] - before)
    assert statistics.median(waited) <= MOST_OVERTAKEN, waited
