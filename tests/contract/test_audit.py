"""The audit log: a record for each change of an operator, in the transaction of the change."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from app.errors import AgentQueueError, MessageNotFound
from app.models.audit import AuditAction, AuditFilter, AuditRecord, NewAudit
from app.models.items import ItemWrite
from app.models.keys import NewKey
from app.models.messages import Priority, RequestKey
from app.models.threads import ForkSource, NewThread, ThreadChange
from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.builders import (
    INTERRUPTED,
    OTHER_TENANT,
    TENANT,
    add,
    claim_one,
    dead_letter,
    start,
    worker,
)

KEY = NewKey("a" * 12, TENANT, "", ("read",), "hash")
EVERYTHING = AuditFilter()


def record(action: AuditAction = AuditAction.CANCEL_MESSAGE, target: str = "x", **fields: Any) -> NewAudit:
    given = NewAudit("key:k", "k", "192.0.2.1", action, TENANT, (target,), {})
    return given._replace(**fields)


async def records(store: Store, chosen: AuditFilter = EVERYTHING, **options: int) -> list[AuditRecord]:
    """All records that match, the oldest first."""
    given = {"after": None, "limit": 1000, **options}
    return await store.list_audit(chosen, after=given["after"], limit=given["limit"] or 0, newest_first=False)


async def interrupted(store: Store) -> tuple[str, int]:
    """A message that asks, and its fence."""
    lease = await start(store)
    await store.finish(lease, INTERRUPTED)
    return lease.message_id, (await store.get(TENANT, lease.message_id)).fence


async def test_a_record_is_read_as_it_was_added(store: Store, clock: ManualClock) -> None:
    message = await add(store)
    clock.advance(5)
    details = {"source": "a b", "grace_seconds": 86_400, "namespace": ["ü", "👍"]}
    given = NewAudit("subject:ü 👍", "k", "::1", AuditAction.CANCEL_MESSAGE, TENANT, (message.id, "a b"), details)
    await store.cancel(TENANT, message.id, audit=given)
    await store.pause(paused=True, audit=NewAudit("local", None, None, AuditAction.PAUSE_QUEUE, None))
    first, second = await records(store)
    assert first == AuditRecord(first.number, store.now(), *given)
    assert second == AuditRecord(second.number, store.now(), "local", None, None, AuditAction.PAUSE_QUEUE, None, (), {})
    assert (first.affected, second.affected) == (2, 0)
    assert isinstance(first.action, AuditAction)


Change = Callable[[Store, NewAudit], Awaitable[object]]


async def _cancel(store: Store, audit: NewAudit) -> None:
    await store.cancel(TENANT, (await add(store)).id, audit=audit)


async def _cancel_running(store: Store, audit: NewAudit) -> None:
    await store.cancel(TENANT, (await start(store)).message_id, running=True, audit=audit)


async def _reprioritize(store: Store, audit: NewAudit) -> None:
    await store.reprioritize(TENANT, (await add(store)).id, Priority.HIGH, audit=audit)


async def _resume(store: Store, audit: NewAudit) -> None:
    message_id, fence = await interrupted(store)
    await store.resume(TENANT, message_id, fence, "{}", audit=audit)


async def _requeue(store: Store, audit: NewAudit) -> None:
    await store.requeue(TENANT, [(await dead_letter(store)).id, (await dead_letter(store)).id], audit=audit)


async def _purge(store: Store, audit: NewAudit) -> None:
    await store.purge(TENANT, [(await dead_letter(store)).id], audit=audit)


async def _pause(store: Store, audit: NewAudit) -> None:
    await store.pause(paused=True, audit=audit)


async def _drain_worker(store: Store, audit: NewAudit) -> None:
    with store.open_lease_renewer() as renewer:
        renewer.beat(worker("a"), (), lease_seconds=30)
    await store.drain_worker("a", draining=True, audit=audit)


async def _change_thread(store: Store, audit: NewAudit) -> None:
    await add(store, thread="t")
    await store.change_thread(TENANT, "t", ThreadChange(names=("name",)), audit=audit)


async def _delete_thread(store: Store, audit: NewAudit) -> None:
    await add(store, thread="t")
    await store.delete_thread(TENANT, "t", audit=audit)


async def _change_state(store: Store, audit: NewAudit) -> None:
    await add(store, thread="t")
    await store.take_memory_right(TENANT, "t", audit=audit)


async def _change_state_of_an_idle_thread(store: Store, audit: NewAudit) -> None:
    await store.cancel(TENANT, (await add(store, thread="t")).id)
    await store.take_memory_right(TENANT, "t", audit=audit)


async def _fork(store: Store, audit: NewAudit) -> None:
    await store.draft_thread(TENANT, "new")
    source = ForkSource(thread_id="t", checkpoint_id="c", message_id=None, agent="chat")
    await store.publish_thread(TENANT, "new", NewThread(source, None, None), audit=audit)


async def _put_item(store: Store, audit: NewAudit) -> None:
    await store.put_items(TENANT, [ItemWrite(("a",), "k", "{}", None)], audit=audit)


async def _add_key(store: Store, audit: NewAudit) -> None:
    await store.add_key(KEY, audit=audit)


async def _rotate_key(store: Store, audit: NewAudit) -> None:
    await store.add_key(KEY)
    await store.rotate_key(TENANT, KEY.id, "second", store.now(), audit=audit)


async def _revoke_key(store: Store, audit: NewAudit) -> None:
    await store.add_key(KEY)
    await store.revoke_key(TENANT, KEY.id, audit=audit)


async def _end_tokens(store: Store, audit: NewAudit) -> None:
    await store.end_tokens(TENANT, "subject", audit=audit)


async def _replay_delivery(store: Store, audit: NewAudit) -> None:
    message = await add(store, webhook_url="https://example.com/hook")
    await store.cancel(TENANT, message.id)
    (delivery,) = await store.list_deliveries(TENANT, message.id)
    await store.replay_delivery(TENANT, delivery.id, audit=audit)


CHANGES: list[Change] = [
    _cancel, _cancel_running, _reprioritize, _resume, _requeue, _purge, _pause, _drain_worker, _change_thread,
    _delete_thread, _change_state, _change_state_of_an_idle_thread, _fork, _put_item, _add_key, _rotate_key,
    _revoke_key, _replay_delivery, _end_tokens,
]  # fmt: skip
changes = pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)


@changes
async def test_each_change_adds_its_record(store: Store, change: Change) -> None:
    await change(store, record())
    (added,) = await records(store)
    assert added[2:] == record()


REFUSALS: list[Change] = [
    lambda store, audit: store.cancel(TENANT, "missing", audit=audit),
    lambda store, audit: store.reprioritize(TENANT, "missing", Priority.HIGH, audit=audit),
    lambda store, audit: store.resume(TENANT, "missing", 0, "{}", audit=audit),
    lambda store, audit: store.requeue(TENANT, ["missing"], audit=audit),
    lambda store, audit: store.purge(TENANT, ["missing"], audit=audit),
    lambda store, audit: store.change_thread(TENANT, "missing", ThreadChange(names=("x",)), audit=audit),
    lambda store, audit: store.delete_thread(TENANT, "missing", audit=audit),
    lambda store, audit: store.take_memory_right(TENANT, "missing", audit=audit),
    lambda store, audit: store.rotate_key(TENANT, "missing", "hash", store.now(), audit=audit),
    lambda store, audit: store.revoke_key(TENANT, "missing", audit=audit),
    lambda store, audit: store.replay_delivery(TENANT, "missing", audit=audit),
]


@pytest.mark.parametrize("refused", REFUSALS)
async def test_a_refused_call_adds_no_record(store: Store, refused: Change) -> None:
    with pytest.raises(AgentQueueError):
        await refused(store, record())
    assert await records(store) == []


async def test_a_call_that_changes_nothing_adds_no_record(store: Store) -> None:
    lease = await start(store)
    for _ in range(2):
        await store.cancel(TENANT, lease.message_id, running=True, audit=record(target="cancel"))
    await store.add_key(KEY)
    await store.revoke_key(TENANT, KEY.id, audit=record(target="revoke"))
    before = await store.access_state()
    await store.revoke_key(TENANT, KEY.id, audit=record(target="revoke"))
    assert await store.access_state() == before
    message_id, fence = await interrupted(store)
    for _ in range(2):
        request = RequestKey(TENANT, "k", "f")
        await store.resume(TENANT, message_id, fence, "{}", key=request, audit=record(target="answer"))
    assert [each.targets[0] for each in await records(store)] == ["cancel", "revoke", "answer"]


async def test_what_nobody_asked_for_adds_no_record(store: Store) -> None:
    for change in (_change_thread, _put_item, _revoke_key, _pause):
        await change(store, None)  # type: ignore[arg-type]  # what calls inside the server give
    assert await records(store) == []


async def test_records_are_listed_in_pages_in_both_directions(store: Store) -> None:
    for number in range(5):
        await store.pause(paused=True, audit=record(target=str(number)))
    everything = await records(store)
    assert [each.targets[0] for each in everything] == list("01234")
    assert sorted(each.number for each in everything) == [each.number for each in everything]
    page = await store.list_audit(EVERYTHING, after=everything[1].number, limit=2, newest_first=False)
    assert [each.targets[0] for each in page] == ["2", "3"]
    newest = await store.list_audit(EVERYTHING, after=None, limit=2, newest_first=True)
    assert [each.targets[0] for each in newest] == ["4", "3"]
    older = await store.list_audit(EVERYTHING, after=newest[-1].number, limit=9, newest_first=True)
    assert [each.targets[0] for each in older] == ["2", "1", "0"]


async def test_each_filter_selects_its_records(store: Store, clock: ManualClock) -> None:
    begin = store.now()
    given = [
        record(AuditAction.PAUSE_QUEUE, targets=(), tenant=None),
        record(AuditAction.CANCEL_MESSAGE, targets=("a", "b")),
        record(AuditAction.CANCEL_MESSAGE, "ab", actor="local"),
        record(AuditAction.CANCEL_MESSAGE, '100% "x" y', tenant=OTHER_TENANT),
    ]
    for each in given:
        await store.pause(paused=True, audit=each)
        clock.advance(1)

    async def selected(**fields: Any) -> list[int]:
        found = await records(store, EVERYTHING._replace(**fields))
        return [given.index(NewAudit(*each[2:])) for each in found]

    assert await selected() == [0, 1, 2, 3]
    assert await selected(tenant=TENANT) == [1, 2]
    assert await selected(tenant=OTHER_TENANT) == [3]
    assert await selected(actor="local") == [2]
    assert await selected(action=AuditAction.CANCEL_MESSAGE) == [1, 2, 3]
    assert await selected(target="b") == [1]
    assert await selected(target='100% "x" y') == [3]
    assert await selected(target="a b") == await selected(target="100%") == []
    assert await selected(target="%") == []
    assert await selected(since=begin + timedelta(seconds=1)) == [1, 2, 3]
    assert await selected(until=begin + timedelta(seconds=1)) == [0]
    assert await selected(actor="key:k", target="ab") == []


async def test_records_of_two_processes_have_one_order(store: Store, other_store: Store) -> None:
    async def pause(each: Store, name: str) -> None:
        for number in range(20):
            await each.pause(paused=True, audit=record(target=f"{name}{number}"))

    seen: list[AuditRecord] = []
    pausing = asyncio.gather(pause(store, "a"), pause(other_store, "b"))
    while not pausing.done():  # who continues after the last number that was seen misses none
        seen += await records(store, after=seen[-1].number if seen else 0)
        await asyncio.sleep(0)
    await pausing
    seen += await records(store, after=seen[-1].number if seen else 0)
    assert seen == await records(store)
    assert [each.targets[0] for each in seen if each.targets[0].startswith("a")] == [
        f"a{number}" for number in range(20)
    ]
    assert len(seen) == 40


async def test_many_records_are_read_whatever_the_filter(store: Store) -> None:
    message = await add(store)
    await asyncio.gather(*(store.pause(paused=True, audit=record(target=str(number))) for number in range(1_100)))
    await store.cancel(TENANT, message.id, audit=record(target="last"))
    found = await store.list_audit(EVERYTHING._replace(target="last"), after=None, limit=9, newest_first=False)
    assert [each.targets[0] for each in found] == ["last"]
    assert len(await records(store, limit=2_000)) == 1_101


async def test_a_lost_lease_and_another_tenant_add_no_record(store: Store) -> None:
    message = await add(store)
    with pytest.raises(MessageNotFound):
        await store.cancel(OTHER_TENANT, message.id, audit=record())
    await claim_one(store)
    assert await records(store) == []
