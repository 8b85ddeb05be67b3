"""Rules of the agents' memory on every engine: LangGraph's contract, the fence, and calls that are cancelled."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph._internal._constants import INPUT
from langgraph.checkpoint.base import BaseCheckpointSaver, Checkpoint, empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from app.checkpoints.factory import open_saver
from app.errors import LeaseLost, StoreUnavailable
from app.models.memory import MEMORY_BEGUN_KEY, MEMORY_FENCE_KEY, MEMORY_KEEP_KEY, MEMORY_KEPT_KEY
from tests import hostile
from tests.postgres_server import PostgresServer
from tests.valkey_server import ValkeyServer

Saver = Any
"""A saver with `forget`."""

KEY = "default/thread/t"
QUEUE = "this queue"
ROUNDS = 25
TURNS = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610)
"""How far a call comes before it is cancelled."""


def config(fence: tuple[int, int], key: str = KEY) -> RunnableConfig:
    """Return the config that a run of this attempt carries."""
    return {"configurable": {"thread_id": key, "checkpoint_ns": "", "run_id": "m", MEMORY_FENCE_KEY: fence}}


def without_fence(key: str = KEY) -> RunnableConfig:
    """A call outside of attempts: it reads without taking the right to write."""
    return {"configurable": {"thread_id": key, "checkpoint_ns": ""}}


def reading(fence: tuple[int, int], key: str, read: list[Any]) -> RunnableConfig:
    """Return the config that a read before a run carries, or the first read in a run."""
    return {"configurable": {**config(fence)["configurable"], key: read}}


async def put(saver: Saver, fence: tuple[int, int], key: str = KEY, **values: Any) -> Checkpoint:
    """Save a checkpoint as this attempt."""
    versions = dict.fromkeys(values, saver.get_next_version(None, None))
    checkpoint = {**empty_checkpoint(), "channel_values": values, "channel_versions": versions}
    await saver.aput(config(fence, key), checkpoint, {}, versions)
    return checkpoint  # type: ignore[return-value]  # a checkpoint as a plain dict


async def latest(saver: Saver, key: str = KEY) -> str | None:
    """The id of the newest checkpoint."""
    found = await saver.aget_tuple(without_fence(key))
    return found.checkpoint["id"] if found else None


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_it_keeps_langgraphs_contract(memory_url: str) -> None:
    @checkpointer_test(name=memory_url)
    async def make() -> AsyncIterator[BaseCheckpointSaver[str]]:
        async with open_saver(memory_url, QUEUE) as opened:
            yield opened

    report: Any = await validate(make)
    assert not [failure for result in report.results.values() for failure in result.failures]
    assert report.passed_all_base()


# The fence


async def test_an_earlier_attempt_cannot_write_after_a_later_one(saver: Saver) -> None:
    await put(saver, (7, 1))
    newest = await put(saver, (7, 3))
    with pytest.raises(LeaseLost):
        await put(saver, (7, 1))
    late = config((7, 1))
    late["configurable"]["checkpoint_id"] = newest["id"]
    with pytest.raises(LeaseLost):
        await saver.aput_writes(late, [("messages", "late")], "task")
    found = await saver.aget_tuple(without_fence())
    assert (found.checkpoint["id"], found.pending_writes) == (newest["id"], [])


async def test_an_earlier_message_cannot_write_after_a_later_one(saver: Saver) -> None:
    await put(saver, (8, 1))
    with pytest.raises(LeaseLost):
        await put(saver, (7, 9))


async def test_an_earlier_attempt_cannot_read_after_a_later_one(saver: Saver) -> None:
    await put(saver, (7, 3))
    with pytest.raises(LeaseLost):
        await saver.aget_tuple(config((7, 1)))


async def test_reading_takes_the_right_to_write(saver: Saver) -> None:
    """Else an earlier attempt could write between what the later one reads and what it writes first."""
    await put(saver, (7, 1))
    await saver.aget_tuple(config((7, 2)))
    with pytest.raises(LeaseLost):
        await put(saver, (7, 1))


async def test_a_run_takes_what_its_attempt_has_read_before_and_only_once(saver: Saver) -> None:
    first = await put(saver, (7, 1), messages=["one"])
    read: list[Any] = []
    found = await saver.aget_tuple(reading((7, 2), MEMORY_KEEP_KEY, read))
    found.checkpoint["channel_versions"]["messages"] = "changed by who read it"
    second = await put(saver, (7, 2))
    taken = await saver.aget_tuple(reading((7, 2), MEMORY_KEPT_KEY, read))
    assert taken.checkpoint["id"] == first["id"]
    assert taken.checkpoint["channel_versions"] == first["channel_versions"]
    assert (await saver.aget_tuple(reading((7, 2), MEMORY_KEPT_KEY, read))).checkpoint["id"] == second["id"]


async def test_what_is_kept_is_taken_by_no_read_of_another_place(saver: Saver) -> None:
    first = await put(saver, (7, 1))
    read: list[Any] = []
    await put(saver, (7, 1))
    await saver.aget_tuple(reading((7, 1), MEMORY_KEEP_KEY, read))
    subgraph, earlier = (reading((7, 1), MEMORY_KEPT_KEY, read) for _ in range(2))
    subgraph["configurable"]["checkpoint_ns"] = "subgraph"
    earlier["configurable"]["checkpoint_id"] = first["id"]
    assert await saver.aget_tuple(subgraph) is None
    assert (await saver.aget_tuple(earlier)).checkpoint["id"] == first["id"]


async def test_nothing_with_pending_writes_is_kept(saver: Saver) -> None:
    checkpoint = await put(saver, (7, 1))
    behind = config((7, 1))
    behind["configurable"]["checkpoint_id"] = checkpoint["id"]
    await saver.aput_writes(behind, [("messages", "one")], "task")
    read: list[Any] = []
    await saver.aget_tuple(reading((7, 2), MEMORY_KEEP_KEY, read))
    assert read == []


async def test_of_two_special_writes_to_one_channel_the_last_stays(saver: Saver) -> None:
    checkpoint = await put(saver, (7, 1))
    behind = config((7, 1))
    behind["configurable"]["checkpoint_id"] = checkpoint["id"]
    await saver.aput_writes(behind, [("__interrupt__", "one"), ("__interrupt__", "two")], "task")
    found = await saver.aget_tuple(without_fence())
    assert found.pending_writes == [("task", "__interrupt__", "two")]


async def test_fences_are_compared_as_numbers(saver: Saver) -> None:
    await put(saver, (9, 9))
    await put(saver, (9, 10))
    await put(saver, (10, 1))
    with pytest.raises(LeaseLost):
        await put(saver, (9, 11))


async def test_numbers_and_fences_as_high_as_microseconds_are_told_apart(saver: Saver) -> None:
    number, fence = 4_102_444_800_000_001, 4_102_444_800_000_003
    for mark in ((number - 1, fence + 1), (number, fence - 1), (number, fence)):
        await put(saver, mark)
    for mark in ((number, fence - 1), (number - 1, fence + 1)):
        with pytest.raises(LeaseLost):
            await put(saver, mark)
    await put(saver, (number, fence))


async def test_what_a_new_attempt_has_read_stays_the_newest_until_it_writes(memory_url: str) -> None:
    """Whether the write of the earlier one comes first or last, it is either read or refused."""
    refused = 0
    async with open_saver(memory_url, QUEUE) as one, open_saver(memory_url, QUEUE) as other:
        for number in range(ROUNDS):
            key = f"{KEY}/{number}"
            await put(one, (7, 1), key)

            async def take(key: str = key, number: int = number) -> Any:
                await turns(TURNS[number % len(TURNS)])
                return await other.aget_tuple(config((7, 2), key))

            read, *writes = await asyncio.gather(
                take(), *(put(one, (7, 1), key) for _ in range(4)), return_exceptions=True
            )
            errors = [written for written in writes if isinstance(written, BaseException)]
            assert {type(error) for error in errors} <= {LeaseLost}
            refused += len(errors)
            assert await latest(one, key) == read.checkpoint["id"]
    assert refused > 0


async def test_of_many_attempts_that_begin_at_once_the_newest_can_write(memory_url: str) -> None:
    async with open_saver(memory_url, QUEUE) as one, open_saver(memory_url, QUEUE) as other:
        for _ in range(ROUNDS):
            attempts = [put(saver, (7, fence)) for saver in (one, other) for fence in (1, 2, 3)]
            results = await asyncio.gather(*attempts, return_exceptions=True)
            errors = [result for result in results if isinstance(result, BaseException)]
            assert {type(error) for error in errors} <= {LeaseLost}
            newest = await put(one, (7, 3))
            assert await latest(other) == newest["id"]
            await one.forget([KEY])


async def test_other_conversations_are_not_touched(saver: Saver) -> None:
    await put(saver, (7, 2))
    await put(saver, (1, 1), key="default/thread/u")


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


async def test_a_queue_that_was_made_anew_is_not_locked_out(memory_url: str) -> None:
    """Its numbers begin at 1 again, below what the memory has seen."""
    async with open_saver(memory_url, QUEUE) as before:
        await put(before, (7, 2))
    async with open_saver(memory_url, "another queue") as after:
        await put(after, (1, 1))
        with pytest.raises(LeaseLost):
            await put(after, (0, 9))


async def test_what_was_saved_is_there_after_opening_again(memory_url: str) -> None:
    async with open_saver(memory_url, QUEUE) as before:
        saved = await put(before, (7, 2), answer=[{"text": "é\U0001f600"}], number=3)
    async with open_saver(memory_url, QUEUE) as after:
        found = await after.aget_tuple(without_fence())
        assert found is not None
        assert found.checkpoint["channel_values"] == saved["channel_values"]
        with pytest.raises(LeaseLost):
            await put(after, (7, 1))


async def test_savers_that_open_at_once_make_their_tables_once(memory_url: str) -> None:
    async def use(number: int) -> None:
        async with open_saver(memory_url, QUEUE) as saver:
            await put(saver, (1, 1), key=f"default/message/{number}")

    await asyncio.gather(*(use(number) for number in range(6)))


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


# Calls at the same time, and calls that are cancelled


async def test_many_runs_write_at_the_same_time(saver: Saver) -> None:
    keys = [f"default/message/{number}" for number in range(50)]
    saved = await asyncio.gather(*(put(saver, (number, 1), key) for number, key in enumerate(keys)))
    assert await asyncio.gather(*(latest(saver, key) for key in keys)) == [checkpoint["id"] for checkpoint in saved]


async def test_a_cancelled_write_is_in_nobodys_way(saver: Saver) -> None:
    """A run may be cancelled at any await; the next write has to work all the same."""
    for number in TURNS:
        writing = asyncio.create_task(put(saver, (7, 1)))
        await turns(number)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        newest = await put(saver, (7, 1))
        assert await latest(saver) == newest["id"]


async def test_a_cancelled_read_leaves_no_answer_for_others(saver: Saver) -> None:
    keys = [f"default/message/{number}" for number in range(5)]
    saved = {key: (await put(saver, (7, 1), key))["id"] for key in keys}
    for number in TURNS:
        reading = asyncio.create_task(saver.aget_tuple(config((7, 1), keys[0])))
        await turns(number)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        assert await asyncio.gather(*(latest(saver, key) for key in keys)) == list(saved.values())


async def test_a_synchronous_node_reaches_the_memory_from_its_thread(saver: Saver) -> None:
    """A graph that such a node calls has the same memory."""
    saved = await put(saver, (7, 1), answer="yes")
    with_id = {"configurable": {**without_fence()["configurable"], "checkpoint_id": saved["id"]}}

    def use() -> list[Any]:
        saver.put_writes(with_id, [("answer", "no")], "task")
        saver.put(with_id, empty_checkpoint(), {}, {})
        return [saver.get_tuple(with_id).pending_writes, len(list(saver.list(without_fence(), limit=5)))]

    assert await asyncio.to_thread(use) == [[("task", "answer", "no")], 2]


# Servers that go away


@pytest.mark.parametrize("make_server", [PostgresServer, ValkeyServer])
async def test_a_server_that_is_away_is_told_as_such_and_needed_again(make_server: Any) -> None:
    with make_server() as server:
        server.stop()
        async with open_saver(server.url, QUEUE) as saver:
            await expect_unavailable(saver)
            server.start()
            await back(saver)
            saved = await asyncio.gather(*(put(saver, (7, 1), f"{KEY}/{number}") for number in range(10)))
            server.stop()
            await expect_unavailable(saver)
            server.start()
            await back(saver)
            found = await asyncio.gather(*(latest(saver, f"{KEY}/{number}") for number in range(10)))
            assert found == [checkpoint["id"] for checkpoint in saved]


@pytest.mark.parametrize("make_server", [PostgresServer, ValkeyServer])
async def test_a_restart_between_two_calls_is_not_noticed(make_server: Any) -> None:
    """The connections in the pool are broken then; no message is put back for that."""
    keys = [f"{KEY}/{number}" for number in range(10)]
    with make_server() as server:
        async with open_saver(server.url, QUEUE) as saver:
            await asyncio.gather(*(put(saver, (7, 1), key) for key in keys))
            server.stop()
            server.start()
            await asyncio.gather(*(put(saver, (7, 1), key) for key in keys))


async def expect_unavailable(saver: Saver) -> None:
    with_id = config((7, 1))
    with_id["configurable"]["checkpoint_id"] = "any"
    errors = await asyncio.gather(
        saver.aget_tuple(config((7, 1))),
        saver.aget_tuple(without_fence()),
        put(saver, (7, 1)),
        saver.aput_writes(with_id, [("answer", "yes")], "task"),
        anext(saver.alist(without_fence())),
        saver.forget([KEY]),
        saver.forget_messages(KEY, (7, 1), ["m"]),
        saver.adelete_thread(KEY),
        return_exceptions=True,
    )
    assert {type(error) for error in errors} == {StoreUnavailable}


async def back(saver: Saver) -> None:
    """Within five seconds, as long as a message may wait for it."""
    async with asyncio.timeout(5):
        while True:
            try:
                await put(saver, (7, 1))
                return
            except StoreUnavailable:
                continue


# What is stored


@dataclass
class Trap:
    """Rows name a class and its arguments; whoever can write a row could have any of them called."""

    armed: bool

    def __post_init__(self) -> None:
        if self.armed:
            SPRUNG.append(self)


SPRUNG: list[Trap] = []


async def test_a_forged_row_runs_nothing(saver: Saver) -> None:
    trap = Trap(armed=False)
    trap.armed = True
    saved = await put(saver, (7, 1), answer=trap)
    with_id = config((7, 1))
    with_id["configurable"]["checkpoint_id"] = saved["id"]
    await saver.aput_writes(with_id, [("answer", trap)], "task")
    found = await saver.aget_tuple(without_fence())
    assert len(found.pending_writes) == 1
    assert SPRUNG == []
    open_minded = JsonPlusSerializer(allowed_msgpack_modules=True)
    open_minded.loads_typed(open_minded.dumps_typed(trap))
    assert len(SPRUNG) == 1
    SPRUNG.clear()


@pytest.mark.parametrize("kind", ["the text is a number", "everything raises", "a long text"])
async def test_the_error_of_a_node_is_kept_in_short_whatever_it_is(saver: Saver, kind: str) -> None:
    saved = await put(saver, (7, 1), answer="none")
    with_id = config((7, 1))
    with_id["configurable"]["checkpoint_id"] = saved["id"]
    await saver.aput_writes(with_id, [("__error__", hostile.KINDS[kind]())], "task")
    ((_, channel, error),) = (await saver.aget_tuple(without_fence())).pending_writes
    assert channel == "__error__"
    assert isinstance(error, str)
    assert 0 < len(error) <= 2_000


async def test_the_history_of_a_delta_channel_is_whole(saver: Saver) -> None:
    """Such a channel keeps its writes, and rarely a value; they are read back along the parents, in their order."""
    parent = without_fence()
    for step in range(3):
        checkpoint = empty_checkpoint()
        version = saver.get_next_version(None, None)
        values = {"deltas": ["seed"]} if step == 0 else {}
        checkpoint |= {"channel_values": values, "channel_versions": {"deltas": version}}
        parent = await saver.aput(
            {"configurable": {**parent["configurable"], "checkpoint_ns": ""}}, checkpoint, {}, {"deltas": version}
        )
        await saver.aput_writes(parent, [("deltas", f"{step}b"), ("deltas", f"{step}c")], "task 1", "~2")
        await saver.aput_writes(parent, [("deltas", f"{step}a")], "task 2", "~1")
    history = (await saver.aget_delta_channel_history(config=parent, channels=["deltas"]))["deltas"]
    assert history["seed"] == ["seed"]
    assert [write[2] for write in history["writes"]] == ["0a", "0b", "0c", "1a", "1b", "1c"]
