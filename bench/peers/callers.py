"""Runs the rounds that the bench requests of a caller of jobs, with many calls or one call at a time.

For each round it reads a line `CALLERS SECONDS` from its standard input, and prints a line of JSON.
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
"""Pause between two calls of a single caller, so that each call finds the queue idle."""


def signalled(enqueue: Enqueue, signals: Notifier) -> Call:
    """Return a call that ends when the job has signalled its run."""

    async def call() -> None:
        argument, done = signals.expect()
        await enqueue(argument)
        await done

    return call


async def round_of(call: Call, callers: int, seconds: float) -> dict[str, float]:
    """Call repeatedly until the time is over. Wait for the calls still under way, and count them."""
    took: list[float] = []
    began = time.perf_counter()

    async def caller() -> None:
        while True:
            at = time.perf_counter()
            await call()
            took.append(time.perf_counter() - at)
            if callers == 1:
                await asyncio.sleep(GAP_SECONDS)
            if time.perf_counter() >= began + seconds:
                break

    await asyncio.gather(*(caller() for _ in range(callers)))
    return {"per_second": len(took) / (time.perf_counter() - began), "p50_ms": statistics.median(took) * 1000}


async def serve(call: Call) -> None:
    """Run rounds until the standard input ends. A first call warms up connections, scripts and plans."""
    await call()
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        callers, seconds = line.split()
        print(json.dumps(await round_of(call, int(callers), float(seconds))), flush=True)
