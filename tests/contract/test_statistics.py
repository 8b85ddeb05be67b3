"""Figures about the messages of all tenants, as an operator's screens need them."""

from datetime import timedelta

import pytest

from app.models.statistics import QueueFigures
from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.builders import (
    ALL,
    DONE,
    FAILED,
    HIGH,
    INTERRUPTED,
    LOW,
    OTHER_TENANT,
    RETRIED,
    TENANT,
    add,
    claim_one,
    dead_letter,
    drain,
    requeue,
    start,
)

EMPTY = QueueFigures({}, {}, 0, 0, 0, 0)


async def test_an_empty_queue_has_no_figures(store: Store) -> None:
    assert await store.queue_figures() == EMPTY


async def test_waiting_messages_are_counted_by_level_over_all_tenants(store: Store) -> None:
    await add(store, priority=HIGH)
    await add(store, tenant=OTHER_TENANT)
    await add(store, thread="t")
    await add(store, thread="t")
    await add(store, priority=LOW)
    assert (await store.queue_figures()).waiting == {0: 1, 1: 3, 2: 1}
    await store.cancel(TENANT, (await add(store, priority=LOW)).id)
    await claim_one(store)
    assert (await store.queue_figures()).waiting == {1: 3, 2: 1}


async def test_a_message_counts_where_it_stands_in_the_claim_order(store: Store) -> None:
    """A message ahead in the thread of an urgent one is urgent too."""
    await add(store, thread="t", priority=LOW)
    await add(store, thread="t", priority=HIGH)
    assert (await store.queue_figures()).waiting == {0: 2}


async def test_the_oldest_is_as_old_as_its_wait(store: Store, clock: ManualClock) -> None:
    await add(store, priority=LOW)
    clock.advance(4)
    await add(store)
    await add(store, tenant=OTHER_TENANT)
    clock.advance(2.5)
    assert (await store.queue_figures()).oldest_seconds == {1: 2.5, 2: 6.5}
    await drain(store)
    assert (await store.queue_figures()).oldest_seconds == {}


async def test_a_delayed_message_waits_from_its_time_on(store: Store, clock: ManualClock) -> None:
    await add(store, run_at=store.now() + timedelta(seconds=60))
    figures = await store.queue_figures()
    assert (figures.delayed, figures.waiting, figures.oldest_seconds) == (1, {}, {})
    clock.advance(63)
    await store.promote()
    figures = await store.queue_figures()
    assert (figures.delayed, figures.waiting, figures.oldest_seconds) == (0, {1: 1}, {1: 3.0})


async def test_other_states_are_counted(store: Store) -> None:
    for tenant in (TENANT, OTHER_TENANT):
        await start(store, tenant=tenant)
        await store.finish(await start(store, tenant=tenant), INTERRUPTED)
        await store.finish(await start(store, tenant=tenant), FAILED)
        await store.finish(await start(store, tenant=tenant), DONE)
        await store.finish(await start(store, tenant=tenant), RETRIED)
    assert await store.queue_figures() == QueueFigures({}, {}, 2, 2, 2, 2)


@pytest.mark.parametrize("way", ["requeue", "purge", "prune", "thread"])
async def test_dead_letters_are_counted_until_they_go(store: Store, clock: ManualClock, way: str) -> None:
    letter = await dead_letter(store, thread="t")
    await dead_letter(store, tenant=OTHER_TENANT, thread="u")
    assert (await store.queue_figures()).failed == 2
    clock.advance(100)
    if way == "requeue":
        await requeue(store, letter.id)
    elif way == "purge":
        await store.purge(TENANT, [letter.id])
    elif way == "thread":
        await store.delete_thread(TENANT, "t")
    else:
        await store.prune_messages(older_than_seconds=50, limit=ALL)
    assert (await store.queue_figures()).failed == (0 if way == "prune" else 1)


async def test_a_requeued_message_waits_anew(store: Store, clock: ManualClock) -> None:
    letter = await dead_letter(store)
    clock.advance(100)
    await requeue(store, letter.id)
    clock.advance(2)
    assert (await store.queue_figures()).oldest_seconds == {1: 2.0}
