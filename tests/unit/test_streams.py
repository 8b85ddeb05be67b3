"""Tails of a log: what many readers of one message cost together, and what they see while the store is away."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import pytest

from app import streams
from app.errors import StoreUnavailable
from app.models import Completed, EventPage, NewEvent
from app.store.sqlite.store import SqliteStore
from app.streams import Idle, News, Streams, Waiting, Written
from tests.contract.builders import TENANT, add, claim_one, start
from tests.servers import until

READERS = 50
LONG = 1_000.0


class CountingStore(SqliteStore):
    """Counts the reads of logs, and can be away or slow."""

    def __init__(self) -> None:
        super().__init__(None)
        self.reads = 0
        self.away = False
        self.answering = asyncio.Event()
        self.answering.set()

    async def read(self, message_id: str, *, after: int, limit: int) -> EventPage:
        self.reads += 1
        await self.answering.wait()
        if self.away:
            raise StoreUnavailable("The store is away.")
        return await super().read(message_id, after=after, limit=limit)


@pytest.fixture
async def counting() -> AsyncIterator[CountingStore]:
    store = CountingStore()
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def tails(counting: CountingStore) -> AsyncIterator[Streams]:
    tails = Streams(counting)
    yield tails
    tails.close()


async def collect(news: AsyncGenerator[News], into: list[News]) -> None:
    async for item in news:
        into.append(item)  # noqa: PERF401  looked at meanwhile


def ids(seen: Sequence[News]) -> list[int]:
    return [event.id for news in seen if isinstance(news, Written) for event in news.events]


async def test_readers_of_one_message_share_reads_and_frames(counting: CountingStore, tails: Streams) -> None:
    lease = await start(counting)
    seen: list[list[News]] = [[] for _ in range(READERS)]
    async with asyncio.TaskGroup() as reading:
        for each in seen:
            reading.create_task(collect(tails.tail(TENANT, lease.message_id, after=0, idle_seconds=LONG), each))
        await until(lambda: all(ids(each) == [1] for each in seen), "all have seen the beginning")
        before = counting.reads
        await counting.append(lease, [NewEvent.chunk("content", "token", 0)])
        await until(lambda: all(ids(each) == [1, 2] for each in seen), "all have seen the token")
        assert counting.reads - before <= 4, "one read for all, and what a second hint of the same write may add"
        await counting.finish(lease, Completed("token"))
    assert all(ids(each) == [1, 2, 3] for each in seen)
    assert len({id(each[1]) for each in seen}) == 1, "they have the very same object, and with it the frames"


async def test_while_the_store_is_away_a_tail_is_silent_and_goes_on_afterwards(
    counting: CountingStore, tails: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "POLL_SECONDS", 0.01)
    lease = await start(counting)
    seen: list[News] = []
    async with asyncio.TaskGroup() as reading:
        reading.create_task(collect(tails.tail(TENANT, lease.message_id, after=0, idle_seconds=0.02), seen))
        await until(lambda: ids(seen) == [1], "the beginning is there")
        counting.away = True
        await counting.append(lease, [NewEvent.chunk("content", "token", 0)])
        told = len(seen)
        await until(lambda: len(seen) > told + 2, "the reader is told that there is silence")
        assert all(isinstance(news, Idle) for news in seen[told:])
        counting.away = False
        await counting.finish(lease, Completed("token"))
    assert ids(seen) == [1, 2, 3]


async def test_a_reader_is_told_of_silence_while_a_read_takes_long(
    counting: CountingStore, tails: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "POLL_SECONDS", 0.01)
    lease = await start(counting)
    seen: list[News] = []
    async with asyncio.TaskGroup() as reading:
        reading.create_task(collect(tails.tail(TENANT, lease.message_id, after=0, idle_seconds=0.02), seen))
        await until(lambda: ids(seen) == [1], "the beginning is there")
        counting.answering.clear()
        told = len(seen)
        await until(lambda: len(seen) > told + 3, "the reader is told that there is silence")
        counting.answering.set()
        await counting.finish(lease, Completed(""))
    assert ids(seen) == [1, 2]


async def test_hints_that_bring_nothing_do_not_hide_the_silence(
    counting: CountingStore, tails: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "POLL_SECONDS", 0.002)
    lease = await start(counting)
    seen: list[News] = []
    async with asyncio.TaskGroup() as reading:
        reading.create_task(collect(tails.tail(TENANT, lease.message_id, after=0, idle_seconds=0.03), seen))
        await until(lambda: sum(isinstance(news, Idle) for news in seen) >= 3, "the reader is told of the silence")
        await counting.finish(lease, Completed(""))
    assert ids(seen) == [1, 2]


async def test_without_any_hint_readers_look_after_a_while(
    counting: CountingStore, tails: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hints may be lost: here all of them are."""
    monkeypatch.setattr(streams, "POLL_SECONDS", 0.01)
    lease = await start(counting)
    seen: list[News] = []
    async with asyncio.TaskGroup() as reading:
        reading.create_task(collect(tails.tail(TENANT, lease.message_id, after=0, idle_seconds=LONG), seen))
        await until(lambda: ids(seen) == [1], "the beginning is there")
        monkeypatch.setattr(counting, "publish_hints", lambda: None)
        await counting.finish(lease, Completed(""))
    assert ids(seen) == [1, 2]


async def test_many_readers_look_in_turns(
    counting: CountingStore, tails: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time as many as are allowed, so that silence costs the same with any number of readers."""
    monkeypatch.setattr(streams, "POLL_SECONDS", 0.005)
    monkeypatch.setattr(streams, "READERS_A_POLL", 1)
    hinted: list[str] = []
    messages = [(await add(counting)).id for _ in range(3)]
    async with asyncio.TaskGroup() as reading:
        readers = [
            reading.create_task(collect(tails.tail(TENANT, each, after=0, idle_seconds=LONG), [])) for each in messages
        ]
        await until(lambda: len(tails._topics) == len(messages), "all are there")
        publish = counting.publish

        def note(*topics: str) -> None:
            hinted.extend(topic for topic in topics if topic.startswith("message:"))
            publish(*topics)

        monkeypatch.setattr(counting, "publish", note)
        await until(lambda: len(hinted) >= 7, "some turns have passed")
        for reader in readers:
            reader.cancel()
    assert set(hinted[:3]) == {f"message:{each}" for each in messages}
    assert hinted[:3] == hinted[3:6], "nobody is left out and nobody comes twice"


async def test_a_reader_that_leaves_during_a_shared_read_disturbs_nobody(
    counting: CountingStore, tails: Streams
) -> None:
    lease = await start(counting)
    stays: list[News] = []
    async with asyncio.TaskGroup() as reading:
        reading.create_task(collect(tails.tail(TENANT, lease.message_id, after=0, idle_seconds=LONG), stays))
        for _ in range(READERS):
            leaves: list[News] = []
            leaving = asyncio.create_task(
                collect(tails.tail(TENANT, lease.message_id, after=0, idle_seconds=LONG), leaves)
            )
            await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
        await counting.finish(lease, Completed(""))
    assert ids(stays) == [1, 2]
    assert not tails._topics


async def test_positions_are_told_as_they_change(counting: CountingStore, tails: Streams) -> None:
    for _ in range(2):
        await add(counting)
    last = (await add(counting)).id
    seen: list[News] = []
    async with asyncio.TaskGroup() as reading:
        reader = reading.create_task(collect(tails.tail(TENANT, last, after=0, idle_seconds=LONG), seen))
        await until(lambda: seen == [Waiting(2)], "the first position is told")
        await claim_one(counting)
        await until(lambda: seen[-1] == Waiting(1), "the next position is told")
        reader.cancel()
    assert seen == [Waiting(2), Waiting(1)]
