"""Promises of `ControlStore.cancel`: it cancels queued messages only, and what is acknowledged holds for ever."""

import asyncio
import json
from collections.abc import Awaitable

import pytest

from app.clock import to_datetime
from app.errors import LeaseLost, MessageNotFound, NotCancellable
from app.models.attempts import Claim, Outcome
from app.models.events import EventType
from app.models.messages import Message, MessageState, new_message_id
from app.store.ports import Store
from app.text import rfc3339
from tests.clock import START, ManualClock
from tests.contract.builders import (
    ALL,
    DONE,
    FAILED,
    OTHER_TENANT,
    RELEASED,
    TENANT,
    add,
    claim,
    claim_one,
    claimed_ids,
    drain,
    event_types,
    interrupt,
    log,
    seen,
    start,
)


async def test_a_cancelled_message_has_ended(store: Store, clock: ManualClock) -> None:
    message = await add(store)
    clock.advance(5)
    cancelled = await store.cancel(TENANT, message.id)
    assert cancelled.state is MessageState.CANCELLED
    assert cancelled.completed_at == to_datetime(START + 5_000)
    assert (cancelled.started_at, cancelled.result, cancelled.error) == (None, None, None)
    assert await store.get(TENANT, message.id) == cancelled
    assert await claim(store, ALL) == []


async def test_of_messages_that_ask_only_the_question_is_cancelled(store: Store) -> None:
    asking = await interrupt(store, thread="t")
    await add(store, thread="t")
    assert (await store.cancel(TENANT, asking.id, asks=True)).state is MessageState.CANCELLED
    lease = await claim_one(store)
    running = lease.message_id
    others = [running, (await add(store)).id, asking.id]
    for message_id in others:
        before = await seen(store, message_id)
        with pytest.raises(NotCancellable):
            await store.cancel(TENANT, message_id, asks=True)
        assert await seen(store, message_id) == before


async def test_a_cancel_is_the_terminal_event_of_the_log(store: Store) -> None:
    message = await add(store)
    await store.cancel(TENANT, message.id)
    (event,) = await log(store, message.id)
    assert (event.id, event.type) == (1, EventType.CANCELLED)
    assert json.loads(event.data) == {"state": "cancelled", "completed_at": rfc3339(to_datetime(START))}


async def test_a_message_that_was_put_back_can_be_cancelled(store: Store) -> None:
    lease = await start(store)
    await store.finish(lease, RELEASED)
    await store.cancel(TENANT, lease.message_id)
    assert await event_types(store, lease.message_id) == ["processing", "retry", "cancelled"]


async def test_the_next_of_the_thread_takes_the_place_of_a_cancelled_head(store: Store) -> None:
    head, following, last = [await add(store, thread="t") for _ in range(3)]
    await store.cancel(TENANT, head.id)
    assert await claimed_ids(store) == [following.id]
    assert (await store.get(TENANT, last.id)).state is MessageState.QUEUED


async def test_a_message_cancelled_in_the_middle_of_its_thread_is_left_out(store: Store) -> None:
    first, middle, last = [await add(store, thread="t") for _ in range(3)]
    await store.cancel(TENANT, middle.id)
    assert (await store.get(TENANT, last.id)).queue_position == 1
    assert await drain(store) == [first.id, last.id]


async def test_cancelling_behind_a_running_message_starts_nothing(store: Store) -> None:
    running = await start(store, thread="t")
    behind = [await add(store, thread="t") for _ in range(2)]
    await store.cancel(TENANT, behind[0].id)
    assert await claimed_ids(store) == []
    await store.finish(running, DONE)
    assert await claimed_ids(store) == [behind[1].id]


async def test_a_thread_goes_on_after_all_its_messages_were_cancelled(store: Store) -> None:
    for message in [await add(store, thread="t") for _ in range(3)]:
        await store.cancel(TENANT, message.id)
    later = await add(store, thread="t")
    assert later.thread_number == 4
    assert await claimed_ids(store) == [later.id]


async def test_a_message_that_is_being_processed_cannot_be_cancelled(store: Store) -> None:
    lease = await start(store)
    before = await seen(store, lease.message_id)
    with pytest.raises(NotCancellable) as refused:
        await store.cancel(TENANT, lease.message_id)
    assert refused.value.state == "processing"
    assert await seen(store, lease.message_id) == before
    await store.finish(lease, DONE)


@pytest.mark.parametrize(("outcome", "state"), [(DONE, "completed"), (FAILED, "failed")])
async def test_a_message_that_has_ended_cannot_be_cancelled(store: Store, outcome: Outcome, state: str) -> None:
    lease = await start(store, thread="t")
    await store.finish(lease, outcome)
    before = await seen(store, lease.message_id), await store.get_thread(TENANT, "t")
    with pytest.raises(NotCancellable) as refused:
        await store.cancel(TENANT, lease.message_id)
    assert refused.value.state == state
    assert (await seen(store, lease.message_id), await store.get_thread(TENANT, "t")) == before


async def test_a_second_cancel_is_refused_and_writes_nothing(store: Store) -> None:
    message = await add(store)
    await store.cancel(TENANT, message.id)
    before = await seen(store, message.id)
    with pytest.raises(NotCancellable) as refused:
        await store.cancel(TENANT, message.id)
    assert refused.value.state == "cancelled"
    assert await seen(store, message.id) == before


async def test_a_message_that_does_not_exist_cannot_be_cancelled(store: Store) -> None:
    for unknown in (new_message_id(), "", "no id", "' OR 1=1 --"):
        with pytest.raises(MessageNotFound):
            await store.cancel(TENANT, unknown)


async def test_the_message_of_another_tenant_cannot_be_cancelled(store: Store) -> None:
    message = await add(store)
    with pytest.raises(MessageNotFound):
        await store.cancel(OTHER_TENANT, message.id)
    assert (await store.get(TENANT, message.id)).state is MessageState.QUEUED


async def test_of_a_cancel_and_a_claim_at_the_same_moment_exactly_one_wins(store: Store) -> None:
    for round_ in range(200):
        message = await add(store, thread="t" if round_ % 3 else None)
        calls: list[Awaitable[list[Claim] | Message]] = [store.cancel(TENANT, message.id), claim(store)]
        forward = round_ % 2 == 0
        results = await asyncio.gather(*calls if forward else reversed(calls), return_exceptions=True)
        cancelled, claims = results if forward else reversed(results)
        assert isinstance(claims, list)
        if claims:
            assert isinstance(cancelled, NotCancellable)
            assert await event_types(store, message.id) == ["processing"]
            await store.finish(claims[0].lease, DONE)
        else:
            assert isinstance(cancelled, Message)
            assert await event_types(store, message.id) == ["cancelled"]


async def test_concurrent_cancels_end_a_message_once(store: Store) -> None:
    message = await add(store, thread="t")
    cancels = (store.cancel(TENANT, message.id) for _ in range(10))
    replies = await asyncio.gather(*cancels, return_exceptions=True)
    assert sum(isinstance(reply, Message) for reply in replies) == 1
    assert sum(isinstance(reply, NotCancellable) for reply in replies) == 9
    assert await event_types(store, message.id) == ["cancelled"]


async def test_a_cancelled_message_never_becomes_anything_else(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    await store.finish(lease, RELEASED)
    await store.cancel(TENANT, lease.message_id)
    before = await seen(store, lease.message_id)
    with pytest.raises(LeaseLost):
        await store.finish(lease, DONE)
    clock.advance(3_600)
    assert (await store.rescue(), await store.promote()) == (0, 0)
    assert await claim(store, ALL) == []
    assert await seen(store, lease.message_id) == before


async def test_cancelling_many_of_a_thread_while_it_runs_keeps_its_order(store: Store) -> None:
    messages = [await add(store, thread="t") for _ in range(12)]
    lease = await claim_one(store)
    await asyncio.gather(*(store.cancel(TENANT, message.id) for message in messages[1::2]))
    await store.finish(lease, DONE)
    assert await drain(store) == [message.id for message in messages[2::2]]
