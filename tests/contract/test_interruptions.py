"""Messages that `if_busy` may cancel for a caller, and their record."""

from typing import Any

import pytest

from app.errors import QueueFull, ThreadAsks, ThreadBusy
from app.models.audit import AuditAction, NewAudit
from app.models.messages import IfBusy, MessageState
from app.store import parts
from app.store.ports import Store
from app.store.postgres import control as postgres_control
from app.store.redis import accept as redis_accept
from app.store.sqlite import control as sqlite_control
from tests.contract.builders import AGENT, ALL, TENANT, add, drain, interrupt, new, request_key, seen, start, state_of
from tests.contract.test_audit import records

OTHER_AGENT = "another agent"
SUBMITTED = {"submitted": ["x"]}
RECORD = NewAudit("key:k", "k", "192.0.2.1", AuditAction.CANCEL_MESSAGE, TENANT, details=SUBMITTED)

by_each_cancel = pytest.mark.parametrize("if_busy", [IfBusy.INTERRUPT, IfBusy.ROLLBACK])


async def take_over(store: Store, if_busy: IfBusy = IfBusy.INTERRUPT, **options: Any) -> None:
    """Add a message to thread `t` as a caller who may cancel messages of AGENT only."""
    given = {"max_queued": ALL, "agents": frozenset({AGENT}), "audit": RECORD, **options}
    await store.add([new(thread="t", if_busy=if_busy)], **given)


@by_each_cancel
async def test_messages_of_other_agents_are_not_cancelled(store: Store, if_busy: IfBusy) -> None:
    own = await start(store, thread="t")
    other = await add(store, thread="t", agent=OTHER_AGENT)
    before = [await seen(store, each) for each in (own.message_id, other.id)]
    with pytest.raises(ThreadBusy):
        await take_over(store, if_busy)
    assert [await seen(store, each) for each in (own.message_id, other.id)] == before
    assert await records(store) == []
    await store.cancel(TENANT, other.id)
    await take_over(store, if_busy)
    assert (await store.get(TENANT, own.message_id)).cancel_requested


async def test_a_question_of_another_agent_is_not_replaced(store: Store) -> None:
    asking = await interrupt(store, thread="t")
    with pytest.raises(ThreadBusy):
        await take_over(store, IfBusy.REJECT, agents=frozenset({OTHER_AGENT}))
    assert await state_of(store, asking.id) is MessageState.INTERRUPTED
    await take_over(store, IfBusy.REJECT)
    assert await state_of(store, asking.id) is MessageState.CANCELLED


@by_each_cancel
async def test_what_a_message_cancels_is_recorded_once(store: Store, if_busy: IfBusy) -> None:
    await take_over(store, if_busy)
    assert await records(store) == []  # it found nothing to cancel
    await drain(store)
    running = await start(store, thread="t")
    waiting = await add(store, thread="t")
    with pytest.raises(QueueFull):
        await take_over(store, if_busy, max_queued=0)
    assert await records(store) == []
    given = new(thread="t", if_busy=if_busy)
    for _ in range(2):
        await store.add([given], max_queued=ALL, audit=RECORD, key=request_key())
    (added,) = await records(store)
    assert added[2:] == RECORD._replace(targets=(running.message_id, waiting.id))
    await take_over(store, if_busy)  # the running message is being stopped already
    assert (await records(store))[1].targets == (given.id,)


async def test_a_message_that_only_waits_is_not_recorded(store: Store) -> None:
    await start(store, thread="t")
    await store.add([new(thread="t"), new(thread="u", if_busy=IfBusy.REJECT)], max_queued=ALL, audit=RECORD)
    assert await records(store) == []


@pytest.mark.parametrize("first", [AGENT, OTHER_AGENT])
async def test_a_long_thread_is_recorded_whole_or_left_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    for module in (parts, sqlite_control, postgres_control, redis_accept):
        monkeypatch.setattr(module, "CLEARED_AT_ONCE", 2)
    waiting = [await add(store, thread="t", agent=each) for each in (first, *[AGENT] * 6)]
    if first == OTHER_AGENT:
        with pytest.raises(ThreadBusy):
            await take_over(store)
    else:
        await take_over(store)
    added = await records(store)
    recorded = [message_id for each in added for message_id in each.targets]
    cancelled = [each.id for each in waiting if await state_of(store, each.id) is MessageState.CANCELLED]
    assert sorted(recorded) == sorted(cancelled)
    assert len(cancelled) == (0 if first == OTHER_AGENT else 7)
    assert len(added) == (0 if first == OTHER_AGENT else 3)


async def test_a_long_thread_is_left_alone_if_a_message_must_not_wait_behind_its_question(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (parts, sqlite_control, postgres_control, redis_accept):
        monkeypatch.setattr(module, "CLEARED_AT_ONCE", 2)
    asking = await interrupt(store, thread="t")
    waiting = [await add(store, thread="t") for _ in range(5)]
    news = [new(thread="t", if_busy=IfBusy.INTERRUPT), new(thread="t", behind_question=False)]
    with pytest.raises(ThreadAsks):
        await store.add(news, max_queued=ALL)
    assert [await state_of(store, each.id) for each in waiting] == [MessageState.QUEUED] * 5
    assert await state_of(store, asking.id) is MessageState.INTERRUPTED
