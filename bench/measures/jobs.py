"""Measures a job that does nothing, from its callers to its end and back, beside other queues on the same engine.

Every queue runs one worker with its documented defaults; ours runs `SLOTS` messages at a time. All callers are separate
programs that submit jobs in their own process. The job itself signals that it ran (`bench.peers.signals`). This time is
compared. The table also shows what our users see: the time until the end is stored and read, and the time over HTTP. No
process is pinned to a core, since some of the other queues run several processes.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from bench.backends import database
from bench.peers.catalogue import PEERS, Peer
from bench.peers.environments import NotInstalled, installed, program
from bench.processes import free_port, process, settings, wait_for_port
from bench.report import Row, ratios, row

ROUNDS = 5
ROUND_SECONDS = 0.7
IDLE_ROUND_SECONDS = 0.2
WARM_SECONDS = 0.5
CALLERS = 64
START_SECONDS = 30.0
SLOTS = "16"
AGENT = {"AGENTS": "noop=bench.programs.noop_agent:answer", "WORKER_CONCURRENCY": SLOTS}
LEAST_OF_NODE = 0.8
ROOT = Path(__file__).parent.parent.parent


class NotStarted(Exception):
    """The caller of a queue does not answer."""


class Caller:
    """A program of `bench.peers.callers`."""

    def __init__(self, *command: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> "Caller":
        try:
            self._read("ready")
        except NotStarted:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def round(self, callers: int, seconds: float) -> dict[str, float]:
        """Run one round and return what it measured."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{callers} {seconds}\n")
        self._process.stdin.flush()
        measured: dict[str, float] = json.loads(self._read("{"))
        return measured

    def _read(self, beginning: str) -> str:
        """Return the next line with this beginning; skip other output. Raises NotStarted."""
        output = self._process.stdout
        assert output is not None
        deadline = time.monotonic() + START_SECONDS
        while select.select([output], [], [], max(0.0, deadline - time.monotonic()))[0]:
            line = output.readline()
            if line.startswith(beginning):
                return line
            if not line:
                break
        raise NotStarted


class Measured(NamedTuple):
    """The rounds of one way to call."""

    per_second: list[float]
    idle_ms: list[float]


def jobs(backends: Sequence[str]) -> Iterator[Row]:
    """Measure no-op jobs from submit to end with 64 callers and with one, beside other queues on the same engine."""
    for name in backends:
        yield from _jobs(name)


def _jobs(name: str) -> Iterator[Row]:
    peers = [peer for peer in PEERS if peer.engine == name]
    left_out: dict[Peer, str] = {}
    environments: dict[Peer, Path] = {}
    for peer in peers:
        try:
            environments[peer] = installed(peer)
        except NotInstalled as error:
            left_out[peer] = str(error)
    with database(name) as (folder, url):
        alone = _one_process(folder, url)
        measured: dict[str | Peer, Measured] = {way: _ours(way, folder, url) for way in ("http", "end")}
        with ExitStack() as stack:
            callers: dict[str | Peer, Caller] = {"signal": _start_ours(stack, "signal", folder, url)}
            for peer, environment in environments.items():
                try:
                    callers[peer] = _start(stack, peer, environment, folder, url)
                except (NotStarted, subprocess.SubprocessError, OSError):
                    left_out[peer] = "it did not come to its first jobs"
            measured |= _rounds(callers, left_out)
    yield from _rows_of_ours(name, measured, alone)
    for peer in peers:
        yield from _rows_of(peer, measured, left_out)


def _our_caller(stack: ExitStack, way: str, folder: Path, environment: Mapping[str, str]) -> Caller:
    caller = Caller(sys.executable, "-m", "bench.programs.caller", way, folder=folder, environment=environment)
    stack.enter_context(caller).round(CALLERS, WARM_SECONDS)
    return caller


def _one_process(folder: Path, url: str) -> list[float]:
    """Return the idle milliseconds over HTTP with API and worker in one process."""
    server = settings(url, free_port(), **AGENT)
    with ExitStack() as stack:
        stack.enter_context(process("-m", "app.main", folder=folder, environment=server, pinned=False))
        wait_for_port(int(server["PORT"]))
        caller = _our_caller(stack, "http", folder, server)
        return [caller.round(1, IDLE_ROUND_SECONDS)["p50_ms"] for _ in range(ROUNDS)]


def _ours(way: str, folder: Path, url: str) -> Measured:
    """Measure rounds of our queue alone, with only the processes that users would run: each gets all hints."""
    with ExitStack() as stack:
        return _rounds({way: _start_ours(stack, way, folder, url)}, {})[way]


def _start_ours(stack: ExitStack, way: str, folder: Path, url: str) -> Caller:
    api = settings(url, free_port(), **{**AGENT, "WORKER_CONCURRENCY": "0"})
    worker = settings(url, 0, **AGENT)
    stack.enter_context(process("-m", "app.worker", folder=folder, environment=worker, pinned=False))
    if way == "http":
        stack.enter_context(process("-m", "app.main", folder=folder, environment=api, pinned=False))
        wait_for_port(int(api["PORT"]))
    return _our_caller(stack, way, folder, api)


def _start(stack: ExitStack, peer: Peer, environment: Path, folder: Path, url: str) -> Caller:
    """Start the worker and the caller of a peer, and have the caller warm up."""
    if peer.engine == "sqlite":
        url = f"sqlite:///{folder / peer.environment}.sqlite"
    values = {"QUEUE_URL": url, "QUEUE_PORT": str(free_port()), "PATH": f"{environment / 'bin'}:{os.environ['PATH']}"}
    where = folder if peer.python else environment

    def command(line: Sequence[str]) -> list[str]:
        given = (each.format(url=url, port=values["QUEUE_PORT"]) for each in line[1:])
        return [program(peer, environment, line[0]), *given]

    variables = {**os.environ, "PYTHONPATH": str(ROOT), **values}
    if peer.prepare:
        subprocess.run(
            command(peer.prepare), cwd=where, env=variables, check=True, capture_output=True, timeout=START_SECONDS
        )
    worker = subprocess.Popen(
        command(peer.worker), cwd=where, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    stack.callback(_end, worker)
    if "{port}" in peer.worker:
        wait_for_port(int(values["QUEUE_PORT"]))
    caller = stack.enter_context(Caller(*command(peer.caller), folder=where, environment=values))
    caller.round(CALLERS, WARM_SECONDS)
    return caller


def _end(worker: subprocess.Popen[bytes]) -> None:
    worker.terminate()
    try:
        worker.wait(3)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def _rounds(callers: Mapping[str | Peer, Caller], left_out: dict[Peer, str]) -> dict[str | Peer, Measured]:
    """Measure all callers in turn, round by round. Leave out a queue that fails to finish a round from then on."""
    measured: dict[str | Peer, Measured] = {who: Measured([], []) for who in callers}
    for _ in range(ROUNDS):
        for at_a_time, seconds in ((CALLERS, ROUND_SECONDS), (1, IDLE_ROUND_SECONDS)):
            for who, caller in callers.items():
                if isinstance(who, Peer) and who in left_out:
                    continue
                try:
                    found = caller.round(at_a_time, seconds)
                except (NotStarted, OSError):
                    if not isinstance(who, Peer):
                        raise
                    left_out[who] = "it stopped to do jobs"
                    continue
                if at_a_time == CALLERS:
                    measured[who].per_second.append(found["per_second"])
                else:
                    measured[who].idle_ms.append(found["p50_ms"])
    return measured


def _rows_of_ours(name: str, measured: Mapping[str | Peer, Measured], alone: list[float]) -> Iterator[Row]:
    signal, end, http = measured["signal"], measured["end"], measured["http"]
    yield row(f"no-op messages, {name}, {CALLERS} callers, {SLOTS} slots", signal.per_second, "1/s")
    yield row("  until the stored end is read", end.per_second, "1/s")
    yield row("  the same over HTTP", http.per_second, "1/s")
    yield row("  idle p50 over HTTP, one process", alone, "ms", most=5)
    yield row("  idle p50 over HTTP, API and worker apart", http.idle_ms, "ms", most=10)
    yield row("  idle p50, told by the job", signal.idle_ms, "ms")


def _rows_of(peer: Peer, measured: Mapping[str | Peer, Measured], left_out: Mapping[Peer, str]) -> Iterator[Row]:
    if peer in left_out:
        yield Row(f"  {peer.name}: not measured", float("nan"), float("nan"), float("nan"), goal=left_out[peer])
        return
    theirs, ours = measured[peer], measured["signal"]
    least = 1 if peer.python else LEAST_OF_NODE
    yield row(f"  {peer.name}", theirs.per_second, "1/s")._replace(goal=peer.gives_up)
    yield row(f"    ours through {peer.name}", ratios(ours.per_second, theirs.per_second), least=least)
    yield row("    its idle p50", theirs.idle_ms, "ms")
