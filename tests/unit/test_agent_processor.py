"""The end of a run decides about its message: tried again, failed for good, interrupted, or put back."""

from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from app.agent_processor import AgentProcessor
from app.agents.base import Agent, AgentInterrupted, AgentTask, Drain, FinalResult
from app.agents.registry import AgentRegistry
from app.errors import StoreError
from app.maintenance import Maintenance
from app.models.agents import AgentDescription
from app.models.attempts import Completed, Failed, Interrupted, Outcome, Retry
from app.models.items import ItemWrite
from app.models.messages import MessageOptions
from app.models.parts import Part
from app.observability.logging import Redactor
from app.observability.outages import Outage
from app.store.limits import KEY_SECONDS
from app.store.sqlite.store import SqliteStore
from tests.agent_loops import SharedLoop
from tests.clock import ManualClock
from tests.contract.builders import TENANT, claim, new, request_key, resume
from tests.servers import settings_for
from tests.unit.sqlite_tools import ask

SECRET = "hunter2-hunter2"


class Scripted(Agent):
    """Says a word and then raises what it was given, or answers."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.tasks: list[AgentTask] = []

    async def run(self, task: AgentTask) -> AsyncGenerator[Part | FinalResult]:
        """Yield a word, then raise `error` or yield the answer."""
        self.tasks.append(task)
        yield Part("content", "word")
        if self.error is not None:
            raise self.error
        yield FinalResult("answer")

    async def fence_off(self, task: AgentTask) -> None:
        """Do nothing."""


class Bench:
    """A processor on a store, with an agent whose error the test chooses."""

    def __init__(self, store: SqliteStore, agent: Scripted, processor: AgentProcessor) -> None:
        self.store = store
        self.agent = agent
        self.processor = processor

    async def outcome(self, error: Exception | None, *, attempt: int = 1, **options: Any) -> Outcome:
        """Return the outcome of this attempt at a message with these options, if the agent raises `error`."""
        self.agent.error = error
        await self.store.add([new(options=MessageOptions(**options))], max_queued=100)
        (taken,) = await claim(self.store, limit=1)
        later = taken._replace(lease=taken.lease._replace(attempt=attempt))
        outcome = await self.processor.process(later, Drain())
        await self.store.finish(taken.lease, outcome if isinstance(outcome, Interrupted) else Completed(""))
        return outcome


@pytest.fixture
async def store(tmp_path: Path, clock: ManualClock) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "queue.db", clock=clock)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def bench(store: SqliteStore, tmp_path: Path) -> Bench:
    agent = Scripted()

    async def load() -> Agent:
        return agent

    registry = AgentRegistry({"chat": load}, redact=str)
    await registry.load()
    settings = settings_for(tmp_path, max_attempts=3, retry_base_seconds=2, retry_max_seconds=7, interrupt_ttl_hours=2)
    redactor = Redactor([SECRET])
    return Bench(
        store,
        agent,
        AgentProcessor(store, SharedLoop(), registry, settings, redactor=redactor, uniform=lambda _, most: most),
    )


def refused(status: int, **headers: str) -> openai.APIStatusError:
    """Return the error that the client of a provider raises."""
    response = httpx2.Response(status, headers=headers, request=httpx2.Request("POST", "http://model.example"))
    return openai.APIStatusError(f"Status {status}.", response=response, body=None)


async def test_an_error_is_tried_again_until_the_attempts_are_used_up(bench: Bench) -> None:
    outcomes = [await bench.outcome(ValueError("No."), attempt=attempt) for attempt in (1, 2, 3, 4)]
    assert outcomes[:2] == [Retry("ValueError: No.", "agent_error", 2.0), Retry("ValueError: No.", "agent_error", 4.0)]
    for outcome in outcomes[2:]:
        assert isinstance(outcome, Failed)
        assert (outcome.error, outcome.code) == ("ValueError: No.", "agent_error")


async def test_a_message_may_have_its_own_number_of_attempts(bench: Bench) -> None:
    assert isinstance(await bench.outcome(ValueError(), attempt=1, max_attempts=1), Failed)
    assert await bench.outcome(ValueError(), attempt=4, max_attempts=5) == Retry("ValueError", "agent_error", 7.0)


async def test_a_permanent_error_fails_in_the_first_attempt(bench: Bench) -> None:
    outcome = await bench.outcome(refused(401), max_attempts=5)
    assert isinstance(outcome, Failed)
    assert outcome.code == "provider_refused"


async def test_the_pause_that_a_provider_asks_for_wins(bench: Bench) -> None:
    outcome = await bench.outcome(refused(429, **{"Retry-After": "1800"}))
    assert outcome == Retry("APIStatusError: Status 429.", "rate_limited", 1800.0)


async def test_failures_of_one_kind_have_one_fingerprint_and_no_secret(bench: Bench) -> None:
    texts = [f"row {number} of '{name}', key {SECRET}" for number, name in ((1, "a"), (22, "b"))]
    one, other = [await bench.outcome(ValueError(text), attempt=3) for text in texts]
    another = await bench.outcome(ValueError("column gone"), attempt=3)
    assert isinstance(one, Failed)
    assert isinstance(other, Failed)
    assert isinstance(another, Failed)
    assert one.fingerprint == other.fingerprint != another.fingerprint
    assert SECRET not in one.error


async def test_what_a_store_says_of_itself_is_not_shown(bench: Bench) -> None:
    outcome = await bench.outcome(StoreError("The memory at db.internal: syntax error"))
    assert outcome == Retry(StoreError.public, "store_error", 2.0)


async def test_a_question_is_passed_on_behind_what_was_said(bench: Bench) -> None:
    asked = '[{"id": "1", "value": "May I?"}]'
    assert await bench.outcome(AgentInterrupted(asked)) == Interrupted(asked, 7200.0)
    (task,) = bench.agent.tasks
    log = await bench.store.read(TENANT, task.message_id, after=0, limit=10)
    assert [event.type for event in log.events] == ["processing", "chunk", "interrupted"]
    await resume(bench.store, await bench.store.get(TENANT, task.message_id), '{"1": [true]}')
    (again,) = await claim(bench.store, limit=1)
    assert again.message.resume_value == '{"1": [true]}'
    bench.agent.error = None
    assert await bench.processor.process(again, Drain()) == Completed("answer")
    assert bench.agent.tasks[-1].resume == {"1": [True]}


async def test_request_keys_are_pruned_by_processes_without_agents_too(
    store: SqliteStore, clock: ManualClock, tmp_path: Path
) -> None:
    maintenance = Maintenance(store, lambda: None, settings_for(tmp_path), outage=Outage("It works again"))
    await store.add([new()], max_queued=10, key=request_key())
    await maintenance.prune()
    assert ask(tmp_path / "queue.db", "SELECT count(*) FROM request_keys") == 1
    clock.advance(KEY_SECONDS + 1)
    await maintenance.prune()
    assert ask(tmp_path / "queue.db", "SELECT count(*) FROM request_keys") == 0


@pytest.mark.parametrize(("retention_days", "kept_seconds"), [(30, 30 * 86_400), (0.5, 86_400)])
async def test_descriptions_are_kept_for_a_day_at_least(
    store: SqliteStore, clock: ManualClock, tmp_path: Path, retention_days: float, kept_seconds: int
) -> None:
    settings = settings_for(tmp_path, retention_days=retention_days)
    maintenance = Maintenance(store, lambda: None, settings, outage=Outage("It works again"))
    described = AgentDescription(name="chat", input_schema={}, output_schema={})
    await store.describe_agents([described])
    clock.advance(kept_seconds)
    await maintenance.prune()
    assert await store.list_agents() == [described]
    clock.advance(1)
    await maintenance.prune()
    assert await store.list_agents() == []


async def test_expired_items_are_pruned_by_processes_without_agents_too(
    store: SqliteStore, clock: ManualClock, tmp_path: Path
) -> None:
    maintenance = Maintenance(store, lambda: None, settings_for(tmp_path), outage=Outage("It works again"))
    await store.put_items(TENANT, [ItemWrite(("a",), f"{number}", "{}", ttl_ms=1_000) for number in range(1_200)])
    await store.put_items(TENANT, [ItemWrite(("a",), "stays", "{}")])
    clock.advance(1)
    await maintenance.prune()
    assert ask(tmp_path / "queue.db", "SELECT count(*) FROM items") == 1
