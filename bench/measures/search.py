"""Measures how long a search for a text takes, and how far it holds up others."""

import asyncio
import json
import os
import time
import urllib.request
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from app.config import Settings
from app.models.attempts import Completed
from app.models.messages import NewMessage, Priority, new_message_id
from app.store.factory import make_store
from app.store.ports import Store
from bench.backends import database
from bench.measures.claims import LEASE_SECONDS
from bench.plain import AGENT
from bench.processes import free_port, process, settings, wait_for_port
from bench.report import Row, percentile, row

MESSAGES = int(os.environ.get("BENCH_SEARCHED", "100000"))
BATCH = 1_000
ROUNDS = 5
DISTURBED_SECONDS = 10.0
MOST_MILLISECONDS = 300
MOST_LAG_MILLISECONDS = 50
FREQUENT, RARE, NONE = "capital", "xylophone", "absent"
FILLING = "What is the capital of the country whose largest river flows into the sea near its second city? " * 3


class Found(NamedTuple):
    """The first match of a search, over as many requests as it takes, or the end of the list."""

    milliseconds: float
    requests: int


def search(backends: Sequence[str]) -> Iterator[Row]:
    """Measure `GET /messages?q=` with 100,000 messages (BENCH_SEARCHED), and claims and submits meanwhile."""
    for name in backends:
        with database(name) as (folder, url):
            asyncio.run(_fill(url))
            port = free_port()
            with process("-m", "app.main", folder=folder, environment=settings(url, port, WORKER_CONCURRENCY="0")):
                wait_for_port(port)
                for kind, word in (("frequent", FREQUENT), ("rare", RARE), ("absent", NONE)):
                    _first(port, word)
                    found = [_first(port, word) for _ in range(ROUNDS)]
                    took = [each.milliseconds for each in found]
                    yield row(f"a {kind} word among {MESSAGES:,}, {name}", took, "ms", most=MOST_MILLISECONDS)
                    yield row("  requests", [each.requests for each in found])
                alone, disturbed = asyncio.run(_lags(url, port))
                for kind in ("submit", "claim"):
                    yield row(f"  a {kind} alone, p99", [percentile(alone[kind], 0.99)], "ms")
                    yield row(f"  a {kind} during searches, p99", [percentile(disturbed[kind], 0.99)], "ms")
                    longest = [max(disturbed[kind])]
                    yield row(f"  a {kind} during searches, longest", longest, "ms", most=MOST_LAG_MILLISECONDS)


async def _fill(url: str) -> None:
    """Add the messages. The oldest has the rare word."""
    store = make_store(Settings(_env_file=None, database_url=url))
    await store.open()
    try:
        for first in range(0, MESSAGES, BATCH):
            texts = [f"{RARE} {FILLING}" if first + n == 0 else f"{first + n} {FILLING}" for n in range(BATCH)]
            await store.add([_new(text) for text in texts], max_queued=10**9)
    finally:
        await store.close()


def _new(text: str) -> NewMessage:
    return NewMessage(
        id=new_message_id(), tenant="default", thread_id=None, agent=AGENT, content=text, priority=Priority.NORMAL
    )


def _first(port: int, word: str) -> Found:
    path, requests, began = f"/messages?{urlencode({'q': word, 'limit': 50})}", 0, time.perf_counter()
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as reply:
            messages, link = json.load(reply)["messages"], reply.headers["Link"]
        requests += 1
        if messages or link is None:
            return Found((time.perf_counter() - began) * 1000, requests)
        path = link[1 : link.index(">")]


async def _lags(url: str, port: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return the milliseconds of submits and claims, alone and while another process searches without a pause."""
    store = make_store(Settings(_env_file=None, database_url=url))
    await store.open()
    try:
        alone = await _work(store)
        stopped = asyncio.Event()
        searching = asyncio.create_task(_search_on(port, stopped))
        disturbed = await _work(store)
        stopped.set()
        await searching
        return alone, disturbed
    finally:
        await store.close()


async def _search_on(port: int, stopped: asyncio.Event) -> None:
    while not stopped.is_set():
        await asyncio.to_thread(_first, port, NONE)


async def _work(store: Store) -> dict[str, list[float]]:
    """Submit, claim and finish one message after the other."""
    took: dict[str, list[float]] = {"submit": [], "claim": []}
    end = time.perf_counter() + DISTURBED_SECONDS
    while (began := time.perf_counter()) < end:
        await store.add([_new(FILLING)], max_queued=10**9)
        added = time.perf_counter()
        (claim,) = await store.claim("bench", [AGENT], 1, lease_seconds=LEASE_SECONDS)
        claimed = time.perf_counter()
        await store.finish(claim.lease, Completed(""))
        took["submit"].append((added - began) * 1000)
        took["claim"].append((claimed - added) * 1000)
        await asyncio.sleep(0.005)
    return took
