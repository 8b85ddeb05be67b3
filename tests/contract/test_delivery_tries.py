"""Tries of deliveries: who takes which, what their results lead to, and replays."""

import asyncio

from app.clock import to_datetime
from app.models.deliveries import DeliveryState
from app.store.ports import Store
from tests.clock import START, ManualClock
from tests.contract.builders import OTHER_TENANT, TENANT
from tests.contract.delivering import MILLISECOND, TRY_SECONDS, ended, of, take, take_one, tried


async def test_a_claim_takes_what_is_due_with_a_try_more(store: Store, clock: ManualClock) -> None:
    delivery = await ended(store)
    taken = await take_one(store)
    assert taken.model_dump(exclude={"next_at"}) == delivery.model_copy(update={"tries": 1}).model_dump(
        exclude={"next_at"}
    )
    assert (await of(store, delivery.message_id))[0].tries == 1
    assert await take(store) == []


async def test_what_was_claimed_by_a_process_that_died_is_due_again(store: Store, clock: ManualClock) -> None:
    await ended(store)
    first = await take_one(store)
    clock.advance(TRY_SECONDS - MILLISECOND)
    assert await take(store) == []
    clock.advance(MILLISECOND)
    second = await take_one(store)
    assert (second.id, first.tries, second.tries) == (first.id, 1, 2)


async def test_a_claim_takes_no_more_than_its_limit_the_most_overdue_first(store: Store, clock: ManualClock) -> None:
    deliveries = []
    for _ in range(5):
        deliveries.append(await ended(store))
        clock.advance(1)
    retried = (await take(store, 1))[0]
    assert retried.id == deliveries[0].id
    assert await store.settle_delivery(retried, tried(clock, 500, "status 500"), next_in=60)
    assert {taken.id for taken in await take(store, 2)} == {deliveries[1].id, deliveries[2].id}
    clock.advance(60)
    assert {taken.id for taken in await take(store, 2)} == {deliveries[3].id, deliveries[4].id}
    assert {taken.id for taken in await take(store)} == {delivery.id for delivery in deliveries[:3]}
    assert await take(store, 0) == []


async def test_a_claim_takes_the_news_of_all_tenants(store: Store) -> None:
    ours = await ended(store)
    theirs = await ended(store, tenant=OTHER_TENANT)
    assert {taken.id: taken.tenant for taken in await take(store)} == {ours.id: TENANT, theirs.id: OTHER_TENANT}


async def test_concurrent_claims_never_share_a_delivery(store: Store) -> None:
    ids = [(await ended(store)).id for _ in range(20)]
    taken = await asyncio.gather(*(take(store, 3) for _ in range(10)))
    assert sorted(each.id for part in taken for each in part) == sorted(ids)


async def test_what_was_delivered_is_never_tried_again(store: Store, clock: ManualClock) -> None:
    await ended(store)
    taken = await take_one(store)
    clock.advance(1)
    attempt = tried(clock, 204)
    assert await store.settle_delivery(taken, attempt, next_in=None)
    (delivery,) = await of(store, taken.message_id)
    assert (delivery.state, delivery.next_at) == (DeliveryState.DELIVERED, None)
    assert (delivery.tries, delivery.attempts) == (1, (attempt,))
    clock.advance(10 * TRY_SECONDS)
    assert await take(store) == []


async def test_what_failed_is_tried_again_in_its_time(store: Store, clock: ManualClock) -> None:
    message_id = (await ended(store)).message_id
    attempt = tried(clock, None, "no connection")
    assert await store.settle_delivery(await take_one(store), attempt, next_in=5)
    (delivery,) = await of(store, message_id)
    assert (delivery.state, delivery.attempts) == (DeliveryState.PENDING, (attempt,))
    assert delivery.next_at == to_datetime(START + 5_000)
    clock.advance(5 - MILLISECOND)
    assert await take(store) == []
    clock.advance(MILLISECOND)
    second = await take_one(store)
    assert (second.tries, second.attempts) == (2, (attempt,))
    assert await store.settle_delivery(second, tried(clock), next_in=None)
    (done,) = await of(store, second.message_id)
    assert (done.state, done.attempts) == (DeliveryState.DELIVERED, (attempt, tried(clock)))


async def test_what_failed_for_good_is_told_as_failed(store: Store, clock: ManualClock) -> None:
    message_id = (await ended(store)).message_id
    attempt = tried(clock, 410, "status 410: é 👍")
    assert await store.settle_delivery(await take_one(store), attempt, next_in=None)
    (delivery,) = await of(store, message_id)
    assert (delivery.state, delivery.next_at, delivery.attempts) == (DeliveryState.FAILED, None, (attempt,))
    clock.advance(10 * TRY_SECONDS)
    assert await take(store) == []


async def test_a_stale_try_settles_nothing(store: Store, clock: ManualClock) -> None:
    await ended(store)
    first = await take_one(store)
    clock.advance(TRY_SECONDS)
    second = await take_one(store)
    before = await of(store, first.message_id)
    assert not await store.settle_delivery(first, tried(clock), next_in=None)
    assert await of(store, first.message_id) == before
    assert await store.settle_delivery(second, tried(clock, 500, "status 500"), next_in=1)


async def test_a_try_settles_once(store: Store, clock: ManualClock) -> None:
    await ended(store)
    taken = await take_one(store)
    assert await store.settle_delivery(taken, tried(clock), next_in=None)
    before = await of(store, taken.message_id)
    assert not await store.settle_delivery(taken, tried(clock, 500, "status 500"), next_in=None)
    assert await of(store, taken.message_id) == before


# Replays


async def test_a_replay_makes_a_delivery_due_at_once_with_no_tries(store: Store, clock: ManualClock) -> None:
    await ended(store)
    attempt = tried(clock)
    taken = await take_one(store)
    await store.settle_delivery(taken, attempt, next_in=None)
    clock.advance(100)
    replayed = await store.replay_delivery(TENANT, taken.id)
    assert (replayed.id, replayed.state, replayed.tries) == (taken.id, DeliveryState.PENDING, 0)
    assert (replayed.next_at, replayed.attempts) == (to_datetime(clock.now()), (attempt,))
    assert await of(store, taken.message_id) == [replayed]
    again = await take_one(store)
    assert (again.id, again.tries, again.data) == (taken.id, 1, taken.data)
    await store.settle_delivery(again, tried(clock), next_in=None)
    assert len((await of(store, taken.message_id))[0].attempts) == 2


async def test_what_waits_for_its_next_try_can_be_replayed(store: Store, clock: ManualClock) -> None:
    await ended(store)
    taken = await take_one(store)
    await store.settle_delivery(taken, tried(clock, 500, "status 500"), next_in=3600)
    await store.replay_delivery(TENANT, taken.id)
    assert (await take_one(store)).id == taken.id


async def test_a_try_from_before_a_replay_settles_nothing(store: Store, clock: ManualClock) -> None:
    await ended(store)
    stale = await take_one(store)
    await store.replay_delivery(TENANT, stale.id)
    before = await of(store, stale.message_id)
    assert not await store.settle_delivery(stale, tried(clock), next_in=None)
    assert await of(store, stale.message_id) == before
    clock.advance(1)
    taken = await take_one(store)
    assert taken.tries == stale.tries == 1
    assert not await store.settle_delivery(stale, tried(clock), next_in=None)
    assert await store.settle_delivery(taken, tried(clock), next_in=None)
