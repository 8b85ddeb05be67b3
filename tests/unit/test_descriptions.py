"""How a worker tells others of its agents."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import pytest

from app.agents.base import Agent, AgentTask, FinalResult
from app.agents.descriptions import DescriptionPublisher
from app.agents.registry import AgentRegistry
from app.errors import StoreUnavailable
from app.models.agents import AgentDescription
from app.models.parts import Part


class Silent(Agent):
    """An agent that answers nothing."""

    async def run(self, task: AgentTask) -> AsyncGenerator[Part | FinalResult]:
        yield FinalResult("")

    async def fence_off(self, task: AgentTask) -> None:
        pass


class Kept:
    """The calls of a publisher; refuses as many of them as `refusals`."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.calls: asyncio.Queue[list[str]] = asyncio.Queue()

    async def describe_agents(self, descriptions: Sequence[AgentDescription]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise StoreUnavailable("away")
        self.calls.put_nowait([each.name for each in descriptions])

    async def next(self) -> list[str]:
        return await asyncio.wait_for(self.calls.get(), 20)


async def _silent() -> Agent:
    return Silent()


@contextlib.asynccontextmanager
async def publishing(kept: Kept, renew_seconds: float) -> AsyncIterator[DescriptionPublisher]:
    """A publisher of two loaded agents, woken once."""
    registry = AgentRegistry({"one": _silent, "two": _silent}, redact=str)
    await registry.load()
    publisher = DescriptionPublisher(registry, kept, renew_seconds=renew_seconds)
    publisher.wake()
    running = asyncio.create_task(publisher.run())
    try:
        yield publisher
    finally:
        running.cancel()


async def test_descriptions_are_stored_again_from_time_to_time() -> None:
    async with publishing(kept := Kept(), renew_seconds=0.01):
        for _ in range(3):
            assert await kept.next() == ["one", "two"]


async def test_descriptions_that_have_not_changed_are_stored_once() -> None:
    async with publishing(kept := Kept(), renew_seconds=600) as publisher:
        assert await kept.next() == ["one", "two"]
        publisher.wake()
        for _ in range(10):
            await asyncio.sleep(0)
        assert kept.calls.empty()


async def test_refused_descriptions_are_stored_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.agents.descriptions.PUBLISH_AGAIN_SECONDS", 0.01)
    async with publishing(kept := Kept(refusals=2), renew_seconds=600):
        assert await kept.next() == ["one", "two"]
    assert kept.refusals == 0
