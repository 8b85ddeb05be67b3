"""Control and recovery on PostgreSQL: two stores on one database, group commit, counts in rows, migration."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from pathlib import Path

import pytest

from app.errors import Conflict, LeaseLost, NotFound
from app.models.attempts import Lease, Retry
from app.models.messages import IfBusy, MessageFilter, MessageState, Page
from app.store.postgres.store import PostgresStore
from tests.clock import ManualClock
from tests.contract.builders import (
    ALL,
    CANCELLED,
    DONE,
    FAILED,
    HIGH,
    INTERRUPTED,
    LEASE_SECONDS,
    LOW,
    RELEASED,
    TENANT,
    add,
    add_all,
    beat,
    chunk,
    claim,
    claim_one,
    event_types,
    new,
    request_key,
    start,
)
from tests.postgres_server import database_of
from tests.unit.postgres_tools import ask, opened

THREADS = ("a", "b", "c")
OUTCOMES = (DONE, FAILED, RELEASED, Retry("It broke for now.", "agent_error", 0.0), INTERRUPTED, CANCELLED)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return database_of(tmp_path)


@pytest.fixture
async def stores(url: str, clock: ManualClock) -> AsyncIterator[tuple[PostgresStore, PostgresStore]]:
    """Two stores on one database, as two processes have them."""
    async with opened(url, clock) as one, opened(url, clock) as other:
        yield one, other


Stores = tuple[PostgresStore, PostgresStore]


def assert_counts_are_what_is_there(url: str) -> None:
    """All figures that are kept, against what they count."""
    assert ask(url, "SELECT sum(waiting) FROM levels") == ask(url, "SELECT count(rank) FROM messages")
    states = "CASE WHEN state IN ('queued', 'processing') THEN 'unfinished' ELSE state END"
    counted = "SELECT string_agg(state || ' ' || n, ',' ORDER BY state) FROM ({}) AS each WHERE n <> 0"
    kept = counted.format("SELECT state, sum(messages) AS n FROM tallies GROUP BY state")
    there = counted.format(f"SELECT {states} AS state, count(*) AS n FROM messages GROUP BY 1")
    assert ask(url, kept) == ask(url, there)
    counted = "SELECT string_agg(concat_ws(' ', {}), ',' ORDER BY thread_id) FROM {}"
    kept = counted.format("thread_id, unfinished, completed, failed, cancelled, interrupted", "threads")
    each = ", ".join(f"count(*) FILTER (WHERE state = '{state}')" for state in ("completed", "failed", "cancelled"))
    each = f"thread_id, count(*) FILTER (WHERE completed_at IS NULL), {each}"
    messages = (
        f"(SELECT {each}, count(*) FILTER (WHERE state = 'interrupted') "
        "FROM messages WHERE thread_id IS NOT NULL GROUP BY thread_id) AS each (thread_id, u, c, f, x, i)"
    )
    assert ask(url, kept) == ask(url, counted.format("thread_id, u, c, f, x, i", messages))


async def test_counts_are_right_after_all_that_can_become_of_a_message(
    stores: Stores, url: str, clock: ManualClock
) -> None:
    store, _ = stores
    for outcome in OUTCOMES:
        for thread in (*THREADS, None):
            await add(store, thread=thread, priority=HIGH if thread == "b" else LOW)
            await add(store, thread=thread, delay_seconds=5)
        for each in await claim(store, ALL):
            await store.finish(each.lease, outcome)
            assert_counts_are_what_is_there(url)
    failed = await store.list_messages(TENANT, MessageFilter(states=frozenset({MessageState.FAILED})), Page(ALL))
    await store.requeue(TENANT, [message.id for message in failed[1:]])
    assert_counts_are_what_is_there(url)
    await store.purge(TENANT, [failed[0].id])
    assert_counts_are_what_is_there(url)
    asking = await store.list_messages(TENANT, MessageFilter(states=frozenset({MessageState.INTERRUPTED})), Page(ALL))
    await store.resume(TENANT, asking[0].id, asking[0].fence, "{}")
    assert_counts_are_what_is_there(url)
    await store.cancel(TENANT, asking[1].id, running=True)
    assert_counts_are_what_is_there(url)
    clock.advance(3_601)
    assert await store.expire_interrupts() == len(asking) - 2
    assert await store.promote() > 0
    assert_counts_are_what_is_there(url)


async def test_many_new_keys_share_their_commits(stores: Stores, url: str) -> None:
    store, _ = stores
    news = [new(thread="t") for _ in range(64)]
    await asyncio.gather(*(add_all(store, each, key=request_key(f"key {number}")) for number, each in enumerate(news)))
    assert ask(url, "SELECT coalesce(sum(number), 0) FROM commits") <= 4
    assert ask(url, "SELECT count(*) FROM request_keys WHERE receipts <> ''") == 64


async def test_a_key_that_two_stores_are_given_at_once_stands_for_one_message(stores: Stores) -> None:
    for turn in range(50):
        keys = [request_key(f"{turn} {number}") for number in range(4)]
        calls = [
            store.add([new(thread=thread)], max_queued=ALL, key=key)
            for store, order in zip(stores, (keys, reversed(keys)), strict=True)
            for key in order
            for thread in (None, "t")
        ]
        answers = await asyncio.gather(*calls)
        assert len({answer.messages[0].id for answer in answers}) == len(keys)
        assert sum(not answer.replayed for answer in answers) == len(keys)


async def play(store: PostgresStore, other: PostgresStore, dice: random.Random) -> None:
    """Many calls at once, of every kind that locks more than one row."""
    claimed = await claim(store, 6)

    async def work(lease: Lease) -> None:
        await store.append(lease, [chunk(0)])
        await store.finish(lease, dice.choice(OUTCOMES))

    def mixed(count: int) -> Awaitable[object]:
        news = [new(thread=dice.choice(THREADS), if_busy=dice.choice(list(IfBusy))) for _ in range(count)]
        return dice.choice((store, other)).add(
            news, max_queued=ALL, key=dice.choice((None, request_key(str(dice.random()))))
        )

    ended = await other.list_messages(TENANT, MessageFilter(states=frozenset({MessageState.FAILED})), Page(6))
    asking = await other.list_messages(TENANT, MessageFilter(states=frozenset({MessageState.INTERRUPTED})), Page(2))
    calls: list[Awaitable[object]] = [mixed(dice.randint(1, 4)) for _ in range(12)]
    calls += [add(other, thread=dice.choice(THREADS)) for _ in range(6)]
    calls += [work(each.lease) for each in claimed]
    calls += [other.cancel(TENANT, each.lease.message_id, running=True) for each in claimed[:2]]
    calls += [beat(other), other.rescue(), other.promote(), other.expire_interrupts()]
    calls += [other.resume(TENANT, message.id, message.fence, "{}") for message in asking[:1]]
    ids = [message.id for message in ended]
    calls += [store.requeue(TENANT, ids[:3]), other.requeue(TENANT, ids[2:0:-1]), other.purge(TENANT, ids[3:])]
    dice.shuffle(calls)
    for result in await asyncio.gather(*calls, return_exceptions=True):
        assert (
            result is None
            or not isinstance(result, BaseException)
            or isinstance(result, Conflict | LeaseLost | NotFound)
        ), repr(result)


async def test_nobody_waits_in_a_circle_and_nothing_is_miscounted(stores: Stores, url: str, clock: ManualClock) -> None:
    """A circle would be a StoreError, by PostgreSQL's own look for deadlocks."""
    dice = random.Random(4)
    async with asyncio.timeout(120):
        for turn in range(40):
            await play(*(stores if turn % 2 else stores[::-1]), dice)
            clock.advance(1)
    assert_counts_are_what_is_there(url)
    for thread in THREADS:
        head = await stores[0].get_head(TENANT, thread)
        while head is not None:
            with suppress(Conflict):
                await stores[1].cancel(TENANT, head.id, running=True)
            if head.state is MessageState.PROCESSING:
                clock.advance(LEASE_SECONDS)
                await stores[0].rescue()
            head = await stores[0].get_head(TENANT, thread)
    assert_counts_are_what_is_there(url)


async def test_a_paused_queue_is_paused_for_every_store(stores: Stores) -> None:
    store, other = stores
    message = await add(store)
    await store.pause(paused=True)
    assert await claim(other) == []
    assert (await other.throughput()).paused
    await other.pause(paused=False)
    assert (await claim_one(store)).message_id == message.id


async def test_a_requeued_message_leaves_no_row_behind_under_its_old_number(stores: Stores, url: str) -> None:
    store, _ = stores
    lease = await start(store, thread="t")
    await store.append(lease, [chunk(0)])
    await store.finish(lease, FAILED)
    await store.requeue(TENANT, [lease.message_id])
    assert await event_types(store, lease.message_id) == ["retry"]
    for table in ("events", "attempts"):
        strays = f"SELECT count(*) FROM {table} WHERE message NOT IN (SELECT number FROM messages)"
        assert ask(url, strays) == 0
