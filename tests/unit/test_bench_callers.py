"""The callers that our queue and the others are measured with."""

import asyncio

from bench.peers.callers import round_of, signalled
from bench.peers.signals import Notifier, send_signal


async def test_a_call_ends_when_its_own_job_has_signalled() -> None:
    signals = await Notifier.listen()
    enqueued: asyncio.Queue[str] = asyncio.Queue()
    call = signalled(enqueued.put, signals)
    first, second = asyncio.ensure_future(call()), asyncio.ensure_future(call())
    job_of_first, job_of_second = await enqueued.get(), await enqueued.get()
    send_signal(job_of_second)
    send_signal(job_of_second)  # a job that runs twice
    await second
    assert not first.done()
    send_signal(job_of_first)
    await first
    signals.close()


async def test_a_round_waits_for_what_is_under_way_and_counts_it() -> None:
    ended: list[int] = []

    async def call() -> None:
        await asyncio.sleep(0.01)
        ended.append(1)

    measured = await round_of(call, callers=3, seconds=0.001)
    assert len(ended) == 3
    assert 10 <= measured["p50_ms"] < 1_000
    assert 3 / 1.0 < measured["per_second"] <= 3 / 0.01
