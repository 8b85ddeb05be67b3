"""Usage of model calls: by message and model, and by hour, tenant, key, subject, agent and model."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import LeaseLost
from app.models.attempts import Lease
from app.models.events import EventType, NewEvent
from app.models.messages import NewMessage
from app.models.usage import (
    GroupUsage,
    MeteredCall,
    ModelUsage,
    Tokens,
    UsageFilter,
    UsageGroup,
    UsageKey,
    usage_by_model,
)
from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.builders import (
    AGENT,
    ALL,
    DONE,
    FAILED,
    LEASE_SECONDS,
    OTHER_TENANT,
    RETRIED,
    TENANT,
    chunk,
    claim_one,
    event_types,
    log,
    new,
    requeue,
    start,
)

HOUR = 3600.0
LONG_AGO, LATER = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
CALL = Tokens(1, 10, 5, 4, 3, 7_000, 0)
UNPRICED = Tokens(1, 2, 1, unpriced_calls=1)


async def use(store: Store, lease: Lease, *usage: ModelUsage) -> int:
    """Append what calls used, as the writer of a log does."""
    calls = [MeteredCall({"input_tokens": each.tokens.input_tokens}, each) for each in usage]
    return await store.append(lease, [NewEvent.usage(calls)], usage_by_model(usage))


def called(model: str = "m", tokens: Tokens = CALL) -> ModelUsage:
    return ModelUsage(model, tokens)


def twice(tokens: Tokens) -> Tokens:
    return tokens.plus(tokens)


async def usage(
    store: Store, *groups: UsageGroup, after: UsageKey | None = None, limit: int = ALL, **chosen: Any
) -> list[GroupUsage]:
    wanted = UsageFilter(**{"begin": LONG_AGO, "end": LATER, **chosen})
    return await store.list_usage(wanted, frozenset(groups), after=after, limit=limit)


async def total(store: Store, **chosen: Any) -> Tokens:
    """The sums over all of the usage that is chosen."""
    (found,) = await usage(store, **chosen) or [GroupUsage(UsageKey(), Tokens())]
    return found.tokens


# By message


async def test_usage_adds_up_over_calls_by_model(store: Store) -> None:
    lease = await start(store)
    assert await store.message_usage(TENANT, lease.message_id) == []
    await use(store, lease, called("b"))
    await use(store, lease, called("a", UNPRICED), called("b"))
    await store.append(lease, [chunk(0)])
    expected = [called("a", UNPRICED), called("b", twice(CALL))]
    assert await store.message_usage(TENANT, lease.message_id) == expected
    assert await store.message_usage(OTHER_TENANT, lease.message_id) == []
    assert await store.message_usage(TENANT, "nobody") == []
    assert await total(store) == UNPRICED.plus(twice(CALL))


async def test_usage_of_many_messages_is_read_together(store: Store) -> None:
    first, second, unused = await start(store), await start(store), await start(store)
    await use(store, first, called("b"), called("a", UNPRICED))
    await use(store, second, called("a"))
    other = await start(store, tenant=OTHER_TENANT)
    await use(store, other, called("a"))
    ids = [each.message_id for each in (first, unused, other, second)]
    assert await store.usage_of_messages(TENANT, [*ids, "nobody"]) == {
        first.message_id: [called("a", UNPRICED), called("b")],
        second.message_id: [called("a")],
    }
    many = [first.message_id, *map(str, range(1_000)), second.message_id]
    assert set(await store.usage_of_messages(TENANT, many)) == {first.message_id, second.message_id}
    assert await store.usage_of_messages(TENANT, []) == {}


async def test_attempts_that_fail_count_and_so_do_runs_before_a_requeue(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    await use(store, lease, called())
    await store.finish(lease, RETRIED)
    clock.advance(RETRIED.delay)
    await store.promote()
    second = await claim_one(store)
    await use(store, second, called())
    await store.finish(second, FAILED)
    await requeue(store, lease.message_id)
    assert await store.message_usage(TENANT, lease.message_id) == [called(tokens=twice(CALL))]
    third = await claim_one(store)
    await use(store, third, called())
    await store.finish(third, DONE)
    assert await store.message_usage(TENANT, lease.message_id) == [called(tokens=CALL.plus(twice(CALL)))]
    assert await total(store) == CALL.plus(twice(CALL))


async def test_a_worker_without_its_lease_adds_nothing(store: Store, clock: ManualClock) -> None:
    stale = await start(store)
    await use(store, stale, called())
    clock.advance(LEASE_SECONDS)
    await store.rescue()
    for _ in range(2):
        with pytest.raises(LeaseLost):
            await use(store, stale, called())
    fresh = await claim_one(store)
    with pytest.raises(LeaseLost):
        await use(store, stale, called())
    await use(store, fresh, called())
    await store.finish(fresh, DONE)
    with pytest.raises(LeaseLost):
        await use(store, fresh, called())
    assert await store.message_usage(TENANT, stale.message_id) == [called(tokens=twice(CALL))]
    assert await total(store) == twice(CALL)
    assert (await event_types(store, stale.message_id)).count("usage") == 2


@pytest.mark.parametrize("how", ["purge", "prune"])
async def test_deleting_a_message_deletes_its_usage_but_not_that_of_the_hour(
    store: Store, clock: ManualClock, how: str
) -> None:
    lease = await start(store)
    await use(store, lease, called())
    await store.finish(lease, FAILED)
    if how == "purge":
        await store.purge(TENANT, [lease.message_id])
    else:
        clock.advance(1)
        assert await store.prune_messages(older_than_seconds=0, limit=ALL) == (
            1,
            [f"{TENANT}/message/{lease.message_id}"],
        )
    assert await store.message_usage(TENANT, lease.message_id) == []
    assert await total(store) == CALL
    await store.add([new()._replace(id=lease.message_id)], max_queued=ALL)
    assert await store.message_usage(TENANT, lease.message_id) == []


async def test_deleting_a_thread_deletes_the_usage_of_its_messages(store: Store) -> None:
    lease = await start(store, thread="t")
    await use(store, lease, called())
    await store.finish(lease, DONE)
    await store.delete_thread(TENANT, "t")
    await store.add([new()._replace(id=lease.message_id)], max_queued=ALL)
    assert await store.message_usage(TENANT, lease.message_id) == []
    assert await total(store) == CALL


# By hour


async def test_processes_add_up(store: Store, other_store: Store) -> None:
    await store.add([new() for _ in range(8)], max_queued=ALL)
    leases = [await claim_one(each) for each in (store, other_store) * 4]
    await asyncio.gather(
        *(use(each, lease, called()) for each, lease in zip((store, other_store) * 4, leases, strict=True))
    )
    assert await total(store) == await total(other_store) == Tokens(*(8 * count for count in CALL))
    await store.prune_workers(silent_for_seconds=1)
    assert await total(store) == Tokens(*(8 * count for count in CALL))


async def test_usage_is_found_by_all_its_properties(store: Store) -> None:
    messages: Sequence[NewMessage] = [
        new(tenant=TENANT, key_id="k1", subject="ann", agent="a"),
        new(tenant=TENANT, key_id="k1", agent="b"),
        new(tenant=OTHER_TENANT, subject="ann", agent="a"),
    ]
    for message in messages:
        await store.add([message], max_queued=ALL)
        lease = await claim_one(store, agents=[message.agent])
        assert (await store.get(message.tenant, message.id)).key_id == message.key_id
        await use(store, lease, called("m"), called("n", UNPRICED))
    both = CALL.plus(UNPRICED)

    async def by(*groups: UsageGroup, **chosen: Any) -> dict[tuple[str, ...], Tokens]:
        return {key[1:]: tokens for key, tokens in await usage(store, *groups, **chosen)}

    group = UsageGroup
    assert await by(group.TENANT) == {(TENANT, "", "", "", ""): twice(both), (OTHER_TENANT, "", "", "", ""): both}
    assert await by(group.KEY) == {("", "", "", "", ""): both, ("", "k1", "", "", ""): twice(both)}
    assert await by(group.SUBJECT, tenant=TENANT) == {("", "", "", "", ""): both, ("", "", "ann", "", ""): both}
    assert await by(group.AGENT, group.MODEL, key="k1", model="n") == {
        ("", "", "", "a", "n"): UNPRICED,
        ("", "", "", "b", "n"): UNPRICED,
    }
    assert await by(subject="ann", agent="a") == {("", "", "", "", ""): twice(both)}
    assert await by(tenant="nobody") == await by(model="o") == {}


async def test_usage_is_kept_by_hour_and_groups_follow_each_other(store: Store, clock: ManualClock) -> None:
    begin = store.now()
    lease = await start(store)
    for _ in range(3):
        await use(store, lease, called("m"), called("n"))
        clock.advance(13 * HOUR)
    hours = await usage(store, UsageGroup.HOUR, UsageGroup.MODEL)
    first = int(begin.timestamp() // HOUR)
    assert [(key.hour, key.model) for key, _ in hours] == [
        (hour, model) for hour in (first, first + 13, first + 26) for model in ("m", "n")
    ]
    days = Counter(hour // 24 * 24 for hour in (first, first + 13, first + 26))
    assert [(key.hour, tokens.calls) for key, tokens in await usage(store, UsageGroup.DAY)] == [
        (day, 2 * count) for day, count in sorted(days.items())
    ]
    paged: list[GroupUsage] = []
    while page := await usage(
        store, UsageGroup.HOUR, UsageGroup.MODEL, after=paged[-1].key if paged else None, limit=4
    ):
        paged += page
    assert paged == hours
    full = begin.replace(minute=0, second=0, microsecond=0)
    chosen = {"begin": full + timedelta(hours=13), "end": full + timedelta(hours=26)}
    assert (await total(store, **chosen)).calls == 2
    assert (await total(store, begin=full, end=full + timedelta(hours=27), tenant=TENANT)).calls == 6


async def test_old_usage_is_deleted_in_parts(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    for _ in range(3):
        await use(store, lease, called())
        clock.advance(HOUR)
    assert await store.prune_usage(older_than_seconds=4 * HOUR, limit=ALL) == 0
    assert await store.prune_usage(older_than_seconds=HOUR, limit=1) == 1
    assert (await total(store)).calls == 2
    assert await store.prune_usage(older_than_seconds=HOUR, limit=ALL) == 1
    assert await store.prune_usage(older_than_seconds=HOUR, limit=ALL) == 0
    assert (await total(store)).calls == (await total(store, tenant=TENANT)).calls == 1
    assert (await store.message_usage(TENANT, lease.message_id))[0].tokens.calls == 3


async def test_rows_of_past_hours_are_added_up(store: Store, other_store: Store, clock: ManualClock) -> None:
    await store.add([new(), new()], max_queued=ALL)
    for each in (store, other_store):
        lease = await claim_one(each)
        await use(each, lease, called())
    clock.advance(3 * HOUR)
    await store.prune_workers(silent_for_seconds=1)
    await use(store, await start(store), called())
    await store.prune_workers(silent_for_seconds=1)
    assert [tokens for _, tokens in await usage(store, UsageGroup.HOUR)] == [twice(CALL), CALL]


async def test_names_are_kept_as_they_are(store: Store) -> None:
    odd = 'é"\\/ 👍🏽:\n'
    lease = await start(store, subject=odd, agent=odd, tenant=odd, key_id=odd)
    await use(store, lease, called(odd))
    groups = [group for group in UsageGroup if group not in (UsageGroup.HOUR, UsageGroup.DAY)]
    assert [key for key, _ in await usage(store, *groups)] == [UsageKey(0, *[odd] * 5)]
    assert await store.message_usage(odd, lease.message_id) == [called(odd)]


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from("mno"), st.integers(0, 10**9), st.integers(0, 10**15), st.booleans()),
        min_size=1,
        max_size=6,
    )
)
async def test_the_events_of_the_logs_add_up_to_what_is_kept(
    store: Store, calls: list[tuple[str, int, int, bool]]
) -> None:
    before = await total(store)
    lease = await start(store, agent=AGENT)
    for model, tokens, cost, is_priced in calls:
        await use(store, lease, called(model, Tokens(1, tokens, 0, 0, 0, cost if is_priced else 0, int(not is_priced))))
    events = [
        json.loads(event.data)["models"]
        for event in await log(store, lease.message_id)
        if event.type is EventType.USAGE
    ]
    by_model: Counter[str] = Counter()
    for models in events:
        by_model.update({model: counts["input_tokens"] for model, counts in models.items()})
    kept = await store.message_usage(TENANT, lease.message_id)
    assert {model: tokens.input_tokens for model, tokens in kept} == dict(by_model)
    after = await total(store)
    assert after.input_tokens - before.input_tokens == sum(by_model.values())
    assert after.cost_nanos - before.cost_nanos == sum(cost for _, _, cost, is_priced in calls if is_priced)
    assert after.calls - before.calls == len(calls)
    await store.finish(lease, DONE)
