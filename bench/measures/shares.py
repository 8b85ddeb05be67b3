"""Measures how long other tenants wait beside one that has very many messages queued."""

import asyncio
import os
import random
from collections.abc import Iterator, Sequence

from app.config import Settings
from app.models.attempts import Claim, Completed
from app.models.messages import NewMessage, Priority, new_message_id
from app.store.factory import make_store
from app.store.ports import Store
from bench.backends import database
from bench.plain import AGENT
from bench.report import Row, percentile, row

QUEUED = int(os.environ.get("BENCH_SHARE_QUEUED", "100000"))
TENANTS = 99
"""Tenants beside the one with the many messages. Each has at most one message at a time."""

SLOTS = 4
ROUNDS = 500
MOST_SENT = 6
FILLED_AT_ONCE = 1_000
LEASE_SECONDS = 3600.0


def shares(backends: Sequence[str]) -> Iterator[Row]:
    """Measure how long 99 tenants wait beside one with 100,000 queued (BENCH_SHARE_QUEUED), in runs per slot.

    Four slots run what they claim, and claim again when all four have ended. Between two such rounds, none to six
    tenants that have nothing queued send a message each: three quarters of what the slots can run. Waits are counted
    in rounds, so the speed of the machine does not matter.
    """
    for name in backends:
        alone, beside = asyncio.run(_measure(name, 0)), asyncio.run(_measure(name, QUEUED))
        yield row(f"mean wait alone, {name}", [_mean(alone)], "runs")
        yield row(f"  beside {QUEUED:,} messages of another tenant", [_mean(beside)], "runs")
        yield row("  the longest", [beside[-1]], "runs")
        yield row("  p99 beside less p99 alone", [percentile(beside, 0.99) - percentile(alone, 0.99)], "runs", most=1)


def _mean(waits: Sequence[float]) -> float:
    return sum(waits) / len(waits)


async def _measure(name: str, queued: int) -> list[float]:
    """Return the sorted waits of all messages, in rounds. `queued` is how many messages the one tenant has queued."""
    with database(name) as (_, url):
        store = make_store(Settings(_env_file=None, database_url=url))
        await store.open()
        try:
            for first in range(0, queued, FILLED_AT_ONCE):
                await _send(store, ["big"] * min(FILLED_AT_ONCE, queued - first))
            return sorted(await _run(store))
        finally:
            await store.close()


async def _run(store: Store) -> list[float]:
    chance, idle = random.Random(1), [f"tenant {number}" for number in range(TENANTS)]
    sent: dict[str, int] = {}
    waits: list[float] = []
    for current in range(ROUNDS):
        claims = await store.claim("bench", [AGENT], SLOTS, lease_seconds=LEASE_SECONDS)
        for claimed in claims:
            if (began := sent.pop(claimed.message.tenant, None)) is not None:
                waits.append(current - began)
                idle.append(claimed.message.tenant)
        await asyncio.gather(*(_finish(store, claimed) for claimed in claims))
        sending = min(chance.randint(0, MOST_SENT), len(idle))
        chosen = [idle.pop(chance.randrange(len(idle))) for _ in range(sending)]
        await _send(store, chosen)
        sent |= dict.fromkeys(chosen, current + 1)
    return waits


async def _finish(store: Store, claimed: Claim) -> None:
    await store.finish(claimed.lease, Completed(""))


async def _send(store: Store, tenants: Sequence[str]) -> None:
    for tenant in dict.fromkeys(tenants):
        new = [
            NewMessage(
                id=new_message_id(),
                tenant=tenant,
                thread_id=None,
                agent=AGENT,
                content="What is the capital of France?",
                priority=Priority.NORMAL,
            )
            for _ in range(tenants.count(tenant))
        ]
        await store.add(new, max_queued=10**9)
