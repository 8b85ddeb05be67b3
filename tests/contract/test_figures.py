"""Figures over time: each change counts once, at its time, whoever adds it up and whatever is deleted later."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from app.models.messages import IfBusy, Message
from app.models.statistics import DAY, HOUR, MINUTE, Figure, FigureQuery, Grouping, Metric
from app.models.usage import ModelUsage, Tokens
from app.policy.histograms import bucket_of
from app.store import limits
from app.store.ports import Store
from tests.clock import START, ManualClock
from tests.contract.builders import (
    ALL,
    DONE,
    FAILED,
    HIGH,
    INTERRUPTED,
    OTHER_TENANT,
    RELEASED,
    RETRIED,
    TENANT,
    add,
    chunk,
    claim_one,
    dead_letter,
    drain,
    requeue,
    resume,
    start,
)

CALL = Tokens(1, 10, 5, 4, 3, 7_000, 0)
UNPRICED = Tokens(1, 2, 1, unpriced_calls=1)
FIRST_DAY = START - START % (DAY * 1000)
EVER = (FIRST_DAY, FIRST_DAY + 100 * DAY * 1000)
FIRST_MINUTE = START - START % 60_000


async def figures(store: Store, *metrics: Metric, tenant: str | None = TENANT, **fields: Any) -> list[Figure]:
    """Figures of these metrics, of all if none is named, over all days."""
    query = FigureQuery(metrics or tuple(Metric), DAY, *EVER)
    return await store.read_figures(tenant, query._replace(**fields))


async def counts(store: Store, tenant: str | None = TENANT) -> Mapping[str, int]:
    """The counts of a tenant by metric."""
    found: dict[str, int] = {}
    for figure in await figures(store, tenant=tenant):
        if figure.metric not in ("wait", "run", "first_token"):
            found[figure.metric] = found.get(figure.metric, 0) + figure.value
    return found


async def fold(store: Store) -> int:
    """Add what is recorded to the figures."""
    return await store.fold_figures(records_seconds=3600)


@pytest.mark.parametrize("folded", [False, True])
async def test_each_change_is_counted_once(store: Store, folded: bool) -> None:
    """Counts are right while some changes are added to the figures and others are not."""
    await store.finish(await start(store), DONE)
    if folded:
        await fold(store)
    await store.finish(await start(store), FAILED)
    await store.finish(await start(store), RELEASED)
    await store.finish(await claim_one(store), RETRIED)
    await add(store)
    waiting = await add(store)
    await store.cancel(TENANT, waiting.id)
    await resume(store, await interrupt_next(store))
    if folded:
        await fold(store)
    expected = dict.fromkeys(("completed", "failed", "released", "retried", "cancelled", "interrupted", "resumed"), 1)
    expected |= {"accepted": 5, "started": 4}
    assert await counts(store) == expected
    while await fold(store):
        pass
    assert await counts(store) == expected


async def interrupt_next(store: Store) -> Message:
    """Claim the next message, whose agent then asks a human."""
    lease = await claim_one(store)
    await store.finish(lease, INTERRUPTED)
    return await store.get(TENANT, lease.message_id)


async def test_a_lost_lease_and_a_requeue_are_counted(store: Store, clock: ManualClock) -> None:
    message = await add(store)
    for _ in range(limits.MAX_CRASHES):
        await claim_one(store, lease_seconds=1)
        clock.advance(2)
        assert await store.rescue() == 1
    assert await counts(store) == {"accepted": 1, "started": 1, "lost": limits.MAX_CRASHES, "failed": 1}
    await requeue(store, message.id)
    await drain(store)
    found = await counts(store)
    assert (found["requeued"], found["started"], found["completed"]) == (1, 2, 1)


async def test_cancels_by_other_messages_and_by_deletions_are_counted(store: Store) -> None:
    await add(store, thread="t")
    await add(store, thread="t")
    await add(store, thread="t", if_busy=IfBusy.INTERRUPT)
    assert await counts(store) == {"accepted": 3, "cancelled": 2}
    await store.delete_thread(TENANT, "t")
    assert await counts(store) == {"accepted": 3, "cancelled": 3}


async def test_figures_outlive_their_messages(store: Store, clock: ManualClock) -> None:
    letter = await dead_letter(store)
    await store.finish(await start(store), DONE)
    before = await figures(store)
    await store.purge(TENANT, [letter.id])
    clock.advance(100)
    await store.prune_messages(older_than_seconds=50, limit=ALL)
    await fold(store)
    assert await figures(store) == before


async def test_times_are_kept_as_histograms(store: Store, clock: ManualClock) -> None:
    await add(store)
    await add(store, delay_seconds=30.0)
    clock.advance(4)
    lease = await claim_one(store)
    clock.advance(0.2)
    await store.append(lease, [chunk(0)])
    clock.advance(60)
    await store.append(lease, [chunk(1)])
    await store.finish(lease, DONE)
    await store.promote()
    await claim_one(store)
    found = {(metric, label): value for _, _, metric, label, value in await figures(store)}
    waits = {("wait", str(bucket_of(4_000))): 1, ("wait", str(bucket_of(34_200))): 1, ("wait", "sum"): 38_200}
    runs = {("run", str(bucket_of(60_200))): 1, ("run", "sum"): 60_200}
    first = {("first_token", str(bucket_of(200))): 1, ("first_token", "sum"): 200}
    assert {key: value for key, value in found.items() if key[0] in ("wait", "run", "first_token")} == {
        **waits,
        **runs,
        **first,
    }


async def test_a_requeued_message_has_a_first_token_anew(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    await store.append(lease, [chunk(0)])
    await store.finish(lease, FAILED)
    clock.advance(100)
    await requeue(store, lease.message_id)
    lease = await claim_one(store)
    clock.advance(1)
    await store.append(lease, [chunk(0)])
    await store.finish(lease, DONE)
    assert [each.value for each in await figures(store, Metric.FIRST_TOKEN) if each.label == "sum"] == [1_000]


async def test_figures_are_told_apart_by_period_agent_priority_and_code(store: Store, clock: ManualClock) -> None:
    await store.finish(await start(store, priority=HIGH), FAILED)
    clock.advance(60)
    await store.finish(await start(store, agent="other"), DONE)
    first, second = FIRST_MINUTE, FIRST_MINUTE + 60_000
    by_minute = await figures(store, Metric.ACCEPTED, step=MINUTE, by_start=True)
    assert by_minute == [Figure(first, "", "accepted", "", 1), Figure(second, "", "accepted", "", 1)]
    for folded in (False, True):
        if folded:
            await fold(store)
        by_agent = await figures(store, Metric.ACCEPTED, by=Grouping.AGENT)
        assert by_agent == [Figure(0, "chat", "accepted", "", 1), Figure(0, "other", "accepted", "", 1)]
        by_priority = await figures(store, Metric.ACCEPTED, by=Grouping.PRIORITY)
        assert by_priority == [Figure(0, "high", "accepted", "", 1), Figure(0, "normal", "accepted", "", 1)]
        assert await figures(store, Metric.FAILED) == [Figure(0, "", "failed", "agent_error", 1)]
        only = await figures(store, Metric.ACCEPTED, Metric.FAILED, agent="other", step=HOUR)
        assert only == [Figure(0, "", "accepted", "", 1)]
        window = await figures(store, Metric.ACCEPTED, step=MINUTE, since=first, until=second)
        assert window == [Figure(0, "", "accepted", "", 1)]


async def test_usage_is_counted_when_it_is_stored(store: Store, clock: ManualClock) -> None:
    """Attempts that fail count, runs before a requeue count once, and readers of changes see nothing of it."""
    first = await start(store, priority=HIGH)
    await store.append(first, [chunk(0)], [ModelUsage("a", CALL), ModelUsage("b", UNPRICED)])
    await store.finish(first, FAILED)
    clock.advance(60)
    await requeue(store, first.message_id)
    second = await claim_one(store)
    await store.append(second, [chunk(0)], [ModelUsage("a", CALL)])
    await store.finish(second, DONE)
    other = await start(store, agent="other", tenant=OTHER_TENANT)
    await store.append(other, [chunk(0)], [ModelUsage("a", CALL)])
    in_first, in_second = CALL.plus(UNPRICED), CALL
    for folded in (False, True):
        if folded:
            await fold(store)
        assert await used(store) == {(0, ""): in_first.plus(in_second)}
        by_minute = await used(store, step=MINUTE, by_start=True)
        assert by_minute == {(FIRST_MINUTE, ""): in_first, (FIRST_MINUTE + 60_000, ""): in_second}
        assert await used(store, tenant=None, by=Grouping.AGENT) == {
            (0, "chat"): in_first.plus(in_second),
            (0, "other"): CALL,
        }
        assert await used(store, by=Grouping.PRIORITY) == {(0, "high"): in_first.plus(in_second)}
        assert await used(store, agent="other") == {}
    seen = await store.read_transitions(None, after=None, limit=ALL)
    assert {change.type.value for change in seen.transitions if change.message_id is None} <= {"worker.started"}


async def used(store: Store, **fields: Any) -> Mapping[tuple[int, str], Tokens]:
    """Usage by period and group."""
    found: dict[tuple[int, str], dict[str, int]] = {}
    for period, group, _, label, value in await figures(store, Metric.USAGE, **fields):
        assert label not in found.setdefault((period, group), {})
        found[period, group][label] = value
    return {key: Tokens(**counts) for key, counts in found.items()}


async def test_a_tenant_has_figures_of_its_own(store: Store) -> None:
    await add(store)
    await add(store, tenant=OTHER_TENANT)
    for folded in (False, True):
        if folded:
            await fold(store)
        assert await counts(store) == {"accepted": 1}
        assert await counts(store, "nobody") == {}
        assert await counts(store, None) == {"accepted": 2}
        by_tenant = await figures(store, Metric.ACCEPTED, tenant=None, by=Grouping.TENANT)
        assert by_tenant == [Figure(0, name, "accepted", "", 1) for name in sorted((TENANT, OTHER_TENANT))]


async def test_processes_that_fold_at_once_count_nothing_twice(store: Store, other_store: Store) -> None:
    for _ in range(20):
        await add(store)
    await asyncio.gather(*(fold(each) for each in (store, other_store) * 3))
    assert await counts(store) == {"accepted": 20}
    await add(other_store)
    await asyncio.gather(fold(store), fold(other_store))
    assert await counts(other_store) == {"accepted": 21}


async def test_old_figures_are_deleted_those_of_minutes_first(store: Store, clock: ManualClock) -> None:
    await add(store)
    await fold(store)
    clock.advance(limits.MINUTES_KEPT_SECONDS + 60)
    await add(store)
    await fold(store)
    await store.prune_figures(older_than_seconds=90 * DAY)
    assert len(await figures(store, Metric.ACCEPTED, step=MINUTE, by_start=True)) == 1
    assert len(await figures(store, Metric.ACCEPTED, step=HOUR, by_start=True)) == 2
    await store.prune_figures(older_than_seconds=DAY)
    assert len(await figures(store, Metric.ACCEPTED, step=HOUR, by_start=True)) == 1
    assert await counts(store) == {"accepted": 1}


async def test_deleted_records_stay_counted(store: Store, clock: ManualClock) -> None:
    for _ in range(3):
        await add(store)
        clock.advance(10)
        await store.fold_figures(records_seconds=5)
    await add(store)
    assert await counts(store) == {"accepted": 4}
