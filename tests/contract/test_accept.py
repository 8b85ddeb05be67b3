"""Promises of `AcceptStore.add`."""

import asyncio

import pytest

from app.clock import to_datetime
from app.errors import QueueFull, ThreadNotFound
from app.models.attempts import Released
from app.models.messages import MessageOptions, MessageState, Priority, Readiness
from app.store.ports import Store
from tests.clock import START, ManualClock
from tests.contract.builders import (
    DONE,
    HIGH,
    LOW,
    OTHER_TENANT,
    TENANT,
    add,
    all_threads,
    claim,
    claim_one,
    drain,
    new,
    page,
    start,
    thread_messages,
)

ODD_TEXTS = {
    "emoji": "👩‍👩‍👧‍👦 🇩🇪 👍🏽 \U0010fffd",
    "controls": "".join(map(chr, range(1, 32))) + "\x7f\x80\x9f",
    "line ends": "a\r\nb\rc\nd\u0085e\u2028f\u2029g",
    "white space around": "  \t a \n ",
    "right to left": "שלום \u202e abc \u202c عربى",
    "byte order mark": "\ufeffa\ufeff",
    "noncharacters": "\ufffe\uffff\U0001ffff",
    "combining": "e\u0301 é Å Å",
    "quotes": "'; DROP TABLE messages; -- \" \\ \\u0000 %s :id ? {0} $1",
}


async def test_a_message_is_stored_as_it_was_given(store: Store) -> None:
    given = new(
        "What is the capital of France?",
        thread="t",
        priority=Priority.HIGH,
        agent="geographer",
        options=MessageOptions(max_attempts=2, timeout_seconds=1.5),
        webhook_url="https://example.com/hook?a=b&c=d",
    )
    (stored,), replayed, *_ = await store.add([given], max_queued=1)
    assert not replayed
    for name in ("id", "tenant", "thread_id", "agent", "content", "priority", "options", "webhook_url"):
        assert getattr(stored, name) == getattr(given, name), name
    assert stored.state is MessageState.QUEUED
    assert stored.created_at == to_datetime(START)
    assert stored.thread_number == 1
    assert stored.attempt == 0
    assert stored.queue_position == 0
    assert (stored.started_at, stored.completed_at) == (None, None)
    assert (stored.result, stored.error, stored.error_code, stored.fingerprint) == (None, None, None, None)
    assert (stored.readiness, stored.run_at, stored.crashes, stored.rollback) == (Readiness.READY, None, 0, ())
    assert (stored.cancel_requested, stored.interrupt, stored.resume_value) == (False, None, None)
    assert await store.get(TENANT, given.id) == stored


async def test_a_message_without_options_has_none_set(store: Store) -> None:
    message = await add(store)
    assert (message.options, message.webhook_url) == (MessageOptions(), None)
    assert await store.get(TENANT, message.id) == message


async def test_a_claim_tells_the_options(store: Store) -> None:
    options = MessageOptions(max_attempts=7)
    await add(store, options=options)
    (claimed,) = await claim(store)
    assert claimed.message.options == options


async def test_the_place_of_a_message_tells_why_it_waits(store: Store) -> None:
    head, behind = await add(store, thread="t"), await add(store, thread="t")
    assert (head.readiness, behind.readiness) == (Readiness.READY, Readiness.BLOCKED)
    assert await store.get(TENANT, behind.id) == behind
    lease = await claim_one(store)
    assert (await store.get(TENANT, head.id)).readiness is None
    await store.finish(lease, DONE)
    assert (await store.get(TENANT, behind.id)).readiness is Readiness.READY


async def test_the_log_of_a_queued_message_is_empty(store: Store) -> None:
    message = await add(store)
    log = await page(store, message.id)
    assert (list(log.events), log.first, log.last, log.state) == ([], 0, 0, MessageState.QUEUED)


async def test_messages_without_thread_make_none_and_have_no_number_in_one(store: Store) -> None:
    messages = [await add(store) for _ in range(3)]
    assert [(m.thread_id, m.thread_number) for m in messages] == [(None, 0)] * 3
    assert await all_threads(store) == []


async def test_numbers_grow_in_the_order_of_accepting(store: Store) -> None:
    numbers = [(await add(store, thread=thread, priority=HIGH if thread else LOW)).number for thread in (None, "t") * 3]
    assert numbers == sorted(set(numbers))


async def test_the_reply_tells_how_many_are_claimed_first(store: Store) -> None:
    assert (await add(store, priority=LOW)).queue_position == 0
    assert (await add(store)).queue_position == 0
    assert (await add(store)).queue_position == 1
    assert (await add(store, priority=LOW)).queue_position == 3


@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS)
async def test_text_comes_back_as_it_was(store: Store, text: str) -> None:
    message = await add(store, text, thread=text, agent=text)
    assert (message.content, message.thread_id, message.agent) == (text, text, text)
    assert await store.get(TENANT, message.id) == message
    assert await thread_messages(store, text) == [message]
    lease = await claim_one(store, agents=[text])
    assert lease.message_id == message.id


async def test_thread_ids_that_look_alike_are_different_threads(store: Store) -> None:
    alike = ["a", "A", " a", "a ", "a\n", "\u00e9", "e\u0301", "a/b", "a%2Fb", "a:b", "*", "%", "_", "ａ", "0", "00"]
    for thread in alike:
        assert (await add(store, thread, thread=thread)).thread_number == 1
    assert {thread.thread_id for thread in await all_threads(store)} == set(alike)
    for thread in alike:
        assert [message.content for message in await thread_messages(store, thread)] == [thread]


async def test_a_mebibyte_is_stored_whole(store: Store) -> None:
    content = "0123456789abcde🙂"[:15] * 69_905 + "🙂"
    message = await add(store, content, thread="t")
    assert (await store.get(TENANT, message.id)).content == content
    assert len((await store.get_thread(TENANT, "t")).last_message_preview) < 1_000


async def test_a_full_queue_stores_nothing(store: Store) -> None:
    kept = [await add(store, max_queued=2) for _ in range(2)]
    with pytest.raises(QueueFull) as refused:
        await add(store, max_queued=2)
    assert refused.value.limit == 2
    assert [m.id for m in (await store.summary(TENANT, limit=10)).queued] == [m.id for m in kept]


async def test_those_that_come_at_once_share_the_room_with_what_happens_between_them(store: Store) -> None:
    kept = [await add(store) for _ in range(8)]

    async def one(number: int) -> bool | None:
        if number % 8 == 0:
            await store.cancel(TENANT, kept[number // 8].id)
            return None
        try:
            await add(store, max_queued=10)
        except QueueFull:
            return False
        return True

    accepted = await asyncio.gather(*(one(number) for number in range(32)))
    assert accepted.count(True) <= 6
    assert (await store.summary(TENANT, limit=10)).totals[MessageState.QUEUED] == 4 + accepted.count(True)
    assert [await one(1) for _ in range(accepted.count(True), 7)] == [True] * (6 - accepted.count(True)) + [False]


async def test_a_full_queue_leaves_no_thread_behind(store: Store) -> None:
    await add(store)
    with pytest.raises(QueueFull):
        await add(store, thread="new", max_queued=1)
    assert await all_threads(store) == []
    with pytest.raises(ThreadNotFound):
        await store.get_thread(TENANT, "new")
    assert (await add(store, thread="new")).thread_number == 1


async def test_a_full_queue_leaves_a_thread_as_it_was(store: Store, clock: ManualClock) -> None:
    await add(store, "before", thread="t")
    before = await store.get_thread(TENANT, "t")
    clock.advance(1)
    with pytest.raises(QueueFull):
        await add(store, "refused", thread="t", max_queued=1)
    assert await store.get_thread(TENANT, "t") == before
    assert (await add(store, thread="t")).thread_number == 2


async def test_only_queued_messages_fill_the_queue(store: Store) -> None:
    lease = await start(store)
    second = await add(store, max_queued=1)
    with pytest.raises(QueueFull):
        await add(store, max_queued=1)
    await store.cancel(TENANT, second.id)
    await add(store, max_queued=1)
    await store.finish(lease, Released("later", delay=60))
    with pytest.raises(QueueFull):
        await add(store, max_queued=2)


async def test_the_queue_is_full_for_all_tenants_together(store: Store) -> None:
    await add(store, tenant=OTHER_TENANT)
    with pytest.raises(QueueFull):
        await add(store, max_queued=1)


async def test_concurrent_messages_fill_the_queue_exactly(store: Store) -> None:
    replies = await asyncio.gather(*(add(store, max_queued=20) for _ in range(60)), return_exceptions=True)
    assert sum(isinstance(reply, QueueFull) for reply in replies) == 40
    assert (await store.summary(TENANT, limit=1)).totals[MessageState.QUEUED] == 20


async def test_concurrent_messages_of_one_thread_get_dense_numbers_and_one_order(store: Store) -> None:
    priorities = [list(Priority)[i % 3] for i in range(200)]
    accepted = await asyncio.gather(*(add(store, thread="t", priority=priority) for priority in priorities))
    assert sorted(message.thread_number for message in accepted) == list(range(1, 201))
    in_order = [m.id for m in sorted(accepted, key=lambda message: message.thread_number)]
    assert [m.id for m in await thread_messages(store, "t")] == in_order
    assert await drain(store) == in_order


async def test_concurrent_messages_of_many_threads_are_numbered_in_each(store: Store) -> None:
    accepted = await asyncio.gather(*(add(store, thread=f"t{i % 7}") for i in range(70)))
    for thread in {message.thread_id for message in accepted}:
        numbers = [message.thread_number for message in accepted if message.thread_id == thread]
        assert sorted(numbers) == list(range(1, 11))
