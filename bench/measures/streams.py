"""Measures what an API process delivers to readers of streams, and what idle streams cost.

Delivered events are divided by the processor seconds of the API process. The result is what the process would deliver
per second on a whole core. It does not depend on the speed of the core that writes and reads. The bare server is
measured in the same way.

**Live.** A writer in another process appends to one running message at a steady rate, as a worker does. All readers
read meanwhile, so each write wakes each reader. The rate is at most 50,000 deliveries per second, which is less than
the process can deliver. The comparison is a hand-made StreamingResponse with a queue for each reader. It gets the same
frames at the same rate from memory, and sends one event at a time. Text is merged into larger chunks only when it is
written, so events are counted as they are delivered.

**Replay.** All readers read the log of a finished message at the same time; connecting counts. The comparison is a
hand-made StreamingResponse with prepared frames. It sends one frame at a time and never waits, so the kernel often
writes many frames together. Live events are compared with it too, although no live stream can be as fast.
"""

import functools
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from bench.backends import database
from bench.processes import (
    free_port,
    pin,
    process,
    processor_seconds,
    resident_megabytes,
    settings,
    wait_for_port,
)
from bench.report import Row, ratios, row

ROUNDS = 5
IDLE_STREAMS = 10_000
IDLE_STEPS = 5
IDLE_SECONDS = 6.0
"""Period of one measurement. Five periods include two rounds of keep-alives."""

BARE_IDLE_SECONDS = 1.0
"""Period of one measurement of the bare server, which sends nothing."""


class Live(NamedTuple):
    """How a running message is written: `burst` events every `pause` seconds."""

    readers: int
    events: int
    burst: int
    pause: float


LIVE = (Live(1, 20_000, 200, 0.01), Live(64, 800, 8, 0.01), Live(1_000, 150, 1, 0.02))
REPLAY = {1: 20_000, 64: 5_000, 1_000: 500}
"""The events that each reader gets, by the number of readers."""

FEW_READERS = 64
"""More readers are measured on one backend only. On any backend, all readers of a message share one read."""


class LineProgram:
    """A program that reads lines and answers each with a line of JSON."""

    def __init__(self, *arguments: str) -> None:
        self._program = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=Path(__file__).parent.parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        pin(self._program.pid, 1)

    def __enter__(self) -> "LineProgram":
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe(self._program.stdin).close()
        self._program.wait(30)

    def send(self, line: str) -> None:
        """Write a line."""
        pipe = self._pipe(self._program.stdin)
        pipe.write(f"{line}\n")
        pipe.flush()

    def receive(self) -> Any:
        """Read the next line."""
        return json.loads(self._pipe(self._program.stdout).readline())

    def ask(self, line: str) -> Any:
        """Write a line and return the answer."""
        self.send(line)
        return self.receive()

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


class Server(NamedTuple):
    """One of the two servers that are compared."""

    pid: int
    port: int


class Delivered(NamedTuple):
    """The events that readers got, and the seconds and processor seconds that this took."""

    events: int
    seconds: float
    processor: float

    @property
    def per_core(self) -> float:
        """Return the events per second of a whole core."""
        return self.events / self.processor


@contextmanager
def _servers(folder: Path, url: str) -> Iterator[tuple[Server, Server]]:
    """Run an API process of ours and the bare server."""
    port, bare_port = free_port(), free_port()
    environment = settings(url, port, WORKER_CONCURRENCY="0")
    with (
        process("-m", "app.main", folder=folder, environment=environment) as ours,
        process("-m", "bench.programs.bare", str(bare_port), folder=folder) as bare,
    ):
        for each in (port, bare_port):
            wait_for_port(each)
        time.sleep(1)  # wait for the end of the start, such as the loading of agents
        yield Server(ours.pid, port), Server(bare.pid, bare_port)


def deliver(
    server: Server,
    readers: int,
    paths: Sequence[str],
    events: int,
    when_open: Callable[[], object] | None,
    mark: str = "\ndata: ",
    body: str = "",
) -> Delivered:
    """Have readers read `events` events each. Count the time of connecting only without `when_open`.

    Each event has the text `mark` once. With `body`, the readers post it.
    """
    with LineProgram("-m", "bench.programs.streamload") as load:
        processor = processor_seconds(server.pid)
        load.send(json.dumps({"port": server.port, "readers": readers, "paths": paths, "mark": mark, "body": body}))
        load.receive()
        if when_open is not None:
            processor = processor_seconds(server.pid)
            when_open()
        counted = load.receive()
        processor = processor_seconds(server.pid) - processor
    if counted["events"] < readers * events:
        raise RuntimeError(f"{readers} readers got {counted['events']} events, not {events} each")
    return Delivered(int(counted["events"]), counted["seconds"], max(processor, 0.01))


def _broadcast(server: Server, live: Live) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/broadcast/{live.events}/{live.burst}/{live.pause}", method="POST"
    )
    with urllib.request.urlopen(request, timeout=60):
        pass


def streams(backends: Sequence[str]) -> Iterator[Row]:
    """Measure events per core to 1, 64 and 1,000 readers, live and replayed, against a bare StreamingResponse."""
    for number, name in enumerate(backends):
        with (
            database(name) as (folder, url),
            _servers(folder, url) as (ours, bare),
            LineProgram("-m", "bench.programs.writer", url) as writer,
        ):
            chosen = [each for each in LIVE if number == 0 or each.readers <= FEW_READERS]
            live = {each.readers: _live(ours, bare, writer, each) for each in chosen}
            for readers, found in live.items():
                yield from _rows(f"live, {readers:,} readers, {name}", 0.7, *found)
            for readers, events in [(each, REPLAY[each]) for each in live]:
                replayed = _replay(ours, bare, writer, readers, events)
                yield from _rows(f"replay, {readers:,} readers, {name}", 3, *replayed)
                never_waiting = [each.per_core for each in replayed[1]]
                found_live = [each.per_core for each in live[readers][0]]
                yield row("  live, against this one, which never waits", ratios(found_live, never_waiting), least=0.7)


def _rows(what: str, least: float, ours: list[Delivered], theirs: list[Delivered]) -> Iterator[Row]:
    yield row(what, [each.per_core for each in ours], "1/s")
    yield row("  hand-made, one event a send", [each.per_core for each in theirs], "1/s")
    found = ratios((each.per_core for each in ours), (each.per_core for each in theirs))
    yield row("  ratio", found, least=least)


def _live(ours: Server, bare: Server, writer: LineProgram, live: Live) -> tuple[list[Delivered], list[Delivered]]:
    found: tuple[list[Delivered], list[Delivered]] = ([], [])
    for _ in range(ROUNDS):
        (message_id,) = writer.ask("running 1")
        write = functools.partial(writer.ask, f"write {live.events} {live.burst} {live.pause}")
        found[0].append(deliver(ours, live.readers, [f"/messages/{message_id}/stream"], live.events, write))
        broadcast = functools.partial(_broadcast, bare, live)
        found[1].append(deliver(bare, live.readers, ["/live"], live.events, broadcast))
    return found


def _replay(
    ours: Server, bare: Server, writer: LineProgram, readers: int, events: int
) -> tuple[list[Delivered], list[Delivered]]:
    found: tuple[list[Delivered], list[Delivered]] = ([], [])
    for _ in range(ROUNDS):
        message_id = writer.ask(f"finished {events}")
        found[0].append(deliver(ours, readers, [f"/messages/{message_id}/stream"], events, None))
        found[1].append(deliver(bare, readers, [f"/events/{events}"], events, None))
    return found


def idle(backends: Sequence[str]) -> Iterator[Row]:
    """Measure 10,000 idle streams, each of another message, against a bare StreamingResponse that sleeps.

    Memory is what each further 2,000 streams add. The processor load is measured once all streams are open; our server
    sends keep-alives meanwhile.
    """
    for name in backends:
        with database(name) as (folder, url), _servers(folder, url) as (ours, bare):
            with LineProgram("-m", "bench.programs.writer", url) as writer:
                running = writer.ask(f"running {IDLE_STREAMS}")
            memory, processor = _idle(ours, [f"/messages/{message_id}/stream" for message_id in running], IDLE_SECONDS)
            bare_memory, bare_processor = _idle(bare, ["/idle"] * IDLE_STREAMS, BARE_IDLE_SECONDS)
        yield row(f"an idle stream of {IDLE_STREAMS:,}, {name}", memory, "KiB", most=30)
        yield row("  bare StreamingResponse", bare_memory, "KiB")
        yield row("  ratio", ratios(memory, bare_memory), most=1)
        yield row("  of a core, all together", processor, "%", most=5)
        yield row("  bare StreamingResponse", bare_processor, "%")


def _idle(server: Server, paths: Sequence[str], seconds: float) -> tuple[list[float], list[float]]:
    """Return the KiB per stream of each step, and the percentage of a core in each period of `seconds`."""
    step = len(paths) // IDLE_STEPS
    memory, processor = [], []
    loads: list[LineProgram] = []
    try:
        for at in range(0, len(paths), step):
            before = resident_megabytes(server.pid)
            loads.append(LineProgram("-m", "bench.programs.streamload"))
            loads[-1].send(json.dumps({"port": server.port, "readers": step, "paths": paths[at : at + step]}))
            loads[-1].receive()
            memory.append((resident_megabytes(server.pid) - before) * 1024 / step)
        for _ in range(IDLE_STEPS):
            before = processor_seconds(server.pid)
            time.sleep(seconds)
            processor.append((processor_seconds(server.pid) - before) / seconds * 100)
    finally:
        for load in loads:
            load.__exit__()
    return memory, processor
