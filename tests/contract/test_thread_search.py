"""Threads are found by their ids, status and metadata, in either order, and counted."""

import pytest

from app.models.messages import MessageState, Page, Thread
from app.models.threads import (
    EVERY_THREAD,
    LATEST_FIRST,
    NewThread,
    ThreadFilter,
    ThreadOrder,
    ThreadSort,
    ThreadStatus,
)
from app.models.visibility import ThreadNarrowing, Visibility
from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.builders import (
    ALL,
    DONE,
    FAILED,
    INTERRUPTED,
    OTHER_TENANT,
    TENANT,
    add,
    claim_one,
    requeue,
    resume,
)

ORDERS = [ThreadOrder(by, descending) for by in ThreadSort for descending in (True, False)]


async def listed(
    store: Store, chosen: ThreadFilter = EVERY_THREAD, order: ThreadOrder = LATEST_FIRST, limit: int = ALL
) -> list[str]:
    """The ids of all threads that match, page by page. They are also counted."""
    found: list[Thread] = []
    cursor = None
    while part := await store.list_threads(TENANT, Page(limit, cursor), chosen, order):
        assert len(part) <= limit
        found += part
        cursor = (round(part[-1].time(order.by).timestamp() * 1000), part[-1].thread_id)
    assert await store.count_threads(TENANT, chosen) == len(found)
    return [thread.thread_id for thread in found]


async def test_the_status_follows_the_messages(store: Store) -> None:
    async def look(expected: ThreadStatus) -> None:
        assert (await store.get_thread(TENANT, "t")).status is expected
        for status in ThreadStatus:
            assert await listed(store, ThreadFilter(status=status)) == ["t"] * (status is expected)

    await store.create_thread(TENANT, "t", NewThread(None))
    await look(ThreadStatus.IDLE)
    first = await add(store, thread="t")
    await look(ThreadStatus.BUSY)
    lease = await claim_one(store)
    await look(ThreadStatus.BUSY)
    await store.finish(lease, INTERRUPTED)
    later = await add(store, thread="t")
    await look(ThreadStatus.INTERRUPTED)
    await resume(store, await store.get(TENANT, first.id))
    await look(ThreadStatus.BUSY)
    await store.finish(await claim_one(store), DONE)
    await store.finish(await claim_one(store), FAILED)
    await look(ThreadStatus.ERROR)
    await requeue(store, later.id)
    await look(ThreadStatus.BUSY)
    await store.finish(await claim_one(store), FAILED)
    await look(ThreadStatus.ERROR)
    await store.purge(TENANT, [later.id])
    await look(ThreadStatus.IDLE)
    waiting = await add(store, thread="t")
    await store.cancel(TENANT, waiting.id)
    assert (await store.get_thread(TENANT, "t")).last_ended is MessageState.CANCELLED
    await look(ThreadStatus.IDLE)
    await store.delete_thread(TENANT, "t")
    assert await listed(store) == []


async def seed(store: Store, clock: ManualClock) -> list[Thread]:
    """Threads of every status and of two subjects, some running, with equal times; in the order of their creation."""
    names = [f"{i:02}" for i in range(24)]
    for i, name in enumerate(names):
        await store.create_thread(TENANT, name, NewThread(None, None, {"n": i % 3}, "ann" if i % 4 else "bob"))
        if i % 2:
            clock.advance(1)
    await store.create_thread(OTHER_TENANT, "theirs", NewThread(None, None, {"n": 1}))
    await store.draft_thread(TENANT, "draft")
    for i, name in reversed(list(enumerate(names))):
        if i % 6:
            await add(store, thread=name)
        if i % 6 > 1:
            lease = await claim_one(store)
            clock.advance(i % 2)
            if i % 6 > 2:
                await store.finish(lease, (DONE, FAILED, INTERRUPTED)[i % 6 - 3])
    return [await store.get_thread(TENANT, name) for name in names]


async def test_every_filter_in_every_order(store: Store, clock: ManualClock) -> None:
    threads = await seed(store, clock)
    filters = [
        EVERY_THREAD,
        *(ThreadFilter(status=status) for status in ThreadStatus),
        ThreadFilter(metadata={"n": "1"}),
        ThreadFilter(metadata={"n": "1"}, status=ThreadStatus.ERROR),
        ThreadFilter(ids=frozenset({"01", "05", "17", "none", "theirs", "draft"})),
        ThreadFilter(ids=frozenset({"01", "05", "17"}), status=ThreadStatus.BUSY),
        ThreadFilter(visible=Visibility(subject="ann")),
        ThreadFilter(visible=Visibility(subject="bob"), status=ThreadStatus.INTERRUPTED, metadata={"n": "2"}),
        ThreadFilter(visible=Visibility(threads=ThreadNarrowing(frozenset({"00", "13"}), "2"))),
        ThreadFilter(ids=frozenset()),
    ]

    def matches(thread: Thread, chosen: ThreadFilter) -> bool:
        return (
            (chosen.ids is None or thread.thread_id in chosen.ids)
            and chosen.status in (None, thread.status)
            and (chosen.metadata is None or str(thread.metadata["n"]) == chosen.metadata["n"])
            and chosen.visible.shows_thread(thread.subject, thread.thread_id)
        )

    assert {thread.status for thread in threads} == set(ThreadStatus)
    for chosen in filters:
        for order in ORDERS:
            ordered = sorted(threads, key=lambda each: (each.time(order.by), each.thread_id), reverse=order.descending)
            expected = [each.thread_id for each in ordered if matches(each, chosen)]
            for limit in (3, ALL):
                assert await listed(store, chosen, order, limit) == expected, (chosen, order, limit)


@pytest.mark.parametrize(
    ("kept", "asked", "found"),
    [
        ({"a": "x"}, {"a": "x"}, True),
        ({"a": "x"}, {"a": "y"}, False),
        ({"a": "x"}, {"b": "x"}, False),
        ({"a": 42}, {"a": "42"}, True),
        ({"a": "42"}, {"a": "42"}, True),
        ({"a": 42.0}, {"a": "42"}, True),
        ({"a": True}, {"a": "true"}, True),
        ({"a": 1}, {"a": "true"}, False),
        ({"a": "x", "b": 1}, {"a": "x", "b": "1"}, True),
        ({"a": "x", "b": 1}, {"a": "x", "b": "2"}, False),
        ({'k"é$.\\/': 'v"é\\/'}, {'k"é$.\\/': 'v"é\\/'}, True),
    ],
)
async def test_metadata_match_as_those_of_messages(
    store: Store, kept: dict[str, str | int | float | bool], asked: dict[str, str], found: bool
) -> None:
    await store.create_thread(TENANT, "none", NewThread(None))
    await store.create_thread(TENANT, "made", NewThread(None, None, kept))
    await add(store, thread="of a message", metadata=kept)
    await add(store, thread="of a message", metadata={"more": 1})
    expected = ["made", "of a message"] if found else []
    assert sorted(await listed(store, ThreadFilter(metadata=asked))) == expected


async def test_a_filter_that_skips_many_threads(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts of one list or count meet without gaps."""
    for module in ("app.store.sql.thread_reads.THREADS_AT_ONCE", "app.store.redis.threads.SCAN_LENGTH"):
        monkeypatch.setattr(module, 3)
    for i in range(20):
        await store.create_thread(TENANT, f"{i:02}", NewThread(None, None, {"rare": i % 7 == 6}))
    for order in ORDERS:
        for limit in (1, ALL):
            found = await listed(store, ThreadFilter(metadata={"rare": "true"}), order, limit)
            assert sorted(found) == ["06", "13"]
            assert len(await listed(store, EVERY_THREAD, order, limit)) == 20
