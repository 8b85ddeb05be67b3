"""The writes of a step's tasks are saved together with the checkpoint that follows."""

import asyncio
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint

from app.checkpoints.task_writes import TURNS
from app.errors import LeaseLost, StateNotStorable
from tests.contract.saver_calls import config, put, turns, without_fence
from tests.contract.test_memory_growth import answer, graph

WRITES = [("answer", "yes")]


@pytest.fixture
def alone(saver: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the tasks whose writes are saved without a checkpoint."""
    ids: list[str] = []
    save = saver._save_writes

    async def noted(place: RunnableConfig, written: Any) -> None:
        ids.append(written.task_id)
        await save(place, written)

    monkeypatch.setattr(saver, "_save_writes", noted)
    return ids


async def after(saver: Any, fence: tuple[int, int] = (7, 1)) -> RunnableConfig:
    """Save a checkpoint; the place of what follows it."""
    saved = await put(saver, fence)
    return {"configurable": {**config(fence)["configurable"], "checkpoint_id": saved["id"]}}


async def writes_at(saver: Any, place: RunnableConfig) -> list[tuple[str, str, Any]]:
    found = await saver.aget_tuple(
        {"configurable": {**without_fence()["configurable"], "checkpoint_id": place["configurable"]["checkpoint_id"]}}
    )
    return list(found.pending_writes)


async def test_a_run_saves_no_writes_alone(saver: Any, alone: list[str]) -> None:
    compiled = graph(answer).copy(update={"checkpointer": saver})
    place: RunnableConfig = {"configurable": {"thread_id": "t"}}
    await compiled.ainvoke({"messages": ["Hello"]}, place, durability="sync")
    assert alone == []
    states = [state async for state in compiled.aget_state_history(place)]
    assert [state.next for state in states] == [(), ("node0",), ("__start__",)]
    assert [bool(task.result) for state in states for task in state.tasks] == [True, True]


async def test_writes_of_several_tasks_are_saved_with_the_checkpoint(saver: Any, alone: list[str]) -> None:
    place = await after(saver)
    tasks = [saver.aput_writes(place, WRITES, task) for task in ("one", "two")]
    special = saver.aput_writes(place, [("__error__", "failed")], "three")
    await asyncio.gather(*tasks, special, saver.aput(place, empty_checkpoint(), {}, {}))
    assert "one" not in alone
    assert "two" not in alone
    expected = [("one", "answer", "yes"), ("two", "answer", "yes"), ("three", "__error__", "failed")]
    assert sorted(await writes_at(saver, place)) == sorted(expected)


async def test_a_task_that_ends_early_is_saved_before_the_others_end(saver: Any, alone: list[str]) -> None:
    place = await after(saver)
    await saver.aput_writes(place, WRITES, "early")
    assert alone == ["early"]
    assert await writes_at(saver, place) == [("early", "answer", "yes")]


async def test_writes_are_saved_if_their_checkpoint_cannot_be(saver: Any, alone: list[str]) -> None:
    place = await after(saver)
    bad = {**empty_checkpoint(), "channel_values": {"answer": object()}, "channel_versions": {"answer": "1"}}
    results: Any = await asyncio.gather(
        saver.aput_writes(place, WRITES, "task"),
        saver.aput(place, bad, {}, {"answer": "1"}),
        return_exceptions=True,
    )
    assert [type(each) for each in results] == [type(None), StateNotStorable]
    assert alone == ["task"]
    assert await writes_at(saver, place) == [("task", "answer", "yes")]


async def test_neither_is_saved_for_an_attempt_that_is_over(saver: Any) -> None:
    place = await after(saver)
    await saver.aget_tuple(config((7, 2)))
    results = await asyncio.gather(
        saver.aput_writes(place, WRITES, "task"), saver.aput(place, empty_checkpoint(), {}, {}), return_exceptions=True
    )
    assert [type(each) for each in results] == [LeaseLost, LeaseLost]
    assert await writes_at(saver, place) == []


async def test_a_checkpoint_of_another_attempt_takes_no_writes(saver: Any) -> None:
    earlier = await after(saver)
    later = {"configurable": {**earlier["configurable"], **config((7, 2))["configurable"]}}
    await saver.aget_tuple(config((7, 2)))
    results: Any = await asyncio.gather(
        saver.aput_writes(earlier, WRITES, "task"),
        saver.aput(later, empty_checkpoint(), {}, {}),
        return_exceptions=True,
    )
    assert [type(each) for each in results] == [LeaseLost, dict]
    assert await writes_at(saver, earlier) == []


@pytest.mark.parametrize("number", [1, TURNS // 2, TURNS + 2])
async def test_a_cancelled_task_leaves_nothing_that_waits(saver: Any, number: int) -> None:
    place = await after(saver)
    writing = asyncio.create_task(saver.aput_writes(place, WRITES, "task"))
    await turns(number)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await saver.aput(place, empty_checkpoint(), {}, {})
    assert not saver._waiting._waiting
    assert not saver._waiting._saving
