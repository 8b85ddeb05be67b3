"""The agents' memory on SQLite: LangGraph's contract, the fence, and writes that are cancelled."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint, empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from app.checkpoints.sqlite import FencedSqliteSaver, open_saver
from app.errors import LeaseLost
from app.models import MEMORY_FENCE_KEY

KEY = "default/thread/t"
QUEUE = "this queue"


@pytest.fixture
async def saver(tmp_path: Path) -> AsyncIterator[FencedSqliteSaver]:
    async with open_saver(tmp_path / "checkpoints.db", QUEUE) as opened:
        yield opened


def config(fence: tuple[int, int], key: str = KEY) -> RunnableConfig:
    """What a run of this attempt carries."""
    return {"configurable": {"thread_id": key, "checkpoint_ns": "", "run_id": "m", MEMORY_FENCE_KEY: fence}}


async def put(saver: FencedSqliteSaver, fence: tuple[int, int], key: str = KEY) -> Checkpoint:
    """Save an empty checkpoint as this attempt."""
    checkpoint = empty_checkpoint()
    await saver.aput(config(fence, key), checkpoint, {}, {})
    return checkpoint


async def latest(saver: FencedSqliteSaver) -> str | None:
    """The id of the newest checkpoint, read without taking the right to write."""
    found = await AsyncSqliteSaver.aget_tuple(saver, {"configurable": {"thread_id": KEY}})
    return found.checkpoint["id"] if found else None


async def test_it_keeps_langgraphs_contract(tmp_path: Path) -> None:
    @checkpointer_test(name="fenced sqlite")
    async def make() -> AsyncIterator[FencedSqliteSaver]:
        async with open_saver(None, QUEUE) as opened:
            yield opened

    report: Any = await validate(make)
    assert report.passed_all_base()


async def test_an_earlier_attempt_cannot_write_after_a_later_one(saver: FencedSqliteSaver) -> None:
    await put(saver, (7, 1))
    newest = await put(saver, (7, 3))
    with pytest.raises(LeaseLost):
        await put(saver, (7, 1))
    with pytest.raises(LeaseLost):
        await saver.aput_writes(config((7, 1)), [("messages", "late")], "task")
    assert await latest(saver) == newest["id"]


async def test_an_earlier_message_cannot_write_after_a_later_one(saver: FencedSqliteSaver) -> None:
    await put(saver, (8, 1))
    with pytest.raises(LeaseLost):
        await put(saver, (7, 9))


async def test_reading_takes_the_right_to_write(saver: FencedSqliteSaver) -> None:
    """Else an earlier attempt could write between what the later one reads and what it writes first."""
    await put(saver, (7, 1))
    await saver.aget_tuple(config((7, 2)))
    with pytest.raises(LeaseLost):
        await put(saver, (7, 1))


async def test_other_conversations_are_not_touched(saver: FencedSqliteSaver) -> None:
    await put(saver, (7, 2))
    await put(saver, (1, 1), key="default/thread/u")


async def test_a_forgotten_conversation_begins_anew(saver: FencedSqliteSaver) -> None:
    await put(saver, (7, 2))
    await saver.forget([KEY])
    assert await latest(saver) is None
    await put(saver, (1, 1))


async def test_a_queue_that_was_made_anew_is_not_locked_out(tmp_path: Path) -> None:
    """Its numbers begin at 1 again, below what the memory has seen."""
    async with open_saver(tmp_path / "checkpoints.db", QUEUE) as before:
        await put(before, (7, 2))
    async with open_saver(tmp_path / "checkpoints.db", "another queue") as after:
        await put(after, (1, 1))
        with pytest.raises(LeaseLost):
            await put(after, (0, 9))


async def test_a_cancelled_write_leaves_no_transaction_open(saver: FencedSqliteSaver) -> None:
    """A run may be cancelled at any await; the next write has to work all the same."""
    for turns in range(40):
        writing = asyncio.create_task(put(saver, (7, 1)))
        for _ in range(turns):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        assert not saver.conn.in_transaction
        newest = await put(saver, (7, 1))
        assert await latest(saver) == newest["id"]


async def test_many_runs_write_at_the_same_time(saver: FencedSqliteSaver) -> None:
    await asyncio.gather(*(put(saver, (number, 1), key=f"default/message/{number}") for number in range(50)))
    found = [
        await saver.aget_tuple({"configurable": {"thread_id": f"default/message/{number}"}}) for number in range(50)
    ]
    assert all(found)


async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    async with open_saver(tmp_path / "data" / "checkpoints.db", QUEUE) as opened:
        await put(opened, (1, 1))
        assert (tmp_path / "data" / "checkpoints.db").stat().st_mode & 0o777 == 0o600
