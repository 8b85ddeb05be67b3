"""What an API process delivers to readers of streams, and what streams take that nothing comes on.

Delivered events are put over the processor seconds that the API process takes for them, which is what it would deliver
in a second of a whole core. That does not depend on how fast this machine's other core writes and reads, and it is the
same measure for what we compare with.

**Live.** A writer in another process, like a worker, appends to one running message at a steady pace while all readers
read, so that each is woken for each write. At each number of readers the pace makes the same 50,000 deliveries a second
or fewer, less than the process can. Compared with a hand-made StreamingResponse with a queue for each reader, which is
filled with the same frames at the same pace from memory, one event a send. Text is merged into larger chunks when it
is written, never here: events are counted as they are delivered.

**Replay.** The log of a finished message, read by all readers at once, connecting included. Compared with a hand-made
StreamingResponse that has the same frames at hand, and sends one a send without ever waiting; many of its sends so
leave in one write of the kernel. Live events stand beside this one too, although nothing live can be like it.
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
"""Five of these are two rounds of keep-alives."""

BARE_IDLE_SECONDS = 1.0
"""Nothing ever happens there."""


class Live(NamedTuple):
    """How a running message is written."""

    readers: int
    events: int
    burst: int
    pause: float


LIVE = (Live(1, 20_000, 200, 0.01), Live(64, 800, 8, 0.01), Live(1_000, 150, 1, 0.02))
REPLAY = {1: 20_000, 64: 5_000, 1_000: 500}
"""Readers and the events that each gets."""

FEW_READERS = 64
"""More of them are measured on one backend only: for an event all readers of a message need one read, on any."""


class Talk:
    """A program that is told things line by line, and answers in lines of JSON."""

    def __init__(self, *arguments: str) -> None:
        self._program = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=Path(__file__).parent.parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        pin(self._program.pid, 1)

    def __enter__(self) -> "Talk":
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe(self._program.stdin).close()
        self._program.wait(30)

    def tell(self, line: str) -> None:
        """Write a line."""
        pipe = self._pipe(self._program.stdin)
        pipe.write(f"{line}\n")
        pipe.flush()

    def hear(self) -> Any:
        """The next line."""
        return json.loads(self._pipe(self._program.stdout).readline())

    def ask(self, line: str) -> Any:
        """Write a line and read the answer."""
        self.tell(line)
        return self.hear()

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


class Side(NamedTuple):
    """One of two servers that are compared."""

    pid: int
    port: int


class Delivered(NamedTuple):
    """What readers got, and what that took."""

    events: int
    seconds: float
    processor: float

    @property
    def per_core(self) -> float:
        """Events in a second of a whole core."""
        return self.events / self.processor


@contextmanager
def _sides(folder: Path, url: str) -> Iterator[tuple[Side, Side]]:
    """An API process of ours, and the bare server."""
    port, bare_port = free_port(), free_port()
    environment = settings(url, port, WORKER_CONCURRENCY="0")
    with (
        process("-m", "app.main", folder=folder, environment=environment) as ours,
        process("-m", "bench.programs.bare", str(bare_port), folder=folder) as bare,
    ):
        for each in (port, bare_port):
            wait_for_port(each)
        time.sleep(1)  # what is done at a start, such as loading agents, is over
        yield Side(ours.pid, port), Side(bare.pid, bare_port)


def _deliver(
    side: Side, readers: int, paths: Sequence[str], events: int, when_open: Callable[[], object] | None
) -> Delivered:
    """Have readers read, all of so many events; connecting counts unless something is done `when_open`."""
    with Talk("-m", "bench.programs.streamload") as load:
        processor = processor_seconds(side.pid)
        load.tell(json.dumps({"port": side.port, "readers": readers, "paths": paths}))
        load.hear()
        if when_open is not None:
            processor = processor_seconds(side.pid)
            when_open()
        told = load.hear()
        processor = processor_seconds(side.pid) - processor
    if told["events"] < readers * events:
        raise RuntimeError(f"{readers} readers got {told['events']} events, not {events} each")
    return Delivered(int(told["events"]), told["seconds"], max(processor, 0.01))


def _broadcast(side: Side, live: Live) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{side.port}/broadcast/{live.events}/{live.burst}/{live.pause}", method="POST"
    )
    with urllib.request.urlopen(request, timeout=60):
        pass


def streams(backends: Sequence[str]) -> Iterator[Row]:
    """Events to 1, 64 and 1,000 readers, live and replayed, by a second of a core, against a bare StreamingResponse."""
    for number, name in enumerate(backends):
        with (
            database(name) as (folder, url),
            _sides(folder, url) as (ours, bare),
            Talk("-m", "bench.programs.writer", url) as writer,
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


def _live(ours: Side, bare: Side, writer: Talk, live: Live) -> tuple[list[Delivered], list[Delivered]]:
    found: tuple[list[Delivered], list[Delivered]] = ([], [])
    for _ in range(ROUNDS):
        (message_id,) = writer.ask("running 1")
        write = functools.partial(writer.ask, f"write {live.events} {live.burst} {live.pause}")
        found[0].append(_deliver(ours, live.readers, [f"/messages/{message_id}/stream"], live.events, write))
        broadcast = functools.partial(_broadcast, bare, live)
        found[1].append(_deliver(bare, live.readers, ["/live"], live.events, broadcast))
    return found


def _replay(ours: Side, bare: Side, writer: Talk, readers: int, events: int) -> tuple[list[Delivered], list[Delivered]]:
    found: tuple[list[Delivered], list[Delivered]] = ([], [])
    for _ in range(ROUNDS):
        message_id = writer.ask(f"finished {events}")
        found[0].append(_deliver(ours, readers, [f"/messages/{message_id}/stream"], events, None))
        found[1].append(_deliver(bare, readers, [f"/events/{events}"], events, None))
    return found


def idle(backends: Sequence[str]) -> Iterator[Row]:
    """10,000 streams on which nothing comes, each of its own message, against a bare StreamingResponse that sleeps.

    Memory is what each further 2,000 streams add. The processor is looked at once all are open; ours sends keep-alives.
    """
    for name in backends:
        with database(name) as (folder, url), _sides(folder, url) as (ours, bare):
            with Talk("-m", "bench.programs.writer", url) as writer:
                running = writer.ask(f"running {IDLE_STREAMS}")
            memory, processor = _idle(ours, [f"/messages/{message_id}/stream" for message_id in running], IDLE_SECONDS)
            bare_memory, bare_processor = _idle(bare, ["/idle"] * IDLE_STREAMS, BARE_IDLE_SECONDS)
        yield row(f"an idle stream of {IDLE_STREAMS:,}, {name}", memory, "KiB", most=30)
        yield row("  bare StreamingResponse", bare_memory, "KiB")
        yield row("  ratio", ratios(memory, bare_memory), most=1)
        yield row("  of a core, all together", processor, "%", most=5)
        yield row("  bare StreamingResponse", bare_processor, "%")


def _idle(side: Side, paths: Sequence[str], seconds: float) -> tuple[list[float], list[float]]:
    """KiB of each stream step by step, and the share of a core in percent, over so many seconds each time."""
    step = len(paths) // IDLE_STEPS
    memory, processor = [], []
    loads: list[Talk] = []
    try:
        for at in range(0, len(paths), step):
            before = resident_megabytes(side.pid)
            loads.append(Talk("-m", "bench.programs.streamload"))
            loads[-1].tell(json.dumps({"port": side.port, "readers": step, "paths": paths[at : at + step]}))
            loads[-1].hear()
            memory.append((resident_megabytes(side.pid) - before) * 1024 / step)
        for _ in range(IDLE_STEPS):
            before = processor_seconds(side.pid)
            time.sleep(seconds)
            processor.append((processor_seconds(side.pid) - before) / seconds * 100)
    finally:
        for load in loads:
            load.__exit__()
    return memory, processor
