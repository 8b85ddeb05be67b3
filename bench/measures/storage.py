"""Measures how long a storage report of a large tenant takes, and what others notice meanwhile.

`BENCH_DEPTH` is the number of its messages.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from typing_extensions import override

from app.config import Settings
from app.models.attempts import Claim, Completed
from app.models.events import NewEvent
from app.models.storage import MessageSizes
from app.storage.measurement import Measurement, Sources, StorageTarget
from app.storage.pace import Pace
from app.store.factory import make_store
from app.store.ports import Store
from bench.backends import database
from bench.measures.claims import DEPTH, LEASE_SECONDS
from bench.measures.erasure import BEFORE_ROUNDS, GONE, NoMemory, fill, one_round
from bench.plain import AGENT
from bench.report import Row, percentile, row

T = TypeVar("T")

RUN_SHARE = 20
"""One of so many messages has run."""

EVENTS = 400
MOST_SECONDS_OF_PART = 0.05
MOST_DELAY_MS = 50.0


class NotingPace(Pace):
    """Keeps how long each part took, in seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[float] = []

    @override
    async def part(self, kind: str, call: Callable[[int], Awaitable[T]]) -> T:
        async def noted(limit: int) -> T:
            began = time.perf_counter()
            try:
                return await call(limit)
            finally:
                self.parts.append(time.perf_counter() - began)

        return await super().part(kind, noted)


class Walk(NamedTuple):
    """The times of rounds before and during a walk in ms, its seconds, those of its parts, and the sizes it found."""

    before: list[tuple[float, ...]]
    meanwhile: list[tuple[float, ...]]
    seconds: float
    parts: list[float]
    sizes: MessageSizes


def storage(backends: Sequence[str]) -> Iterator[Row]:
    """Measure a storage report of a tenant with a long queue, its parts, and how long others wait meanwhile.

    The first walk of PostgreSQL is dearer: whoever reads new rows first notes that they are committed, in the WAL too.
    """
    for name in backends:
        with database(name) as (_, url):
            walks = asyncio.run(_beside(url))
        for label, walk in zip(("first", "next"), walks, strict=True):
            yield from _rows_of(f"{label} report, {name}", walk)


def _rows_of(label: str, walk: Walk) -> Iterator[Row]:
    sizes, parts = walk.sizes, walk.parts
    assert sizes.messages == DEPTH, "the report has all messages"
    yield row(f"{label}: {sizes.messages:,} messages, {sizes.events:,} events", [walk.seconds], "s")
    yield row("  parts", [len(parts)])
    yield row("  a part, p99", [1000 * percentile(parts, 0.99)], "ms", most=1000 * MOST_SECONDS_OF_PART)
    for when, times in (("before", walk.before), ("meanwhile", walk.meanwhile)):
        for verb, found in zip(("submit", "claim", "finish"), zip(*times, strict=True), strict=True):
            yield row(f"  {verb} of another tenant {when}, p99", [percentile(found, 0.99)], "ms")
    longest = [max(max(each) for each in times) for times in (walk.before, walk.meanwhile)]
    yield row("  the longest before", longest[:1], "ms")
    yield row("  the longest meanwhile", longest[1:], "ms", most=longest[0] + MOST_DELAY_MS)


async def _beside(url: str) -> list[Walk]:
    store = make_store(Settings(_env_file=None, database_url=url))
    await store.open()
    try:
        await fill(store)
        await _run_some(store)
        await asyncio.sleep(1)
        return [await _walk(store), await _walk(store)]
    finally:
        await store.close()


async def _walk(store: Store) -> Walk:
    before = [await one_round(store) for _ in range(BEFORE_ROUNDS)]
    pace, memory = NotingPace(), NoMemory()
    measurement = Measurement(StorageTarget(GONE), Sources(store, lambda: memory, pace), store.now())
    began = time.perf_counter()
    working = asyncio.create_task(measurement.run())
    meanwhile = []
    while not working.done():
        meanwhile.append(await one_round(store))
    await working
    return Walk(before, meanwhile, time.perf_counter() - began, pace.parts, measurement.found.sizes)


async def _run_some(store: Store) -> None:
    async def run(claimed: Claim) -> None:
        await store.append(claimed.lease, [NewEvent.chunk("content", "a few words ", n) for n in range(EVENTS)])
        await store.finish(claimed.lease, Completed("a few words " * EVENTS))

    for _ in range(DEPTH // RUN_SHARE // 100):
        claims = await store.claim("bench", [AGENT], 100, lease_seconds=LEASE_SECONDS)
        await asyncio.gather(*map(run, claims))
