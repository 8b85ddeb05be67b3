"""Special features of the agents' memory on SQLite. The rest is in tests/contract/test_savers.py."""

import asyncio
from pathlib import Path

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint

from app.checkpoints.sqlite import open_saver
from app.models.memory import MEMORY_FENCE_KEY

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
