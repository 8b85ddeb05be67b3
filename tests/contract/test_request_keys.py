"""An Idempotency-Key: a request that comes again is answered again, and carried out once."""

import asyncio
import os
from collections.abc import Sequence

import pytest

from app.errors import KeyReused, MessageNotFound, NotInterrupted, QueueFull, ThreadBusy
from app.models.messages import Accepted, IfBusy, MessageState, NewMessage, RequestKey
from app.store.limits import KEY_SECONDS
from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.builders import (
    ALL,
    ANSWER,
    DONE,
    HIGH,
    OTHER_TENANT,
    TENANT,
    add,
    claim,
    claim_one,
    claimed_ids,
    drain,
    interrupt,
    listed,
    new,
    request_key,
    resume,
    state_of,
)

KEY = request_key()

RACED_KEYS = int(os.environ.get("RACE_TRIES", "300")) // 10
RACE_WIDTH = 10
"""Number of keys that are raced for at once, each by five callers."""


async def send(store: Store, *news: NewMessage, key: RequestKey = KEY, max_queued: int = ALL) -> Accepted:
    return await store.add(news, max_queued=max_queued, key=key)


def again(news: Sequence[NewMessage]) -> list[NewMessage]:
    """The same request once more: the caller makes new ids for it."""
    return [each._replace(id=new().id) for each in news]


async def test_a_request_that_comes_again_is_stored_once_and_answered_the_same(store: Store) -> None:
    given = [new("Hello", thread="t", priority=HIGH, webhook_url="https://example.com")]
    first = await send(store, *given)
    second = await send(store, *again(given))
    assert (first.replayed, second.replayed) == (False, True)
    assert second.messages == first.messages
    assert await listed(store) == [given[0].id]


async def test_the_answer_is_that_of_then_whatever_became_of_the_message(store: Store, clock: ManualClock) -> None:
    await add(store)
    given = [new(thread="t")]
    first = await send(store, *given)
    assert first.messages[0].queue_position == 1
    clock.advance(60)
    await drain(store)
    second = await send(store, *again(given))
    assert (second.messages, second.replayed) == (first.messages, True)
    assert second.messages[0].state is MessageState.QUEUED
    assert await state_of(store, given[0].id) is MessageState.COMPLETED


async def test_the_answer_outlives_its_message(store: Store, clock: ManualClock) -> None:
    given = [new()]
    first = await send(store, *given)
    await drain(store)
    clock.advance(60)
    await store.prune_messages(older_than_seconds=1, limit=ALL)
    assert (await send(store, *again(given))).messages == first.messages
    with pytest.raises(MessageNotFound):
        await store.get(TENANT, given[0].id)


async def test_a_delayed_message_is_answered_with_the_time_of_then(store: Store, clock: ManualClock) -> None:
    given = [new(delay_seconds=100)]
    first = await send(store, *given)
    clock.advance(50)
    second = await send(store, *again(given))
    assert second.messages == first.messages
    assert second.messages[0].queue_position is None


async def test_a_batch_with_a_key_is_answered_whole(store: Store) -> None:
    given = [new(str(number), thread="t" if number % 2 else None) for number in range(20)]
    first = await send(store, *given)
    second = await send(store, *again(given))
    assert second.messages == first.messages
    assert len(second.messages) == 20
    assert len(await listed(store)) == 20


async def test_a_rollback_is_answered_with_the_ids_of_then(store: Store) -> None:
    ahead = await add(store, thread="t")
    given = [new(thread="t", if_busy=IfBusy.ROLLBACK)]
    first = await send(store, *given)
    second = await send(store, *again(given))
    assert second.messages == first.messages
    assert second.messages[0].rollback == (ahead.id,)
    assert await state_of(store, given[0].id) is MessageState.QUEUED, "the replay cancelled what it had stored"


async def test_a_key_with_another_request_is_refused(store: Store) -> None:
    given = new()
    await send(store, given)
    with pytest.raises(KeyReused):
        await send(store, new("Another"), key=request_key(fingerprint="another request"))
    assert await listed(store) == [given.id]
    assert (await send(store, *again([given]))).messages[0].id == given.id, "the refused one changed the key"


async def test_another_key_is_another_request(store: Store) -> None:
    given = new()
    await send(store, given)
    other = await send(store, *again([given]), key=request_key("another key"))
    assert not other.replayed
    assert len(await listed(store)) == 2


@pytest.mark.parametrize(
    "name", ["k" * 255, "ключ 🔑", "a:b/c%*{}", " ", "'; --"], ids=["long", "odd", "signs", "space", "quotes"]
)
async def test_any_text_can_be_a_key(store: Store, name: str) -> None:
    given = new()
    first = await send(store, given, key=request_key(name))
    second = await send(store, *again([given]), key=request_key(name))
    assert (second.messages, second.replayed) == (first.messages, True)


async def test_keys_that_look_alike_are_different(store: Store) -> None:
    alike = ["a", "A", "a ", " a", "é", "e\u0301"]
    for name in alike:
        assert not (await send(store, new(), key=request_key(name))).replayed
    assert len(await listed(store)) == len(alike)


async def test_the_key_of_another_tenant_is_another_key(store: Store) -> None:
    await send(store, new())
    theirs = request_key(fingerprint="their request", tenant=OTHER_TENANT)
    accepted = await send(store, new(tenant=OTHER_TENANT), key=theirs)
    assert not accepted.replayed
    assert accepted.messages[0].tenant == OTHER_TENANT
    assert len(await listed(store, OTHER_TENANT)) == 1


async def test_without_a_key_nothing_is_the_same_request(store: Store) -> None:
    given = new()
    await add(store)
    accepted = await store.add(again([given]), max_queued=ALL)
    assert not accepted.replayed
    assert len(await listed(store)) == 2


# How long


async def test_a_key_stands_for_its_request_for_a_day(store: Store, clock: ManualClock) -> None:
    given = new()
    first = await send(store, given)
    clock.advance(KEY_SECONDS - 1)
    await store.prune_keys()
    replayed = await send(store, *again([given]))
    assert (replayed.messages, replayed.replayed) == (first.messages, True)


@pytest.mark.parametrize("prune", [False, True], ids=["kept", "pruned"])
async def test_after_a_day_a_key_is_new(store: Store, clock: ManualClock, prune: bool) -> None:
    await send(store, new())
    clock.advance(KEY_SECONDS + 1)
    if prune:
        await store.prune_keys()
    other = request_key(fingerprint="another request")
    given = new("Another")
    assert not (await send(store, given, key=other)).replayed
    assert len(await listed(store)) == 2
    assert (await send(store, *again([given]), key=other)).messages[0].id == given.id


async def test_a_replay_does_not_make_a_key_last_longer(store: Store, clock: ManualClock) -> None:
    given = new()
    await send(store, given)
    clock.advance(KEY_SECONDS / 2)
    assert (await send(store, *again([given]))).replayed
    clock.advance(KEY_SECONDS / 2 + 1)
    assert not (await send(store, *again([given]))).replayed


# Races


async def test_of_fifty_callers_at_once_one_stores_and_all_get_its_answer(store: Store, other_store: Store) -> None:
    given = [new(thread="t"), new()]
    replies = await asyncio.gather(*(send(each, *again(given)) for each in [store, other_store] * 25))
    assert [reply.replayed for reply in replies].count(False) == 1
    assert all(reply.messages == replies[0].messages for reply in replies)
    assert sorted(await listed(store)) == sorted(message.id for message in replies[0].messages)


async def test_many_keys_raced_by_many_callers_store_one_each(store: Store, other_store: Store) -> None:
    for turn in range(0, RACED_KEYS, RACE_WIDTH):
        keys = [request_key(f"key {turn + number}") for number in range(RACE_WIDTH)]
        callers = [store, other_store, store, other_store, store]
        replies = await asyncio.gather(*(send(caller, new(), key=key) for caller in callers for key in keys))
        assert [reply.replayed for reply in replies].count(False) == RACE_WIDTH
        ids = [reply.messages[0].id for reply in replies]
        assert ids == ids[:RACE_WIDTH] * 5
        assert len(set(ids)) == RACE_WIDTH
        assert sorted(await claimed_ids(store)) == sorted(ids[:RACE_WIDTH])


async def test_of_different_requests_with_one_key_at_once_one_is_stored(store: Store) -> None:
    calls = (send(store, new(), key=request_key(fingerprint=str(number % 2))) for number in range(20))
    replies = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(reply, KeyReused) for reply in replies) == 10
    answers = [reply for reply in replies if isinstance(reply, Accepted)]
    assert len({answer.messages[0].id for answer in answers}) == 1
    assert len(await listed(store)) == 1


# What was refused stores no key


async def test_a_full_queue_stores_no_key(store: Store) -> None:
    with pytest.raises(QueueFull):
        await send(store, new(), max_queued=0)
    assert not (await send(store, new(), key=request_key(fingerprint="another request"))).replayed


async def test_a_busy_thread_stores_no_key(store: Store) -> None:
    await add(store, thread="t")
    given = new(thread="t", if_busy=IfBusy.REJECT)
    with pytest.raises(ThreadBusy):
        await send(store, given)
    await drain(store)
    accepted = await send(store, *again([given]))
    assert not accepted.replayed
    assert accepted.messages[0].thread_number == 2


async def test_a_replay_asks_neither_for_room_nor_for_an_idle_thread(store: Store) -> None:
    given = new(thread="t", if_busy=IfBusy.REJECT)
    first = await send(store, given, max_queued=1)
    assert (await send(store, *again([given]), max_queued=1)).messages == first.messages


# Resume


async def test_an_answer_with_a_key_that_comes_again_gives_the_message_as_it_is_now(store: Store) -> None:
    asking = await interrupt(store)
    first = await store.resume(TENANT, asking.id, asking.fence, ANSWER, key=KEY)
    assert not first.replayed
    lease = await claim_one(store)
    second = await store.resume(TENANT, asking.id, asking.fence, ANSWER, key=KEY)
    assert (second.replayed, second.messages) == (True, [await store.get(TENANT, asking.id)])
    await store.finish(lease, DONE)
    third = await store.resume(TENANT, asking.id, asking.fence, ANSWER, key=KEY)
    assert (third.replayed, third.messages[0].state) == (True, MessageState.COMPLETED)


async def test_the_replay_of_an_answer_has_no_position(store: Store) -> None:
    asking = await interrupt(store)
    await resume(store, asking, key=KEY)
    (message,) = (await store.resume(TENANT, asking.id, asking.fence, ANSWER, key=KEY)).messages
    assert (message.state, message.queue_position) == (MessageState.QUEUED, None)


async def test_a_key_of_an_answer_with_another_request_is_refused(store: Store) -> None:
    asking = await interrupt(store)
    await resume(store, asking, key=KEY)
    other = request_key(fingerprint="another request")
    with pytest.raises(KeyReused):
        await store.resume(TENANT, asking.id, asking.fence, ANSWER, key=other)
    with pytest.raises(KeyReused):
        await send(store, new(), key=other)


async def test_an_answer_that_is_refused_stores_no_key(store: Store) -> None:
    asking = await interrupt(store)
    with pytest.raises(NotInterrupted):
        await store.resume(TENANT, asking.id, asking.fence - 1, ANSWER, key=request_key(fingerprint="wrong fence"))
    assert not (await store.resume(TENANT, asking.id, asking.fence, ANSWER, key=KEY)).replayed


async def test_of_fifty_answers_with_one_key_at_once_one_counts_and_none_is_refused(
    store: Store, other_store: Store
) -> None:
    asking = await interrupt(store)
    callers = [store, other_store] * 25
    answers = (each.resume(TENANT, asking.id, asking.fence, ANSWER, key=KEY) for each in callers)
    replies = await asyncio.gather(*answers)
    assert [reply.replayed for reply in replies].count(False) == 1
    assert len(await claim(store, ALL)) == 1


async def test_after_a_day_the_key_of_an_answer_is_new(store: Store, clock: ManualClock) -> None:
    asking = await interrupt(store)
    await resume(store, asking, key=KEY)
    clock.advance(KEY_SECONDS + 1)
    with pytest.raises(NotInterrupted):
        await store.resume(TENANT, asking.id, asking.fence, ANSWER, key=KEY)
