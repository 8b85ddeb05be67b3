"""Measures whether speed, memory or data grow while messages come and go.

`BENCH_GROWTH` is the number of messages. 100,000 take more than a minute on each backend.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.backends import database, megabytes
from bench.processes import free_port, pin, process, resident_megabytes, settings, wait_for_port
from bench.report import Row, row

MESSAGES = int(os.environ.get("BENCH_GROWTH", "40000"))
RETENTION_SECONDS = 4
SETTINGS = {
    "AGENTS": "noop=bench.programs.noop_agent:answer",
    "WORKER_CONCURRENCY": "16",
    "EVENT_RETENTION_HOURS": str(RETENTION_SECONDS / 2 / 3_600),
    "RETENTION_DAYS": str(RETENTION_SECONDS / 86_400),
}


def growth(backends: Sequence[str]) -> Iterator[Row]:
    """Measure BENCH_GROWTH messages (40,000) from submit to end, deleted after 4 s: the last tenth against the first.

    32 callers wait for the end of each message before they submit the next. The tenths belong to one run; one earlier
    tenth does not count. Deletion and PostgreSQL's vacuum run every second, not every minute. The size of the database
    is compared by halves.
    """
    for name in backends:
        yield from _growth(name)


def _growth(name: str) -> Iterator[Row]:
    rates: list[float] = []
    memory: list[float] = []
    sizes: list[float] = []
    with database(name) as (folder, url):
        port = free_port()
        environment = settings(url, port, **SETTINGS)
        with process("-m", "bench.programs.hour", folder=folder, environment=environment) as server:
            wait_for_port(port)
            if name == "postgres":
                _vacuum_often(url)
            for rate in _tenths(port):
                rates.append(rate)
                memory.append(resident_megabytes(server.pid))
                sizes.append(megabytes(url))
    del rates[0], memory[0], sizes[0]
    yield row(f"submit to end, {name}", rates, "1/s")
    yield row("  last tenth against the first", [rates[-1] / rates[0]], least=0.9)
    yield row("  memory of the server", memory, "MB")
    yield row("  last tenth against the first", [memory[-1] / memory[0]], most=1.1)
    yield row("  size of the database", sizes, "MB")
    yield row("  most of the second half against the first", [max(sizes[5:]) / max(sizes[:5])], most=1.1)


def _tenths(port: int) -> Iterator[float]:
    """Yield the messages per second of each tenth. The callers run on the second core."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.programs.waiters", str(port), str(MESSAGES)],
        cwd=Path(__file__).parent.parent.parent,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        pin(child.pid, 1)
        assert child.stdout is not None
        yield from map(float, child.stdout)
    assert child.returncode == 0, "a message did not come to its end"


def _vacuum_often(url: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
        connection.execute("SELECT pg_reload_conf()")
