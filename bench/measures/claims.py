"""Measures the store's throughput against plain loops over its driver, and claims from a long queue.

`BENCH_DEPTH` is the length of the long queue.
"""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence

from app.config import Settings
from app.models.attempts import Completed
from app.models.messages import NewMessage, Priority, new_message_id
from app.store.factory import make_store
from app.store.ports import Store
from bench.backends import database
from bench.plain import AGENT, Plain, plain
from bench.report import Row, percentile, ratios, row

ROUNDS = 7
CALLERS = 16
LIMIT = 16
ROUND_MESSAGES = 8 * CALLERS * LIMIT
LEAST_RATIO = 0.8

SHALLOW = 1_000
DEPTH = int(os.environ.get("BENCH_DEPTH", "100000"))
CLAIMS = 300
FILL_CALLERS = 64
FILL_BATCH = 16
LEASE_SECONDS = 3600.0


def claims(backends: Sequence[str]) -> Iterator[Row]:
    """Measure claims and finishes by 16 callers that claim 16 each, against the same statements from a plain loop.

    A caller finishes its 16 messages together and claims again. The loop does what the store makes of 16 such callers
    at best: 16 claims, then 256 finishes in one transaction or pipeline. Both work on the same queue in turn.
    """
    for name in backends:
        with database(name) as (_, url):
            ours, theirs = asyncio.run(_against_plain(url))
        yield row(f"claims and finishes, {name}", ours, "1/s")
        yield row("  the same statements from a plain loop", theirs, "1/s")
        yield row("  ratio", ratios(ours, theirs), least=LEAST_RATIO)


async def _against_plain(url: str) -> tuple[list[float], list[float]]:
    """Return the messages per second of each round, for both sides."""
    ours, theirs = [], []
    store = make_store(Settings(_env_file=None, database_url=url))
    await store.open()
    try:
        await fill(store, 2 * (ROUNDS + 1) * ROUND_MESSAGES)
        with plain(url) as loop:
            for _ in range(ROUNDS + 1):
                ours.append(await _by_store(store))
                theirs.append(_by_plain(loop))
        left = await store.claim("bench", [AGENT], 1, lease_seconds=LEASE_SECONDS)
        assert not left, "both have to pass on all that they claim"
    finally:
        await store.close()
    return ours[1:], theirs[1:]  # the first round warms up connections, plans and caches


async def _by_store(store: Store) -> float:
    """Return the messages per second through the store."""
    began = time.perf_counter()

    async def work(name: str) -> None:
        for _ in range(ROUND_MESSAGES // (CALLERS * LIMIT)):
            claimed = await store.claim(name, [AGENT], LIMIT, lease_seconds=LEASE_SECONDS)
            assert len(claimed) == LIMIT
            await asyncio.gather(*(store.finish(claim.lease, Completed("")) for claim in claimed))

    await asyncio.gather(*(work(f"bench-{number}") for number in range(CALLERS)))
    return ROUND_MESSAGES / (time.perf_counter() - began)


def _by_plain(loop: Plain) -> float:
    """Return the messages per second from the plain loop."""
    began = time.perf_counter()
    for _ in range(ROUND_MESSAGES // (CALLERS * LIMIT)):
        held = loop.claim(CALLERS, LIMIT)
        assert len(held) == CALLERS * LIMIT
        loop.finish(held)
    return ROUND_MESSAGES / (time.perf_counter() - began)


def depth(backends: Sequence[str]) -> Iterator[Row]:
    """Measure a claim from a short and from a very long queue, with a fifth of the messages in one thread."""
    for name in backends:
        with database(name) as (_, url):
            shallow, deep = asyncio.run(measure(url))
        yield row(f"claim at {SHALLOW:,}, {name}", shallow, "ms")
        yield row(f"  at {DEPTH:,}", deep, "ms")
        yield row("  p99", [percentile(deep, 0.99)], "ms", most=10)
        yield row("  p99 against the shallow one", [percentile(deep, 0.99) / percentile(shallow, 0.99)], most=2)


async def fill(store: Store, count: int, *, in_thread: int = 0) -> None:
    """Add `count` messages. If `in_thread` is not 0, every `in_thread`-th message goes to one long thread."""

    async def add(numbers: range) -> None:
        new = [
            NewMessage(
                id=new_message_id(),
                tenant="default",
                thread_id="long" if in_thread and number % in_thread == 0 else None,
                agent=AGENT,
                content="What is the capital of France?",
                priority=Priority.NORMAL,
            )
            for number in numbers
        ]
        await store.add(new, max_queued=10**9)

    for first in range(0, count, FILL_CALLERS * FILL_BATCH):
        last = min(first + FILL_CALLERS * FILL_BATCH, count)
        batches = (range(each, min(each + FILL_BATCH, last)) for each in range(first, last, FILL_BATCH))
        await asyncio.gather(*map(add, batches))


async def claim_and_finish(store: Store) -> list[float]:
    """Claim and finish messages one by one. Return the milliseconds of each claim, sorted."""
    took = []
    for _ in range(CLAIMS):
        began = time.perf_counter()
        (claim,) = await store.claim("bench", [AGENT], 1, lease_seconds=LEASE_SECONDS)
        took.append((time.perf_counter() - began) * 1000)
        await store.finish(claim.lease, Completed(""))
    return sorted(took)


async def measure(url: str) -> tuple[list[float], list[float]]:
    """Return the sorted milliseconds of claims with SHALLOW and with DEPTH messages queued."""
    store = make_store(Settings(_env_file=None, database_url=url))
    await store.open()
    try:
        await fill(store, SHALLOW, in_thread=5)
        await claim_and_finish(store)  # warm up connections, plans and caches
        shallow = await claim_and_finish(store)
        await fill(store, DEPTH - SHALLOW, in_thread=5)
        return shallow, await claim_and_finish(store)
    finally:
        await store.close()
