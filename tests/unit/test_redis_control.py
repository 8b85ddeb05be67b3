"""Control and recovery on Redis or Valkey: each verb once whatever becomes of its answer, version 1, long lists."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from app.errors import NotFailed, NotInterrupted
from app.models.attempts import Interrupted
from app.models.deliveries import DeliveryAttempt, DeliveryFilter, WebhookEvent
from app.models.events import EventType
from app.models.messages import IfBusy, Message, MessageFilter, MessageState, Page
from app.store.limits import KEY_SECONDS, THROUGHPUT_MESSAGES
from app.store.redis import queries, upkeep
from app.store.redis.store import RedisStore
from tests.clock import ManualClock
from tests.contract.builders import (
    ANSWER,
    DONE,
    HIGH,
    INTERRUPTED,
    LEASE_SECONDS,
    TENANT,
    add,
    cancel_running,
    claim,
    claim_one,
    dead_letter,
    drain,
    event_types,
    interrupt,
    listed,
    log,
    new,
    request_key,
    resume,
    start,
    state_of,
    thread_messages,
    told,
)
from tests.proxy import Moment
from tests.unit.redis_tools import opened, proxied
from tests.valkey_server import shared_server

URL = "https://receiver.example/"
CUTS = [Moment.BEFORE_THE_COMMAND, Moment.BEFORE_THE_ANSWER, Moment.IN_THE_ANSWER]
at_each_moment = pytest.mark.parametrize("moment", CUTS, ids=lambda moment: moment.value)


@pytest.fixture
def admin() -> Iterator[redis.Redis]:
    """A client of the shared server that is not ours."""
    client = redis.Redis.from_url(shared_server().url, decode_responses=True)
    yield client
    client.close()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[RedisStore]:
    """On the shared server, whose own clock decides."""
    async with opened(RedisStore(shared_server().url, prefix=str(tmp_path))) as store:
        yield store


# Lost answers


@at_each_moment
@pytest.mark.parametrize("key", [None, request_key()], ids=["without a key", "with a key"])
async def test_messages_of_one_call_are_accepted_once(tmp_path: Path, moment: Moment, key: Any) -> None:
    async with proxied(tmp_path) as (store, proxy):
        await add(store, thread="t")
        news = [new(thread="t", if_busy=IfBusy.ROLLBACK), new(thread="t"), new(delay_seconds=60)]
        proxy.cut = moment
        accepted = await store.add(news, max_queued=10, key=key)
        assert proxy.cuts == 1
        assert not accepted.replayed
        assert [message.queue_position for message in accepted.messages] == [0, 1, None]
        for message in accepted.messages:
            assert await store.get(TENANT, message.id) == message
        assert len(await thread_messages(store, "t")) == 3


@at_each_moment
async def test_a_running_message_is_cancelled_once(tmp_path: Path, moment: Moment) -> None:
    async with proxied(tmp_path) as (store, proxy):
        lease = await start(store)
        proxy.cut = moment
        cancelled = await cancel_running(store, lease.message_id)
        assert proxy.cuts == 1
        assert (cancelled.state, cancelled.cancel_requested) == (MessageState.PROCESSING, True)
        await store.finish(lease, DONE)
        assert await event_types(store, lease.message_id) == ["processing", "cancelled"]


@at_each_moment
async def test_a_priority_changes_once(tmp_path: Path, moment: Moment) -> None:
    async with proxied(tmp_path) as (store, proxy):
        first, second = await add(store), await add(store)
        proxy.cut = moment
        changed = await store.reprioritize(TENANT, second.id, HIGH)
        assert proxy.cuts == 1
        assert (changed.priority, changed.queue_position) == (HIGH, 0)
        assert await drain(store) == [second.id, first.id]


@at_each_moment
async def test_an_answer_is_given_once(tmp_path: Path, moment: Moment) -> None:
    async with proxied(tmp_path) as (store, proxy):
        asking = await interrupt(store)
        proxy.cut = moment
        answered = await resume(store, asking)
        assert proxy.cuts == 1
        assert (answered.state, answered.queue_position, answered.resume_value) == (MessageState.QUEUED, 0, ANSWER)
        assert await event_types(store, asking.id) == ["processing", "interrupted", "resumed"]
        with pytest.raises(NotInterrupted):
            await resume(store, asking)


@at_each_moment
async def test_a_dead_letter_is_requeued_once(tmp_path: Path, moment: Moment) -> None:
    async with proxied(tmp_path) as (store, proxy):
        failed = await dead_letter(store, thread="t")
        proxy.plan = iter([None, moment])  # the first script only reads
        (requeued,) = await store.requeue(TENANT, [failed.id])
        assert proxy.cuts == 1
        assert (requeued.state, requeued.thread_number) == (MessageState.QUEUED, 2)
        assert [(event.id, event.type) for event in await log(store, failed.id)] == [(3, EventType.RETRY)]
        with pytest.raises(NotFailed):
            await store.requeue(TENANT, [failed.id])


@at_each_moment
async def test_a_dead_letter_is_purged_once(tmp_path: Path, moment: Moment) -> None:
    async with proxied(tmp_path) as (store, proxy):
        failed = await dead_letter(store)
        proxy.cut = moment
        assert await store.purge(TENANT, [failed.id]) == [failed.memory_key]
        assert proxy.cuts == 1
        assert await store.group_dead_letters(TENANT, limit=10) == []


@at_each_moment
async def test_what_was_not_answered_in_time_fails_once(tmp_path: Path, moment: Moment) -> None:
    clock = ManualClock()
    async with proxied(tmp_path, clock) as (store, proxy):
        asking = await interrupt(store)
        clock.advance(INTERRUPTED.ttl_seconds)
        proxy.cut = moment
        assert (await store.expire_interrupts(), await store.expire_interrupts()) == (1, 0)
        assert proxy.cuts == 1
        assert await event_types(store, asking.id) == ["processing", "interrupted", "error"]


@at_each_moment
async def test_a_delivery_is_claimed_settled_and_replayed_once(tmp_path: Path, moment: Moment) -> None:
    clock = ManualClock()
    async with proxied(tmp_path, clock) as (store, proxy):
        message = await add(store, webhook_url=URL)
        lease = await claim_one(store)
        proxy.cut = moment
        await store.finish(lease, DONE)
        proxy.cut = moment
        (taken,) = await store.claim_deliveries(10, lease_seconds=LEASE_SECONDS)
        assert taken.tries == 1
        tried = DeliveryAttempt(at=message.created_at, status=500, error="It answered 500.")
        proxy.cut = moment
        assert await store.settle_delivery(taken, tried, next_in=None)
        proxy.cut = moment
        replayed = await store.replay_delivery(TENANT, taken.id)
        assert proxy.cuts == 4
        assert (replayed.tries, replayed.attempts) == (0, (tried,))
        assert await store.list_deliveries(TENANT, message.id) == [replayed]


@at_each_moment
async def test_a_question_is_told_once(tmp_path: Path, moment: Moment) -> None:
    async with proxied(tmp_path, ManualClock()) as (store, proxy):
        message = await add(store, webhook_url=URL, webhook_events=(WebhookEvent.INTERRUPTED,))
        lease = await claim_one(store)
        proxy.cut = moment
        await store.finish(lease, INTERRUPTED)
        assert proxy.cuts == 1
        (delivery,) = await store.list_deliveries(TENANT, message.id)
        assert delivery.id == f"{message.id}.{message.number}.2"
        assert [found.id for found in await store.find_deliveries(TENANT, DeliveryFilter(), Page(10))] == [delivery.id]


# Long lists


@pytest.mark.parametrize("look_at", [1, 2, 3, 64, 65])
async def test_a_filter_that_passes_over_many_finds_all(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch, look_at: int
) -> None:
    monkeypatch.setattr(queries, "SCAN_LENGTH", look_at)
    messages = await asyncio.gather(
        *(add(store, agent="rare" if i % 40 == 7 else "chat", thread="t") for i in range(100))
    )
    rare = sorted((message for message in messages if message.agent == "rare"), key=lambda message: -message.number)
    assert await listed(store, agent="rare") == await listed(store, agent="rare", thread_id="t")
    assert await listed(store, agent="rare") == [message.id for message in rare]
    assert await listed(store, agent="nobody's") == []
    for chosen in (MessageFilter(agent="rare"), MessageFilter(agent="rare", thread_id="t")):
        seen: list[Message] = []
        while page := await store.list_messages(TENANT, chosen, Page(1, (seen[-1].number, "") if seen else None)):
            seen += page
        assert [message.id for message in seen] == [message.id for message in rare]


async def test_more_is_promoted_than_one_script_does(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "PROMOTE_BATCH", 3)
    await asyncio.gather(*(add(store, delay_seconds=0.001) for _ in range(10)))
    promoted = 0
    async with asyncio.timeout(5):
        while promoted < 10:
            promoted += await store.promote()
    assert len(await claim(store, 20)) == 10


# What only the server or Lua does


async def test_the_server_forgets_the_key_of_a_request_after_it_has_lost_its_meaning(
    store: RedisStore, admin: redis.Redis, tmp_path: Path
) -> None:
    await store.add([new()], max_queued=10, key=request_key())
    (kept,) = admin.scan_iter(f"{{{tmp_path}}}:request:*")
    assert KEY_SECONDS < admin.ttl(kept) <= 2 * KEY_SECONDS


async def test_no_more_run_times_are_kept_than_twice_what_counts(
    store: RedisStore, admin: redis.Redis, tmp_path: Path
) -> None:
    for _ in range(5 * THROUGHPUT_MESSAGES):
        await store.finish(await start(store), DONE)
        assert admin.llen(f"{{{tmp_path}}}:throughput") < 2 * THROUGHPUT_MESSAGES


async def test_a_question_may_have_the_words_of_its_event(store: RedisStore) -> None:
    question = '[{"id": "q", "value": {"attempt": -1, "expires_at": "1970-01-01T00:00:00.000Z", "discard_from": -1}}]'
    lease = await start(store)
    await store.finish(lease, Interrupted(question, 60.0))
    message = await store.get(TENANT, lease.message_id)
    assert message.interrupt == question
    (event,) = await told(store, message.id, EventType.INTERRUPTED)
    assert event["interrupts"] == [
        {"id": "q", "value": {"attempt": -1, "expires_at": "1970-01-01T00:00:00.000Z", "discard_from": -1}}
    ]
    assert event["attempt"] == 1


@pytest.mark.parametrize("filler", ["a", "ä", "猫", "🦊"])
@pytest.mark.parametrize("shift", range(4))
async def test_a_requeued_message_is_previewed_in_whole_characters(store: RedisStore, filler: str, shift: int) -> None:
    failed = await dead_letter(store, content="x" * shift + filler * 2_000, thread="t")
    before = (await store.get_thread(TENANT, "t")).last_message_preview
    await store.requeue(TENANT, [failed.id])
    assert (await store.get_thread(TENANT, "t")).last_message_preview == before
    assert await state_of(store, failed.id) is MessageState.QUEUED
