"""News of ends for webhooks: written with the end, tried until they are delivered, told to their tenant only."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from app.clock import to_datetime
from app.errors import DeliveryNotFound
from app.models.attempts import Completed, Interrupted, Lease
from app.models.deliveries import ENDS, Delivery, DeliveryState, WebhookEvent, WebhookForm
from app.models.messages import IfBusy, MessageOptions
from app.store.ports import Store
from tests.clock import START, ManualClock
from tests.contract.builders import (
    ANSWER,
    CANCELLED,
    DONE,
    FAILED,
    INTERRUPTED,
    LEASE_SECONDS,
    OTHER_TENANT,
    RELEASED,
    RETRIED,
    TENANT,
    add,
    cancel_running,
    claim,
    claim_one,
    dead_letter,
    interrupt,
    log,
    requeue,
    resume,
    start,
)
from tests.contract.delivering import URL, ended, of, take, take_one, tried

Ending = Callable[[Store, ManualClock, Lease], Awaitable[object]]


async def completed(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, Completed('👍 "quotes" \\ \n'))


async def failed(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, FAILED)


async def cancelled_by_its_worker(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, CANCELLED)


async def cancelled_while_it_ran(store: Store, clock: ManualClock, lease: Lease) -> None:
    await cancel_running(store, lease.message_id)
    await store.finish(lease, DONE)


async def cancelled_while_queued(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, RELEASED)
    await store.cancel(TENANT, lease.message_id)


async def cancelled_as_it_asked(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, INTERRUPTED)
    await cancel_running(store, lease.message_id)


async def cancelled_by_the_rescue(store: Store, clock: ManualClock, lease: Lease) -> None:
    await cancel_running(store, lease.message_id)
    clock.advance(LEASE_SECONDS)
    await store.rescue()


async def cancelled_by_a_message_behind(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, RELEASED)
    await add(store, thread="t", if_busy=IfBusy.INTERRUPT)


async def worker_lost(store: Store, clock: ManualClock, lease: Lease) -> None:
    clock.advance(LEASE_SECONDS)
    await store.rescue(max_crashes=1)


async def never_answered(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, INTERRUPTED)
    clock.advance(INTERRUPTED.ttl_seconds)
    await store.expire_interrupts()


ENDINGS: list[Ending] = [
    completed,
    failed,
    cancelled_by_its_worker,
    cancelled_while_it_ran,
    cancelled_while_queued,
    cancelled_as_it_asked,
    cancelled_by_the_rescue,
    cancelled_by_a_message_behind,
    worker_lost,
    never_answered,
]

ENDS_AS: dict[Ending, WebhookEvent] = {
    completed: WebhookEvent.COMPLETED,
    failed: WebhookEvent.FAILED,
    worker_lost: WebhookEvent.FAILED,
    never_answered: WebhookEvent.FAILED,
}
"""The endings that are no cancels."""


# The outbox


@pytest.mark.parametrize("end", ENDINGS, ids=lambda end: end.__name__)
async def test_every_end_leaves_one_delivery_with_its_event(store: Store, clock: ManualClock, end: Ending) -> None:
    lease = await start(store, thread="t", webhook_url=URL)
    assert await of(store, lease.message_id) == []
    clock.advance(7)
    await end(store, clock, lease)
    (delivery,) = await of(store, lease.message_id)
    message = await store.get(TENANT, lease.message_id)
    assert delivery == Delivery(
        id=f"{message.id}.{message.number}",
        tenant=TENANT,
        message_id=message.id,
        thread_id="t",
        url=URL,
        event=WebhookEvent(message.state),
        data=(await log(store, message.id))[-1].data,
        state=DeliveryState.PENDING,
        tries=0,
        created_at=to_datetime(clock.now()),
        next_at=to_datetime(clock.now()),
        attempts=(),
    )


async def test_a_message_without_a_url_leaves_none(store: Store) -> None:
    lease = await start(store)
    await store.finish(lease, DONE)
    assert (await of(store, lease.message_id), await take(store)) == ([], [])


@pytest.mark.parametrize("outcome", [RELEASED, RETRIED, INTERRUPTED], ids=lambda outcome: type(outcome).__name__)
async def test_what_is_no_end_leaves_none(store: Store, outcome: object) -> None:
    lease = await start(store, webhook_url=URL)
    await store.finish(lease, outcome)  # type: ignore[arg-type]  # each outcome in turn
    assert (await of(store, lease.message_id), await take(store)) == ([], [])


async def test_a_rescue_that_puts_back_leaves_none(store: Store, clock: ManualClock) -> None:
    lease = await start(store, webhook_url=URL)
    clock.advance(LEASE_SECONDS)
    await store.rescue()
    assert await of(store, lease.message_id) == []


async def test_a_finish_that_is_repeated_leaves_no_second_one(store: Store) -> None:
    lease = await start(store, webhook_url=URL)
    await asyncio.gather(*(store.finish(lease, DONE) for _ in range(5)))
    assert len(await of(store, lease.message_id)) == 1


async def test_an_answered_message_leaves_one_at_its_end(store: Store) -> None:
    lease = await start(store, webhook_url=URL)
    await store.finish(lease, INTERRUPTED)
    await resume(store, await store.get(TENANT, lease.message_id))
    await store.finish(await claim_one(store), DONE)
    assert len(await of(store, lease.message_id)) == 1


async def test_every_end_of_a_requeued_message_is_news(store: Store, clock: ManualClock) -> None:
    message = await dead_letter(store, webhook_url=URL)
    clock.advance(5)
    await requeue(store, message.id)
    await store.finish(await claim_one(store), DONE)
    first, second = await of(store, message.id)
    assert (first.created_at, second.created_at) == (to_datetime(START), to_datetime(START + 5_000))
    assert first.id == f"{message.id}.{message.number}"
    assert second.id == f"{message.id}.{(await store.get(TENANT, message.id)).number}"
    assert (first.event, second.event) == (WebhookEvent.FAILED, WebhookEvent.COMPLETED)
    assert '"failed"' in first.data
    assert '"completed"' in second.data
    assert {taken.id for taken in await take(store)} == {first.id, second.id}


# Events of webhooks


@pytest.mark.parametrize("end", ENDINGS, ids=lambda end: end.__name__)
@pytest.mark.parametrize("asked", [True, False], ids=["asked for", "not asked for"])
async def test_an_end_is_told_if_it_was_asked_for(store: Store, clock: ManualClock, end: Ending, asked: bool) -> None:
    state = ENDS_AS.get(end, WebhookEvent.CANCELLED)
    events = (state,) if asked else tuple(event for event in ENDS if event is not state)
    lease = await start(store, thread="t", webhook_url=URL, webhook_events=events)
    await end(store, clock, lease)
    assert [delivery.event for delivery in await of(store, lease.message_id)] == ([state] if asked else [])


async def test_each_question_is_told_with_its_event_and_then_the_end(store: Store, clock: ManualClock) -> None:
    lease = await start(store, thread="t", webhook_url=URL, webhook_events=tuple(WebhookEvent))
    for number in range(3):
        clock.advance(7)
        await store.finish(lease, Interrupted(f'[{{"id": "question", "value": "Number {number}? é"}}]', 60.0))
        *_, delivery = await of(store, lease.message_id)
        message = await store.get(TENANT, lease.message_id)
        event = (await log(store, message.id))[-1]
        assert delivery == Delivery(
            id=f"{message.id}.{message.number}.{event.id}",
            tenant=TENANT,
            message_id=message.id,
            thread_id="t",
            url=URL,
            event=WebhookEvent.INTERRUPTED,
            data=event.data,
            state=DeliveryState.PENDING,
            tries=0,
            created_at=to_datetime(clock.now()),
            next_at=to_datetime(clock.now()),
            attempts=(),
        )
        assert json.loads(delivery.data)["interrupts"] == [{"id": "question", "value": f"Number {number}? é"}]
        await resume(store, message)
        lease = await claim_one(store)
    clock.advance(7)
    await store.finish(lease, DONE)
    told = await of(store, lease.message_id)
    assert [delivery.event.value for delivery in told] == ["interrupted"] * 3 + ["completed"]
    assert told[-1].id == f"{message.id}.{message.number}"
    assert {taken.id for taken in await take(store)} == {delivery.id for delivery in told}


async def test_questions_alone_can_be_told(store: Store) -> None:
    lease = await start(store, webhook_url=URL, webhook_events=(WebhookEvent.INTERRUPTED,))
    await store.finish(lease, INTERRUPTED)
    await resume(store, await store.get(TENANT, lease.message_id))
    await store.finish(await claim_one(store), FAILED)
    assert [delivery.event for delivery in await of(store, lease.message_id)] == [WebhookEvent.INTERRUPTED]
    (requeued,) = await requeue(store, lease.message_id)
    assert requeued.webhook_events == (WebhookEvent.INTERRUPTED,)
    await store.finish(await claim_one(store), INTERRUPTED)
    first, second = await of(store, lease.message_id)
    assert first.id != second.id


async def test_a_question_that_is_repeated_leaves_no_second_one(store: Store) -> None:
    lease = await start(store, webhook_url=URL, webhook_events=(WebhookEvent.INTERRUPTED,))
    await asyncio.gather(*(store.finish(lease, INTERRUPTED) for _ in range(5)), return_exceptions=True)
    assert len(await of(store, lease.message_id)) == 1


async def test_a_question_of_a_cancelled_message_is_not_told(store: Store) -> None:
    lease = await start(store, webhook_url=URL, webhook_events=tuple(WebhookEvent))
    await cancel_running(store, lease.message_id)
    await store.finish(lease, INTERRUPTED)
    assert [delivery.event for delivery in await of(store, lease.message_id)] == [WebhookEvent.CANCELLED]


async def test_many_messages_that_ask_and_end_together_are_told_each(store: Store) -> None:
    events = tuple(WebhookEvent)
    leases = [await start(store, webhook_url=URL, webhook_events=events if n % 3 else None) for n in range(12)]
    outcomes = [INTERRUPTED if n % 2 else DONE for n in range(12)]
    await asyncio.gather(*(store.finish(*each) for each in zip(leases, outcomes, strict=True)))
    for n, lease in enumerate(leases):
        told = [delivery.event.value for delivery in await of(store, lease.message_id)]
        assert told == ([] if n % 2 and not n % 3 else ["interrupted"] if n % 2 else ["completed"])


async def test_what_a_webhook_is_told_of_is_stored_with_the_message(store: Store) -> None:
    for events in (None, (WebhookEvent.FAILED,), (WebhookEvent.INTERRUPTED, WebhookEvent.COMPLETED)):
        added = await add(store, webhook_url=URL, webhook_events=events)
        stored = await store.get(TENANT, added.id)
        (claimed,) = await claim(store)
        assert added.webhook_events == stored.webhook_events == claimed.message.webhook_events == events


async def test_an_unknown_delivery_is_not_found(store: Store) -> None:
    delivery = await ended(store)
    for unknown in (delivery.message_id, "", "no id", delivery.id + "0"):
        with pytest.raises(DeliveryNotFound):
            await store.replay_delivery(TENANT, unknown)


# Whose they are, and how long


async def test_deliveries_are_told_to_their_own_tenant_only(store: Store, clock: ManualClock) -> None:
    delivery = await ended(store)
    await store.settle_delivery(await take_one(store), tried(clock), next_in=None)
    before = await of(store, delivery.message_id)
    assert await of(store, delivery.message_id, OTHER_TENANT) == []
    with pytest.raises(DeliveryNotFound):
        await store.replay_delivery(OTHER_TENANT, delivery.id)
    assert await of(store, delivery.message_id) == before
    assert await take(store) == []


async def test_a_message_that_does_not_exist_has_no_deliveries(store: Store) -> None:
    assert await of(store, "no id") == []


async def test_deliveries_are_deleted_with_their_message(store: Store, clock: ManualClock) -> None:
    delivery = await ended(store)
    taken = await take_one(store)
    clock.advance(60)
    kept = await ended(store)
    assert (await store.prune_messages(older_than_seconds=30, limit=10))[0] == 1
    assert await of(store, delivery.message_id) == []
    assert [each.id for each in await take(store)] == [kept.id]
    assert not await store.settle_delivery(taken, tried(clock), next_in=None)
    with pytest.raises(DeliveryNotFound):
        await store.replay_delivery(TENANT, delivery.id)


async def test_pruning_a_log_keeps_the_deliveries(store: Store, clock: ManualClock) -> None:
    delivery = await ended(store)
    clock.advance(60)
    await store.prune_logs(older_than_seconds=30, limit=10)
    assert await of(store, delivery.message_id) == [delivery]


async def test_the_sender_gets_the_options_and_the_alias_of_the_newest_answer(store: Store) -> None:
    form = MessageOptions(webhook_form=WebhookForm.RESPONSE)
    asking = await interrupt(store, options=form, aliases=("given",))
    assert (await store.sender_details(asking.id)).form is WebhookForm.RESPONSE
    assert (await store.sender_details(asking.id)).alias is None
    for alias in ("zebra", "ant"):
        await store.resume(TENANT, asking.id, asking.fence, ANSWER, alias=alias)
        assert (await store.sender_details(asking.id)).alias == alias
        await store.finish(await claim_one(store), INTERRUPTED)
        asking = await store.get(TENANT, asking.id)
    other = await add(store)
    assert (await store.sender_details(other.id)).form is WebhookForm.MESSAGE
