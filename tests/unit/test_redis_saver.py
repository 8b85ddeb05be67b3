"""Special features of the agents' memory on Redis. The rest is in tests/contract/test_savers.py."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import Capability
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from redis.asyncio import Redis

from app.checkpoints.redis import FencedRedisSaver, open_saver
from app.checkpoints.redis_changes import change_of
from app.checkpoints.redis_rows import PREFIX, newest
from app.errors import LeaseLost, StoreUnavailable
from app.models.memory import MEMORY_FENCE_KEY
from tests.valkey_server import ValkeyServer

QUEUE = "this queue"
KEY = "default/thread/t"
CONFIG: RunnableConfig = {"configurable": {"thread_id": KEY, "checkpoint_ns": "", MEMORY_FENCE_KEY: (1, 1)}}


@pytest.fixture
async def server(valkey: ValkeyServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey.url) as client:
        await client.flushdb()
        yield client
        await client.config_set("maxmemory", 0)


@pytest.fixture
async def saver(valkey: ValkeyServer, server: Redis) -> AsyncIterator[FencedRedisSaver]:
    async with open_saver(valkey.url, QUEUE) as opened:
        yield opened


async def put(
    saver: FencedRedisSaver, parent: RunnableConfig = CONFIG, namespace: str = "", **values: Any
) -> RunnableConfig:
    """Save a checkpoint with new values behind another one."""
    versions = dict.fromkeys(values, saver.get_next_version(None, None))
    checkpoint = {**empty_checkpoint(), "channel_values": values, "channel_versions": versions}
    config: RunnableConfig = {"configurable": {**parent["configurable"], "checkpoint_ns": namespace}}
    saved = await saver.aput(config, checkpoint, {}, versions)  # type: ignore[arg-type]  # a checkpoint as a plain dict
    await saver.aput_writes(saved, [("answer", "yes")], "task")
    return saved


async def names(server: Redis) -> set[bytes]:
    """All that is saved of the conversation."""
    return set(cast(list[bytes], await server.hkeys(f"{PREFIX}rows:{KEY}")))  # this client decodes nothing


async def test_it_has_every_capability_there_is(valkey: ValkeyServer) -> None:
    @checkpointer_test(name="fenced redis")
    async def make() -> AsyncIterator[FencedRedisSaver]:
        async with open_saver(valkey.url, QUEUE) as opened:
            yield opened

    report: Any = await validate(make)
    assert {name: result.passed for name, result in report.results.items()} == {c.value: True for c in Capability}


async def test_a_value_that_no_socket_takes_at_once_is_saved(saver: FencedRedisSaver) -> None:
    text = "long " * 4_000_000
    saved = await put(saver, story=text)
    found = await saver.aget_tuple(saved)
    assert found is not None
    assert found.checkpoint["channel_values"]["story"] == text


@pytest.mark.parametrize("lost", ["connection", "scripts", "both"])
async def test_a_lost_connection_and_lost_scripts_cost_no_call(
    saver: FencedRedisSaver, server: Redis, lost: str
) -> None:
    saved = await put(saver, question="?")
    if lost != "scripts":
        assert await server.client_kill_filter(_type="normal", skipme=True) >= 1
    if lost != "connection":
        await server.script_flush()
    found: list[Any] = await asyncio.gather(
        *(saver.aget_tuple(saved) for _ in range(3)), put(saver, saved, question="more")
    )
    assert [each is not None for each in found] == [True] * 4
    assert found[0].checkpoint["channel_values"] == {"question": "?"}


async def test_a_cancelled_call_leaves_its_reply_to_nobody_else(saver: FencedRedisSaver, server: Redis) -> None:
    saved = await put(saver, question="?")
    calls = [asyncio.create_task(cast(Any, saver.aget_tuple(saved))) for _ in range(20)]
    await asyncio.sleep(0)
    calls[0].cancel()
    calls[7].cancel()
    found: list[Any] = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in found] == [place in (0, 7) for place in range(20)]
    assert all(each.checkpoint["id"] == saved["configurable"]["checkpoint_id"] for each in [*found[1:7], *found[8:]])
    assert await server.hlen(f"{PREFIX}rows:{KEY}") == 3


async def test_a_value_is_stored_once_for_all_checkpoints_that_have_it(saver: FencedRedisSaver, server: Redis) -> None:
    version = saver.get_next_version(None, None)
    values, versions = {"messages": ["a long story"]}, {"messages": version}
    for new_versions in (versions, {}, {}):
        checkpoint = {**empty_checkpoint(), "channel_values": values, "channel_versions": versions}
        saved = await saver.aput(CONFIG, checkpoint, {}, new_versions)  # type: ignore[arg-type]  # a checkpoint as a plain dict
    assert len([name for name in await names(server) if name.startswith(b"v\0")]) == 1
    found = await saver.aget_tuple(saved)
    assert found is not None
    assert found.checkpoint["channel_values"] == values


async def test_forgetting_leaves_no_key(saver: FencedRedisSaver, server: Redis) -> None:
    await put(saver, question="?")
    assert len(await server.keys("*")) == 3
    await saver.forget([KEY])
    assert await server.keys("*") == []


async def test_all_keys_are_in_one_slot(saver: FencedRedisSaver, server: Redis) -> None:
    await put(saver, question="?")
    assert all(key.startswith(b"{agent_queue}:checkpoint:") for key in cast(list[bytes], await server.keys("*")))


async def test_pruning_leaves_the_newest_of_each_namespace_with_all_that_it_needs(
    saver: FencedRedisSaver, server: Redis
) -> None:
    older = await put(saver, question="old")
    await put(saver, namespace="inner", question="inner")
    inner_and_older = await names(server)
    last = await put(saver, older, question="new", answer=["new"])
    await saver.aprune([KEY])
    left = await names(server)
    assert len(left - inner_and_older) == 4  # a checkpoint, two values and a write
    assert len(left & inner_and_older) == 3
    assert set(await server.zrange(f"{PREFIX}index:{KEY}", 0, -1)) == {n for n in left if not n.startswith(b"v")}
    found = await saver.aget_tuple(last)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"question": "new", "answer": ["new"]}
    assert found.pending_writes == [("task", "answer", "yes")]


async def test_what_is_saved_while_it_prunes_is_kept(
    saver: FencedRedisSaver, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins anew with what is there then."""
    saved = [await put(saver)]
    saved.append(await put(saver, saved[0]))

    async def save_another() -> None:
        async with open_saver(valkey.url, QUEUE) as other:
            saved.append(await put(other, saved[1], question="new"))

    def choose(rows: Any) -> Any:
        if len(saved) == 2:
            with ThreadPoolExecutor(1) as thread:
                thread.submit(asyncio.run, save_another()).result()
        return newest(rows)

    monkeypatch.setattr("app.checkpoints.redis.newest", choose)
    await saver.aprune([KEY])
    left = [found.config["configurable"] async for found in saver.alist({"configurable": {"thread_id": KEY}})]
    assert left == [saved[2]["configurable"]]


async def test_a_later_attempt_that_begins_meanwhile_keeps_what_the_earlier_one_would_forget(
    saver: FencedRedisSaver, valkey: ValkeyServer, server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(saver, {"configurable": {**CONFIG["configurable"], "run_id": "m"}})
    before = await names(server)
    later: RunnableConfig = {"configurable": {**CONFIG["configurable"], MEMORY_FENCE_KEY: (1, 3)}}

    async def begin_later() -> None:
        async with open_saver(valkey.url, QUEUE) as other:
            await other.aget_tuple(later)

    def change(*given: Any) -> Any:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, begin_later()).result()
        return change_of(*given)

    monkeypatch.setattr("app.checkpoints.redis.change_of", change)
    with pytest.raises(LeaseLost):
        await saver.forget_messages(KEY, (1, 2), ["m"])
    assert await names(server) == before


async def test_pruning_refuses_a_channel_that_needs_the_earlier_checkpoints(saver: FencedRedisSaver) -> None:
    older = await put(saver, deltas=_DeltaSnapshot(["seed"]))
    await put(saver, older)
    with pytest.raises(NotImplementedError, match="DeltaChannel"):
        await saver.aprune([KEY])
    assert len([found async for found in saver.alist(older | {"configurable": {"thread_id": KEY}})]) == 2


async def test_a_server_that_is_full_is_one_that_is_away(saver: FencedRedisSaver, server: Redis) -> None:
    await put(saver)
    await server.config_set("maxmemory", 1)
    with pytest.raises(StoreUnavailable, match="cannot be used"):
        await put(saver)
    await server.config_set("maxmemory", 0)
    await put(saver)
