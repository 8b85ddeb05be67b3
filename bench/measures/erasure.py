"""Measures what others notice while a large tenant is erased.

`BENCH_DEPTH` is the number of its messages.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

from typing_extensions import override

from app.config import Settings
from app.erasure_manager import Eraser, ErasureManager
from app.main import GARBAGE_THRESHOLDS
from app.models.attempts import Completed
from app.models.erasures import Erasure, ErasureState
from app.models.memory import AgentMemory
from app.models.messages import NewMessage, Priority, new_message_id
from app.store.factory import make_store
from app.store.ports import Store
from bench.backends import database
from bench.measures.claims import DEPTH, LEASE_SECONDS
from bench.plain import AGENT
from bench.report import Row, percentile, row

T = TypeVar("T")

GONE, OTHER = "gone", "other"
OTHER_AGENT = "other"
BEFORE_ROUNDS = 200
PAUSE_SECONDS = 0.01
FILL_BATCH = 100
FILL_CALLERS = 16
MOST_DELAY_MS = 100.0


class NoMemory(AgentMemory):
    """The agents' memory of messages that never ran."""

    async def forget(self, memory_keys: list[str]) -> None:
        """Delete nothing."""

    async def forget_messages(self, memory_key: str, memory_fence: tuple[int, int], message_ids: Sequence[str]) -> None:
        """Delete nothing."""

    async def forget_unfinished(self, memory_key: str, memory_fence: tuple[int, int]) -> None:
        """Delete nothing."""

    async def copy_until(self, source_key: str, checkpoint_id: str, target_key: str) -> bool:
        """Copy nothing."""
        return False

    async def measure(self, memory_keys: Sequence[str]) -> list[int]:
        """Return that nothing is stored."""
        return [0] * len(memory_keys)


def erasure(backends: Sequence[str]) -> Iterator[Row]:
    """Measure how long others wait for a submit, a claim and a finish while a tenant with a long queue is erased."""
    for name in backends:
        with database(name) as (_, url):
            found = asyncio.run(_beside(url))
        assert found.erased == DEPTH, "the receipt has all messages"
        yield row(f"erasing a tenant of {DEPTH:,} messages, {name}", [found.seconds], "s")
        yield row("  a part of it", found.parts, "ms")
        yield row("    p99", [percentile(found.parts, 0.99)], "ms")
        for label, times in (("before", found.before), ("meanwhile", found.meanwhile)):
            for step, each in zip(("submit", "claim", "finish"), zip(*times, strict=True), strict=True):
                yield row(f"  {step} of another tenant {label}", each, "ms")
                yield row("    p99", [percentile(each, 0.99)], "ms")
        longest = [max(max(each) for each in times) for times in (found.before, found.meanwhile)]
        yield row("  the longest before", longest[:1], "ms")
        yield row("  the longest meanwhile", longest[1:], "ms")
        yield row("  added to the longest", [longest[1] - longest[0]], "ms", most=MOST_DELAY_MS)


class Found(NamedTuple):
    """The times in ms of rounds before and during an erasure and of its parts, its seconds, and its messages."""

    before: list[tuple[float, ...]]
    meanwhile: list[tuple[float, ...]]
    parts: list[float]
    seconds: float
    erased: int


class TimedEraser(Eraser):
    """An eraser that notes how long each part took, in ms: this includes the wait for writes of others."""

    def __init__(self, store: Store) -> None:
        memory = NoMemory()
        super().__init__(store, lambda: memory)
        self.parts: list[float] = []

    @override
    async def _rest(self, part: Awaitable[T]) -> T:
        async def timed() -> T:
            began = time.perf_counter()
            done = await part
            self.parts.append((time.perf_counter() - began) * 1000)
            return done

        return await super()._rest(timed())


async def _beside(url: str) -> Found:
    store = make_store(Settings(_env_file=None, database_url=url))
    await store.open()
    try:
        await fill(store)
        gc.collect()
        gc.freeze()  # and rare collections, as in our processes: one takes longer than a part of the erasure
        gc.set_threshold(*GARBAGE_THRESHOLDS)
        await asyncio.sleep(1)
        before = [await one_round(store) for _ in range(BEFORE_ROUNDS)]
        began = time.perf_counter()
        begun = await ErasureManager(store).erase_tenant(GONE)
        eraser = TimedEraser(store)
        working = asyncio.create_task(_work(store, eraser, begun))
        meanwhile = []
        while not working.done():
            meanwhile.append(await one_round(store))
        receipt = await working
        return Found(before, meanwhile, eraser.parts, time.perf_counter() - began, receipt.counts["messages"])
    finally:
        await store.close()


async def _work(store: Store, eraser: Eraser, begun: Erasure) -> Erasure:
    while True:
        await eraser.work()
        found = await store.get_erasure(None, begun.id)
        assert found is not None
        if found.state is ErasureState.COMPLETED:
            return found


async def one_round(store: Store) -> tuple[float, ...]:
    """Submit a message of the other tenant, claim it, finish it. Return the time of each in ms."""
    new = _message(OTHER, OTHER_AGENT)
    times = [time.perf_counter()]
    await store.add([new], max_queued=10**9)
    times.append(time.perf_counter())
    (claimed,) = await store.claim("bench", [OTHER_AGENT], 1, lease_seconds=LEASE_SECONDS)
    times.append(time.perf_counter())
    await store.finish(claimed.lease, Completed("Done."))
    times.append(time.perf_counter())
    await asyncio.sleep(PAUSE_SECONDS)
    return tuple((end - begin) * 1000 for begin, end in pairwise(times))


def _message(tenant: str, agent: str, thread_id: str | None = None) -> NewMessage:
    return NewMessage(
        id=new_message_id(), tenant=tenant, thread_id=thread_id, agent=agent, content="Hello", priority=Priority.NORMAL
    )


async def fill(store: Store) -> None:
    """Queue the messages of the tenant that will be erased, half of them in threads of ten."""
    left = iter(range(0, DEPTH, FILL_BATCH))

    async def fill() -> None:
        for start in left:
            await store.add(
                [
                    _message(GONE, AGENT, f"t{number // 10}" if number % 2 else None)
                    for number in range(start, start + FILL_BATCH)
                ],
                max_queued=10**9,
            )

    await asyncio.gather(*(fill() for _ in range(FILL_CALLERS)))
