"""Many messages in one call: all of them or none, in their order."""

import asyncio

import pytest

from app.errors import QueueFull, ThreadBusy, ThreadNotFound
from app.models.messages import IfBusy, MessageState, NewMessage, Priority, Readiness
from app.store.ports import MOVED, READY, Store
from tests.clock import ManualClock
from tests.contract.builders import (
    ALL,
    DONE,
    HIGH,
    LOW,
    OTHER_TENANT,
    TENANT,
    add,
    add_all,
    all_threads,
    claim_one,
    claimed_ids,
    drain,
    listed,
    new,
    start,
    thread_messages,
)


async def nothing_is_stored(store: Store) -> bool:
    return (await listed(store), await all_threads(store)) == ([], [])


async def test_all_are_stored_in_the_order_of_the_call(store: Store) -> None:
    news = [new(f"{number}", priority=list(Priority)[number % 3]) for number in range(9)]
    messages = await add_all(store, *news)
    assert [message.id for message in messages] == [each.id for each in news]
    assert [message.content for message in messages] == [each.content for each in news]
    numbers = [message.number for message in messages]
    assert numbers == sorted(set(numbers))
    assert await listed(store) == [each.id for each in reversed(news)]


async def test_what_is_told_of_each_is_what_is_read_then(store: Store) -> None:
    news = [new(thread=thread) for thread in (None, "a", "b", "a", "a", None)]
    messages = await add_all(store, *news)
    assert messages == [await store.get(TENANT, each.id) for each in news]
    assert [message.thread_number for message in messages] == [0, 1, 1, 2, 3, 0]
    assert [message.readiness for message in messages if message.thread_id == "a"] == [
        Readiness.READY,
        Readiness.BLOCKED,
        Readiness.BLOCKED,
    ]
    assert sorted(message.queue_position for message in messages if message.queue_position is not None) == [*range(6)]


async def test_nothing_is_stored_of_no_messages(store: Store) -> None:
    accepted = await store.add([], max_queued=0)
    assert (accepted.messages, accepted.replayed) == ([], False)
    assert await nothing_is_stored(store)


async def test_a_thousand_are_stored_at_once(store: Store) -> None:
    news = [new(thread=f"t{number % 10}" if number % 2 else None) for number in range(1_000)]
    messages = await add_all(store, *news, max_queued=1_000)
    assert [message.id for message in messages] == [each.id for each in news]
    assert (await store.summary(TENANT, limit=1)).totals[MessageState.QUEUED] == 1_000
    assert [message.id for message in await thread_messages(store, "t1")] == [m.id for m in news if m.thread_id == "t1"]


async def test_a_thread_runs_in_the_order_of_the_call_whatever_the_priorities(store: Store) -> None:
    news = [new(thread="t", priority=priority) for priority in (LOW, HIGH, Priority.NORMAL, HIGH, LOW)]
    await add_all(store, *news)
    assert await drain(store) == [each.id for each in news]


async def test_those_ahead_inherit_from_those_behind_in_the_same_call(store: Store) -> None:
    normal = await add(store)
    low, high = await add_all(store, new(thread="t", priority=LOW), new(thread="t", priority=HIGH))
    assert await drain(store) == [low.id, high.id, normal.id]


async def test_one_call_can_carry_messages_of_many_agents_and_tenants(store: Store) -> None:
    ours, theirs, others = await add_all(
        store, new(thread="t"), new(thread="t", tenant=OTHER_TENANT), new(thread="t", agent="other")
    )
    assert (ours.thread_number, theirs.thread_number, others.thread_number) == (1, 1, 2)
    assert await claimed_ids(store, agents=["chat", "other"]) == [ours.id, theirs.id]


async def test_a_call_lines_up_behind_what_is_there(store: Store) -> None:
    running = await start(store, thread="t")
    first, second = await add_all(store, new(thread="t"), new(thread="t"))
    assert (first.thread_number, second.thread_number) == (2, 3)
    assert await claimed_ids(store) == []
    await store.finish(running, DONE)
    assert await drain(store) == [first.id, second.id]


async def test_all_of_a_call_count_for_the_limit(store: Store) -> None:
    with pytest.raises(QueueFull) as refused:
        await add_all(store, *[new(thread=thread) for thread in ("a", None, "b")], max_queued=2)
    assert refused.value.limit == 2
    assert await nothing_is_stored(store)
    await add_all(store, *[new(thread=thread) for thread in ("a", None, "b")], max_queued=3)


async def test_what_is_queued_and_what_comes_count_together(store: Store) -> None:
    await add_all(store, new(), new())
    with pytest.raises(QueueFull):
        await add_all(store, new(thread="t"), new(thread="t"), max_queued=3)
    assert await all_threads(store) == []
    await add_all(store, new(), new(), max_queued=4)


async def test_concurrent_calls_are_accepted_whole_or_not_at_all(store: Store) -> None:
    batches = [[new(thread="t") for _ in range(3)] for _ in range(20)]
    replies = await asyncio.gather(
        *(add_all(store, *batch, max_queued=20) for batch in batches), return_exceptions=True
    )
    accepted = [reply for reply in replies if not isinstance(reply, BaseException)]
    assert all(isinstance(reply, QueueFull) for reply in replies if isinstance(reply, BaseException))
    assert len(accepted) == 6
    stored = await thread_messages(store, "t")
    assert [message.thread_number for message in stored] == list(range(1, 19))
    in_order = [message.id for message in stored]
    for batch in accepted:
        begin = in_order.index(batch[0].id)
        assert in_order[begin : begin + 3] == [message.id for message in batch], "another call came in between"
    assert await drain(store) == in_order


BUSY = [
    [new(thread="new"), new(), new(thread="busy", if_busy=IfBusy.REJECT)],
    [new(thread="new"), new(thread="busy", if_busy=IfBusy.INTERRUPT), new(thread="busy", if_busy=IfBusy.REJECT)],
    [new(thread="new"), new(thread="new", if_busy=IfBusy.REJECT)],
]


@pytest.mark.parametrize("news", BUSY, ids=["the last", "behind one that cancels", "behind its own"])
async def test_one_that_is_refused_refuses_all(store: Store, clock: ManualClock, news: list[NewMessage]) -> None:
    waiting = await add(store, thread="busy")
    before = await store.get(TENANT, waiting.id), await store.get_thread(TENANT, "busy")
    clock.advance(1)
    with pytest.raises(ThreadBusy):
        await add_all(store, *news)
    assert (await store.get(TENANT, waiting.id), await store.get_thread(TENANT, "busy")) == before
    assert await listed(store) == [waiting.id]
    with pytest.raises(ThreadNotFound):
        await store.get_thread(TENANT, "new")
    following = await add(store, thread="busy")
    assert following.thread_number == 2
    assert await drain(store) == [waiting.id, following.id]


async def test_a_refused_call_wakes_nobody_to_nothing(store: Store) -> None:
    """A hint comes only with a message to claim."""
    with pytest.raises(QueueFull):
        await add_all(store, new(), new(), max_queued=1)
    assert await claimed_ids(store) == []


async def test_workers_are_woken_by_one_call_of_many(store: Store) -> None:
    with store.subscribe(READY) as hints:
        await add_all(store, *[new() for _ in range(5)])
        assert await hints.wait(5)
    assert len(await claimed_ids(store, ALL)) == 5


async def test_a_batch_and_single_messages_at_the_same_time_keep_one_order(store: Store) -> None:
    batch = [new(thread="t") for _ in range(10)]
    singles = await asyncio.gather(add_all(store, *batch), *(add_all(store, new(thread="t")) for _ in range(10)))
    stored = [message.id for message in await thread_messages(store, "t")]
    assert sorted(stored) == sorted(message.id for reply in singles for message in reply)
    begin = stored.index(batch[0].id)
    assert stored[begin : begin + 10] == [each.id for each in batch]
    with store.subscribe(MOVED):
        lease = await claim_one(store)
    assert lease.message_id == stored[0]
