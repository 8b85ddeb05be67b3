"""Measures what chats cost: a steady number of answers at a time, each read live by its user."""

from collections.abc import Iterator, Sequence

from bench.backends import database
from bench.measures.streams import LineProgram
from bench.processes import free_port, process, processor_seconds, settings, wait_for_port
from bench.report import Row, row

ROUNDS = 5
ROUND_SECONDS = 5.0
CHATS = 60
TOKENS = 150
PAUSE_SECONDS = 0.033
WARM_SECONDS = 8.0
AGENT = {
    "AGENTS": "clock=bench.programs.agents:clock",
    "BENCH_TOKENS": str(TOKENS),
    "BENCH_PAUSE_SECONDS": str(PAUSE_SECONDS),
}


def users(backends: Sequence[str]) -> Iterator[Row]:
    """Measure the processor load of 60 answers at a time, with 30 tokens per second and one reader each."""
    for name in backends:
        yield from _users(name)


def _users(name: str) -> Iterator[Row]:
    rounds: list[dict[str, float]] = []
    api_share, worker_share = [], []
    with database(name) as (folder, url):
        port = free_port()
        api = settings(url, port, WORKER_CONCURRENCY="0", **AGENT)
        worker = settings(url, port, WORKER_CONCURRENCY=str(CHATS + 10), **AGENT)
        with (
            process("-m", "app.main", folder=folder, environment=api, pinned=False) as server,
            process("-m", "app.worker", folder=folder, environment=worker, pinned=False) as runner,
        ):
            wait_for_port(port)
            with LineProgram("-m", "bench.programs.chats", str(port), str(CHATS)) as chats:
                chats.ask(str(WARM_SECONDS))
                for _ in range(ROUNDS):
                    before = processor_seconds(server.pid), processor_seconds(runner.pid)
                    rounds.append(chats.ask(str(ROUND_SECONDS)))
                    api_share.append((processor_seconds(server.pid) - before[0]) / ROUND_SECONDS * 100)
                    worker_share.append((processor_seconds(runner.pid) - before[1]) / ROUND_SECONDS * 100)
    yield row(f"tokens at their readers, {CHATS} answers at a time, {name}", [each["tokens"] for each in rounds], "1/s")
    yield row("  age of a token at its reader, p50", [each["p50_ms"] for each in rounds], "ms")
    yield row("  p99", [each["p99_ms"] for each in rounds], "ms")
    yield row("  of a core, the API process", api_share, "%")
    yield row("  of a core, the worker process", worker_share, "%")
