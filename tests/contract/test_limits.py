"""Limits and quotas that new messages count against."""

import asyncio
from collections.abc import Sequence

import pytest

from app.errors import AgentQueueError, InvalidRequest, QueueFull, ThreadBusy
from app.errors.limits import LimitExceeded, QuotaExceeded, RateLimitExceeded, TenantQueueFull
from app.models.limits import Limit, Limited, Limits, Period
from app.models.messages import Accepted, IfBusy, MessageState, RequestKey
from app.store.ports import Store
from tests.clock import START, ManualClock
from tests.contract.builders import TENANT, add, claim_one, drain, new

RATE = Limit("tenant:a", "tenant", Limited.TENANT, 3, 60)
QUOTA = Limit("key:a:2026-11-30", "key-messages-day", Limited.KEY, 3, 86_400, Period.DAY, START + 3_600_000)
EITHER = pytest.mark.parametrize("limit", [RATE, QUOTA], ids=["rate", "quota"])


async def submit(store: Store, *limits: Limit, count: int = 1, max_queued: int = 1000) -> Sequence[int]:
    """Add messages. Return how many may follow at once, by each limit."""
    given = Limits(*(limit._replace(amount=count) for limit in limits))
    accepted = await store.add([new() for _ in range(count)], max_queued=max_queued, limits=given)
    assert accepted.counted is not None
    assert accepted.counted.limits is given
    return rests(accepted)[::2]


def rests(accepted: Accepted) -> Sequence[int]:
    """How many may follow at once by each limit, and the seconds until all of it is left."""
    assert accepted.counted is not None
    return accepted.counted.rests


async def queued(store: Store) -> int:
    return (await store.summary(TENANT, limit=1)).totals[MessageState.QUEUED]


@EITHER
async def test_exactly_as_many_pass_as_the_limit_says(store: Store, limit: Limit) -> None:
    assert [await submit(store, limit) for _ in range(3)] == [[2], [1], [0]]
    with pytest.raises(LimitExceeded) as refused:
        await submit(store, limit)
    assert (refused.value.policy, refused.value.most, refused.value.left) == (limit.policy, 3, 0)


@EITHER
async def test_a_batch_counts_each_message_and_passes_as_a_whole_or_not_at_all(store: Store, limit: Limit) -> None:
    assert await submit(store, limit, count=2) == [1]
    with pytest.raises(LimitExceeded):
        await submit(store, limit, count=2)
    assert await submit(store, limit) == [0]


@EITHER
async def test_a_batch_that_would_never_pass_is_refused_for_good(store: Store, limit: Limit) -> None:
    with pytest.raises(InvalidRequest, match="messages: expected at most 3 messages"):
        await submit(store, limit, count=4)
    assert await submit(store, limit, count=3) == [0]


async def test_messages_pass_evenly_after_a_burst(store: Store, clock: ManualClock) -> None:
    await submit(store, RATE, count=3)
    clock.advance(19.999)
    with pytest.raises(RateLimitExceeded) as refused:
        await submit(store, RATE)
    assert refused.value.retry_after == 1
    clock.advance(0.001)
    assert await submit(store, RATE) == [0]
    with pytest.raises(RateLimitExceeded) as refused:
        await submit(store, RATE)
    assert refused.value.retry_after == 20
    clock.advance(40)
    assert await submit(store, RATE) == [1]
    clock.advance(3600)
    assert await submit(store, RATE) == [2]


async def test_a_whole_limit_is_left_again_after_its_reset(store: Store, clock: ManualClock) -> None:
    accepted = await store.add([new()], max_queued=10, limits=Limits(RATE, QUOTA))
    assert rests(accepted)[1::2] == [20, 3600]
    clock.advance(20)
    assert await submit(store, RATE) == [2]


async def test_a_quota_begins_anew_with_its_period(store: Store) -> None:
    await submit(store, QUOTA, count=3)
    with pytest.raises(QuotaExceeded) as refused:
        await submit(store, QUOTA)
    assert refused.value.retry_after == 3600
    assert refused.value.resets_at.timestamp() * 1000 == QUOTA.resets_at
    assert await submit(store, QUOTA._replace(name="key:a:2026-12-01")) == [2]


async def test_what_one_limit_refuses_counts_against_none(store: Store) -> None:
    other = RATE._replace(name="key:b", most=5)
    await submit(store, RATE, other, count=3)
    for limits in ((RATE, other), (other, RATE)):
        with pytest.raises(RateLimitExceeded):
            await submit(store, *limits)
    assert await submit(store, other) == [1]
    assert await queued(store) == 4


@EITHER
async def test_limits_with_different_names_do_not_touch_each_other(store: Store, limit: Limit) -> None:
    await submit(store, limit, count=3)
    assert await submit(store, limit._replace(name="tenant:b")) == [2]


@EITHER
async def test_a_refused_submit_does_not_count(store: Store, limit: Limit) -> None:
    await add(store, thread="t")
    busy = new(thread="t", if_busy=IfBusy.REJECT)
    limits = Limits(limit)
    with pytest.raises(ThreadBusy):
        await store.add([busy], max_queued=1000, limits=limits)
    with pytest.raises(ThreadBusy):
        await store.add([new(), busy], max_queued=1000, limits=Limits(limit._replace(amount=2)))
    with pytest.raises(QueueFull):
        await store.add([new()], max_queued=1, limits=limits)
    with pytest.raises(TenantQueueFull):
        await store.add([new()], max_queued=10, max_queued_of_tenant=1, limits=limits)
    assert await submit(store, limit) == [2]


@EITHER
async def test_submits_that_fail_beside_others_do_not_count(store: Store, limit: Limit) -> None:
    await add(store, thread="t", subject="ada")
    taken = await add(store)
    foreign, double = new(thread="t", subject="bob"), new()._replace(id=taken.id)
    given = [
        each
        for _ in range(3)
        for each in ([new()], [foreign], [new()], [new(), foreign], [double], [new(), double], [new()])
    ]
    wide = limit._replace(most=20)
    adds = [
        store.add(
            messages, max_queued=1000, limits=Limits(wide._replace(amount=len(messages))), max_queued_of_tenant=1000
        )
        for messages in given
    ]
    results = await asyncio.gather(*adds, return_exceptions=True)
    assert [isinstance(each, AgentQueueError) for each in results] == [False, True, False, True, True, True, False] * 3
    assert await submit(store, wide) == [20 - 9 - 1]
    assert await queued(store) == 2 + 9 + 1


@EITHER
async def test_submits_of_one_moment_count_one_after_the_other(store: Store, limit: Limit) -> None:
    same = Limits(limit)
    adds = [store.add([new()], max_queued=1000, limits=limits) for limits in (same, same, Limits(limit), same, same)]
    results = await asyncio.gather(*adds, return_exceptions=True)
    left = sorted(rests(each)[0] for each in results if isinstance(each, Accepted))
    refused = [each for each in results if isinstance(each, LimitExceeded)]
    assert (left, len(refused)) == ([0, 1, 2], 2)


@EITHER
async def test_a_replay_does_not_count_and_passes_a_limit_that_is_reached(store: Store, limit: Limit) -> None:
    key = RequestKey(TENANT, "key", "fingerprint")
    message = new()
    first = await store.add([message], max_queued=10, key=key, limits=Limits(limit))
    await submit(store, limit, count=2)
    again = await store.add([message], max_queued=10, key=key, limits=Limits(limit))
    assert (again.replayed, again.messages[0].id, again.counted) == (True, first.messages[0].id, None)


@EITHER
async def test_a_key_of_a_refused_submit_is_free(store: Store, limit: Limit) -> None:
    key = RequestKey(TENANT, "key", "fingerprint")
    await submit(store, limit, count=3)
    with pytest.raises(LimitExceeded):
        await store.add([new()], max_queued=10, key=key, limits=Limits(limit))
    accepted = await store.add([new()], max_queued=10, key=key)
    assert not accepted.replayed


@EITHER
async def test_a_refused_submit_cancels_nothing(store: Store, limit: Limit) -> None:
    for _ in range(250):  # so many are cancelled in parts
        await add(store, thread="t")
    await submit(store, limit, count=3)
    with pytest.raises(LimitExceeded):
        await store.add([new(thread="t", if_busy=IfBusy.INTERRUPT)], max_queued=1000, limits=Limits(limit))
    assert await queued(store) == 253


@EITHER
async def test_processes_pass_exactly_the_limit_together(store: Store, other_store: Store, limit: Limit) -> None:
    most = limit._replace(most=37)
    other = limit._replace(name="other", most=1000)

    async def one(each: Store) -> bool:
        try:
            await each.add([new()], max_queued=1000, limits=Limits(most, other))
        except LimitExceeded:
            return False
        return True

    passed = await asyncio.gather(*(one(each) for each in [store, other_store] * 40))
    assert sum(passed) == 37
    assert await queued(store) == 37
    assert await submit(store, other) == [1000 - 38]


async def test_processes_that_name_limits_in_other_orders_do_not_wait_for_each_other(
    store: Store, other_store: Store
) -> None:
    first, second = RATE._replace(name="a", most=1000), RATE._replace(name="b", most=1000)
    adds = [
        each.add([new()], max_queued=1000, limits=limits)
        for _ in range(20)
        for each, limits in ((store, Limits(first, second)), (other_store, Limits(second, first)))
    ]
    results = await asyncio.gather(*adds, return_exceptions=True)
    assert not any(isinstance(each, AgentQueueError) for each in results)
    assert await submit(store, first, second) == [1000 - 41] * 2


async def test_a_lower_limit_counts_at_once(store: Store) -> None:
    wide = RATE._replace(most=60)
    await submit(store, wide, count=30)
    with pytest.raises(RateLimitExceeded):
        await submit(store, RATE, count=2)
    assert await submit(store, RATE) == [0]


async def test_rows_are_read_by_name_and_deleted_when_they_are_out_of_use(store: Store, clock: ManualClock) -> None:
    await submit(store, RATE, QUOTA)
    names = [RATE.name, "missing", QUOTA.name]
    assert await store.limit_values(names) == {RATE.name: (START + 20_000) * 1000, QUOTA.name: 1}
    assert await store.limit_values([]) == {}
    await store.prune_limits()
    assert len(await store.limit_values(names)) == 2
    clock.advance(3599)
    await store.prune_limits()
    assert (await store.limit_values(names))[QUOTA.name] == 1
    assert await submit(store, RATE, QUOTA) == [2, 1]


async def test_claims_and_ends_do_not_change_limits(store: Store) -> None:
    await submit(store, RATE, count=2)
    await claim_one(store)
    await drain(store)
    assert await submit(store, RATE) == [0]
