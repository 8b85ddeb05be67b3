"""Measures how soon a server serves and a command answers, and how much memory a server takes while idle."""

import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.processes import first_byte_ms, free_port, process, resident_megabytes, wait_for_port
from bench.report import Row, row

ROUNDS = 5
COMMAND_ROUNDS = 10

COMMANDS = (
    (("--version",), 150),
    (("--help",), 150),
    (("queue", "show"), 400),
    (("usage",), 400),
)
"""Commands of `agentq` and the most milliseconds to their first byte. One asks a server, one opens the store."""


def _wait_until_ready(port: int) -> None:
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as reply:
                if reply.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)


def _settings(port: int) -> dict[str, str]:
    return {"HOST": "127.0.0.1", "PORT": str(port)}


def start(backends: Sequence[str]) -> Iterator[Row]:
    """Measure start to open port, start to ready with the embedded model, and idle memory without that model."""
    opened, ready = [], []
    api_only: list[float] = []
    with_agent: list[float] = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as where:
            folder, port = Path(where), free_port()
            began = time.perf_counter()
            with process("-m", "app.main", folder=folder, environment=_settings(port), pinned=False):
                opened.append(wait_for_port(port))
                _wait_until_ready(port)
                ready.append(time.perf_counter() - began)
            for memory, name, value in (
                (api_only, "WORKER_CONCURRENCY", "0"),
                (with_agent, "OPENAI_BASE_URL", "http://127.0.0.1:9/v1"),
            ):
                port = free_port()
                with process("-m", "app.main", folder=folder, environment=_settings(port) | {name: value}) as server:
                    wait_for_port(port)
                    _wait_until_ready(port)
                    memory.append(resident_megabytes(server.pid))
    yield row("start: port open", opened, "s", most=1.5)
    yield row("start: ready, embedded model", ready, "s", most=8)
    yield row("idle memory, API only", api_only, "MB", most=200)
    yield row("idle memory, agent on a hosted model", with_agent, "MB", most=200)
    yield from _commands()


def _commands() -> Iterator[Row]:
    """Measure how soon commands write their first byte."""
    with tempfile.TemporaryDirectory() as where:
        folder, port = Path(where), free_port()
        environment = {"AGENTQ_URL": f"http://127.0.0.1:{port}", "DATABASE_URL": "sqlite:///queue.db"}
        with process("-m", "app.main", folder=folder, environment=_settings(port) | {"WORKER_CONCURRENCY": "0"}):
            wait_for_port(port)
            _wait_until_ready(port)
            for arguments, most in COMMANDS:
                taken = [first_byte_ms("app.cli", *arguments, folder=folder, environment=environment)
                         for _ in range(COMMAND_ROUNDS)]  # fmt: skip
                yield row(f"first byte: agentq {' '.join(arguments)}", taken, "ms", most=most)
