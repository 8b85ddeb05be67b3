"""A worker's bookkeeping of its runs when leases are lost and things go wrong around it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.agent_processor import AgentProcessor
from app.agents.base import Agent, AgentTask, FinalResult
from app.agents.registry import AgentRegistry
from app.models import Claim, MessageState
from app.store.sqlite.store import SqliteStore
from app.telemetry import Redactor
from app.worker import QueueWorker
from tests.clock import ManualClock
from tests.contract.builders import TENANT, add
from tests.servers import settings_for, until

LEASE_SECONDS = 1_000.0


class GatedAgent:
    """Answers a run when the test lets it, in the order in which the runs began."""

    def __init__(self) -> None:
        self.gates: list[asyncio.Event] = []

    async def run(self, task: AgentTask) -> AsyncGenerator[FinalResult]:
        """See `Agent.run`."""
        gate = asyncio.Event()
        self.gates.append(gate)
        await gate.wait()
        yield FinalResult(f"attempt {task.lease.attempt}")


class FailingOnce(SqliteStore):
    """A store whose first claim fails as no store should."""

    failures = 0

    async def claim(self, *args: Any, **options: Any) -> list[Claim]:
        """See `MessageStore.claim`."""
        if not self.failures:
            self.failures += 1
            raise ValueError("nobody expected this")
        return await super().claim(*args, **options)


async def registry_of(agent: GatedAgent) -> AgentRegistry:
    async def load() -> Agent:
        return agent

    registry = AgentRegistry({"chat": load}, redact=str)
    await registry.load()
    return registry


@pytest.fixture
def agent() -> GatedAgent:
    return GatedAgent()


@pytest.fixture
async def store(tmp_path: Path, clock: ManualClock) -> AsyncIterator[SqliteStore]:
    opened = FailingOnce(tmp_path / "queue.db", clock=clock)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def worker(store: SqliteStore, agent: GatedAgent, tmp_path: Path) -> AsyncIterator[QueueWorker]:
    settings = settings_for(tmp_path, worker_concurrency=2, lease_seconds=LEASE_SECONDS)
    registry = await registry_of(agent)
    processor = AgentProcessor(store, registry, timeout_seconds=60, redactor=Redactor())
    started = QueueWorker(store, processor, registry, settings)
    started.start()
    yield started
    await started.stop(0)


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
