"""How long a claim takes, with a few and with very many messages queued, a fifth of them in one thread.

`BENCH_DEPTH` says how many; a million takes some minutes to fill.
"""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence

from app.config import Settings
from app.models import Completed, NewMessage, Priority, new_message_id
from app.store.base import Store
from app.store.factory import make_store
from bench.backends import database
from bench.report import Row, percentile, row

SHALLOW = 1_000
DEPTH = int(os.environ.get("BENCH_DEPTH", "100000"))
CLAIMS = 300
CALLERS = 256
LEASE_SECONDS = 3600.0


def depth(backends: Sequence[str]) -> Iterator[Row]:
    """A claim with few and with very many messages queued."""
    for name in backends:
        with database(name) as (_, url):
            shallow, deep = asyncio.run(measure(url))
        yield row(f"claim at {SHALLOW:,}, {name}", shallow, "ms")
        yield row(f"  at {DEPTH:,}", deep, "ms")
        yield row("  p99", [percentile(deep, 0.99)], "ms", most=10)
        yield row("  p99 against the shallow one", [percentile(deep, 0.99) / percentile(shallow, 0.99)], most=2)


async def fill(store: Store, count: int) -> None:
    """Add so many messages, each fifth one to the long thread."""
    numbers = iter(range(count))

    async def add() -> None:
        for number in numbers:
            message = NewMessage(
                id=new_message_id(),
                tenant="default",
                thread_id="long" if number % 5 == 0 else None,
                agent="chat",
                content="What is the capital of France?",
                priority=Priority.NORMAL,
            )
            await store.add([message], max_queued=10**9)

    await asyncio.gather(*(add() for _ in range(CALLERS)))


async def claim_and_finish(store: Store) -> list[float]:
    """Milliseconds of each claim, one after the other; what is claimed is finished."""
    took = []
    for _ in range(CLAIMS):
        began = time.perf_counter()
        (claim,) = await store.claim("bench", ["chat"], 1, lease_seconds=LEASE_SECONDS)
        took.append((time.perf_counter() - began) * 1000)
        await store.finish(claim.lease, Completed(""))
    return sorted(took)


async def measure(url: str) -> tuple[list[float], list[float]]:
    """Sorted times of claims at SHALLOW and at DEPTH."""
    store = make_store(Settings(_env_file=None, database_url=url))
    await store.open()
    try:
        await fill(store, SHALLOW)
        await claim_and_finish(store)  # connections, plans and caches are warm from here on
        shallow = await claim_and_finish(store)
        await fill(store, DEPTH - SHALLOW)
        return shallow, await claim_and_finish(store)
    finally:
        await store.close()
