"""A thread through the life of its messages, as the services show it."""

from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest

from app.access.principals import Principal
from app.agents.conversations import Conversations
from app.agents.registry import AgentRegistry
from app.clock import to_datetime
from app.errors import ThreadNotFound
from app.models.attempts import Released
from app.models.memory import AgentMemory
from app.models.messages import Message, MessageState, NewMessage, Page, Thread
from app.queue_manager import QueueManager
from app.store.ports import Store
from app.store.sqlite.store import SqliteStore
from app.thread_manager import ThreadManager
from tests.clock import ManualClock
from tests.contract.builders import CALLER, DONE, FAILED, NORMAL, OTHER_CALLER, claim_one, drain
from tests.unit.test_queue_manager import load


@pytest.fixture
async def memory(clock: ManualClock) -> AsyncIterator[Store]:
    store = SqliteStore(None, clock=clock)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def queue(memory: Store) -> QueueManager:
    return QueueManager(memory, AgentRegistry({"chat": load}, redact=str), max_queue_size=100)


@pytest.fixture
def threads(memory: Store, queue: QueueManager) -> ThreadManager:
    registry = AgentRegistry({"chat": load}, redact=str)
    no_memory = cast(Callable[[], AgentMemory], None)
    return ThreadManager(memory, registry, cast(Conversations, None), no_memory, queue)  # no state is read


async def submit(queue: QueueManager, content: str, thread: str | None, caller: Principal = CALLER) -> Message:
    return (await queue.submit(caller, [NewMessage(content, NORMAL, thread)])).messages[0]


def counts(thread: Thread) -> dict[str, int]:
    """The states that the thread's messages are in."""
    return {state.value: count for state, count in thread.states.items() if count}


async def test_the_first_message_makes_the_thread(
    queue: QueueManager, threads: ThreadManager, clock: ManualClock
) -> None:
    message = await submit(queue, "Good morning!", "t")
    thread = await threads.get_thread(CALLER, "t")
    assert (thread.thread_id, thread.message_count, thread.last_message_preview) == ("t", 1, "Good morning!")
    assert thread.created_at == thread.last_activity == message.created_at == to_datetime(clock.now())
    assert await threads.list_threads(CALLER, Page(10)) == [thread]
    assert await threads.list_messages(CALLER, "t", after=0, limit=10) == [message]


async def test_a_message_without_thread_makes_none(queue: QueueManager, threads: ThreadManager) -> None:
    await submit(queue, "Hello", None)
    assert await threads.list_threads(CALLER, Page(10)) == []


async def test_a_thread_follows_a_message_from_accept_to_end(
    queue: QueueManager, threads: ThreadManager, memory: Store, clock: ManualClock
) -> None:
    seen = []

    async def look() -> None:
        thread = await threads.get_thread(CALLER, "t")
        assert thread.message_count == 1
        assert thread.last_activity == to_datetime(clock.now())
        seen.append(counts(thread))
        clock.advance(1)

    await submit(queue, "Hello", "t")
    await look()
    lease = await claim_one(memory)
    await look()
    await memory.finish(lease, Released("The worker was stopped."))
    await look()
    lease = await claim_one(memory)
    await look()
    await memory.finish(lease, DONE)
    await look()
    assert seen == [{"queued": 1}, {"processing": 1}, {"queued": 1}, {"processing": 1}, {"completed": 1}]


async def test_a_thread_counts_each_end(queue: QueueManager, threads: ThreadManager, memory: Store) -> None:
    messages = [await submit(queue, f"message {number}", "t") for number in range(4)]
    await memory.finish(await claim_one(memory), DONE)
    await memory.finish(await claim_one(memory), FAILED)
    await queue.cancel(CALLER, messages[2].id)
    thread = await threads.get_thread(CALLER, "t")
    assert counts(thread) == {"completed": 1, "failed": 1, "cancelled": 1, "queued": 1}
    assert thread.message_count == 4


async def test_the_messages_of_a_thread_are_in_the_order_of_the_conversation(
    queue: QueueManager, threads: ThreadManager, memory: Store
) -> None:
    ids = [(await submit(queue, f"message {number}", "t")).id for number in range(5)]
    assert await drain(memory) == ids
    messages = await threads.list_messages(CALLER, "t", after=0, limit=10)
    assert [message.id for message in messages] == ids
    assert {message.state for message in messages} == {MessageState.COMPLETED}
    assert {message.result for message in messages} == {DONE.result}
    page = await threads.list_messages(CALLER, "t", after=2, limit=2)
    assert [message.id for message in page] == ids[2:4]


async def test_the_preview_is_of_the_newest_message(queue: QueueManager, threads: ThreadManager) -> None:
    await submit(queue, "first", "t")
    newest = await submit(queue, "second\nwith a second line", "t")
    await submit(queue, "elsewhere", "u")
    assert (await threads.get_thread(CALLER, "t")).last_message_preview == "second with a second line"
    await queue.cancel(CALLER, newest.id)
    assert (await threads.get_thread(CALLER, "t")).last_message_preview == "second with a second line"


async def test_the_thread_with_the_newest_activity_comes_first(
    queue: QueueManager, threads: ThreadManager, memory: Store, clock: ManualClock
) -> None:
    for thread in ("a", "b", "c"):
        await submit(queue, "Hello", thread)
        clock.advance(1)
    assert [thread.thread_id for thread in await threads.list_threads(CALLER, Page(10))] == ["c", "b", "a"]
    await claim_one(memory)
    first, second = await threads.list_threads(CALLER, Page(2))
    assert (first.thread_id, second.thread_id) == ("a", "c")
    cursor = (round(second.last_activity.timestamp() * 1000), second.thread_id)
    rest = await threads.list_threads(CALLER, Page(2, cursor))
    assert [thread.thread_id for thread in rest] == ["b"]


async def test_threads_are_their_tenants_own(queue: QueueManager, threads: ThreadManager) -> None:
    await submit(queue, "ours", "t")
    assert await threads.list_threads(OTHER_CALLER, Page(10)) == []
    for caller, thread in ((OTHER_CALLER, "t"), (CALLER, "unknown")):
        with pytest.raises(ThreadNotFound):
            await threads.get_thread(caller, thread)
        with pytest.raises(ThreadNotFound):
            await threads.list_messages(caller, thread, after=0, limit=10)
