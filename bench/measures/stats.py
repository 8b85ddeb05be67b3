"""Measures how long statistics take with many messages."""

import asyncio
import os
import time
import urllib.request
from collections.abc import Iterator, Sequence

from app.config import Settings
from app.models.attempts import Completed
from app.store.factory import make_store
from bench.backends import database
from bench.measures.claims import LEASE_SECONDS, fill
from bench.plain import AGENT
from bench.processes import free_port, process, settings, wait_for_port
from bench.report import Row, percentile, row

MESSAGES = int(os.environ.get("BENCH_MESSAGES", "1000000"))
COMPLETED = 2_000
REQUESTS = 200
RECORDS_SECONDS = 900.0
MOST_MILLISECONDS = 50
PATHS = ("/stats", "/stats/series?metric=wait&step=60&group_by=agent")


def stats(backends: Sequence[str]) -> Iterator[Row]:
    """Measure GET /stats and /stats/series with 1,000,000 messages (BENCH_MESSAGES), one request after the other."""
    for name in backends:
        with database(name) as (folder, url):
            asyncio.run(_prepare(url))
            port = free_port()
            with process("-m", "app.main", folder=folder, environment=settings(url, port, WORKER_CONCURRENCY="0")):
                wait_for_port(port)
                for path in PATHS:
                    _milliseconds(port, path)
                    took = [_milliseconds(port, path) for _ in range(REQUESTS)]
                    yield row(f"{path.partition('?')[0]} with {MESSAGES:,} messages, {name}", took, "ms")
                    yield row("  p95", [percentile(took, 0.95)], "ms", most=MOST_MILLISECONDS)


async def _prepare(url: str) -> None:
    """Add the messages, complete some, and fold the records."""
    store = make_store(Settings(_env_file=None, database_url=url))
    await store.open()
    try:
        await fill(store, MESSAGES)
        claims = await store.claim("bench", [AGENT], COMPLETED, lease_seconds=LEASE_SECONDS)
        for claim in claims:
            await store.finish(claim.lease, Completed(""))
        while await store.fold_figures(records_seconds=RECORDS_SECONDS):
            pass
    finally:
        await store.close()


def _milliseconds(port: int, path: str) -> float:
    began = time.perf_counter()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as reply:
        reply.read()
    return (time.perf_counter() - began) * 1000
