"""Threads describe their messages, and are listed."""

import asyncio
import random
from datetime import datetime

import pytest

from app.clock import to_datetime
from app.errors import ThreadNotFound
from app.models.attempts import Released
from app.models.messages import MessageState, Page, Thread
from app.store.limits import PAGE_TEXT_LENGTH
from app.store.ports import Store
from tests.clock import START, ManualClock
from tests.contract.builders import (
    ALL,
    DONE,
    FAILED,
    INTERRUPTED,
    LEASE_SECONDS,
    OTHER_TENANT,
    TENANT,
    add,
    all_threads,
    chunk,
    claim_one,
    drain,
    requeue,
    resume,
    start,
    thread_messages,
)


def at(seconds: float) -> datetime:
    """The moment so many seconds after the start."""
    return to_datetime(START + round(seconds * 1000))


def states(**counts: int) -> dict[MessageState, int]:
    """Counts by state; those not named are 0."""
    return {state: counts.get(state.value, 0) for state in MessageState}


async def paged(store: Store, limit: int) -> list[Thread]:
    """All threads, page by page with the cursor of the last one seen."""
    found: list[Thread] = []
    cursor = None
    while part := await store.list_threads(TENANT, Page(limit, cursor)):
        assert len(part) <= limit
        found += part
        cursor = (round(part[-1].last_activity.timestamp() * 1000), part[-1].thread_id)
    return found


async def test_a_message_makes_its_thread(store: Store) -> None:
    await add(store, "Good morning!", thread="t")
    assert await store.get_thread(TENANT, "t") == Thread(
        thread_id="t",
        last_number=1,
        message_count=1,
        created_at=at(0),
        last_activity=at(0),
        last_message_preview="Good morning!",
        states=states(queued=1),
    )


async def test_a_thread_follows_every_change_of_its_messages(store: Store, clock: ManualClock) -> None:
    expected: list[tuple[dict[MessageState, int], datetime]] = []
    actual: list[tuple[dict[MessageState, int], datetime]] = []

    async def look(**counts: int) -> None:
        expected.append((states(**counts), to_datetime(clock.now())))
        thread = await store.get_thread(TENANT, "t")
        assert thread.message_count == sum(thread.states.values())
        assert thread.created_at == at(0)
        actual.append((thread.states, thread.last_activity))
        clock.advance(10)

    message_ids = []
    for number in range(1, 5):
        message_ids.append((await add(store, thread="t")).id)
        await look(queued=number)
    lease = await claim_one(store)
    await look(queued=3, processing=1)
    await store.finish(lease, DONE)
    await look(queued=3, completed=1)
    await store.finish(await claim_one(store), FAILED)
    await look(queued=2, completed=1, failed=1)
    await store.cancel(TENANT, message_ids[3])
    await look(queued=1, completed=1, failed=1, cancelled=1)
    await store.finish(await claim_one(store), Released("again"))
    await look(queued=1, completed=1, failed=1, cancelled=1)
    await claim_one(store)
    clock.advance(LEASE_SECONDS)
    await store.rescue()
    await look(queued=1, completed=1, failed=1, cancelled=1)
    await claim_one(store)
    clock.advance(LEASE_SECONDS)
    await store.rescue(max_crashes=1)
    await look(completed=1, failed=2, cancelled=1)
    await requeue(store, message_ids[2])
    await look(queued=1, completed=1, failed=1, cancelled=1)
    await store.finish(await claim_one(store), INTERRUPTED)
    await look(completed=1, failed=1, cancelled=1, interrupted=1)
    await resume(store, await store.get(TENANT, message_ids[2]))
    await look(queued=1, completed=1, failed=1, cancelled=1)
    await store.finish(await claim_one(store), INTERRUPTED)
    clock.advance(INTERRUPTED.ttl_seconds)
    await store.expire_interrupts()
    await look(completed=1, failed=2, cancelled=1)
    await store.purge(TENANT, [message_ids[1]])
    thread = await store.get_thread(TENANT, "t")
    assert (thread.states, thread.message_count) == (states(completed=1, failed=1, cancelled=1), 3)
    assert actual == expected


async def test_events_are_no_activity_of_the_thread(store: Store, clock: ManualClock) -> None:
    lease = await start(store, thread="t")
    clock.advance(5)
    await store.append(lease, [chunk(0)])
    assert (await store.get_thread(TENANT, "t")).last_activity == at(0)


async def test_the_preview_is_the_beginning_of_the_newest_message(store: Store) -> None:
    await add(store, "first", thread="t")
    await add(store, "second", thread="t")
    assert (await store.get_thread(TENANT, "t")).last_message_preview == "second"
    await drain(store)
    assert (await store.get_thread(TENANT, "t")).last_message_preview == "second"
    await add(store, "word " * 10_000, thread="t")
    preview = (await store.get_thread(TENANT, "t")).last_message_preview
    assert preview.startswith("word word word")
    assert len(preview) < 1_000


async def test_the_preview_is_one_line(store: Store) -> None:
    await add(store, " a\n\n b\tc\r\n", thread="t")
    assert (await store.get_thread(TENANT, "t")).last_message_preview == "a b c"


async def test_the_messages_of_a_thread_are_listed_in_its_order(store: Store, clock: ManualClock) -> None:
    ids = []
    for _ in range(7):
        ids.append((await add(store, thread="t")).id)
        await add(store, thread="other")
        clock.advance(-1)
    await store.cancel(TENANT, ids[2])
    await store.finish(await claim_one(store), DONE)
    messages = await thread_messages(store, "t")
    assert [message.id for message in messages] == ids
    assert [message.thread_number for message in messages] == [1, 2, 3, 4, 5, 6, 7]
    assert messages == [await store.get(TENANT, each) for each in ids]


async def test_the_messages_of_a_thread_are_paged_by_their_numbers(store: Store) -> None:
    ids = [(await add(store, thread="t")).id for _ in range(5)]
    for after in range(6):
        for limit in (1, 2, 10):
            part = await store.list_thread_messages(TENANT, "t", after=after, limit=limit)
            assert [message.id for message in part] == ids[after : after + limit]


async def test_a_page_of_long_messages_ends_early_but_not_empty(store: Store) -> None:
    lengths = [PAGE_TEXT_LENGTH + 1, 1, PAGE_TEXT_LENGTH // 2, PAGE_TEXT_LENGTH // 2, 1]
    ids = [(await add(store, "x" * length, thread="t")).id for length in lengths]
    found: list[str] = []
    sizes = []
    while part := await store.list_thread_messages(TENANT, "t", after=len(found), limit=ALL):
        found += [message.id for message in part]
        sizes.append(len(part))
    assert found == ids
    assert sizes == [1, 3, 1]


async def test_a_thread_tells_the_number_of_its_newest_message(store: Store) -> None:
    messages = [await add(store, thread="t") for _ in range(3)]
    await store.cancel(TENANT, messages[2].id)
    await drain(store)
    thread = await store.get_thread(TENANT, "t")
    assert thread.last_number == 3
    assert await all_threads(store) == [thread]


async def test_an_unknown_thread_is_not_found(store: Store) -> None:
    await add(store)
    for unknown in ("t", "", "' OR 1=1 --"):
        with pytest.raises(ThreadNotFound):
            await store.get_thread(TENANT, unknown)
        with pytest.raises(ThreadNotFound):
            await thread_messages(store, unknown)


async def test_threads_are_listed_newest_activity_first(store: Store, clock: ManualClock) -> None:
    for thread in "abcd":
        await add(store, thread=thread)
        clock.advance(1)
    await add(store, thread="b")
    clock.advance(1)
    lease = await claim_one(store)
    clock.advance(1)
    assert [thread.thread_id for thread in await all_threads(store)] == ["a", "b", "d", "c"]
    await add(store, thread="c")
    clock.advance(1)
    await store.finish(lease, DONE)
    assert [thread.thread_id for thread in await all_threads(store)] == ["a", "c", "b", "d"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_paging_has_no_gap_and_no_double_among_equal_times(store: Store, clock: ManualClock, limit: int) -> None:
    chance = random.Random(limit)
    names = ["a", "B", "b", "Z", "é", "zz", "0", "00", " ", "😀", "\uffff", "~", "%", "日本", "t" * 255]
    chance.shuffle(names)
    for name in names:
        await add(store, thread=name)
        clock.advance(chance.choice([0, 0, 0, 0.001]))
    found = await paged(store, limit)
    assert sorted(thread.thread_id for thread in found) == sorted(names)
    assert found == await all_threads(store)
    times = [thread.last_activity for thread in found]
    assert times == sorted(times, reverse=True)


async def test_a_thread_that_moves_to_the_front_does_not_disturb_the_pages_behind(
    store: Store, clock: ManualClock
) -> None:
    for number in range(6):
        await add(store, thread=str(number))
        clock.advance(1)
    first = await store.list_threads(TENANT, Page(3))
    await add(store, thread=first[1].thread_id)
    await add(store, thread="new")
    last = first[-1]
    rest = await store.list_threads(TENANT, Page(10, (int(last.last_activity.timestamp() * 1000), last.thread_id)))
    assert [thread.thread_id for thread in first + rest] == ["5", "4", "3", "2", "1", "0"]


async def test_threads_of_tenants_are_apart(store: Store) -> None:
    await add(store, "ours", thread="t")
    await add(store, "theirs", thread="t", tenant=OTHER_TENANT)
    await add(store, "theirs again", thread="t", tenant=OTHER_TENANT)
    assert [message.content for message in await thread_messages(store, "t")] == ["ours"]
    assert (await store.get_thread(TENANT, "t")).message_count == 1
    assert (await store.get_thread(OTHER_TENANT, "t")).message_count == 2
    assert [message.thread_number for message in await thread_messages(store, "t", OTHER_TENANT)] == [1, 2]


async def test_threads_of_the_same_name_run_apart(store: Store) -> None:
    ours = await start(store, thread="t")
    theirs = await add(store, thread="t", tenant=OTHER_TENANT)
    assert (await claim_one(store)).message_id == theirs.id
    await store.finish(ours, DONE)


async def test_concurrent_changes_are_all_counted(store: Store) -> None:
    messages = await asyncio.gather(*(add(store, thread=f"t{i % 3}") for i in range(60)))
    leases = [await claim_one(store) for _ in range(3)]
    running = {lease.message_id for lease in leases}
    cancelled = [message for message in messages[::4] if message.id not in running]
    finishes = (store.finish(lease, DONE) for lease in leases)
    await asyncio.gather(*(store.cancel(TENANT, message.id) for message in cancelled), *finishes)
    counts = [thread.states for thread in await all_threads(store)]
    assert sum(count[MessageState.COMPLETED] for count in counts) == 3
    assert sum(count[MessageState.CANCELLED] for count in counts) == len(cancelled)
    assert sum(count[MessageState.QUEUED] for count in counts) == 57 - len(cancelled)
