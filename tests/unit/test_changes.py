"""Streams of changes: what many readers cost together, and what they see in rare moments."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing

import pytest

from app.errors import StoreUnavailable
from app.events import changes
from app.events.changes import ChangeFilter, ChangeStreams
from app.events.fanout import Idle
from app.models.transitions import TransitionPage
from app.observability.outages import Outage
from app.store.ports import CHANGED
from app.store.sqlite.store import SqliteStore
from tests.contract.builders import OTHER_TENANT, TENANT, add
from tests.servers import until

READERS = 20
LONG = 1_000.0


class CountingStore(SqliteStore):
    """Counts the reads of the log, and can be away or wait for older transactions."""

    def __init__(self) -> None:
        super().__init__(None)
        self.reads = 0
        self.away = False
        self.newer = 0

    async def read_transitions(self, tenant: str | None, *, after: str | None, limit: int) -> TransitionPage:
        self.reads += 1
        if self.away:
            raise StoreUnavailable("The store is away.")
        if self.newer:
            self.newer -= 1
            return TransitionPage([], after or "", missed=False, whole=True, newer=True)
        return await super().read_transitions(tenant, after=after, limit=limit)


@pytest.fixture
async def store() -> AsyncIterator[CountingStore]:
    store = CountingStore()
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def streams(store: CountingStore, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ChangeStreams]:
    monkeypatch.setattr(changes, "POLL_SECONDS", LONG)
    streams = ChangeStreams(store, Outage("It works again"))
    yield streams
    streams.close()


async def reader(
    streams: ChangeStreams, store: CountingStore, tenant: str = TENANT, idle_seconds: float = LONG
) -> AsyncGenerator[bytes | Idle]:
    return streams.tail(
        ChangeFilter(tenant), after=await store.newest_transition(), starts=False, idle_seconds=idle_seconds
    )


async def frames(items: AsyncGenerator[bytes | Idle]) -> bytes:
    item = await anext(items)
    assert isinstance(item, bytes)
    return item


async def test_readers_share_one_read_for_a_hint_and_its_bytes(streams: ChangeStreams, store: CountingStore) -> None:
    async with AsyncExitStack() as opened:
        readers = [await opened.enter_async_context(aclosing(await reader(streams, store))) for _ in range(READERS)]
        waiting = [asyncio.create_task(frames(each)) for each in readers]
        await until(
            lambda: streams.open_by_kind()["changes"] == READERS and store.reads == 1, "all wait after one read"
        )
        await add(store)
        found = await asyncio.gather(*waiting)
        assert (len({id(each) for each in found}), store.reads) == (1, 2)
        waiting = [asyncio.create_task(frames(each)) for each in readers]
        store.publish(CHANGED)
        await until(lambda: store.reads == 3, "a hint without a change costs one read")
        assert not any(each.done() for each in waiting)
        streams.close()
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert streams.open_by_kind() == {"changes": 0}


async def test_a_hint_wakes_the_hinted_readers_of_its_thread_without_a_read(
    streams: ChangeStreams, store: CountingStore
) -> None:
    async def hinted(thread_id: str) -> AsyncGenerator[bytes | Idle]:
        chosen = ChangeFilter(TENANT, thread_id=thread_id)
        after = await store.newest_transition()
        return streams.tail(chosen, after=after, starts=False, idle_seconds=LONG, hinted=True)

    async with aclosing(await hinted("one")) as one, aclosing(await hinted("other")) as other:
        waiting = [asyncio.create_task(frames(each)) for each in (one, other)]
        await until(lambda: streams.open_by_kind()["changes"] == len(waiting) and store.reads == 1, "both wait")
        streams.hint("one")
        assert await waiting[0] == b""
        again = asyncio.create_task(frames(one))
        streams.hint("other")
        assert await waiting[1] == b""
        await add(store, thread="one")
        assert b'"thread_id": "one"' in await again


async def test_a_hinted_reader_is_idle_while_other_threads_change(streams: ChangeStreams, store: CountingStore) -> None:
    chosen, after = ChangeFilter(TENANT, thread_id="one"), await store.newest_transition()
    tail = streams.tail(chosen, after=after, starts=False, idle_seconds=0.05, hinted=True)
    async with aclosing(tail) as items:
        assert isinstance(await anext(items), Idle)
        reads = store.reads
        await add(store, thread="other")
        async with asyncio.timeout(5):
            while store.reads == reads:
                assert isinstance(await anext(items), Idle)
        for _ in range(3):
            assert isinstance(await anext(items), Idle)


async def test_a_reader_of_another_tenant_only_moves_on(streams: ChangeStreams, store: CountingStore) -> None:
    async with aclosing(await reader(streams, store, OTHER_TENANT, idle_seconds=0.05)) as items:
        assert isinstance(await anext(items), Idle)
        await add(store)
        newest = await store.newest_transition()
        async with asyncio.timeout(5):
            while not isinstance(item := await anext(items), bytes):
                pass
        assert item == f"id: {newest}\nevent: cursor\ndata: {{}}\n\n".encode()
        assert isinstance(await anext(items), Idle)


async def test_a_reader_goes_on_when_the_store_is_back(streams: ChangeStreams, store: CountingStore) -> None:
    async with aclosing(await reader(streams, store, idle_seconds=0.05)) as items:
        store.away = True
        assert isinstance(await anext(items), Idle)
        await add(store)
        store.away = False
        store.publish(CHANGED)
        async with asyncio.timeout(5):
            while not isinstance(item := await anext(items), bytes):
                pass
        assert item.count(b"event: change\n") == 1


async def test_changes_that_wait_for_older_transactions_are_read_without_another_hint(
    streams: ChangeStreams, store: CountingStore
) -> None:
    async with aclosing(await reader(streams, store)) as items:
        waiting = asyncio.create_task(frames(items))
        await until(lambda: store.reads == 1, "the reader waits")
        store.newer = 2
        await add(store)
        async with asyncio.timeout(5):
            assert b"message.accepted" in await waiting


async def test_changes_that_come_together_are_read_together(
    streams: ChangeStreams, store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with aclosing(await reader(streams, store)) as items:
        waiting = asyncio.create_task(frames(items))
        await until(lambda: streams._up_to_date, "the first read has ended")
        monkeypatch.setattr(changes, "READ_SECONDS", LONG)
        for _ in range(5):
            await add(store)
        assert store.reads == 1, "the next read waits"
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
