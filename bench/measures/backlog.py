"""Measures whether a long queue slows down submits."""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence

from app.config import Settings
from app.store.factory import make_store
from bench.backends import database
from bench.measures.claims import fill
from bench.processes import free_port, load, process, resident_megabytes, settings, wait_for_port
from bench.report import Row, ratios, row

QUEUED = int(os.environ.get("BENCH_QUEUED", "1000000"))
ROUNDS = 5
ROUND_SECONDS = 1.5
CONNECTIONS = 64


def backlog(backends: Sequence[str]) -> Iterator[Row]:
    """Measure POST /messages at 64 connections with 1,000,000 queued (BENCH_QUEUED), against a queue that began empty.

    Two API processes on two databases get the load in turn, and nothing is claimed. Filling Redis starts a rewrite of
    its append-only file; the measurement begins after the rewrite.
    """
    for name in backends:
        yield from _backlog(name)


def _backlog(name: str) -> Iterator[Row]:
    deep: list[dict[str, float]] = []
    empty: list[dict[str, float]] = []
    grown: list[float] = []
    with database(name) as (deep_folder, deep_url), database(name) as (folder, url):
        asyncio.run(_fill(deep_url))
        if name == "valkey":
            _await_rewrite(deep_url)
        deep_port, port = free_port(), free_port()
        with (
            process("-m", "app.main", folder=deep_folder, environment=_settings(deep_url, deep_port)) as deep_server,
            process("-m", "app.main", folder=folder, environment=_settings(url, port)) as server,
        ):
            for each in (deep_port, port):
                wait_for_port(each)
                load(each, CONNECTIONS, 1)
            for _ in range(ROUNDS):
                deep.append(load(deep_port, CONNECTIONS, ROUND_SECONDS))
                empty.append(load(port, CONNECTIONS, ROUND_SECONDS))
                grown.append(resident_megabytes(deep_server.pid) - resident_megabytes(server.pid))
    long, short = [each["p50_ms"] for each in deep], [each["p50_ms"] for each in empty]
    yield row(f"submit p50 with {QUEUED:,} queued, {name}", long, "ms")
    yield row("  with none at first", short, "ms")
    yield row("  ratio", ratios(long, short), most=1.3)
    yield row("  memory of the server above the other one's", grown, "MB", most=50)


async def _fill(url: str) -> None:
    store = make_store(Settings(_env_file=None, database_url=url))
    await store.open()
    try:
        await fill(store, QUEUED)
    finally:
        await store.close()


def _await_rewrite(url: str) -> None:
    """Wait until the server has rewritten its append-only file."""
    import redis

    with redis.Redis.from_url(url) as client:
        while client.info("persistence")["aof_rewrite_in_progress"]:
            time.sleep(0.5)


def _settings(url: str, port: int) -> dict[str, str]:
    return settings(url, port, WORKER_CONCURRENCY="0")
