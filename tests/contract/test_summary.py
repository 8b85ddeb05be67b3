"""The queue at one moment."""

import asyncio

from app.models.attempts import Released
from app.models.messages import MessageState, Priority
from app.store.limits import PAGE_TEXT_LENGTH
from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.builders import (
    ALL,
    DONE,
    FAILED,
    HIGH,
    INTERRUPTED,
    LOW,
    NORMAL,
    OTHER_TENANT,
    RELEASED,
    TENANT,
    add,
    beat,
    claim,
    claim_one,
    drain,
    requeue,
    start,
)


async def test_an_empty_queue_has_every_total_at_zero(store: Store) -> None:
    summary = await store.summary(TENANT, limit=10)
    assert summary.totals == dict.fromkeys(MessageState, 0)
    assert (summary.queued, summary.processing) == ((), ())
    assert summary.queued_by_priority == dict.fromkeys(Priority, 0)


async def test_totals_count_the_messages_of_each_state(store: Store) -> None:
    messages = [await add(store) for _ in range(17)]
    for message in messages[:5]:
        await store.cancel(TENANT, message.id)
    leases = [each.lease for each in await claim(store, 8)]
    for lease in leases[:3]:
        await store.finish(lease, DONE)
    for lease in leases[3:5]:
        await store.finish(lease, FAILED)
    for lease in leases[5:7]:
        await store.finish(lease, INTERRUPTED)
    assert (await store.summary(TENANT, limit=1)).totals == {
        MessageState.QUEUED: 4,
        MessageState.PROCESSING: 1,
        MessageState.COMPLETED: 3,
        MessageState.FAILED: 2,
        MessageState.CANCELLED: 5,
        MessageState.INTERRUPTED: 2,
    }


async def test_queued_messages_are_counted_by_their_own_priority(store: Store, clock: ManualClock) -> None:
    """A message behind another one, a delayed one and one that is lifted count with their own priorities."""
    await add(store, thread="t", priority=LOW)
    await add(store, thread="t", priority=HIGH)
    await add(store, delay_seconds=60.0, priority=HIGH)
    changed = await add(store)
    await add(store, tenant=OTHER_TENANT)

    async def counts() -> tuple[int, ...]:
        found = (await store.summary(TENANT, limit=1)).queued_by_priority
        return tuple(found[each] for each in (HIGH, NORMAL, LOW))

    assert await counts() == (2, 1, 1)
    await store.reprioritize(TENANT, changed.id, LOW)
    assert await counts() == (2, 0, 2)
    await store.reprioritize(TENANT, changed.id, LOW)
    lease = await claim_one(store)
    assert await counts() == (2, 0, 1)
    await store.finish(lease, RELEASED)
    assert await counts() == (2, 0, 2)
    await store.finish(await claim_one(store), FAILED)
    await requeue(store, lease.message_id)
    assert await counts() == (2, 0, 2)
    await store.delete_thread(TENANT, "t")
    await store.cancel(TENANT, changed.id)
    assert await counts() == (1, 0, 0)


async def test_queued_messages_are_listed_in_claim_order(store: Store) -> None:
    await add(store, thread="t", priority=LOW)
    await add(store)
    await add(store, priority=HIGH)
    await add(store, thread="t", priority=HIGH)
    await add(store, thread="u", priority=LOW)
    listed = [message.id for message in (await store.summary(TENANT, limit=10)).queued]
    assert listed == await drain(store)


async def test_messages_behind_a_running_one_are_listed(store: Store) -> None:
    await start(store, thread="t")
    behind = await add(store, thread="t")
    assert [message.id for message in (await store.summary(TENANT, limit=10)).queued] == [behind.id]


async def test_a_delayed_message_is_listed_behind_those_that_are_ready(store: Store) -> None:
    lease = await start(store, priority=HIGH)
    await store.finish(lease, Released("later", delay=10))
    ready = await add(store, priority=LOW)
    summary = await store.summary(TENANT, limit=10)
    assert summary.totals[MessageState.QUEUED] == 2
    assert [message.id for message in summary.queued] == [ready.id, lease.message_id]


async def test_listed_messages_are_as_they_are_read_one_by_one(store: Store) -> None:
    await add(store, "running", thread="t")
    await claim_one(store)
    await add(store, "queued", thread="t")
    summary = await store.summary(TENANT, limit=10)
    for message in summary.queued + summary.processing:
        single = await store.get(TENANT, message.id)
        assert message._replace(queue_position=None) == single._replace(queue_position=None)


async def test_messages_being_processed_are_listed_oldest_first(store: Store, clock: ManualClock) -> None:
    ids = []
    for number in range(4):
        ids.append((await add(store)).id)
        await claim_one(store, worker=f"worker {number}")
        clock.advance(1)
    assert [message.id for message in (await store.summary(TENANT, limit=10)).processing] == ids


async def test_a_beat_does_not_change_the_order_of_what_is_processed(store: Store, clock: ManualClock) -> None:
    ids = []
    for number in range(3):
        ids.append((await add(store)).id)
        await claim_one(store, worker=f"worker {number}")
        clock.advance(1)
    await beat(store, "worker 1")
    await beat(store, "worker 0")
    assert [message.id for message in (await store.summary(TENANT, limit=10)).processing] == ids


async def test_each_list_is_cut_at_the_limit_and_the_totals_are_not(store: Store) -> None:
    ids = [(await add(store)).id for _ in range(10)]
    await claim(store, 4)
    summary = await store.summary(TENANT, limit=3)
    assert [message.id for message in summary.processing] == ids[:3]
    assert [message.id for message in summary.queued] == ids[4:7]
    assert (summary.totals[MessageState.PROCESSING], summary.totals[MessageState.QUEUED]) == (4, 6)


async def test_lists_of_long_messages_end_early_and_the_totals_do_not(store: Store) -> None:
    async def add_long(count: int) -> list[str]:
        return [(await add(store, "x" * (PAGE_TEXT_LENGTH // 2 + 1))).id for _ in range(count)]

    running = await add_long(3)
    await claim(store, 3)
    waiting = await add_long(4)
    summary = await store.summary(TENANT, limit=10)
    assert [message.id for message in summary.processing] == running[:2]
    assert [message.id for message in summary.queued] == waiting[:2]
    assert (summary.totals[MessageState.PROCESSING], summary.totals[MessageState.QUEUED]) == (3, 4)


async def test_a_list_that_ended_early_leaves_nothing_out_before_its_end(store: Store) -> None:
    delayed = await start(store)
    await store.finish(delayed, Released("later", delay=10))
    ready = [(await add(store, "x" * (PAGE_TEXT_LENGTH // 2 + 1))).id for _ in range(3)]
    listed = [message.id for message in (await store.summary(TENANT, limit=10)).queued]
    assert listed == [*ready, delayed.message_id][: len(listed)]


async def test_each_tenant_sees_its_own_queue(store: Store) -> None:
    await start(store, tenant=OTHER_TENANT)
    for _ in range(3):
        await add(store, tenant=OTHER_TENANT)
    ours = await add(store)
    summary = await store.summary(TENANT, limit=10)
    assert summary.totals[MessageState.QUEUED] == 1
    assert summary.totals[MessageState.PROCESSING] == 0
    assert ([message.id for message in summary.queued], summary.processing) == ([ours.id], ())
    assert (await store.summary(OTHER_TENANT, limit=10)).totals[MessageState.QUEUED] == 3


async def test_a_summary_is_of_one_moment(store: Store) -> None:
    """Totals and lists agree, whatever is written at the same time."""

    async def write() -> None:
        for _ in range(10):
            await add(store)
            lease = await claim_one(store)
            await store.finish(lease, DONE)

    async def look() -> None:
        for _ in range(30):
            summary = await store.summary(TENANT, limit=ALL)
            assert len(summary.queued) == summary.totals[MessageState.QUEUED]
            assert len(summary.processing) == summary.totals[MessageState.PROCESSING]

    await asyncio.gather(write(), look(), look())
