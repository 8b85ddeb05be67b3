"""Features of the SQLite store alone: group commit, locks, a disk that is full, hints through the file."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import LeaseLost, MessageNotFound, QueueFull, StoreError, StoreUnavailable
from app.models.attempts import Completed
from app.models.messages import MessageState
from app.store.ports import MOVED, READY, message_topic
from app.store.sql import positions as position_reads
from app.store.sqlite import connection as sqlite_connection
from app.store.sqlite import write_turns
from app.store.sqlite.store import SqliteStore
from tests.clock import ManualClock
from tests.contract.builders import (
    AGENT,
    ALL,
    DONE,
    LEASE_SECONDS,
    TENANT,
    WORKER,
    add,
    beat,
    chunk,
    claim,
    claim_one,
    claimed_ids,
    event_types,
    log,
    new,
    seen,
    start,
)
from tests.servers import until
from tests.unit.sqlite_tools import ask, connected, opened

SOON = 1.0
"""Much less than what a poll of the worker and of the streams may take together."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "queue.db"


@pytest.fixture
async def store(path: Path, clock: ManualClock) -> AsyncIterator[SqliteStore]:
    async with opened(path, clock) as sqlite:
        yield sqlite


async def in_writer(store: SqliteStore, statement: str) -> Any:
    """Run a statement on the writing connection."""
    return await store._write_thread.run(lambda: store._writer.connection.execute(statement).get)


# Group commit


@pytest.fixture
async def commits(store: SqliteStore) -> list[str]:
    """One entry for each commit of the writer from here on: how far it waits for the disk."""
    levels: list[str] = []
    before_commit = store._writer.before_commit

    def count() -> None:
        before_commit()
        levels.append({1: "NORMAL", 2: "FULL"}.get(store._writer.connection.execute("PRAGMA synchronous").get, "OFF"))

    store._writer.before_commit = count  # type: ignore[method-assign]  # replaced on purpose
    return levels


async def test_concurrent_calls_share_their_commits(store: SqliteStore, commits: list[str]) -> None:
    messages = await asyncio.gather(*(add(store) for _ in range(64)))
    assert 1 <= len(commits) <= 4
    leases = [each.lease for each in await claim(store, 64)]
    commits.clear()
    await asyncio.gather(*(store.append(lease, [chunk(0)]) for lease in leases))
    await asyncio.gather(*(store.finish(lease, DONE) for lease in leases))
    assert 2 <= len(commits) <= 8
    assert len({message.id for message in messages}) == 64


async def test_messages_of_a_commit_see_what_was_done_between_them(store: SqliteStore, commits: list[str]) -> None:
    kept = [await add(store) for _ in range(4)]
    commits.clear()

    async def one(number: int) -> int | None:
        if number % 3 == 0:
            await store.cancel(TENANT, kept[number // 3].id)
            return None
        try:
            return (await add(store, max_queued=4)).queue_position
        except QueueFull:
            return -1

    # The first after each cancel takes the room of the cancelled message, as the last of the queue.
    assert await asyncio.gather(*(one(number) for number in range(12))) == [None, 3, -1] * 4
    assert len(commits) <= 4


async def test_calls_that_come_while_a_commit_is_under_way_share_the_next_one(
    store: SqliteStore, commits: list[str]
) -> None:
    """Calls of different turns of the event loop too: there is no timer that gathers them."""
    let_go = threading.Event()
    busy = store._write_thread.run(let_go.wait)
    adding = []
    for _ in range(20):
        adding.append(asyncio.create_task(add(store)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    let_go.set()
    await asyncio.gather(busy, *adding)
    assert len(commits) <= 3


async def test_state_changes_wait_for_the_disk_and_tokens_do_not(store: SqliteStore, commits: list[str]) -> None:
    await add(store)
    lease = await claim_one(store)
    assert commits == ["FULL", "FULL"]
    await store.append(lease, [chunk(0)])
    assert commits[2:] == ["NORMAL"]
    await asyncio.gather(store.append(lease, [chunk(1)]), add(store), store.append(lease, [chunk(2)]))
    assert set(commits[3:]) == {"FULL"}
    await store.finish(lease, DONE)
    cancelled = await add(store)
    await store.cancel(TENANT, cancelled.id)
    assert set(commits[3:]) == {"FULL"}


async def test_an_operation_that_fails_harms_no_other_of_its_batch(store: SqliteStore, commits: list[str]) -> None:
    known = new("first", thread="t")
    async with asyncio.timeout(5):
        results = await asyncio.gather(
            store.add([known], max_queued=ALL),
            store.add([known._replace(content="the same id again")], max_queued=ALL),
            store.add([new("\ud800", thread="t")], max_queued=ALL),
            store.cancel(TENANT, "unknown"),
            store.add([new("second", thread="t")], max_queued=ALL),
            store.add([new(thread="refused")], max_queued=1),
            return_exceptions=True,
        )
    assert len(commits) == 1
    kinds = [type(result) for result in results]
    assert kinds[1:4] == [StoreError, UnicodeEncodeError, MessageNotFound]
    assert kinds[5] is QueueFull
    stored = await store.list_thread_messages(TENANT, "t", after=0, limit=ALL)
    assert [(message.content, message.thread_number) for message in stored] == [("first", 1), ("second", 2)]
    assert (await store.get_thread(TENANT, "t")).states[MessageState.QUEUED] == 2


async def test_a_batch_with_an_operation_to_be_taken_back_is_done_once(store: SqliteStore, commits: list[str]) -> None:
    """It is run a second time then, and nothing of the first time is left."""
    leases = [await start(store) for _ in range(3)]
    await add(store, "waits", thread="t")
    commits.clear()
    async with asyncio.timeout(5):
        results = await asyncio.gather(
            add(store, "before"),
            store.finish(leases[0], DONE),
            store.append(leases[1], [chunk(0)]),
            store.add([new("taken back", thread="t"), new("\ud800", thread="t")], max_queued=ALL),
            store.append(leases[1], [chunk(1), chunk(2)]),
            store.append(leases[2]._replace(fence=0), [chunk(0)]),
            store.claim(WORKER, [AGENT], 1, lease_seconds=LEASE_SECONDS),
            add(store, "after", thread="t"),
            return_exceptions=True,
        )
    assert len(commits) == 1
    failed = {index: type(each) for index, each in enumerate(results) if isinstance(each, Exception)}
    assert failed == {3: UnicodeEncodeError, 5: LeaseLost}
    assert await event_types(store, leases[0].message_id) == ["processing", "done"]
    assert await event_types(store, leases[1].message_id) == ["processing", *["chunk"] * 3]
    assert results[2] == 2
    assert results[4] == 4
    totals = (await store.summary(TENANT, limit=ALL)).totals
    assert (totals[MessageState.PROCESSING], totals[MessageState.COMPLETED], totals[MessageState.QUEUED]) == (3, 1, 2)
    in_thread = await store.list_thread_messages(TENANT, "t", after=0, limit=ALL)
    assert [(message.content, message.thread_number) for message in in_thread] == [("waits", 1), ("after", 2)]
    assert (await store.get_thread(TENANT, "t")).last_message_preview == "after"


async def test_a_read_that_fails_harms_no_other(store: SqliteStore) -> None:
    message = await add(store)
    async with asyncio.timeout(5):
        results = await asyncio.gather(
            store.get(TENANT, message.id),
            store.get(TENANT, "\ud800"),
            store.read(TENANT, message.id, after=2**70, limit=1),
            store.get(TENANT, message.id),
            return_exceptions=True,
        )
        assert [isinstance(result, Exception) for result in results] == [False, True, True, False]
        assert await store.get(TENANT, message.id) == message


# Full, locked


async def fill(store: SqliteStore) -> list[str]:
    """Add until there is no room for more; the ids that were accepted."""
    accepted: list[str] = []

    async def add_another() -> None:
        accepted.append((await add(store, "x" * 3_000, thread="t")).id)

    async def add_for_ever() -> None:
        while len(accepted) < 1_000:
            await add_another()

    with pytest.raises(StoreUnavailable, match="full"):
        await add_for_ever()
    return accepted


async def test_a_full_disk_refuses_what_it_cannot_keep_and_tears_nothing(store: SqliteStore, path: Path) -> None:
    lease = await start(store, thread="running")
    pages = await in_writer(store, "PRAGMA page_count")
    await in_writer(store, f"PRAGMA max_page_count = {pages + 30}")
    accepted = await fill(store)
    before = await seen(store, lease.message_id)
    with pytest.raises(StoreUnavailable):
        await store.finish(lease, Completed("y" * 100_000))
    with pytest.raises(StoreUnavailable):
        await store.append(lease, [chunk(0, "y" * 100_000)])
    assert await seen(store, lease.message_id) == before
    assert [m.id for m in await store.list_thread_messages(TENANT, "t", after=0, limit=ALL)] == accepted
    summary = await store.summary(TENANT, limit=ALL)
    assert [message.id for message in summary.queued] == accepted
    assert summary.totals[MessageState.QUEUED] == len(accepted)
    assert ask(path, "PRAGMA integrity_check") == "ok"


async def test_a_full_disk_is_no_trouble_once_there_is_room_again(store: SqliteStore) -> None:
    lease = await start(store)
    pages = await in_writer(store, "PRAGMA page_count")
    await in_writer(store, f"PRAGMA max_page_count = {pages + 30}")
    accepted = await fill(store)
    await in_writer(store, f"PRAGMA max_page_count = {pages + 10_000}")
    later = await add(store, "x" * 100_000, thread="t")
    assert later.thread_number == len(accepted) + 1
    await store.append(lease, [chunk(0, "y" * 100_000)])
    await store.finish(lease, DONE)
    assert await event_types(store, lease.message_id) == ["processing", "chunk", "done"]
    assert await claimed_ids(store) == accepted[:1]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores made in this test wait for a lock for a moment only."""
    for module in (sqlite_connection, write_turns):
        monkeypatch.setattr(module, "BUSY_TIMEOUT_MILLISECONDS", 50)


async def test_a_locked_database_refuses_writes_and_serves_reads(
    impatient: None, path: Path, clock: ManualClock
) -> None:
    async with opened(path, clock) as store:
        lease = await start(store)
        before = await seen(store, lease.message_id)
        with connected(path) as other:
            other.execute("BEGIN IMMEDIATE")
            for refused_call in (add(store), store.append(lease, [chunk(0)]), store.finish(lease, DONE), store.ping()):
                with pytest.raises(StoreUnavailable, match="locked"):
                    await refused_call
            with pytest.raises(StoreUnavailable, match="locked"):
                await beat(store)
            assert await seen(store, lease.message_id) == before
            other.execute("ROLLBACK")
        await store.ping()
        assert (await beat(store)).held == {lease.message_id: lease.fence}
        await store.finish(lease, DONE)
        assert (await add(store)).queue_position == 0


async def test_a_lock_that_is_let_go_in_time_costs_only_time(store: SqliteStore, path: Path) -> None:
    with connected(path) as other:
        other.execute("BEGIN IMMEDIATE")
        adding = asyncio.gather(*(add(store) for _ in range(10)))
        await asyncio.wait([adding], timeout=0.05)
        assert not adding.done()
        other.execute("ROLLBACK")
        assert len(await adding) == 10


# Several stores on one file


@pytest.fixture
async def neighbour(store: SqliteStore, path: Path, clock: ManualClock) -> AsyncIterator[SqliteStore]:
    """A second store on the same file, whose ear for hints is open."""
    async with opened(path, clock) as other:
        with other.subscribe(READY, MOVED) as hints:

            async def heard() -> bool:
                await store.cancel(TENANT, (await add(store)).id)
                return await hints.wait(0.1)

            await until(heard, "the second store hears the first")
            while await hints.wait(0.1):
                pass
        yield other


async def test_hints_reach_the_other_processes_of_a_file(store: SqliteStore, neighbour: SqliteStore) -> None:
    with neighbour.subscribe(READY) as ready, neighbour.subscribe(MOVED) as moved:
        message = await add(store)
        assert await ready.wait(SOON)
        with neighbour.subscribe(message_topic(message.id)) as reader, neighbour.subscribe("message:other") as stranger:
            lease = await claim_one(store)
            assert await moved.wait(SOON)
            assert await reader.wait(SOON)
            await store.append(lease, [chunk(0)])
            assert await reader.wait(SOON)
            assert len(await log(neighbour, message.id)) == 2
            await store.finish(lease, DONE)
            assert await reader.wait(SOON)
            assert not await stranger.wait(0)


async def test_a_store_does_not_hear_its_own_hints_twice(store: SqliteStore, neighbour: SqliteStore) -> None:
    lease = await start(store)
    with store.subscribe(message_topic(lease.message_id)) as own, neighbour.subscribe(READY) as other:
        await store.append(lease, [chunk(0)])
        assert await own.wait(SOON)
        await add(store)
        assert await other.wait(SOON)  # by now the first hint has come back, had it been going to
        assert not await own.wait(0.1)


async def test_two_stores_share_the_work_of_one_file(store: SqliteStore, neighbour: SqliteStore) -> None:
    stores = (store, neighbour)
    added = await asyncio.gather(*(add(stores[i % 2], thread="t" if i % 3 else None) for i in range(60)))
    assert sorted(m.thread_number for m in added if m.thread_id) == list(range(1, 41))
    claims = await asyncio.gather(*(claim(stores[i % 2], 2, worker=f"worker {i}") for i in range(20)))
    taken = Counter(each.lease.message_id for batch in claims for each in batch)
    assert set(taken.values()) == {1}
    assert len(taken) == 21


async def test_a_lease_of_one_store_is_fenced_in_the_other(
    store: SqliteStore, neighbour: SqliteStore, clock: ManualClock
) -> None:
    old = await start(store)
    clock.advance(LEASE_SECONDS)
    assert sum(await asyncio.gather(store.rescue(), neighbour.rescue())) == 1
    lease = await claim_one(neighbour, worker="worker 2")
    with pytest.raises(LeaseLost):
        await store.append(old, [chunk(0)])
    await neighbour.finish(lease, DONE)
    assert await event_types(store, old.message_id) == ["processing", "retry", "processing", "done"]


async def test_old_hints_are_dropped(store: SqliteStore, path: Path) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 19999)"
    await in_writer(store, f"{numbers} INSERT INTO hints (process, topics) SELECT 'gone', '[]' FROM n")
    for _ in range(1_000):
        await add(store)
        if ask(path, "SELECT count(*) FROM hints") < 10_000:
            return
    pytest.fail("the hints only grow")


# What stays behind


async def test_a_deleted_message_leaves_no_rows_behind(store: SqliteStore, path: Path, clock: ManualClock) -> None:
    lease = await start(store, thread="t")
    await store.append(lease, [chunk(0)])
    await store.finish(lease, DONE)
    clock.advance(10)
    assert (await store.prune_messages(older_than_seconds=1, limit=ALL))[0] == 1
    for table in ("messages", "events", "threads"):
        assert ask(path, f"SELECT count(*) FROM {table}") == 0


# Long queues


async def test_positions_are_exact_from_either_end_and_estimated_between(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(position_reads, "EXACT_POSITION_LIMIT", 20)
    monkeypatch.setattr(position_reads, "NEAR_END", 5)
    messages = await asyncio.gather(*(add(store) for _ in range(100)))
    read = await asyncio.gather(*(store.get(TENANT, message.id) for message in messages))
    positions = [message.queue_position for message in read]
    assert positions[:21] == list(range(21))
    assert positions[79:] == list(range(79, 100))
    assert all(position is not None and 20 < position < 80 for position in positions[21:79])
