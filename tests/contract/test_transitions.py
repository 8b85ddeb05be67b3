"""The log of changes: every change once, in the order of the commits, whoever writes at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import count

import pytest

from app.models.agents import AgentDescription
from app.models.messages import IfBusy
from app.models.transitions import SERVER, Transition, TransitionPage, TransitionType
from app.store import limits
from app.store.ports import CHANGED, MOVED, Store
from tests.clock import ManualClock
from tests.contract.builders import (
    DONE,
    FAILED,
    HIGH,
    INTERRUPTED,
    OTHER_TENANT,
    RELEASED,
    RETRIED,
    TENANT,
    add,
    claim_one,
    dead_letter,
    drain,
    requeue,
    resume,
    start,
    worker,
)
from tests.servers import until

ALL = 1_000
SOON = 5.0
T = TransitionType


async def read(store: Store, after: str | None = None, tenant: str | None = TENANT, limit: int = ALL) -> TransitionPage:
    """A page of the log once older transactions of the server have ended."""
    pages: list[TransitionPage] = []

    async def is_current() -> bool:
        pages.append(await store.read_transitions(tenant, after=after, limit=limit))
        return not pages[-1].newer

    await until(is_current, "older transactions have ended")
    return pages[-1]


async def changes(store: Store, after: str | None = None, tenant: str | None = TENANT) -> list[Transition]:
    page = await read(store, after, tenant)
    assert page.whole
    return page.transitions


async def test_each_change_of_a_message_is_recorded_with_the_states_before_and_after(
    store: Store, clock: ManualClock
) -> None:
    await store.finish(await start(store, thread="t"), RETRIED)
    clock.advance(100)
    await store.promote()
    await store.finish(await claim_one(store), RELEASED)
    asking = await claim_one(store)
    await store.finish(asking, INTERRUPTED)
    await resume(store, await store.get(TENANT, asking.message_id))
    await store.finish(await claim_one(store), FAILED)
    await requeue(store, asking.message_id)
    await store.reprioritize(TENANT, asking.message_id, HIGH)
    await store.reprioritize(TENANT, asking.message_id, HIGH)
    await store.finish(await claim_one(store), DONE)
    found = await changes(store)
    assert [(each.type, each.before, each.state) for each in found] == [
        (T.ACCEPTED, None, "queued"),
        (T.PROCESSING, "queued", "processing"),
        (T.RETRY, "processing", "queued"),
        (T.PROCESSING, "queued", "processing"),
        (T.RELEASED, "processing", "queued"),
        (T.PROCESSING, "queued", "processing"),
        (T.INTERRUPTED, "processing", "interrupted"),
        (T.RESUMED, "interrupted", "queued"),
        (T.PROCESSING, "queued", "processing"),
        (T.FAILED, "processing", "failed"),
        (T.REQUEUED, "failed", "queued"),
        (T.PRIORITY, "queued", "queued"),
        (T.PROCESSING, "queued", "processing"),
        (T.COMPLETED, "processing", "completed"),
    ]
    assert {(each.message_id, each.thread_id, each.agent, each.tenant) for each in found} == {
        (asking.message_id, "t", "chat", TENANT)
    }
    assert {each.error_code for each in found if each.type is T.FAILED} == {FAILED.code}
    assert [each.priority for each in found[-3:]] == ["high"] * 3
    assert [each.at for each in found] == sorted(each.at for each in found)
    assert found[3].at - found[2].at == 100_000


async def test_cancels_purges_and_deletions_are_recorded(store: Store) -> None:
    letter = await dead_letter(store)
    begun = (await read(store)).last
    await store.purge(TENANT, [letter.id])
    await add(store, thread="t")
    await add(store, thread="t", if_busy=IfBusy.INTERRUPT)
    await store.delete_thread(TENANT, "t")
    found = await changes(store, begun)
    assert [(each.type, each.before) for each in found] == [
        (T.PURGED, "failed"),
        (T.ACCEPTED, None),
        *sorted([(T.ACCEPTED, None), (T.CANCELLED, "queued")], key=lambda each: each[0] != found[2].type),
        (T.CANCELLED, "queued"),
        (T.THREAD_DELETED, None),
    ]
    assert found[0].message_id == letter.id
    assert (found[-1].thread_id, found[-1].message_id, found[-1].agent) == ("t", None, None)


async def test_changes_of_the_server_are_recorded_for_all_tenants_once(store: Store, clock: ManualClock) -> None:
    def described(text: str) -> AgentDescription:
        return AgentDescription(name="chat", description=text, input_schema={}, output_schema={})

    for paused in (True, True, False, False):
        await store.pause(paused)
    for text in ("one", "one", "two"):
        await store.describe_agents([described(text)])
    with store.open_lease_renewer() as renewer:
        for name in ("a", "b", "a"):
            renewer.beat(worker(name), [], lease_seconds=30)
        renewer.stop("a")
        renewer.stop("a")
    clock.advance(100)
    for _ in range(2):
        await store.prune_workers(silent_for_seconds=50)
        await store.prune_agents(older_than_seconds=50)
    found = await changes(store, tenant=OTHER_TENANT)
    assert [(each.type, each.worker_id or each.agent) for each in found] == [
        (T.QUEUE_PAUSED, None),
        (T.QUEUE_RESUMED, None),
        (T.AGENT_CHANGED, "chat"),
        (T.AGENT_CHANGED, "chat"),
        (T.WORKER_STARTED, "a"),
        (T.WORKER_STARTED, "b"),
        (T.WORKER_LEFT, "a"),
        (T.WORKER_LOST, "b"),
        (T.AGENT_REMOVED, "chat"),
    ]
    assert {each.tenant for each in found} == {SERVER}


async def test_pages_follow_each_other_and_show_one_tenant(store: Store) -> None:
    for tenant in (TENANT, OTHER_TENANT, TENANT, OTHER_TENANT, TENANT):
        await add(store, tenant=tenant)
    whole = await changes(store)
    assert {each.tenant for each in whole} == {TENANT}
    assert len(await changes(store, tenant=None)) == 5
    cursor: str | None = None
    found: list[Transition] = []
    for _ in range(2):
        page = await read(store, cursor, limit=2)
        found += page.transitions
        cursor = page.last
    assert (found, page.whole, page.missed) == (whole, True, False)
    assert page.last == await store.newest_transition()
    assert [await changes(store, each.cursor) for each in whole] == [whole[1:], whole[2:], []]


@pytest.mark.parametrize(
    "cursor",
    ["", "0", "deadbeef-0", "deadbeef-0-0", "deadbeef-0-0-0", "-1", "x" * 50, "\N{SUPERSCRIPT TWO}", "beyond"],
)
async def test_a_cursor_of_no_log_or_another_one_misses_changes(store: Store, cursor: str) -> None:
    await add(store)
    if cursor == "beyond":
        name, *numbers = (await store.newest_transition()).split("-")
        cursor = "-".join([name, *(str(int(each) + 1) for each in numbers)])
    page = await read(store, cursor)
    assert (page.missed, len(page.transitions)) == (True, 1)
    assert not (await read(store, page.last)).missed


async def test_a_cursor_before_the_oldest_record_misses_changes_and_a_later_one_none(
    store: Store, clock: ManualClock
) -> None:
    before = await store.newest_transition()
    old = await add(store)
    at_old = (await read(store)).last
    await add(store)
    clock.advance(1_000)
    await add(store)
    for _ in range(3):
        await store.fold_figures(records_seconds=900)
    assert (await read(store, before)).missed
    assert (await read(store)).transitions[0].message_id != old.id
    assert not (await read(store, (await read(store)).transitions[0].cursor)).missed
    assert (await read(store, at_old)).missed
    await drain(store)
    assert not (await read(store, (await read(store)).last)).missed


async def test_a_record_that_stays_keeps_the_later_ones(store: Store, clock: ManualClock) -> None:
    """Times are not in the order of the commits. A hole in the log would be a gap that no reader sees."""
    clock.advance(1_000)
    await add(store)
    begin = (await read(store)).last
    clock.advance(-1_000)
    await add(store)
    clock.advance(1_500)
    await add(store)
    for _ in range(3):
        await store.fold_figures(records_seconds=1_000)
    page = await read(store, begin)
    assert (page.missed, len(page.transitions)) == (False, 2)


async def test_readers_see_all_changes_once_while_many_write(
    store: Store, other_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes write in many transactions at once, and readers follow with pages of different sizes."""
    messages, writers = 30, 4
    done = asyncio.Event()

    async def write(writer: Store, kept: Iterator[int]) -> None:
        for number in kept:
            message = await add(writer, thread=f"t{number % 3}" if number % 2 else None)
            if number % 5 == 0:
                await writer.cancel(TENANT, message.id)

    async def follow(reader: Store, limit: int) -> list[Transition]:
        found: list[Transition] = []
        cursor = begin
        while True:
            ended = done.is_set()
            page = await reader.read_transitions(TENANT, after=cursor, limit=limit)
            assert not page.missed
            found += page.transitions
            cursor = page.last
            if ended and page.whole and not page.newer:
                return found
            await asyncio.sleep(0)

    begin = await store.newest_transition()
    readers = [asyncio.create_task(follow(reader, limit)) for reader, limit in ((store, 1), (other_store, 7))]
    numbers = count()
    parts = [[next(numbers) for _ in range(messages)] for _ in range(writers)]
    await asyncio.gather(*(write((store, other_store)[i % 2], iter(part)) for i, part in enumerate(parts)))
    done.set()
    async with asyncio.timeout(60):
        first, second = await asyncio.gather(*readers)
    assert first == second
    cursors = [each.cursor for each in first]
    assert len(set(cursors)) == len(cursors)
    assert [each.type for each in first].count(T.ACCEPTED) == messages * writers
    assert [each.type for each in first].count(T.CANCELLED) == messages * writers // 5
    of_message: dict[str | None, list[TransitionType]] = {}
    for each in first:
        of_message.setdefault(each.message_id, []).append(each.type)
    assert {tuple(each) for each in of_message.values()} == {(T.ACCEPTED,), (T.ACCEPTED, T.CANCELLED)}


async def purged(store: Store) -> None:
    await store.purge(TENANT, [(await dead_letter(store)).id])


async def described(store: Store) -> None:
    await store.describe_agents([AgentDescription(name="chat", description="one", input_schema={}, output_schema={})])


async def accepted(store: Store) -> None:
    await add(store)


@pytest.mark.parametrize("change", [purged, described, accepted], ids=lambda change: change.__name__)
async def test_a_hint_tells_of_changes(store: Store, change: Callable[[Store], Awaitable[None]]) -> None:
    await change(store) if change is purged else None
    with store.subscribe(MOVED, CHANGED) as hints:
        await change(store)
        assert await hints.wait(SOON)


async def test_old_records_go_when_there_are_too_many(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("app.store.sqlite.statistics.RECORDS_KEPT", "app.store.postgres.statistics.RECORDS_KEPT"):
        monkeypatch.setattr(name, 3)
    monkeypatch.setattr("app.store.redis.statistics.ENTRIES_KEPT", 3)
    assert limits.RECORDS_KEPT > 3
    for _ in range(6):
        await add(store)
    for _ in range(3):
        await store.fold_figures(records_seconds=900)
    page = await read(store)
    assert 3 <= len(page.transitions) <= 4
    assert not page.missed
