"""Features of the PostgreSQL store alone: group commit, counts in rows of each connection, hints by NOTIFY."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.errors import LeaseLost, MessageNotFound, QueueFull, StoreError
from app.models.events import NewEvent
from app.models.messages import MessageState
from app.models.usage import MeteredCall, ModelUsage, Tokens
from app.store.ports import MOVED, READY, message_topic
from app.store.postgres.signals import payloads
from app.store.postgres.store import PostgresStore
from app.store.sql import positions as position_reads
from tests.clock import ManualClock
from tests.contract.builders import (
    ALL,
    DONE,
    HIGH,
    LEASE_SECONDS,
    LOW,
    TENANT,
    add,
    chunk,
    claim,
    claim_one,
    claimed_ids,
    drain,
    event_types,
    log,
    new,
    seen,
    start,
)
from tests.postgres_server import database_of
from tests.servers import until
from tests.unit.postgres_tools import ask, opened, tell

SOON = 1.0
"""Much less than what a poll of the worker and of the streams may take together."""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return database_of(tmp_path)


@pytest.fixture
async def store(url: str, clock: ManualClock) -> AsyncIterator[PostgresStore]:
    async with opened(url, clock) as postgres:
        yield postgres


def commits(url: str) -> int:
    """Transactions that were committed by the store's connections."""
    return int(ask(url, "SELECT coalesce(sum(number), 0) FROM commits"))


# Group commit


async def test_concurrent_calls_share_their_commits(store: PostgresStore, url: str) -> None:
    messages = await asyncio.gather(*(add(store) for _ in range(64)))
    assert 1 <= commits(url) <= 4
    leases = [each.lease for each in await claim(store, 64)]
    before = commits(url)
    await asyncio.gather(*(store.append(lease, [chunk(0)]) for lease in leases))
    await asyncio.gather(*(store.finish(lease, DONE) for lease in leases))
    assert 2 <= commits(url) - before <= 8
    assert len({message.id for message in messages}) == 64


async def test_a_batch_is_accepted_as_if_one_came_after_the_other(store: PostgresStore) -> None:
    before = await add(store, thread="a", priority=LOW)
    wanted = [("a", LOW), (None, LOW), ("b", LOW), ("a", HIGH), ("b", HIGH), ("a", LOW), (None, HIGH), ("a", LOW)]
    messages = await asyncio.gather(*(add(store, thread=thread, priority=level) for thread, level in wanted))
    numbers = [message.number for message in messages]
    assert numbers == sorted(numbers)
    assert [message.thread_number for message in messages] == [2, 0, 1, 3, 2, 4, 0, 5]
    queued = [message.id for message in (await store.summary(TENANT, limit=ALL)).queued]
    # Messages before an urgent one of their thread share its turn.
    ids = [before.id, *(messages[index].id for index in (0, 3, 2, 4, 6, 1, 5, 7))]
    assert queued == ids
    assert [message.queue_position for message in messages] == [ids.index(message.id) for message in messages]
    assert await drain(store) == ids


async def test_an_operation_that_fails_harms_no_other_of_its_batch(store: PostgresStore) -> None:
    known = new("first", thread="t")
    async with asyncio.timeout(10):
        results = await asyncio.gather(
            store.add([known], max_queued=ALL),
            store.add([known._replace(content="the same id again")], max_queued=ALL),
            store.add([new("\ud800", thread="t")], max_queued=ALL),
            store.add([new("nul \x00", thread="t")], max_queued=ALL),
            store.cancel(TENANT, "unknown"),
            store.add([new("second", thread="t")], max_queued=ALL),
            store.add([new(thread="refused")], max_queued=1),
            return_exceptions=True,
        )
    kinds = [type(result) for result in results]
    assert kinds[1:5] == [StoreError, UnicodeEncodeError, StoreError, MessageNotFound]
    assert kinds[6] is QueueFull
    stored = await store.list_thread_messages(TENANT, "t", after=0, limit=ALL)
    assert [(message.content, message.thread_number) for message in stored] == [("first", 1), ("second", 2)]
    assert (await store.get_thread(TENANT, "t")).states[MessageState.QUEUED] == 2


async def test_a_read_that_fails_harms_no_other(store: PostgresStore) -> None:
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


async def test_what_changes_nothing_writes_nothing(store: PostgresStore, url: str) -> None:
    lease = await start(store)
    before = commits(url)
    assert await claim(store) == []
    assert await store.promote() == await store.rescue() == 0
    assert await store.append(lease, []) == 1
    with pytest.raises(QueueFull):
        await add(store, max_queued=0)
    assert commits(url) == before


# Counts


async def test_what_gone_connections_counted_is_added_up_and_stays_right(url: str, clock: ManualClock) -> None:
    for number in range(4):
        async with opened(url, clock) as store:
            await add(store, thread="t", priority=[HIGH, LOW][number % 2])
            await store.finish(await claim_one(store), DONE)
            await add(store, priority=LOW)
            await store.prune_workers(silent_for_seconds=1)
    connections = "SELECT count(DISTINCT backend) FROM tallies WHERE backend <> 0"
    async with opened(url, clock) as store:

        async def folded() -> bool:
            await store.prune_workers(silent_for_seconds=1)
            return bool(ask(url, connections) == 0)

        await until(folded, "the rows of connections that are gone are added up")
        totals = (await store.summary(TENANT, limit=1)).totals
        assert (totals[MessageState.QUEUED], totals[MessageState.COMPLETED]) == (4, 4)
        assert (await add(store, priority=LOW)).queue_position == 4
        await add(store, max_queued=6)
        with pytest.raises(QueueFull):
            await add(store, max_queued=6)


async def test_counts_are_what_is_there(store: PostgresStore, url: str, clock: ManualClock) -> None:
    await asyncio.gather(*(add(store, thread=f"t{n % 5}", priority=[HIGH, LOW][n % 2]) for n in range(40)))
    await drain(store, limit=2)
    await asyncio.gather(*(add(store, thread=f"t{n % 5}") for n in range(20)))
    await claim(store, 3)
    clock.advance(1)
    await store.prune_messages(older_than_seconds=0.5, limit=7)
    counted = "SELECT sum(messages) FROM tallies WHERE state = 'unfinished'"
    assert ask(url, counted) == ask(url, "SELECT count(*) FROM messages WHERE completed_at IS NULL")
    counted = "SELECT sum(messages) FROM tallies WHERE state = 'completed'"
    assert ask(url, counted) == ask(url, "SELECT count(*) FROM messages WHERE state = 'completed'")
    assert ask(url, "SELECT sum(waiting) FROM levels") == ask(url, "SELECT count(rank) FROM messages")


async def test_positions_are_exact_from_either_end_and_estimated_between(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(position_reads, "EXACT_POSITION_LIMIT", 20)
    monkeypatch.setattr(position_reads, "NEAR_END", 5)
    messages = await asyncio.gather(*(add(store) for _ in range(100)))
    assert [message.queue_position for message in messages] == list(range(100))
    read = await asyncio.gather(*(store.get(TENANT, message.id) for message in messages))
    positions = [message.queue_position for message in read]
    assert positions[:21] == list(range(21))
    assert positions[79:] == list(range(79, 100))
    assert all(position is not None and 20 < position < 80 for position in positions[21:79])


async def test_a_message_that_is_not_the_last_of_its_level_is_counted_too(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another tenant takes its turns before many messages of the first one."""
    monkeypatch.setattr(position_reads, "NEAR_END", 5)
    await asyncio.gather(*(add(store) for _ in range(30)))
    messages = await asyncio.gather(*(add(store, tenant="other") for _ in range(3)))
    assert [message.queue_position for message in messages] == [1, 3, 5]


# Several stores on one database


@pytest.fixture
async def neighbour(store: PostgresStore, url: str, clock: ManualClock) -> AsyncIterator[PostgresStore]:
    """A second store on the same database, whose ear for hints is open."""
    async with opened(url, clock) as other:
        await hears(other, store)
        yield other


async def hears(other: PostgresStore, store: PostgresStore) -> None:
    """Wait until hints of one store reach the other."""
    with other.subscribe(READY, MOVED) as hints:

        async def heard() -> bool:
            await store.cancel(TENANT, (await add(store)).id)
            return await hints.wait(0.1)

        await until(heard, "the second store hears the first")
        while await hints.wait(0.1):
            pass


async def test_hints_reach_the_other_processes(store: PostgresStore, neighbour: PostgresStore) -> None:
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


@pytest.mark.parametrize(
    "payload", ["hello", "", "5", '""', "{}", "[]", "[5]", '["x", {}]', '["x", ["y"]]', "[" * 7_000]
)
async def test_what_others_say_on_the_channel_deafens_nobody(
    store: PostgresStore, neighbour: PostgresStore, url: str, payload: str
) -> None:
    tell(url, f"SELECT pg_notify('agent_queue', '{payload}')")
    with neighbour.subscribe(READY) as ready:
        await add(store)
        assert await ready.wait(SOON)


async def test_a_store_does_not_hear_its_own_hints_twice(store: PostgresStore, neighbour: PostgresStore) -> None:
    lease = await start(store)
    with store.subscribe(message_topic(lease.message_id)) as own, neighbour.subscribe(READY) as other:
        await store.append(lease, [chunk(0)])
        assert await own.wait(SOON)
        await add(store)
        assert await other.wait(SOON)  # by now the first hint has come back, had it been going to
        assert not await own.wait(0.1)


async def test_a_listener_that_lost_its_connection_listens_again(
    store: PostgresStore, neighbour: PostgresStore, url: str
) -> None:
    tell(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    await hears(neighbour, store)


@pytest.mark.parametrize("count", [0, 1, 100, 1_000])
def test_no_notification_is_too_long_and_no_topic_is_left_out(count: int) -> None:
    topics = {message_topic(f"{number:036}") for number in range(count)} | {'a topic with a "quote" and an é'}
    sent = [json.loads(payload) for payload in payloads("me", topics)]
    assert all(len(payload.encode()) < 8_000 for payload in payloads("me", topics))
    assert {sender for sender, *_ in sent} == {"me"}
    assert sorted(topic for _, *part in sent for topic in part) == sorted(topics)


async def test_two_stores_share_the_work(store: PostgresStore, neighbour: PostgresStore) -> None:
    stores = (store, neighbour)
    added = await asyncio.gather(*(add(stores[i % 2], thread="t" if i % 3 else None) for i in range(60)))
    assert sorted(m.thread_number for m in added if m.thread_id) == list(range(1, 41))
    claims = await asyncio.gather(*(claim(stores[i % 2], 2, worker=f"worker {i}") for i in range(20)))
    taken = Counter(each.lease.message_id for batch in claims for each in batch)
    assert set(taken.values()) == {1}
    assert len(taken) == 21


async def test_one_store_inherits_what_the_other_has_accepted(store: PostgresStore, neighbour: PostgresStore) -> None:
    low = await add(store, thread="t", priority=LOW)
    normal = await add(neighbour)
    high = await add(neighbour, thread="t", priority=HIGH)
    assert await claimed_ids(store, 1) == [low.id]
    assert (await store.get(TENANT, high.id)).queue_position == 0
    assert (await neighbour.get(TENANT, normal.id)).queue_position == 1


async def test_a_lease_of_one_store_is_fenced_in_the_other(
    store: PostgresStore, neighbour: PostgresStore, clock: ManualClock
) -> None:
    old = await start(store)
    clock.advance(LEASE_SECONDS)
    assert sum(await asyncio.gather(store.rescue(), neighbour.rescue())) == 1
    lease = await claim_one(neighbour, worker="worker 2")
    with pytest.raises(LeaseLost):
        await store.append(old, [chunk(0)])
    await neighbour.finish(lease, DONE)
    assert await event_types(store, old.message_id) == ["processing", "retry", "processing", "done"]


# What stays behind, and whose clock decides


async def test_a_deleted_message_leaves_no_rows_behind(store: PostgresStore, url: str, clock: ManualClock) -> None:
    lease = await start(store, thread="t")
    await store.append(lease, [chunk(0)])
    await store.finish(lease, DONE)
    clock.advance(10)
    assert (await store.prune_messages(older_than_seconds=1, limit=ALL))[0] == 1
    for table in ("messages", "events", "threads"):
        assert ask(url, f"SELECT count(*) FROM {table}") == 0


async def test_a_running_message_without_a_lease_is_rescued(store: PostgresStore, url: str) -> None:
    lease = await start(store)
    tell(url, "UPDATE messages SET lease_until = NULL")
    assert await store.rescue() == 1
    before = await seen(store, lease.message_id)
    with pytest.raises(LeaseLost):
        await store.finish(lease, DONE)
    assert await seen(store, lease.message_id) == before


async def test_the_clock_of_the_server_decides(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose clock is wrong neither takes a message early nor stores a wrong time."""
    monkeypatch.setattr("time.time", lambda: 0.0)
    monkeypatch.setattr("time.time_ns", lambda: 0)
    async with opened(url) as store:
        await start(store, thread="t")
        assert await store.rescue() == 0
        wrong = "SELECT count(*) FROM messages WHERE abs(extract(epoch FROM now()) * 1000 - created_at) > 60000"
        assert ask(url, f"{wrong} OR abs(lease_until - created_at) NOT BETWEEN 30000 AND 90000") == 0


async def test_usage_of_past_hours_and_of_closed_connections_is_added_up(url: str, clock: ManualClock) -> None:
    used = [ModelUsage("m", Tokens(1, 2))]

    async def spend(store: PostgresStore) -> None:
        lease = await start(store)
        await store.append(lease, [NewEvent.usage([MeteredCall({}, each) for each in used])], used)
        await store.finish(lease, DONE)

    def rows() -> str:
        return str(
            ask(url, "SELECT json_agg(input_tokens * sign(0.5 - backend) ORDER BY hour, backend) FROM hourly_usage")
        )

    async def folded(store: PostgresStore, expected: str) -> bool:
        await store.prune_workers(silent_for_seconds=1)
        return rows() == expected

    for _ in range(2):
        async with opened(url, clock) as other:
            await spend(other)
    async with opened(url, clock) as store:
        await spend(store)
        await until(lambda: folded(store, "[4, -2]"), "the rows of closed connections are one row")
        clock.advance(2 * 3600)
        await spend(store)
        assert await folded(store, "[6, -2]")
