"""Tails of a log: what many readers of one message cost together, and what they see while the store is away."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import pytest

from app.errors import StoreUnavailable
from app.events import tail, wait_estimates
from app.events.fanout import Idle, StoredEvents
from app.events.tail import Reset, Streams, TailItem, WaitingUpdate
from app.models.attempts import Completed
from app.models.events import EventPage, NewEvent
from app.models.messages import Message, MessageState
from app.observability.outages import Outage
from app.store.sqlite.store import SqliteStore
from app.text import rfc3339
from tests.contract.builders import FAILED, INTERRUPTED, TENANT, add, beat, claim_one, start
from tests.servers import until

READERS = 50
LONG = 1_000.0


class CountingStore(SqliteStore):
    """Counts the reads of logs, and can be away or slow."""

    def __init__(self) -> None:
        super().__init__(None)
        self.reads = 0
        self.looks_at_messages = 0
        self.away = False
        self.answering = asyncio.Event()
        self.answering.set()

    async def get(self, tenant: str, message_id: str) -> Message:
        self.looks_at_messages += 1
        return await super().get(tenant, message_id)

    async def read(self, tenant: str, message_id: str, *, after: int, limit: int) -> EventPage:
        self.reads += 1
        await self.answering.wait()
        if self.away:
            raise StoreUnavailable("The store is away.")
        return await super().read(tenant, message_id, after=after, limit=limit)


@pytest.fixture
async def counting() -> AsyncIterator[CountingStore]:
    store = CountingStore()
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def tails(counting: CountingStore) -> AsyncIterator[Streams]:
    tails = Streams(counting, Outage("It works again"))
    yield tails
    tails.close()


async def collect(news: AsyncGenerator[TailItem], into: list[TailItem]) -> None:
    async for item in news:
        into.append(item)  # noqa: PERF401  looked at meanwhile


def ids(seen: Sequence[TailItem]) -> list[int]:
    return [event.id for news in seen if isinstance(news, StoredEvents) for event in news.events]


async def test_readers_of_one_message_share_reads_and_frames(counting: CountingStore, tails: Streams) -> None:
    lease = await start(counting)
    seen: list[list[TailItem]] = [[] for _ in range(READERS)]
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
    monkeypatch.setattr(tail, "POLL_SECONDS", 0.01)
    lease = await start(counting)
    seen: list[TailItem] = []
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
    monkeypatch.setattr(tail, "POLL_SECONDS", 0.01)
    lease = await start(counting)
    seen: list[TailItem] = []
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
    monkeypatch.setattr(tail, "POLL_SECONDS", 0.002)
    lease = await start(counting)
    seen: list[TailItem] = []
    async with asyncio.TaskGroup() as reading:
        reading.create_task(collect(tails.tail(TENANT, lease.message_id, after=0, idle_seconds=0.03), seen))
        await until(lambda: sum(isinstance(news, Idle) for news in seen) >= 3, "the reader is told of the silence")
        await counting.finish(lease, Completed(""))
    assert ids(seen) == [1, 2]


async def test_without_any_hint_readers_look_after_a_while(
    counting: CountingStore, tails: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hints may be lost: here all of them are."""
    monkeypatch.setattr(tail, "POLL_SECONDS", 0.01)
    lease = await start(counting)
    seen: list[TailItem] = []
    async with asyncio.TaskGroup() as reading:
        reading.create_task(collect(tails.tail(TENANT, lease.message_id, after=0, idle_seconds=LONG), seen))
        await until(lambda: ids(seen) == [1], "the beginning is there")
        monkeypatch.setattr(counting._hints, "publish", lambda _: None)
        await counting.finish(lease, Completed(""))
    assert ids(seen) == [1, 2]


async def test_many_readers_look_in_turns(
    counting: CountingStore, tails: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time as many as are allowed, so that silence costs the same with any number of readers."""
    monkeypatch.setattr(tail, "POLL_SECONDS", 0.005)
    monkeypatch.setattr(tail, "READERS_A_POLL", 1)
    hinted: list[str] = []
    messages = [(await add(counting)).id for _ in range(3)]
    async with asyncio.TaskGroup() as reading:
        readers = [
            reading.create_task(collect(tails.tail(TENANT, each, after=0, idle_seconds=LONG), [])) for each in messages
        ]
        await until(lambda: len(tails._logs) == len(messages), "all are there")
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
    stays: list[TailItem] = []
    async with asyncio.TaskGroup() as reading:
        reading.create_task(collect(tails.tail(TENANT, lease.message_id, after=0, idle_seconds=LONG), stays))
        for _ in range(READERS):
            leaves: list[TailItem] = []
            leaving = asyncio.create_task(
                collect(tails.tail(TENANT, lease.message_id, after=0, idle_seconds=LONG), leaves)
            )
            await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
        await counting.finish(lease, Completed(""))
    assert ids(stays) == [1, 2]
    assert not tails._logs


def places(seen: Sequence[TailItem]) -> list[tuple[int | None, str | None]]:
    """The positions that were told, each with why the message waits."""
    told = [news for news in seen if isinstance(news, WaitingUpdate)]
    return [(each.position, why.code if (why := each.wait_estimate.reason) else None) for each in told]


async def test_positions_are_told_as_they_change(
    counting: CountingStore, tails: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wait_estimates, "THROUGHPUT_SECONDS", 0.0)
    await beat(counting)
    for _ in range(2):
        await add(counting)
    last = (await add(counting)).id
    seen: list[TailItem] = []
    async with asyncio.TaskGroup() as reading:
        reader = reading.create_task(collect(tails.tail(TENANT, last, after=0, idle_seconds=LONG), seen))
        await until(lambda: places(seen) == [(2, "ahead_in_queue")], "the first position is told")
        for _ in range(2):
            await claim_one(counting)
        await until(lambda: places(seen)[-1] == (0, "slots_busy"), "the last position is told")
        reader.cancel()
    positions = [position for position, _ in places(seen)]
    assert positions in ([2, 1, 0], [2, 0])


async def test_a_change_of_the_reason_alone_is_told(
    counting: CountingStore, tails: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(wait_estimates, "THROUGHPUT_SECONDS", 0.0)
    message_id = (await add(counting)).id
    seen: list[TailItem] = []
    async with asyncio.TaskGroup() as reading:
        reader = reading.create_task(collect(tails.tail(TENANT, message_id, after=0, idle_seconds=LONG), seen))
        await until(lambda: places(seen) == [(0, "no_worker")], "nobody is there")
        await beat(counting)
        await until(lambda: places(seen)[-1] == (0, "starting_soon"), "a worker has come")
        await counting.pause(paused=True)
        await until(lambda: places(seen)[-1] == (0, "paused"), "the queue is paused")
        reader.cancel()
    assert len(seen) == 3, "and nothing is told twice"


async def test_a_delayed_message_tells_until_when(counting: CountingStore, tails: Streams) -> None:
    message = await add(counting, delay_seconds=60.0)
    assert message.run_at is not None
    seen: list[TailItem] = []
    async with asyncio.TaskGroup() as reading:
        reader = reading.create_task(collect(tails.tail(TENANT, message.id, after=0, idle_seconds=LONG), seen))
        await until(lambda: seen, "it is told")
        reader.cancel()
    assert places(seen) == [(None, "delayed")]
    (told,) = seen
    assert isinstance(told, WaitingUpdate)
    assert told.wait_estimate.reason is not None
    assert rfc3339(message.run_at) in told.wait_estimate.reason.message


async def test_a_question_does_not_end_the_stream(counting: CountingStore, tails: Streams) -> None:
    lease = await start(counting)
    seen: list[TailItem] = []
    async with asyncio.TaskGroup() as reading:
        reading.create_task(collect(tails.tail(TENANT, lease.message_id, after=0, idle_seconds=LONG), seen))
        await counting.finish(lease, INTERRUPTED)
        await until(lambda: ids(seen) == [1, 2], "the question is told")
        message = await counting.get(TENANT, lease.message_id)
        assert message.state is MessageState.INTERRUPTED
        await counting.resume(TENANT, lease.message_id, message.fence, '{"question": "yes"}')
        await counting.finish(await claim_one(counting), Completed("Done."))
    assert ids(seen) == [1, 2, 3, 4, 5]
    types = [event.type for news in seen if isinstance(news, StoredEvents) for event in news.events]
    assert types == ["processing", "interrupted", "resumed", "processing", "done"]


async def test_a_reader_who_saw_the_end_goes_on_when_the_message_is_requeued(
    counting: CountingStore, tails: Streams
) -> None:
    lease = await start(counting)
    await counting.finish(lease, FAILED)
    first: list[TailItem] = []
    await collect(tails.tail(TENANT, lease.message_id, after=0, idle_seconds=LONG), first)
    assert ids(first) == [1, 2]
    await counting.requeue(TENANT, [lease.message_id])
    second: list[TailItem] = []
    late: list[TailItem] = []
    async with asyncio.TaskGroup() as reading:
        reading.create_task(collect(tails.tail(TENANT, lease.message_id, after=2, idle_seconds=LONG), second))
        reading.create_task(collect(tails.tail(TENANT, lease.message_id, after=0, idle_seconds=LONG), late))
        await until(lambda: ids(second) == [3] and ids(late) == [3], "the requeue is told")
        await counting.finish(await claim_one(counting), Completed("At last."))
    for seen in (second, late):
        types = [event.type for news in seen if isinstance(news, StoredEvents) for event in news.events]
        assert types == ["retry", "processing", "done"]
    assert Reset(MessageState.QUEUED, "") not in second
    assert late[0] == Reset(MessageState.QUEUED, ""), "who was not there is told that the log begins later"


async def test_waiting_for_the_end_returns_with_it_and_in_time(counting: CountingStore, tails: Streams) -> None:
    lease = await start(counting)
    await tails.await_end(TENANT, lease.message_id, 0.01)
    assert (await counting.get(TENANT, lease.message_id)).state is MessageState.PROCESSING
    async with asyncio.timeout(30), asyncio.TaskGroup() as waiting:
        waiting.create_task(tails.await_end(TENANT, lease.message_id, LONG))
        await counting.finish(lease, Completed("Done."))


async def test_who_waits_for_the_end_has_no_positions_looked_up(counting: CountingStore, tails: Streams) -> None:
    message = await add(counting)
    async with asyncio.timeout(30), asyncio.TaskGroup() as waiting:
        waiting.create_task(tails.await_end(TENANT, message.id, LONG))
        await until(lambda: counting.reads, "the queued message's log is read")
        await counting.finish(await claim_one(counting), Completed("Done."))
    assert counting.looks_at_messages == 0
