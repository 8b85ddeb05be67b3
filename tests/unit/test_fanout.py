"""Readers of one log share reads, in moments that a whole system seldom brings together."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, closing

import pytest

from app.events import tail
from app.events.fanout import NEVER, Idle, IdleTimer, LogFanout, LogPage, LogSnapshot, StoredEvents, wakes_reader
from app.events.tail import MessageLog, Streams, TailItem
from app.models.events import Event, EventPage, EventType
from app.models.messages import MessageState
from app.observability.outages import Outage
from app.store.signals import LocalNotifier
from tests.contract.builders import TENANT, start
from tests.servers import until
from tests.unit.test_streams import CountingStore

TOPIC = "message"
LONG = 1_000.0


def page_of(*events: Event) -> LogPage:
    last = events[-1].id if events else 0
    return LogPage(EventPage(events, 1, last, MessageState.PROCESSING), StoredEvents(events))


NOTHING = page_of()
TOKEN = page_of(Event(1, EventType.CHUNK, "{}", 0))


class Reads:
    """Reads that take until they are answered."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[LogPage]] = []

    async def __call__(self, after: int) -> LogPage:
        self.asked.append(asyncio.get_running_loop().create_future())
        return await self.asked[-1]

    async def wait_for(self, count: int) -> None:
        await until(lambda: len(self.asked) == count, f"{count} reads have begun")


async def a_turn() -> None:
    """Let everything go on that can."""
    for _ in range(5):
        await asyncio.sleep(0)


def answer_first(reads: Reads, log: MessageLog) -> None:
    reads.asked[0].set_result(TOKEN)
    log.release()


def release_first(reads: Reads, log: MessageLog) -> None:
    log.release()
    reads.asked[0].set_result(TOKEN)


@pytest.mark.parametrize("order", [answer_first, release_first])
async def test_news_that_come_as_a_reader_is_woken_for_something_else_are_not_lost(
    order: Callable[[Reads, MessageLog], None],
) -> None:
    reads, notifier = Reads(), LocalNotifier()
    log = LogFanout(reads, notifier.subscribe(TOPIC), wakes_reader)
    with closing(IdleTimer(LONG)) as silence:
        reader = asyncio.create_task(log.next(0, NEVER, silence))
        await reads.wait_for(1)
        order(reads, log)
        found, seen = await reader
        assert found is None
        again = asyncio.create_task(log.next(0, seen, silence))
        await reads.wait_for(2)
        reads.asked[1].set_result(TOKEN)
        found, _ = await again
    assert isinstance(found, LogSnapshot)
    assert found.found is TOKEN


async def test_a_hint_during_a_read_that_finds_nothing_has_it_read_again() -> None:
    reads, notifier = Reads(), LocalNotifier()
    log = LogFanout(reads, notifier.subscribe(TOPIC), wakes_reader)
    with closing(IdleTimer(LONG)) as silence:
        reader = asyncio.create_task(log.next(0, NEVER, silence))
        await reads.wait_for(1)
        notifier.publish(TOPIC)
        reads.asked[0].set_result(NOTHING)
        await reads.wait_for(2)
        reads.asked[1].set_result(TOKEN)
        found, seen = await reader
        assert isinstance(found, LogSnapshot)
        assert found.hints == seen == 1


async def test_a_hint_during_a_read_that_finds_something_is_seen_by_who_comes_back() -> None:
    reads, notifier = Reads(), LocalNotifier()
    log = LogFanout(reads, notifier.subscribe(TOPIC), wakes_reader)
    with closing(IdleTimer(LONG)) as silence:
        reader = asyncio.create_task(log.next(0, NEVER, silence))
        await reads.wait_for(1)
        notifier.publish(TOPIC)
        reads.asked[0].set_result(TOKEN)
        _, seen = await reader
        back = asyncio.create_task(log.next(1, seen, silence))
        await reads.wait_for(2)
        back.cancel()
        reads.asked[1].set_result(NOTHING)
        await asyncio.gather(back, return_exceptions=True)
        await a_turn()


async def test_a_hint_that_brings_nothing_wakes_no_reader_and_one_without_a_hint_reads_nothing() -> None:
    reads, notifier = Reads(), LocalNotifier()
    log = LogFanout(reads, notifier.subscribe(TOPIC), wakes_reader)
    with closing(IdleTimer(LONG)) as silence:
        reader = asyncio.create_task(log.next(0, NEVER, silence))
        await reads.wait_for(1)
        reads.asked[0].set_result(NOTHING)
        await a_turn()
        notifier.publish(TOPIC)
        await reads.wait_for(2)
        reads.asked[1].set_result(NOTHING)
        await a_turn()
        assert not reader.done()
        log.release()
        found, seen = await reader
        assert found is None
        back = asyncio.create_task(log.next(0, seen, silence))
        await a_turn()
        assert len(reads.asked) == 2
        back.cancel()
        await asyncio.gather(back, return_exceptions=True)


async def test_what_goes_wrong_with_a_read_is_told_to_all_who_wait_for_it() -> None:
    reads, notifier = Reads(), LocalNotifier()
    log = LogFanout(reads, notifier.subscribe(TOPIC), wakes_reader)
    with closing(IdleTimer(LONG)) as silence, closing(IdleTimer(LONG)) as other:
        waiting: list[Awaitable[object]] = [asyncio.create_task(log.next(0, NEVER, each)) for each in (silence, other)]
        await reads.wait_for(1)
        reads.asked[0].set_exception(LookupError("gone"))
        assert [str(each) for each in await asyncio.gather(*waiting, return_exceptions=True)] == ["gone", "gone"]


async def test_a_reader_in_silence_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep-alives of ten thousand idle streams cost no read of the store."""
    monkeypatch.setattr(tail, "POLL_SECONDS", LONG)
    store = CountingStore()
    await store.open()
    tails = Streams(store, Outage("It works again"))
    try:
        lease = await start(store)
        seen: list[TailItem] = []
        async with aclosing(tails.tail(TENANT, lease.message_id, after=0, idle_seconds=0.01)) as news:
            async for item in news:
                seen.append(item)
                if sum(isinstance(each, Idle) for each in seen) == 1:
                    before = store.reads
                if sum(isinstance(each, Idle) for each in seen) == 4:
                    break
        assert store.reads == before
    finally:
        tails.close()
        await store.close()
