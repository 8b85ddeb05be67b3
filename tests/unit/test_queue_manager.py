"""The producer's side of the queue, over a real store in memory."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from app.access.limits import LimitRules, SubmitLimits
from app.access.principals import Principal
from app.access.quotas import QuotaChecks
from app.agents.base import Agent, AgentTask, FinalResult
from app.agents.registry import AgentRegistry
from app.bulk_manager import BulkManager
from app.errors import (
    InvalidRequest,
    MemoryClosed,
    MessageNotFound,
    NotCancellable,
    NotInterrupted,
    QueueFull,
    StoreUnavailable,
)
from app.maintenance import Maintenance
from app.models.memory import AgentMemory
from app.models.messages import Message, MessageFilter, MessageState, NewMessage, Page, Priority
from app.models.parts import Part
from app.models.requests import ResumeAnswer, Selection
from app.models.threads import NewThread
from app.observability.outages import Outage
from app.queue_manager import QueueManager
from app.store.ports import Store
from app.store.sql import scanning
from app.store.sqlite.store import SqliteStore
from tests.clock import ManualClock
from tests.contract.builders import (
    CALLER,
    DONE,
    FAILED,
    HIGH,
    INTERRUPTED,
    LOW,
    NORMAL,
    OTHER_CALLER,
    TENANT,
    claim,
    claim_one,
    drain,
)
from tests.servers import settings_for

AGENTS = ("chat", "coder")
MAX_QUEUE_SIZE = 5


class SilentAgent(Agent):
    """An agent that nobody runs here."""

    async def run(self, task: AgentTask) -> AsyncGenerator[Part | FinalResult, None]:
        yield FinalResult("")

    async def fence_off(self, task: AgentTask) -> None:
        """Do nothing."""


async def load() -> Agent:
    return SilentAgent()


def quotas_of(store: Store) -> QuotaChecks:
    """The checks of quotas, of which nobody has any here."""
    return QuotaChecks(store, SubmitLimits(store, LimitRules()))


@pytest.fixture
async def memory(clock: ManualClock) -> AsyncIterator[Store]:
    store = SqliteStore(None, clock=clock)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def registry() -> AgentRegistry:
    return AgentRegistry(dict.fromkeys(AGENTS, load), redact=str)


@pytest.fixture
def queue(memory: Store, registry: AgentRegistry) -> QueueManager:
    return QueueManager(memory, registry, max_queue_size=MAX_QUEUE_SIZE)


async def submit(
    queue: QueueManager,
    content: str = "Hello",
    *,
    priority: Priority = NORMAL,
    thread_id: str | None = None,
    agent: str = "",
    caller: Principal = CALLER,
) -> Message:
    """Submit with the defaults of the API."""
    submission = NewMessage(content, priority, thread_id, agent)
    return (await queue.submit(caller, [submission])).messages[0]


async def test_a_submitted_message_is_queued_and_can_be_read(queue: QueueManager) -> None:
    message = await submit(queue, "What is the capital of France?", priority=HIGH, thread_id="t", agent="coder")
    assert (message.content, message.priority, message.thread_id) == ("What is the capital of France?", HIGH, "t")
    assert (message.agent, message.state, message.queue_position) == ("coder", MessageState.QUEUED, 0)
    assert await queue.get(CALLER, message.id) == message


async def test_every_message_has_an_id_of_its_own(queue: QueueManager) -> None:
    messages = await asyncio.gather(*(submit(queue) for _ in range(MAX_QUEUE_SIZE)))
    assert len({message.id for message in messages}) == MAX_QUEUE_SIZE


async def test_without_a_name_the_first_agent_is_meant(queue: QueueManager) -> None:
    assert (await submit(queue)).agent == AGENTS[0]


async def test_an_unknown_agent_is_refused_with_the_names_that_exist(queue: QueueManager) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await submit(queue, agent="poet")
    assert (refused.value.field, refused.value.code) == ("agent", "unknown_agent")
    assert all(name in str(refused.value) for name in ("poet", *AGENTS))
    assert (await queue.summary(CALLER, limit=10)).totals[MessageState.QUEUED] == 0


async def test_messages_are_taken_before_their_agents_are_loaded(queue: QueueManager, registry: AgentRegistry) -> None:
    assert registry.available == ()
    assert (await submit(queue, agent="coder")).state is MessageState.QUEUED


async def test_a_full_queue_refuses_and_takes_again_when_there_is_room(queue: QueueManager, memory: Store) -> None:
    for _ in range(MAX_QUEUE_SIZE):
        await submit(queue)
    with pytest.raises(QueueFull) as refused:
        await submit(queue)
    assert refused.value.limit == MAX_QUEUE_SIZE
    await claim_one(memory)
    assert (await submit(queue)).queue_position == MAX_QUEUE_SIZE - 1


async def test_first_come_first_served(queue: QueueManager, memory: Store, clock: ManualClock) -> None:
    ids = []
    for _ in range(MAX_QUEUE_SIZE):
        ids.append((await submit(queue)).id)
        clock.advance(1)
    assert await drain(memory) == ids


async def test_urgent_messages_are_served_first(queue: QueueManager, memory: Store) -> None:
    by_priority = {priority: (await submit(queue, priority=priority)).id for priority in (LOW, NORMAL, HIGH)}
    assert await drain(memory) == [by_priority[HIGH], by_priority[NORMAL], by_priority[LOW]]


async def test_the_position_counts_down_as_the_queue_moves(queue: QueueManager, memory: Store) -> None:
    for _ in range(3):
        await submit(queue)
    last = await submit(queue)
    positions = [last.queue_position]
    while await claim(memory):
        positions.append((await queue.get(CALLER, last.id)).queue_position)
    assert positions == [3, 2, 1, 0, None]


async def test_a_cancelled_message_is_never_served(queue: QueueManager, memory: Store) -> None:
    message = await submit(queue)
    assert (await queue.cancel(CALLER, message.id)).state is MessageState.CANCELLED
    assert (await queue.get(CALLER, message.id)).state is MessageState.CANCELLED
    assert await drain(memory) == []


async def test_what_is_processed_cannot_be_cancelled(queue: QueueManager, memory: Store) -> None:
    message = await submit(queue)
    lease = await claim_one(memory)
    with pytest.raises(NotCancellable):
        await queue.cancel(CALLER, message.id)
    await memory.finish(lease, DONE)
    with pytest.raises(NotCancellable) as refused:
        await queue.cancel(CALLER, message.id)
    assert refused.value.state == "completed"


async def test_unknown_messages_and_those_of_others_are_not_found(queue: QueueManager) -> None:
    message = await submit(queue, caller=OTHER_CALLER)
    for message_id in (message.id, "unknown"):
        with pytest.raises(MessageNotFound):
            await queue.get(CALLER, message_id)
        with pytest.raises(MessageNotFound):
            await queue.cancel(CALLER, message_id)


async def test_the_summary_shows_the_queue(queue: QueueManager, memory: Store) -> None:
    done = await submit(queue)
    await drain(memory)
    running = await submit(queue)
    await claim(memory)
    low, high = await submit(queue, priority=LOW), await submit(queue, priority=HIGH)
    summary = await queue.summary(CALLER, limit=10)
    assert [message.id for message in summary.queued] == [high.id, low.id]
    assert [message.id for message in summary.processing] == [running.id]
    assert done.id not in {message.id for message in summary.queued + summary.processing}
    assert summary.totals == {
        MessageState.QUEUED: 2,
        MessageState.PROCESSING: 1,
        MessageState.COMPLETED: 1,
        MessageState.FAILED: 0,
        MessageState.CANCELLED: 0,
        MessageState.INTERRUPTED: 0,
    }
    assert len((await queue.summary(CALLER, limit=1)).queued) == 1


async def test_the_log_tells_of_messages_without_their_content(
    queue: QueueManager, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "app.queue_manager"):
        message = await submit(queue, "a secret", priority=HIGH)
        await queue.cancel(CALLER, message.id)
    assert f"Message enqueued: id={message.id}, priority=high" in caplog.text
    assert f"Message cancelled: id={message.id}" in caplog.text
    assert "a secret" not in caplog.text


class Forgetful:
    """A memory that notes what it is told to forget, and can be away."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []
        self.away = False

    async def forget(self, memory_keys: list[str]) -> None:
        if self.away:
            raise StoreUnavailable("away")
        self.forgotten += filter(None, memory_keys)


class GoneLater(Forgetful):
    """A memory that answers the check, and goes away before there is something to forget."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.away = True
        self._error = error

    async def forget(self, memory_keys: list[str]) -> None:
        if self.away and any(memory_keys):
            raise self._error
        self.forgotten += filter(None, memory_keys)


async def fail(memory: Store) -> None:
    await memory.finish(await claim_one(memory), FAILED)


async def test_purged_messages_are_forgotten(memory: Store, registry: AgentRegistry) -> None:
    remembers = Forgetful()
    queue = QueueManager(memory, registry, max_queue_size=MAX_QUEUE_SIZE)
    bulk = BulkManager(memory, queue, lambda: cast(AgentMemory, remembers), quotas_of(memory))
    message = await submit(queue)
    await fail(memory)
    remembers.away = True
    with pytest.raises(StoreUnavailable):
        await bulk.purge(CALLER, Selection((message.id,)))
    assert (await queue.get(CALLER, message.id)).state is MessageState.FAILED
    remembers.away = False
    assert await bulk.purge(CALLER, Selection((message.id,))) == [message.id]
    assert remembers.forgotten == [message.memory_key]
    with pytest.raises(MessageNotFound):
        await queue.get(CALLER, message.id)


@pytest.mark.parametrize("error", [StoreUnavailable("away"), ValueError("a bug")])
async def test_a_purge_holds_when_the_memory_goes_away_in_between(
    memory: Store, registry: AgentRegistry, caplog: pytest.LogCaptureFixture, error: Exception, tmp_path: Path
) -> None:
    remembers = GoneLater(error)
    queue = QueueManager(memory, registry, max_queue_size=MAX_QUEUE_SIZE)
    bulk = BulkManager(memory, queue, lambda: cast(AgentMemory, remembers), quotas_of(memory))
    message = await submit(queue)
    await fail(memory)
    assert await bulk.purge(CALLER, Selection((message.id,))) == [message.id]
    assert "The memory of purged messages is deleted later" in caplog.text
    assert remembers.forgotten == []
    remembers.away = False
    duties = Maintenance(
        memory, lambda: cast(AgentMemory, remembers), settings_for(tmp_path), outage=Outage("It works again")
    )
    await duties.prune()
    assert remembers.forgotten == [message.memory_key]
    await duties.prune()
    assert remembers.forgotten == [message.memory_key], "it is forgotten once"


@pytest.mark.parametrize(("minutes", "left"), [(0, ["idle"]), (30, [])])
async def test_idle_threads_are_deleted_with_their_memory_as_the_setting_says(
    memory: Store, clock: ManualClock, tmp_path: Path, minutes: float, left: list[str]
) -> None:
    remembers = Forgetful()
    settings = settings_for(tmp_path, thread_ttl_minutes=minutes)
    duties = Maintenance(memory, lambda: cast(AgentMemory, remembers), settings, outage=Outage("It works again"))
    await memory.create_thread(TENANT, "idle", NewThread(None))
    clock.advance(30 * 60 - 1)
    await duties.prune()
    assert [each.thread_id for each in await memory.list_threads(TENANT, Page(10))] == ["idle"]
    assert remembers.forgotten == []
    clock.advance(1)
    await duties.prune()
    assert [each.thread_id for each in await memory.list_threads(TENANT, Page(10))] == left
    assert remembers.forgotten == [Message.memory_key_of(TENANT, "idle", "")][len(left) :]


async def test_without_a_memory_nothing_is_purged(queue: QueueManager, memory: Store) -> None:
    bulk = BulkManager(memory, queue, lambda: None, quotas_of(memory))
    message = await submit(queue)
    await fail(memory)
    with pytest.raises(MemoryClosed):
        await bulk.purge(CALLER, Selection((message.id,)))
    assert (await queue.get(CALLER, message.id)).state is MessageState.FAILED


async def test_messages_of_others_are_never_selected(queue: QueueManager, memory: Store) -> None:
    bulk = BulkManager(memory, queue, lambda: None, quotas_of(memory))
    theirs = await submit(queue, caller=OTHER_CALLER)
    await fail(memory)
    assert await bulk.requeue(CALLER, Selection(expected_count=0)) == []
    with pytest.raises(MessageNotFound):
        await bulk.requeue(CALLER, Selection((theirs.id,)))
    assert (await queue.get(OTHER_CALLER, theirs.id)).state is MessageState.FAILED


async def test_a_selection_is_read_to_its_end(
    queue: QueueManager, memory: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages end early by their texts."""
    bulk = BulkManager(memory, queue, lambda: None, quotas_of(memory))
    monkeypatch.setattr(scanning, "PAGE_TEXT_LENGTH", 1)
    ids = {(await submit(queue)).id for _ in range(MAX_QUEUE_SIZE)}
    assert len(await queue.list_messages(CALLER, MessageFilter(), Page(10))) == 1
    cancelled = await bulk.cancel(CALLER, Selection(expected_count=MAX_QUEUE_SIZE))
    assert (set(cancelled.ended), cancelled.stopping) == (ids, [])


async def test_a_wrong_message_of_a_batch_is_named(queue: QueueManager) -> None:
    submissions = [NewMessage("one"), NewMessage("two", agent="poet")]
    with pytest.raises(InvalidRequest) as refused:
        await queue.submit(CALLER, submissions, batch=True)
    assert (refused.value.field, refused.value.code) == ("messages.1.agent", "unknown_agent")
    assert str(refused.value).startswith("messages.1.agent: There is no agent")
    assert (await queue.summary(CALLER, limit=10)).totals[MessageState.QUEUED] == 0


async def test_an_answer_with_a_key_is_never_given_to_another_question(queue: QueueManager, memory: Store) -> None:
    message = await submit(queue)
    key = ("k", "fingerprint")
    with pytest.raises(NotInterrupted):
        await queue.resume(CALLER, message.id, ResumeAnswer("yes"), key=key)
    await memory.finish(await claim_one(memory), INTERRUPTED)
    with pytest.raises(InvalidRequest):
        await queue.resume(CALLER, message.id, ResumeAnswer(values={"another": 1}), key=key)
    assert (await queue.get(CALLER, message.id)).state is MessageState.INTERRUPTED
    assert not (await queue.resume(CALLER, message.id, ResumeAnswer("yes"), key=key)).replayed
    assert (await queue.resume(CALLER, message.id, ResumeAnswer("yes"), key=key)).replayed
