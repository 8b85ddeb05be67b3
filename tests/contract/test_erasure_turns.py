"""The turns of an erasure: it goes on wherever the last one stopped, beside others who write and erase."""

import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from app.erasure_manager import MESSAGES_AT_ONCE, TURN_SECONDS, Eraser, ErasureManager
from app.errors.erasures import ErasureInProgress
from app.models.audit import AuditAction, AuditFilter, NewAudit
from app.models.erasures import Erasure, ErasureKind, ErasureState
from app.models.items import ItemWrite
from app.models.messages import MessageFilter, MessageState, Page
from app.models.threads import ThreadChange
from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.builders import (
    ALL,
    CALLER,
    DONE,
    OTHER_TENANT,
    TENANT,
    add,
    all_threads,
    claimed_ids,
    dead_letter,
    event_types,
    interrupt,
    listed,
    new,
    request_key,
    requeue,
    start,
    state_of,
)
from tests.contract.erasing import OWN_ITEMS, SUBJECT, URL, Memory, begin, eraser, fill, is_empty, worked
from tests.contract.test_transitions import changes


async def test_a_lost_worker_keeps_no_erasure(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    erasure = await begin(store, ErasureKind.TENANT)
    await eraser(store).work()
    clock.advance(31)
    assert await store.rescue() == 1
    assert await state_of(store, lease.message_id) is MessageState.CANCELLED
    await worked(store, erasure)
    assert await listed(store) == []


async def test_an_erasure_goes_on_where_another_process_was_cut_off(
    store: Store, other_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part is a transaction with its counts, so that the receipt is exact."""
    for number in range(7):
        await add(store, thread=f"t{number}", delay_seconds=60.0)
        await store.put_items(TENANT, [ItemWrite(("a",), f"{number}", "{}")])
    erasure = await begin(store, ErasureKind.TENANT)

    class Died(BaseException):
        """The end of a process."""

    async def counts() -> Any:
        return (await store.get_erasure(None, erasure.id) or erasure).counts

    def dies_after(part: Callable[..., Awaitable[int]]) -> Callable[..., Awaitable[int]]:
        async def dying(*given: Any, **named: Any) -> int:
            before = await counts()
            done = await part(*given, **named)
            if await counts() != before:
                raise Died
            return done

        return dying

    deaths = 0
    with monkeypatch.context() as patch:
        patch.setattr("app.erasure_manager.MESSAGES_AT_ONCE", 2)
        patch.setattr("app.erasure_manager.ROWS_AT_ONCE", 2)
        for name in ("erase_messages", "erase_threads", "erase_rows"):
            patch.setattr(store, name, dies_after(getattr(store, name)))
        while (await counts()).get("items", 0) < 7:
            with pytest.raises(Died):
                await eraser(store).work()
            deaths += 1
    assert deaths > 8
    receipt = await worked(other_store, erasure)
    assert {kind: receipt.counts[kind] for kind in ("messages", "threads", "items", "memories")} == {
        "messages": 7, "threads": 7, "items": 7, "memories": 7,
    }  # fmt: skip


async def test_parts_that_run_out_of_time_lose_and_count_nothing_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.store.parts.PART_SECONDS", 0.0)
    ids = await fill(store, TENANT, "t", SUBJECT)
    others = await fill(store, TENANT, "other", "ann")
    for number in range(30):
        await add(store, thread=f"t{number}", subject=SUBJECT, delay_seconds=60.0)
        await add(store, subject=SUBJECT)
    items = [ItemWrite((*OWN_ITEMS, f"{number}"), "item", "{}") for number in range(120)]
    await store.put_items(TENANT, items)
    memory = Memory()
    receipt = await worked(store, await ErasureManager(store).erase_subject(CALLER, SUBJECT), memory)
    assert sorted(await listed(store)) == sorted(others)
    assert {each.thread_id for each in await all_threads(store)} == {"other"}
    assert {kind: receipt.counts[kind] for kind in ("messages", "threads", "memories", "items", "usage")} == {
        "messages": 65, "threads": 31, "memories": 62, "items": 122, "usage": 1,
    }  # fmt: skip
    assert len(set(memory.forgotten)) == 62
    await is_empty(store, TENANT, ids)


async def test_unfinished_messages_of_every_kind_are_cancelled_together(store: Store, other_store: Store) -> None:
    asking = await interrupt(store, thread="asks", webhook_url=URL)
    lease = await start(store, thread="runs")
    await store.finish(await start(store, thread="ended"), DONE)
    (ended,) = [each for each in await listed(store) if each not in (asking.id, lease.message_id)]
    waiting = [await add(store, thread=thread) for thread in ("t", "t", "t", "runs", "asks", None)]
    delayed = await add(store, delay_seconds=60.0)
    foreign = await add(store, tenant=OTHER_TENANT)
    erasure = await begin(store, ErasureKind.TENANT)
    given = [asking.id, lease.message_id, ended, *(each.id for each in waiting), delayed.id, foreign.id, "unknown"]
    while given:
        given = given[await other_store.cancel_messages(erasure, given) :]
    for message_id in (asking.id, delayed.id, *(each.id for each in waiting)):
        assert await state_of(store, message_id) is MessageState.CANCELLED
        assert (await event_types(store, message_id))[-1] == "cancelled"
    assert [each.event for each in await store.list_deliveries(TENANT, asking.id)][-1] == "cancelled"
    assert await state_of(store, ended) is MessageState.COMPLETED
    assert await state_of(store, foreign.id, OTHER_TENANT) is MessageState.QUEUED
    running = await store.get(TENANT, lease.message_id)
    assert (running.state, running.cancel_requested) == (MessageState.PROCESSING, True)
    assert await claimed_ids(store) == [foreign.id], "nothing of the target moves up"
    await store.finish(lease, DONE)
    assert await state_of(store, lease.message_id) is MessageState.CANCELLED


async def test_each_message_is_cancelled_once_and_listed_a_few_times(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A walk past the messages that are cancelled already would cost their number squared."""
    for number in range(4 * MESSAGES_AT_ONCE):
        await add(store, thread=f"t{number // 10}" if number % 2 else None)
    lists: list[int] = []
    cancelled: list[str] = []
    list_messages, cancel_messages = store.list_messages, store.cancel_messages

    async def listing(*given: Any, **named: Any) -> Any:
        found = await list_messages(*given, **named)
        lists.append(len(found))
        return found

    async def cancelling(erasure: Erasure, message_ids: Sequence[str]) -> int:
        done = await cancel_messages(erasure, message_ids)
        cancelled.extend(message_ids[:done])
        return done

    monkeypatch.setattr(store, "list_messages", listing)
    monkeypatch.setattr(store, "cancel_messages", cancelling)
    await worked(store, await begin(store, ErasureKind.TENANT))
    assert len(cancelled) == len(set(cancelled)) == 4 * MESSAGES_AT_ONCE
    assert sum(lists) < 3 * 4 * MESSAGES_AT_ONCE


async def test_cancels_go_on_where_the_last_turn_stopped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(10):
        await add(store)
    erasure = await begin(store, ErasureKind.TENANT)
    ticks = itertools.count()

    class Stopwatch:
        """Stands for the module `time`, and goes on with each look at it."""

        @staticmethod
        def monotonic() -> float:
            return float(next(ticks))

    class Restless(Eraser):
        """Does not rest, since the stopwatch leaps."""

        async def _rest(self, part: Awaitable[Any]) -> Any:
            return await part

    cursors: list[object] = []
    list_messages = store.list_messages

    async def listing(tenant: str, chosen: MessageFilter, page: Page, **named: Any) -> Any:
        if chosen.states is not None:
            cursors.append(page.cursor)
        return await list_messages(tenant, chosen, page, **named)

    monkeypatch.setattr("app.erasure_manager.MESSAGES_AT_ONCE", 1)
    monkeypatch.setattr("app.erasure_manager.TURN_SECONDS", 3.5)
    monkeypatch.setattr("app.erasure_manager.time", Stopwatch)
    monkeypatch.setattr(store, "list_messages", listing)
    memory = Memory()
    working = Restless(store, lambda: memory)
    for _ in range(4):
        await working.work()
    assert (len(cursors), len(set(cursors)), cursors.count(None)) == (
        12,
        11,
        2,
    ), "each place once, and the first one again"
    assert (await store.get_erasure(None, erasure.id)) == erasure


async def test_a_message_that_is_requeued_meanwhile_is_erased_too(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets a number above the place that the erasure has reached."""
    failed = await dead_letter(store)
    waiting = await add(store)
    erasure = await begin(store, ErasureKind.TENANT)
    cancel_messages, passes = store.cancel_messages, 0

    async def requeuing(erasure: Erasure, message_ids: Sequence[str]) -> int:
        nonlocal passes
        passes += 1
        if passes == 1:
            await requeue(store, failed.id)
        return await cancel_messages(erasure, message_ids)

    monkeypatch.setattr(store, "cancel_messages", requeuing)
    await eraser(store).work()
    found = await store.get_erasure(None, erasure.id)
    assert found is not None
    assert (found.state, found.counts["messages"], passes) == (ErasureState.COMPLETED, 2, 2), waiting


async def test_the_erasure_of_a_tenant_ends_while_others_are_active(store: Store) -> None:
    await fill(store, TENANT, "t")
    erasure = await begin(store, ErasureKind.TENANT)

    class Busy(Eraser):
        """Another tenant submits in each turn."""

        async def _erase_names(self, erasure: Erasure, until: float) -> bool:
            done = await super()._erase_names(erasure, until)
            await add(store, tenant="other")
            return done

    memory = Memory()
    for _ in range(3):
        await Busy(store, lambda: memory).work()
    found = await store.get_erasure(TENANT, erasure.id)
    assert found is not None
    assert found.state is ErasureState.COMPLETED


async def test_names_are_replaced_from_where_the_last_turn_stopped(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each turn has time for one part. A turn that began anew would never get through many records."""
    for number in range(7):
        await add(store, thread=f"t{number}")
    erasure = await begin(store, ErasureKind.TENANT)
    places: list[str | None] = []
    erase_names, passed = store.erase_names, 0.0

    class Stopwatch:
        """Stands for the module `time`."""

        @staticmethod
        def monotonic() -> float:
            return passed

    class Restless(Eraser):
        """Does not rest, since the stopwatch leaps."""

        async def _rest(self, part: Awaitable[Any]) -> Any:
            return await part

    async def noted(*given: Any, limit: int) -> str | None:
        nonlocal passed
        passed += TURN_SECONDS
        places.append(given[1])
        following = await erase_names(*given, limit=3 if given[1].startswith("transitions") else limit)
        assert following != given[1] or following == "names:", "another erasure works on the same records"
        return following

    monkeypatch.setattr(store, "erase_names", noted)
    monkeypatch.setattr("app.erasure_manager.time", Stopwatch)
    memory = Memory()
    working = Restless(store, lambda: memory)
    while (await store.get_erasure(None, erasure.id) or erasure).state is ErasureState.RUNNING:
        await working.work()
        assert len(set(places)) == len(places), "each part once"
    assert len(places) > 3


@pytest.mark.parametrize("kind", [ErasureKind.TENANT, ErasureKind.SUBJECT])
async def test_names_are_replaced_although_others_write_faster(store: Store, kind: ErasureKind) -> None:
    """Each part finds more new records than it replaces."""
    audit = NewAudit("local", None, None, AuditAction.CHANGE_THREAD, TENANT, ("t",))
    await add(store, thread="t", subject=SUBJECT)
    await store.change_thread(TENANT, "t", ThreadChange(metadata={"n": 1}), audit=audit)
    for number in range(5):
        await add(store, thread="other", tenant=OTHER_TENANT, content=f"{number}")
    erasure = await begin(store, kind, SUBJECT if kind is ErasureKind.SUBJECT else "")
    while not await store.erase_threads(erasure, ["t"]):
        pass
    place: str | None = ""
    for part in range(40):
        for number in range(4):
            key = request_key(f"z {part:03} {number}", tenant=OTHER_TENANT if kind is ErasureKind.TENANT else TENANT)
            other = new(thread="other", tenant=key.tenant)
            await store.add([other], max_queued=ALL, key=key)
            await store.change_thread(key.tenant, "other", ThreadChange(metadata={"n": number}), audit=audit._replace(
                tenant=key.tenant, targets=("other",)
            ))  # fmt: skip
        of_all_keys = place is not None and place.startswith("keys")
        place = await store.erase_names(erasure, place or "", limit=ALL if of_all_keys else 3)
        if place is None:
            break
    assert place is None, "it does not end"
    found = await store.list_audit(AuditFilter(), after=None, limit=1, newest_first=False)
    assert found[0].targets == ("erased",)
    assert "t" not in [each.thread_id for each in await changes(store)]


async def test_one_process_at_a_time_works_on_an_erasure(store: Store, other_store: Store, clock: ManualClock) -> None:
    first = await begin(store, ErasureKind.TENANT)
    clock.advance(1)
    second = await begin(store, ErasureKind.THREAD, "t")
    assert await store.claim_erasure(lease_seconds=10) == first
    assert await other_store.claim_erasure(lease_seconds=10) == second
    assert await store.claim_erasure(lease_seconds=10) is None
    clock.advance(10)
    assert await store.claim_erasure(lease_seconds=10) == first
    await store.release_erasure(second.id)
    assert await store.claim_erasure(lease_seconds=10) == second


async def test_a_second_request_gets_the_running_erasure(store: Store, other_store: Store) -> None:
    audit = NewAudit("local", None, None, AuditAction.ERASE_DATA, TENANT, ("x",))
    first = await begin(store, ErasureKind.THREAD, "t", audit=audit)
    assert await begin(other_store, ErasureKind.THREAD, "t", id="another", audit=audit) == first
    assert await store.get_erasure(TENANT, "another") is None
    assert len(await store.list_audit(AuditFilter(), after=None, limit=ALL, newest_first=True)) == 1
    other = await begin(store, ErasureKind.SUBJECT, "t", id="subject")
    assert {each.id for each in await store.list_erasures(None, limit=ALL)} == {first.id, other.id}
    assert len(await store.list_erasures(TENANT, limit=1)) == 1
    assert await store.list_erasures(OTHER_TENANT, limit=ALL) == []
    assert await store.get_erasure(OTHER_TENANT, first.id) is None
    await worked(store, first)
    third = await begin(store, ErasureKind.THREAD, "t", id="third")
    assert third.id == "third"


async def test_an_erasure_waits_for_the_memory(store: Store) -> None:
    await add(store, thread="t")
    erasure = await begin(store, ErasureKind.THREAD, "t")
    for _ in range(3):
        await Eraser(store, lambda: None).work()
    found = await store.get_erasure(None, erasure.id)
    assert found is not None
    assert found.state is ErasureState.RUNNING
    assert await listed(store) == []
    with pytest.raises(ErasureInProgress):
        await add(store, thread="t")
    await worked(store, erasure)
