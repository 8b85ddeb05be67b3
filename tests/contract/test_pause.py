"""A queue that is paused gives out nothing, and loses nothing."""

import asyncio

from app.models.attempts import Beat
from app.models.messages import MessageState
from app.store.ports import READY, Store
from tests.clock import ManualClock
from tests.contract.builders import (
    ALL,
    DONE,
    LEASE_SECONDS,
    OTHER_TENANT,
    RELEASED,
    TENANT,
    add,
    beat,
    cancel_running,
    chunk,
    claim,
    claimed_ids,
    drain,
    event_types,
    interrupt,
    resume,
    start,
    state_of,
)


async def test_a_paused_queue_gives_nothing_until_it_goes_on(store: Store) -> None:
    ids = [(await add(store, tenant=tenant)).id for tenant in (TENANT, OTHER_TENANT)]
    await store.pause(paused=True)
    assert await claim(store, ALL) == []
    assert await event_types(store, ids[0]) == []
    await store.pause(paused=False)
    assert await drain(store) == ids


async def test_a_queue_is_not_paused_at_first(store: Store) -> None:
    assert not (await store.throughput()).paused


async def test_everybody_can_see_that_the_queue_is_paused(store: Store) -> None:
    for paused in (True, True, False, False, True):
        await store.pause(paused=paused)
        assert (await store.throughput()).paused is paused


async def test_messages_are_accepted_meanwhile_in_their_order(store: Store) -> None:
    await store.pause(paused=True)
    messages = [await add(store, thread="t") for _ in range(3)]
    assert [message.queue_position for message in messages] == [0, 1, 2]
    await store.pause(paused=False)
    assert await drain(store) == [message.id for message in messages]


async def test_what_runs_goes_on_to_its_end(store: Store, clock: ManualClock) -> None:
    lease = await start(store, thread="t")
    behind = await add(store, thread="t")
    await store.pause(paused=True)
    clock.advance(LEASE_SECONDS / 2)
    assert await beat(store) == Beat({lease.message_id: lease.fence}, frozenset())
    await store.append(lease, [chunk(0)])
    await store.finish(lease, DONE)
    assert await state_of(store, lease.message_id) is MessageState.COMPLETED
    assert await claim(store) == []
    await store.pause(paused=False)
    assert await claimed_ids(store) == [behind.id]


async def test_what_is_put_back_meanwhile_waits(store: Store, clock: ManualClock) -> None:
    released, lost = await start(store), await start(store)
    delayed = await add(store, delay_seconds=5)
    await store.pause(paused=True)
    await store.finish(released, RELEASED)
    clock.advance(LEASE_SECONDS)
    assert (await store.rescue(), await store.promote()) == (1, 1)
    assert await claim(store, ALL) == []
    await store.pause(paused=False)
    assert await claimed_ids(store) == [released.message_id, lost.message_id, delayed.id]


async def test_the_rest_of_life_goes_on_meanwhile(store: Store) -> None:
    asking = await interrupt(store)
    queued, running = await add(store), await start(store, agent="other")
    await store.pause(paused=True)
    await resume(store, asking)
    await store.cancel(TENANT, queued.id)
    assert (await cancel_running(store, running.message_id)).cancel_requested
    assert await claim(store, ALL) == []
    await store.pause(paused=False)
    assert await claimed_ids(store) == [asking.id]


async def test_workers_are_woken_when_the_queue_goes_on(store: Store) -> None:
    await store.pause(paused=True)
    await add(store)
    with store.subscribe(READY) as hints:
        await hints.wait(0.03)
        await store.pause(paused=False)
        assert await hints.wait(5)


async def test_nothing_is_claimed_after_a_pause_was_acknowledged(store: Store) -> None:
    for _ in range(40):
        await add(store)
    paused = asyncio.Event()
    late: list[str] = []

    async def work() -> None:
        for _ in range(10):
            began_paused = paused.is_set()
            taken = await claimed_ids(store, 1)
            late.extend(taken if began_paused else ())

    async def pause() -> None:
        await store.pause(paused=True)
        paused.set()

    await asyncio.gather(work(), work(), pause(), work(), work())
    assert late == []
