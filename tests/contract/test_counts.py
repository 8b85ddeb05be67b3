"""Counters equal a listing, and a check repairs those that do not, while messages change."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import redis
from typing_extensions import override

from app.config import Settings
from app.maintenance import Maintenance
from app.models.messages import MessageState, Priority
from app.observability.outages import Outage
from app.observability.recorder import Recorder
from app.store.measured import measured
from app.store.ports import Store
from app.store.postgres.store import PostgresStore
from app.store.postgres.upkeep import UpkeepWrites
from app.store.redis.store import RedisStore
from app.store.sqlite.store import SqliteStore
from tests.clock import ManualClock
from tests.contract.builders import (
    ALL,
    DONE,
    FAILED,
    OTHER_TENANT,
    RETRIED,
    TENANT,
    add,
    claim,
    claim_one,
    dead_letter,
    interrupt,
    requeue,
    start,
)
from tests.valkey_server import shared_server

Plant = Callable[[str, str], Awaitable[None]]


async def plant(store: Store, folder: Path, sql: str, command: list[str]) -> None:
    """Make a counter wrong: by a statement for both SQL engines, or a command of Redis with a key after the prefix."""
    if isinstance(store, SqliteStore):
        await store._write_thread.run(lambda: store._writer.connection.execute(sql.format(new="7000")))
    elif isinstance(store, PostgresStore):
        assert isinstance(store._upkeep, UpkeepWrites)
        session = store._upkeep.session

        def write() -> None:
            with session.transaction():
                session._connected[0].execute(sql.format(new="7000").encode())

        await store._upkeep_thread.run(write)
    else:
        assert isinstance(store, RedisStore)
        name, key, *rest = command
        with redis.Redis.from_url(shared_server().url) as client:
            client.execute_command(name, f"{{{folder}}}:{key}", *rest)


async def some_history(store: Store, clock: ManualClock) -> None:
    """Messages in every state and of two tenants, some of threads, requeued, deleted and pruned."""
    for tenant in (TENANT, OTHER_TENANT):
        for outcome in (DONE, FAILED, RETRIED):
            await store.finish(await start(store, tenant=tenant, thread=f"t{outcome.__class__.__name__}"), outcome)
            await store.finish(await start(store, tenant=tenant), outcome)
        await interrupt(store, tenant=tenant, thread="asks")
        letter = await dead_letter(store, tenant=tenant, thread="again")
        await store.cancel(tenant, (await add(store, tenant=tenant, thread="gone")).id)
        await store.finish(await start(store, tenant=tenant, thread="deleted"), DONE)
        await store.delete_thread(tenant, "deleted")
        await requeue(store, letter.id, tenant=tenant)
        await claim_one(store)
    clock.advance(50)
    await dead_letter(store)
    await store.prune_messages(older_than_seconds=20, limit=ALL)
    await dead_letter(store, thread="late")
    await add(store, thread="late")
    await add(store, thread="late")


async def test_nothing_differs_after_a_history(store: Store, clock: ManualClock) -> None:
    await some_history(store, clock)
    assert await store.check_counts() == []


async def test_a_wrong_total_is_repaired(store: Store, clock: ManualClock, tmp_path: Path) -> None:
    await some_history(store, clock)
    before = await store.summary(TENANT, limit=ALL)
    await plant(
        store, tmp_path, "UPDATE tallies SET messages = messages + {new} WHERE state = 'failed' AND tenant = 'default'",
        ["HINCRBY", "tenant:tallies:default", "failed", "7000"],
    )  # fmt: skip
    assert (await store.summary(TENANT, limit=ALL)).totals[MessageState.FAILED] >= 7000
    (difference,) = await store.check_counts()
    assert int(difference.told) - int(difference.counted) >= 7000
    assert "failed" in difference.counter
    assert (await store.summary(TENANT, limit=ALL)).totals == before.totals
    assert await store.check_counts() == []


async def test_a_wrong_count_by_priority_is_repaired(store: Store, clock: ManualClock, tmp_path: Path) -> None:
    await some_history(store, clock)
    before = (await store.summary(TENANT, limit=1)).queued_by_priority
    await plant(
        store,
        tmp_path,
        "UPDATE tallies SET messages = messages + {new} WHERE priority = 'normal' AND tenant = 'default'",
        ["HINCRBY", "tenant:queued_by_priority:default", "normal", "7000"],
    )
    assert (await store.summary(TENANT, limit=1)).queued_by_priority[Priority.NORMAL] >= 7000
    (difference,) = await store.check_counts()
    assert "normal" in difference.counter
    assert (await store.summary(TENANT, limit=1)).queued_by_priority == before
    assert await store.check_counts() == []


async def test_wrong_counts_for_positions_and_dead_letters_are_repaired(
    store: Store, clock: ManualClock, tmp_path: Path
) -> None:
    await some_history(store, clock)
    before = await store.queue_figures()
    await plant(
        store,
        tmp_path,
        "UPDATE levels SET waiting = waiting + {new} WHERE level = 1",
        ["INCRBY", "dead_letters", "7000"],
    )
    assert await store.queue_figures() != before
    assert len(await store.check_counts()) >= 1
    assert await store.queue_figures() == before
    assert await store.check_counts() == []


async def test_wrong_counts_of_a_thread_are_repaired(store: Store, clock: ManualClock, tmp_path: Path) -> None:
    await some_history(store, clock)
    before = await store.get_thread(TENANT, "late")
    await plant(
        store, tmp_path, "UPDATE threads SET failed = {new} WHERE thread_id = 'late'",
        ["HSET", "thread:7:default:late", "failed", "7000"],
    )  # fmt: skip
    assert await store.get_thread(TENANT, "late") != before
    (difference,) = await store.check_counts()
    assert "late" in difference.counter
    assert await store.get_thread(TENANT, "late") == before
    assert await store.check_counts() == []


async def test_changes_meanwhile_are_no_differences(
    store: Store, other_store: Store, clock: ManualClock, tmp_path: Path
) -> None:
    """Two processes change messages while the check goes round and round; then a wrong total is planted among them."""
    done = asyncio.Event()

    async def work(each: Store, number: int) -> None:
        while not done.is_set():
            await add(each, thread=f"thread {number}")
            await add(each)
            for taken in await claim(each, 2, worker=f"worker {number}"):
                await each.finish(taken.lease, FAILED if taken.message.thread_id else DONE)

    await store.finish(await start(store), DONE)
    works = [asyncio.create_task(work(each, number)) for number, each in enumerate((store, other_store, store))]
    try:
        for _ in range(10):
            clock.advance(2)
            assert await store.check_counts() == []
        await plant(
            store, tmp_path, "UPDATE tallies SET messages = messages + {new} WHERE state = 'completed'",
            ["HINCRBY", "tenant:tallies:default", "completed", "7000"],
        )  # fmt: skip
        clock.advance(2)
        found = await asyncio.gather(store.check_counts(), other_store.check_counts())
        assert {each.counter.partition(" ")[0] for differing in found for each in differing} == {"completed"}
        for _ in range(3):
            assert await store.check_counts() == []
    finally:
        done.set()
        await asyncio.gather(*works)
    assert await store.check_counts() == []


async def test_the_duty_tells_what_it_repaired(
    store: Store, clock: ManualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    duties = Maintenance(store, lambda: None, Settings(_env_file=None), outage=Outage("It is back"))
    await dead_letter(store)
    await duties.check_counts()
    assert caplog.records == []
    await plant(
        store, tmp_path, "UPDATE tallies SET messages = {new} WHERE state = 'failed'",
        ["HSET", "tenant:tallies:default", "failed", "7000"],
    )  # fmt: skip
    recorder = Repaired()
    await Maintenance(
        measured(store, recorder), lambda: None, Settings(_env_file=None), outage=Outage("It is back")
    ).check_counts()
    (record,) = caplog.records
    assert "told=7000, counted=1" in record.getMessage()
    assert recorder.count == 1


class Repaired(Recorder):
    """Adds up what was repaired."""

    count = 0

    @override
    def counters_repaired(self, count: int) -> None:
        self.count += count
