"""The memory forgets conversations, messages and unfinished steps, and nothing else, on every engine."""

from typing import Any
from uuid import UUID, uuid5

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph._internal._constants import INPUT
from langgraph.checkpoint.base import empty_checkpoint

from app.errors import LeaseLost
from app.models.memory import MEMORY_BEGUN_KEY, MEMORY_FENCE_KEY
from tests.contract.saver_calls import KEY, Saver, config, latest, put, without_fence


async def test_forgotten_conversations_begin_anew(saver: Saver) -> None:
    forgotten = [KEY, "default/thread/v", "default/thread/unknown"]
    for key in forgotten[:2]:
        await put(saver, (7, 2), key=key, question="?")
    kept = await put(saver, (8, 1), key="default/thread/u", question="!")
    await saver.forget(forgotten)
    assert [await latest(saver, key) for key in forgotten] == [None, None, None]
    assert await latest(saver, "default/thread/u") == kept["id"]
    for key in forgotten[:2]:
        await put(saver, (1, 1), key=key)


async def test_an_attempt_that_has_begun_cannot_go_on_after_its_conversation_was_forgotten(saver: Saver) -> None:
    begun = config((7, 2))
    begun["configurable"][MEMORY_BEGUN_KEY] = KEY
    await saver.aget_tuple(config((7, 2)))
    saved = await saver.aput(begun, empty_checkpoint(), {}, {})
    place = {"configurable": {**begun["configurable"], **saved["configurable"]}}
    await saver.aput_writes(place, [("answer", "one")], "task")
    await saver.forget([KEY])
    with pytest.raises(LeaseLost):
        await saver.aput(place, empty_checkpoint(), {}, {})
    with pytest.raises(LeaseLost):
        await saver.aput_writes(place, [("answer", "two")], "task")
    with pytest.raises(LeaseLost):
        await saver.aget_tuple(begun)
    assert await latest(saver) is None
    await put(saver, (1, 1))  # nothing has stored the later mark again


async def test_an_attempt_that_has_begun_may_begin_other_conversations(saver: Saver) -> None:
    """A node may run a graph in a thread of its own."""
    inner = config((7, 2), "a thread of a node")
    inner["configurable"][MEMORY_BEGUN_KEY] = KEY
    await saver.aput(inner, empty_checkpoint(), {}, {})
    assert await saver.aget_tuple(inner) is not None


async def test_who_has_nothing_to_forget_changes_nothing(saver: Saver) -> None:
    kept = await put(saver, (7, 2))
    await saver.forget([])
    assert await latest(saver) == kept["id"]


# Messages that are forgotten


async def put_step(saver: Saver, parent: RunnableConfig, message_id: str, namespace: str = "", **values: Any) -> Any:
    """Save a step of this message behind another one."""
    run = {"thread_id": KEY, "checkpoint_ns": namespace, "run_id": message_id, MEMORY_FENCE_KEY: (7, 1)}
    behind = {**parent["configurable"], **run}
    versions = dict.fromkeys(values, saver.get_next_version(None, None))
    checkpoint = {**empty_checkpoint(), "channel_values": values, "channel_versions": versions}
    saved = await saver.aput({"configurable": behind}, checkpoint, {"source": "loop", "step": 1}, versions)
    await saver.aput_writes({"configurable": {**run, **saved["configurable"]}}, [("answer", message_id)], "task")
    return saved


async def listed(saver: Saver, namespace: str = "") -> list[Any]:
    """Return the writer of each checkpoint, the newest first."""
    place = {"configurable": {"thread_id": KEY, "checkpoint_ns": namespace}}
    return [found.metadata["run_id"] async for found in saver.alist(place)]


async def test_the_steps_of_a_forgotten_message_are_gone_and_those_before_it_are_the_newest(saver: Saver) -> None:
    first = await put_step(saver, without_fence(), "m1", answer="one")
    kept = await put_step(saver, first, "m1", answer="two")
    parent = kept
    for message_id in ("m2", "m3"):
        parent = await put_step(saver, parent, message_id, answer=message_id)
        await put_step(saver, without_fence(), message_id, "inner:1", answer=message_id)
    await saver.forget_messages(KEY, (8, 1), ["m2", "m3"])
    assert await listed(saver) == ["m1", "m1"]
    assert await listed(saver, "inner:1") == []
    found = await saver.aget_tuple(without_fence())
    assert found.config["configurable"]["checkpoint_id"] == kept["configurable"]["checkpoint_id"]
    assert found.checkpoint["channel_values"] == {"answer": "two"}
    assert found.pending_writes == [("task", "answer", "m1")]
    assert found.parent_config["configurable"]["checkpoint_id"] == first["configurable"]["checkpoint_id"]
    behind = config((8, 1))
    behind["configurable"] |= {"run_id": "m4", "checkpoint_id": kept["configurable"]["checkpoint_id"]}
    await saver.aput(behind, empty_checkpoint(), {}, {})
    assert await listed(saver) == ["m4", "m1", "m1"]


async def test_what_a_forgotten_message_gave_to_a_delta_channel_is_gone(saver: Saver) -> None:
    """LangGraph saves it with the step before, under a task of its own, and would keep the first of two."""
    kept = await put_step(saver, without_fence(), "m1")
    place = {"configurable": {**config((7, 1))["configurable"], **kept["configurable"]}}
    task = str(uuid5(UUID(kept["configurable"]["checkpoint_id"]), INPUT))
    await saver.aput_writes(place, [("messages", "forgotten")], task)
    await put_step(saver, kept, "m2")
    await saver.forget_messages(KEY, (8, 1), ["m2"])
    assert (await saver.aget_tuple(without_fence())).pending_writes == [("task", "answer", "m1")]


async def test_forgetting_again_and_forgetting_nothing_change_nothing(saver: Saver) -> None:
    kept = await put_step(saver, without_fence(), "m1", answer="one")
    other = await put(saver, (7, 2), "default/thread/u", answer="!")
    for message_ids in (["m"], ["m"], []):
        await saver.forget_messages(KEY, (8, 1), message_ids)
    assert await latest(saver) == kept["configurable"]["checkpoint_id"]
    assert await latest(saver, "default/thread/u") == other["id"]  # of the message `m`, in another conversation


async def test_an_unfinished_step_is_forgotten_without_its_answers_and_without_reading_it(saver: Saver) -> None:
    earlier = await put_step(saver, without_fence(), "m1", answer="one")
    newest = await put_step(saver, earlier, "m2", answer="two")
    place = {"configurable": {**config((7, 1))["configurable"], **newest["configurable"]}}
    await saver.aput_writes(place, [("answer", "half"), ("__resume__", ["yes"])], "other")
    await saver.aput_writes(place, [("__interrupt__", ("Sure?",)), ("__resume__", ["no"])], "asking")
    await saver.forget_unfinished(KEY, (8, 1))
    found = await saver.aget_tuple(without_fence())
    assert sorted(found.pending_writes) == [("asking", "__resume__", ["no"]), ("other", "__resume__", ["yes"])]
    assert (await saver.aget_tuple(earlier)).pending_writes == [("task", "answer", "m1")]
    with pytest.raises(LeaseLost):
        await saver.forget_unfinished(KEY, (7, 9))


async def test_who_forgets_has_the_right_to_write(saver: Saver) -> None:
    kept = await put_step(saver, without_fence(), "m1", answer="one")
    await saver.forget_messages(KEY, (8, 2), ["m0"])
    with pytest.raises(LeaseLost):
        await put_step(saver, without_fence(), "m1")
    with pytest.raises(LeaseLost):
        await saver.forget_messages(KEY, (8, 1), ["m1"])
    assert await latest(saver) == kept["configurable"]["checkpoint_id"]


async def test_who_forgets_nothing_fences_off_the_attempts_before(saver: Saver) -> None:
    """By this an attempt that does not stop loses its right to write."""
    await put(saver, (7, 1))
    await saver.forget_messages(KEY, (7, 2), ())
    with pytest.raises(LeaseLost):
        await put(saver, (7, 1))
    await put(saver, (7, 3))
