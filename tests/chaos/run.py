"""A run: processes of the application under load, random faults, then peace, and the history of it all."""

import asyncio
import contextlib
import functools
import json
import logging
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.chaos.backends import BACKENDS, Database
from tests.chaos.clients import Clients
from tests.chaos.history import RECITE, TERMINAL_STATES, History, Stored, Violation, check, recoveries, story
from tests.chaos.processes import ChaosProcess, Tampering, untouched
from tests.servers import until

logger = logging.getLogger(__name__)

LEASE_SECONDS = 1.0
RECOVERY_LIMIT_SECONDS = LEASE_SECONDS + LEASE_SECONDS / 6 + 1
CLIENTS = 16
CALM_SECONDS = 0.4
"""Mean time between two faults."""

DRAIN_SECONDS = 60.0
SHOWN_VIOLATIONS = 5

Fault = Callable[[], Awaitable[None]]
PROCESS_FAULTS = ("kill", "kill", "stop", "stop", "terminate")
DATABASE_FAULTS = ("restart", "cut", "cut_after", "hold")


@dataclass
class Report:
    """What came of a run."""

    backend: str
    seed: str
    history: History
    faults: Counter[str]
    violations: list[Violation] = field(default_factory=list)

    @property
    def slowest_recovery(self) -> float:
        """Seconds from a kill until its message was back in the queue; 0 when no kill hit one."""
        return max((seconds for seconds, _ in recoveries(self.history)), default=0.0)

    def __str__(self) -> str:
        seen = self.history.seen
        lines = [f"{self.backend}, CHAOS_SEED={self.seed}: {len(self.violations)} violations; {dict(self.faults)}"]
        lines.append(f"{len(seen.submits)} sent, {self.history.stored.total} stored, {len(seen.cancels)} cancels")
        for violation in self.violations[:SHOWN_VIOLATIONS]:
            lines += [f"\n{violation.invariant}: {violation.text}", story(self.history, violation.message_id)]
        return "\n".join(lines)


@dataclass
class Cluster:
    """The processes and the database of a run."""

    database: Database
    apis: list[ChaosProcess]
    workers: list[ChaosProcess]

    @property
    def all(self) -> list[ChaosProcess]:
        """Every process."""
        return [*self.apis, *self.workers]


@contextlib.asynccontextmanager
async def cluster(
    backend: str, folder: Path, *, workers: int, tamper: Tampering = untouched, **environment: str
) -> AsyncIterator[Cluster]:
    """An API process that only takes messages, one that also runs them, and workers; started, maybe not yet ready."""
    async with BACKENDS[backend](folder) as database:
        shared = {
            "DATABASE_URL": database.url,
            "LEASE_SECONDS": str(LEASE_SECONDS),
            "SHUTDOWN_GRACE_SECONDS": "1",
            **environment,
        }
        running = Cluster(
            database,
            [
                ChaosProcess("api", f"api{slots}", folder, tamper=tamper, WORKER_CONCURRENCY=slots, **shared)
                for slots in ("0", "2")
            ],
            [
                ChaosProcess("worker", f"worker{n}", folder, tamper=tamper, WORKER_CONCURRENCY="2", **shared)
                for n in range(workers)
            ],
        )
        try:
            for process in running.all:
                process.start()
            yield running
        finally:
            for process in running.all:
                process.close()


class Faults:
    """Breaks things, one after the other, in an order that the seed decides. Holds no connection to the database."""

    def __init__(self, cluster: Cluster, clients: Clients, seed: str, kinds: Sequence[str] | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._cluster = cluster
        self._kills = clients.seen.kills
        self._random = Random(f"{seed} faults")
        self._broken: set[object] = set()
        self._kinds = kinds or [
            *PROCESS_FAULTS * 2,
            *(("restart",) if cluster.database.server else ()),
            *(("cut", "cut_after", "hold") if cluster.database.proxy else ()),
        ]

    async def work(self, seconds: float) -> None:
        """Break things for so long, and leave everything whole and started."""
        end = time.monotonic() + seconds
        async with asyncio.TaskGroup() as tasks:
            while time.monotonic() < end:
                kind = self._random.choice(self._kinds)
                target = None if kind in DATABASE_FAULTS else self._random.choice(self._cluster.all)
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
            process.send(signal.SIGSTOP)
            await asyncio.sleep(LEASE_SECONDS * (0.5 + 2 * length))
            process.send(signal.SIGCONT)
            return
        if kind == "kill":
            self._kills[process.life] = time.time()
            await process.kill()
        else:
            process.send(signal.SIGTERM)
            await process.gone()
        await asyncio.sleep(length / 2)
        process.start()

    async def _break_database(self, kind: str, length: float) -> None:
        database = self._cluster.database
        if kind == "restart":
            await database.restart(length)
            return
        assert database.proxy is not None
        if kind == "cut":
            database.proxy.cut()
        elif kind == "cut_after":
            database.proxy.cut_after(int(length * 20_000))
        else:
            database.proxy.hold()
            await asyncio.sleep(LEASE_SECONDS * (0.2 + 1.5 * length))
            database.proxy.release()


async def run(
    backend: str,
    folder: Path,
    *,
    seconds: float,
    seed: str,
    tamper: Tampering = untouched,
    kinds: Sequence[str] | None = None,
    drain_seconds: float = DRAIN_SECONDS,
) -> Report:
    """Load and faults for so long, then peace until all is done, then the checks."""
    async with cluster(backend, folder, workers=2, tamper=tamper) as running:
        clients = Clients([api.url for api in running.apis], seed)
        try:
            for api in running.apis:
                await until(functools.partial(_answers, clients, api), f"{api.name} answers; its log: {api.log}")
            faults = Faults(running, clients, seed, kinds)
            async with asyncio.TaskGroup() as tasks:
                working = [tasks.create_task(clients.work(number)) for number in range(CLIENTS)]
                tasks.create_task(clients.watch_queue())
                await faults.work(seconds)
                clients.closing.set()
                _, late = await asyncio.wait(working, timeout=drain_seconds)
                for task in late:
                    task.cancel()
            stored = await collect(clients, running.apis, drain_seconds)
        finally:
            await clients.close()
    history = History(clients.seen, stored, RECOVERY_LIMIT_SECONDS)
    return Report(backend, seed, history, faults.counts, check(history))


async def _answers(clients: Clients, api: ChaosProcess) -> bool:
    assert api.exit_code is None, api.log.read_text()
    with contextlib.suppress(Exception):
        return bool(await clients.get(api.url, "/health/live"))
    return False


async def collect(clients: Clients, apis: Sequence[ChaosProcess], drain_seconds: float) -> Stored:
    """The server's side once nothing waits and nothing runs; the agents are asked for what they remember."""
    url, stored = apis[0].url, Stored()

    async def drained() -> bool:
        queue = await clients.get(url, "/queue", limit=1)
        return queue["total_queued"] + queue["total_processing"] == 0

    with contextlib.suppress(AssertionError):  # what is not done by then, the checks will name
        await until(drained, "all messages end", drain_seconds)
    random = Random(0)
    threads = [thread["thread_id"] for thread in await clients.get(url, "/threads")]
    recitals = {thread: await clients.submit(RECITE, thread, random=random, agent="brief") for thread in threads}
    with contextlib.suppress(AssertionError):
        await until(drained, "all recitals end", drain_seconds)
    queue = await clients.get(url, "/queue", limit=1)
    stored.total = sum(queue[f"total_{state}"] for state in ("queued", "processing", *TERMINAL_STATES.values()))
    for thread in threads:
        listed = (await clients.get(url, f"/threads/{thread}/messages", limit=1000))["messages"]
        stored.threads[thread] = [message["message_id"] for message in listed]
    ids = {s.message_id for s in clients.seen.submits if s.message_id is not None}
    for message_id in sorted(ids.union(*stored.threads.values())):
        stored.messages[message_id] = status = await clients.get(url, f"/messages/{message_id}/status")
        if status["completed_at"] is not None:
            stored.logs[message_id] = await clients.read(url, message_id, after=0)
            await clients.read(apis[1].url, message_id, after=random.randrange(len(stored.logs[message_id]) or 1))
    for thread, message_id in recitals.items():
        if message_id is not None and (result := stored.messages[message_id]["result"]):
            stored.memories[thread] = [(kind, text) for kind, text in json.loads(result)]
    return stored
