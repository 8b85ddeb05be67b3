"""Rules of the agents' memory on every engine: LangGraph's contract, the fence, and calls that are cancelled."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from app.checkpoints.factory import open_saver
from app.errors import LeaseLost, StoreUnavailable
from app.models.memory import MEMORY_KEEP_KEY, MEMORY_KEPT_KEY
from tests import hostile
from tests.contract.saver_calls import KEY, QUEUE, TURNS, Saver, config, latest, put, reading, turns, without_fence
from tests.postgres_server import PostgresServer
from tests.valkey_server import ValkeyServer

ROUNDS = 25


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
