"""Measures what others notice while a large tenant is erased.

`BENCH_DEPTH` is the number of its messages.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise

from app.config import Settings
from app.erasure_manager import Eraser, ErasureManager
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
            before, meanwhile, seconds, erased = asyncio.run(_beside(url))
        assert erased == DEPTH, "the receipt has all messages"
        yield row(f"erasing a tenant of {DEPTH:,} messages, {name}", [seconds], "s")
        for label, times in (("before", before), ("meanwhile", meanwhile)):
            parts = zip(("submit", "claim", "finish"), zip(*times, strict=True), strict=True)
            for part, found in parts:
                yield row(f"  {part} of another tenant {label}, p99", [percentile(found, 0.99)], "ms")
        longest = [max(max(each) for each in times) for times in (before, meanwhile)]
        yield row("  the longest before", longest[:1], "ms")
        yield row("  the longest meanwhile", longest[1:], "ms")
        yield row("  added to the longest", [longest[1] - longest[0]], "ms", most=MOST_DELAY_MS)


async def _beside(url: str) -> tuple[list[tuple[float, ...]], list[tuple[float, ...]], float, int]:
    """Return the times of rounds before and during the erasure in ms, its seconds, and the count of its messages."""
    store = make_store(Settings(_env_file=None, database_url=url))
    await store.open()
    try:
        await fill(store)
        await asyncio.sleep(1)
        before = [await one_round(store) for _ in range(BEFORE_ROUNDS)]
        began = time.perf_counter()
        begun = await ErasureManager(store).erase_tenant(GONE)
        working = asyncio.create_task(_work(store, begun))
        meanwhile = []
        while not working.done():
            meanwhile.append(await one_round(store))
        receipt = await working
        return before, meanwhile, time.perf_counter() - began, receipt.counts["messages"]
    finally:
        await store.close()


async def _work(store: Store, begun: Erasure) -> Erasure:
    memory = NoMemory()
    duty = Eraser(store, lambda: memory)
    while True:
        await duty.work()
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
