"""All deliveries of a tenant, the newest first, by state, event and message, page by page."""

from typing import Any

import pytest

from app.clock import to_datetime
from app.models.deliveries import DeliveryAttempt, DeliveryFilter, DeliveryRecord, DeliveryState, WebhookEvent
from app.models.messages import Page
from app.store.ports import Store
from tests.clock import START, ManualClock
from tests.contract.builders import (
    ALL,
    CANCELLED,
    DONE,
    FAILED,
    INTERRUPTED,
    OTHER_TENANT,
    TENANT,
    requeue,
    start,
)

URL = "https://example.com/hook"
OUTCOMES = (DONE, FAILED, CANCELLED, INTERRUPTED)
EVERYTHING = DeliveryFilter()


async def told(store: Store, outcome: Any = DONE, **fields: Any) -> str:
    """Return the id of a message whose webhook is told of this outcome."""
    lease = await start(store, **{"webhook_url": URL, "webhook_events": tuple(WebhookEvent), **fields})
    await store.finish(lease, outcome)
    return lease.message_id


async def found(store: Store, chosen: DeliveryFilter = EVERYTHING, tenant: str = TENANT) -> list[DeliveryRecord]:
    return await store.find_deliveries(tenant, chosen, Page(ALL))


async def paged(store: Store, chosen: DeliveryFilter, limit: int) -> list[DeliveryRecord]:
    """Return what all pages of this length have."""
    records: list[DeliveryRecord] = []
    cursor = None
    while page := await store.find_deliveries(TENANT, chosen, Page(limit, cursor)):
        assert len(page) <= limit
        records += page
        cursor = (round(page[-1].created_at.timestamp() * 1000), page[-1].id)
    return records


async def settle_some(store: Store, clock: ManualClock) -> None:
    """Deliver some of what is pending, give up some, and leave the rest."""
    for number, taken in enumerate(await store.claim_deliveries(ALL, lease_seconds=30)):
        error = "status 500" if number % 3 == 1 else None
        attempt = DeliveryAttempt(at=to_datetime(clock.now()), status=500 if error else 204, error=error)
        if number % 3 < 2:
            assert await store.settle_delivery(taken, attempt, next_in=None)


async def mixed(store: Store, clock: ManualClock) -> list[DeliveryRecord]:
    """Make deliveries of every event in every state, several of each moment; return them newest first."""
    ids = []
    for number in range(24):
        ids.append(await told(store, OUTCOMES[number % 4], thread=f"t{number}"))
        clock.advance(number % 3)
    await settle_some(store, clock)
    deliveries = [delivery for message_id in ids for delivery in await store.list_deliveries(TENANT, message_id)]
    records = [DeliveryRecord(**delivery.model_dump(exclude={"data"})) for delivery in deliveries]
    return sorted(records, key=lambda each: (each.created_at, each.id), reverse=True)


FILTERS = [
    EVERYTHING,
    *(DeliveryFilter(states=frozenset({state})) for state in DeliveryState),
    *(DeliveryFilter(events=frozenset({event})) for event in WebhookEvent),
    DeliveryFilter(states=frozenset({DeliveryState.PENDING}), events=frozenset({WebhookEvent.INTERRUPTED})),
    DeliveryFilter(
        states=frozenset({DeliveryState.FAILED, DeliveryState.DELIVERED}),
        events=frozenset({WebhookEvent.COMPLETED, WebhookEvent.CANCELLED}),
    ),
    DeliveryFilter(states=frozenset()),
]


async def test_every_filter_finds_all_that_fits_newest_first_on_pages_of_any_length(
    store: Store, clock: ManualClock
) -> None:
    everything = await mixed(store, clock)
    assert len(everything) == 24
    assert {(each.state, each.event) for each in everything} == {(s, e) for s in DeliveryState for e in WebhookEvent}
    for chosen in FILTERS:
        wanted = [
            each
            for each in everything
            if (chosen.states is None or each.state in chosen.states)
            and (chosen.events is None or each.event in chosen.events)
        ]
        for limit in (1, 3, ALL):
            assert await paged(store, chosen, limit) == wanted


async def test_those_of_one_message_are_found_newest_first(store: Store, clock: ManualClock) -> None:
    message_id = await told(store, FAILED)
    await told(store, FAILED)
    for outcome in (INTERRUPTED, CANCELLED):
        clock.advance(1)
        if outcome is INTERRUPTED:
            await requeue(store, message_id)
            (claimed,) = await store.claim("worker 1", ["chat"], 1, lease_seconds=30)
            await store.finish(claimed.lease, outcome)
        else:
            await store.cancel(TENANT, message_id, running=True)

    async def events(limit: int = ALL, **fields: Any) -> list[str]:
        return [each.event.value for each in await paged(store, DeliveryFilter(message_id, **fields), limit)]

    assert await events() == await events(1) == ["cancelled", "interrupted", "failed"]
    assert await events(events=frozenset({WebhookEvent.INTERRUPTED, WebhookEvent.FAILED})) == ["interrupted", "failed"]
    assert await events(states=frozenset({DeliveryState.DELIVERED})) == []
    assert await found(store, DeliveryFilter("no id")) == []
    assert await found(store, DeliveryFilter(message_id), OTHER_TENANT) == []


async def test_a_delivery_is_found_by_the_state_that_it_is_in(store: Store, clock: ManualClock) -> None:
    await told(store)

    async def states() -> list[DeliveryState]:
        (record,) = await found(store)
        return [state for state in DeliveryState if await found(store, DeliveryFilter(states=frozenset({state})))] + [
            record.state
        ]

    assert await states() == [DeliveryState.PENDING] * 2
    (taken,) = await store.claim_deliveries(1, lease_seconds=30)
    tried = DeliveryAttempt(at=to_datetime(clock.now()), status=503, error="status 503")
    assert await store.settle_delivery(taken, tried, next_in=5)
    assert await states() == [DeliveryState.PENDING] * 2
    clock.advance(5)
    (taken,) = await store.claim_deliveries(1, lease_seconds=30)
    assert await store.settle_delivery(taken, tried, next_in=None)
    assert await states() == [DeliveryState.FAILED] * 2
    await store.replay_delivery(TENANT, taken.id)
    assert await states() == [DeliveryState.PENDING] * 2
    (taken,) = await store.claim_deliveries(1, lease_seconds=30)
    assert await store.settle_delivery(taken, tried.model_copy(update={"error": None}), next_in=None)
    assert await states() == [DeliveryState.DELIVERED] * 2
    (record,) = await found(store)
    assert len(record.attempts) == 3


async def test_deliveries_of_a_tenant_are_listed_to_that_tenant_only(store: Store) -> None:
    ours, theirs = await told(store), await told(store, tenant=OTHER_TENANT)
    assert [each.message_id for each in await found(store)] == [ours]
    assert [each.message_id for each in await found(store, tenant=OTHER_TENANT)] == [theirs]
    assert await found(store, tenant="nobody") == []


@pytest.mark.parametrize("settled", [False, True])
async def test_deliveries_are_listed_until_their_message_is_deleted(
    store: Store, clock: ManualClock, settled: bool
) -> None:
    await told(store)
    if settled:
        await settle_some(store, clock)
    clock.advance(60)
    kept = await told(store)
    dead = await told(store, FAILED)
    await store.prune_messages(older_than_seconds=30, limit=10)
    assert {each.message_id for each in await found(store)} == {kept, dead}
    await store.purge(TENANT, [dead])
    assert [each.message_id for each in await found(store)] == [kept]
    assert (await found(store))[0].created_at == to_datetime(START + 60_000)


async def test_a_cursor_of_nothing_leads_to_what_is_older(store: Store, clock: ManualClock) -> None:
    first = await told(store)
    clock.advance(10)
    await told(store)
    for cursor in ((START + 5_000, ""), (START, "~"), (START + 10_000, "")):
        (record,) = await store.find_deliveries(TENANT, EVERYTHING, Page(ALL, cursor))
        assert record.message_id == first
    assert await store.find_deliveries(TENANT, EVERYTHING, Page(ALL, (START, ""))) == []
