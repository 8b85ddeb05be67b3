"""A worker's bookkeeping of its runs when leases are lost and things go wrong around it."""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.agent_processor import AgentProcessor
from app.agents.base import Agent, AgentTask, FinalResult
from app.agents.registry import AgentRegistry
from app.config import Settings
from app.models.attempts import Beat, Cancelled, Claim, Completed, Lease, Outcome, Released
from app.models.messages import MessageState
from app.models.workers import Worker, WorkerState
from app.observability.logging import Redactor
from app.observability.outages import Outage
from app.store.ports import CANCELS, LeaseRenewer
from app.store.sqlite.store import SqliteStore
from app.worker import QueueWorker
from tests.agent_loops import SharedLoop
from tests.clock import ManualClock
from tests.contract.builders import TENANT, add
from tests.servers import DEADLINE_SECONDS, settings_for, until

LEASE_SECONDS = 1_000.0
TURNS = 20
"""Number of turns of the event loop after which a hint has long arrived."""


class GatedAgent(Agent):
    """Answers a run when the test lets it, in the order in which the runs began."""

    def __init__(self) -> None:
        self.gates: list[asyncio.Event] = []

    async def run(self, task: AgentTask) -> AsyncGenerator[FinalResult]:
        """Answer once the run's gate is open."""
        gate = asyncio.Event()
        self.gates.append(gate)
        await gate.wait()
        yield FinalResult(f"attempt {task.lease.attempt}")

    async def fence_off(self, task: AgentTask) -> None:
        """Do nothing."""


class FailingOnce(SqliteStore):
    """A store whose first claim raises an error that is no AgentQueueError."""

    failures = 0

    async def claim(self, *args: Any, **options: Any) -> list[Claim]:
        """Raise ValueError at the first call, then claim."""
        if not self.failures:
            self.failures += 1
            raise ValueError("nobody expected this")
        return await super().claim(*args, **options)


class WithSlowEnds(FailingOnce):
    """A store that finishes a message only when the test lets it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.ending: list[Outcome] = []
        self.may_end = asyncio.Event()
        self.beats = 0

    def beaten(self, before: int) -> bool:
        """Whether there was another beat."""
        return self.beats > before

    async def finish(self, lease: Lease, outcome: Outcome) -> None:
        """Wait until `may_end` is set, then finish."""
        self.ending.append(outcome)
        await self.may_end.wait()
        await super().finish(lease, outcome)

    @contextmanager
    def open_lease_renewer(self) -> Iterator[LeaseRenewer]:
        """Yield a renewer that counts the heartbeats."""
        with super().open_lease_renewer() as renewer:
            yield Counted(renewer, self)


class Counted:
    """A lease renewer that counts its heartbeats."""

    def __init__(self, renewer: LeaseRenewer, store: WithSlowEnds) -> None:
        self._renewer = renewer
        self._store = store

    def beat(self, worker: Worker, leases: Collection[Lease], *, lease_seconds: float) -> Beat:
        """Send a heartbeat and count it."""
        beat = self._renewer.beat(worker, leases, lease_seconds=lease_seconds)
        self._store.beats += 1
        return beat

    def stop(self, worker_id: str) -> None:
        """Remove the worker."""
        self._renewer.stop(worker_id)


class Hanging:
    """A lease renewer that hangs after its first heartbeat until `answering` is set."""

    def __init__(self, renewer: LeaseRenewer, answering: threading.Event) -> None:
        self._renewer = renewer
        self._answering = answering
        self._beats = 0

    def beat(self, worker: Worker, leases: Collection[Lease], *, lease_seconds: float) -> Beat:
        """Send a heartbeat; from the second on, wait for `answering` first."""
        self._beats += 1
        if self._beats > 1:
            assert self._answering.wait(DEADLINE_SECONDS)
        return self._renewer.beat(worker, leases, lease_seconds=lease_seconds)

    def stop(self, worker_id: str) -> None:
        """Remove the worker."""
        self._renewer.stop(worker_id)


class HangingRenewerStore(SqliteStore):
    """A store that answers all calls except heartbeats."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.answering = threading.Event()

    @contextmanager
    def open_lease_renewer(self) -> Iterator[LeaseRenewer]:
        """Yield a renewer that hangs."""
        with super().open_lease_renewer() as renewer:
            yield Hanging(renewer, self.answering)


async def registry_of(agent: GatedAgent) -> AgentRegistry:
    async def load() -> Agent:
        return agent

    registry = AgentRegistry({"chat": load}, redact=str)
    await registry.load()
    registry.loaded.set()
    return registry


def worker_of(store: SqliteStore, registry: AgentRegistry, settings: Settings) -> QueueWorker:
    loop = SharedLoop()
    return QueueWorker(
        store,
        AgentProcessor(store, loop, registry, settings, redactor=Redactor()),
        registry,
        settings,
        loop=loop,
        outage=Outage("It works again"),
    )


@pytest.fixture
def agent() -> GatedAgent:
    return GatedAgent()


@pytest.fixture
async def store(tmp_path: Path, clock: ManualClock) -> AsyncIterator[SqliteStore]:
    opened = WithSlowEnds(tmp_path / "queue.db", clock=clock)
    opened.may_end.set()
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def worker(store: SqliteStore, agent: GatedAgent, tmp_path: Path) -> AsyncIterator[QueueWorker]:
    settings = settings_for(tmp_path, worker_concurrency=2, lease_seconds=LEASE_SECONDS)
    registry = await registry_of(agent)
    started = worker_of(store, registry, settings)
    started.start()
    yield started
    await started.stop(0)


async def test_runs_are_stopped_when_a_beat_does_not_return(agent: GatedAgent, tmp_path: Path) -> None:
    store = HangingRenewerStore(tmp_path / "queue.db")
    await store.open()
    settings = settings_for(tmp_path, worker_concurrency=1, lease_seconds=1)
    registry = await registry_of(agent)
    worker = worker_of(store, registry, settings)
    worker.start()
    first, second = await add(store), await add(store)
    try:
        await until(lambda: agent.gates, "the first message runs")
        await until(lambda: not worker.beating and not worker.leases(), "it is stopped")
        await until(store.rescue, "another worker takes it")
        assert await state(store, first.id) is await state(store, second.id) is MessageState.QUEUED
    finally:
        store.answering.set()
    await until(lambda: len(agent.gates) == 2, "the worker goes on when the heart does")
    await worker.stop(0)
    await store.close()


async def state(store: SqliteStore, message_id: str) -> MessageState:
    return (await store.get(TENANT, message_id)).state


async def test_a_claim_that_fails_as_nobody_expected_does_not_end_the_worker(
    store: FailingOnce, worker: QueueWorker, agent: GatedAgent
) -> None:
    await until(lambda: store.failures, "the first claim has failed")
    message = await add(store)
    await until(lambda: agent.gates, "the next one worked")
    assert worker.beating
    agent.gates[0].set()

    async def completed() -> bool:
        return await state(store, message.id) is MessageState.COMPLETED

    await until(completed, "the message is completed")


async def test_a_worker_that_gets_its_own_lost_message_again_keeps_the_runs_apart(
    store: SqliteStore, worker: QueueWorker, agent: GatedAgent, clock: ManualClock
) -> None:
    """After a suspension the rescue may come before the next beat, and the same worker may claim the message anew."""
    message = await add(store)
    await until(lambda: len(agent.gates) == 1, "the first attempt runs")
    clock.advance(LEASE_SECONDS + 1)
    assert await store.rescue() == 1
    await until(lambda: len(agent.gates) == 2, "the second attempt runs beside it")
    assert len(worker.leases()) == 2
    agent.gates[0].set()
    await until(lambda: len(worker.leases()) == 1, "the first run has ended, and only that")
    assert [lease.attempt for lease in worker.leases()] == [2]
    assert await state(store, message.id) is MessageState.PROCESSING
    agent.gates[1].set()
    await until(lambda: not worker.leases(), "the second run has ended")
    ended = await store.get(TENANT, message.id)
    assert (ended.state, ended.result, ended.attempt) == (MessageState.COMPLETED, "attempt 2", 2)


async def test_a_run_that_is_cancelled_before_its_first_step_frees_its_slot(
    store: SqliteStore, worker: QueueWorker, agent: GatedAgent
) -> None:
    await add(store)
    await until(worker.leases, "the message is claimed")
    worker.on_silence()
    await until(lambda: not worker.leases(), "the slot is free")


async def test_a_cancelled_message_stops_its_run_at_once_and_no_other(
    store: WithSlowEnds, worker: QueueWorker, agent: GatedAgent
) -> None:
    """The beats are minutes apart; the hint calls for one."""
    cancelled, other = await add(store), await add(store)
    await until(lambda: len(agent.gates) == 2, "both run")
    await store.cancel(TENANT, cancelled.id, running=True)
    await until(lambda: len(worker.leases()) == 1, "one run has ended")
    assert await state(store, cancelled.id) is MessageState.CANCELLED
    assert await state(store, other.id) is MessageState.PROCESSING
    assert store.ending == [Cancelled()]
    agent.gates[1].set()
    await until(lambda: not worker.leases(), "the other run has ended")
    assert await state(store, other.id) is MessageState.COMPLETED


async def test_a_cancel_that_meets_the_end_of_a_run_does_not_break_it_off(
    store: WithSlowEnds, worker: QueueWorker, agent: GatedAgent
) -> None:
    """Else the message would be left to the rescue, after a lease."""
    store.may_end.clear()
    message = await add(store)
    await until(lambda: agent.gates, "it runs")
    agent.gates[0].set()
    await until(lambda: store.ending, "the end is under way")
    await store.cancel(TENANT, message.id, running=True)
    beats = store.beats
    store.publish(CANCELS)  # the beat that the cancel asked for may have been counted already
    await until(lambda: store.beats > beats, "the worker is told")
    store.may_end.set()
    await until(lambda: not worker.leases(), "the run has ended")
    assert store.ending == [Completed("attempt 1")]
    assert await state(store, message.id) is MessageState.CANCELLED


async def test_a_beat_that_meets_the_end_of_a_run_takes_it_for_no_lost_lease(
    store: WithSlowEnds, worker: QueueWorker, agent: GatedAgent, caplog: pytest.LogCaptureFixture
) -> None:
    """The store may have ended the message before the worker knows."""
    store.may_end.clear()
    message = await add(store)
    await until(lambda: agent.gates, "it runs")
    agent.gates[0].set()
    await until(lambda: store.ending, "the end is under way")
    worker.on_beat(worker.leases(), Beat({}, frozenset()))
    store.may_end.set()
    await until(lambda: not worker.leases(), "the run has ended")
    assert await state(store, message.id) is MessageState.COMPLETED
    assert "Lease lost" not in caplog.text


async def test_a_second_beat_does_not_break_off_a_run_that_is_being_stopped(
    store: WithSlowEnds, worker: QueueWorker, agent: GatedAgent
) -> None:
    store.may_end.clear()
    message = await add(store)
    await until(lambda: agent.gates, "it runs")
    for _ in range(3):
        await store.cancel(TENANT, message.id, running=True)
        beats = store.beats
        store.publish(CANCELS)
        await until(partial(store.beaten, beats), "the worker is told")
    store.may_end.set()
    await until(lambda: not worker.leases(), "the run has ended")
    assert store.ending == [Cancelled()]
    assert await state(store, message.id) is MessageState.CANCELLED


async def test_a_hint_that_comes_before_the_claim_does_is_not_lost(
    store: WithSlowEnds, worker: QueueWorker, agent: GatedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message may be cancelled after the store has given it out, and before the worker knows that it runs it."""
    claim = store.claim

    async def claim_and_cancel(*args: Any, **options: Any) -> list[Claim]:
        claims = await claim(*args, **options)
        for each in claims:
            await store.cancel(TENANT, each.message.id, running=True)
            for _ in range(TURNS):
                await asyncio.sleep(0)
        return claims

    await until(lambda: store.failures, "the first claim has failed")
    monkeypatch.setattr(store, "claim", claim_and_cancel)
    message = await add(store)

    async def cancelled() -> bool:
        return await state(store, message.id) is MessageState.CANCELLED

    await until(cancelled, "the message has ended")


async def state_of_worker(store: SqliteStore) -> WorkerState:
    (listed,) = await store.list_workers()
    return listed.state


async def test_an_idle_worker_that_is_drained_claims_nothing_until_it_is_resumed(
    store: WithSlowEnds, worker: QueueWorker, agent: GatedAgent
) -> None:
    """The heartbeats are minutes apart; the hint calls for one."""
    await until(lambda: store.beats, "the worker is listed")
    await store.drain_worker(worker.id, draining=True)

    async def drained() -> bool:
        return await state_of_worker(store) is WorkerState.DRAINED

    await until(drained, "the worker is drained")
    message = await add(store)
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert await state(store, message.id) is MessageState.QUEUED
    await store.drain_worker(worker.id, draining=False)
    await until(lambda: agent.gates, "the message runs")
    assert await state_of_worker(store) is WorkerState.ACTIVE
    agent.gates[0].set()
    await until(lambda: not worker.leases(), "the run has ended")
    assert await state(store, message.id) is MessageState.COMPLETED


async def test_a_run_that_ends_within_the_grace_period_keeps_its_result(
    store: WithSlowEnds, worker: QueueWorker, agent: GatedAgent
) -> None:
    message = await add(store)
    await until(lambda: agent.gates, "it runs")
    await store.drain_worker(worker.id, draining=True)
    await until(lambda: worker.state() is WorkerState.DRAINING, "the worker knows")
    assert await state_of_worker(store) is WorkerState.DRAINING
    agent.gates[0].set()

    async def drained() -> bool:
        return await state_of_worker(store) is WorkerState.DRAINED

    await until(drained, "the worker is drained")
    assert await state(store, message.id) is MessageState.COMPLETED


async def test_runs_that_exceed_the_grace_period_are_put_back_without_losing_an_attempt(
    store: WithSlowEnds, agent: GatedAgent, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path, worker_concurrency=1, lease_seconds=LEASE_SECONDS, shutdown_grace_seconds=0)
    worker = worker_of(store, await registry_of(agent), settings)
    worker.start()
    message = await add(store)
    await until(lambda: agent.gates, "it runs")
    await store.drain_worker(worker.id, draining=True)

    async def drained() -> bool:
        return await state_of_worker(store) is WorkerState.DRAINED

    await until(drained, "the worker is drained")
    found = await store.get(TENANT, message.id)
    assert (found.state, found.attempt) == (MessageState.QUEUED, 0)
    assert store.ending == [Released("The worker was drained.")]
    await store.drain_worker(worker.id, draining=False)
    await until(lambda: len(agent.gates) == 2, "it runs again")
    agent.gates[1].set()
    await until(lambda: not worker.leases(), "the run has ended")
    assert (await store.get(TENANT, message.id)).result == "attempt 1"
    await worker.stop(0)


async def test_a_drain_leaves_alone_the_ends_that_are_being_stored(
    store: WithSlowEnds, agent: GatedAgent, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path, worker_concurrency=1, lease_seconds=LEASE_SECONDS, shutdown_grace_seconds=0)
    worker = worker_of(store, await registry_of(agent), settings)
    worker.start()
    store.may_end.clear()
    message = await add(store)
    await until(lambda: agent.gates, "it runs")
    agent.gates[0].set()
    await until(lambda: store.ending, "the end is under way")
    await store.drain_worker(worker.id, draining=True)
    await until(lambda: worker.state() is WorkerState.DRAINING, "the worker knows")
    for _ in range(TURNS):
        await asyncio.sleep(0)
    store.may_end.set()
    await until(lambda: worker.state() is WorkerState.DRAINED, "the run has ended")
    assert await state(store, message.id) is MessageState.COMPLETED
    await worker.stop(0)
