"""Agents and their messages outlast times without the store or the memory."""

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest

from app.agent_processor import AgentProcessor
from app.agents import registry as registry_module
from app.agents.base import Agent, AgentTask, Drain, FinalResult
from app.agents.registry import AgentRegistry
from app.errors import StoreUnavailable
from app.maintenance import Maintenance
from app.models.attempts import Claim, Completed, Outcome, Released
from app.models.messages import MessageState
from app.observability.logging import Redactor
from app.observability.outages import Outage
from app.store.ports import Store
from tests.agent_loops import SharedLoop
from tests.clock import ManualClock
from tests.contract.builders import DONE, TENANT, claim, new, start
from tests.servers import settings_for


class ForgetfulAgent(Agent):
    """Its memory is away for a number of runs."""

    def __init__(self, away: int = 0) -> None:
        self.away = away

    async def run(self, task: AgentTask) -> AsyncGenerator[FinalResult]:
        """Raise StoreUnavailable for the first `away` runs, then answer."""
        self.away -= 1
        if self.away >= 0:
            raise StoreUnavailable("The memory at postgresql://u:hunter2@host/db is away.")
        yield FinalResult("remembered")

    async def fence_off(self, task: AgentTask) -> None:
        """Do nothing."""


async def outcome_of(store: Store, processor: AgentProcessor) -> Outcome:
    await store.add([new()], max_queued=1_000)
    taken: Claim = (await claim(store, limit=1))[0]
    return await processor.process(taken, Drain())


async def loaded(agent: Agent, failures: int = 0) -> AgentRegistry:
    left = failures

    async def load() -> Agent:
        nonlocal left
        left -= 1
        if left >= 0:
            raise StoreUnavailable("The store is away.")
        return agent

    registry = AgentRegistry({"chat": load}, redact=str)
    await registry.load()
    return registry


async def test_messages_come_back_ever_later_while_the_memory_is_away(store: Store, tmp_path: Path) -> None:
    agent, now = ForgetfulAgent(away=1_000), 100.0
    processor = AgentProcessor(
        store, SharedLoop(), await loaded(agent), settings_for(tmp_path), redactor=Redactor(), monotonic=lambda: now
    )
    delays = []
    for seconds in (0, 0, 1, 2, 4, 8, 16, 32):
        now += seconds
        outcome = await outcome_of(store, processor)
        assert isinstance(outcome, Released)
        assert "hunter2" not in outcome.reason
        delays.append(outcome.delay)
    assert delays == [1, 1, 1, 3, 7, 15, 30, 30], "after as long as it has been away, whatever the number of messages"
    agent.away = 0
    assert await outcome_of(store, processor) == Completed("remembered")
    agent.away = 1
    assert isinstance(again := await outcome_of(store, processor), Released)
    assert again.delay == 1, "it begins anew after a success"


async def test_an_agent_is_loaded_as_soon_as_the_store_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "LOAD_AGAIN_SECONDS", 0)
    registry = await loaded(ForgetfulAgent(), failures=3)
    assert registry.available == ("chat",)
    assert registry.failures == {}


class AwayMemory:
    """An agents' memory that is unavailable."""

    async def forget(self, memory_keys: list[str]) -> None:
        """Raise StoreUnavailable."""
        raise StoreUnavailable("The memory is away.")

    async def forget_messages(self, memory_key: str, memory_fence: tuple[int, int], message_ids: Sequence[str]) -> None:
        """Raise NotImplementedError, since no test calls this."""
        raise NotImplementedError

    async def forget_unfinished(self, memory_key: str, memory_fence: tuple[int, int]) -> None:
        """Raise NotImplementedError, since no test calls this."""
        raise NotImplementedError

    async def copy_until(self, source_key: str, checkpoint_id: str, target_key: str) -> bool:
        """Raise NotImplementedError, since no test calls this."""
        raise NotImplementedError

    async def measure(self, memory_keys: Sequence[str]) -> list[int]:
        """Raise NotImplementedError, since no test calls this."""
        raise NotImplementedError


async def test_nothing_is_pruned_while_the_memory_is_away(store: Store, clock: ManualClock, tmp_path: Path) -> None:
    """The memory of messages that are pruned meanwhile would be kept for ever."""
    lease = await start(store)
    await store.finish(lease, DONE)
    clock.advance(400 * 86_400)
    maintenance = Maintenance(store, AwayMemory, settings_for(tmp_path), outage=Outage("It works again"))
    with pytest.raises(StoreUnavailable):
        await maintenance.prune()
    assert (await store.get(TENANT, lease.message_id)).state is MessageState.COMPLETED
