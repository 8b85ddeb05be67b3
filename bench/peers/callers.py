"""What a caller of jobs does: rounds of many at a time and of one at a time, as the bench asks for them.

A caller reads a line of its standard input for each round, `CALLERS SECONDS`, and prints a line of JSON for it.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

from bench.peers.signals import Notifier

Call = Callable[[], Awaitable[object]]
Enqueue = Callable[[str], Awaitable[object]]

GAP_SECONDS = 0.02
"""Between two calls of a lone caller, so that each finds the queue idle."""


def signalled(enqueue: Enqueue, signals: Notifier) -> Call:
    """A call that ends when the job has told that it ran."""

    async def call() -> None:
        argument, told = signals.expect()
        await enqueue(argument)
        await told

    return call


async def round_of(call: Call, callers: int, seconds: float) -> dict[str, float]:
    """Calls over and over until the time is up; what is under way then is waited for and counts."""
    took: list[float] = []
    began = time.perf_counter()

    async def caller() -> None:
        while (at := time.perf_counter()) < began + seconds:
            await call()
            took.append(time.perf_counter() - at)
            if callers == 1:
                await asyncio.sleep(GAP_SECONDS)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return {"per_second": len(took) / (time.perf_counter() - began), "p50_ms": statistics.median(took) * 1000}


async def serve(call: Call) -> None:
    """Answer rounds until the standard input ends. The first call warms up: connections, scripts, plans."""
    await call()
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        callers, seconds = line.split()
        print(json.dumps(await round_of(call, int(callers), float(seconds))), flush=True)
