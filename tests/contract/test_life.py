"""Opening, asking for a sign of life, and closing."""

import asyncio
from pathlib import Path

import pytest

from app.errors import StoreUnavailable
from app.models.messages import Message
from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.backends import BACKENDS, StoreFactory
from tests.contract.builders import TENANT, add, all_threads, chunk, claim, page, start


@pytest.fixture(params=BACKENDS)
def make_store(request: pytest.FixtureRequest) -> StoreFactory:
    """The factory of each backend, `memory://` included."""
    return BACKENDS[request.param]


async def test_an_open_store_answers(store: Store) -> None:
    await store.ping()


async def test_a_store_says_what_it_promises(store: Store) -> None:
    assert store.capabilities.name
    assert store.capabilities.promise
    assert store.capabilities == store.capabilities


async def test_a_queue_is_told_from_every_other_one(
    make_store: StoreFactory, tmp_path: Path, clock: ManualClock, store: Store
) -> None:
    other = make_store(tmp_path / "other", clock)
    await other.open()
    try:
        name = await store.queue_id()
        assert name
        assert name == await store.queue_id()
        assert name != await other.queue_id()
    finally:
        await other.close()


async def test_a_closed_store_is_unavailable(store: Store) -> None:
    lease = await start(store)
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.ping()
    with pytest.raises(StoreUnavailable):
        await add(store)
    with pytest.raises(StoreUnavailable):
        await claim(store)
    with pytest.raises(StoreUnavailable):
        await store.append(lease, [chunk(0)])
    with pytest.raises(StoreUnavailable):
        await store.get(TENANT, lease.message_id)
    with pytest.raises(StoreUnavailable):
        await page(store, lease.message_id)
    with pytest.raises(StoreUnavailable):
        await all_threads(store)


async def test_closing_twice_is_fine(store: Store) -> None:
    await store.close()
    await store.close()


async def test_a_store_that_was_never_opened_can_be_closed(
    make_store: StoreFactory, tmp_path: Path, clock: ManualClock
) -> None:
    await make_store(tmp_path / "unopened", clock).close()


async def test_what_was_handed_over_before_the_close_is_done(store: Store) -> None:
    adding = [asyncio.ensure_future(add(store, thread="t")) for _ in range(20)]
    await asyncio.sleep(0)
    await store.close()
    messages = await asyncio.gather(*adding)
    assert sorted(message.thread_number for message in messages) == list(range(1, 21))


async def test_every_call_around_a_close_is_done_or_refused(store: Store) -> None:
    async def work() -> list[Message]:
        done = []
        try:
            while True:
                done.append(await add(store))
        except StoreUnavailable:
            return done

    working = [asyncio.create_task(work()) for _ in range(5)]
    await add(store)
    await store.close()
    async with asyncio.timeout(10):
        await asyncio.gather(*working)


async def test_a_caller_that_is_cancelled_disturbs_nobody(store: Store) -> None:
    calls = [asyncio.create_task(add(store)) for _ in range(30)]
    await asyncio.sleep(0)
    for call in calls[::3]:
        call.cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    kept = [result for result in results if isinstance(result, Message)]
    assert len(kept) == 20
    for message in kept:
        assert (await store.get(TENANT, message.id)).id == message.id


async def test_stores_of_one_process_are_apart(
    make_store: StoreFactory, tmp_path: Path, clock: ManualClock, store: Store
) -> None:
    other = make_store(tmp_path / "other", clock)
    await other.open()
    try:
        await add(store, thread="t")
        assert await all_threads(other) == []
        assert await claim(other) == []
    finally:
        await other.close()
