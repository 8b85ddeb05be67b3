"""Old rows are forgotten after their time, and nothing else is."""

from collections.abc import Awaitable, Callable

import pytest

from app.errors import MessageNotFound, ThreadNotFound
from app.models.attempts import Lease, Released
from app.models.messages import Message, MessageState
from app.models.tenants import DEFAULT_SETTINGS, TenantSettings
from app.models.threads import NewThread
from app.store.ports import Store
from tests.clock import START, ManualClock
from tests.contract.builders import (
    ALL,
    DONE,
    OTHER_TENANT,
    TENANT,
    add,
    all_threads,
    chunk,
    claimed_ids,
    dead_letter,
    drain,
    event_types,
    interrupt,
    page,
    seen,
    start,
    thread_messages,
)

AGE = 1_000.0
MILLISECOND = 0.001


async def run(store: Store, **fields: str) -> Lease:
    """A message from accept to end, with three chunks: its log has the ids 1 to 5."""
    lease = await start(store, **fields)
    await store.append(lease, [chunk(index) for index in range(3)])
    await store.finish(lease, DONE)
    return lease


async def prune_logs(store: Store, limit: int = ALL) -> list[str]:
    _, keys = await store.prune_logs(older_than_seconds=AGE, limit=limit)
    return keys


async def prune_messages(store: Store, limit: int = ALL) -> tuple[int, list[str]]:
    return await store.prune_messages(older_than_seconds=AGE, limit=limit)


async def unfinished(store: Store) -> list[str]:
    """One message of each kind that has not ended: delayed, running, behind one that runs, interrupted, ready."""
    delayed = await start(store)
    await store.append(delayed, [chunk(0)])
    await store.finish(delayed, Released("later", delay=10 * AGE))
    running = await start(store, thread="t")
    await store.append(running, [chunk(0)])
    behind = await add(store, thread="t")
    asking = await interrupt(store)
    ready = await add(store)
    return [delayed.message_id, running.message_id, behind.id, asking.id, ready.id]


# Ages of tenants


DAY, HOUR = 86_400.0, 3_600.0
OWN_AGES = {"short": 0.1 * AGE, "long": 10 * AGE}


async def set_ages(store: Store) -> None:
    for tenant, age in OWN_AGES.items():
        settings = TenantSettings(retention_days=age / DAY, event_retention_hours=age / HOUR)
        assert await store.put_tenant(tenant, settings, revision=None)


async def logs_and_threads(store: Store, leases: dict[str, Lease]) -> dict[str, tuple[int, int]]:
    """How many events of the message of each tenant are left, and how many threads the tenant has."""
    left = {}
    for tenant, lease in leases.items():
        try:
            events = len((await store.read(tenant, lease.message_id, after=0, limit=ALL)).events)
        except MessageNotFound:
            events = 0
        left[tenant] = events, len(await all_threads(store, tenant))
    return left


@pytest.mark.parametrize("prune", [prune_logs, prune_messages])
async def test_ages_of_a_tenant_replace_those_of_the_server(
    store: Store, other_store: Store, clock: ManualClock, prune: Callable[[Store], Awaitable[object]]
) -> None:
    await set_ages(store)
    ages = {"long": OWN_AGES["long"], TENANT: AGE, OTHER_TENANT: AGE, "short": OWN_AGES["short"]}
    leases = {tenant: await run(store, tenant=tenant, thread="t") for tenant in ages}
    whole, old = (5, 1), (1, 1) if prune is prune_logs else (0, 0)
    for age in sorted(set(ages.values())):
        clock.milliseconds = START + round(age * 1000)
        await prune(other_store)
        assert await logs_and_threads(store, leases) == {
            tenant: old if ages[tenant] < age else whole for tenant in ages
        }
        clock.advance(MILLISECOND)
        await prune(other_store)
        assert await logs_and_threads(store, leases) == {
            tenant: old if ages[tenant] <= age else whole for tenant in ages
        }


async def test_messages_are_deleted_with_and_without_their_logs(store: Store, clock: ManualClock) -> None:
    await run(store)
    clock.advance(AGE + 1)
    await prune_logs(store)
    young_log = await run(store)
    clock.advance(AGE + 1)
    assert await prune_messages(store) == (2, [Message.memory_key_of(TENANT, None, young_log.message_id)])
    assert await prune_messages(store) == (0, [])


async def test_threads_without_messages_go_by_the_age_of_their_tenant(store: Store, clock: ManualClock) -> None:
    await set_ages(store)
    for tenant in ("short", TENANT, "long"):
        await store.create_thread(tenant, "empty", NewThread(None))
    clock.advance(AGE + 1)
    keys = [Message.memory_key_of(tenant, "empty", "") for tenant in (TENANT, "short")]
    deleted, named = await prune_messages(store)
    assert (deleted, sorted(named)) == (0, sorted(keys))
    assert len(await all_threads(store, "long")) == 1


async def test_limits_count_over_all_tenants(store: Store, clock: ManualClock) -> None:
    await set_ages(store)
    for tenant in ("short", TENANT, OTHER_TENANT):
        for _ in range(2):
            await run(store, tenant=tenant, thread="t")
    clock.advance(AGE + 1)
    for prune in (store.prune_logs, store.prune_messages):
        counts = [(await prune(older_than_seconds=AGE, limit=4))[0] for _ in range(3)]
        assert counts == [4, 2, 0]


async def test_changed_ages_count_for_messages_that_ended_before(store: Store, clock: ManualClock) -> None:
    lease = await run(store, tenant="short")
    clock.advance(0.5 * AGE)
    assert await prune_messages(store) == (0, [])
    await set_ages(store)
    record = await store.get_tenant("short")
    assert record is not None
    await store.put_tenant("short", DEFAULT_SETTINGS, revision=record.revision)
    assert await prune_messages(store) == (0, [])
    await store.delete_tenant("short")
    assert await prune_messages(store) == (0, [])
    await store.put_tenant("short", record.settings, revision=None)
    assert await prune_messages(store) == (1, [Message.memory_key_of("short", None, lease.message_id)])


# Logs


async def test_only_the_terminal_event_of_an_old_log_stays(store: Store, clock: ManualClock) -> None:
    lease = await run(store)
    whole = await page(store, lease.message_id)
    clock.advance(AGE + 1)
    await prune_logs(store)
    pruned = await page(store, lease.message_id)
    assert list(pruned.events) == list(whole.events[-1:])
    assert (pruned.first, pruned.last, pruned.state) == (5, 5, MessageState.COMPLETED)


async def test_pruning_logs_tells_of_how_many_messages(store: Store, clock: ManualClock) -> None:
    """Logs in threads, whose memory is still needed, count too: the caller goes on while there are more."""
    for _ in range(3):
        await run(store, thread="t")
    clock.advance(AGE + 1)
    assert await store.prune_logs(older_than_seconds=AGE, limit=2) == (2, [])
    assert await store.prune_logs(older_than_seconds=AGE, limit=2) == (1, [])
    assert await store.prune_logs(older_than_seconds=AGE, limit=2) == (0, [])


async def test_the_log_of_a_cancelled_message_keeps_its_event(store: Store, clock: ManualClock) -> None:
    message = await add(store)
    await store.cancel(TENANT, message.id)
    clock.advance(AGE + 1)
    await prune_logs(store)
    assert await event_types(store, message.id) == ["cancelled"]
    assert (await page(store, message.id)).first == 1


async def test_the_message_itself_outlives_its_log(store: Store, clock: ManualClock) -> None:
    lease = await run(store, thread="t")
    message, thread = await store.get(TENANT, lease.message_id), await store.get_thread(TENANT, "t")
    clock.advance(AGE + 1)
    await prune_logs(store)
    assert await store.get(TENANT, lease.message_id) == message
    assert await store.get_thread(TENANT, "t") == thread


async def test_a_log_is_kept_until_its_age(store: Store, clock: ManualClock) -> None:
    lease = await run(store)
    before = await seen(store, lease.message_id)
    clock.advance(AGE - MILLISECOND)
    assert await prune_logs(store) == []
    assert await seen(store, lease.message_id) == before


async def test_the_age_of_a_log_counts_from_the_end(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    clock.advance(2 * AGE)
    await store.finish(lease, DONE)
    assert await prune_logs(store) == []
    assert await event_types(store, lease.message_id) == ["processing", "done"]


async def test_pruning_logs_names_the_memory_of_messages_without_thread(store: Store, clock: ManualClock) -> None:
    alone = [await run(store), await run(store, tenant=OTHER_TENANT)]
    await run(store, thread="t")
    clock.advance(AGE + 1)
    keys = [
        Message.memory_key_of(tenant, None, lease.message_id)
        for tenant, lease in zip([TENANT, OTHER_TENANT], alone, strict=True)
    ]
    assert sorted(await prune_logs(store)) == sorted(keys)
    assert await prune_logs(store) == []


async def test_logs_are_pruned_oldest_first_up_to_the_limit(store: Store, clock: ManualClock) -> None:
    leases = []
    for _ in range(5):
        leases.append(await run(store))
        clock.advance(1)
    clock.advance(AGE)
    assert len(await prune_logs(store, limit=3)) == 3
    assert [len((await page(store, lease.message_id)).events) for lease in leases] == [1, 1, 1, 5, 5]
    assert len(await prune_logs(store, limit=3)) == 2


async def test_logs_of_unfinished_messages_are_never_pruned(store: Store, clock: ManualClock) -> None:
    ids = await unfinished(store)
    before = [await page(store, each) for each in ids]
    clock.advance(100 * AGE)
    assert await prune_logs(store) == []
    assert [await page(store, each) for each in ids] == before


# Messages


async def test_old_messages_are_deleted_with_their_logs(store: Store, clock: ManualClock) -> None:
    lease = await run(store)
    cancelled = await add(store)
    await store.cancel(TENANT, cancelled.id)
    clock.advance(AGE + 1)
    assert (await prune_messages(store))[0] == 2
    for message_id in (lease.message_id, cancelled.id):
        with pytest.raises(MessageNotFound):
            await store.get(TENANT, message_id)
        with pytest.raises(MessageNotFound):
            await page(store, message_id)
        with pytest.raises(MessageNotFound):
            await store.cancel(TENANT, message_id)


async def test_a_message_is_kept_until_its_age(store: Store, clock: ManualClock) -> None:
    lease = await run(store, thread="t")
    clock.advance(AGE - MILLISECOND)
    assert await prune_messages(store) == (0, [])
    assert (await store.get(TENANT, lease.message_id)).state is MessageState.COMPLETED


async def test_totals_follow_what_is_deleted(store: Store, clock: ManualClock) -> None:
    await run(store)
    clock.advance(AGE + 1)
    await run(store)
    await add(store)
    await prune_messages(store)
    totals = (await store.summary(TENANT, limit=1)).totals
    assert (totals[MessageState.COMPLETED], totals[MessageState.QUEUED]) == (1, 1)


async def test_a_thread_follows_what_is_deleted(store: Store, clock: ManualClock) -> None:
    for _ in range(2):
        await run(store, thread="t")
    clock.advance(AGE + 1)
    kept = await run(store, thread="t")
    waiting = await add(store, "newest", thread="t")
    before = await store.get_thread(TENANT, "t")
    assert await prune_messages(store) == (2, [])
    after = await store.get_thread(TENANT, "t")
    assert after == before.model_copy(
        update={"message_count": 2, "states": before.states | {MessageState.COMPLETED: 1}}
    )
    assert [message.id for message in await thread_messages(store, "t")] == [kept.message_id, waiting.id]
    assert (await add(store, thread="t")).thread_number == 5


async def test_a_thread_without_messages_vanishes_and_its_memory_is_named(store: Store, clock: ManualClock) -> None:
    await run(store, thread="t")
    await run(store, thread="t", tenant=OTHER_TENANT)
    clock.advance(AGE + 1)
    await add(store, thread="young")
    await prune_logs(store)
    keys = [Message.memory_key_of(tenant, "t", "") for tenant in (TENANT, OTHER_TENANT)]
    deleted, named = await prune_messages(store)
    assert (deleted, sorted(named)) == (2, sorted(keys))
    with pytest.raises(ThreadNotFound):
        await store.get_thread(TENANT, "t")
    with pytest.raises(ThreadNotFound):
        await thread_messages(store, "t")
    assert [thread.thread_id for thread in await all_threads(store)] == ["young"]
    assert await prune_messages(store) == (0, [])


async def test_the_number_of_a_deleted_message_is_never_used_again(store: Store, clock: ManualClock) -> None:
    """The fences of the agents' memory count on it."""
    await run(store, thread="t")
    last = (await thread_messages(store, "t"))[-1].number
    clock.advance(AGE + 1)
    assert (await prune_messages(store))[0] == 1
    assert (await add(store, thread="t")).number > last


async def test_a_thread_that_vanished_can_begin_anew(store: Store, clock: ManualClock) -> None:
    await run(store, thread="t")
    clock.advance(AGE + 1)
    await prune_messages(store)
    message = await add(store, thread="t")
    assert (await store.get_thread(TENANT, "t")).message_count == 1
    assert await claimed_ids(store) == [message.id]


async def test_the_memory_of_a_message_whose_log_was_not_pruned_before_is_named(
    store: Store, clock: ManualClock
) -> None:
    lease = await run(store)
    clock.advance(AGE + 1)
    assert await prune_messages(store) == (1, [Message.memory_key_of(TENANT, None, lease.message_id)])


async def test_the_memory_of_a_message_is_named_once(store: Store, clock: ManualClock) -> None:
    await run(store)
    clock.advance(AGE + 1)
    assert len(await prune_logs(store)) == 1
    assert await prune_messages(store) == (1, [])


async def test_messages_are_deleted_oldest_first_up_to_the_limit(store: Store, clock: ManualClock) -> None:
    ids = []
    for _ in range(5):
        ids.append((await run(store, thread="t")).message_id)
        clock.advance(1)
    clock.advance(AGE)
    assert await prune_messages(store, limit=3) == (3, [])
    assert [message.id for message in await thread_messages(store, "t")] == ids[3:]
    assert await prune_messages(store, limit=3) == (2, [Message.memory_key_of(TENANT, "t", "")])


async def test_unfinished_messages_are_never_deleted(store: Store, clock: ManualClock) -> None:
    ids = await unfinished(store)
    before = [await seen(store, each) for each in ids]
    clock.advance(100 * AGE)
    assert await prune_messages(store) == (0, [])
    assert [await seen(store, each) for each in ids] == before
    assert (await store.get_thread(TENANT, "t")).message_count == 2


async def test_a_requeued_message_has_not_ended(store: Store, clock: ManualClock) -> None:
    failed = await dead_letter(store, thread="t")
    clock.advance(AGE + 1)
    await store.requeue(TENANT, [failed.id])
    before = await seen(store, failed.id)
    assert (await prune_logs(store), await prune_messages(store)) == ([], (0, []))
    assert await seen(store, failed.id) == before
    assert await drain(store) == [failed.id]
    assert await prune_messages(store) == (0, [])


async def test_the_memory_of_a_requeued_message_is_named_after_its_next_end(store: Store, clock: ManualClock) -> None:
    failed = await dead_letter(store)
    clock.advance(AGE + 1)
    assert await prune_logs(store) == [failed.memory_key]
    await store.requeue(TENANT, [failed.id])
    await drain(store)
    clock.advance(AGE + 1)
    assert await prune_logs(store) == [failed.memory_key]


async def test_the_attempts_of_a_deleted_message_are_deleted_too(store: Store, clock: ManualClock) -> None:
    failed = await dead_letter(store)
    clock.advance(AGE + 1)
    await prune_logs(store)
    assert len((await store.list_attempts(TENANT, [failed.id]))[failed.id]) == 1
    await prune_messages(store)
    assert not (await store.list_attempts(TENANT, [failed.id])).get(failed.id)


async def test_the_queue_goes_on_as_before_after_pruning(store: Store, clock: ManualClock) -> None:
    for _ in range(3):
        await run(store, thread="t")
    clock.advance(AGE + 1)
    running = await start(store, thread="t")
    behind = [(await add(store, thread="t")).id for _ in range(2)]
    await prune_logs(store)
    await prune_messages(store)
    await store.append(running, [chunk(0)])
    await store.finish(running, DONE)
    assert await event_types(store, running.message_id) == ["processing", "chunk", "done"]
    assert (await store.get(TENANT, behind[1])).queue_position == 1
    assert await drain(store) == behind


async def test_a_new_message_does_not_inherit_the_log_of_a_deleted_one(store: Store, clock: ManualClock) -> None:
    await run(store)
    clock.advance(AGE + 1)
    await prune_messages(store)
    lease = await start(store)
    assert await event_types(store, lease.message_id) == ["processing"]
    await store.finish(lease, DONE)
    assert (await page(store, lease.message_id)).last == 2
