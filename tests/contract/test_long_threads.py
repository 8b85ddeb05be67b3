"""Threads with thousands of waiting messages: what takes many short transactions ends as one would."""

import asyncio

import pytest

from app.errors import QueueFull, ThreadBusy
from app.models.messages import IfBusy, Message, MessageState, Readiness
from app.store.parts import CLEARED_AT_ONCE, SETTLED_AT_ONCE
from app.store.ports import Store
from tests.contract.builders import (
    ALL,
    HIGH,
    LOW,
    NORMAL,
    TENANT,
    add,
    add_all,
    claim_one,
    claimed_ids,
    dead_letter,
    new,
    request_key,
    requeue,
    state_of,
)

LONG = 2 * SETTLED_AT_ONCE + 500


async def long_thread(store: Store, length: int = LONG) -> list[Message]:
    """A thread with so many waiting messages of low priority, the first of them running."""
    added: list[Message] = []
    while len(added) < length:
        count = min(1_000, length - len(added))
        added += await add_all(store, *(new("Hello", thread="long", priority=LOW) for _ in range(count)))
    await claim_one(store)
    return added


async def ahead_of(store: Store, message: Message) -> int | None:
    """How many are claimed before this one."""
    return (await store.get(TENANT, message.id)).queue_position


# Inheritance


async def test_all_of_a_long_thread_inherit_from_an_urgent_message_until_it_is_gone(store: Store) -> None:
    thread = await long_thread(store)
    other = await add(store, priority=NORMAL)
    assert await ahead_of(store, other) == 0
    urgent = await add(store, thread="long", priority=HIGH)
    assert await ahead_of(store, other) == LONG, "all that wait in the thread, and the urgent one"
    assert await ahead_of(store, thread[1]) == 0
    await store.cancel(TENANT, urgent.id)
    assert await ahead_of(store, other) == 0
    assert await ahead_of(store, thread[1]) == 1


async def test_all_of_a_long_thread_follow_another_priority(store: Store) -> None:
    thread = await long_thread(store)
    other = await add(store, priority=NORMAL)
    await store.reprioritize(TENANT, thread[-1].id, HIGH)
    assert await ahead_of(store, other) == LONG - 1
    middle = thread[LONG // 2]
    await store.reprioritize(TENANT, thread[-1].id, LOW)
    assert await ahead_of(store, other) == 0
    await store.reprioritize(TENANT, middle.id, HIGH)
    assert await ahead_of(store, other) == LONG // 2, "those ahead of it, and itself"
    await store.cancel(TENANT, middle.id)
    assert await ahead_of(store, other) == 0


async def test_all_of_a_long_thread_inherit_from_what_is_requeued(store: Store) -> None:
    failed = await dead_letter(store, thread="long", priority=HIGH)
    await long_thread(store)
    other = await add(store, priority=NORMAL)
    await requeue(store, failed.id)
    assert await ahead_of(store, other) == LONG


async def test_urgent_messages_that_come_and_go_together_leave_the_ranks_as_they_were(store: Store) -> None:
    """Work that is carried on for one caller meets work that is carried on for another."""
    thread = await long_thread(store)
    other = await add(store, priority=NORMAL)

    async def comes_and_goes() -> None:
        urgent = await add(store, thread="long", priority=HIGH)
        await store.cancel(TENANT, urgent.id)

    await asyncio.gather(*(comes_and_goes() for _ in range(5)))
    assert await ahead_of(store, other) == 0
    stays = await add(store, thread="long", priority=HIGH)
    await asyncio.gather(*(comes_and_goes() for _ in range(3)))
    assert await ahead_of(store, other) == LONG
    await store.cancel(TENANT, stays.id)
    assert await ahead_of(store, other) == 0
    assert await ahead_of(store, thread[-1]) == LONG - 1


# Making way

MANY = 4 * CLEARED_AT_ONCE + 10


@pytest.mark.parametrize("if_busy", [IfBusy.INTERRUPT, IfBusy.ROLLBACK])
async def test_a_long_thread_makes_way(store: Store, if_busy: IfBusy) -> None:
    thread = await long_thread(store, MANY)
    message = await add(store, thread="long", if_busy=if_busy)
    assert message.rollback == (tuple(each.id for each in thread) if if_busy is IfBusy.ROLLBACK else ())
    assert message == (await store.get(TENANT, message.id))._replace(queue_position=message.queue_position)
    states = (await store.get_thread(TENANT, "long")).states
    assert (states[MessageState.CANCELLED], states[MessageState.PROCESSING]) == (MANY - 1, 1)
    assert (await store.get(TENANT, thread[0].id)).cancel_requested
    assert message.readiness is Readiness.BLOCKED
    assert (message.queue_position, await claimed_ids(store)) == (0, [])


async def test_what_is_refused_makes_no_way(store: Store) -> None:
    thread = await long_thread(store, MANY)
    interrupting, rejecting = (new(thread="long", if_busy=each) for each in (IfBusy.INTERRUPT, IfBusy.REJECT))
    with pytest.raises(QueueFull):
        await store.add([interrupting], max_queued=MANY - 1)
    with pytest.raises(ThreadBusy):
        await store.add([interrupting, rejecting], max_queued=ALL)
    assert await state_of(store, thread[-1].id) is MessageState.QUEUED


async def test_a_replay_makes_no_way(store: Store) -> None:
    key, message = request_key(), new(thread="long", if_busy=IfBusy.ROLLBACK)
    first = (await store.add([message], max_queued=ALL, key=key)).messages
    thread = await long_thread(store, MANY)
    again = await store.add([message], max_queued=ALL, key=key)
    assert (again.messages, again.replayed) == (first, True)
    assert await state_of(store, thread[-1].id) is MessageState.QUEUED
