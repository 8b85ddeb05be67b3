"""Compares the submits of two servers, each on a database of its own, round by round."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from bench.backends import database
from bench.measures.submit import CONNECTIONS, ROUND_SECONDS, ROUNDS
from bench.processes import free_port, load, process, settings, wait_for_port

Prepare = Callable[[Mapping[str, str]], Sequence[str]]
"""Prepares a server's database by commands, which get its environment. Returns the API key of the submits, if any."""


def submits_side_by_side(
    name: str, prepare: Prepare, other_prepare: Prepare, **variables: str
) -> tuple[list[float], list[float]]:
    """Return the submits per second of each round. The first server has the given variables too."""
    with _server(name, prepare, variables) as one, _server(name, other_prepare, {}) as other:
        for port, key in (one, other):
            load(port, CONNECTIONS, 1, *key)
        rates: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS):
            for found, (port, key) in zip(rates, (one, other), strict=True):
                found.append(load(port, CONNECTIONS, ROUND_SECONDS, *key)["per_second"])
        return rates


def made_key(environment: Mapping[str, str]) -> Sequence[str]:
    """Make an API key that may submit."""
    command = [sys.executable, "-m", "app.cli", "keys", "create", "--scope", "submit"]
    return subprocess.check_output(command, env=environment, text=True).split()


@contextmanager
def _server(name: str, prepare: Prepare, variables: Mapping[str, str]) -> Iterator[tuple[int, Sequence[str]]]:
    with ExitStack() as stack:
        folder, url = stack.enter_context(database(name))
        port = free_port()
        environment = settings(url, port, WORKER_CONCURRENCY="0", **variables)
        key = prepare(environment)
        stack.enter_context(process("-m", "app.main", folder=folder, environment=environment))
        wait_for_port(port)
        yield port, key
