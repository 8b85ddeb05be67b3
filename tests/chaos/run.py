"""A run: processes of the application under load, random faults, then peace, and the history of it all."""

import asyncio
import contextlib
import functools
import json
import logging
import math
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.chaos.clients import Clients
from tests.chaos.cluster import LEASE_SECONDS, Cluster, cluster
from tests.chaos.history import RECITE, TERMINAL_STATES, History, Stored, Violation, check, recoveries, story
from tests.chaos.processes import TELL_STACKS, ChaosProcess, Tampering, untouched
from tests.servers import until

logger = logging.getLogger(__name__)

RECOVERY_LIMIT_SECONDS = LEASE_SECONDS + LEASE_SECONDS / 6 + 1
"""Lease, rescue interval and a second; for a machine that has nothing else to do."""

WORKERS = 3
CLIENTS = 24
CALM_SECONDS = 0.4
"""Mean time between two faults."""

DRAIN_SECONDS = 60.0
HEAL_SECONDS = 20.0
EXIT_SECONDS = 15.0
"""After SIGTERM: 3 for open requests, 1 for runs, and time for a database that is away."""

MOST_THREADS = MOST_MESSAGES = 1000
AT_A_TIME = 8
SHOWN_VIOLATIONS = 5

PROCESS_FAULTS = ("kill", "kill", "stop", "stop", "terminate")
DATABASE_FAULTS = ("restart", "cut", "cut_after", "hold")


@dataclass
class Report:
    """The outcome of a run."""

    backend: str
    seed: str
    history: History
    faults: Counter[str]
    violations: list[Violation] = field(default_factory=list)

    @property
    def slowest_recovery(self) -> float:
        """Seconds from a kill until its message was back in the queue; 0 when no kill hit one."""
        return max((r.back - r.killed for r in recoveries(self.history)), default=0.0)

    def __str__(self) -> str:
        seen = self.history.seen
        lines = [f"{self.backend}, CHAOS_SEED={self.seed}: {len(self.violations)} violations; {dict(self.faults)}"]
        lines.append(f"{len(seen.submits)} sent, {self.history.stored.total} stored, {len(seen.cancels)} cancels")
        for violation in self.violations[:SHOWN_VIOLATIONS]:
            lines += [f"\n{violation.invariant}: {violation.text}", story(self.history, violation.message_id)]
        return "\n".join(lines)


class Faults:
    """Breaks things, one after the other, in an order that the seed decides. Holds no connection to the database."""

    def __init__(self, cluster: Cluster, clients: Clients, seed: str, kinds: Sequence[str] | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._cluster = cluster
        self._seen = clients.seen
        self._random = Random(f"{seed} faults")
        self._broken: set[object] = set()
        self._kinds = kinds or [
            *PROCESS_FAULTS * 2,
            *(DATABASE_FAULTS if cluster.database.proxy else ()),
        ]

    async def work(self, seconds: float) -> None:
        """Break things for so long, and leave everything whole and started."""
        end = time.monotonic() + seconds
        async with asyncio.TaskGroup() as tasks:
            while time.monotonic() < end:
                kind = self._random.choice(self._kinds)
                target = None if kind in DATABASE_FAULTS else self._random.choice(self._cluster.processes)
                length = self._random.uniform(0, 1)
                if target not in self._broken:
                    self._broken.add(target)
                    self.counts[kind] += 1
                    logger.info("Fault: %s of %s, %.3f", kind, target.life if target else "the database", length)
                    tasks.create_task(self._break(kind, target, length))
                await asyncio.sleep(self._random.uniform(0, 2 * CALM_SECONDS))

    async def _break(self, kind: str, target: ChaosProcess | None, length: float) -> None:
        if target is None:
            await self._break_database(kind, length)
        else:
            await self._break_process(kind, target, length)
        self._broken.discard(target)

    async def _break_process(self, kind: str, process: ChaosProcess, length: float) -> None:
        if kind == "stop":
            with self._pause():
                process.send(signal.SIGSTOP)
                await asyncio.sleep(LEASE_SECONDS * (0.5 + 2 * length))
                process.send(signal.SIGCONT)
            return
        if kind == "kill":
            self._seen.kills[process.life] = time.time()
            await process.kill()
        else:
            await self._terminate(process)
        await asyncio.sleep(length / 2)
        process.start()

    async def _terminate(self, process: ChaosProcess) -> None:
        process.send(signal.SIGTERM)
        try:
            await process.gone(EXIT_SECONDS)
        except AssertionError as error:
            self._seen.surprises.append((None, str(error)))
            process.send(TELL_STACKS)
            await asyncio.sleep(1)
            await process.kill()

    async def _break_database(self, kind: str, length: float) -> None:
        database = self._cluster.database
        assert database.proxy is not None
        if kind == "restart":
            with self._pause():
                await database.restart(length)
            return
        if kind == "cut":
            database.proxy.cut()
        elif kind == "cut_after":
            database.proxy.cut_after(int(length * 20_000))
        else:
            with self._pause():
                database.proxy.hold()
                await asyncio.sleep(LEASE_SECONDS * (0.2 + 1.5 * length))
                database.proxy.release()

    @contextlib.contextmanager
    def _pause(self) -> Iterator[None]:
        since = time.time()
        yield
        self._seen.pauses.append((since, time.time()))


async def run(
    backend: str,
    folder: Path,
    *,
    seconds: float,
    seed: str,
    tamper: Tampering = untouched,
    kinds: Sequence[str] | None = None,
    drain_seconds: float = DRAIN_SECONDS,
    recovery_limit: float = math.inf,
) -> Report:
    """Load and faults for so long, then peace until all is done, then the checks."""
    async with cluster(backend, folder) as running:
        apis = [running.add("api", "taker", slots=0, tamper=tamper), running.add("api", "both", slots=2, tamper=tamper)]
        for number in range(WORKERS):
            running.add("worker", f"worker{number}", slots=2, tamper=tamper)
        clients = Clients([api.url for api in apis], seed)
        try:
            for api in apis:
                await clients.answered_by(api)
            faults = Faults(running, clients, seed, kinds)
            async with asyncio.TaskGroup() as tasks:
                working = [tasks.create_task(clients.work(number)) for number in range(CLIENTS)]
                tasks.create_task(clients.watch_queue())
                await faults.work(seconds)
                await heal(running, clients)
                clients.closing.set()
                _, late = await asyncio.wait(working, timeout=drain_seconds)
                for task in late:
                    task.cancel()
            stored = await collect(clients, drain_seconds)
        finally:
            await clients.close()
    history = History(clients.seen, stored, recovery_limit)
    return Report(backend, seed, history, faults.counts, check(history))


async def heal(cluster: Cluster, clients: Clients) -> None:
    """Start what has ended, as a supervisor would; who does not get well is noted and asked no more."""
    for process in cluster.processes:
        try:
            await until(functools.partial(_is_well, process, clients), f"{process.name} gets well", HEAL_SECONDS)
        except AssertionError as error:
            clients.seen.surprises.append((None, f"{error}; its log: {process.log}"))
            process.send(TELL_STACKS)
            if process.url in clients.urls:
                clients.urls.remove(process.url)


async def _is_well(process: ChaosProcess, clients: Clients) -> bool:
    if process.exit_code is not None:
        process.start()
    return process.kind == "worker" or await clients.is_answered_by(process, "/health/ready")


async def collect(clients: Clients, drain_seconds: float = DRAIN_SECONDS) -> Stored:
    """The server's side once nothing waits and nothing runs; the agents are asked for what they remember."""
    url, stored = clients.urls[0], Stored()

    async def drained() -> bool:
        queue = await clients.get(url, "/queue", limit=1)
        return bool(queue["total_queued"] + queue["total_processing"] == 0)

    with contextlib.suppress(AssertionError):  # what is not done by then, the checks will name
        await until(drained, "all messages end", drain_seconds)
    random = Random(0)
    threads = [thread["thread_id"] for thread in await clients.get(url, "/threads", limit=MOST_THREADS)]
    assert len(threads) < MOST_THREADS, "more threads than one page: let clients stay in theirs for longer"
    recitals = {thread: await clients.submit(RECITE, thread, random=random, agent="brief") for thread in threads}
    with contextlib.suppress(AssertionError):
        await until(drained, "all recitals end", drain_seconds)
    queue = await clients.get(url, "/queue", limit=1)
    stored.total = sum(queue[f"total_{state}"] for state in ("queued", "processing", *TERMINAL_STATES.values()))
    for thread in threads:
        listed = (await clients.get(url, f"/threads/{thread}/messages", limit=MOST_MESSAGES))["messages"]
        stored.threads[thread] = [message["message_id"] for message in listed]
        stored.messages |= {message["message_id"]: message for message in listed}
    accepted = {submit.message_id for submit in clients.seen.submits if submit.message_id is not None}
    for message_id in accepted - stored.messages.keys():
        if (status := await clients.get(url, f"/messages/{message_id}/status")) is not None:
            stored.messages[message_id] = status
    ended = [message_id for message_id, message in stored.messages.items() if message["completed_at"] is not None]
    for first in range(0, len(ended), AT_A_TIME):
        some = ended[first : first + AT_A_TIME]
        logs = await asyncio.gather(*(clients.read(url, message_id, 0) for message_id in some))
        stored.logs.update(zip(some, logs, strict=True))
        starts = [random.randrange(len(log) or 1) for log in logs]
        await asyncio.gather(*(clients.read(clients.urls[-1], *each) for each in zip(some, starts, strict=True)))
    for thread, recital in recitals.items():
        if recital is not None and (result := stored.messages[recital]["result"]):
            stored.memories[thread] = [(kind, text) for kind, text in json.loads(result)]
    return stored
