"""Messages that take the place of a thread's newest ones."""

import asyncio

import pytest

from app.errors import ThreadBusy
from app.errors.threads import ThreadMoved
from app.models.messages import IfBusy, Message, MessageState
from app.store.ports import Store
from tests.contract.builders import DONE, INTERRUPTED, TENANT, add, claim_one, start, state_of


async def replace(store: Store, *replaced: str, last_number: int, if_busy: IfBusy = IfBusy.REJECT) -> Message:
    return await add(store, thread="t", if_busy=if_busy, rollback=replaced, last_number=last_number)


async def test_the_steps_to_forget_are_stored(store: Store) -> None:
    ids = []
    for _ in range(2):
        lease = await start(store, thread="t")
        await store.finish(lease, DONE)
        ids.append(lease.message_id)
    message = await replace(store, *ids, last_number=2)
    assert message.rollback == tuple(ids)
    assert (await store.get(TENANT, message.id)).rollback == tuple(ids)
    assert (await claim_one(store)).message_id == message.id


async def test_a_thread_that_has_moved_on_refuses(store: Store) -> None:
    for _ in range(2):
        await store.finish(await start(store, thread="t"), DONE)
    with pytest.raises(ThreadMoved):
        await replace(store, "x", last_number=1)
    assert (await store.get_thread(TENANT, "t")).message_count == 2
    assert (await replace(store, "x", last_number=2)).thread_number == 3


async def test_a_busy_thread_refuses_or_is_cancelled(store: Store) -> None:
    await store.finish(await start(store, thread="t"), DONE)
    waiting = await add(store, thread="t")
    with pytest.raises(ThreadBusy):
        await replace(store, "x", last_number=2)
    with pytest.raises(ThreadMoved):
        await replace(store, "x", last_number=1, if_busy=IfBusy.INTERRUPT)
    assert await state_of(store, waiting.id) is MessageState.QUEUED
    message = await replace(store, "x", last_number=2, if_busy=IfBusy.INTERRUPT)
    assert message.rollback == ("x",)
    assert await state_of(store, waiting.id) is MessageState.CANCELLED


async def test_cancelled_messages_are_forgotten_too(store: Store) -> None:
    asking = await start(store, thread="t")
    await store.finish(asking, INTERRUPTED)
    waiting = await add(store, thread="t")
    message = await replace(store, "x", waiting.id, last_number=2, if_busy=IfBusy.ROLLBACK)
    assert message.rollback == ("x", waiting.id, asking.message_id)
    assert (await store.get(TENANT, message.id)).rollback == message.rollback
    alone = await add(store, thread="t", if_busy=IfBusy.ROLLBACK, rollback=("y",))
    assert alone.rollback == ("y", message.id)


async def test_only_one_of_two_replaces(store: Store, other_store: Store) -> None:
    await store.finish(await start(store, thread="t"), DONE)
    tried = await asyncio.gather(
        *(replace(at, "x", last_number=1) for at in (store, other_store, store)), return_exceptions=True
    )
    assert sum(isinstance(each, Message) for each in tried) == 1
    assert all(isinstance(each, Message | ThreadMoved | ThreadBusy) for each in tried)
