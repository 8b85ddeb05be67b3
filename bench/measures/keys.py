"""Measures what API keys cost."""

import subprocess
import sys
from collections.abc import Iterator, Sequence

from bench.backends import database
from bench.measures.submit import CONNECTIONS, ROUND_SECONDS, ROUNDS
from bench.processes import free_port, load, process, settings, wait_for_port
from bench.report import Row, ratios, row


def keys(backends: Sequence[str]) -> Iterator[Row]:
    """Measure POST /messages with an API key against a server without keys, round by round."""
    for name in backends:
        with_key, without = _rounds(name)
        yield row(f"submits with a key, {name}", with_key, "1/s")
        yield row("  on a server without keys", without, "1/s")
        yield row("  ratio", ratios(with_key, without), least=0.95)


def _rounds(name: str) -> tuple[list[float], list[float]]:
    """Return the submits per second of each round, with a key and without."""
    with database(name) as (folder, url), database(name) as (other_folder, other_url):
        port, other_port = free_port(), free_port()
        environment = settings(url, port, WORKER_CONCURRENCY="0")
        other_environment = settings(other_url, other_port, WORKER_CONCURRENCY="0")
        made = [sys.executable, "-m", "app.cli", "keys", "create", "--scope", "submit"]
        key = subprocess.check_output(made, env=environment, text=True).strip()
        with (
            process("-m", "app.main", folder=folder, environment=environment),
            process("-m", "app.main", folder=other_folder, environment=other_environment),
        ):
            for each in (port, other_port):
                wait_for_port(each)
            load(port, CONNECTIONS, 1, key)
            load(other_port, CONNECTIONS, 1)
            with_key, without = [], []
            for _ in range(ROUNDS):
                with_key.append(load(port, CONNECTIONS, ROUND_SECONDS, key)["per_second"])
                without.append(load(other_port, CONNECTIONS, ROUND_SECONDS)["per_second"])
    return with_key, without
